//! A thousand tunnels, one after the other, leave nothing behind.

use super::*;
use crate::support::TestApp;
use axum::http::Method;
use std::io::Write;
use std::process::Stdio;
use tokio::runtime::Handle;

/// Says that this is the process of its own.
const INNER: &str = "PAWPORT_TEST_CYCLES";

/// After so many everything that is made once has been made, and what is kept for a while is full.
const WARM: usize = 200;
const CYCLES: usize = 1000;

/// What the log of the app takes in memory, and what the allocator keeps for later. Eight KiB a tunnel would be more.
const TOLERANCE: u64 = 6 * 1024 * 1024;

/// What this process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    files: usize,
    threads: usize,
    tasks: usize,
    children: usize,
}

impl Held {
    fn now(lab: &Lab) -> Self {
        let count = |folder: &str| std::fs::read_dir(folder).unwrap().count();
        Self {
            files: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
            tasks: Handle::current().metrics().num_alive_tasks(),
            children: lab.stand_in.alive().len(),
        }
    }
}

/// The memory that this process uses, in bytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Not a test by itself: what [`a_thousand_tunnels_leave_nothing_behind`] runs, since only a process of its own has nothing
/// but its own files, threads and memory.
#[tokio::test]
#[ignore = "runs in a process of its own, for another test"]
async fn a_thousand_tunnels() {
    #[expect(clippy::disallowed_methods, reason = "tells this process from an ordinary run of the ignored tests")]
    if std::env::var_os(INNER).is_none() {
        return;
    }
    let lab = Lab::new(&[up(HOST, &[])]);
    let app = TestApp::with_tunnels(Arc::new(lab.provider(Kind::Quick, Pace::default())));
    let user = app.token_user();
    let call = async |path: &str| user.call(Method::POST, path).send().await.assert_status(200).json();
    let mut warm = None;
    for cycle in 1..=CYCLES {
        let started = call("/api/remote/start").await;
        assert_eq!(started["url"], format!("https://{HOST}"), "{cycle}: {started}");
        let stopped = call("/api/v1/remote/stop").await;
        assert_eq!(stopped["active"], false);
        assert_eq!(lab.stand_in.alive(), [0; 0], "{cycle}");
        if cycle == WARM {
            // Threads for blocking work come and go; those that wait for more are not counted as lost.
            warm = Some((Held::now(&lab), memory()));
        }
    }
    let (before, memory_before) = warm.unwrap();
    // The end of a task is noticed a moment later than what it did.
    eventually("tasks and files are as before", || {
        let after = Held::now(&lab);
        (after.files, after.tasks, after.children) == (before.files, before.tasks, before.children)
            && after.threads <= before.threads + 2
    })
    .await;
    assert_eq!(lab.stand_in.runs().len(), CYCLES);
    lab.assert_nothing_left();
    let grown = memory().saturating_sub(memory_before);
    // Not `eprintln!`, which would not be seen when all is well.
    let held = Held::now(&lab);
    let _ = writeln!(std::io::stderr(), "{held:?}, {} KiB more than after {WARM} of {CYCLES} tunnels", grown / 1024);
    assert!(grown < TOLERANCE, "{grown} bytes more than after {WARM} of {CYCLES} tunnels");
}

#[tokio::test]
async fn a_thousand_tunnels_leave_nothing_behind() {
    // Elsewhere the system does not tell what a process has.
    if !cfg!(target_os = "linux") {
        let _ = writeln!(std::io::stderr(), "SKIPPED: without /proc nobody knows what a process has left");
        return;
    }
    let (_, module) = module_path!().split_once("::").unwrap();
    let mut inner = tokio::process::Command::new(std::env::current_exe().unwrap());
    inner.args(["--exact", &format!("{module}::a_thousand_tunnels"), "--ignored", "--nocapture"]).env(INNER, "1");
    let ended = inner.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    let output = [ended.stdout, ended.stderr].map(|output| String::from_utf8_lossy(&output).into_owned()).concat();
    assert!(ended.status.success() && output.contains("more than after"), "{output}");
}
