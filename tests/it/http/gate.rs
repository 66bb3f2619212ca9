//! Who may come in, and what strangers learn.

use crate::support::{MASTER_TOKEN, Operation, Response, TestApp, operations};
use axum::http::Method;
use serde_json::json;

/// The operations that need no credentials. A longer list is a decision, not a detail.
const OPEN: [(&str, &str); 3] = [("GET", "/healthz"), ("GET", "/readyz"), ("POST", "/webhook/inbound/{name}")];

const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"];

fn method(name: &str) -> Method {
    Method::from_bytes(name.as_bytes()).expect("a method")
}

async fn with_authorization(app: &TestApp, values: &[&[u8]]) -> Response {
    let call = app.anonymous().call(Method::GET, "/api/sessions");
    values.iter().fold(call, |call, value| call.header("authorization", value)).send().await
}

#[tokio::test]
async fn every_operation_is_closed_unless_it_is_listed_as_open() {
    let app = TestApp::new();
    for authorization in ["", "Bearer 00000000-0000-4000-8000-000000000000"] {
        let mut open = Vec::new();
        for operation in operations() {
            let call = app.anonymous().call(method(&operation.method), &operation.path_with("websocket_a"));
            let call = call.header("authorization", authorization).json(&json!({ "name": "x", "title": "x" }));
            // Read in two steps, since an event stream that were open would never end.
            let answer = call.open().await;
            if answer.status == 401 {
                answer.whole().await.unwrap().assert_error(401, "Unauthorized");
            } else {
                open.push((operation.method.as_str(), operation.path.as_str()));
            }
        }
        assert_eq!(open, OPEN, "with Authorization: {authorization:?}");
    }
    app.token_user().get("/api/sessions").await.assert_json(200, &json!({ "sessions": [], "total": 0 }));
    app.token_user().get("/api/webhooks").await.assert_json(200, &json!({ "webhooks": [] }));
}

#[tokio::test]
async fn the_document_says_of_the_same_operations_that_they_are_open() {
    let is_open = |operation: &&Operation| operation.description["security"] == json!([{}]);
    let open = operations().iter().filter(is_open).map(|it| (it.method.as_str(), it.path.as_str()));
    assert_eq!(open.collect::<Vec<_>>(), OPEN);
}

#[tokio::test]
async fn the_master_token_opens_in_every_way_to_write_the_scheme() {
    let app = TestApp::new();
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer "] {
        with_authorization(&app, &[format!("{scheme} {MASTER_TOKEN}").as_bytes()]).await.assert_status(200);
    }
}

#[tokio::test]
async fn anything_but_the_master_token_is_refused() {
    let app = TestApp::new();
    let long = "x".repeat(60 * 1024);
    let mut not_text = format!("Bearer {MASTER_TOKEN}").into_bytes();
    not_text.push(0xe9);
    for value in [
        "",
        " ",
        "Bearer",
        "Bearer ",
        "Bearer  ",
        MASTER_TOKEN,
        &format!("Basic {MASTER_TOKEN}"),
        &format!("Bearer{MASTER_TOKEN}"),
        &format!("Bearer:{MASTER_TOKEN}"),
        &format!("Bearer, {MASTER_TOKEN}"),
        &format!("Bearer \"{MASTER_TOKEN}\""),
        &format!("Bearer {MASTER_TOKEN} {MASTER_TOKEN}"),
        &format!("Bearer {MASTER_TOKEN},"),
        &format!("Bearer {MASTER_TOKEN}0"),
        &format!("Bearer {}", &MASTER_TOKEN[..35]),
        &format!("Bearer {}", MASTER_TOKEN.to_uppercase()),
        &format!("Bearer {MASTER_TOKEN}é"),
        &format!("Bearer {long}"),
        &format!("Bearer {MASTER_TOKEN}{long}"),
        &long,
    ] {
        with_authorization(&app, &[value.as_bytes()]).await.assert_error(401, "Unauthorized");
    }
    with_authorization(&app, &[b"Bearer \xff\xfe"]).await.assert_error(401, "Unauthorized");
    with_authorization(&app, &[&not_text]).await.assert_error(401, "Unauthorized");
}

#[tokio::test]
async fn a_second_authorization_header_does_not_help() {
    let app = TestApp::new();
    let good = format!("Bearer {MASTER_TOKEN}");
    with_authorization(&app, &[b"Bearer x", good.as_bytes()]).await.assert_error(401, "Unauthorized");
    with_authorization(&app, &[b"", good.as_bytes()]).await.assert_error(401, "Unauthorized");
    with_authorization(&app, &[b"Basic eDp4", good.as_bytes()]).await.assert_error(401, "Unauthorized");
}

#[tokio::test]
async fn a_token_in_another_header_or_in_the_body_is_none() {
    let app = TestApp::new();
    for name in ["x-authorization", "proxy-authorization", "x-api-key", "x-webhook-secret"] {
        let call = app.anonymous().call(Method::GET, "/api/sessions");
        let call = call.header(name, format!("Bearer {MASTER_TOKEN}"));
        call.send().await.assert_error(401, "Unauthorized");
    }
    let body = json!({ "token": MASTER_TOKEN, "authorization": format!("Bearer {MASTER_TOKEN}") });
    app.anonymous().post("/api/sessions", body).await.assert_error(401, "Unauthorized");
}

