use super::*;
use crate::domain::agent::model::{ToolCall, ToolOutcome};
use crate::domain::agent::status::{AgentStatus, GlobalState};
use crate::domain::agent::{AgentEvent, Origin, Turn, TurnId};
use crate::domain::session::{MessageText, Metadata, NewMessage, Role, SessionId};
use crate::ports::agent::{AgentError, AgentIo, AgentRequest, AgentRunner};
use crate::ports::entropy::random;
use async_trait::async_trait;
use std::sync::{Arc, Mutex};

#[test]
fn the_clock_moves_by_hand_only() {
    let clock = ManualClock::at(Timestamp(5));
    assert_eq!((clock.now(), clock.now()), (Timestamp(5), Timestamp(5)));
    clock.advance(Duration::from_secs(2));
    assert_eq!(clock.now(), Timestamp(2_005));
    clock.set(Timestamp(i64::MAX));
    clock.advance(Duration::from_millis(1));
    assert_eq!(clock.now(), Timestamp(i64::MAX));
}

#[test]
fn entropy_repeats_itself_from_run_to_run_but_not_within_one() {
    let (one, same, other) = (SeededEntropy::new(1), SeededEntropy::new(1), SeededEntropy::new(2));
    let first: [u8; 40] = random(&one);
    assert_eq!(first, random(&same));
    assert_ne!(first, random(&other));
    assert_ne!(first, random(&one));
    assert_ne!(first[..8], first[32..]);
}

#[test]
fn the_vault_opens_what_was_sealed_and_nothing_else() {
    let vault = FixedVault::new();
    for secret in [&b""[..], b"s", &[0x5a; 100]] {
        let sealed = vault.seal(secret);
        assert_ne!(sealed, vault.seal(secret));
        assert_eq!(FixedVault::new().open(&sealed).as_deref(), Ok(secret));
        for index in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[index] ^= 1;
            assert_eq!(vault.open(&damaged), Err(NotOurs));
            assert_eq!(vault.open(&sealed[..index]), Err(NotOurs));
        }
    }
}

#[derive(Default)]
struct Notes(Mutex<Vec<AgentEvent>>);

#[async_trait]
impl AgentIo for Notes {
    fn emit(&self, event: AgentEvent) {
        self.0.lock().unwrap().push(event);
    }

    async fn call(&self, call: ToolCall) -> ToolOutcome {
        unreachable!("no script here calls {call:?}")
    }
}

/// A request with nothing but the turn.
async fn run(agent: &ScriptedAgent, turn: &Turn, notes: &Notes) -> Result<(), AgentError> {
    let request = AgentRequest { turn, status: &idle(), system: "", messages: &[], tools: &[] };
    agent.run(request, notes).await
}

fn turn(id: u128) -> Turn {
    let message = NewMessage {
        id: id.to_string(),
        role: Role::User,
        text: MessageText::parse("hello").unwrap(),
        at: Timestamp(1),
        metadata: Metadata::empty(),
    };
    Turn {
        id: TurnId::new(uuid::Uuid::from_u128(id)),
        session: SessionId::parse("websocket_a").unwrap(),
        message,
        origin: Origin::Owner,
    }
}

fn idle() -> AgentStatus {
    AgentStatus {
        version: 0,
        state: GlobalState::Idle,
        active_sessions: 0,
        max_concurrent: 1,
        uptime: Duration::ZERO,
        sessions: Vec::new(),
    }
}

#[tokio::test]
async fn the_agent_is_held_at_a_pause() {
    let script = Script::new().tool_started("ls").pause().tool_finished("ls", "").text("done");
    let agent = Arc::new(ScriptedAgent::following([script]));
    let notes = Arc::new(Notes::default());
    let running = {
        let (agent, notes) = (Arc::clone(&agent), Arc::clone(&notes));
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { run(&agent, &turn(1), &notes).await });
        tasks
    };
    agent.paused().await;
    let call = ToolCall { id: "1".to_owned(), name: "ls".to_owned(), arguments: "{}".to_owned() };
    assert_eq!(*notes.0.lock().unwrap(), [AgentEvent::ToolStarted(call)]);
    agent.resume();
    assert_eq!(running.join_all().await, [Ok(())]);
    let (id, name) = ("1".to_owned(), "ls".to_owned());
    let outcome = ToolOutcome { id, name, content: String::new(), is_error: false };
    assert_eq!(notes.0.lock().unwrap()[1..], [AgentEvent::ToolFinished(outcome), AgentEvent::Text("done".to_owned())]);
    assert_eq!(agent.asked(), [turn(1)]);
}

#[tokio::test]
async fn the_agent_fails_as_told_and_when_it_was_told_nothing() {
    let agent = ScriptedAgent::following([Script::answer("half").fail("no model")]);
    let (turn, notes) = (turn(1), Notes::default());
    let told = run(&agent, &turn, &notes).await;
    assert_eq!(told, Err(AgentError("no model".to_owned())));
    assert_eq!(*notes.0.lock().unwrap(), [AgentEvent::Text("half".to_owned())]);
    assert!(run(&agent, &turn, &notes).await.is_err());
}
