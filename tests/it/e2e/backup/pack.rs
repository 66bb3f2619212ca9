//! Backups taken apart and put together.

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// The lines of a backup: header, rows, end.
pub fn lines(file: &Path) -> Vec<String> {
    let mut text = String::new();
    GzDecoder::new(File::open(file).unwrap()).read_to_string(&mut text).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The rows of a table.
pub fn rows(lines: &[String], table: &str) -> Vec<Value> {
    let rows = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.filter_map(|mut line| line.get_mut(table).map(Value::take)).collect()
}

/// Everything but the header and the end, without what differs each time: how secrets are sealed.
pub fn content(file: &Path) -> Vec<String> {
    let lines = lines(file);
    let blank = |line: &String| match line.split_once(r#""sealed_secret":""#) {
        Some((before, rest)) => format!("{before}{}", rest.split_once('"').unwrap().1),
        None => line.clone(),
    };
    lines[1..lines.len() - 1].iter().map(blank).collect()
}

/// Writes these lines as they are.
pub fn write(file: &Path, lines: &[String]) {
    let mut encoder = GzEncoder::new(File::create(file).unwrap(), Compression::fast());
    for line in lines {
        writeln!(encoder, "{line}").unwrap();
    }
    encoder.finish().unwrap();
}

/// Writes a header and rows, and the end that belongs to them.
pub fn write_whole(file: &Path, lines: &[String]) {
    let mut counts = BTreeMap::<String, u64>::new();
    let mut digest = Sha256::new();
    for line in lines {
        digest.update(line);
        digest.update("\n");
    }
    for line in &lines[1..] {
        let table = line.split('"').nth(1).unwrap().to_owned();
        *counts.entry(table).or_default() += 1;
    }
    let end = json!({ "end": { "rows": counts, "sha256": hex::encode(digest.finalize()) } });
    write(file, &[lines, &[end.to_string()]].concat());
}

/// The header of a backup of this version.
pub fn header() -> String {
    let schema = ["0001_initial", "0002_auth"];
    json!({ "pawport_backup": 1, "pawport": "0.1.0", "created": "2026-01-01T00:00:00Z", "schema": schema }).to_string()
}

/// A session with that many messages.
pub fn long_session(count: usize) -> Vec<String> {
    let session = json!({ "sessions": {
        "key": 7, "id": "webhook_long", "user_title": null, "first_words": "message 1", "preview": "the last",
        "created": 1_795_000_000_000_i64, "last_activity": 1_795_000_001_000_i64, "message_count": count,
    } });
    let message = |number: usize| {
        let role = if number.is_multiple_of(2) { "assistant" } else { "user" };
        json!({ "messages": {
            "key": number, "session_key": 7, "number": number, "id": format!("id-{number}"), "role": role,
            "sent": 1_795_000_000_000_i64, "metadata": "{}", "content": format!("message {number}"),
        } })
    };
    [header(), session.to_string()].into_iter().chain((1..=count).map(|number| message(number).to_string())).collect()
}
