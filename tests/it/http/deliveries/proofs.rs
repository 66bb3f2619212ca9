//! How senders prove that a delivery is their own.

use super::{BODY, REFUSAL, Slot, request_id, said};
use crate::support::{START, TestApp};
use pawport::domain::agent::service::REPEATS_ANSWERED_FOR;
use serde_json::json;
use std::time::Duration;

/// The app's time, in seconds.
const NOW: i64 = START.0 / 1_000;

#[tokio::test]
async fn any_takes_the_secret_or_a_signature_under_either_name() {
    let app = TestApp::new();
    let slot = Slot::add(&app, "ci").await;
    let signature = slot.hex_signature(BODY.as_bytes());
    for (name, value) in [
        ("x-webhook-secret", slot.secret.clone()),
        ("X-Webhook-Secret", format!(" {} ", slot.secret)),
        ("x-webhook-signature", signature.clone()),
        ("x-hub-signature-256", signature.clone()),
    ] {
        slot.call(&app, "").header(name, value).body(BODY).send().await.assert_status(200);
    }
    // One good proof is enough.
    let call = slot.proven(&app, "").header("x-webhook-signature", "sha256=00").header("x-hub-signature-256", "");
    call.body(BODY).send().await.assert_status(200);
    let call = slot.call(&app, "").header("x-webhook-secret", "wrong").header("x-hub-signature-256", signature);
    call.body(BODY).send().await.assert_status(200);
    assert_eq!(app.answer_turns().await, 6);
}

#[tokio::test]
async fn any_refuses_everything_else() {
    let app = TestApp::new();
    let (slot, other) = (Slot::add(&app, "ci").await, Slot::add(&app, "other").await);
    let signature = slot.hex_signature(BODY.as_bytes());
    let not_prefixed = signature.trim_start_matches("sha256=");
    for (name, value) in [
        ("x-webhook-secret", String::new()),
        ("x-webhook-secret", other.secret.clone()),
        ("x-webhook-secret", slot.secret[..42].to_owned()),
        ("x-webhook-secret", format!("{}A", slot.secret)),
        ("x-webhook-secret", slot.secret.to_lowercase()),
        ("x-webhook-secret", format!("***{}", &slot.secret[39..])),
        ("x-webhook-secret", "x".repeat(60 * 1024)),
        ("authorization", format!("Bearer {}", slot.secret)),
        ("x-webhook-signature", other.hex_signature(BODY.as_bytes())),
        ("x-webhook-signature", slot.hex_signature(b"another body")),
        ("x-webhook-signature", not_prefixed.to_owned()),
        ("x-webhook-signature", format!("sha1={not_prefixed}")),
        ("x-webhook-signature", format!("{signature}00")),
        ("x-webhook-signature", signature[..signature.len() - 2].to_owned()),
        ("x-webhook-signature", "sha256=".to_owned()),
        ("x-webhook-signature", format!("sha256={}", "zz".repeat(32))),
        ("x-hub-signature", signature.clone()),
        ("x-signature", signature.clone()),
    ] {
        let answer = slot.call(&app, "").header(name, &value).body(BODY).send().await;
        assert_eq!(answer.status(), 403, "{name}: {value}");
        answer.assert_error(403, REFUSAL);
    }
    slot.call(&app, &format!("?secret={}", slot.secret)).body(BODY).send().await.assert_error(403, REFUSAL);
    slot.call(&app, "").header("x-webhook-secret", b"caf\xe9").body(BODY).send().await.assert_error(403, REFUSAL);
    let call = app.token_user().call(axum::http::Method::POST, "/webhook/inbound/ci").body(BODY);
    call.send().await.assert_error(403, REFUSAL);
    assert_eq!(app.answer_turns().await, 0);
}

#[tokio::test]
async fn github_is_taken_at_its_signature_only() {
    let app = TestApp::new();
    let slot = Slot::add_with(&app, "gh", json!({ "scheme": "github" })).await;
    let signature = slot.hex_signature(BODY.as_bytes());
    let call = slot.call(&app, "").header("x-hub-signature-256", &signature).header("x-github-event", "issues");
    call.body(BODY).send().await.assert_status(200);
    for (name, value) in [
        ("x-webhook-secret", &slot.secret),
        ("x-webhook-signature", &signature),
        ("x-hub-signature-256", &slot.hex_signature(b"{}")),
    ] {
        slot.call(&app, "").header(name, value).body(BODY).send().await.assert_error(403, REFUSAL);
    }
    assert_eq!(app.answer_turns().await, 1);
}

#[tokio::test]
async fn standard_webhooks_are_taken_within_five_minutes_either_way() {
    let app = TestApp::new();
    let slot = Slot::add_with(&app, "std", json!({ "scheme": "standard" })).await;
    for (number, seconds) in [NOW, NOW - 300, NOW + 300].into_iter().enumerate() {
        let call = slot.signed(&app, "", &format!("msg_{number}"), seconds, BODY);
        call.send().await.assert_status(200);
    }
    for (number, seconds) in [NOW - 301, NOW + 301, 0, -1, i64::MIN, i64::MAX].into_iter().enumerate() {
        let call = slot.signed(&app, "", &format!("late_{number}"), seconds, BODY);
        call.send().await.assert_error(403, REFUSAL);
    }
    app.pass(Duration::from_millis(1));
    slot.signed(&app, "", "msg_9", NOW - 300, BODY).send().await.assert_error(403, REFUSAL);
    assert_eq!(app.answer_turns().await, 3);
}

