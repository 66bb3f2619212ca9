use super::*;
use crate::adapters::agents::builtin::BuiltinAgent;
use crate::adapters::events::BroadcastEvents;
use crate::adapters::fake::{FixedAgent, ManualClock, SeededEntropy};
use crate::adapters::in_memory::InMemoryStorage;
use crate::domain::auth::scope::Scopes;
use crate::domain::auth::{CredentialKind, Grant};
use crate::domain::text::PageLimit;
use crate::domain::time::Timestamp;
use crate::ports::audit::AuditLog;
use crate::ports::events::Heard;
use futures_util::{FutureExt, StreamExt};
use serde_json::json;

struct Fixture {
    settings: Arc<Settings>,
    storage: Arc<InMemoryStorage>,
    events: Arc<BroadcastEvents>,
}

fn over(storage: &Arc<InMemoryStorage>) -> Fixture {
    let events = Arc::new(BroadcastEvents::default());
    let clock = Arc::new(ManualClock::at(Timestamp(5)));
    let audit = Arc::new(Audit::new(storage.clone(), clock, Arc::new(SeededEntropy::new(1))));
    let settings = Settings::over(SettingsParts {
        configured: AgentSettings::builtin(),
        server: Map::new(),
        store: storage.clone(),
        agents: Arc::new(FixedAgent::runner(Arc::new(BuiltinAgent))),
        events: events.clone(),
        audit,
    });
    Fixture { settings: Arc::new(settings), storage: storage.clone(), events }
}

fn fixture() -> Fixture {
    over(&Arc::new(InMemoryStorage::new()))
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else { unreachable!("{value}") };
    object
}

async fn change(fixture: &Fixture, wanted: Value) -> Result<Changed, ChangeRefused> {
    fixture.settings.change(&Principal::on_this_machine(), &object(wanted)).await
}

#[tokio::test]
async fn a_change_holds_at_once_is_told_noted_and_there_after_a_restart() {
    let fixture = fixture();
    let mut heard = fixture.events.subscribe();
    let wanted = json!({ "agent_backend": "openai_compatible", "openai_compatible_model": "m", "openai_compatible_api_key": "hunter2" });
    change(&fixture, wanted).await.unwrap();
    let choice = fixture.settings.agent().choice.clone();
    assert_eq!(
        (choice.kind, choice.model.as_str(), choice.api_key.is_some()),
        (AgentKind::OpenAiCompatible, "m", true)
    );
    assert!(fixture.settings.has_secret("openai_compatible_api_key") && !fixture.settings.has_secret("openai_api_key"));
    assert!(matches!(heard.next().now_or_never(), Some(Some(Heard::Event(Event::SettingsChanged)))));
    let log = fixture.storage.recent(PageLimit::clamped(5)).await.unwrap();
    assert_eq!((log.len(), log[0].action.as_str()), (1, "settings_changed"));
    let members = json!(["agent_backend", "openai_compatible_model", "openai_compatible_api_key"]);
    assert_eq!(log[0].context["members"], members);
    assert!(!format!("{log:?}").contains("hunter2"));

    let again = over(&fixture.storage);
    assert_eq!(again.settings.agent().choice.kind, AgentKind::Builtin);
    again.settings.load().await.unwrap();
    assert_eq!(again.settings.agent().choice.model, "m");
    assert!(!again.settings.is_untouched());
}

#[tokio::test]
async fn what_changes_nothing_leaves_no_trace() {
    let fixture = fixture();
    let mut heard = fixture.events.subscribe();
    change(&fixture, json!({ "plan_mode": false, "agent_backend": "builtin", "openai_api_key": "" })).await.unwrap();
    change(&fixture, json!({ "plan_mode": true, "budget_reset_day": 0 })).await.unwrap_err();
    assert!(fixture.storage.recent(PageLimit::clamped(5)).await.unwrap().is_empty());
    assert!(heard.next().now_or_never().is_none());
    assert!(!fixture.settings.agent().rules.plan_mode);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_made_at_once_all_hold() {
    let fixture = fixture();
    let names: Vec<&str> = members::all()
        .iter()
        .filter(|it| matches!(it.kind, members::Kind::Switch(false)) && it.guard == members::Guard::Open)
        .map(|it| it.name)
        .collect();
    let tasks = names.iter().map(|name| {
        let (settings, wanted) = (Arc::clone(&fixture.settings), object(json!({ *name: true })));
        tokio_util::task::TaskTracker::new()
            .spawn(async move { settings.change(&Principal::on_this_machine(), &wanted).await.map(drop) })
    });
    for outcome in futures_util::future::join_all(tasks).await {
        outcome.unwrap().unwrap();
    }
    let view = fixture.settings.view();
    assert!(names.len() > 5 && names.iter().all(|name| view[*name] == true));
}

#[tokio::test]
async fn the_model_is_chosen_for_the_agent_that_answers() {
    let fixture = fixture();
    let owner = Principal::on_this_machine();
    assert_eq!(
        fixture.settings.choose_model(&owner, "m").await,
        Err("The agent builtin has no model to choose.".to_owned())
    );
    change(&fixture, json!({ "agent_backend": "anthropic" })).await.unwrap();
    fixture.settings.choose_model(&owner, " m ").await.unwrap();
    assert_eq!(fixture.settings.agent().choice.model, "m");
    assert!(fixture.settings.choose_model(&owner, " ").await.is_err());
    let grant = Grant { scopes: Scopes::DEFAULT, ..Grant::OWNER };
    let chatter = Principal { kind: CredentialKind::ApiKey, id: "k".to_owned(), grant };
    assert!(fixture.settings.choose_model(&chatter, "other").await.is_err());
    assert_eq!(fixture.settings.agent().choice.model, "m");
}

#[tokio::test]
async fn only_this_machine_and_the_chosen_address_are_asked_for_models() {
    let fixture = fixture();
    for host in [
        "http://10.0.0.1:11434",
        "https://example.org",
        "http://localhost.evil.example",
        "file:///etc",
        "http://169.254.169.254",
        "http://localhost@evil.example",
    ] {
        assert_eq!(fixture.settings.models_at(Some(host)).await, Err(NoModels::Host), "{host}");
    }
    change(&fixture, json!({ "openai_compatible_base_url": "http://10.0.0.1:1/v1" })).await.unwrap();
    assert_eq!(fixture.settings.models_at(Some("http://10.0.0.1:2")).await, Err(NoModels::Host));
}

#[tokio::test]
async fn settings_that_are_only_configured_cannot_be_changed() {
    let settings = Settings::new(AgentSettings::builtin());
    settings.load().await.unwrap();
    let wanted = object(json!({ "plan_mode": true }));
    assert!(settings.change(&Principal::on_this_machine(), &wanted).await.is_err());
}
