//! Files that are not what they should be: refused, before anything is changed.

use super::Home;
use super::pack::{header, lines, long_session, write, write_whole};
use crate::e2e::client::plain_slot;
use crate::e2e::refusals::refused;
use serde_json::json;
use std::path::{Path, PathBuf};

/// How many places of the file are tried.
const TRIES: usize = 60;

/// In the gzip header: when the file was made, and on what. Nobody looks at these.
const OF_NO_MEANING: std::ops::Range<usize> = 4..10;

/// A server with a little of everything, stopped, and a backup of it.
async fn with_backup() -> (Home, PathBuf) {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let client = server.client(&home.place);
    let slot = client.add_slot(&plain_slot("damage")).await;
    for content in ["/ping", "one", "two"] {
        assert_eq!(client.deliver(&slot, "?wait=true", &json!({ "content": content })).await.status, 200);
    }
    server.stop();
    let file = home.backup("good.backup");
    (home, file)
}

/// A home with the keys of the other and nothing else.
fn empty_home(other: &Home) -> Home {
    let home = Home::sqlite();
    home.take_keys_of(other);
    home
}

fn database_of(home: &Home) -> PathBuf {
    home.place.data_dir().join("pawport.db")
}

#[track_caller]
fn assert_refused(home: &Home, file: &Path, parts: &[&str]) {
    refused(home.restore(file, &["--replace"]), parts);
    assert!(!database_of(home).exists(), "a database was made");
}

#[tokio::test]
async fn a_changed_byte_anywhere() {
    let (from, file) = with_backup().await;
    let to = empty_home(&from);
    let bytes = std::fs::read(&file).unwrap();
    let damaged = from.place.path("damaged.backup");
    for at in (0..bytes.len()).step_by((bytes.len() / TRIES).max(1)).filter(|at| !OF_NO_MEANING.contains(at)) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0xff;
        std::fs::write(&damaged, &bytes).unwrap();
        assert_refused(&to, &damaged, &["damaged.backup"]);
    }
    to.restored(&file, &[]);
}

#[tokio::test]
async fn an_end_that_is_missing() {
    let (from, file) = with_backup().await;
    let to = empty_home(&from);
    let bytes = std::fs::read(&file).unwrap();
    let cut = from.place.path("cut.backup");
    let near_the_end = (1..12).map(|missing| bytes.len() - missing);
    for length in (0..bytes.len()).step_by((bytes.len() / TRIES).max(1)).chain(near_the_end) {
        std::fs::write(&cut, &bytes[..length]).unwrap();
        assert_refused(&to, &cut, &["cut.backup"]);
    }
}

#[tokio::test]
async fn lines_that_are_missing_or_changed() {
    let (from, good) = with_backup().await;
    let to = empty_home(&from);
    let good = lines(&good);
    let file = from.place.path("lines.backup");
    let end = good.len() - 1;
    for (what, change) in [
        ("rows are missing", &(|lines: &mut Vec<String>| drop(lines.remove(2))) as &dyn Fn(&mut Vec<String>)),
        ("checksum", &|lines| lines.swap(1, 2)),
        ("checksum", &|lines| lines[0] = lines[0].replace("0.1.0", "0.1.1")),
        ("cut off", &|lines| drop(lines.remove(end))),
        ("behind its end", &|lines| lines.push(lines[1].clone())),
        ("damaged", &|lines| lines[1] = "{}".to_owned()),
        ("damaged", &|lines| lines[1].push_str("{}")),
        ("damaged", &|lines| lines[end] = r#"{"end":{}}"#.to_owned()),
        ("damaged", &|lines| lines.insert(2, String::new())),
    ] {
        let mut lines = good.clone();
        change(&mut lines);
        write(&file, &lines);
        assert_refused(&to, &file, &["lines.backup", what]);
    }
    // Two files one after the other.
    let bytes = std::fs::read(from.place.path("good.backup")).unwrap();
    std::fs::write(&file, [&bytes[..], &bytes].concat()).unwrap();
    assert_refused(&to, &file, &["behind its end"]);
}

#[test]
fn rows_that_this_program_does_not_know() {
    let to = Home::sqlite();
    std::fs::create_dir(to.place.data_dir()).unwrap();
    let file = to.place.path("rows.backup");
    let session = &long_session(0)[1];
    for (line, parts) in [
        (r#"{"dreams":{"key":1}}"#.to_owned(), ["line 2", "dreams", "no such table"]),
        (session.replace("preview", "preface"), ["line 2", "sessions", "preface"]),
        (session.replace(r#""key":7"#, r#""key":"seven""#), ["line 2", "sessions", "seven"]),
        (r#"{"api_keys":{"hash":"xyz"}}"#.to_owned(), ["line 2", "api_keys", "cannot be read"]),
    ] {
        write_whole(&file, &[header(), line]);
        assert_refused(&to, &file, &parts);
    }
    // The same message twice is seen by the database only: then nothing of it is stored.
    let mut twice = long_session(3);
    twice.push(twice[4].clone());
    write_whole(&file, &twice);
    refused(to.restore(&file, &[]), &["nothing was restored"]);
    write_whole(&file, &long_session(3));
    to.restored(&file, &[]);
}

#[test]
fn what_a_newer_program_wrote() {
    let to = Home::sqlite();
    let file = to.place.path("newer.backup");
    write_whole(&file, &[header().replace(r#""pawport_backup":1"#, r#""pawport_backup":2"#)]);
    refused(to.restore(&file, &[]), &["version 2", "version 1", "newer pawport"]);
    assert!(!to.place.data_dir().exists(), "a data directory was made");
    let newer = header().replace("0002_auth", "9999_future").replace("0.1.0", "9.9.9");
    write_whole(&file, &[newer]);
    refused(to.restore(&file, &[]), &["pawport 9.9.9", "9999_future"]);
    assert!(!database_of(&to).exists());
}

#[test]
fn what_is_no_backup() {
    let to = Home::sqlite();
    let file = to.place.path("foreign");
    std::fs::write(&file, "Dear diary,\n").unwrap();
    refused(to.restore(&file, &[]), &["foreign is no backup of pawport"]);
    std::fs::write(&file, "").unwrap();
    refused(to.restore(&file, &[]), &["foreign is no backup of pawport"]);
    for line in ["Dear diary,", "{}", "[]", r#"{"pawport_backup":"one"}"#, r#"{"pawport_backup":1}"#] {
        write(&file, &[line.to_owned()]);
        refused(to.restore(&file, &[]), &["foreign is no backup of pawport"]);
    }
    refused(to.restore(&to.place.path("nowhere"), &[]), &["nowhere", "No such file"]);
    refused(to.restore(&to.place.path(""), &[]), &["is no file"]);
    assert!(!to.place.data_dir().exists(), "a data directory was made");
}
