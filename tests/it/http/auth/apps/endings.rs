//! How long an app is let in, and what ends that.

use super::{
    ALL_BUT_ADMIN, DESCRIPTION, MINUTE, MOMENT, Pair, REVOKE, TOKEN, asked, entries, exchange_of, exchanged, pair,
    post, refresh_of, refreshed, signed_in,
};
use crate::http::auth::{assert_unwritten, cookie, is_good, key, key_until, me, revoke, session, text, with_cookie};
use crate::support::{MASTER_TOKEN, START, TestApp};
use axum::http::Method;
use pawport::domain::time::Timestamp;
use serde_json::json;
use tokio::task::JoinSet;

pub async fn assert_over(app: &TestApp, pair: &Pair) {
    assert!(!is_good(app, &pair.access).await, "the access token still works");
    refreshed(app, &pair.refresh).await.assert_error(400, "invalid_refresh_token");
}

#[tokio::test]
async fn codes_are_good_for_ten_minutes_and_refresh_tokens_for_thirty_days() {
    let app = TestApp::new();
    let codes = [asked().code(&app.token_user()).await, asked().code(&app.token_user()).await];
    app.pass((10 * MINUTE).saturating_sub(MOMENT));
    let pair_0 = pair(&exchanged(&app, &codes[0]).await);
    app.pass(MOMENT);
    exchanged(&app, &codes[1]).await.assert_error(400, "code_expired");
    app.pass((30 * 24 * 60 * MINUTE).saturating_sub(MOMENT * 2));
    let next = pair(&refreshed(&app, &pair_0.refresh).await);
    assert!(is_good(&app, &next.access).await);
    app.pass(30 * 24 * 60 * MINUTE);
    assert_over(&app, &next).await;
}

