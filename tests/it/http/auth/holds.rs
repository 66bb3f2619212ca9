//! What is good when a request begins must be good when it does something; and no one takes what is everybody's.

use super::{key, log, session};
use crate::support::{MASTER_TOKEN, TestApp, connection};
use axum::body::Body;
use axum::http::Method;
use futures_util::{StreamExt, stream};
use pawport::domain::auth::rate::RateLimit;
use serde_json::json;
use std::convert::Infallible;
use tokio::sync::oneshot;

const STREAM: &str = "/api/v1/agent/status/stream";

/// A body whose second half comes when the test says so.
fn in_two_halves(first: &'static str, second: &'static str) -> (Body, oneshot::Sender<()>) {
    let (go_on, told) = oneshot::channel();
    let halves = stream::once(async move { first }).chain(stream::once(async move {
        told.await.expect("to be told");
        second
    }));
    (Body::from_stream(halves.map(Ok::<_, Infallible>)), go_on)
}

#[tokio::test]
async fn a_credential_that_ends_while_the_body_comes_changes_nothing() {
    for ended_by in ["logout", "regenerate"] {
        let app = TestApp::new();
        let token = session(&app, MASTER_TOKEN).await;
        let user = app.user_with(&token);
        let (body, go_on) = in_two_halves(r#"{"name":"#, r#""backdoor"}"#);
        let request = user.call(Method::POST, "/api/v1/auth/api-keys").raw_json(body);
        let meanwhile = async {
            let path = if ended_by == "logout" { "/api/auth/logout" } else { "/api/token/regenerate" };
            user.call(Method::POST, path).send().await.assert_status(200);
            go_on.send(()).expect("somebody who waits");
        };
        let (answer, ()) = tokio::join!(request.send(), meanwhile);
        answer.assert_error(401, "Unauthorized");
        assert_eq!(app.stores.api_keys.list().await.unwrap(), [], "{ended_by}");
    }
}

#[tokio::test]
async fn one_credential_cannot_take_all_streams() {
    let app = TestApp::new();
    let key = key(&app, &[]).await;
    let greedy = app.user_with(&key.token);
    let mut open = Vec::new();
    for _ in 0..512 {
        let stream = greedy.open(STREAM).await;
        assert_eq!(stream.status, 200);
        open.push(stream);
    }
    greedy.get(STREAM).await.assert_status(503);
    assert_eq!(app.token_user().open(STREAM).await.status, 200);
    open.pop();
    assert_eq!(greedy.open(STREAM).await.status, 200);
}

#[tokio::test]
async fn a_script_with_an_old_token_keeps_nobody_from_logging_in() {
    let app = TestApp::told(|settings| settings.rate_limits.auth = RateLimit::new(1.0, 2));
    for status in [401, 401, 429] {
        app.user_with("old").get("/api/sessions").await.assert_status(status);
    }
    app.anonymous().post("/api/auth/login", json!({ "token": MASTER_TOKEN })).await.assert_status(200);
}

#[tokio::test]
async fn what_a_foreign_page_puts_into_an_address_is_not_looked_at() {
    let app = TestApp::new();
    for query in [format!("?token={MASTER_TOKEN}"), "?token=x".to_owned(), "?key=x".to_owned()] {
        let call = app.anonymous().call(Method::GET, &format!("{STREAM}{query}"));
        call.header("sec-fetch-site", "cross-site").send().await.assert_error(401, "Unauthorized");
    }
    assert!(log(&app).await.is_empty(), "nobody showed anything");
}

#[tokio::test]
async fn one_stranger_cannot_hide_another_in_the_log_of_refusals() {
    let app = TestApp::new();
    for number in 0..2000 {
        let delivery = app.anonymous().call(Method::POST, &format!("/webhook/inbound/n{number}")).body("{}");
        delivery.send().await.assert_status(403);
    }
    assert_eq!(log(&app).await.len(), 20, "of one address");
    // Of many addresses at least one is in no group with that one.
    for last in 0..50 {
        let call = app.user_with("wrong").call(Method::GET, "/api/sessions");
        call.from(connection([198, 51, 100, last], [192, 0, 2, 10])).send().await.assert_status(401);
    }
    assert!(log(&app).await.iter().filter(|entry| entry["action"] == "credential_refused").count() > 40);
}

#[tokio::test]
async fn a_request_id_that_looks_like_none_is_not_repeated() {
    let app = TestApp::new();
    for (given, kept) in [("abc-1.2_3", true), (&*"x".repeat(65), false), ("a b", false), ("<script>", false)] {
        let answer = app.anonymous().call(Method::GET, "/healthz").header("x-request-id", given).send().await;
        assert_eq!(answer.header("x-request-id") == given, kept, "{given}");
    }
}

#[tokio::test]
async fn of_several_cookies_and_keys_a_good_one_counts() {
    let app = TestApp::told(|settings| {
        settings.status_key = Some(pawport::domain::auth::token::TokenHash::of("a-key-of-whoever-watches"));
    });
    let token = session(&app, MASTER_TOKEN).await;
    for cookies in [
        format!("pocketpaw_session={token}; pocketpaw_session=x"),
        format!("pocketpaw_session=x; pocketpaw_session={token}"),
    ] {
        let call = app.anonymous().call(Method::GET, "/api/sessions").header("cookie", cookies);
        call.send().await.assert_status(200);
    }
    let call = app.anonymous().call(Method::GET, "/api/v1/agent/status?key=wrong");
    call.header("x-status-key", "a-key-of-whoever-watches").send().await.assert_status(200);
}
