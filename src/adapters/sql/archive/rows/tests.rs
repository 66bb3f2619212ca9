use super::*;
use crate::adapters::sql::{SqlArchive, StorageUrl};
use serde_json::{Value, json};

/// How many rows there are, how long the one text is, and how many of those are a page.
const ROWS: usize = 20;
const LENGTH: usize = 300 * 1024;
const FIT: usize = 3;

/// Stores rows that are long in this column, and reads them page by page.
#[track_caller]
fn assert_short_pages<R: Row>(row: &Value, column: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = SqlArchive::to_fill(StorageUrl::Sqlite(folder.path().join("test.db")));
    let connection = archive.connection().unwrap();
    let numbered = |number: usize| {
        let mut row = row.clone();
        row[column] = "a".repeat(LENGTH).into();
        if row.get("name").is_some() {
            row["name"] = format!("{number:02}").into();
        } else {
            row["key"] = number.into();
            row["id"] = number.to_string().into();
        }
        if row.get("number").is_some() {
            row["number"] = number.into();
        }
        serde_json::from_value::<R>(row).unwrap()
    };
    let rows: Vec<R> = (1..=ROWS).map(numbered).collect();
    R::insert(connection, &rows).unwrap();

    let (mut sizes, mut last) = (Vec::new(), None);
    loop {
        let mut page = R::page(connection, last.as_ref()).unwrap();
        let size = page.len();
        last = page.pop();
        if last.is_none() {
            break;
        }
        sizes.push(size);
    }
    assert!(sizes.iter().all(|size| *size <= FIT), "{} by {column}: {sizes:?}", R::TABLE);
    assert_eq!(sizes.iter().sum::<usize>(), ROWS, "{} by {column}: {sizes:?}", R::TABLE);
}

#[test]
fn no_page_is_long_whatever_column_is() {
    let message = json!({
        "session_key": 1, "number": 0, "role": "user", "sent": 1, "metadata": "{}", "content": "",
    });
    let turn = json!({
        "session_id": "webhook_a", "state": 1, "attempts": 1, "lease_until": 1, "session_key": 1,
        "deduplication_key": null, "accepted": 1, "message_id": "m", "content": "", "metadata": "{}", "answer": "",
    });
    let entry = json!({
        "happened": 1, "severity": "info", "actor": "a", "action": "b", "target": "c", "status": "d", "context": "{}",
    });
    let kept = json!({ "kind": "a", "body": "", "sealed_secret": null });
    assert_short_pages::<Message>(&message, "content");
    assert_short_pages::<Message>(&message, "metadata");
    assert_short_pages::<Turn>(&turn, "content");
    assert_short_pages::<Turn>(&turn, "metadata");
    assert_short_pages::<Turn>(&turn, "answer");
    assert_short_pages::<AuditEntry>(&entry, "target");
    assert_short_pages::<AuditEntry>(&entry, "context");
    assert_short_pages::<Kept>(&kept, "body");
    let server = json!({ "name": "", "enabled": true, "created": 1, "body": "", "sealed_secret": "" });
    assert_short_pages::<McpServer>(&server, "body");
}

/// Two digits are a byte of the secret.
#[test]
fn no_page_is_long_whatever_secret_is() {
    let kept = json!({ "kind": "a", "body": "b".repeat(LENGTH / 2) });
    assert_short_pages::<Kept>(&kept, "sealed_secret");
    let server = json!({ "name": "", "enabled": true, "created": 1, "body": "b".repeat(LENGTH / 2) });
    assert_short_pages::<McpServer>(&server, "sealed_secret");
}

#[test]
fn short_rows_are_read_many_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = SqlArchive::to_fill(StorageUrl::Sqlite(folder.path().join("test.db")));
    let connection = archive.connection().unwrap();
    let kept = |key: i64| Kept { key, kind: "a".into(), id: key.to_string(), body: "b".into(), sealed_secret: None };
    let rows: Vec<Kept> = (1..=100).map(kept).collect();
    Kept::insert(connection, &rows).unwrap();
    assert_eq!(Kept::page(connection, None).unwrap().len(), 100);
}
