//! Who is logged in.

use super::{code, credential, is_good, key, last_entry, log, me, revoke, session, text};
use crate::support::{MASTER_TOKEN, TestApp, connection};
use axum::http::Method;
use pawport::domain::audit::AuditEntry;
use pawport::domain::auth::token::TokenHash;
use pawport::domain::text::PageLimit;
use serde_json::{Value, json};
use std::time::Duration;

const SESSIONS: &str = "/api/v1/auth/sessions";

async fn listed(app: &TestApp) -> Vec<Value> {
    app.token_user().get(SESSIONS).await.assert_status(200).json().as_array().expect("a list").clone()
}

#[tokio::test]
async fn the_list_says_who_has_a_session_since_when_and_from_where() {
    let app = TestApp::told(|settings| settings.policy.trusted_proxies = vec!["192.0.2.0/24".parse().unwrap()]);
    app.token_user().get(SESSIONS).await.assert_json(200, &json!([]));
    let key = key(&app, &["chat"]).await;
    let call = app.user_with(&key.token).call(Method::POST, "/api/auth/session").header("user-agent", "curl/8");
    call.send().await.assert_status(200);
    app.pass(Duration::from_secs(5));
    let call = app.anonymous().call(Method::POST, "/api/auth/login").json(&json!({ "token": MASTER_TOKEN }));
    // Only what the proxy added is true.
    let call = call.from(connection([192, 0, 2, 1], [192, 0, 2, 10]));
    let answer = call.header("x-forwarded-for", "1.2.3.4, 198.51.100.9, 192.0.2.2").send().await;
    let token = super::cookie(&answer).1.to_owned();
    let id = me(&app, &token).await["id"].clone();
    let list = app.user_with(&token).get(SESSIONS).await;
    let other = list.json()[1]["id"].clone();
    list.assert_json(
        200,
        &json!([
            {
                "id": id, "origin": "login", "device": "", "address": "198.51.100.9", "scopes": ["admin"],
                "api_key": null, "current": true,
                "created_at": "2026-11-23T04:40:26.000Z", "last_used_at": "2026-11-23T04:40:26.000Z",
                "expires_at": "2026-11-24T04:40:26.000Z",
            },
            {
                "id": other, "origin": "exchange", "device": "curl/8", "address": "203.0.113.7", "scopes": ["chat"],
                "api_key": key.id, "current": false,
                "created_at": "2026-11-23T04:40:21.000Z", "last_used_at": "2026-11-23T04:40:21.000Z",
                "expires_at": "2026-11-24T04:40:21.000Z",
            },
        ]),
    );
    assert!(!list.text().contains(&token[12..]));

    app.pass(Duration::from_secs(24 * 3600 - 5));
    assert_eq!(listed(&app).await.len(), 1, "what has ended is not listed");
    app.token_user().get("/api/auth/sessions").await.assert_error(404, "Not Found");
}

#[tokio::test]
async fn a_session_can_be_ended_from_another_one() {
    let app = TestApp::new();
    let (ended, other) = (session(&app, MASTER_TOKEN).await, session(&app, MASTER_TOKEN).await);
    assert!(is_good(&app, &ended).await);
    let path = format!("{SESSIONS}/{}", text(&me(&app, &ended).await["id"]));
    let user = app.user_with(&other);
    user.delete(&path).await.assert_json(200, &json!({ "status": "ok" }));
    let entry = json!({
        "action": "session_revoked", "actor": "dashboard_user", "severity": "info", "status": "success",
        "target": path.rsplit('/').next(), "context": { "credential": credential(&app, &other).await },
    });
    assert_eq!(last_entry(&app).await, entry);
    assert!(!is_good(&app, &ended).await && is_good(&app, &other).await);
    let before = log(&app).await;
    for path in [&*path, "/api/v1/auth/sessions/x", "/api/v1/auth/sessions/%00", "/api/v1/auth/sessions/%2e%2e"] {
        user.delete(path).await.assert_error(404, "Session not found or already ended");
    }
    assert_eq!(log(&app).await, before);
}

#[tokio::test]
async fn everybody_can_ask_who_they_are() {
    let app = TestApp::new();
    let answer = app.anonymous().call(Method::GET, "/api/v1/auth/me").from_here().send().await;
    let id = json!("loopback");
    answer.assert_json(200, &json!({ "kind": "loopback", "id": id, "scopes": ["admin"], "expires_at": null }));
    let master = json!({ "kind": "master_token", "id": "83afad953296", "scopes": ["admin"], "expires_at": null });
    assert_eq!(me(&app, MASTER_TOKEN).await, master);
}

/// Somebody may log in, or make a code, at the very moment at which what they do it with ends.
#[tokio::test]
async fn what_is_stored_a_moment_too_late_opens_nothing() {
    for is_regenerated in [true, false] {
        let app = TestApp::new();
        let key = key(&app, &["admin"]).await;
        let token = session(&app, &key.token).await;
        let code = code(&app.user_with(&key.token)).await;
        let stores = &app.stores;
        let late_session = stores.auth_sessions.find_by_hash(&TokenHash::of(&token)).await.unwrap().unwrap();
        let late_code = stores.auth_sessions.find_pairing(&TokenHash::of(&code)).await.unwrap().unwrap();
        match is_regenerated {
            true => drop(app.token_user().call(Method::POST, "/api/token/regenerate").send().await),
            false => revoke(&app, &key).await,
        }
        let entry = stores.audit.recent(PageLimit::clamped(1)).await.unwrap().remove(0);
        let entry = |id: &str| AuditEntry { id: id.to_owned(), ..entry.clone() };
        stores.auth_sessions.insert(&late_session, &entry("late session")).await.unwrap();
        stores.auth_sessions.insert_pairing(&late_code, &entry("late code")).await.unwrap();
        assert!(!is_good(&app, &token).await);
        let answer = app.user_with(&code).call(Method::POST, "/api/auth/session").send().await;
        if answer.status() == 200 {
            // Nobody can use it, so it does not matter.
            assert!(!is_good(&app, answer.json()["session_token"].as_str().unwrap()).await);
        }
    }
}
