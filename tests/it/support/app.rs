//! The app under test, put together as the program does it, from parts that a test controls.

use super::failing::{FailingCredentials, FailingStores, Failure};
use super::soon;
use super::user::User;
use axum::Router;
use futures_util::FutureExt;
use pawport::adapters::agents::builtin::BuiltinAgent;
use pawport::adapters::events::BroadcastEvents;
use pawport::adapters::fake::{FakeMcp, FakeTunnels, FixedAgent, ManualClock, SeededEntropy, WordEmbedders};
use pawport::adapters::host::SystemTimer;
use pawport::adapters::in_memory::InMemoryStorage;
use pawport::app::{App, Parts, RunError, Settings, Shutdown};
use pawport::domain::agent::choice::AgentSettings;
use pawport::domain::agent::service::{Agent, AgentLimits};
use pawport::domain::auth::login::SessionTtl;
use pawport::domain::auth::rate::RateLimits;
use pawport::domain::auth::service::MasterToken;
use pawport::domain::auth::token::AccessToken;
use pawport::domain::event::Event;
use pawport::domain::mcp::connect::Budgets;
use pawport::domain::session::{MessageText, Metadata, NewMessage, Role, SessionId};
use pawport::domain::time::Timestamp;
use pawport::http::client::Policy;
use pawport::ports::agent::AgentRunner;
use pawport::ports::clock::Clock;
use pawport::ports::entropy::Entropy;
use pawport::ports::events::{EventBus, EventStream};
use pawport::ports::store::Stores;
use pawport::ports::tunnel::TunnelProvider;
use secrecy::SecretString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The master token of every app under test.
pub const MASTER_TOKEN: &str = "6fee2431-f6f4-4b32-be46-18eccaa43bde";

/// Where others reach every app under test. Not what the requests say, so that the two cannot be mixed up.
const PUBLIC_URL: &str = "https://paw.example.org";

/// When every app under test starts: 2026-11-23T04:40:21Z.
pub const START: Timestamp = Timestamp(1_795_408_821_000);

/// An app over an empty in-memory storage. Nobody answers turns but [`TestApp::answer_turns`].
pub struct TestApp {
    app: App,
    /// What the app's clock shows.
    pub clock: Arc<ManualClock>,
    /// What is stored. Calls through it never fail and do not count.
    pub stores: Stores,
    failing: Arc<FailingStores>,
    keeper: Arc<FailingCredentials>,
    events: Arc<BroadcastEvents>,
    /// Ends the event streams, and the connections to MCP servers.
    pub stop: CancellationToken,
    /// Stands in for MCP servers.
    pub mcp: Arc<FakeMcp>,
    /// Makes vectors of memories, once a model is chosen.
    pub embedders: Arc<WordEmbedders>,
    tunnels: Option<FakeTunnels>,
    tasks: TaskTracker,
}

/// An app that is served on a port of this machine, and answers turns.
pub struct Served {
    /// Where.
    pub address: SocketAddr,
    /// Ends it.
    pub stop: CancellationToken,
    /// Its router, for calls without sockets.
    router: Router,
    events: Arc<BroadcastEvents>,
    /// Says how it ended.
    pub running: JoinSet<Result<(), RunError>>,
}

impl Served {
    /// Somebody who has the master token, and calls without a socket.
    pub fn token_user(&self) -> User {
        User::new(self.router.clone(), Some(MASTER_TOKEN.into()))
    }

    /// Somebody who shows that token, whatever it is, and calls without a socket.
    pub fn user_with(&self, token: &str) -> User {
        User::new(self.router.clone(), Some(token.to_owned().into()))
    }

    /// Tells everybody who listens.
    pub fn publish(&self, event: Event) {
        self.events.publish(event);
    }
}

impl TestApp {
    /// The built-in agent, five sessions at once, room for 100 turns.
    pub fn new() -> Self {
        Self::with(Arc::new(BuiltinAgent), 100, false, |_| {})
    }

    /// Told something else than usual: names, limits, keys.
    pub fn told(change: impl FnOnce(&mut Settings)) -> Self {
        Self::with(Arc::new(BuiltinAgent), 100, false, change)
    }

    /// The same, and its access token is configured, so that it cannot be changed.
    pub fn configured(change: impl FnOnce(&mut Settings)) -> Self {
        Self::with(Arc::new(BuiltinAgent), 100, true, change)
    }

