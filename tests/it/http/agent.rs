//! What the agent is doing.

mod stream;

use crate::support::{TestApp, soon};
use axum::http::Method;
use pawport::adapters::fake::{Script, ScriptedAgent};
use pawport::domain::agent::service::MAX_ATTEMPTS;
use pawport::domain::session::Role;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const STATUS: &str = "/api/v1/agent/status";

/// An app whose agent follows the scripts.
fn app_with(scripts: impl IntoIterator<Item = Script>) -> (TestApp, Arc<ScriptedAgent>) {
    let agent = Arc::new(ScriptedAgent::following(scripts));
    (TestApp::with_agent(Arc::clone(&agent) as _), agent)
}

/// Delivers a message to the slot of that name, which has one session and is added if it is new.
async fn ask(app: &TestApp, slot: &str, content: &str) {
    let added = app.token_user().post("/api/webhooks/add", json!({ "name": slot, "session": "slot" })).await;
    let secret = match added.status().as_u16() {
        200 => added.json()["webhook"]["secret"].clone(),
        _ => {
            let name = json!({ "name": slot });
            app.token_user().post("/api/webhooks/regenerate-secret", name).await.json()["secret"].clone()
        }
    };
    let call = app.anonymous().call(Method::POST, &format!("/webhook/inbound/{slot}"));
    let call = call.header("x-webhook-secret", secret.as_str().expect("a secret"));
    call.json(&json!({ "content": content })).send().await.assert_status(200);
}

async fn status(app: &TestApp) -> Value {
    app.token_user().get(STATUS).await.assert_status(200).json()
}

