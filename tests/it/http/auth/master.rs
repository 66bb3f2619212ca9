//! Regenerating the access token.

use super::{FAMILIES, code, credential, is_good, key, key_until, log, session, text};
use crate::support::{FAULT, Failure, MASTER_TOKEN, Response, START, TestApp};
use axum::http::Method;
use pawport::domain::auth::token::TokenHash;
use pawport::domain::time::Timestamp;
use serde_json::json;

const REGENERATE: &str = "/api/v1/token/regenerate";

async fn regenerate(app: &TestApp, token: &str) -> Response {
    app.user_with(token).call(Method::POST, REGENERATE).send().await
}

#[tokio::test]
async fn a_new_access_token_ends_everything_but_api_keys() {
    for family in FAMILIES {
        let app = TestApp::new();
        let key = key(&app, &["admin"]).await;
        let (of_owner, of_key) = (session(&app, MASTER_TOKEN).await, session(&app, &key.token).await);
        let codes = [code(&app.token_user()).await, code(&app.user_with(&key.token)).await];
        let shown = credential(&app, MASTER_TOKEN).await;

        let answer = app.token_user().call(Method::POST, &format!("{family}/token/regenerate")).send().await;
        let token = text(&answer.json()["token"]);
        answer.assert_json(200, &json!({ "token": token }));
        assert!(token.len() == 36 && token != MASTER_TOKEN, "{token}");
        assert!(is_good(&app, &token).await && is_good(&app, &key.token).await);
        for ended in [MASTER_TOKEN, &of_owner, &of_key] {
            assert!(!is_good(&app, ended).await, "{ended}");
            let cookie = format!("pocketpaw_session={ended}");
            let call = app.anonymous().call(Method::GET, "/api/v1/auth/me").header("cookie", cookie);
            call.send().await.assert_error(401, "Unauthorized");
        }
        for code in codes.iter().map(String::as_str).chain([MASTER_TOKEN]) {
            app.anonymous().post("/api/auth/login", json!({ "token": code })).await.assert_status(401);
        }
        // The new one is as good as the old one was.
        let session = session(&app, &token).await;
        app.user_with(&session).get("/api/audit").await.assert_status(200);

        let log = app.user_with(&token).get("/api/audit?limit=1000").await;
        let entries = log.json();
        let entry =
            entries.as_array().unwrap().iter().find(|it| it["action"] == "token_regenerated").expect("an entry");
        assert_eq!(
            (&entry["actor"], &entry["status"], &entry["target"], &entry["context"]),
            (
                &json!("dashboard_user"),
                &json!("success"),
                &json!(TokenHash::of(&token).fingerprint()),
                &json!({ "credential": shown })
            )
        );
        assert!(!log.text().contains(&token) && !log.text().contains(MASTER_TOKEN));
    }
}

#[tokio::test]
async fn it_is_written_down_also_when_nobody_was_logged_in() {
    let app = TestApp::new();
    let token = text(&regenerate(&app, MASTER_TOKEN).await.assert_status(200).json()["token"]);
    let log = app.user_with(&token).get("/api/audit").await.json();
    assert_eq!(log[0]["action"], "token_regenerated", "{log}");
}

#[tokio::test]
async fn sessions_of_the_owner_and_keys_that_do_not_end_may_do_it() {
    let app = TestApp::new();
    let session = session(&app, MASTER_TOKEN).await;
    regenerate(&app, &session).await.assert_status(200);
    let app = TestApp::new();
    let key = key(&app, &["admin"]).await;
    regenerate(&app, &key.token).await.assert_status(200);
    let app = TestApp::new();
    app.anonymous().call(Method::POST, REGENERATE).from_here().send().await.assert_status(200);
}

/// Or else it would last for ever after all.
#[tokio::test]
async fn what_ends_with_a_key_may_not() {
    let app = TestApp::new();
    let ending = key_until(&app, &["admin"], Timestamp(START.0 + 1_000)).await;
    let endless = key(&app, &["admin"]).await;
    let sessions = [session(&app, &ending.token).await, session(&app, &endless.token).await];
    let before = log(&app).await;
    for token in [&ending.token, &sessions[0], &sessions[1]] {
        let detail = "a credential that ends, or was got with an API key, cannot be exchanged for the access token";
        regenerate(&app, token).await.assert_error(403, detail);
    }
    assert_eq!(log(&app).await, before);
    assert!(is_good(&app, &sessions[0]).await);
}

#[tokio::test]
async fn a_token_that_is_configured_is_changed_there() {
    let app = TestApp::configured(|_| {});
    let session = session(&app, MASTER_TOKEN).await;
    for token in [MASTER_TOKEN, &session] {
        let detail = "the access token is set in the configuration of the server; change it there (access_token or \
                      access_token_file) and start the server again";
        regenerate(&app, token).await.assert_error(409, detail);
    }
    assert!(is_good(&app, MASTER_TOKEN).await && is_good(&app, &session).await);
}

#[tokio::test]
async fn a_storage_that_fails_changes_nothing() {
    let app = TestApp::new();
    let session = session(&app, MASTER_TOKEN).await;
    let before = log(&app).await;
    app.fail_call(1, Failure::Unavailable);
    regenerate(&app, MASTER_TOKEN).await.assert_status(503);
    assert!(app.has_failed() && is_good(&app, MASTER_TOKEN).await && is_good(&app, &session).await);
    assert_eq!(log(&app).await, before);
    regenerate(&app, MASTER_TOKEN).await.assert_status(200);
}

#[tokio::test]
async fn a_new_token_that_cannot_be_kept_leaves_the_old_one_good() {
    let app = TestApp::new();
    let _session = session(&app, MASTER_TOKEN).await;
    app.fail_to_keep(true);
    let answer = regenerate(&app, MASTER_TOKEN).await;
    answer.assert_error(500, "Internal server error; the log of the server has the reason");
    assert!(!answer.text().contains(FAULT));
    assert!(is_good(&app, MASTER_TOKEN).await);
    let log = log(&app).await;
    let is_success =
        |entry: &&serde_json::Value| entry["action"] == "token_regenerated" && entry["status"] == "success";
    let success = log.iter().find(is_success);
    assert_eq!(success, None, "there is no new token");
    app.fail_to_keep(false);
    regenerate(&app, MASTER_TOKEN).await.assert_status(200);
}
