//! Killed in the middle, or out of room.

use super::Home;
use super::pack::{content, long_session, write_whole};
use crate::e2e::binary::PATIENCE;
use crate::e2e::client::plain_slot;
use crate::e2e::refusals::refused;
use nix::sys::signal::Signal;
use serde_json::json;
use std::time::{Duration, Instant};

/// How many restores are killed.
const KILLED: usize = 6;

/// Whether a restore is writing: not everything is committed, and not nothing was written.
fn is_filling(home: &Home) -> bool {
    match &home.database {
        Some(database) => {
            let inserting = r#"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                AND pid <> pg_backend_pid() AND query LIKE 'INSERT INTO "messages"%'"#;
            database.asked(inserting) != "0"
        }
        // What does not fit into the cache gets here before the commit. The last one to close the database removes it.
        None => home.place.data_dir().join("pawport.db-wal").metadata().is_ok_and(|file| file.len() > 0),
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub(super) async fn a_killed_restore_changes_nothing(to: Home, other: Home) {
    let server = to.serve(&[]);
    let client = server.client(&to.place);
    let slot = client.add_slot(&plain_slot("old")).await;
    assert_eq!(client.deliver(&slot, "?wait=true", &json!({ "content": "/ping" })).await.status, 200);
    server.stop();
    let old_file = to.backup("old.backup");
    let old = content(&old_file);
    let file = to.place.path("long.backup");
    write_whole(&file, &long_session(20_000));
    other.restored(&file, &[]);
    let new = content(&other.backup("new.backup"));

    let (mut cut_short, mut wait, mut step) = (0, Duration::ZERO, Duration::from_millis(100));
    for number in 0..KILLED {
        wait_until("the one before is gone", || !is_filling(&to));
        let mut process = to.restore(&file, &["--replace"]).spawn();
        wait_until("it writes", || !process.is_running() || is_filling(&to));
        std::thread::sleep(wait);
        process.signal(Signal::SIGKILL);
        let ended = process.end();
        let now = content(&to.backup(&format!("now-{number}.backup")));
        if now == old {
            assert_eq!(ended.code(), None, "{ended:?}");
            cut_short += 1;
            wait += step;
            let server = to.serve(&[]);
            let answer = server.client(&to.place).deliver(&slot, "?wait=true", &json!({ "content": "/ping" })).await;
            assert_eq!(answer.json()["response"], "pong");
            server.stop();
        } else {
            assert!(now == new, "neither the old nor the new");
            // That was too late: at once, and then in smaller steps.
            (wait, step) = (Duration::ZERO, step / 4);
        }
        to.restored(&old_file, &["--replace"]);
    }
    assert!(cut_short >= 2, "only {cut_short} were cut short");
    to.restored(&file, &["--replace"]);
    assert!(content(&to.backup("new.backup")) == new, "not all of it");
}

#[tokio::test]
async fn in_sqlite_a_killed_restore_changes_nothing() {
    a_killed_restore_changes_nothing(Home::sqlite(), Home::sqlite()).await;
}

/// More is written than a file may have, which is as if the disk were full.
#[tokio::test]
async fn without_room_no_file_is_left() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let client = server.client(&home.place);
    let slot = client.add_slot(&plain_slot("big")).await;
    let digits = (0..40_000_u64).map(|seed| format!("{:x}", seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let random = digits.collect::<Vec<_>>().concat();
    assert_eq!(client.deliver(&slot, "?wait=true", &json!({ "content": random })).await.status, 200);
    let folder = home.place.path("disk");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("big.backup");
    // The server is running, so the files of the database are there.
    let backup = |overwrite: &[&str]| {
        let arguments = [&["backup", file.to_str().unwrap(), "--database-url", &home.database_url], overwrite].concat();
        home.place.program_after("trap '' XFSZ; ulimit -f 100", &arguments)
    };
    refused(backup(&[]), &["big.backup", "cannot be written", "File too large"]);
    assert_eq!(folder.read_dir().unwrap().count(), 0, "something is left");
    std::fs::write(&file, "precious").unwrap();
    refused(backup(&["--overwrite"]), &["cannot be written"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    assert_eq!(folder.read_dir().unwrap().count(), 1);
    server.stop();
}

/// Whoever changes their mind finds the folder as it was.
#[test]
fn an_interrupted_backup_leaves_no_file() {
    let home = Home::sqlite();
    let long = home.place.path("long.backup");
    write_whole(&long, &long_session(10_000));
    home.restored(&long, &[]);
    let folder = home.place.path("disk");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("cut.backup");
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let process = home.program(&["backup", file.to_str().unwrap()]).spawn();
        let deadline = Instant::now() + PATIENCE;
        while folder.read_dir().unwrap().count() == 0 {
            assert!(Instant::now() < deadline, "it is not begun");
            std::thread::yield_now();
        }
        process.signal(signal);
        let ended = process.end();
        assert_eq!(ended.code(), Some(1), "{ended:?}");
        assert!(ended.stderr.contains("interrupted"), "{ended:?}");
        assert_eq!(folder.read_dir().unwrap().count(), 0, "something is left");
    }
}
