//! Random histories: whatever happens in whatever order, a storage answers what the in-memory storage answers.
//!
//! The alphabets are small, so that names collide, moments are equal, texts contain each other and leases end. Both
//! storages are given the very same values, so every answer must be the same to the last member.

mod credentials;
mod mcp_servers;
pub mod memories;

use super::backends::{Backend, Memory, Persistent};
use super::fixtures::{at, everything, id, limit};
use pawport::domain::agent::{DeduplicationKey, Turn, TurnId};
use pawport::domain::audit::{AuditEntry, Severity};
use pawport::domain::session::{MessageText, Metadata, NewMessage, Role, SearchQuery, SessionTitle};
use pawport::domain::webhook::{Scheme, SessionMode, SyncTimeout, Webhook, WebhookName, WebhookSecret};
use pawport::ports::store::{StoreError, Stores};
use pawport::ports::turns::Enqueue;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use secrecy::SecretString;
use std::fmt::Debug;

const SESSIONS: [&str; 4] = ["a", "A", "a_b", "a%b"];
const SLOTS: [&str; 3] = ["hook", "Hook", "_"];
const PIECES: [&str; 20] =
    ["a", "b", "Ab", "B ", " ", "ß", "ẞ", "ς", "Σ", "日", "本", "日本語", "🐾", "%", "_", "\"", "'", "\\", "-", "*"];

