//! The audit log.

use crate::support::{MASTER_TOKEN, TestApp};
use axum::http::Method;
use pawport::domain::session::Role;
use serde_json::{Value, json};
use std::time::Duration;

const FAMILIES: [&str; 2] = ["/api", "/api/v1"];

async fn log(app: &TestApp) -> Vec<Value> {
    let log = app.token_user().get("/api/audit?limit=1000").await.assert_status(200).json();
    log.as_array().expect("a list").clone()
}

#[tokio::test]
async fn nothing_happened_yet() {
    let app = TestApp::new();
    for family in FAMILIES {
        app.token_user().get(&format!("{family}/audit")).await.assert_json(200, &json!([]));
    }
}

#[tokio::test]
async fn every_change_of_a_slot_leaves_an_entry_newest_first() {
    let app = TestApp::new();
    let user = app.token_user();
    user.post("/api/webhooks/add", json!({ "name": "ci", "scheme": "github" })).await.assert_status(200);
    app.pass(Duration::from_millis(7));
    user.post("/api/v1/webhooks/regenerate-secret", json!({ "name": "ci" })).await.assert_status(200);
    user.post("/api/webhooks/remove", json!({ "name": "ci" })).await.assert_status(200);
    for family in FAMILIES {
        let answer = user.get(&format!("{family}/audit")).await;
        insta::allow_duplicates! {
            insta::assert_json_snapshot!(answer.assert_status(200).json(), @r#"
            [
              {
                "action": "webhook_removed",
                "actor": "dashboard_user",
                "context": {
                  "credential": {
                    "id": "83afad953296",
                    "kind": "master_token"
                  }
                },
                "id": "01a206b4-7b0f-74ac-816a-f38f59d2ddeb",
                "severity": "info",
                "status": "success",
                "target": "ci",
                "timestamp": "2026-11-23T04:40:21.007Z"
              },
              {
                "action": "webhook_secret_regenerated",
                "actor": "dashboard_user",
                "context": {
                  "credential": {
                    "id": "83afad953296",
                    "kind": "master_token"
                  }
                },
                "id": "01a206b4-7b0f-7ed2-b061-1e97da9cfe87",
                "severity": "info",
                "status": "success",
                "target": "ci",
                "timestamp": "2026-11-23T04:40:21.007Z"
              },
              {
                "action": "webhook_added",
                "actor": "dashboard_user",
                "context": {
                  "credential": {
                    "id": "83afad953296",
                    "kind": "master_token"
                  },
                  "scheme": "github"
                },
                "id": "01a206b4-7b08-732d-aabf-88729cb43995",
                "severity": "info",
                "status": "success",
                "target": "ci",
                "timestamp": "2026-11-23T04:40:21.000Z"
              }
            ]
            "#);
        }
    }
}

#[tokio::test]
async fn every_change_of_a_session_leaves_an_entry() {
    let app = TestApp::new();
    let user = app.token_user();
    let created = user.call(Method::POST, "/api/v1/sessions").send().await.json();
    let session = created["id"].as_str().unwrap();
    user.put(&format!("/api/sessions/{session}/title"), json!({ "title": "x" })).await.assert_status(200);
    user.post(&format!("/api/v1/sessions/{session}/title"), json!({ "title": "y" })).await.assert_status(200);
    user.delete(&format!("/api/v1/sessions/{session}")).await.assert_status(200);
    let log = log(&app).await;
    insta::assert_json_snapshot!(log[0], @r#"
    {
      "action": "session_removed",
      "actor": "dashboard_user",
      "context": {
        "credential": {
          "id": "83afad953296",
          "kind": "master_token"
        }
      },
      "id": "01a206b4-7b08-74ac-816a-f38f59d2ddeb",
      "severity": "info",
      "status": "success",
      "target": "websocket_783825822a6f",
      "timestamp": "2026-11-23T04:40:21.000Z"
    }
    "#);
    let actions: Vec<_> = log.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["session_removed", "session_renamed", "session_renamed", "session_created"]);
    assert!(log.iter().all(|entry| entry["target"] == session && entry["context"] == log[0]["context"]), "{log:?}");
}

#[tokio::test]
async fn a_delivery_is_the_act_of_its_slot() {
    let app = TestApp::new();
    let added = app.token_user().post("/api/webhooks/add", json!({ "name": "ci" })).await.json();
    let secret = added["webhook"]["secret"].as_str().unwrap();
    let call = app.anonymous().call(Method::POST, "/webhook/inbound/ci").header("x-webhook-secret", secret);
    call.body("{}").send().await.assert_status(200);
    let before = log(&app).await;
    insta::assert_json_snapshot!(before[0], @r#"
    {
      "action": "webhook_accepted",
      "actor": "webhook",
      "context": {
        "credential": {
          "id": "ci",
          "kind": "webhook_secret"
        },
        "request_id": "01a206b4-7b08-7c76-94ec-fd7b0b623b80"
      },
      "id": "01a206b4-7b08-7ed2-b061-1e97da9cfe87",
      "severity": "info",
      "status": "success",
      "target": "ci",
      "timestamp": "2026-11-23T04:40:21.000Z"
    }
    "#);
    app.answer_turns().await;
    assert_eq!(log(&app).await, before);
}

#[tokio::test]
async fn what_changes_nothing_leaves_no_entry() {
    let app = TestApp::new();
    let user = app.token_user();
    app.say("websocket_a", Role::User, "hello").await;
    user.post("/api/webhooks/add", json!({ "name": "ci" })).await.assert_status(200);
    let before = log(&app).await;
    for path in
        ["/api/sessions", "/api/webhooks", "/api/memory/session/export?id=websocket_a", "/api/audit", "/api/version"]
    {
        user.get(path).await.assert_status(200);
        app.anonymous().get(path).await.assert_status(401);
    }
    user.post("/api/webhooks/add", json!({ "name": "ci" })).await.assert_status(409);
    user.post("/api/webhooks/add", json!({ "name": "c i" })).await.assert_status(400);
    user.post("/api/webhooks/add", json!({ "name": "cd", "sync_timeout": 0 })).await.assert_status(422);
    user.post("/api/webhooks/remove", json!({ "name": "cd" })).await.assert_status(404);
    user.post("/api/webhooks/regenerate-secret", json!({ "name": "cd" })).await.assert_status(404);
    user.post("/api/sessions/websocket_b/title", json!({ "title": "x" })).await.assert_status(404);
    user.post("/api/sessions/websocket_a/title", json!({ "title": "" })).await.assert_status(400);
    user.delete("/api/sessions/websocket_b").await.assert_status(404);
    user.delete("/api/sessions/_index").await.assert_status(404);
    assert_eq!(log(&app).await, before);
}

#[tokio::test]
async fn the_log_never_holds_a_secret() {
    let app = TestApp::new();
    let user = app.token_user();
    let mut secrets = vec![MASTER_TOKEN.to_owned(), "a guess".to_owned(), "a private text".to_owned()];
    for (name, scheme) in [("ci", "any"), ("std", "standard")] {
        let added = user.post("/api/webhooks/add", json!({ "name": name, "scheme": scheme })).await.json();
        secrets.push(added["webhook"]["secret"].as_str().unwrap().to_owned());
        let renewed = user.post("/api/webhooks/regenerate-secret", json!({ "name": name })).await.json();
        secrets.push(renewed["secret"].as_str().unwrap().to_owned());
    }
    let body = json!({ "content": "a private text", "metadata": { "password": "hunter2" } });
    secrets.push("hunter2".to_owned());
    for secret in ["a guess", &secrets[4].clone()] {
        let call = app.anonymous().call(Method::POST, "/webhook/inbound/ci").header("x-webhook-secret", secret);
        let answer = call.header("authorization", format!("Bearer {MASTER_TOKEN}")).json(&body).send().await;
        assert_eq!(answer.status() == 200, secret != "a guess");
    }
    let call = app.anonymous().call(Method::POST, &format!("/webhook/inbound/{}", secrets[5].replace('/', "%2F")));
    call.json(&body).send().await.assert_status(403);
    app.answer_turns().await;
    user.call(Method::POST, "/api/sessions").send().await.assert_status(200);
    user.post("/api/webhooks/remove", json!({ "name": "ci" })).await.assert_status(200);

    let answer = user.get("/api/v1/audit?limit=1000").await;
    assert_eq!(answer.json().as_array().unwrap().len(), 9);
    for secret in secrets {
        let beginning = &secret[..secret.len().min(12)];
        assert!(!answer.text().contains(beginning), "{beginning} is in {}", answer.text());
    }
}

#[tokio::test]
async fn the_limit_is_1_to_1000() {
    let app = TestApp::new();
    let user = app.token_user();
    for _ in 0..1_001 {
        user.call(Method::POST, "/api/sessions").send().await.assert_status(200);
    }
    for family in FAMILIES {
        for (query, count) in [("", 100), ("?limit=1", 1), ("?limit=1000", 1_000)] {
            let answer = user.get(&format!("{family}/audit{query}")).await.json();
            assert_eq!(answer.as_array().map(Vec::len), Some(count), "{query}");
        }
        let answer = user.get(&format!("{family}/audit?limit=all")).await;
        answer.assert_invalid("int_parsing", &["query", "limit"], "Input should be a valid integer");
    }
    for (limit, count) in [("0", 1), ("-1", 1), ("1001", 1_000), ("99999999999999999999", 1_000)] {
        let answer = user.get(&format!("/api/audit?limit={limit}")).await.json();
        assert_eq!(answer.as_array().map(Vec::len), Some(count), "{limit}");
    }
    let place = ["query", "limit"];
    let answer = user.get("/api/v1/audit?limit=0").await;
    answer.assert_invalid("greater_than_equal", &place, "Input should be greater than or equal to 1");
    let answer = user.get("/api/v1/audit?limit=1001").await;
    answer.assert_invalid("less_than_equal", &place, "Input should be less than or equal to 1000");
}
