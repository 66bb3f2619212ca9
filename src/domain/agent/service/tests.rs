//! The agent with an in-memory queue, a scripted runner and a clock that is moved by hand.

use super::*;
use crate::adapters::events::BroadcastEvents;
use crate::adapters::fake::{FakeMcp, FixedAgent, ManualClock, Script, ScriptedAgent, SeededEntropy};
use crate::adapters::host::SystemTimer;
use crate::adapters::in_memory::InMemoryStorage;
use crate::adapters::mcp_supervision::{Supervision, World};
use crate::domain::agent::Reply;
use crate::domain::agent::choice::AgentSettings;
use crate::domain::agent::status::SessionState;
use crate::domain::auth::{CredentialKind, Principal};
use crate::domain::mcp::connect::Budgets;
use crate::domain::mcp::service::McpAdapters;
use crate::domain::text::PageLimit;
use crate::domain::time::Timestamp;
use crate::ports::events::EventStream;
use crate::ports::sessions::SessionStore;
use std::sync::{OnceLock, Weak, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

struct Fixture {
    agent: Arc<Agent>,
    storage: Arc<InMemoryStorage>,
    clock: Arc<ManualClock>,
    log: Arc<StatusLog>,
}

/// An observer that asks the agent for its status whenever it is told to, and writes down the answer.
#[derive(Default)]
struct StatusLog {
    agent: OnceLock<Weak<Agent>>,
    lines: Mutex<Vec<String>>,
}

impl EventBus for StatusLog {
    fn publish(&self, event: Event) {
        let Event::AgentStatusChanged = event else { return };
        let status = self.agent.get().unwrap().upgrade().unwrap().status();
        let sessions: Vec<&SessionState> = status.sessions.iter().map(|session| &session.state).collect();
        self.lines.lock().unwrap().push(format!("{} {sessions:?}", status.state.as_str()));
    }

    fn subscribe(&self) -> EventStream {
        unreachable!("nobody subscribes in these tests")
    }
}

fn agent_that(runner: ScriptedAgent) -> Fixture {
    let storage = Arc::new(InMemoryStorage::new());
    let clock = Arc::new(ManualClock::at(Timestamp(1_000_000)));
    let entropy = Arc::new(SeededEntropy::new(1));
    let log = Arc::new(StatusLog::default());
    let audit = Arc::new(Audit::new(storage.clone(), clock.clone(), entropy.clone()));
    let limits = AgentLimits { max_concurrent: 5, queue_capacity: 100 };
    let settings = Arc::new(Settings::new(AgentSettings::builtin()));
    let agent = Arc::new(Agent::new(AgentParts {
        turns: storage.clone(),
        sessions: storage.clone(),
        agents: Arc::new(FixedAgent::runner(Arc::new(runner))),
        settings: settings.clone(),
        mcp: Arc::new(servers(&storage, &audit, &clock)),
        memories: crate::domain::memory::service::tests::over(&storage, settings.clone()).0,
        events: log.clone(),
        audit,
        clock: clock.clone(),
        timer: Arc::new(SystemTimer),
        entropy,
        limits,
    }));
    log.agent.set(Arc::downgrade(&agent)).unwrap();
    Fixture { agent, storage, clock, log }
}

/// MCP servers of which there are none.
fn servers(storage: &Arc<InMemoryStorage>, audit: &Arc<Audit>, clock: &Arc<ManualClock>) -> McpServers {
    let fake = Arc::new(FakeMcp::default());
    let budgets = Budgets { start: Duration::from_secs(1), handshake: Duration::from_secs(1) };
    let world = World {
        connector: fake.clone(),
        authorizer: fake.clone(),
        events: Arc::new(BroadcastEvents::default()),
        clock: clock.clone(),
        entropy: Arc::new(SeededEntropy::new(2)),
        budgets,
    };
    let supervision = Arc::new(Supervision::new(world, TaskTracker::new(), CancellationToken::new()));
    let adapters = McpAdapters { connector: fake.clone(), authorizer: fake, supervision };
    McpServers::new(storage.clone(), adapters, audit.clone(), clock.clone(), Vec::new(), budgets)
}

impl Fixture {
    fn submission(&self, session: &str, text: &str, key: Option<&str>) -> Submission {
        let principal = Principal::without_grant(CredentialKind::WebhookSecret, "ci");
        Submission {
            id: self.agent.new_turn_id(),
            session: SessionId::parse(session).unwrap(),
            text: MessageText::parse(text).unwrap(),
            metadata: Metadata::empty(),
            key: key.map(|key| DeduplicationKey::new("ci", key).unwrap()),
            happening: Happening::success(&principal, "webhook_accepted", "ci"),
            origin: Origin::Webhook,
        }
    }

    /// Claims, runs and finishes everything that waits.
    async fn answer_all(&self) {
        loop {
            let claimed = self.agent.claim(10).await.unwrap();
            if claimed.is_empty() {
                return;
            }
            for turn in claimed {
                let answer = self.agent.run(&turn).await;
                self.agent.finish(&turn, &answer).await.unwrap();
            }
        }
    }

    /// What was told since the last call: for each change the state as a whole, and the sessions with theirs.
    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lines.lock().unwrap())
    }

    async fn said(&self, session: &str) -> Vec<String> {
        let id = SessionId::parse(session).unwrap();
        let history = self.storage.history(&id, PageLimit::clamped(100)).await.unwrap();
        history
            .iter()
            .map(|message| format!("{}: {}", message.content.role.as_str(), message.content.text.as_str()))
            .collect()
    }
}

