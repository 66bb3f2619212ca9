//! Over servers that are not there. The runtime's clock is paused: pauses pass exactly and at once.

use super::*;
use crate::adapters::events::BroadcastEvents;
use crate::adapters::fake::{FakeMcp, ManualClock, SeededEntropy};
use crate::domain::mcp::sign_in::Callback;
use crate::domain::mcp::supervisor::{GOOD_AFTER, MAX_FAILURES, RENEW_SIGN_IN};
use crate::domain::mcp::tool::ToolFilter;
use crate::domain::mcp::{Arguments, CallTimeout, Command, EnvironmentName, RemoteFlavor, RemoteUrl, SecretText};
use futures_util::{FutureExt, StreamExt};
use secrecy::SecretString;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, timeout};

const START: Timestamp = Timestamp(1_795_408_821_000);

const BUDGETS: Budgets = Budgets { start: Duration::from_secs(300), handshake: Duration::from_secs(30) };

struct Stage {
    supervision: Arc<Supervision>,
    mcp: Arc<FakeMcp>,
    events: Arc<BroadcastEvents>,
    clock: Arc<ManualClock>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Stage {
    fn new() -> Self {
        let (mcp, clock) = (Arc::new(FakeMcp::default()), Arc::new(ManualClock::at(START)));
        let events = Arc::new(BroadcastEvents::default());
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let world = World {
            connector: Arc::clone(&mcp) as _,
            authorizer: Arc::clone(&mcp) as _,
            events: Arc::clone(&events) as _,
            clock: Arc::clone(&clock) as _,
            entropy: Arc::new(SeededEntropy::new(1)),
            budgets: BUDGETS,
        };
        let supervision = Arc::new(Supervision::new(world, tasks.clone(), stop.clone()));
        Self { supervision, mcp, events, clock, tasks, stop }
    }

    fn status(&self, name: &str) -> McpStatus {
        self.supervision.status(&named(name)).expect("the server")
    }

    /// Waits until the server is in that state.
    async fn until(&self, name: &str, state: &str) -> McpStatus {
        let mut heard = self.events.subscribe();
        loop {
            let status = self.status(name);
            if status.state.as_str() == state {
                return status;
            }
            let next = timeout(Duration::from_secs(7200), heard.next()).await;
            next.unwrap_or_else(|_| panic!("it does not become {state}: {status:?}")).expect("the bus");
        }
    }

    /// Waits until so many connections were tried. What comes of one that needs no time is there then, too.
    async fn until_tried(&self, connects: usize) {
        let mut heard = self.events.subscribe();
        while self.mcp.connects() < connects {
            timeout(Duration::from_secs(7200), heard.next()).await.expect("another try").expect("the bus");
        }
        assert_eq!(self.mcp.connects(), connects);
    }

    async fn supervised(&self, server: McpServer, state: &str) -> McpStatus {
        let name = server.name.as_str().to_owned();
        self.supervision.supervise(server).await;
        self.until(&name, state).await
    }

    async fn call(&self, name: &str, tool: &str) -> Result<ToolResult, CallError> {
        self.supervision.call(&named(name), tool, Map::new()).await
    }
}

fn named(name: &str) -> McpServerName {
    McpServerName::parse(name).expect("a good name")
}

fn server(name: &str, transport: McpTransport) -> McpServer {
    McpServer {
        name: named(name),
        transport,
        enabled: true,
        call_timeout: CallTimeout::default(),
        tools: ToolFilter::default(),
        preset: None,
        created: START,
    }
}

fn program(name: &str, command: &str) -> McpServer {
    let command = Command::parse(command).expect("a good command");
    server(name, McpTransport::Stdio { command, arguments: Arguments::default(), environment: BTreeMap::new() })
}

fn remote(name: &str, host: &str) -> McpServer {
    let url = RemoteUrl::parse(&format!("https://{host}/mcp")).expect("a good address");
    server(name, McpTransport::Remote { url, flavor: RemoteFlavor::Detect, headers: BTreeMap::new() })
}

fn off(mut server: McpServer) -> McpServer {
    server.enabled = false;
    server
}

#[tokio::test(start_paused = true)]
async fn an_enabled_server_is_connected_in_the_background() {
    let stage = Stage::new();
    stage.supervision.supervise(program("it", "works")).await;
    assert_eq!((stage.status("it").state, stage.mcp.connects()), (McpState::Connecting, 0));
    let status = stage.until("it", "connected").await;
    assert_eq!((status.tools.len(), status.restarts, &*status.error), (4, 0, ""));
    assert_eq!((status.since, status.transport, status.preset), (START, "stdio", None));
    assert_eq!((stage.mcp.open(), stage.mcp.connects()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_disabled_server_is_only_known() {
    let stage = Stage::new();
    stage.supervision.supervise(off(program("it", "works"))).await;
    stage.supervision.retry(&named("it"));
    stage.supervision.reconnect(&named("it"));
    sleep(Duration::from_secs(60)).await;
    assert_eq!((stage.status("it").state, stage.mcp.connects()), (McpState::Disabled, 0));
    assert!(stage.tasks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_made_again_after_the_pause_that_is_shown() {
    let stage = Stage::new();
    stage.supervised(program("it", "loses"), "connected").await;
    for restart in 1..=5 {
        // It held for long, so that what was before does not count.
        stage.clock.advance(GOOD_AFTER);
        let now = stage.clock.now();
        stage.mcp.lose();
        let waiting = stage.until("it", "backing_off").await;
        assert_eq!((waiting.tools.len(), &*waiting.error), (0, "the program was ended by signal 9"));
        assert_eq!((waiting.since, stage.mcp.open()), (now, 0));
        let McpState::BackingOff { until } = waiting.state else { panic!("{waiting:?}") };
        let pause = until.since(now);
        assert!((Duration::from_millis(500)..=Duration::from_secs(1)).contains(&pause), "{pause:?}");
        let begun = Instant::now();
        let again = stage.until("it", "connected").await;
        // The runtime's clock counts milliseconds.
        assert!(begun.elapsed().abs_diff(pause) <= Duration::from_millis(2), "{:?} {pause:?}", begun.elapsed());
        assert_eq!((again.restarts, again.tools.len(), &*again.error, stage.mcp.open()), (restart, 4, "", 1));
    }
}

#[tokio::test(start_paused = true)]
async fn what_keeps_failing_is_given_up() {
    let stage = Stage::new();
    let begun = Instant::now();
    let failed = stage.supervised(program("it", "exits"), "failed").await;
    assert_eq!(stage.mcp.connects(), MAX_FAILURES as usize);
    let took = begun.elapsed();
    // Between half and all of 1 + 2 + 4 + 8 + 16 + 32 + 60 + 60 + 60.
    assert!((Duration::from_millis(121_400)..=Duration::from_secs(244)).contains(&took), "{took:?}");
    assert_eq!(failed.stderr, vec!["giving up"; 10]);
    sleep(Duration::from_secs(86_400)).await;
    assert_eq!((stage.status("it").state, stage.mcp.connects()), (McpState::Failed, 10));

    // Somebody looks, and the count begins anew.
    stage.supervision.retry(&named("it"));
    stage.until("it", "backing_off").await;
    stage.until("it", "failed").await;
    assert_eq!(stage.mcp.connects(), 20);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_pass_is_not_tried_again() {
    let stage = Stage::new();
    stage.supervised(program("it", "missing"), "failed").await;
    sleep(Duration::from_secs(86_400)).await;
    assert_eq!(stage.mcp.connects(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_cuts_the_pause_short_and_disturbs_nothing_else() {
    let stage = Stage::new();
    stage.supervised(remote("it", "nowhere"), "backing_off").await;
    let begun = Instant::now();
    // Lets it wait.
    tokio::task::yield_now().await;
    stage.supervision.retry(&named("it"));
    stage.until_tried(2).await;
    stage.until("it", "backing_off").await;
    assert_eq!((begun.elapsed(), stage.mcp.connects()), (Duration::ZERO, 2));
    assert!(stage.supervision.forget(&named("it")).await);

    stage.supervised(program("good", "works"), "connected").await;
    stage.supervised(program("slow", "silent"), "connecting").await;
    tokio::task::yield_now().await;
    assert_eq!(stage.mcp.connects(), 4);
    stage.supervision.retry(&named("good"));
    stage.supervision.retry(&named("slow"));
    stage.supervision.retry(&named("nobody"));
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!((stage.status("good").state, stage.status("good").restarts), (McpState::Connected, 0));
    assert_eq!(stage.mcp.connects(), 4);
}

#[tokio::test(start_paused = true)]
async fn to_reconnect_ends_the_connection_and_makes_another() {
    let stage = Stage::new();
    stage.supervised(program("it", "works"), "connected").await;
    stage.supervision.reconnect(&named("it"));
    stage.until_tried(2).await;
    let again = stage.until("it", "connected").await;
    assert_eq!((again.restarts, stage.mcp.open(), stage.mcp.connects()), (1, 1, 2));
    // What waits for nothing else is waked, too.
    stage.supervised(program("gone", "missing"), "failed").await;
    stage.supervision.reconnect(&named("gone"));
    stage.until_tried(4).await;
    stage.until("gone", "failed").await;
}

#[tokio::test(start_paused = true)]
async fn the_old_connection_is_closed_before_the_new_one_is_made() {
    let stage = Stage::new();
    stage.supervised(program("it", "works"), "connected").await;
    stage.supervision.supervise(program("it", "silent")).await;
    assert_eq!((stage.mcp.open(), stage.mcp.connects()), (0, 1));
    assert_eq!(stage.status("it").state, McpState::Connecting);
    // One that is being connected is dropped, too.
    stage.supervision.supervise(program("it", "works")).await;
    let status = stage.until("it", "connected").await;
    assert_eq!((status.restarts, stage.mcp.open()), (0, 1));
    stage.supervision.supervise(off(program("it", "works"))).await;
    assert_eq!(
        (stage.mcp.open(), stage.status("it").state, stage.supervision.statuses().len()),
        (0, McpState::Disabled, 1)
    );
    assert!(stage.tasks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_server_is_gone() {
    let stage = Stage::new();
    for command in ["works", "silent", "missing", "exits"] {
        stage.supervision.supervise(program("it", command)).await;
        tokio::task::yield_now().await;
        let mut heard = stage.events.subscribe();
        assert!(stage.supervision.forget(&named("it")).await, "{command}");
        assert!(stage.supervision.status(&named("it")).is_none());
        assert_eq!((stage.mcp.open(), stage.tasks.is_empty()), (0, true), "{command}");
        assert!(heard.next().now_or_never().is_some(), "nobody was told");
        assert!(!stage.supervision.forget(&named("it")).await);
    }
    let error = stage.call("it", "fails").await.unwrap_err();
    assert_eq!(error, CallError::NoServer("it".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn stop_ends_everything() {
    let stage = Stage::new();
    stage.supervised(program("good", "works"), "connected").await;
    stage.supervised(program("ends", "exits"), "backing_off").await;
    stage.supervised(program("gone", "missing"), "failed").await;
    stage.supervised(remote("login", "private"), "needs_auth").await;
    stage.supervision.supervise(program("slow", "silent")).await;
    tokio::task::yield_now().await;
    let begun = Instant::now();
    stage.stop.cancel();
    stage.tasks.close();
    timeout(Duration::from_secs(1), stage.tasks.wait()).await.expect("an end of all tasks");
    assert_eq!((begun.elapsed(), stage.mcp.open()), (Duration::ZERO, 0));
    // What comes too late is not connected any more.
    let connects = stage.mcp.connects();
    stage.supervision.supervise(program("late", "works")).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!((stage.mcp.connects(), stage.mcp.open()), (connects, 0));
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_keeps_no_other_waiting() {
    let stage = Stage::new();
    let begun = Instant::now();
    for number in 0..20 {
        stage.supervision.supervise(program(&format!("slow-{number}"), "silent")).await;
    }
    stage.supervised(program("good", "works"), "connected").await;
    assert!(stage.call("good", "fails").await.is_ok());
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let late = stage.until("slow-0", "backing_off").await;
    assert_eq!(begun.elapsed(), BUDGETS.start);
    assert!(late.error.contains("within 300 seconds"), "{}", late.error);
}

#[tokio::test(start_paused = true)]
async fn turns_are_taken_by_name() {
    let stage = Stage::new();
    let first = stage.supervision.turn(&named("it")).await;
    let other = stage.supervision.turn(&named("other")).now_or_never().expect("another name waits for nobody");
    let (it, supervision) = (named("it"), Arc::clone(&stage.supervision));
    let mut second = std::pin::pin!(supervision.turn(&it));
    assert!(second.as_mut().now_or_never().is_none());
    drop(other);
    assert!(second.as_mut().now_or_never().is_none());
    drop(first);
    let second = second.now_or_never().expect("its turn");
    assert!(stage.supervision.turn(&named("it")).now_or_never().is_none());
    drop(second);
    assert!(stage.supervision.turn(&named("it")).now_or_never().is_some());
    // Nobody's turn takes no room.
    drop(stage.supervision.turn(&named("new")).await);
    assert_eq!(stage.supervision.turns.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn where_to_sign_in_is_renewed_before_it_is_worth_nothing() {
    let stage = Stage::new();
    let begun = Instant::now();
    let status = stage.supervised(remote("it", "private"), "needs_auth").await;
    let McpState::NeedsAuth { url } = status.state else { panic!("{status:?}") };
    assert_eq!(url, "https://auth.example/authorize?state=state-of-it");
    stage.clock.advance(RENEW_SIGN_IN);
    stage.until_tried(2).await;
    assert_eq!(begun.elapsed(), RENEW_SIGN_IN);
    assert_eq!(stage.until("it", "needs_auth").await.since, START.plus(RENEW_SIGN_IN));
    assert_eq!(stage.mcp.connects(), 2);

    // Who signed in is connected at once.
    let callback =
        Callback { state: SecretString::from("state-of-it"), outcome: Ok(SecretString::from("code")), issuer: None };
    stage.mcp.finish(callback).await.expect("a sign-in");
    stage.supervision.reconnect(&named("it"));
    stage.until("it", "connected").await;
    assert_eq!((begun.elapsed(), stage.mcp.connects()), (RENEW_SIGN_IN, 3));
}

#[tokio::test(start_paused = true)]
async fn a_call_to_a_server_that_is_being_replaced_ends_one_way_or_the_other() {
    let stage = Stage::new();
    stage.supervised(program("it", "works"), "connected").await;
    let begun = Instant::now();
    let replaced = async {
        sleep(Duration::from_secs(1)).await;
        stage.supervision.supervise(program("it", "silent")).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(1), "it does not wait for the call");
        stage.call("it", "fails").await
    };
    let (called, then) = tokio::join!(stage.call("it", "hangs"), replaced);
    assert_eq!(called.unwrap_err(), CallError::TimedOut(Duration::from_secs(30)));
    assert_eq!(begun.elapsed(), Duration::from_secs(30));
    let why = "it is being connected; try again in a moment".to_owned();
    assert_eq!(then.unwrap_err(), CallError::NotConnected { server: "it".to_owned(), why });
    // What was called last let the old connection go.
    assert_eq!(stage.mcp.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn filters_and_masks_hold() {
    let stage = Stage::new();
    let mut it = program("it", "works");
    it.tools.denied = ["hangs".to_owned()].into();
    let McpTransport::Stdio { environment, .. } = &mut it.transport else { panic!("a program") };
    let name = EnvironmentName::parse("KEY").expect("a good name");
    environment.insert(name, SecretText::variable("a-secret-of-mine").expect("a good value"));
    let status = stage.supervised(it, "connected").await;
    assert_eq!(status.tools.iter().map(|tool| &*tool.name).collect::<Vec<_>>(), ["echo", "environment", "fails"]);
    assert_eq!(stage.call("it", "hangs").await.unwrap_err(), CallError::NotAllowed("hangs".to_owned()));
    let missing = CallError::NoTool { server: "it".to_owned(), tool: "nope".to_owned() };
    assert_eq!(stage.call("it", "nope").await.unwrap_err(), missing);
    assert_eq!(stage.call("it", "environment").await.unwrap().structured, Some(json!({ "KEY": "***" })));
}

#[tokio::test(start_paused = true)]
async fn statuses_come_by_creation_then_by_name() {
    let stage = Stage::new();
    for (name, created) in [("c", 2), ("b", 1), ("a", 2), ("d", 0)] {
        let mut server = off(program(name, "works"));
        server.created = Timestamp(created);
        stage.supervision.supervise(server).await;
    }
    let statuses = stage.supervision.statuses();
    assert_eq!(statuses.iter().map(|status| status.name.as_str()).collect::<Vec<_>>(), ["d", "b", "a", "c"]);
}
