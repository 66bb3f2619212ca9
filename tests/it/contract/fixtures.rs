//! Short ways to say what the suites store.

use pawport::domain::agent::{DeduplicationKey, Turn, TurnId};
use pawport::domain::audit::{AuditEntry, Severity};
use pawport::domain::session::{MessageText, Metadata, NewMessage, Role, SessionId};
use pawport::domain::text::PageLimit;
use pawport::domain::time::Timestamp;
use pawport::ports::store::Stores;
use pawport::ports::turns::Enqueue;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::JoinSet;
use uuid::Uuid;

/// Ids need only be unique, so one count for all tests will do.
fn next_uuid() -> Uuid {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Uuid::from_u128(NEXT.fetch_add(1, Ordering::Relaxed).into())
}

#[track_caller]
pub fn id(text: &str) -> SessionId {
    SessionId::parse(text).unwrap()
}

pub fn at(millis: i64) -> Timestamp {
    Timestamp(millis)
}

pub fn limit(number: i64) -> PageLimit {
    PageLimit::clamped(number)
}

pub fn everything() -> PageLimit {
    PageLimit::clamped(i64::MAX)
}

/// What the user says at a moment.
#[track_caller]
pub fn asked(text: &str, millis: i64) -> NewMessage {
    NewMessage {
        id: next_uuid().to_string(),
        role: Role::User,
        text: MessageText::parse(text).unwrap(),
        at: at(millis),
        metadata: Metadata::empty(),
    }
}

/// What the agent says at a moment.
#[track_caller]
pub fn answered(text: &str, millis: i64) -> NewMessage {
    NewMessage { role: Role::Assistant, ..asked(text, millis) }
}

/// An entry that is told apart by its action.
pub fn entry(action: &str) -> AuditEntry {
    AuditEntry {
        id: next_uuid().to_string(),
        at: at(7),
        severity: Severity::Info,
        actor: "dashboard_user".to_owned(),
        action: action.to_owned(),
        target: "something".to_owned(),
        status: "success".to_owned(),
        context: serde_json::Map::new(),
    }
}

/// A turn without a key for a queue that has room, accepted at a moment.
#[track_caller]
pub fn turn(session: &str, text: &str, millis: i64) -> Enqueue {
    Enqueue {
        turn: Turn { id: TurnId::new(next_uuid()), session: id(session), message: asked(text, millis) },
        key: None,
        capacity: 1_000,
        entry: entry("accepted"),
    }
}

/// The same turn with a key.
#[track_caller]
pub fn keyed(enqueue: Enqueue, key: &str) -> Enqueue {
    Enqueue { key: Some(DeduplicationKey::new("test", key).unwrap()), ..enqueue }
}

/// The actions in the audit log, oldest first.
pub async fn logged(stores: &Stores) -> Vec<String> {
    let entries = stores.audit.recent(everything()).await.unwrap();
    entries.into_iter().rev().map(|entry| entry.action).collect()
}

/// The texts of a session, oldest first.
pub async fn texts(stores: &Stores, session: &str) -> Vec<String> {
    let messages = stores.sessions.history(&id(session), everything()).await.unwrap();
    messages.into_iter().map(|message| message.content.text.as_str().to_owned()).collect()
}

/// The ids of all sessions, newest activity first.
pub async fn listed(stores: &Stores) -> Vec<String> {
    let page = stores.sessions.recent(everything(), 0).await.unwrap();
    page.sessions.into_iter().map(|session| session.id.to_string()).collect()
}

/// Runs `count` tasks at the same time, each with its number, and gives what they gave, in the order of their numbers.
pub async fn at_once<T, F>(count: usize, task: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let work = task(number);
        tasks.spawn(async move { (number, work.await) });
    }
    let mut results = tasks.join_all().await;
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}