#[tokio::test]
async fn the_secret_of_a_slot_opens_nothing_but_the_slot() {
    let app = TestApp::new();
    let added = app.token_user().post("/api/webhooks/add", json!({ "name": "ci" })).await.json();
    let secret = added["webhook"]["secret"].as_str().unwrap();
    with_authorization(&app, &[format!("Bearer {secret}").as_bytes()]).await.assert_error(401, "Unauthorized");
}

#[tokio::test]
async fn who_has_no_credentials_does_not_learn_which_paths_and_methods_exist() {
    let app = TestApp::new();
    for path in
        ["/api", "/api/", "/api/v1", "/api/v2/sessions", "/nope", "/a/b/c", "/api/nope", "/api/v1/nope?x=1", "/ws"]
    {
        for name in METHODS.map(method) {
            let (anonymous, user) = (app.anonymous(), app.token_user());
            let (refused, unknown) =
                (anonymous.call(name.clone(), path).send().await, user.call(name.clone(), path).send().await);
            refused.assert_status(401);
            unknown.assert_status(404);
            if name != Method::HEAD {
                refused.assert_error(401, "Unauthorized");
                unknown.assert_error(404, "Not Found");
            }
        }
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_to_those_with_credentials_only() {
    let app = TestApp::new();
    for (name, path) in [("PATCH", "/api/sessions"), ("GET", "/api/webhooks/add"), ("POST", "/api/v1/agent/status")] {
        let answer = app.token_user().call(method(name), path).send().await;
        answer.assert_error(405, "Method Not Allowed");
        assert!(answer.headers().contains_key("allow"), "{answer:?}");
        let refused = app.anonymous().call(method(name), path).send().await;
        refused.assert_error(401, "Unauthorized");
        // It would say which methods the path has, and so that there is such a path.
        assert!(!refused.headers().contains_key("allow"), "{refused:?}");
    }
}

#[tokio::test]
async fn the_docs_page_is_closed_too() {
    let app = TestApp::new();
    for path in
        ["/api/v1/docs", "/api/v1/docs/", "/api/v1/docs/index.html", "/api/v1/docs/x.css", "/api/v1/openapi.json"]
    {
        app.anonymous().get(path).await.assert_error(401, "Unauthorized");
    }
}

#[tokio::test]
async fn open_paths_without_a_handler_are_not_found() {
    let app = TestApp::new();
    for path in [
        "/webhook/x",
        "/webhook/whatsapp",
        "/webhook/inbound",
        "/webhook/inbound/a/b",
        "/static/a",
        "/static/css/a.css?v=1",
        "/favicon.ico",
        "/oauth/callback",
        "/oauth/callback?code=1&state=2",
    ] {
        for name in ["GET", "POST", "DELETE"].map(method) {
            app.anonymous().call(name.clone(), path).send().await.assert_error(404, "Not Found");
            app.token_user().call(name, path).send().await.assert_error(404, "Not Found");
        }
    }
}

#[tokio::test]
async fn open_paths_refuse_other_methods() {
    let app = TestApp::new();
    for (name, path) in
        [("GET", "/webhook/inbound/ci"), ("PUT", "/webhook/inbound/ci"), ("POST", "/healthz"), ("DELETE", "/")]
    {
        app.anonymous().call(method(name), path).send().await.assert_error(405, "Method Not Allowed");
    }
}

#[tokio::test]
async fn no_way_to_write_a_path_opens_a_closed_route() {
    let app = TestApp::new();
    for path in [
        "//api/sessions",
        "///api/sessions",
        "/api//sessions",
        "/api/sessions/",
        "/api/sessions//",
        "/API/sessions",
        "/Api/Sessions",
        "/api/sessions;x=1",
        "/api/sessions%00",
        "/api/sessions%2f",
        "/%61pi/sessions",
        "/api%2fsessions",
        "/./api/sessions",
        "/x/../api/sessions",
        "/healthz/../api/sessions",
        "/healthz/",
        "/healthzX",
        "/healthz/api/sessions",
        "/readyz/x",
        "/favicon.ico/../api/sessions",
        "/favicon.icox",
        "/oauth/callback/x",
        "/oauth/callbackx",
        "/webhook",
        "/webhooks",
        "/webhookX/inbound/ci",
        "/static",
        "/staticX/a",
        "/api/v1//sessions",
        "/api/v1/../sessions",
        "/api/v1/%2e%2e/sessions",
        "/\u{e4}pi/sessions",
        "https://paw.example.org/api/sessions",
        "*",
    ] {
        let refused = app.anonymous().get(path).await;
        refused.assert_error(401, "Unauthorized");
        let status = app.token_user().get(path).await.status().as_u16();
        assert!(matches!(status, 200 | 404), "{path} gives {status}");
    }
    // Open prefixes stay what they are, whatever follows.
    for path in [
        "/webhook/../api/sessions",
        "/webhook/%2e%2e/api/sessions",
        "/webhook/..%2fapi/sessions",
        "/webhook//api/sessions",
        "/webhook/inbound/../../api/sessions",
        "/static/../api/sessions",
        "/static/..%2f..%2fetc%2fpasswd",
        "/static/%5c..%5capi",
        "/static/%ff",
    ] {
        app.anonymous().get(path).await.assert_error(404, "Not Found");
    }
}
