//! When nothing is imported at all.

use super::home::{import, run, sample};
use crate::e2e::binary::{Ended, Place};
use std::net::TcpListener;
use std::path::Path;

#[track_caller]
fn assert_refused(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    assert_eq!(ended.stdout, "");
    for word in words {
        assert!(ended.stderr.contains(word), "no {word:?} in {}", ended.stderr);
    }
}

#[test]
fn a_folder_of_something_else() {
    let place = Place::new();
    std::fs::create_dir(place.path("photos")).unwrap();
    assert_refused(&run(&place, &place.path("photos"), &[]), &["photos", "~/.pocketpaw"]);
    assert_refused(&run(&place, &place.path("missing"), &[]), &["missing"]);
    assert!(!place.data_dir().exists());
}

#[test]
fn a_running_program_until_it_is_said_to_be_another() {
    let place = Place::new();
    let home = sample(&place);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::fs::write(home.join("config.json"), format!(r#"{{"web_host":"0.0.0.0","web_port":{port}}}"#)).unwrap();
    assert_refused(&run(&place, &home, &[]), &[&port.to_string(), "--although-running"]);
    import(&place, &home, &[]);
    drop(listener);
    assert_eq!(run(&place, &home, &[]).code(), Some(0));
}

#[test]
fn a_data_directory_that_a_server_uses() {
    let place = Place::new();
    let home = sample(&place);
    let server = place.serve(&[]);
    assert_refused(&run(&place, &home, &["--although-running"]), &["another pawport server"]);
    server.stop();
    let ended = import(&place, &home, &[]);
    assert!(ended.stdout.contains("another access token here"), "{}", ended.stdout);
}

#[test]
fn a_zone_that_is_none_and_a_database_in_memory() {
    let place = Place::new();
    let home = sample(&place);
    assert_refused(&run(&place, &home, &["--although-running", "--zone", "Lisbon"]), &["Lisbon", "Europe/Lisbon"]);
    assert_refused(&run(&place, &home, &["--although-running", "--database-url", "memory:"]), &["memory"]);
}

#[test]
fn files_that_links_lead_to_elsewhere() {
    let place = Place::new();
    let home = sample(&place);
    let outside = place.path("outside.json");
    let session = r#"[{"content":"not yours","timestamp":"2026-01-01T00:00:00"}]"#;
    std::fs::write(&outside, session).unwrap();
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, home.join("memory/sessions").join(name)).unwrap();
    link(&outside, "websocket_out.json");
    link(&home.join("memory/sessions/telegram_123456789.json"), "websocket_in.json");
    link(&place.path("gone"), "websocket_gone.json");
    let ended = import(&place, &home, &[]);
    assert_eq!(super::counts(&ended, "Sessions"), [9, 0, 2], "{}", ended.stdout);
    assert!(ended.stdout.contains("leads out of the folder\n      memory/sessions/websocket_out.json"));
    assert!(super::query(&place, "SELECT content AS line FROM messages").iter().all(|text| text != "not yours"));
}

#[test]
fn folders_that_links_lead_to_elsewhere_and_names_that_are_no_text() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let home = sample(&place);
    let outside = place.path("outside");
    std::fs::create_dir_all(outside.join("b")).unwrap();
    std::fs::write(outside.join("2026-11-24.json"), "{}").unwrap();
    std::fs::write(outside.join("b/MEMORY.md"), "## A\n\nnot yours\n").unwrap();
    for folder in ["audit_reports", "memory/users"] {
        std::fs::remove_dir_all(home.join(folder)).unwrap();
        std::os::unix::fs::symlink(&outside, home.join(folder)).unwrap();
    }
    let name = std::ffi::OsStr::from_bytes(b"websocket_\xff.json");
    std::fs::write(home.join("memory/sessions").join(name), "[]").unwrap();
    let ended = import(&place, &home, &[]);
    assert_eq!(super::counts(&ended, "Audit reports"), [0, 0, 1], "{}", ended.stdout);
    assert_eq!(super::counts(&ended, "Memories"), [3, 0, 1], "{}", ended.stdout);
    assert_eq!(super::counts(&ended, "Sessions"), [8, 0, 1], "{}", ended.stdout);
    for words in [
        "Audit reports: it is a link that leads out of the folder\n      audit_reports\n",
        "Memories: it is a link that leads out of the folder\n      memory/users\n",
        "its name is not UTF-8: rename it, and import again\n      memory/sessions/websocket_\u{fffd}.json\n",
    ] {
        assert!(ended.stdout.contains(words), "no {words:?} in {}", ended.stdout);
    }
}