#[tokio::test]
async fn what_is_shown_twice_ends_everything_from_that_consent() {
    let app = TestApp::new();
    let (_, bystander) = signed_in(&app, &app.token_user()).await;
    for is_code in [true, false] {
        let (code, first) = signed_in(&app, &app.token_user()).await;
        let second = pair(&refreshed(&app, &first.refresh).await);
        let login = post(&app, "/api/v1/auth/login", json!({ "token": second.access })).await;
        let cookie = cookie(&login).1.to_owned();
        assert!(is_good(&app, &second.access).await && is_good(&app, &cookie).await);
        match is_code {
            true => exchanged(&app, &code).await.assert_error(400, "code_already_used"),
            false => refreshed(&app, &first.refresh).await.assert_error(400, "invalid_refresh_token"),
        }
        assert_eq!(entries(&app, "app_ticket_replayed").await[0]["status"], "block");
        for token in [&first.access, &second.access, &cookie] {
            assert!(!is_good(&app, token).await, "at once");
        }
        assert_over(&app, &second).await;
        assert_unwritten(&app, &[&code, &first.access, &first.refresh, &second.refresh, &cookie]).await;
    }
    assert!(is_good(&app, &bystander.access).await);
    refreshed(&app, &bystander.refresh).await.assert_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_who_show_one_ticket_at_once_one_gets_tokens_and_keeps_none() {
    let app = TestApp::new();
    for is_code in [true, false] {
        let ticket = match is_code {
            true => exchange_of(&asked().code(&app.token_user()).await),
            false => refresh_of(&signed_in(&app, &app.token_user()).await.1.refresh),
        };
        let mut calls = JoinSet::new();
        for _ in 0..20 {
            let (user, body) = (app.anonymous(), ticket.clone());
            calls.spawn(async move { user.post(TOKEN, body).await });
        }
        let answers = calls.join_all().await;
        let got: Vec<_> = answers.iter().filter(|answer| answer.status() == 200).collect();
        assert!(got.len() <= 1, "{got:?}");
        for answer in got {
            assert_over(&app, &pair(answer)).await;
        }
    }
}

#[tokio::test]
async fn either_token_ends_the_app() {
    let app = TestApp::new();
    let (_, bystander) = signed_in(&app, &app.token_user()).await;
    for is_access in [true, false] {
        let (_, first) = signed_in(&app, &app.token_user()).await;
        let second = pair(&refreshed(&app, &first.refresh).await);
        let token = if is_access { &second.access } else { &second.refresh };
        post(&app, REVOKE, json!({ "token": token })).await.assert_json(200, &json!({ "revoked": true }));
        assert!(!is_good(&app, &first.access).await);
        assert_over(&app, &second).await;
        assert_eq!(entries(&app, "app_revoked").await[0]["status"], "success");
        assert_unwritten(&app, &[token]).await;
    }
    let of_owner = session(&app, MASTER_TOKEN).await;
    for token in ["", "x", "é", MASTER_TOKEN, &of_owner, &key(&app, &["admin"]).await.token] {
        post(&app, REVOKE, json!({ "token": token })).await.assert_json(200, &json!({ "revoked": false }));
    }
    assert!(is_good(&app, &of_owner).await && is_good(&app, &bystander.access).await);
}

#[tokio::test]
async fn a_new_access_token_ends_apps() {
    let app = TestApp::new();
    let code = asked().code(&app.token_user()).await;
    let (_, pair) = signed_in(&app, &app.token_user()).await;
    let new = app.token_user().call(Method::POST, "/api/v1/token/regenerate").send().await.json();
    assert_over(&app, &pair).await;
    exchanged(&app, &code).await.assert_error(400, "invalid_code");
    let owner = app.user_with(&text(&new["token"]));
    assert!(is_good(&app, &signed_in(&app, &owner).await.1.access).await);
}

#[tokio::test]
async fn what_a_key_allows_ends_with_the_key() {
    let app = TestApp::new();
    let ending = key(&app, &["admin"]).await;
    let user = app.user_with(&ending.token);
    let (code, (_, pair_0)) = (asked().code(&user).await, signed_in(&app, &user).await);
    assert!(is_good(&app, &pair_0.access).await);
    revoke(&app, &ending).await;
    assert_over(&app, &pair_0).await;
    exchanged(&app, &code).await.assert_error(400, "invalid_code");

    let until = Timestamp(START.0 + 30 * 60 * 1000);
    let soon = key_until(&app, &["admin"], until).await;
    let (_, pair_1) = signed_in(&app, &app.user_with(&soon.token)).await;
    assert_eq!(me(&app, &pair_1.access).await["expires_at"], "2026-11-23T05:10:21.000Z");
    app.pass(30 * MINUTE);
    assert_over(&app, &pair_1).await;
}

/// The WebSocket of the desktop client takes nothing but the cookie.
#[tokio::test]
async fn an_app_gets_a_cookie_with_its_own_rights_until_it_ends() {
    let app = TestApp::new();
    let (_, pair) = signed_in(&app, &app.token_user()).await;
    let call = app.anonymous().call(Method::POST, "/api/v1/auth/login").header("origin", "tauri://localhost");
    let answer = call.json(&json!({ "token": pair.access })).send().await;
    answer.assert_json(200, &json!({ "ok": true }));
    let cookie = cookie(&answer).1;
    let get = |path: &str| with_cookie(app.anonymous().call(Method::GET, path), cookie);
    assert_eq!(get("/api/v1/auth/me").send().await.json()["scopes"], json!(ALL_BUT_ADMIN));
    get("/api/v1/audit").send().await.assert_status(403);
    app.pass((60 * MINUTE).saturating_sub(MOMENT));
    get("/api/v1/auth/me").send().await.assert_status(200);
    // Nobody becomes an owner with what an app has.
    for token in [&pair.access, cookie] {
        let status = app.user_with(token).get(&asked().at(DESCRIPTION)).await.status().as_u16();
        assert!(matches!(status, 401 | 403), "{status}");
    }
    post(&app, REVOKE, json!({ "token": pair.refresh })).await.assert_status(200);
    get("/api/v1/auth/me").send().await.assert_error(401, "Unauthorized");
}
