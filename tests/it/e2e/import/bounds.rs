//! Long files and elements: what is taken of them, and what it costs.

use super::home::{MACHINE, counts, generated, import, imported, query, sample};
use crate::e2e::binary::Place;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

const MIB: usize = 1024 * 1024;

/// So many mebibytes of media; the program needs less in all.
const MEDIA: usize = 96;

/// A session with a message of many media, one of too much text, and one of a word.
fn session_with_media(path: &std::path::Path) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let block = "QUJD".repeat(MIB / 4);
    let mut long = |mebibytes, before: &str, after: &str| {
        file.write_all(before.as_bytes()).unwrap();
        for _ in 0..mebibytes {
            file.write_all(block.as_bytes()).unwrap();
        }
        file.write_all(after.as_bytes()).unwrap();
    };
    long(
        MEDIA,
        r#"[{"id":"a","content":"look","timestamp":"2026-01-01T00:00:00","metadata":{"media":[{"name":"a.png","data":""#,
        r#""}]}},"#,
    );
    long(10, r#"{"id":"b","timestamp":"2026-01-01T00:00:01","content":""#, r#""},"#);
    write!(file, r#"{{"id":"c","content":"nice","timestamp":"2026-01-01T00:00:02"}}]"#).unwrap();
    file.flush().unwrap();
}

#[test]
fn media_cost_no_memory_and_what_is_too_long_is_reported() {
    let place = Place::new();
    let home = place.path("pocketpaw");
    std::fs::create_dir_all(home.join("memory/sessions")).unwrap();
    session_with_media(&home.join("memory/sessions/websocket_a.json"));
    let home = home.to_str().unwrap();
    let mut process = place.program_with_data(&["import", home, "--although-running"]).spawn();
    let mut peak = 0;
    while process.is_running() {
        peak = process.peak_memory().unwrap_or(0).max(peak);
        std::thread::sleep(Duration::from_millis(5));
    }
    let ended = process.end();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert_eq!(counts(&ended, "Messages"), [2, 0, 1], "{}", ended.stdout);
    assert!(ended.stdout.contains("it is longer than 8 MiB\n      memory/sessions/websocket_a.json, element 2"));
    let texts = query(&place, "SELECT content || metadata AS line FROM messages ORDER BY number");
    assert_eq!(texts, [r#"look{"media":[{"name":"a.png"}]}"#, "nice{}"]);
    assert!(peak > 0 && peak < (MEDIA * MIB) as u64, "{} MiB", peak / MIB as u64);
}

#[test]
fn the_time_of_a_session_grows_with_its_length_only() {
    let timed = |messages| {
        let place = Place::new();
        let home = generated(&place, "home", 1, messages);
        let began = Instant::now();
        import(&place, &home, &[]);
        let first = began.elapsed();
        // Everything is there, which has to be found out for every part.
        let began = Instant::now();
        assert_eq!(counts(&import(&place, &home, &[]), "Messages"), [0, messages as u64, 0]);
        assert_eq!(imported(&place)[1].len(), messages);
        first.max(began.elapsed())
    };
    let (short, long) = (timed(3_000), timed(30_000));
    // Ten times as much; a hundred times would be quadratic. Other tests run beside.
    assert!(long < short * 40 + Duration::from_secs(5), "{short:?}, then {long:?}");
}

#[test]
fn a_dry_run_counts_an_entry_that_is_in_two_logs_once() {
    let place = Place::new();
    let home = sample(&place);
    let entry = |number| format!(r#"{{"id":"e{number}","timestamp":"2026-01-01T00:00:00Z","action":"a"}}"#);
    let log: Vec<String> = (0..1_500).map(entry).collect();
    for name in ["audit-20250101T000000Z.jsonl", "audit-20250102T000000Z.jsonl"] {
        std::fs::write(home.join(name), log.join("\n")).unwrap();
    }
    let dry = import(&place, &home, &[&MACHINE[..], &["--dry-run"]].concat());
    let real = import(&place, &home, &MACHINE);
    assert_eq!(counts(&real, "Audit entries"), [1_511, 1_500, 0]);
    assert_eq!(counts(&dry, "Audit entries"), [1_511, 1_500, 0]);
}
