//! A session as a file.

use super::{NO_IDS, two_sessions};
use crate::support::{Failure, TestApp};
use axum::http::Method;
use pawport::domain::session::Role;
use serde_json::Value;
use std::time::Duration;

/// The two ways to ask for an export: by query, and by path in v1.
fn paths(id: &str) -> [String; 2] {
    [format!("/api/memory/session/export?id={id}&"), format!("/api/v1/sessions/{id}/export?")]
}

#[tokio::test]
async fn json_holds_everything() {
    let app = two_sessions().await;
    app.pass(Duration::from_secs(60));
    let [by_query, by_path] = paths("telegram_123456789");
    let colon = paths("telegram:123456789");
    for path in [&by_query, &by_path, &format!("{by_query}format=json"), &format!("{by_path}format=json"), &colon[0]] {
        let answer = app.token_user().get(path).await;
        insta::allow_duplicates! {
            insta::assert_json_snapshot!(answer.assert_status(200).json(), @r#"
            {
              "export_version": "1.0",
              "exported_at": "2026-11-23T04:41:23.000Z",
              "message_count": 2,
              "messages": [
                {
                  "content": "How do I check if a number is prime?",
                  "id": "message-1",
                  "metadata": {},
                  "role": "user",
                  "timestamp": "2026-11-23T04:40:21.000Z"
                },
                {
                  "content": "Divide it by 2, 3, 4 …",
                  "id": "message-2",
                  "metadata": {},
                  "role": "assistant",
                  "timestamp": "2026-11-23T04:40:22.000Z"
                }
              ],
              "session_id": "telegram_123456789"
            }
            "#);
        }
        let disposition = answer.header("content-disposition");
        assert_eq!(disposition, "attachment; filename=\"pocketpaw-session-telegram_123456789.json\"");
    }
}

#[tokio::test]
async fn markdown_is_for_people() {
    let app = two_sessions().await;
    app.pass(Duration::from_secs(60));
    for path in paths("telegram_123456789") {
        let answer = app.token_user().get(&format!("{path}format=md")).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(answer.assert_status(200).text(), @r"
            # Conversation Export
            **Session**: `telegram_123456789` | **Messages**: 2 | **Exported**: 2026-11-23 04:41

            ---

            **User** (04:40):
            How do I check if a number is prime?

            ---

            **Assistant** (04:40):
            Divide it by 2, 3, 4 …

            ---
            ");
        }
        assert_eq!(answer.header("content-type"), "text/markdown; charset=utf-8");
        let disposition = answer.header("content-disposition");
        assert_eq!(disposition, "attachment; filename=\"pocketpaw-session-telegram_123456789.md\"");
    }
}

#[tokio::test]
async fn a_session_without_messages_is_a_file_too() {
    let app = TestApp::new();
    let created = app.token_user().call(Method::POST, "/api/v1/sessions").send().await.json();
    let [path, _] = paths(created["id"].as_str().unwrap());
    insta::assert_json_snapshot!(app.token_user().get(&path).await.json(), @r#"
    {
      "export_version": "1.0",
      "exported_at": "2026-11-23T04:40:21.000Z",
      "message_count": 0,
      "messages": [],
      "session_id": "websocket_783825822a6f"
    }
    "#);
    insta::assert_snapshot!(app.token_user().get(&format!("{path}format=md")).await.text(), @r"
    # Conversation Export
    **Session**: `websocket_783825822a6f` | **Messages**: 0 | **Exported**: 2026-11-23 04:40

    ---
    ");
}

#[tokio::test]
async fn a_long_session_is_complete_and_in_order() {
    let app = TestApp::new();
    for number in 0..450 {
        app.say("websocket_long", Role::User, &format!("text {number}\n")).await;
    }
    let [path, _] = paths("websocket_long");
    let export = app.token_user().get(&path).await.json();
    let contents: Vec<_> = export["messages"].as_array().unwrap().iter().map(|it| it["content"].clone()).collect();
    let expected: Vec<Value> = (0..450).map(|number| format!("text {number}\n").into()).collect();
    assert_eq!(contents, expected);
    assert_eq!(export["message_count"], 450);
    let markdown = app.token_user().get(&format!("{path}format=md")).await;
    assert_eq!(markdown.text().matches("**User**").count(), 450);
}

#[tokio::test]
async fn what_is_said_during_an_export_is_not_part_of_it() {
    let app = TestApp::new();
    app.say("websocket_a", Role::User, "before").await;
    let export = app.token_user().open(&paths("websocket_a")[0]).await;
    app.say("websocket_a", Role::User, "after").await;
    let export = export.whole().await.unwrap().json();
    assert_eq!(export["message_count"], 1);
    assert_eq!(export["messages"].as_array().map(Vec::len), Some(1));
    assert_eq!(export["messages"][0]["content"], "before");
}

/// A file that ends early must not look like a whole one.
#[tokio::test]
async fn an_export_that_fails_midway_breaks_off() {
    for format in ["json", "md"] {
        for failure in [Failure::Unavailable, Failure::Failed] {
            let app = two_sessions().await;
            app.fail_call(2, failure);
            let path = format!("{}format={format}", paths("telegram_123456789")[0]);
            let answer = app.token_user().call(Method::GET, &path).try_send().await;
            assert!(app.has_failed());
            assert_eq!(answer.unwrap_err().status, 200);
        }
    }
}

#[tokio::test]
async fn the_name_of_the_file_needs_no_quoting() {
    let app = TestApp::new();
    for (id, encoded, file) in [
        (
            "websocket_03a49d63-6730-4d85-89e3-97002d9fa5b3",
            "websocket_03a49d63-6730-4d85-89e3-97002d9fa5b3",
            "websocket_03a49d63-6",
        ),
        ("web_a;b=c&d", "web_a%3Bb%3Dc%26d", "web_a_b_c_d"),
        ("web_..*{x}$(y)", "web_..%2A%7Bx%7D%24%28y%29", "web_..__x___y_"),
    ] {
        app.say(id, Role::User, "x").await;
        for path in paths(encoded) {
            let answer = app.token_user().get(&path).await;
            answer.assert_status(200);
            let disposition = format!("attachment; filename=\"pocketpaw-session-{file}.json\"");
            assert_eq!(answer.header("content-disposition"), disposition);
            assert_eq!(answer.json()["session_id"], id);
        }
    }
}

#[tokio::test]
async fn there_are_two_formats() {
    let app = two_sessions().await;
    for path in paths("telegram_123456789").into_iter().chain(paths("none")) {
        for format in ["pdf", "xml", "JSON", "", "json%00", "%FF"] {
            let answer = app.token_user().get(&format!("{path}format={format}")).await;
            answer.assert_error(400, "Format must be 'json' or 'md'");
        }
    }
}

#[tokio::test]
async fn what_is_no_session_is_not_found() {
    let app = two_sessions().await;
    let user = app.token_user();
    for id in NO_IDS.into_iter().chain(["none", "telegram"]) {
        for path in paths(id) {
            let answer = user.get(&path).await;
            let detail = answer.assert_status(404).json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.starts_with("Session not found: "), "{detail}");
        }
    }
    user.get(&paths("none")[0]).await.assert_error(404, "Session not found: none");
    user.get(&paths("none")[1]).await.assert_error(404, "Session not found: none");
    user.get("/api/v1/sessions/%FF/export").await.assert_error(404, "Not Found");
    user.get("/api/memory/session/export").await.assert_error(400, "Missing required parameter: id");
    user.get("/api/memory/session/export?id=&format=md").await.assert_error(400, "Missing required parameter: id");
}

#[tokio::test]
async fn each_family_has_its_own_path() {
    let app = two_sessions().await;
    let user = app.token_user();
    user.get("/api/sessions/telegram_123456789/export").await.assert_error(404, "Not Found");
    user.get("/api/v1/memory/session/export?id=telegram_123456789").await.assert_error(404, "Not Found");
}
