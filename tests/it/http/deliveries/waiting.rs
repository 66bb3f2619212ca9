//! Senders who wait for the agent's answer.

use super::{BODY, Slot, request_id, said, session_count};
use crate::support::{Failure, Response, START, TestApp, soon};
use futures_util::FutureExt;
use pawport::adapters::fake::{Script, ScriptedAgent};
use serde_json::json;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const NOW: i64 = START.0 / 1_000;

/// Delivers and waits, while somebody answers what comes in.
async fn ask(app: &TestApp, slot: &Slot, query: &str, content: &str) -> Response {
    let call = slot.proven(app, query).json(&json!({ "content": content }));
    let (answer, answered) = tokio::join!(call.send(), app.answer_next());
    assert_eq!(answered, 1);
    answer
}

#[tokio::test]
async fn the_answer_comes_with_it() {
    let app = TestApp::new();
    let slot = Slot::add(&app, "ci").await;
    insta::assert_json_snapshot!(ask(&app, &slot, "?wait=true", "/ping").await.assert_status(200).json(), @r#"
    {
      "request_id": "01a206b4-7b08-7c76-94ec-fd7b0b623b80",
      "response": "pong",
      "status": "ok"
    }
    "#);
    let answer = ask(&app, &slot, "?wait=true", "summarise this").await;
    insta::assert_json_snapshot!(answer.assert_status(200).json(), @r#"
    {
      "request_id": "01a206b4-7b08-7df2-9c03-41a4dfca3200",
      "response": "Received: “summarise this”\n\nNo language model is connected, so this is all I can say. See “Connecting a model” in docs/operations.md, or send /help.",
      "status": "ok"
    }
    "#);
    let stored = said(&app, &format!("webhook_{}", request_id(&answer))).await;
    assert_eq!(answer.json()["response"], stored[1].1);
}

#[tokio::test]
async fn there_are_many_words_for_yes_and_no() {
    let app = TestApp::new();
    let slot = Slot::add(&app, "ci").await;
    for yes in ["true", "TRUE", "1", "yes", "on", "t", "Y", "false&wait=1"] {
        let answer = ask(&app, &slot, &format!("?wait={yes}"), "/ping").await.json();
        assert_eq!((&answer["status"], &answer["response"]), (&json!("ok"), &json!("pong")), "{yes}");
    }
    for no in ["?wait=false", "?wait=0", "?wait=No", "?wait=off", "?wait=f", "?wait=n", "", "?Wait=1", "?wait=1&wait=0"]
    {
        let answer = ask(&app, &slot, no, "/ping").await.json();
        assert_eq!((&answer["status"], answer.get("response")), (&json!("accepted"), None), "{no}");
    }
    for word in ["", "maybe", "2", "-1", "true%20", "null", "%FF"] {
        let answer = slot.proven(&app, &format!("?wait={word}")).body(BODY).send().await;
        answer.assert_invalid("bool_parsing", &["query", "wait"], "Input should be a valid boolean");
    }
    assert_eq!(app.answer_turns().await, 0);
}

#[tokio::test]
async fn a_failed_turn_is_answered_with_the_reason() {
    let script = Script::new().fail("The model went away");
    let app = TestApp::with_agent(Arc::new(ScriptedAgent::following([script])));
    let slot = Slot::add(&app, "ci").await;
    let answer = ask(&app, &slot, "?wait=true", "hello").await.json();
    assert_eq!((&answer["status"], &answer["response"]), (&json!("ok"), &json!("The model went away")));
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_vain_is_told_after_the_time_of_the_slot() {
    let app = TestApp::new();
    for (name, seconds) in [("short", Some(1)), ("default", None), ("long", Some(300))] {
        let slot = Slot::add_with(&app, name, json!({ "sync_timeout": seconds })).await;
        let begun = Instant::now();
        let answer = slot.proven(&app, "?wait=true").json(&json!({ "content": "/ping" })).send().await;
        let id = request_id(&answer);
        answer.assert_json(200, &json!({ "status": "timeout", "request_id": id }));
        assert_eq!(begun.elapsed().as_secs(), seconds.unwrap_or(30));

        // It is answered all the same, in the session.
        assert_eq!(app.answer_turns().await, 1);
        assert_eq!(said(&app, &format!("webhook_{id}")).await[1].1, "pong");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_at_the_last_moment_is_in_time() {
    let agent = Arc::new(ScriptedAgent::following([Script::new().pause().text("made it")]));
    let app = TestApp::with_agent(Arc::clone(&agent) as _);
    let slot = Slot::add_with(&app, "ci", json!({ "sync_timeout": 10 })).await;
    let resume = async {
        soon(agent.paused()).await;
        tokio::time::advance(Duration::from_millis(9_990)).await;
        agent.resume();
    };
    let call = slot.proven(&app, "?wait=true").body(BODY);
    let (answer, _, ()) = tokio::join!(call.send(), app.answer_next(), resume);
    assert_eq!(answer.json()["response"], "made it");
}

#[tokio::test]
async fn a_repeated_id_waits_for_the_first_answer() {
    let app = TestApp::new();
    let slot = Slot::add_with(&app, "std", json!({ "scheme": "standard" })).await;
    let wait = || slot.signed(&app, "?wait=true", "msg_1", NOW, r#"{"content":"/ping"}"#).send();
    // Two at once, one turn.
    let (one, two, answered) = tokio::join!(wait(), wait(), app.answer_next());
    assert_eq!(answered, 1);
    let id = request_id(&one);
    let expected = json!({ "status": "ok", "request_id": id, "response": "pong" });
    one.assert_json(200, &expected);
    two.assert_json(200, &expected);
    // And after it was answered.
    wait().await.assert_json(200, &expected);
    let answer = slot.signed(&app, "", "msg_1", NOW, BODY).send().await;
    answer.assert_json(200, &json!({ "status": "accepted", "request_id": id }));
    assert_eq!((app.answer_turns().await, session_count(&app).await), (0, json!(1)));
}

#[tokio::test(start_paused = true)]
async fn a_repeated_id_can_be_waited_for_after_a_timeout() {
    let app = TestApp::new();
    let slot = Slot::add_with(&app, "std", json!({ "scheme": "standard" })).await;
    let wait = || slot.signed(&app, "?wait=true", "msg_1", NOW, r#"{"content":"/ping"}"#).send();
    let first = wait().await.json();
    assert_eq!(first["status"], "timeout");
    let (second, answered) = tokio::join!(wait(), app.answer_turns());
    assert_eq!(answered, 1);
    second.assert_json(200, &json!({ "status": "ok", "request_id": first["request_id"], "response": "pong" }));
}

/// A repetition that cannot be looked up is told to come again; it must not take the answer from who waits already.
#[tokio::test]
async fn a_repetition_that_fails_does_not_disturb_the_first() {
    let app = TestApp::new();
    let slot = Slot::add_with(&app, "std", json!({ "scheme": "standard" })).await;
    let wait = || slot.signed(&app, "?wait=true", "msg_1", NOW, r#"{"content":"/ping"}"#).send();
    let mut first = pin!(wait());
    assert!(first.as_mut().now_or_never().is_none());
    // The repetition reads the slot, offers its turn, and asks where the first one stands.
    app.fail_call(3, Failure::Unavailable);
    wait().await.assert_status(503);
    assert!(app.has_failed());
    assert_eq!(app.answer_turns().await, 1);
    assert_eq!(first.await.json()["response"], "pong");
}

#[tokio::test]
async fn a_sender_who_hangs_up_is_answered_in_the_session() {
    let app = TestApp::new();
    let slot = Slot::add_with(&app, "ci", json!({ "session": "slot" })).await;
    {
        let mut waiting = pin!(slot.proven(&app, "?wait=true").json(&json!({ "content": "/ping" })).send());
        assert!(waiting.as_mut().now_or_never().is_none());
    }
    assert_eq!(app.answer_turns().await, 1);
    assert_eq!(said(&app, "webhook_ci").await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_server_ends_the_wait_at_once() {
    let app = TestApp::new();
    let slot = Slot::add(&app, "ci").await;
    let begun = Instant::now();
    let mut waiting = pin!(slot.proven(&app, "?wait=true").body(BODY).send());
    assert!(waiting.as_mut().now_or_never().is_none());
    app.agent().stop_waiting();
    let answer = waiting.await;
    answer.assert_json(200, &json!({ "status": "timeout", "request_id": request_id(&answer) }));
    // Who comes afterwards is not kept either, but taken.
    let answer = slot.proven(&app, "?wait=true").body(BODY).send().await;
    answer.assert_json(200, &json!({ "status": "timeout", "request_id": request_id(&answer) }));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(app.answer_turns().await, 2);
}
