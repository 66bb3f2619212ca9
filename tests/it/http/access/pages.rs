//! Which page made a browser send it.

use super::{Rights, Visitor, app_told, hold, owner};
use crate::support::{Call, MASTER_TOKEN, TestApp};
use axum::http::Method;
use serde_json::json;

/// What pages of others send.
const FOREIGN: [&[(&str, &str)]; 18] = [
    &[("origin", "http://paw.example.org")],
    &[("origin", "https://paw.example.org\u{e9}")],
    &[("origin", "https://evil.example")],
    &[("origin", "null")],
    &[("origin", "")],
    &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
    &[("origin", "http://localhost:3000")],
    &[("origin", "http://127.0.0.1:9999")],
    &[("origin", "https://paw.example.org.evil.example")],
    &[("origin", "https://evil.example/https://paw.example.org")],
    &[("origin", "https://paw.example.org:444")],
    &[("origin", "ftp://paw.example.org")],
    &[("origin", "https://app.example:444")],
    &[("origin", "http://app.example")],
    &[("origin", "tauri://localhost.evil.example")],
    &[("sec-fetch-site", "cross-site")],
    &[("sec-fetch-site", "same-site")],
    &[("sec-fetch-site", "new-in-2030")],
];

/// What pages send that may.
const WELCOME: [&[(&str, &str)]; 9] = [
    &[],
    &[("origin", "https://paw.example.org")],
    &[("origin", "tauri://localhost"), ("sec-fetch-site", "cross-site")],
    &[("origin", "https://tauri.localhost")],
    &[("origin", "http://localhost:1420")],
    &[("origin", "https://app.example"), ("sec-fetch-site", "cross-site")],
    &[("origin", "HTTPS://APP.EXAMPLE")],
    &[("sec-fetch-site", "same-origin")],
    &[("sec-fetch-site", "none")],
];

fn sent_by(call: Call, headers: &[(&str, &str)]) -> Call {
    headers.iter().fold(call, |call, (name, value)| call.header(name, value))
}

fn with_token(call: Call) -> Call {
    call.header("authorization", format!("Bearer {MASTER_TOKEN}"))
}

fn with_cookie(call: Call) -> Call {
    call.header("cookie", format!("pocketpaw_session={MASTER_TOKEN}"))
}

#[tokio::test]
async fn pages_of_others_change_nothing_whatever_is_sent_with_their_requests() {
    let app = app_told(|_| {});
    let foreign = |rights| Rights::ForeignPage(Box::new(rights));
    let visitors = FOREIGN.iter().flat_map(|headers| {
        let name = |who: &str| format!("{headers:?} {who}");
        [
            Visitor::new(name("with the cookie"), foreign(owner()), |call| with_cookie(sent_by(call, headers))),
            Visitor::new(name("from here"), foreign(Rights::Stranger), |call| sent_by(call.from_here(), headers)),
            Visitor::new(name("from here with the token"), foreign(owner()), |call| {
                with_token(sent_by(call.from_here(), headers))
            }),
        ]
    });
    hold(&app, &visitors.collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn our_pages_and_allowed_ones_are_like_no_page() {
    let app = app_told(|_| {});
    let visitors = WELCOME.iter().flat_map(|headers| {
        let name = |who: &str| format!("{headers:?} {who}");
        [
            Visitor::new(name("with nothing"), Rights::Stranger, |call| sent_by(call, headers)),
            Visitor::new(name("with the cookie"), owner(), |call| with_cookie(sent_by(call, headers))),
        ]
    });
    hold(&app, &visitors.collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn what_a_page_of_others_tried_is_written_down() {
    let app = TestApp::new();
    let call = app.token_user().call(Method::POST, "/api/webhooks/add").header("origin", "https://evil.example");
    call.json(&json!({ "name": "ci" })).send().await.assert_status(403);
    app.token_user().get("/api/webhooks").await.assert_json(200, &json!({ "webhooks": [] }));
    let entry = crate::http::auth::log(&app).await.remove(0);
    assert_eq!(
        (&entry["action"], &entry["status"], &entry["target"]),
        (&json!("foreign_page_refused"), &json!("block"), &json!("/api/webhooks/add"))
    );
}

/// Servers that deliver are no browsers, and prove what they send.
#[tokio::test]
async fn a_delivery_may_come_from_anywhere() {
    let app = TestApp::new();
    let added = app.token_user().post("/api/webhooks/add", json!({ "name": "ci" })).await.json();
    let secret = added["webhook"]["secret"].as_str().unwrap();
    for headers in FOREIGN {
        let call = sent_by(app.anonymous().call(Method::POST, "/webhook/inbound/ci?wait=false"), headers);
        let call = call.header("x-webhook-secret", secret).header("content-type", "text/plain");
        call.body("{}").send().await.assert_status(200);
    }
}