fn reply_of(text: &str) -> Reply {
    Reply { text: text.to_owned(), usage: TokenUsage::default() }
}

#[test]
fn who_goes_away_leaves_nothing_behind_and_does_not_disturb_the_others() {
    let waiting = Waiting::default();
    let (first, second) = (TurnId::from_stored("1".to_owned()), TurnId::from_stored("2".to_owned()));
    let (stays, reply) = wait_for_reply();
    waiting.wait(first.clone(), stays).keep();
    let (goes, _) = wait_for_reply();
    let mut place = waiting.wait(second.clone(), goes);
    place.move_to(&first);
    drop(place);
    waiting.answer(&second, &reply_of("nobody waits for this"));
    waiting.answer(&first, &reply_of("an answer"));
    assert_eq!(reply.try_recv().unwrap(), "an answer");
    assert!(waiting.is_empty());
    let (goes, _) = wait_for_reply();
    drop(waiting.wait(first, goes));
    assert!(waiting.is_empty());
}

#[tokio::test]
async fn nobody_waits_once_the_program_ends() {
    let fixture = agent_that(ScriptedAgent::answering("x"));
    fixture.agent.stop_waiting();
    let (on_reply, reply) = wait_for_reply();
    fixture.agent.submit(fixture.submission("webhook_1", "Hello", None), Some(on_reply)).await.unwrap();
    assert_eq!(reply.try_recv(), Err(mpsc::TryRecvError::Disconnected));
}

fn wait_for_reply() -> (OnReply, mpsc::Receiver<String>) {
    let (sender, receiver) = mpsc::channel();
    (Box::new(move |reply: Reply| sender.send(reply.text).unwrap()), receiver)
}

#[tokio::test]
async fn a_turn_with_a_tool_is_told_step_by_step_and_stored() {
    let script = Script::new().tool_started("ls").tool_finished("ls", "").text("Three ").text("files.");
    let fixture = agent_that(ScriptedAgent::following([script]));
    let (on_reply, reply) = wait_for_reply();
    fixture.agent.submit(fixture.submission("webhook_1", "How many files?", None), Some(on_reply)).await.unwrap();
    assert!(fixture.said("webhook_1").await.is_empty(), "the message is stored when its turn comes");

    fixture.answer_all().await;
    assert_eq!(
        fixture.told(),
        ["active [Thinking]", "active [ToolRunning(\"ls\")]", "active [Thinking]", "active [Streaming]", "idle []",]
    );
    assert_eq!(fixture.said("webhook_1").await, ["user: How many files?", "assistant: Three files."]);
    assert_eq!(reply.try_recv().unwrap(), "Three files.");
}

#[tokio::test]
async fn what_was_said_before_a_failure_is_kept_with_the_reason() {
    let script = Script::new().text("I think").fail("The model went away");
    let fixture = agent_that(ScriptedAgent::following([script]));
    fixture.agent.submit(fixture.submission("webhook_1", "Why?", None), None).await.unwrap();
    fixture.answer_all().await;
    assert_eq!(fixture.said("webhook_1").await[1], "assistant: I think\n\nThe model went away");
    assert_eq!(fixture.told().last().unwrap(), "degraded [Error(\"The model went away\")]");
    fixture.clock.advance(Duration::from_secs(30));
    assert_eq!(fixture.agent.status().state.as_str(), "idle");
}

#[tokio::test]
async fn a_turn_that_was_interrupted_three_times_is_not_tried_again() {
    let fixture = agent_that(ScriptedAgent::answering("fine"));
    fixture.agent.submit(fixture.submission("webhook_1", "Boom", None), None).await.unwrap();
    for _ in 0..MAX_ATTEMPTS {
        // The program ends between the claim and the answer.
        assert_eq!(fixture.agent.claim(1).await.unwrap().len(), 1);
        fixture.agent.recover().await.unwrap();
    }
    fixture.answer_all().await;
    let said = fixture.said("webhook_1").await;
    assert_eq!(said.len(), 2, "the message is stored once: {said:?}");
    assert!(said[1].contains("could not be answered"), "{said:?}");
    assert_eq!(fixture.agent.status().active_sessions, 0);
}

