//! What single operations cost, on 100,000 sessions with 1,000,000 messages: `cargo bench --bench core`, or with a word
//! those benchmarks whose name has it. `benches/README.md` says what each number means.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run should stop")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "shares and hashes need not be exact"
)]

mod support {
    pub mod dataset;
    pub mod text;
}

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use futures_util::future::join_all;
use hmac::{Hmac, KeyInit, Mac};
use pawport::adapters::agents::builtin::BuiltinAgent;
use pawport::adapters::events::BroadcastEvents;
use pawport::adapters::fake::{FakeMcp, FakeTunnels, FixedAgent, FixedVault, SeededEntropy, WordEmbedders};
use pawport::adapters::host::{SystemClock, SystemTimer};
use pawport::adapters::in_memory::InMemoryStorage;
use pawport::adapters::sql::{SqlStorage, StorageUrl};
use pawport::app::{App, Parts, Settings};
use pawport::domain::agent::service::AgentLimits;
use pawport::domain::agent::{Turn, TurnId};
use pawport::domain::audit::{AuditEntry, Severity};
use pawport::domain::auth::login::SessionTtl;
use pawport::domain::auth::rate::{RateLimit, RateLimits};
use pawport::domain::auth::service::MasterToken;
use pawport::domain::auth::token::AccessToken;
use pawport::domain::mcp::connect::Budgets;
use pawport::domain::session::{MessageText, Metadata, NewMessage, Role, SearchQuery, SessionId};
use pawport::domain::text::PageLimit;
use pawport::domain::time::Timestamp;
use pawport::domain::webhook::signature::{ProofHeaders, verify};
use pawport::domain::webhook::{Scheme, WebhookSecret};
use pawport::http::client::Policy;
use pawport::ports::sessions::SessionStore;
use pawport::ports::store::Stores;
use pawport::ports::turns::{Enqueue, Enqueued, TurnQueue};
use secrecy::SecretString;
use sha2::Sha256;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use support::dataset::{self, DATABASE, Size};
use support::text;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use uuid::Uuid;

fn main() {
    divan::main();
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

fn open(database: PathBuf) -> Arc<SqlStorage> {
    RUNTIME.block_on(SqlStorage::open(StorageUrl::Sqlite(database), Arc::new(FixedVault::new()))).unwrap()
}

/// The full data, for benchmarks that only read.
static READ_ONLY: LazyLock<Arc<SqlStorage>> = LazyLock::new(|| open(dataset::seeded(Size::FULL)));

/// A copy of the data for one benchmark that writes.
struct Scratch {
    storage: Arc<SqlStorage>,
    _folder: TempDir,
}

impl Scratch {
    fn of_full_size() -> Self {
        let folder = dataset::copy(Size::FULL);
        Self { storage: open(folder.path().join(DATABASE)), _folder: folder }
    }

    fn empty() -> Self {
        let folder = TempDir::new_in(dataset::folder()).unwrap();
        Self { storage: open(folder.path().join(DATABASE)), _folder: folder }
    }
}

fn next_uuid() -> Uuid {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    Uuid::from_u64_pair(next, next.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// A page of 50 of 100,000 sessions from the storage.
#[divan::bench(args = [0, 50_000])]
fn list_50_sessions(bencher: Bencher, offset: u64) {
    let storage = &**READ_ONLY;
    bencher.bench(|| {
        let page = RUNTIME.block_on(storage.recent(PageLimit::clamped(50), offset)).unwrap();
        assert_eq!(page.sessions.len(), 50);
        page
    });
}

/// The first 20 sessions of 100,000 in whose 1,000,000 messages a text is, from the storage.
#[divan::bench(args = [
    text::COMMON, text::SELDOM, text::RARE, text::RARE_TRIGRAMS, text::ONLY_OLD, text::NOWHERE, "to", text::TWO_NOWHERE,
])]
fn search(bencher: Bencher, needle: &str) {
    let storage = &**READ_ONLY;
    let query = SearchQuery::parse(needle).unwrap();
    let nowhere = [text::NOWHERE, text::TWO_NOWHERE].contains(&needle);
    bencher.bench(|| {
        let hits = RUNTIME.block_on(storage.search(&query, PageLimit::clamped(20))).unwrap();
        assert_eq!(hits.len(), if nowhere { 0 } else { 20 });
        hits
    });
}

