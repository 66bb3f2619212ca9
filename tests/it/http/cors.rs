//! What pages of other origins may read.

use crate::support::{Response, TestApp};
use axum::http::Method;
use pawport::app::Settings;
use serde_json::json;
use std::collections::BTreeSet;

const ALLOWED: [&str; 5] = [
    "https://paw.example.org",
    "tauri://localhost",
    "https://tauri.localhost",
    "http://localhost:1420",
    "https://app.example",
];

const FOREIGN: [&str; 7] = [
    "https://evil.example",
    "null",
    "",
    "http://localhost:3000",
    "http://127.0.0.1:8888",
    "https://paw.example.org.evil.example",
    "https://app.example:444",
];

fn told(settings: &mut Settings) {
    settings.policy.cors_origins.insert("https://app.example".to_owned());
}

async fn preflight(app: &TestApp, path: &str, origin: &str) -> Response {
    let call = app.anonymous().call(Method::OPTIONS, path).header("origin", origin);
    let call = call.header("access-control-request-method", "DELETE");
    call.header("access-control-request-headers", "authorization,content-type").send().await
}

/// The members of a header that is a list, in capitals or not.
#[track_caller]
fn list<'a>(answer: &'a Response, name: &str) -> BTreeSet<&'a str> {
    answer.header(name).split(',').map(str::trim).collect()
}

#[track_caller]
fn assert_no_permission(answer: &Response) {
    assert!(!answer.headers().contains_key("access-control-allow-origin"), "{answer:?}");
}

/// Asking is not using: also where there is nothing, and whoever asks.
#[tokio::test]
async fn allowed_pages_are_told_what_they_may_send() {
    let app = TestApp::told(told);
    for path in ["/api/sessions", "/api/v1/auth/login", "/api/v1/agent/status/stream", "/nope", "/webhook/inbound/ci"] {
        for origin in ALLOWED {
            let answer = preflight(&app, path, origin).await;
            assert_eq!((answer.status().as_u16(), answer.bytes()), (200, &b""[..]), "{origin}");
            assert_eq!(answer.header("access-control-allow-origin"), origin);
            assert_eq!(answer.header("access-control-allow-credentials"), "true");
            let methods = BTreeSet::from(["GET", "POST", "PUT", "PATCH", "DELETE"]);
            assert_eq!(list(&answer, "access-control-allow-methods"), methods);
            let headers = BTreeSet::from(["authorization", "content-type", "last-event-id", "x-status-key"]);
            assert_eq!(list(&answer, "access-control-allow-headers"), headers);
            assert!(list(&answer, "vary").contains("origin"));
        }
    }
}

#[tokio::test]
async fn other_pages_are_not() {
    let app = TestApp::told(told);
    for origin in FOREIGN {
        for path in ["/api/sessions", "/", "/healthz", "/nope"] {
            let answer = preflight(&app, path, origin).await;
            assert_eq!(answer.status(), 403, "{origin}: {answer:?}");
            assert!(answer.text().contains("PAWPORT_CORS_ORIGINS"), "{}", answer.text());
            assert_no_permission(&answer);
        }
    }
}

#[tokio::test]
async fn allowed_pages_may_read_answers_and_refusals() {
    let app = TestApp::told(told);
    for origin in ALLOWED {
        for (user, status) in [(app.token_user(), 200), (app.anonymous(), 401)] {
            let answer = user.call(Method::GET, "/api/sessions").header("origin", origin).send().await;
            assert_eq!(answer.assert_status(status).header("access-control-allow-origin"), origin);
            assert_eq!(answer.header("access-control-allow-credentials"), "true");
            let readable = list(&answer, "access-control-expose-headers");
            let wanted = ["retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
            assert!(wanted.iter().all(|name| readable.contains(name)), "{readable:?}");
            assert!(list(&answer, "vary").contains("origin"));
        }
    }
}

#[tokio::test]
async fn other_pages_may_read_nothing() {
    let app = TestApp::told(told);
    for origin in FOREIGN {
        let answer = app.token_user().call(Method::GET, "/api/sessions").header("origin", origin).send().await;
        assert_no_permission(&answer);
        assert!(list(&answer, "vary").contains("origin"), "or a cache would mix them up");
        let change = app.token_user().call(Method::POST, "/api/webhooks/add").header("origin", origin);
        let answer = change.json(&json!({ "name": "ci" })).send().await;
        assert_no_permission(answer.assert_status(403));
    }
    assert_eq!(app.token_user().get("/api/webhooks").await.json(), json!({ "webhooks": [] }));
}

/// It must not be a way around the gate.
#[tokio::test]
async fn options_that_asks_for_no_permission_is_a_request_like_any_other() {
    let app = TestApp::told(told);
    for headers in [
        &[][..],
        &[("origin", "https://app.example")][..],
        &[("access-control-request-method", "GET")][..],
        &[("access-control-request-headers", "authorization")][..],
    ] {
        for path in ["/api/sessions", "/api/auth/login", "/", "/nope"] {
            let call = |user: crate::support::User| {
                headers.iter().fold(user.call(Method::OPTIONS, path), |call, (name, value)| call.header(name, value))
            };
            call(app.anonymous()).send().await.assert_error(401, "Unauthorized");
            let status = call(app.token_user()).send().await.status().as_u16();
            assert_eq!(status, if path == "/nope" { 404 } else { 405 }, "{path} with {headers:?}");
        }
    }
}