/// One call of a port. Numbers of turns count the calls of `enqueue`, whatever became of them.
#[derive(Debug, Clone)]
enum Operation {
    Create { session: &'static str, now: i64 },
    Append { session: &'static str, role: Role, text: String, sent: i64 },
    SetTitle { session: &'static str, title: &'static str },
    RemoveSession { session: &'static str },
    Find { session: &'static str },
    Recent { size: i64, offset: u64 },
    History { session: &'static str, size: i64 },
    Messages { session: &'static str, after: u64, size: i64 },
    Search { query: SearchQuery, size: i64 },
    Settle,
    InsertSlot { slot: &'static str, created: i64 },
    FindSlot { slot: &'static str },
    ListSlots,
    SetSecret { slot: &'static str },
    RemoveSlot { slot: &'static str },
    Enqueue { session: &'static str, text: String, sent: i64, key: Option<u8>, capacity: u64 },
    Claim { limit: usize, now: i64, lease: i64 },
    Extend { turns: Vec<usize>, lease_until: i64 },
    Finish { turn: usize, text: String, sent: i64 },
    State { turn: usize },
    ReleaseAll,
    Forget { before: i64 },
    Record { moment: i64 },
    RecentEntries { size: i64 },
    Credentials(credentials::Operation),
    McpServers(mcp_servers::Operation),
    Memories(memories::Operation),
}

fn moment() -> impl Strategy<Value = i64> {
    0..8_i64
}

fn size() -> impl Strategy<Value = i64> {
    prop_oneof![1..4_i64, Just(1_000)]
}

fn session() -> impl Strategy<Value = &'static str> {
    select(&SESSIONS[..])
}

fn slot() -> impl Strategy<Value = &'static str> {
    select(&SLOTS[..])
}

fn text() -> impl Strategy<Value = String> {
    vec(select(&PIECES[..]), 0..8).prop_map(|pieces| pieces.concat())
}

fn query() -> impl Strategy<Value = SearchQuery> {
    vec(select(&PIECES[..]), 1..5).prop_filter_map("a blank query", |pieces| SearchQuery::parse(&pieces.concat()).ok())
}

fn role() -> impl Strategy<Value = Role> {
    select(&[Role::User, Role::Assistant, Role::System][..])
}

fn about_sessions() -> impl Strategy<Value = Operation> {
    use Operation::*;
    prop_oneof![
        2 => (session(), moment()).prop_map(|(session, now)| Create { session, now }),
        8 => (session(), role(), text(), moment())
            .prop_map(|(session, role, text, sent)| Append { session, role, text, sent }),
        1 => (session(), select(&["Mine", "%", "🐾"][..])).prop_map(|(session, title)| SetTitle { session, title }),
        2 => session().prop_map(|session| RemoveSession { session }),
        1 => session().prop_map(|session| Find { session }),
        2 => (size(), 0..4_u64).prop_map(|(size, offset)| Recent { size, offset }),
        1 => (session(), size()).prop_map(|(session, size)| History { session, size }),
        1 => (session(), 0..5_u64, size()).prop_map(|(session, after, size)| Messages { session, after, size }),
        6 => (query(), size()).prop_map(|(query, size)| Search { query, size }),
        2 => Just(Settle),
    ]
}

fn about_slots() -> impl Strategy<Value = Operation> {
    use Operation::*;
    prop_oneof![
        3 => (slot(), moment()).prop_map(|(slot, created)| InsertSlot { slot, created }),
        1 => slot().prop_map(|slot| FindSlot { slot }),
        1 => Just(ListSlots),
        1 => slot().prop_map(|slot| SetSecret { slot }),
        1 => slot().prop_map(|slot| RemoveSlot { slot }),
    ]
}

fn about_turns() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let turn = || 0..10_usize;
    prop_oneof![
        6 => (session(), text(), moment(), proptest::option::of(0..3_u8), 0..6_u64)
            .prop_map(|(session, text, sent, key, capacity)| Enqueue { session, text, sent, key, capacity }),
        5 => (0..4_usize, moment(), 0..4_i64).prop_map(|(limit, now, lease)| Claim { limit, now, lease }),
        1 => (vec(turn(), 0..4), moment()).prop_map(|(turns, lease_until)| Extend { turns, lease_until }),
        5 => (turn(), text(), moment()).prop_map(|(turn, text, sent)| Finish { turn, text, sent }),
        2 => turn().prop_map(|turn| State { turn }),
        1 => Just(ReleaseAll),
        1 => moment().prop_map(|before| Forget { before }),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        5 => about_sessions(),
        2 => about_slots(),
        4 => about_turns(),
        5 => credentials::operation().prop_map(Operation::Credentials),
        3 => mcp_servers::operation().prop_map(Operation::McpServers),
        5 => memories::operation().prop_map(Operation::Memories),
        1 => prop_oneof![
            moment().prop_map(|moment| Operation::Record { moment }),
            size().prop_map(|size| Operation::RecentEntries { size }),
        ],
    ]
}

/// What the values of one step are made of, so that both storages get the same.
#[derive(Clone, Copy)]
struct Step {
    number: usize,
    /// How many turns were offered to the queue before.
    turns_offered: usize,
}

impl Step {
    fn message(self, role: Role, text: &str, sent: i64) -> NewMessage {
        let metadata = serde_json::json!({ "step": self.number });
        NewMessage {
            id: format!("message {}", self.number),
            role,
            text: MessageText::parse(text).unwrap(),
            at: at(sent),
            metadata: metadata.as_object().map_or_else(Metadata::empty, Metadata::of),
        }
    }

    fn entry(self, action: &str, moment: i64) -> AuditEntry {
        AuditEntry {
            id: format!("entry {}", self.number),
            at: at(moment),
            severity: Severity::Warning,
            actor: "dashboard_user".to_owned(),
            action: action.to_owned(),
            target: "something".to_owned(),
            status: "success".to_owned(),
            context: serde_json::Map::from_iter([("step".to_owned(), self.number.into())]),
        }
    }

    fn secret(self) -> WebhookSecret {
        WebhookSecret::from_stored(SecretString::from(format!("secret {}", self.number)))
    }
}

fn turn_id(number: usize) -> TurnId {
    TurnId::from_stored(format!("turn {number}"))
}

fn slot_name(slot: &str) -> WebhookName {
    WebhookName::parse(slot).unwrap()
}

/// An answer in a form that can be compared and read.
fn shown<T: Debug>(answer: &Result<T, StoreError>) -> String {
    format!("{answer:?}")
}

/// A slot does not show its secret, which here is none.
fn open(webhook: Webhook) -> (Webhook, String) {
    let secret = webhook.secret.expose().to_owned();
    (webhook, secret)
}

async fn perform(backend: &impl Backend, operation: &Operation, step: Step) -> String {
    let Stores { sessions, webhooks, turns, audit, .. } = backend.stores();
    match operation {
        Operation::Create { session, now } => {
            shown(&sessions.create(&id(session), at(*now), &step.entry("create", *now)).await)
        }
        Operation::Append { session, role, text, sent } => {
            shown(&sessions.append(&id(session), step.message(*role, text, *sent)).await)
        }
        Operation::SetTitle { session, title } => {
            let title = SessionTitle::parse(title).unwrap();
            shown(&sessions.set_title(&id(session), &title, &step.entry("set_title", 0)).await)
        }
        Operation::RemoveSession { session } => {
            shown(&sessions.remove(&id(session), &step.entry("remove_session", 0)).await)
        }
        Operation::Find { session } => shown(&sessions.find(&id(session)).await),
        Operation::Recent { size, offset } => shown(&sessions.recent(limit(*size), *offset).await),
        Operation::History { session, size } => shown(&sessions.history(&id(session), limit(*size)).await),
        Operation::Messages { session, after, size } => {
            shown(&sessions.messages(&id(session), *after, limit(*size)).await)
        }
        Operation::Search { query, size } => shown(&sessions.search(query, limit(*size)).await),
        Operation::Settle => {
            backend.settle().await;
            String::new()
        }
        Operation::InsertSlot { slot, created } => {
            let webhook = Webhook {
                name: slot_name(slot),
                description: format!("step {}", step.number),
                secret: step.secret(),
                scheme: Scheme::ALL[step.number % Scheme::ALL.len()],
                session: SessionMode::ALL[step.number % SessionMode::ALL.len()],
                sync_timeout: SyncTimeout::default(),
                created: at(*created),
            };
            shown(&webhooks.insert(&webhook, &step.entry("insert_slot", *created)).await)
        }
        Operation::FindSlot { slot } => shown(&webhooks.find(&slot_name(slot)).await.map(|found| found.map(open))),
        Operation::ListSlots => {
            shown(&webhooks.list().await.map(|list| list.into_iter().map(open).collect::<Vec<_>>()))
        }
        Operation::SetSecret { slot } => {
            shown(&webhooks.set_secret(&slot_name(slot), &step.secret(), &step.entry("set_secret", 0)).await)
        }
        Operation::RemoveSlot { slot } => {
            shown(&webhooks.remove(&slot_name(slot), &step.entry("remove_slot", 0)).await)
        }
        Operation::Enqueue { session, text, sent, key, capacity } => {
            let message = step.message(Role::User, text, *sent);
            let enqueue = Enqueue {
                turn: Turn {
                    id: turn_id(step.turns_offered),
                    session: id(session),
                    message,
                    origin: pawport::domain::agent::Origin::Webhook,
                },
                key: key.map(|key| DeduplicationKey::new("model", &key.to_string()).unwrap()),
                capacity: *capacity,
                entry: step.entry("enqueue", *sent),
            };
            shown(&turns.enqueue(enqueue).await)
        }
        Operation::Claim { limit, now, lease } => shown(&turns.claim(*limit, at(*now), at(now + lease)).await),
        Operation::Extend { turns: numbers, lease_until } => {
            let ids: Vec<TurnId> = numbers.iter().copied().map(turn_id).collect();
            shown(&turns.extend(&ids, at(*lease_until)).await)
        }
        Operation::Finish { turn, text, sent } => {
            shown(&turns.finish(&turn_id(*turn), step.message(Role::Assistant, text, *sent)).await)
        }
        Operation::State { turn } => shown(&turns.state(&turn_id(*turn)).await),
        Operation::ReleaseAll => shown(&turns.release_all().await),
        Operation::Forget { before } => shown(&turns.forget(at(*before)).await),
        Operation::Record { moment } => shown(&audit.record(&step.entry("record", *moment)).await),
        Operation::RecentEntries { size } => shown(&audit.recent(limit(*size)).await),
        Operation::Credentials(operation) => credentials::perform(backend.stores(), operation, step).await,
        Operation::McpServers(operation) => mcp_servers::perform(backend.stores(), operation, step).await,
        Operation::Memories(operation) => memories::perform(backend.stores(), operation, step).await,
    }
}

/// All that can be asked of a storage, with the given searches.
async fn everything_in(stores: &Stores, queries: &[SearchQuery], turns_offered: usize) -> Vec<String> {
    let mut answers = vec![
        shown(&stores.sessions.recent(everything(), 0).await),
        shown(&stores.webhooks.list().await.map(|list| list.into_iter().map(open).collect::<Vec<_>>())),
        shown(&stores.audit.recent(everything()).await),
    ];
    answers.extend(credentials::everything_in(stores).await);
    answers.extend(mcp_servers::everything_in(stores).await);
    answers.extend(memories::everything_in(stores).await);
    for session in SESSIONS {
        answers.push(shown(&stores.sessions.history(&id(session), everything()).await));
    }
    for number in 0..turns_offered {
        answers.push(shown(&stores.turns.state(&turn_id(number)).await));
    }
    for query in queries {
        answers.push(format!("{query:?}: {}", shown(&stores.sessions.search(query, everything()).await)));
    }
    answers
}

async fn compare<B: Persistent>(operations: &[Operation]) -> Result<(), TestCaseError> {
    let (backend, memory) = (B::fresh().await, Memory::fresh().await);
    let mut turns_offered = 0;
    let mut queries = Vec::new();
    for (number, operation) in operations.iter().enumerate() {
        let step = Step { number, turns_offered };
        let answer = perform(&backend, operation, step).await;
        let expected = perform(&memory, operation, step).await;
        prop_assert_eq!(answer, expected, "step {}, {:?}", number, operation);
        match operation {
            Operation::Enqueue { .. } => turns_offered += 1,
            Operation::Search { query, .. } => queries.push(query.clone()),
            _ => {}
        }
    }
    let expected = everything_in(memory.stores(), &queries, turns_offered).await;
    let answers = everything_in(backend.stores(), &queries, turns_offered).await;
    prop_assert_eq!(&answers, &expected, "in the end");
    backend.settle().await;
    let answers = everything_in(backend.stores(), &queries, turns_offered).await;
    prop_assert_eq!(&answers, &expected, "in the end, settled");
    let backend = backend.reopen().await;
    let answers = everything_in(backend.stores(), &queries, turns_offered).await;
    prop_assert_eq!(&answers, &expected, "after reopening");
    Ok(())
}

pub fn every_answer_is_that_of_the_in_memory_storage<B: Persistent>() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    proptest!(ProptestConfig::with_cases(64), |(operations in vec(operation(), 1..=60))| {
        runtime.block_on(compare::<B>(&operations))?;
    });
}