    /// Another agent.
    pub fn with_agent(runner: Arc<dyn AgentRunner>) -> Self {
        Self::with(runner, 100, false, |_| {})
    }

    /// Another agent, and told something else than usual.
    pub fn with_agent_told(runner: Arc<dyn AgentRunner>, change: impl FnOnce(&mut Settings)) -> Self {
        Self::with(runner, 100, false, change)
    }

    /// Reached from elsewhere in another way than by [`FakeTunnels`].
    pub fn with_tunnels(tunnels: Arc<dyn TunnelProvider>) -> Self {
        Self::of(Arc::new(BuiltinAgent), tunnels, 100, false, |_| {})
    }

    /// Room for that many unfinished turns.
    pub fn with_capacity(queue_capacity: u64) -> Self {
        Self::with(Arc::new(BuiltinAgent), queue_capacity, false, |_| {})
    }

    fn with(
        runner: Arc<dyn AgentRunner>,
        queue_capacity: u64,
        is_configured: bool,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let tunnels = FakeTunnels::default();
        let app = Self::of(runner, Arc::new(tunnels.clone()), queue_capacity, is_configured, change);
        Self { tunnels: Some(tunnels), ..app }
    }

    fn of(
        runner: Arc<dyn AgentRunner>,
        tunnels: Arc<dyn TunnelProvider>,
        queue_capacity: u64,
        is_configured: bool,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let stores = Stores::of(&Arc::new(InMemoryStorage::new()));
        let failing = Arc::new(FailingStores::over(stores.clone()));
        let clock = Arc::new(ManualClock::at(START));
        let mcp = Arc::new(FakeMcp::default());
        let embedders = Arc::new(WordEmbedders::default());
        let phases = Arc::new(PhasedEntropy::default());
        let entropy: Arc<dyn Entropy> = Arc::clone(&phases) as _;
        let events = Arc::new(BroadcastEvents::default());
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();

        let token = AccessToken::parse(&SecretString::from(MASTER_TOKEN)).expect("a good token");
        let keeper = Arc::new(FailingCredentials::over(token.clone()));
        let master = if is_configured {
            MasterToken::configured(token)
        } else {
            // What is in memory is there at once.
            let opened = MasterToken::open(Arc::clone(&keeper) as _, &*entropy).now_or_never();
            opened.expect("nothing to wait for").expect("a good token")
        };
        let parts = Parts {
            stores: Stores::of(&failing),
            clock: Arc::clone(&clock) as _,
            entropy,
            events: Arc::clone(&events) as _,
            agents: Arc::new(FixedAgent::runner(runner)),
            embedders: Arc::clone(&embedders) as _,
            timer: Arc::new(SystemTimer),
            master,
            mcp_connector: Arc::clone(&mcp) as _,
            mcp_authorizer: Arc::clone(&mcp) as _,
            tunnels,
            tasks: tasks.clone(),
        };
        let limits = AgentLimits { max_concurrent: 5, queue_capacity };
        let mut settings = Settings {
            limits,
            agent: AgentSettings::builtin(),
            address: ([127, 0, 0, 1], 8000).into(),
            public_url: PUBLIC_URL.to_owned(),
            policy: Policy {
                public_url: Some(PUBLIC_URL.to_owned()),
                localhost_auth_bypass: true,
                url_tokens: true,
                ..Policy::default()
            },
            rate_limits: RateLimits { api: None, auth: None, ws: None, key: None },
            session_ttl: SessionTtl::from_hours(24).expect("a sensible time"),
            mcp_budgets: Budgets { start: Duration::from_secs(300), handshake: Duration::from_secs(30) },
            mcp_test_budgets: Budgets { start: Duration::from_secs(60), handshake: Duration::from_secs(30) },
            status_key: None,
        };
        change(&mut settings);
        let app = App::build(settings, parts, stop.clone());
        phases.is_built.store(true, Ordering::SeqCst);
        Self { app, clock, stores, failing, keeper, events, stop, mcp, embedders, tunnels: None, tasks }
    }

    /// The router.
    pub fn router(&self) -> Router {
        self.app.router()
    }

    /// What makes tunnels, unless the test brought something else.
    pub fn tunnels(&self) -> &FakeTunnels {
        self.tunnels.as_ref().expect("an app with these tunnels")
    }

