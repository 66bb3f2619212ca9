//! What importing costs: 20,000 sessions with 400,000 messages, taken by the program as it is handed out.
//!
//! `cargo bench --bench import` makes the folder below `target/bench-data` once, imports it into a new SQLite database, and
//! prints messages a second and the most memory that the program used. Numbers after `--` are sessions and messages each.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run should stop")]
#![expect(clippy::disallowed_methods, reason = "the program under test is a child process")]
#![expect(clippy::print_stdout, reason = "the numbers go to whoever runs it")]

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let (sessions, messages) = (numbers.first().copied().unwrap_or(20_000), numbers.get(1).copied().unwrap_or(20));
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-data");
    let home = data.join(format!("pocketpaw-{sessions}-{messages}"));
    if !home.join("config.json").is_file() {
        generate(&home, sessions, messages);
    }
    let target = tempfile::tempdir_in(&data).unwrap();
    let began = Instant::now();
    let mut program = Command::new(env!("CARGO_BIN_EXE_pawport"))
        .args(["import", "--although-running", "--data-dir"])
        .arg(target.path().join("data"))
        .arg(&home)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut peak = 0;
    let status = loop {
        if let Some(status) = program.try_wait().unwrap() {
            break status;
        }
        peak = peak_kib(program.id()).unwrap_or(0).max(peak);
        std::thread::sleep(Duration::from_millis(5));
    };
    let took = began.elapsed();
    assert!(status.success());
    let total = sessions * messages;
    let per_second = total as u128 * 1_000_000 / took.as_micros();
    println!("{total} messages in {took:.1?}: {per_second} a second, at most {} MiB of memory", peak / 1024);
}

/// The most memory that a process has used, on Linux.
fn peak_kib(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Sessions as PocketPaw writes them, of texts that are as long as those in chats.
fn generate(home: &Path, sessions: usize, messages: usize) {
    let folder = home.join("memory/sessions");
    std::fs::create_dir_all(&folder).unwrap();
    let words = ["the", "invoice", "for", "March", "is", "in", "the", "finance", "folder", "and", "still", "unpaid"];
    for session in 0..sessions {
        let mut text = String::from("[");
        for number in 0..messages {
            let separator = if number == 0 { "\n" } else { ",\n" };
            let role = ["user", "assistant"][number % 2];
            let length = 10 + (session * 7 + number * 13) % 60;
            let content: Vec<&str> =
                (0..length).map(|word| words[(session + number + word * 5) % words.len()]).collect();
            let (minute, second) = (number / 60 % 60, number % 60);
            write!(
                text,
                "{separator}  {{\n    \"id\": \"{session:08x}-0000-4000-8000-{number:012x}\",\n    \"role\": \"{role}\",\n    \"content\": \"{}\",\n    \"timestamp\": \"2026-{:02}-{:02}T10:{minute:02}:{second:02}.123456\",\n    \"metadata\": {{\n      \"username\": \"ana\"\n    }}\n  }}",
                content.join(" "),
                session % 12 + 1,
                session % 28 + 1,
            )
            .unwrap();
        }
        text.push_str("\n]");
        std::fs::write(folder.join(format!("websocket_{session:08x}.json")), text).unwrap();
    }
    std::fs::write(home.join("config.json"), "{}").unwrap();
}
