//! What a stranger learns, and what the audit log says about it.

use super::{BODY, REFUSAL, Slot, session_count};
use crate::support::{Response, START, TestApp};
use axum::http::Method;
use serde_json::{Value, json};
use std::time::Duration;

async fn audit(app: &TestApp) -> Vec<Value> {
    let log = app.token_user().get("/api/audit?limit=1000").await.json();
    let refusals = log.as_array().expect("a list").iter().filter(|entry| entry["action"] == "webhook_refused");
    refusals.cloned().collect()
}

#[tokio::test]
async fn an_unknown_slot_and_a_bad_proof_get_the_same_answer() {
    let app = TestApp::new();
    Slot::add(&app, "any").await;
    Slot::add_with(&app, "gh", json!({ "scheme": "github" })).await;
    let standard = Slot::add_with(&app, "std", json!({ "scheme": "standard" })).await;
    let now = (START.0 / 1_000).to_string();
    let signature = standard.standard_signature("another", START.0 / 1_000, BODY);
    let proofs: [&[(&str, &str)]; 7] = [
        &[],
        &[("x-webhook-secret", "wrong")],
        &[("x-webhook-signature", "sha256=00")],
        &[("x-hub-signature-256", "sha256=00")],
        &[("webhook-id", "msg_1")],
        &[("webhook-id", "msg_1"), ("webhook-timestamp", &now), ("webhook-signature", &signature)],
        &[("x-webhook-secret", "wrong"), ("webhook-id", ""), ("webhook-signature", "v1,")],
    ];
    let names =
        ["any", "gh", "std", "nope", "Any", "x_compaction", "a.b", "%20any%20x", "%FF", "%00", &"n".repeat(2_000)];
    for proof in proofs {
        for (query, body) in [("", BODY), ("?wait=true", BODY), ("", "{"), ("", ""), ("", "[1]")] {
            let mut answers: Vec<(u16, String, String)> = Vec::new();
            for name in names {
                let call = app.anonymous().call(Method::POST, &format!("/webhook/inbound/{name}{query}"));
                let call = proof.iter().fold(call, |call, (name, value)| call.header(name, value));
                // Otherwise the number of the request would be the difference.
                let answer: Response = call.header("x-request-id", "same").body(body).send().await;
                let headers = format!("{:?}", answer.headers());
                answers.push((answer.status().as_u16(), answer.text().to_owned(), headers));
            }
            assert_eq!(answers[0].0, 403);
            assert_eq!(answers[0].1, format!("{{\"detail\":\"{REFUSAL}\"}}"));
            assert!(answers.iter().all(|answer| *answer == answers[0]), "{proof:?} {query} {body}: {answers:#?}");
        }
    }
    assert_eq!((app.answer_turns().await, session_count(&app).await), (0, json!(0)));
}

/// What is wrong without regard to the slot is said before the slot is looked at, so it gives nothing away either.
#[tokio::test]
async fn what_is_wrong_with_the_request_is_said_for_every_slot() {
    let app = TestApp::new();
    Slot::add(&app, "ci").await;
    for name in ["ci", "nope", "a.b"] {
        let path = format!("/webhook/inbound/{name}");
        let answer = app.anonymous().call(Method::POST, &format!("{path}?wait=maybe")).body(BODY).send().await;
        answer.assert_invalid("bool_parsing", &["query", "wait"], "Input should be a valid boolean");
        let answer = app.anonymous().call(Method::POST, &path).body("x".repeat(1024 * 1024 + 1)).send().await;
        answer.assert_error(413, "The body is larger than 1 MiB");
    }
    assert_eq!(audit(&app).await, Vec::<Value>::new());
}

#[tokio::test]
async fn the_log_says_which_slot_was_tried() {
    let app = TestApp::new();
    let slot = Slot::add(&app, "ci").await;
    slot.call(&app, "").header("x-webhook-secret", "a guess").body(BODY).send().await.assert_status(403);
    insta::assert_json_snapshot!(audit(&app).await, @r#"
    [
      {
        "action": "webhook_refused",
        "actor": "webhook",
        "context": {
          "address": "203.0.113.7",
          "left_out": 0
        },
        "id": "01a206b4-7b08-7c76-94ec-fd7b0b623b80",
        "severity": "alert",
        "status": "block",
        "target": "ci",
        "timestamp": "2026-11-23T04:40:21.000Z"
      }
    ]
    "#);
    // What is no slot's name may be anything, a secret in the wrong place for instance.
    for name in ["nope", "bad%20name%0A", "%FF"] {
        let call = app.anonymous().call(Method::POST, &format!("/webhook/inbound/{name}")).body(BODY);
        call.send().await.assert_status(403);
        assert_eq!(audit(&app).await[0]["target"], "(no such slot)");
    }
}

#[tokio::test]
async fn strangers_cannot_fill_the_log() {
    let app = TestApp::new();
    let slot = Slot::add(&app, "ci").await;
    let refuse = async || slot.call(&app, "").body(BODY).send().await.assert_error(403, REFUSAL);
    let left_out = async |count: usize| {
        let log = audit(&app).await;
        assert_eq!(log.len(), count);
        log[0]["context"]["left_out"].clone()
    };
    for _ in 0..45 {
        refuse().await;
    }
    assert_eq!(left_out(20).await, 0);
    app.pass(Duration::from_millis(59_999));
    refuse().await;
    assert_eq!(left_out(20).await, 0);

    // The next one that is written down says how many were not.
    app.pass(Duration::from_millis(1));
    refuse().await;
    assert_eq!(left_out(21).await, 26);
    refuse().await;
    assert_eq!(left_out(22).await, 0);

    // A clock that is set back does not silence the log for longer than a minute.
    app.clock.set(START);
    for _ in 0..30 {
        refuse().await;
    }
    assert_eq!(left_out(42).await, 0);
    // Good deliveries are not counted among them.
    slot.deliver(&app).await.assert_status(200);
    assert_eq!(left_out(42).await, 0);
}

/// What a refusal costs, above all whether it is written to disk, can be measured from afar.
#[tokio::test]
async fn a_refusal_takes_the_same_work_whether_there_is_such_a_slot_or_not() {
    for (before, times) in [("ci", 0), ("ci", 19), ("ci", 20), ("another", 19), ("another", 20), ("a.b", 20)] {
        let mut work = Vec::new();
        for there_is_such_a_slot in [true, false] {
            let app = TestApp::new();
            if there_is_such_a_slot {
                Slot::add(&app, "ci").await;
            }
            let refuse = async |name: &str| {
                let call = app.anonymous().call(Method::POST, &format!("/webhook/inbound/{name}")).body(BODY);
                call.send().await.assert_error(403, REFUSAL);
            };
            for _ in 0..times {
                refuse(before).await;
            }
            let calls = app.store_calls();
            refuse("ci").await;
            work.push(app.store_calls() - calls);
        }
        assert_eq!(work[0], work[1], "calls of a store with and without the slot, after {times} refusals at {before}");
    }
}