    /// The agent.
    pub fn agent(&self) -> Arc<Agent> {
        self.app.agent()
    }

    /// Somebody who has the master token.
    pub fn token_user(&self) -> User {
        User::new(self.router(), Some(MASTER_TOKEN.into()))
    }

    /// Somebody who shows that token, whatever it is.
    pub fn user_with(&self, token: &str) -> User {
        User::new(self.router(), Some(token.to_owned().into()))
    }

    /// Somebody without credentials.
    pub fn anonymous(&self) -> User {
        User::new(self.router(), None)
    }

    /// Everything that is published from now on.
    pub fn listen(&self) -> EventStream {
        self.events.subscribe()
    }

    /// Ends the streams, as the server does when it is told to stop.
    pub fn stop_streams(&self) {
        self.stop.cancel();
    }

    /// Tells everybody who listens.
    pub fn publish(&self, event: Event) {
        self.events.publish(event);
    }

    /// Serves the app on a port.
    pub async fn serve(self) -> Served {
        let Self { app, events, stop, tasks, .. } = self;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = app.router();
        let mut running = JoinSet::new();
        running.spawn(pawport::app::run(app, listener, tasks, Shutdown::default(), Duration::from_secs(5)));
        Served { address, stop, router, events, running }
    }

    /// Makes the `nth` call of a store from now on fail, 1 being the next.
    pub fn fail_call(&self, nth: u32, failure: Failure) {
        self.failing.fail_call(nth, failure);
    }

    /// Whether the call that was to fail was made.
    pub fn has_failed(&self) -> bool {
        self.failing.has_failed()
    }

    /// Whether the next access token cannot be kept.
    pub fn fail_to_keep(&self, fails: bool) {
        self.keeper.fail(fails);
    }

    /// How many calls of a store the app has made.
    pub fn store_calls(&self) -> u32 {
        self.failing.calls()
    }

    /// Makes the vectors that are missing.
    pub async fn make_vectors(&self) {
        self.app.semantic().catch_up().await.expect("vectors");
    }

    /// Answers turns, one after the other, until none is left that can be claimed. Says how many that were.
    pub async fn answer_turns(&self) -> usize {
        answer_all(self.agent()).await
    }

    /// The same beside the test. What is not done when the result is dropped is left undone.
    #[must_use]
    pub fn answering_turns(&self) -> JoinSet<usize> {
        let mut tasks = JoinSet::new();
        tasks.spawn(answer_all(self.agent()));
        tasks
    }

    /// Waits until a turn was stored, then answers what there is.
    pub async fn answer_next(&self) -> usize {
        soon(self.agent().ready()).await;
        self.answer_turns().await
    }

    /// Puts a message at the end of a session, as if it had come in another way than this API.
    pub async fn say(&self, session: &str, role: Role, text: &str) {
        let session = SessionId::parse(session).expect("a session id");
        let count = self.stores.sessions.find(&session).await.expect("a session").map_or(0, |it| it.message_count);
        let message = NewMessage {
            id: format!("message-{}", count + 1),
            role,
            text: MessageText::parse(text).expect("a text"),
            at: self.clock.now(),
            metadata: Metadata::empty(),
        };
        self.stores.sessions.append(&session, message).await.expect("a stored message");
    }

    /// Moves the app's clock on.
    pub fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }
}

async fn answer_all(agent: Arc<Agent>) -> usize {
    let mut answered = 0;
    loop {
        let claimed = agent.claim(10).await.expect("turns can be claimed");
        if claimed.is_empty() {
            return answered;
        }
        for turn in claimed {
            let answer = agent.run(&turn).await;
            agent.finish(&turn, &answer).await.expect("an answer can be stored");
            answered += 1;
        }
    }
}

/// Gives an app that is built the same bytes from the beginning, however many were asked for while it was being built, so
/// that the ids and secrets in the answers depend on what was asked of it and on nothing else.
struct PhasedEntropy {
    building: SeededEntropy,
    running: SeededEntropy,
    is_built: AtomicBool,
}

impl Default for PhasedEntropy {
    fn default() -> Self {
        Self { building: SeededEntropy::new(0), running: SeededEntropy::new(1), is_built: AtomicBool::new(false) }
    }
}

impl Entropy for PhasedEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let phase = if self.is_built.load(Ordering::SeqCst) { &self.running } else { &self.building };
        phase.fill(bytes);
    }
}