#[tokio::test]
async fn a_repeated_message_gets_the_first_answer_while_it_waits_and_afterwards() {
    let fixture = agent_that(ScriptedAgent::answering("once"));
    let first = fixture.agent.submit(fixture.submission("webhook_1", "Hello", Some("id-1")), None).await.unwrap();
    let (early, early_reply) = wait_for_reply();
    let again =
        fixture.agent.submit(fixture.submission("webhook_2", "Hello", Some("id-1")), Some(early)).await.unwrap();
    assert_eq!(first, again);
    assert!(early_reply.try_recv().is_err());

    fixture.answer_all().await;
    assert_eq!(early_reply.try_recv().unwrap(), "once");
    let (late, late_reply) = wait_for_reply();
    fixture.agent.submit(fixture.submission("webhook_3", "Hello", Some("id-1")), Some(late)).await.unwrap();
    assert_eq!(late_reply.try_recv().unwrap(), "once");
    assert!(fixture.said("webhook_2").await.is_empty() && fixture.said("webhook_3").await.is_empty());
    assert!(fixture.agent.waiting.is_empty(), "nobody is left waiting");
}

#[tokio::test]
async fn answers_are_forgotten_after_a_day_and_the_message_counts_anew() {
    let fixture = agent_that(ScriptedAgent::answering("x"));
    let first = fixture.agent.submit(fixture.submission("webhook_1", "Hello", Some("id-1")), None).await.unwrap();
    fixture.answer_all().await;
    fixture.clock.advance(REPEATS_ANSWERED_FOR);
    assert_eq!(fixture.agent.forget_old_answers().await.unwrap(), 0);
    fixture.clock.advance(Duration::from_millis(1));
    assert_eq!(fixture.agent.forget_old_answers().await.unwrap(), 1);
    let second = fixture.agent.submit(fixture.submission("webhook_2", "Hello", Some("id-1")), None).await.unwrap();
    assert_ne!(first, second);
}

#[tokio::test]
async fn who_finishes_second_stores_and_tells_nothing() {
    let fixture = agent_that(ScriptedAgent::answering("x"));
    fixture.agent.submit(fixture.submission("webhook_1", "Hello", None), None).await.unwrap();
    let turn = fixture.agent.claim(1).await.unwrap().remove(0);
    let answer = fixture.agent.run(&turn).await;
    fixture.agent.finish(&turn, &answer).await.unwrap();
    fixture.agent.finish(&turn, &answer).await.unwrap();
    assert_eq!(fixture.said("webhook_1").await.len(), 2);
}

#[tokio::test]
async fn a_lease_that_is_renewed_is_not_taken_over() {
    let fixture = agent_that(ScriptedAgent::answering("x"));
    fixture.agent.submit(fixture.submission("webhook_1", "Hello", None), None).await.unwrap();
    let turn = fixture.agent.claim(1).await.unwrap().remove(0);
    fixture.clock.advance(Duration::from_secs(59));
    fixture.agent.renew(std::slice::from_ref(&turn.turn.id)).await.unwrap();
    fixture.clock.advance(Duration::from_secs(59));
    assert!(fixture.agent.claim(1).await.unwrap().is_empty());
    fixture.clock.advance(Duration::from_secs(2));
    assert_eq!(fixture.agent.claim(1).await.unwrap()[0].attempt, 2);
}

/// The answer of a turn is being stored while the next one of its session begins.
#[tokio::test]
async fn the_end_of_a_turn_does_not_hide_the_next() {
    let fixture = agent_that(ScriptedAgent::answering("x"));
    let turn = |id: &str| Turn {
        id: TurnId::from_stored(id.to_owned()),
        session: SessionId::parse("websocket_a").unwrap(),
        message: NewMessage {
            id: id.to_owned(),
            role: Role::User,
            text: MessageText::parse("hello").unwrap(),
            at: Timestamp(0),
            metadata: Metadata::empty(),
        },
        origin: Origin::Owner,
    };
    let (first, second) = (turn("1"), turn("2"));
    let board = &fixture.agent.board;
    let started = || Input::Started { title: "T".to_owned() };
    board.tell(&first, started());
    board.tell(&second, started());
    board.tell(&first, Input::Finished);
    board.tell(&second, Input::Streaming);
    assert_eq!(fixture.agent.status().sessions[0].state, SessionState::Streaming);
    board.tell(&second, Input::Finished);
    assert_eq!(fixture.agent.status().sessions, []);
}

#[tokio::test]
async fn nobody_stops_what_is_done_for_the_owner() {
    let running = Running::default();
    let (turn, session) = (TurnId::from_stored("1".to_owned()), SessionId::parse("websocket_a").unwrap());
    running.queue(&turn, &session, Origin::Owner).keep();
    for origin in [Origin::Client, Origin::Webhook, Origin::Channel] {
        assert!(!running.stop(origin, |_, _| true), "{origin:?}");
    }
    assert!(running.stop(Origin::Owner, |_, of| *of == session));
    running.end(&turn);
    assert!(!running.contains(&turn));
}
