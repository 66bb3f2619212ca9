//! What was said in a session.

use super::{NO_IDS, two_sessions};
use crate::support::TestApp;
use pawport::domain::session::Role;
use serde_json::{Value, json};

/// The two ways to ask for a history: by query, and by path in v1.
fn paths(id: &str) -> [String; 2] {
    [format!("/api/memory/session?id={id}&"), format!("/api/v1/sessions/{id}/history?")]
}

fn contents(answer: &Value) -> Vec<&str> {
    let messages = answer.as_array().expect("a list of messages");
    messages.iter().map(|message| message["content"].as_str().expect("a text")).collect()
}

#[tokio::test]
async fn the_history_is_oldest_first() {
    let app = two_sessions().await;
    for path in paths("telegram_123456789").into_iter().chain(paths("telegram:123456789")) {
        let answer = app.token_user().get(&path).await;
        insta::allow_duplicates! {
            insta::assert_json_snapshot!(answer.assert_status(200).json(), @r#"
            [
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
            ]
            "#);
        }
    }
}

#[tokio::test]
async fn text_comes_back_as_it_was() {
    let app = TestApp::new();
    let text = " ¿Qué tal? \r\n\t🐾 <b>&amp;</b> \"'\\ \u{202e}\u{feff}\u{1} ";
    app.say("websocket_unicode", Role::System, text).await;
    for path in paths("websocket_unicode") {
        let answer = app.token_user().get(&path).await.json();
        assert_eq!((&answer[0]["content"], &answer[0]["role"]), (&json!(text), &json!("system")));
    }
}

#[tokio::test]
async fn the_limit_takes_the_last_messages() {
    let app = TestApp::new();
    for number in 0..510 {
        app.say("websocket_a", Role::User, &number.to_string()).await;
    }
    let user = app.token_user();
    for path in paths("websocket_a") {
        for (limit, first, count) in [("", "460", 50), ("limit=1", "509", 1), ("limit=500", "10", 500)] {
            let answer = user.get(&format!("{path}{limit}")).await.json();
            assert_eq!((contents(&answer)[0], contents(&answer).len()), (first, count), "{path}{limit}");
            assert_eq!(contents(&answer).last(), Some(&"509"));
        }
    }
    let [legacy, v1] = paths("websocket_a");
    for (limit, count) in [("0", 1), ("-1", 1), ("501", 500), ("99999999999999999999", 500)] {
        let answer = user.get(&format!("{legacy}limit={limit}")).await.json();
        assert_eq!(contents(&answer).len(), count, "limit={limit}");
    }
    let place = ["query", "limit"];
    let answer = user.get(&format!("{v1}limit=0")).await;
    answer.assert_invalid("greater_than_equal", &place, "Input should be greater than or equal to 1");
    let answer = user.get(&format!("{v1}limit=501")).await;
    answer.assert_invalid("less_than_equal", &place, "Input should be less than or equal to 500");
    for path in paths("websocket_a") {
        let answer = user.get(&format!("{path}limit=all")).await;
        answer.assert_invalid("int_parsing", &place, "Input should be a valid integer");
    }
}

#[tokio::test]
async fn what_is_no_session_has_no_history() {
    let app = two_sessions().await;
    let user = app.token_user();
    for id in NO_IDS.into_iter().chain(["none", "telegram", "..%2F..%2Fconfig", &"x".repeat(500)]) {
        for path in paths(id) {
            user.get(&path).await.assert_json(200, &json!([]));
        }
    }
    for path in ["/api/memory/session", "/api/memory/session?id=", "/api/memory/session?id=%FF"] {
        user.get(path).await.assert_json(200, &json!([]));
    }
    user.get("/api/v1/sessions/%FF/history").await.assert_error(404, "Not Found");
}

#[tokio::test]
async fn each_family_has_its_own_path() {
    let app = two_sessions().await;
    let user = app.token_user();
    user.get("/api/sessions/telegram_123456789/history").await.assert_error(404, "Not Found");
    user.get("/api/v1/memory/session?id=telegram_123456789").await.assert_error(404, "Not Found");
}
