//! Who may come in, and what strangers learn.

use crate::support::{MASTER_TOKEN, Response, TestApp};
use axum::http::Method;
use serde_json::json;

const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"];

fn method(name: &str) -> Method {
    Method::from_bytes(name.as_bytes()).expect("a method")
}

async fn with_authorization(app: &TestApp, values: &[&[u8]]) -> Response {
    let call = app.anonymous().call(Method::GET, "/api/sessions");
    values.iter().fold(call, |call, value| call.header("authorization", value)).send().await
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
        ["/api", "/api/", "/api/v1", "/api/v2/sessions", "/nope", "/a/b/c", "/api/nope", "/api/v1/nope?x=1", "/wss"]
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
async fn what_is_beside_the_open_paths_is_closed() {
    let app = TestApp::new();
    for path in [
        "/webhook/x",
        "/webhook/whatsapp",
        "/webhook/inbound",
        "/webhook/inbound/",
        "/webhook/inbound/a/b",
        "/webhook/inboundXYZ",
        "/static",
        "/static/",
        "/favicon.ico/",
        "/oauth/callback",
        "/oauth/callback?code=1&state=2",
        "/api/auth/loginXYZ",
        "/api/auth/login/",
        "/api/auth/login/x",
        "/api/auth/sessionXYZ",
        "/api/v1/auth/logout/x",
        "/api/auth",
        "/auth/login",
    ] {
        for name in ["GET", "POST", "DELETE"].map(method) {
            app.anonymous().call(name.clone(), path).send().await.assert_error(401, "Unauthorized");
            app.token_user().call(name, path).send().await.assert_error(404, "Not Found");
        }
    }
}

#[tokio::test]
async fn pages_and_their_files_are_open() {
    let app = TestApp::new();
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/favicon.ico", "image/svg+xml"),
        ("/static/pawport.js", "text/javascript"),
        ("/static/pawport.css", "text/css"),
        ("/static/pawport.js?v=1", "text/javascript"),
    ] {
        let page = app.anonymous().get(path).await;
        assert_eq!(page.assert_status(200).header("content-type"), kind, "{path}");
        let head = app.anonymous().call(Method::HEAD, path).send().await;
        assert_eq!((head.status().as_u16(), head.bytes()), (200, &b""[..]), "{path}");
    }
    for path in ["/static/a", "/static/css/a.css?v=1", "/static/PAWPORT.JS"] {
        app.anonymous().get(path).await.assert_error(404, "Not Found");
    }
}

#[tokio::test]
async fn open_paths_are_open_for_their_method_only() {
    let app = TestApp::new();
    for (name, path) in [
        ("GET", "/webhook/inbound/ci"),
        ("PUT", "/webhook/inbound/ci"),
        ("POST", "/healthz"),
        ("POST", "/static/pawport.js"),
        ("DELETE", "/favicon.ico"),
        ("DELETE", "/"),
        ("GET", "/api/auth/login"),
        ("PUT", "/api/v1/auth/session"),
        ("OPTIONS", "/api/auth/logout"),
    ] {
        app.anonymous().call(method(name), path).send().await.assert_error(401, "Unauthorized");
        app.token_user().call(method(name), path).send().await.assert_error(405, "Method Not Allowed");
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
        "/webhook/../api/sessions",
        "/webhook/%2e%2e/api/sessions",
        "/webhook/..%2fapi/sessions",
        "/webhook//api/sessions",
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
    // Where a path may be anything, dots and slashes are part of a name that nothing has.
    for path in ["/static/../api/sessions", "/static/..%2f..%2fetc%2fpasswd", "/static/%5c..%5capi"] {
        app.anonymous().get(path).await.assert_error(404, "Not Found");
    }
    for path in [
        "/webhook/inbound/../../api/sessions",
        "/webhook/inbound/..%2f..%2fapi%2fsessions",
        "/webhook/inbound/%2e%2e",
        "/webhook/inbound/%ff",
        "/webhook/inbound/%00",
        "/api/auth/./login",
        "/api/auth//login",
        "/api/auth/%6cogin",
        "/api/auth/LOGIN",
        "/api/auth/login/../../sessions",
        "/api/auth/login%2f..%2f..%2fsessions",
    ] {
        let answer = app.anonymous().call(Method::POST, path).send().await;
        assert!(matches!(answer.status().as_u16(), 401 | 403 | 404), "{path}: {answer:?}");
        assert_eq!(app.token_user().get("/api/sessions").await.json()["total"], 0);
    }
}

#[tokio::test]
async fn a_file_whose_name_is_no_text_is_not_found() {
    TestApp::new().anonymous().get("/static/%ff").await.assert_error(404, "Not Found");
}