fn message(text: &str) -> NewMessage {
    NewMessage {
        id: next_uuid().to_string(),
        role: Role::User,
        text: MessageText::parse(text).unwrap(),
        at: Timestamp(1_800_000_000_000),
        metadata: Metadata::empty(),
    }
}

const TEXT: &str = "The deployment of the billing service failed twice this morning: the health check timed out after \
    30 seconds, and the second attempt was stopped by hand. Please find out what changed since yesterday.";

/// Messages added to sessions of their own, all at once, until all are on disk.
#[divan::bench(args = [1, 128])]
fn append_messages(bencher: Bencher, at_once: u64) {
    let scratch = Scratch::of_full_size();
    let sessions: Vec<SessionId> =
        (0..at_once).map(|number| SessionId::parse(&format!("bench_{number}")).unwrap()).collect();
    bencher.counter(ItemsCount::new(at_once)).bench(|| {
        RUNTIME.block_on(join_all(
            sessions.iter().map(|session| async { scratch.storage.append(session, message(TEXT)).await.unwrap() }),
        ))
    });
}

fn delivery() -> Enqueue {
    let id = TurnId::new(next_uuid());
    let mut context = serde_json::Map::new();
    context.insert("credential".to_owned(), serde_json::json!({ "kind": "webhook_secret", "id": "bench" }));
    context.insert("request_id".to_owned(), id.as_str().into());
    Enqueue {
        turn: Turn {
            session: SessionId::parse(&format!("webhook_{id}")).unwrap(),
            message: message(TEXT),
            id,
            origin: pawport::domain::agent::Origin::Webhook,
        },
        key: None,
        capacity: 10_000,
        entry: AuditEntry {
            id: next_uuid().to_string(),
            at: Timestamp(1_800_000_000_000),
            severity: Severity::Info,
            actor: "webhook".to_owned(),
            action: "webhook_accepted".to_owned(),
            target: "bench".to_owned(),
            status: "success".to_owned(),
            context,
        },
    }
}

async fn enqueue(storage: &SqlStorage, deliveries: Vec<Enqueue>) {
    for outcome in join_all(deliveries.into_iter().map(|delivery| storage.enqueue(delivery))).await {
        assert_eq!(outcome.unwrap(), Enqueued::Stored);
    }
}

async fn answer(storage: &SqlStorage, turns: usize) {
    let claimed = storage.claim(turns, Timestamp(1_800_000_000_000), Timestamp(1_900_000_000_000)).await.unwrap();
    assert_eq!(claimed.len(), turns);
    let answers = claimed.iter().map(|claimed| storage.finish(&claimed.turn.id, message("Received.")));
    for ours in join_all(answers).await {
        assert!(ours.unwrap());
    }
}

/// Deliveries put into the queue, all at once, until all are on disk; so many wait for their answer already.
#[divan::bench(args = [(1, 0), (128, 0), (128, 1_000), (128, 9_000)])]
fn enqueue_deliveries(bencher: Bencher, (at_once, backlog): (usize, usize)) {
    let scratch = Scratch::empty();
    RUNTIME.block_on(enqueue(&scratch.storage, (0..backlog).map(|_| delivery()).collect()));
    let first = AtomicU64::new(0);
    bencher
        .counter(ItemsCount::new(at_once))
        .with_inputs(|| {
            // Those of the round before are answered, so that the backlog stays what it was.
            if first.fetch_add(1, Ordering::Relaxed) > 0 {
                RUNTIME.block_on(answer(&scratch.storage, at_once));
            }
            (0..at_once).map(|_| delivery()).collect()
        })
        .bench_local_values(|deliveries: Vec<Enqueue>| RUNTIME.block_on(enqueue(&scratch.storage, deliveries)));
}