#[tokio::test]
async fn standard_webhooks_are_signed_as_a_whole() {
    let app = TestApp::new();
    let slot = Slot::add_with(&app, "std", json!({ "scheme": "standard" })).await;
    let good = slot.standard_signature("msg_1", NOW, BODY);
    let now = NOW.to_string();
    let longest = "i".repeat(256);
    let longest_signature = slot.standard_signature(&longest, NOW, BODY);
    for (id, seconds, signature, body, status) in [
        ("msg_1", &*now, &*good, BODY, 200),
        // Keys are rolled over by sending several signatures.
        ("msg_1", &now, &format!("v1,AAAA v1a,BBBB {good} v2,x"), BODY, 200),
        (&longest, &now, &longest_signature, BODY, 200),
        ("msg_2", &now, &good, BODY, 403),
        ("msg_1", &(NOW + 1).to_string(), &good, BODY, 403),
        ("msg_1", &now, &good, r#"{"content":"something else"}"#, 403),
        ("msg_1", &now, &good[3..], BODY, 403),
        ("msg_1", &now, &good.replace("v1,", "v2,"), BODY, 403),
        ("msg_1", &now, &good.replace("v1,", "v1="), BODY, 403),
        ("msg_1", &now, &good[..good.len() - 4], BODY, 403),
        ("msg_1", &now, "", BODY, 403),
        ("msg_1", "", &good, BODY, 403),
        ("msg_1", "soon", &good, BODY, 403),
        ("", &now, &slot.standard_signature("", NOW, BODY), BODY, 403),
        (&"i".repeat(257), &now, &slot.standard_signature(&"i".repeat(257), NOW, BODY), BODY, 403),
    ] {
        let call = slot.call(&app, "").header("webhook-id", id).header("webhook-timestamp", seconds);
        let answer = call.header("webhook-signature", signature).body(body.to_owned()).send().await;
        assert_eq!(answer.status().as_u16(), status, "{id} {seconds} {signature} {body}");
    }
    for missing in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let headers = [("webhook-id", "msg_1"), ("webhook-timestamp", &now), ("webhook-signature", &good)];
        let given = headers.into_iter().filter(|(name, _)| *name != missing);
        let call = given.fold(slot.call(&app, ""), |call, (name, value)| call.header(name, value));
        call.body(BODY).send().await.assert_error(403, REFUSAL);
    }
    slot.proven(&app, "").body(BODY).send().await.assert_error(403, REFUSAL);
    let call = slot.call(&app, "").header("x-hub-signature-256", slot.hex_signature(BODY.as_bytes()));
    call.body(BODY).send().await.assert_error(403, REFUSAL);
    assert_eq!(app.answer_turns().await, 2);
}

#[tokio::test]
async fn a_repeated_id_is_answered_like_the_first_time_and_run_once() {
    let app = TestApp::new();
    let slot = Slot::add_with(&app, "std", json!({ "scheme": "standard" })).await;
    let first = slot.signed(&app, "", "msg_1", NOW, BODY).send().await;
    let audited = app.token_user().get("/api/audit").await.json();
    // Still waiting, while being answered, and answered.
    for expected in [0, 1, 0] {
        let again = slot.signed(&app, "", "msg_1", NOW + 7, BODY).send().await;
        assert_eq!(again.assert_status(200).json(), first.json());
        // The sender's retry may differ in what is not the id.
        let again = slot.signed(&app, "", "msg_1", NOW, r#"{"content":"changed"}"#).send().await;
        assert_eq!(again.json(), first.json());
        if expected == 1 {
            assert_eq!(app.answer_turns().await, 1);
        }
    }
    assert_eq!(app.answer_turns().await, 0);
    let session = format!("webhook_{}", request_id(&first));
    assert_eq!(said(&app, &session).await.len(), 2);
    assert_eq!(super::session_count(&app).await, 1);
    assert_eq!(app.token_user().get("/api/audit").await.json(), audited, "a repetition changes nothing");
}

#[tokio::test]
async fn ids_are_told_apart_by_slot_and_to_the_letter() {
    let app = TestApp::new();
    let one = Slot::add_with(&app, "one", json!({ "scheme": "standard" })).await;
    let two = Slot::add_with(&app, "two", json!({ "scheme": "standard" })).await;
    let mut ids = Vec::new();
    for (slot, id) in [(&one, "msg_1"), (&two, "msg_1"), (&one, "MSG_1"), (&one, "msg_10"), (&one, "two/msg_1")] {
        ids.push(request_id(&slot.signed(&app, "", id, NOW, BODY).send().await));
    }
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), app.answer_turns().await), (5, 5));
}

#[tokio::test]
async fn a_repeated_id_counts_anew_after_a_day() {
    let app = TestApp::new();
    let slot = Slot::add_with(&app, "std", json!({ "scheme": "standard" })).await;
    let first = request_id(&slot.signed(&app, "", "msg_1", NOW, BODY).send().await);
    app.answer_turns().await;
    let day = i64::try_from(REPEATS_ANSWERED_FOR.as_secs()).unwrap();
    assert_eq!(day, 24 * 60 * 60);

    app.pass(REPEATS_ANSWERED_FOR);
    app.agent().forget_old_answers().await.unwrap();
    assert_eq!(request_id(&slot.signed(&app, "", "msg_1", NOW + day, BODY).send().await), first);
    app.pass(Duration::from_secs(1));
    app.agent().forget_old_answers().await.unwrap();
    assert_ne!(request_id(&slot.signed(&app, "", "msg_1", NOW + day + 1, BODY).send().await), first);
    assert_eq!(app.answer_turns().await, 1);
}

/// Without an id under a signature two equal deliveries are two deliveries.
#[tokio::test]
async fn other_schemes_know_no_repetition() {
    let app = TestApp::new();
    let slot = Slot::add(&app, "ci").await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(request_id(&slot.proven(&app, "").header("webhook-id", "msg_1").body(BODY).send().await));
    }
    assert_ne!(ids[0], ids[1]);
    assert_eq!(app.answer_turns().await, 2);
}
