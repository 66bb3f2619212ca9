use super::*;
use crate::adapters::fake::FixedVault;
use crate::adapters::sql::{SqlStorage, StorageUrl};
use crate::domain::audit::{AuditEntry, Severity};
use crate::domain::import::{Item, SessionPart};
use crate::domain::session::{MessageText, Metadata, NewMessage, SessionId};
use crate::domain::time::Timestamp;
use crate::ports::imports::ImportStore;
use crate::ports::sessions::SessionStore;
use std::sync::Arc;

/// More than SQLite takes values in one statement.
const MANY: i64 = 33_000;

#[tokio::test]
async fn a_text_in_more_sessions_than_a_statement_has_values_is_found_before_any_is_indexed() {
    let folder = tempfile::tempdir().unwrap();
    let url = StorageUrl::Sqlite(folder.path().join("test.db"));
    let storage = SqlStorage::open(url, Arc::new(FixedVault::new())).await.unwrap();
    let entry = AuditEntry {
        id: "entry".to_owned(),
        at: Timestamp(0),
        severity: Severity::Info,
        actor: "operator".to_owned(),
        action: "imported".to_owned(),
        target: String::new(),
        status: "success".to_owned(),
        context: serde_json::Map::new(),
    };
    let session = |number: i64| {
        // The newest do not have it, or they would be enough.
        let text = if number < MANY - 1_000 { "a needle" } else { "hay" };
        Item::Session(SessionPart {
            id: SessionId::parse(&format!("websocket_{number}")).unwrap(),
            user_title: None,
            created: Timestamp(number),
            messages: vec![NewMessage {
                id: format!("message {number}"),
                role: Role::User,
                text: MessageText::parse(text).unwrap(),
                at: Timestamp(number),
                metadata: Metadata::empty(),
            }],
        })
    };
    storage.import((0..MANY).map(session).collect(), &entry).await.unwrap();
    let query = SearchQuery::parse("needle").unwrap();
    let hits = storage.search(&query, PageLimit::clamped(20)).await.unwrap();
    let found: Vec<i64> = hits.iter().map(|hit| hit.session.created.0).collect();
    assert_eq!(found, (MANY - 1_020..MANY - 1_000).rev().collect::<Vec<_>>());
}
