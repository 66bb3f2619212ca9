//! Short ways to say what the suites store.

use pawport::domain::agent::{DeduplicationKey, Turn, TurnId};
use pawport::domain::audit::{AuditEntry, Severity};
use pawport::domain::auth::Grant;
use pawport::domain::auth::api_key::{ApiKey, ApiKeyId, ApiKeyName};
use pawport::domain::auth::login::{AuthSession, Device, Origin};
use pawport::domain::auth::oauth::{Challenge, DESKTOP_CLIENT, RedirectUri, Ticket, TicketKind};
use pawport::domain::auth::pairing::Pairing;
use pawport::domain::auth::scope::Scopes;
use pawport::domain::auth::token::TokenHash;
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
        turn: Turn {
            id: TurnId::new(next_uuid()),
            session: id(session),
            message: asked(text, millis),
            origin: pawport::domain::agent::Origin::Webhook,
        },
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

/// The hash of the token of what has that id.
pub fn hash(of: &str) -> TokenHash {
    TokenHash::of(of)
}

#[track_caller]
pub fn key_id(text: &str) -> ApiKeyId {
    ApiKeyId::parse(text).unwrap()
}

/// What is got with an API key.
#[track_caller]
pub fn got_with(key: &str) -> Grant {
    Grant { scopes: Scopes::DEFAULT, until: None, api_key: Some(key_id(key)) }
}

/// A login session of the owner that was made at a moment and ends at 1,000. Its epoch is `now`.
pub fn login(id: &str, created: i64) -> AuthSession {
    AuthSession {
        id: id.to_owned(),
        hash: hash(id),
        epoch: "now".to_owned(),
        origin: Origin::Login,
        family: None,
        grant: Grant::OWNER,
        device: Device { label: format!("the browser of {id}"), address: "127.0.0.1".to_owned() },
        created: at(created),
        last_used: at(created),
        expires: at(1_000),
    }
}

/// A pairing code of the owner that ends at 1,000.
pub fn pairing(code: &str) -> Pairing {
    Pairing { hash: hash(code), epoch: "now".to_owned(), grant: Grant::OWNER, expires: at(1_000) }
}

/// An unspent refresh token of the owner's app that ends at 1,000. Its epoch is `now`.
pub fn refresh(of: &str, family: &str) -> Ticket {
    Ticket {
        hash: hash(of),
        kind: TicketKind::Refresh,
        family: family.to_owned(),
        client: DESKTOP_CLIENT.to_owned(),
        epoch: "now".to_owned(),
        grant: Grant::OWNER,
        expires: at(1_000),
        spent: false,
    }
}

/// The same as a code.
#[track_caller]
pub fn code(of: &str, family: &str) -> Ticket {
    let kind = TicketKind::Code {
        redirect_uri: RedirectUri::parse("tauri://oauth-callback").unwrap(),
        challenge: Challenge::parse(&"A".repeat(43)).unwrap(),
    };
    Ticket { kind, ..refresh(of, family) }
}

/// An API key that was made at a moment, never used, and has no end.
#[track_caller]
pub fn api_key(id: &str, created: i64) -> ApiKey {
    ApiKey {
        id: key_id(id),
        hash: hash(id),
        prefix: "pp_123456789".to_owned(),
        name: ApiKeyName::parse("a key").unwrap(),
        scopes: Scopes::DEFAULT,
        created: at(created),
        last_used: None,
        expires: None,
        revoked: None,
    }
}

/// The login sessions that there are at 0, newest first.
pub async fn logins(stores: &Stores) -> Vec<AuthSession> {
    stores.auth_sessions.list("now", at(0), everything()).await.unwrap()
}

/// Their ids.
pub async fn login_ids(stores: &Stores) -> Vec<String> {
    logins(stores).await.into_iter().map(|session| session.id).collect()
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