/// Turns claimed together, and their answers stored all at once; so many more wait behind them.
#[divan::bench(args = [(37, 0), (37, 9_000)])]
fn claim_and_finish(bencher: Bencher, (at_once, backlog): (usize, usize)) {
    let scratch = Scratch::empty();
    RUNTIME.block_on(enqueue(&scratch.storage, (0..backlog).map(|_| delivery()).collect()));
    bencher
        .counter(ItemsCount::new(at_once))
        .with_inputs(|| RUNTIME.block_on(enqueue(&scratch.storage, (0..at_once).map(|_| delivery()).collect())))
        .bench_local_values(|()| RUNTIME.block_on(answer(&scratch.storage, at_once)));
}

fn hmac_of(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// A hexadecimal signature over a body of so many bytes.
#[divan::bench(args = [1_024, 65_536])]
fn check_hex_signature(bencher: Bencher, bytes: usize) {
    let body = vec![b'x'; bytes];
    let secret = WebhookSecret::generate([7; 32], Scheme::Any);
    let signature = format!("sha256={}", hex::encode(hmac_of(secret.expose().as_bytes(), &[&body])));
    let headers = ProofHeaders { signature: Some(&signature), ..ProofHeaders::default() };
    bencher
        .counter(BytesCount::new(bytes))
        .bench(|| verify(Scheme::Any, &secret, black_box(&headers), black_box(&body), Timestamp(0)).unwrap());
}

/// A Standard Webhooks signature over a body of so many bytes.
#[divan::bench(args = [1_024, 65_536])]
fn check_standard_signature(bencher: Bencher, bytes: usize) {
    let body = vec![b'x'; bytes];
    let secret = WebhookSecret::generate([7; 32], Scheme::Standard);
    let signed = hmac_of(&[7; 32], &[b"msg_1.", b"1000.", &body]);
    let signature = format!("v1,{}", STANDARD.encode(signed));
    let headers = ProofHeaders {
        standard_id: Some("msg_1"),
        standard_timestamp: Some("1000"),
        standard_signature: Some(&signature),
        ..ProofHeaders::default()
    };
    bencher.counter(BytesCount::new(bytes)).bench(|| {
        verify(Scheme::Standard, &secret, black_box(&headers), black_box(&body), Timestamp(1_000_000)).unwrap()
    });
}

const TOKEN: &str = "benchmarks-know-this-token-and-nobody-else-uses-it";

/// Limits that are counted and never reached.
fn no_end_of_requests() -> RateLimits {
    let limit = RateLimit::new(100_000.0, 100_000);
    RateLimits { api: limit, auth: limit, ws: limit, key: limit }
}

fn router(stores: Stores, limits: RateLimits) -> Router {
    let entropy = Arc::new(SeededEntropy::new(1));
    let token = AccessToken::parse(&SecretString::from(TOKEN)).unwrap();
    let mcp = Arc::new(FakeMcp::default());
    let parts = Parts {
        stores,
        clock: Arc::new(SystemClock),
        events: Arc::new(BroadcastEvents::default()),
        agents: Arc::new(FixedAgent::runner(Arc::new(BuiltinAgent))),
        embedders: Arc::new(WordEmbedders::default()),
        timer: Arc::new(SystemTimer),
        master: MasterToken::configured(token),
        entropy,
        mcp_connector: Arc::clone(&mcp) as _,
        mcp_authorizer: mcp,
        tunnels: Arc::new(FakeTunnels::default()),
        tasks: TaskTracker::new(),
    };
    let budgets = Budgets { start: Duration::from_secs(1), handshake: Duration::from_secs(1) };
    let settings = Settings {
        agent: pawport::domain::agent::choice::AgentSettings::builtin(),
        limits: AgentLimits { max_concurrent: 5, queue_capacity: 10_000 },
        public_url: "http://127.0.0.1:8000".to_owned(),
        address: ([127, 0, 0, 1], 8000).into(),
        policy: Policy::default(),
        rate_limits: limits,
        session_ttl: SessionTtl::from_hours(24).unwrap(),
        mcp_budgets: budgets,
        mcp_test_budgets: budgets,
        status_key: None,
    };
    App::build(settings, parts, CancellationToken::new()).router()
}

async fn get(router: &Router, token: &str, path: &str) -> usize {
    let request = Request::get(path).header("host", "localhost").header("authorization", format!("Bearer {token}"));
    let request = request.body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    to_bytes(response.into_body(), usize::MAX).await.unwrap().len()
}

/// What is shown to the gate.
#[derive(Debug)]
enum Shown {
    /// The route is open: what everything but the gate costs.
    Nothing,
    Master,
    Session,
    ApiKey,
}

/// A small answer behind the gate and in front of it. The credentials are in an SQLite database; what differs between the
/// first and the others is what checking them costs, limits included.
#[divan::bench(args = [Shown::Nothing, Shown::Master, Shown::Session, Shown::ApiKey])]
fn a_small_answer(bencher: Bencher, shown: &Shown) {
    let scratch = Scratch::empty();
    let router = router(Stores::of(&scratch.storage), no_end_of_requests());
    let (path, token) = match shown {
        Shown::Nothing => ("/healthz", TOKEN.to_owned()),
        Shown::Master => ("/api/version", TOKEN.to_owned()),
        Shown::Session => ("/api/version", made(&router, "/api/auth/session", "{}", "session_token")),
        Shown::ApiKey => ("/api/version", made(&router, "/api/v1/auth/api-keys", r#"{"name":"bench"}"#, "key")),
    };
    bencher.bench(|| RUNTIME.block_on(get(&router, &token, path)));
}

/// A member of the answer to a POST with the master token.
fn made(router: &Router, path: &str, body: &'static str, member: &str) -> String {
    let request = Request::post(path).header("host", "localhost").header("content-type", "application/json");
    let request = request.header("authorization", format!("Bearer {TOKEN}")).body(Body::from(body)).unwrap();
    let body = RUNTIME.block_on(async {
        let response = router.clone().oneshot(request).await.unwrap();
        to_bytes(response.into_body(), usize::MAX).await.unwrap()
    });
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
    answer[member].as_str().unwrap().to_owned()
}

/// `GET /api/sessions?limit=50` without a socket, from 50 sessions in memory: routing, the gate, and JSON.
#[divan::bench]
fn page_of_50_through_the_router_in_memory(bencher: Bencher) {
    let storage = Arc::new(InMemoryStorage::new());
    for number in 0..50 {
        let session = SessionId::parse(&format!("bench_{number}")).unwrap();
        RUNTIME.block_on(storage.append(&session, message(TEXT))).unwrap();
    }
    let router = router(Stores::of(&storage), no_end_of_requests());
    let bytes = RUNTIME.block_on(get(&router, TOKEN, "/api/sessions?limit=50"));
    bencher.counter(BytesCount::new(bytes)).bench(|| RUNTIME.block_on(get(&router, TOKEN, "/api/sessions?limit=50")));
}

/// The same from the 100,000 sessions in the database.
#[divan::bench]
fn page_of_50_through_the_router_sqlite(bencher: Bencher) {
    let router = router(Stores::of(&READ_ONLY), no_end_of_requests());
    let bytes = RUNTIME.block_on(get(&router, TOKEN, "/api/sessions?limit=50"));
    bencher.counter(BytesCount::new(bytes)).bench(|| RUNTIME.block_on(get(&router, TOKEN, "/api/sessions?limit=50")));
}
