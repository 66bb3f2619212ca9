//! Exchanging a credential for a session.

use super::{
    FAMILIES, assert_unwritten, credential, is_good, key, key_until, last_entry, log, me, revoke, session, text,
};
use crate::support::{MASTER_TOKEN, START, TestApp};
use axum::http::Method;
use pawport::domain::time::Timestamp;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn the_access_token_gets_a_session_that_opens_everything() {
    for family in FAMILIES {
        let app = TestApp::new();
        let answer = app.token_user().call(Method::POST, &format!("{family}/auth/session")).send().await;
        let token = text(&answer.json()["session_token"]);
        answer.assert_json(200, &json!({ "session_token": token, "expires_in_hours": 24 }));
        assert!(!answer.headers().contains_key("set-cookie"), "a program keeps its token itself");
        assert!(token.starts_with("1795495221:") && token.len() == 75, "{token}");
        let me = me(&app, &token).await;
        assert_eq!((&me["kind"], &me["scopes"]), (&json!("session"), &json!(["admin"])));

        let context =
            json!({ "credential": credential(&app, MASTER_TOKEN).await, "address": "203.0.113.7", "device": "" });
        let entry = json!({
            "action": "session_token_issued", "actor": "dashboard_user", "severity": "info", "status": "success",
            "target": me["id"], "context": context,
        });
        assert_eq!(last_entry(&app).await, entry);
        assert_unwritten(&app, &[&token, MASTER_TOKEN]).await;
    }
}

#[tokio::test]
async fn what_gets_no_session_is_refused_and_written_down() {
    let app = TestApp::new();
    let revoked = key(&app, &["admin"]).await;
    revoke(&app, &revoked).await;
    let session = session(&app, MASTER_TOKEN).await;
    for family in FAMILIES {
        let path = format!("{family}/auth/session");
        let long = "x".repeat(64 * 1024);
        for token in ["x", "00000000-0000-4000-8000-000000000000", &session, &revoked.token, &long] {
            let answer = app.user_with(token).call(Method::POST, &path).send().await;
            answer.assert_error(401, "Invalid master token");
            let entry = log(&app).await.remove(0);
            assert_eq!((&entry["action"], &entry["status"]), (&json!("session_token_refused"), &json!("block")));
        }
        let not_text = app.anonymous().call(Method::POST, &path).header("authorization", b"Bearer \xff");
        not_text.send().await.assert_error(401, "Invalid master token");
        // Who brings nothing has tried nothing.
        let before = log(&app).await;
        for call in [
            app.anonymous().call(Method::POST, &path),
            app.anonymous().call(Method::POST, &path).from_here(),
            app.anonymous().call(Method::POST, &format!("{path}?token={MASTER_TOKEN}")),
            app.anonymous().call(Method::POST, &path).header("cookie", format!("pocketpaw_session={MASTER_TOKEN}")),
            app.anonymous().call(Method::POST, &path).header("authorization", format!("Basic {MASTER_TOKEN}")),
        ] {
            call.send().await.assert_error(401, "Unauthorized");
        }
        assert_eq!(log(&app).await, before);
    }
    assert_unwritten(&app, &[&session, &revoked.token]).await;
}

#[tokio::test]
async fn a_session_from_a_key_opens_no_more_and_lasts_no_longer_than_the_key() {
    let app = TestApp::new();
    let until = Timestamp(START.0 + 90 * 60 * 1000);
    let key = key_until(&app, &["chat", "sessions"], until).await;
    let answer = app.user_with(&key.token).call(Method::POST, "/api/auth/session").send().await.json();
    assert_eq!(answer["expires_in_hours"], 2, "an hour and a half, rounded up");
    let token = text(&answer["session_token"]);
    let me = me(&app, &token).await;
    assert_eq!((&me["scopes"], &me["expires_at"]), (&json!(["chat", "sessions"]), &json!("2026-11-23T06:10:21.000Z")));
    let user = app.user_with(&token);
    user.get("/api/sessions").await.assert_status(200);
    user.get("/api/audit").await.assert_error(403, "Missing required scope: admin");
    app.user_with(&key.token).get("/api/audit").await.assert_error(403, "API key missing required scope: admin");
    app.pass(Duration::from_millis(90 * 60 * 1000 - 1));
    assert!(is_good(&app, &token).await);
    app.pass(Duration::from_millis(1));
    assert!(!is_good(&app, &token).await);
}

#[tokio::test]
async fn what_may_not_be_done_is_written_down() {
    let app = TestApp::new();
    let key = key(&app, &["chat"]).await;
    app.user_with(&key.token).get("/api/v1/audit").await.assert_status(403);
    let entry = json!({
        "action": "scope_denied", "actor": "api_client", "severity": "warning", "status": "block",
        "target": "/api/v1/audit",
        "context": { "credential": { "kind": "api_key", "id": key.id }, "needed": "admin", "left_out": 0 },
    });
    assert_eq!(last_entry(&app).await, entry);
    app.anonymous()
        .call(Method::GET, "/api/audit")
        .header("authorization", "Bearer a-guess")
        .send()
        .await
        .assert_status(401);
    let entry = json!({
        "action": "credential_refused", "actor": "stranger", "severity": "alert", "status": "block",
        "target": "/api/audit", "context": { "address": "203.0.113.7", "left_out": 0 },
    });
    assert_eq!(last_entry(&app).await, entry);
}

#[tokio::test]
async fn a_session_ends_with_its_key() {
    let app = TestApp::new();
    for is_rotated in [true, false] {
        let (ended, other) = (key(&app, &["admin"]).await, key(&app, &["admin"]).await);
        let (token, bystander) = (session(&app, &ended.token).await, session(&app, &other.token).await);
        assert!(is_good(&app, &token).await);
        let path = format!("/api/v1/auth/api-keys/{}", ended.id);
        match is_rotated {
            true => app.token_user().call(Method::POST, &format!("{path}/rotate")).send().await.assert_status(200),
            false => app.token_user().delete(&path).await.assert_status(200),
        };
        assert!(!is_good(&app, &token).await && !is_good(&app, &ended.token).await);
        assert!(is_good(&app, &bystander).await && is_good(&app, &other.token).await);
    }
}