#[tokio::test]
async fn an_idle_agent_says_how_long_it_has_been_there() {
    let app = TestApp::new();
    app.pass(Duration::from_millis(75_999));
    insta::assert_json_snapshot!(status(&app).await, @r#"
    {
      "global": {
        "active_sessions": 0,
        "max_concurrent": 5,
        "state": "idle",
        "uptime_seconds": 75
      },
      "sessions": []
    }
    "#);
    app.token_user().get("/api/agent/status").await.assert_error(404, "Not Found");
}

#[tokio::test]
async fn a_turn_is_shown_step_by_step() {
    let script = Script::new().pause().tool_started("ls").pause().tool_finished("ls", "").pause().text("done").pause();
    let (app, agent) = app_with([script]);
    app.say("webhook_ci", Role::User, "How many files are there?").await;
    ask(&app, "ci", "Count them").await;
    assert_eq!(status(&app).await["sessions"], json!([]), "a turn that waits is not shown");

    let answering = app.answering_turns();
    soon(agent.paused()).await;
    app.pass(Duration::from_millis(4_449));
    insta::assert_json_snapshot!(status(&app).await, @r#"
    {
      "global": {
        "active_sessions": 1,
        "max_concurrent": 5,
        "state": "active",
        "uptime_seconds": 4
      },
      "sessions": [
        {
          "channel": "webhook",
          "duration_seconds": 4.4,
          "error_message": null,
          "session_id": "ci",
          "session_key": "webhook:ci",
          "state": "thinking",
          "title": "How many files are there?",
          "token_usage": null,
          "tool_name": null
        }
      ]
    }
    "#);
    let mut steps = Vec::new();
    for _ in 0..3 {
        agent.resume();
        soon(agent.paused()).await;
        let session = status(&app).await["sessions"][0].clone();
        steps.push((session["state"].clone(), session["tool_name"].clone()));
    }
    let expected = [("tool_running", json!("ls")), ("thinking", json!(null)), ("streaming", json!(null))];
    assert_eq!(steps, expected.map(|(state, tool)| (json!(state), tool)));

    agent.resume();
    assert_eq!(soon(answering.join_all()).await, [1]);
    let idle = status(&app).await;
    assert_eq!((&idle["global"]["state"], &idle["sessions"]), (&json!("idle"), &json!([])));
}

#[tokio::test]
async fn the_title_of_the_user_is_shown() {
    let (app, agent) = app_with([Script::new().pause()]);
    app.say("webhook_ci", Role::User, "first words").await;
    app.token_user().post("/api/sessions/webhook_ci/title", json!({ "title": "Nightly" })).await.assert_status(200);
    ask(&app, "ci", "go").await;
    let answering = app.answering_turns();
    soon(agent.paused()).await;
    assert_eq!(status(&app).await["sessions"][0]["title"], "Nightly");
    drop(answering);
}

#[tokio::test]
async fn a_failure_is_shown_for_half_a_minute() {
    let (app, _) = app_with([Script::new().text("Let me see").fail("The model went away")]);
    ask(&app, "ci", "Why?").await;
    app.answer_turns().await;
    app.pass(Duration::from_millis(29_999));
    insta::assert_json_snapshot!(status(&app).await, @r#"
    {
      "global": {
        "active_sessions": 0,
        "max_concurrent": 5,
        "state": "degraded",
        "uptime_seconds": 29
      },
      "sessions": [
        {
          "channel": "webhook",
          "duration_seconds": 30.0,
          "error_message": "The model went away",
          "session_id": "ci",
          "session_key": "webhook:ci",
          "state": "error",
          "title": "Why?",
          "token_usage": null,
          "tool_name": null
        }
      ]
    }
    "#);
    app.pass(Duration::from_millis(1));
    let idle = status(&app).await;
    assert_eq!((&idle["global"]["state"], &idle["sessions"]), (&json!("idle"), &json!([])));
}

#[tokio::test]
async fn a_failed_session_that_goes_on_is_not_failed_any_more() {
    let (app, agent) = app_with([Script::new().fail("no model"), Script::new().pause()]);
    ask(&app, "ci", "one").await;
    app.answer_turns().await;
    assert_eq!(status(&app).await["global"]["state"], "degraded");
    ask(&app, "ci", "two").await;
    let answering = app.answering_turns();
    soon(agent.paused()).await;
    let status = status(&app).await;
    assert_eq!((&status["global"]["state"], &status["sessions"][0]["state"]), (&json!("active"), &json!("thinking")));
    drop(answering);
}

#[tokio::test]
async fn sessions_are_counted_while_they_are_answered() {
    let (app, agent) = app_with([Script::new().fail("no model"), Script::new().pause(), Script::new().pause()]);
    ask(&app, "a", "fails").await;
    app.answer_turns().await;
    ask(&app, "c", "three").await;
    ask(&app, "b", "two").await;
    let (first, second) = (app.answering_turns(), app.answering_turns());
    // The first took both turns, and answers one after the other.
    soon(agent.paused()).await;
    let global = status(&app).await["global"].clone();
    assert_eq!((&global["state"], &global["active_sessions"]), (&json!("degraded"), &json!(1)));
    agent.resume();
    soon(agent.paused()).await;
    let sessions = status(&app).await["sessions"].clone();
    let keys: Vec<_> = sessions.as_array().unwrap().iter().map(|session| session["session_key"].clone()).collect();
    assert_eq!(keys, ["webhook:a", "webhook:b"]);
    agent.resume();
    assert_eq!((soon(first.join_all()).await, soon(second.join_all()).await), (vec![2], vec![0]));
}

/// The session of a turn that is given up must not be shown as busy for ever.
#[tokio::test]
async fn a_turn_that_is_given_up_does_not_stay_in_the_status() {
    let (app, _) = app_with([]);
    ask(&app, "ci", "boom").await;
    for _ in 0..MAX_ATTEMPTS {
        // The program ends between the claim and the answer.
        assert_eq!(app.agent().claim(1).await.unwrap().len(), 1);
        app.agent().recover().await.unwrap();
    }
    assert_eq!(app.answer_turns().await, 1);
    assert_ne!(status(&app).await["global"]["state"], "active");
    app.pass(Duration::from_secs(30));
    let idle = status(&app).await;
    assert_eq!((&idle["global"]["state"], &idle["sessions"]), (&json!("idle"), &json!([])));
}
