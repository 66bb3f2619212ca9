//! Turns that a scripted model answers, with tools that are not there, on a paused clock.

use super::*;
use crate::adapters::events::BroadcastEvents;
use crate::adapters::fake::{FakeMcp, FakeTools, FixedAgent, ManualClock, ModelScript, ScriptedModel, SeededEntropy};
use crate::adapters::host::SystemTimer;
use crate::adapters::in_memory::InMemoryStorage;
use crate::domain::agent::choice::{AgentChoice, AgentKind};
use crate::domain::agent::model::{ToolCall, ToolOutcome};
use crate::domain::agent::service::chat::{Chats, Said, Saying};
use crate::domain::agent::service::{AgentLimits, AgentParts, QUESTION_LIMIT};
use crate::domain::agent::status::SessionState;
use crate::domain::agent::tools::Allowance;
use crate::domain::audit::service::Audit;
use crate::domain::auth::scope::{Scope, Scopes};
use crate::domain::auth::{CredentialKind, Grant, Principal};
use crate::domain::event::Event;
use crate::domain::mcp::connect::Budgets;
use crate::domain::mcp::service::{McpAdapters, McpServers};
use crate::domain::memory::service::Memories;
use crate::domain::session::service::Sessions;
use crate::domain::session::{Message, MessageText, SessionId};
use crate::domain::settings::service::{Settings, SettingsParts};
use crate::domain::time::Timestamp;
use crate::ports::audit::AuditLog;
use crate::ports::events::{EventBus, EventStream, Heard};
use crate::ports::sessions::SessionStore;
use futures_util::{FutureExt, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

mod commands;
mod memory;

struct Fixture {
    agent: Arc<Agent>,
    chats: Chats,
    model: Arc<ScriptedModel>,
    tools: Arc<FakeTools>,
    memories: Arc<Memories>,
    storage: Arc<InMemoryStorage>,
    news: EventStream,
}

fn with_rules(scripts: impl IntoIterator<Item = ModelScript>, change: impl FnOnce(&mut TurnRules)) -> Fixture {
    let storage = Arc::new(InMemoryStorage::new());
    let clock = Arc::new(ManualClock::at(Timestamp(1_000_000)));
    let entropy = Arc::new(SeededEntropy::new(1));
    let events = Arc::new(BroadcastEvents::default());
    let audit = Arc::new(Audit::new(storage.clone(), clock.clone(), entropy.clone()));
    let (tools, fake) = (Arc::new(FakeTools::default()), Arc::new(FakeMcp::default()));
    let budgets = Budgets { start: Duration::from_secs(1), handshake: Duration::from_secs(1) };
    let adapters = McpAdapters { connector: fake.clone(), authorizer: fake, supervision: tools.clone() };
    let mcp = McpServers::new(storage.clone(), adapters, audit.clone(), clock.clone(), Vec::new(), budgets);
    let mut configured = AgentSettings {
        choice: AgentChoice { kind: AgentKind::OpenAiCompatible, model: "m".to_owned(), ..AgentChoice::builtin() },
        rules: TurnRules::default(),
    };
    change(&mut configured.rules);
    let model = Arc::new(ScriptedModel::following(scripts));
    let settings = Arc::new(Settings::over(SettingsParts {
        configured,
        server: serde_json::Map::new(),
        store: storage.clone(),
        agents: Arc::new(FixedAgent::model(model.clone())),
        events: events.clone(),
        audit: audit.clone(),
    }));
    let (memories, _) = crate::domain::memory::service::tests::over(&storage, settings.clone());
    let agent = Arc::new(Agent::new(AgentParts {
        turns: storage.clone(),
        sessions: storage.clone(),
        agents: Arc::new(FixedAgent::model(model.clone())),
        settings: settings.clone(),
        mcp: Arc::new(mcp),
        memories: memories.clone(),
        events: events.clone(),
        audit: audit.clone(),
        clock: clock.clone(),
        timer: Arc::new(SystemTimer),
        entropy: entropy.clone(),
        limits: AgentLimits { max_concurrent: 5, queue_capacity: 100 },
    }));
    let sessions = Arc::new(Sessions::new(storage.clone(), audit, clock, entropy.clone()));
    let chats = Chats::new(agent.clone(), sessions, settings, entropy);
    Fixture { agent, chats, model, tools, memories, storage, news: events.subscribe() }
}

fn answered_by(scripts: impl IntoIterator<Item = ModelScript>) -> Fixture {
    with_rules(scripts, |_| {})
}

fn session() -> SessionId {
    SessionId::parse("websocket_a").unwrap()
}

/// Somebody with an API key that is for chatting only.
fn client() -> Principal {
    let scopes = Scopes::of(&[Scope::Chat]);
    Principal { kind: CredentialKind::ApiKey, id: "k".to_owned(), grant: Grant { scopes, ..Grant::NOTHING } }
}

impl Fixture {
    async fn say_as(&self, principal: &Principal, text: &str) -> Said {
        let saying = Saying { session: Some(session()), text: MessageText::parse(text).unwrap(), file_context: None };
        self.chats.say(principal, saying, None).await.unwrap()
    }

    async fn say(&self, text: &str) -> Said {
        self.say_as(&Principal::on_this_machine(), text).await
    }

    /// Claims what waits, runs it, and finishes it.
    async fn answer(&self) -> TurnEnd {
        let claimed = self.agent.claim(1).await.unwrap().pop().expect("a turn that waits");
        let answer = self.agent.run(&claimed).await;
        let end = answer.end.clone();
        self.agent.finish(&claimed, &answer).await.unwrap();
        end
    }

    /// Whether the agent has asked the user something.
    fn is_waiting(&self) -> bool {
        self.agent.status().sessions.iter().any(|session| session.state == SessionState::WaitingForUser)
    }

    /// The last message of the session.
    async fn last(&self) -> Message {
        self.storage.history(&session(), PageLimit::clamped(100)).await.unwrap().pop().unwrap()
    }

    async fn last_metadata(&self) -> Value {
        serde_json::from_str(self.last().await.content.metadata.as_json()).unwrap()
    }

    /// What was told of turns since the last call.
    fn told(&mut self) -> Vec<News> {
        let mut told = Vec::new();
        while let Some(Some(heard)) = self.news.next().now_or_never() {
            if let Heard::Event(Event::Turn(news)) = heard {
                told.push(news.news.clone());
            }
        }
        told
    }

    fn results(&self, request: usize) -> Vec<ToolOutcome> {
        let results = |message: &ModelMessage| match message {
            ModelMessage::ToolResults(outcomes) => outcomes.clone(),
            _ => Vec::new(),
        };
        self.model.asked()[request].messages.iter().flat_map(results).collect()
    }
}

fn text(piece: &str) -> News {
    News::Agent(AgentEvent::Text(piece.to_owned()))
}

#[tokio::test]
async fn a_turn_with_a_tool_is_told_stored_and_audited() {
    let mut fixture = answered_by([
        ModelScript::says("Let me look.").thinking("hm").calling("mcp_files__read", r#"{"path":"a"}"#),
        ModelScript::says("It says a."),
    ]);
    fixture.say("What is in a?").await;
    assert_eq!(fixture.answer().await, TurnEnd::Answered);

    let call =
        ToolCall { id: "1".to_owned(), name: "mcp_files__read".to_owned(), arguments: r#"{"path":"a"}"#.to_owned() };
    let outcome = ToolOutcome {
        id: "1".to_owned(),
        name: "mcp_files__read".to_owned(),
        content: r#"read: {"path":"a"}"#.to_owned(),
        is_error: false,
    };
    let used = News::Agent(AgentEvent::Used(TokenUsage { input: 10, output: 2 }));
    let finished = News::Finished { end: TurnEnd::Answered, usage: TokenUsage { input: 20, output: 4 } };
    assert_eq!(
        fixture.told(),
        [
            News::Started { agent: "scripted_model".to_owned(), model: "m".to_owned() },
            News::Agent(AgentEvent::Thinking("hm".to_owned())),
            text("Let me look."),
            used.clone(),
            News::Agent(AgentEvent::ToolStarted(call)),
            News::Agent(AgentEvent::ToolFinished(outcome.clone())),
            text("\n\nIt says a."),
            used,
            finished,
        ]
    );
    assert_eq!(fixture.last().await.content.text.as_str(), "Let me look.\n\nIt says a.");
    let metadata = fixture.last_metadata().await;
    assert_eq!(metadata["steps"][0]["calls"][0]["result"], r#"read: {"path":"a"}"#);
    assert_eq!(metadata["usage"], serde_json::json!({ "input_tokens": 20, "output_tokens": 4 }));
    assert_eq!((metadata["agent"].as_str(), metadata["model"].as_str()), (Some("scripted_model"), Some("m")));

    // The next turn knows what was done.
    fixture.model_is_asked_again().await;
    assert_eq!(fixture.results(2), [outcome]);

    let log = AuditLog::recent(&*fixture.storage, PageLimit::clamped(10)).await.unwrap();
    let entry = log.iter().find(|entry| entry.action == "mcp_tool_finished").unwrap();
    assert_eq!((entry.actor.as_str(), entry.status.as_str(), entry.target.as_str()), ("agent", "success", "files"));
    assert_eq!(entry.context["origin"], "owner");
    assert!(log.iter().any(|entry| entry.action == "mcp_tool_called" && entry.actor == "agent"));
}

impl Fixture {
    /// Says something more; what comes of it does not matter.
    async fn model_is_asked_again(&self) {
        self.say("And now?").await;
        self.answer().await;
    }
}

#[tokio::test]
async fn what_goes_wrong_with_a_call_is_for_the_model_to_mend() {
    let fixture = answered_by([
        ModelScript::nothing()
            .calling("mcp_files__read", "{not json")
            .calling("mcp_files__read", "[1]")
            .calling("mcp_files__remove", "{}")
            .calling("mcp_files__write", r#"{"fail":true}"#)
            .calling("mcp_files__read", ""),
        ModelScript::says("Done."),
    ]);
    fixture.say("Go").await;
    assert_eq!(fixture.answer().await, TurnEnd::Answered);
    let results = fixture.results(1);
    let errors: Vec<bool> = results.iter().map(|outcome| outcome.is_error).collect();
    assert_eq!(errors, [true, true, true, true, false]);
    assert!(results[0].content.starts_with("The arguments are not JSON: "), "{}", results[0].content);
    assert_eq!(results[1].content, "The arguments must be a JSON object.");
    assert_eq!(
        results[2].content,
        "There is no tool \"mcp_files__remove\" here. There are: ask_user, remember, recall, forget, mcp_files__read, mcp_files__write, mcp_files__hang"
    );
    assert_eq!(fixture.tools.called(), [r#"write {"fail":true}"#, "read {}"]);
}

#[tokio::test]
async fn others_than_the_owner_get_what_changes_nothing() {
    let fixture =
        answered_by([ModelScript::nothing().calling("mcp_files__write", "{}"), ModelScript::says("I may not.")]);
    fixture.say_as(&client(), "Write!").await;
    fixture.answer().await;
    let offered: Vec<String> = fixture.model.asked()[0].tools.iter().map(|tool| tool.name.clone()).collect();
    assert_eq!(offered, ["ask_user", "mcp_files__read", "mcp_files__hang"]);
    assert!(fixture.results(1)[0].content.starts_with("There is no tool"));
    assert_eq!(fixture.tools.called(), [""; 0]);
}

#[tokio::test]
async fn nobody_gets_what_is_not_allowed() {
    let fixture = with_rules([ModelScript::says("Nothing.")], |rules| rules.access.owner = Allowance::None);
    fixture.say("Write!").await;
    fixture.answer().await;
    let offered: Vec<String> = fixture.model.asked()[0].tools.iter().map(|tool| tool.name.clone()).collect();
    assert_eq!(offered, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_busy_is_asked_again_after_as_long_as_it_wants() {
    let busy = |retry_after| ModelError::Busy { message: "busy".to_owned(), retry_after };
    let lost = ModelError::Unreachable { address: "http://m".to_owned(), why: "refused".to_owned() };
    let fixture = answered_by([
        ModelScript::fails(busy(Some(Duration::from_secs(7)))),
        ModelScript::fails(lost),
        ModelScript::says("Here I am."),
    ]);
    fixture.say("Hello").await;
    let began = Instant::now();
    assert_eq!(fixture.answer().await, TurnEnd::Answered);
    let waited = began.elapsed();
    assert!(waited >= Duration::from_secs(8) && waited <= Duration::from_secs(10), "{waited:?}");
    assert_eq!(fixture.last().await.content.text.as_str(), "Here I am.");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_stays_away_is_given_up() {
    let lost = ModelError::Unreachable { address: "http://m".to_owned(), why: "refused".to_owned() };
    let fixture = answered_by(vec![ModelScript::fails(lost.clone()); 10]);
    fixture.say("Hello").await;
    let TurnEnd::Failed(reason) = fixture.answer().await else { panic!("answered") };
    assert_eq!(reason, "the model at http://m cannot be reached: refused");
    assert_eq!(fixture.model.asked().len(), 4);
    let metadata = fixture.last_metadata().await;
    assert_eq!((&metadata["error"], &metadata["incomplete"]), (&Value::Bool(true), &Value::Null));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_stored_as_far_as_it_came() {
    let fixture = answered_by([ModelScript::says("Once upon").breaking(ModelError::BrokeOff("reset".to_owned()))]);
    fixture.say("A story").await;
    assert!(matches!(fixture.answer().await, TurnEnd::Failed(_)));
    assert_eq!(fixture.model.asked().len(), 1, "what was told cannot be taken back");
    let text = fixture.last().await.content.text;
    assert_eq!(text.as_str(), "Once upon\n\nthe answer of the model broke off: reset");
    assert_eq!(fixture.last_metadata().await["incomplete"], true);
}

#[tokio::test]
async fn answers_that_are_none_say_so() {
    for (script, reason) in [
        (ModelScript::nothing(), "The model gave an empty answer."),
        (
            ModelScript::says("Long").ending(AnswerEnd::Length),
            "The answer was cut off: it had reached the 4096 tokens that the model may write.",
        ),
        (ModelScript::says("No").ending(AnswerEnd::Filtered), "The provider stopped the answer."),
    ] {
        let fixture = answered_by([script]);
        fixture.say("Hello").await;
        assert_eq!(fixture.answer().await, TurnEnd::Failed(reason.to_owned()));
    }
}

#[tokio::test]
async fn a_model_that_never_comes_to_an_end_is_stopped() {
    let again = ModelScript::nothing().calling("mcp_files__read", "{}");
    let fixture = with_rules(vec![again; 10], |rules| rules.max_rounds = 3);
    fixture.say("Go").await;
    assert_eq!(fixture.answer().await, TurnEnd::Failed("The agent had not come to an end after 3 steps.".to_owned()));
    assert_eq!(fixture.tools.called().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_takes_too_long_is_ended() {
    let fixture = answered_by([ModelScript::says("Wait").hanging()]);
    fixture.say("Go").await;
    assert_eq!(fixture.answer().await, TurnEnd::Failed("The turn took longer than 900 seconds.".to_owned()));
    assert!(fixture.last().await.content.text.as_str().starts_with("Wait\n\n"));
}

#[tokio::test]
async fn a_turn_that_is_stopped_keeps_what_was_said() {
    let fixture = answered_by([ModelScript::says("Once").hanging()]);
    fixture.say("A story").await;
    let (end, stopped) = tokio::join!(fixture.answer(), async {
        while fixture.model.asked().is_empty() {
            tokio::task::yield_now().await;
        }
        fixture.chats.stop(&Principal::on_this_machine(), &session())
    });
    assert_eq!((end, stopped), (TurnEnd::Stopped, true));
    assert_eq!(fixture.last().await.content.text.as_str(), "Once");
    assert_eq!(fixture.last_metadata().await["stopped"], true);
    assert!(!fixture.chats.stop(&Principal::on_this_machine(), &session()), "nothing is left to stop");
}

#[tokio::test]
async fn a_turn_that_is_stopped_before_it_begins_asks_nobody() {
    let fixture = answered_by([]);
    fixture.say("A story").await;
    assert!(fixture.chats.stop(&Principal::on_this_machine(), &session()));
    assert_eq!(fixture.answer().await, TurnEnd::Stopped);
    assert_eq!(fixture.model.asked(), []);
    assert_eq!(fixture.last().await.content.text.as_str(), NOTHING_SAID);
}

#[tokio::test]
async fn the_user_is_asked_and_answers_with_the_next_message() {
    let mut fixture = answered_by([
        ModelScript::nothing().calling("ask_user", r#"{"question":"Which colour?","options":["red","blue"]}"#),
        ModelScript::says("Blue it is."),
    ]);
    fixture.say("Paint it").await;
    let (end, said) = tokio::join!(fixture.answer(), async {
        while !fixture.is_waiting() {
            tokio::task::yield_now().await;
        }
        assert_eq!(fixture.agent.status().sessions[0].state, SessionState::WaitingForUser);
        fixture.say("blue").await
    });
    assert!(matches!(said, Said::Reply { .. }), "{said:?}");
    assert_eq!(end, TurnEnd::Answered);
    assert_eq!(fixture.results(1)[0].content, "blue");
    let asked = fixture.told().into_iter().find_map(|news| match news {
        News::Agent(AgentEvent::Asked(question)) => Some(question),
        _ => None,
    });
    assert_eq!(asked.unwrap().options, ["red", "blue"]);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_nobody_answers_is_not_waited_for_for_ever() {
    let fixture = answered_by([
        ModelScript::nothing().calling("ask_user", r#"{"question":"Anybody there?"}"#),
        ModelScript::says("Nobody."),
    ]);
    fixture.say("Hello").await;
    let began = Instant::now();
    assert_eq!(fixture.answer().await, TurnEnd::Answered);
    assert!(began.elapsed() >= QUESTION_LIMIT);
    assert_eq!(fixture.results(1)[0].content, "The user did not answer in time.");
}

#[tokio::test]
async fn a_plan_is_approved_or_nothing_is_changed() {
    for (approved, called) in [(true, vec!["write {}"]), (false, vec![])] {
        let fixture = with_rules(
            [ModelScript::nothing().calling("mcp_files__write", "{}"), ModelScript::says("Done.")],
            |rules| rules.plan_mode = true,
        );
        fixture.say("Write it").await;
        let (end, decided) = tokio::join!(fixture.answer(), async {
            let owner = Principal::on_this_machine();
            while !fixture.is_waiting() {
                tokio::task::yield_now().await;
            }
            assert_eq!(fixture.chats.decide(&client(), None, true), None, "nobody speaks for the owner");
            fixture.chats.decide(&owner, None, approved)
        });
        assert_eq!((end, decided), (TurnEnd::Answered, Some(session())));
        assert_eq!(fixture.tools.called(), called);
        assert_eq!(fixture.results(1)[0].is_error, !approved);
    }
}

#[tokio::test]
async fn what_changes_nothing_needs_no_approval() {
    let fixture =
        with_rules([ModelScript::nothing().calling("mcp_files__read", "{}"), ModelScript::says("Done.")], |rules| {
            rules.plan_mode = true;
        });
    fixture.say("Read it").await;
    assert_eq!(fixture.answer().await, TurnEnd::Answered);
    assert_eq!(fixture.tools.called(), ["read {}"]);
}

#[tokio::test]
async fn a_turn_that_is_taken_up_again_calls_nothing_twice() {
    let fixture = answered_by([
        ModelScript::says("Writing.").calling("mcp_files__write", "{}").calling("mcp_files__hang", "{}"),
        ModelScript::says("It was written."),
    ]);
    fixture.say("Write it").await;
    let claimed = fixture.agent.claim(1).await.unwrap().pop().unwrap();
    {
        // The server ends while the second call runs.
        let run = fixture.agent.run(&claimed);
        tokio::pin!(run);
        while fixture.tools.called().len() < 2 {
            assert!((&mut run).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(fixture.agent.recover().await.unwrap(), 1);
    assert_eq!(fixture.answer().await, TurnEnd::Answered);
    assert_eq!(fixture.tools.called(), ["write {}", "hang {}"]);
    let results = fixture.results(1);
    assert_eq!(results.len(), 2);
    assert!(results[1].content.starts_with("The server ended during this call."), "{}", results[1].content);
    assert_eq!(fixture.last().await.content.text.as_str(), "Writing.\n\nIt was written.");
}

#[tokio::test]
async fn a_turn_that_is_stopped_ends_the_calls_it_had_begun() {
    let fixture =
        answered_by([ModelScript::nothing().calling("mcp_files__hang", "{}").calling("mcp_files__write", "{}")]);
    fixture.say("Write it").await;
    let (end, ()) = tokio::join!(fixture.answer(), async {
        while fixture.tools.called().is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(fixture.chats.stop(&Principal::on_this_machine(), &session()));
    });
    assert_eq!(end, TurnEnd::Stopped);
    assert_eq!(fixture.tools.called(), ["hang {}"]);
    let metadata: Value = serde_json::from_str(fixture.last().await.content.metadata.as_json()).unwrap();
    let results = [0, 1].map(|at| &metadata["steps"][0]["calls"][at]["result"]);
    assert_eq!(results, ["The turn was ended during this call.", "The turn was ended before."]);
    let noted = AuditLog::recent(&*fixture.storage, PageLimit::clamped(100)).await.unwrap();
    assert_eq!(noted.iter().filter(|entry| entry.action == "mcp_tool_finished").count(), 1, "the other was not begun");
}

#[tokio::test]
async fn who_is_not_the_owner_is_marked_in_the_history() {
    let fixture = answered_by([ModelScript::says("Hi!"), ModelScript::says("Hi again!")]);
    for (principal, origin) in [(client(), "client".into()), (Principal::on_this_machine(), Value::Null)] {
        fixture.say_as(&principal, "Hello").await;
        assert_eq!(fixture.answer().await, TurnEnd::Answered);
        let history = fixture.storage.history(&session(), PageLimit::clamped(2)).await.unwrap();
        let metadata: Value = serde_json::from_str(history[0].content.metadata.as_json()).unwrap();
        assert_eq!(metadata["origin"], origin);
    }
}
