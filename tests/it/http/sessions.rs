//! The session list: reading, creating, renaming, removing.

mod export;
mod history;
mod search;

use crate::support::TestApp;
use axum::http::Method;
use pawport::domain::session::Role;
use serde_json::{Value, json};
use std::time::Duration;

const FAMILIES: [&str; 2] = ["/api", "/api/v1"];

/// Names that can be no session's: those of PocketPaw's own files, and what no file could be called.
const NO_IDS: [&str; 11] = [
    "_index",
    "_aliases",
    "x_compaction",
    "websocket_a_compaction",
    "websocket:a_compaction",
    "%5Findex",
    "websocket_%00",
    "websocket_%20a",
    "websocket_%22a",
    "websocket_%C3%A4",
    "websocket_%5Ca",
];

/// Two sessions in which something was said, a second apart.
async fn two_sessions() -> TestApp {
    let app = TestApp::new();
    app.say("telegram_123456789", Role::User, "How do I check if a number is prime?").await;
    app.pass(Duration::from_secs(1));
    app.say("telegram_123456789", Role::Assistant, "Divide it by 2, 3, 4 …").await;
    app.pass(Duration::from_secs(1));
    app.say("discord_dm_987", Role::User, "Docker deployment help please").await;
    app
}

fn ids(answer: &Value) -> Vec<&str> {
    let list = answer.as_array().or(answer["sessions"].as_array()).expect("a list of sessions");
    list.iter().map(|session| session["id"].as_str().expect("an id")).collect()
}

#[tokio::test]
async fn the_list_is_by_last_activity_in_both_families() {
    let app = two_sessions().await;
    for family in FAMILIES {
        let answer = app.token_user().get(&format!("{family}/sessions")).await;
        insta::allow_duplicates! {
            insta::assert_json_snapshot!(answer.assert_status(200).json(), @r#"
            {
              "sessions": [
                {
                  "channel": "discord",
                  "created": "2026-11-23T04:40:23.000Z",
                  "created_at": "2026-11-23T04:40:23.000Z",
                  "id": "discord_dm_987",
                  "last_activity": "2026-11-23T04:40:23.000Z",
                  "message_count": 1,
                  "preview": "Docker deployment help please",
                  "title": "Docker deployment help please",
                  "updated_at": "2026-11-23T04:40:23.000Z"
                },
                {
                  "channel": "telegram",
                  "created": "2026-11-23T04:40:21.000Z",
                  "created_at": "2026-11-23T04:40:21.000Z",
                  "id": "telegram_123456789",
                  "last_activity": "2026-11-23T04:40:22.000Z",
                  "message_count": 2,
                  "preview": "Divide it by 2, 3, 4 …",
                  "title": "How do I check if a number is prime?",
                  "updated_at": "2026-11-23T04:40:22.000Z"
                }
              ],
              "total": 2
            }
            "#);
        }
    }
}

#[tokio::test]
async fn nothing_is_listed_where_nothing_is() {
    let app = TestApp::new();
    for family in FAMILIES {
        let answer = app.token_user().get(&format!("{family}/sessions")).await;
        answer.assert_json(200, &json!({ "sessions": [], "total": 0 }));
    }
    app.token_user().get("/api/memory/sessions").await.assert_json(200, &json!([]));
}

#[tokio::test]
async fn the_bare_list_is_the_same_list_without_its_total() {
    let app = two_sessions().await;
    let list = app.token_user().get("/api/sessions").await.json();
    app.token_user().get("/api/memory/sessions").await.assert_json(200, &list["sessions"]);
    app.token_user().get("/api/v1/memory/sessions").await.assert_error(404, "Not Found");
}

#[tokio::test]
async fn limit_and_offset_cut_a_page_out() {
    let app = TestApp::new();
    for number in 0..60 {
        app.say(&format!("websocket_{number:02}"), Role::User, "x").await;
    }
    let user = app.token_user();
    // All are from the same moment, so the one created later comes first.
    for (path, first, count) in [
        ("/api/sessions", "websocket_59", 50),
        ("/api/v1/sessions", "websocket_59", 50),
        ("/api/memory/sessions", "websocket_59", 20),
        ("/api/sessions?limit=2", "websocket_59", 2),
        ("/api/v1/sessions?limit=2&offset=1", "websocket_58", 2),
        ("/api/sessions?offset=55", "websocket_04", 5),
        ("/api/memory/sessions?offset=1&limit=3", "websocket_58", 3),
        ("/api/v1/sessions?limit=500&offset=59", "websocket_00", 1),
        // Of a parameter that is given twice the last counts; unknown ones do not.
        ("/api/sessions?limit=7&limit=3&page=9", "websocket_59", 3),
    ] {
        let answer = user.get(path).await.json();
        assert_eq!((ids(&answer)[0], ids(&answer).len()), (first, count), "{path}");
        if let Some(total) = answer.get("total") {
            assert_eq!(*total, 60, "{path}");
        }
    }
    let beyond = user.get("/api/v1/sessions?offset=9223372036854775807").await;
    beyond.assert_json(200, &json!({ "sessions": [], "total": 60 }));
}

#[tokio::test]
async fn the_older_prefix_cuts_absurd_limits_into_bounds() {
    let app = TestApp::new();
    for number in 0..501 {
        app.say(&format!("websocket_{number:03}"), Role::User, "x").await;
    }
    let many_digits = "9".repeat(50);
    for (limit, count) in [
        ("0", 1),
        ("-1", 1),
        ("-9223372036854775809", 1),
        (&*format!("-{many_digits}"), 1),
        ("500", 500),
        ("501", 500),
        ("9223372036854775808", 500),
        ("340282366920938463463374607431768211456", 500),
        (&*many_digits, 500),
    ] {
        for path in ["/api/sessions", "/api/memory/sessions"] {
            let answer = app.token_user().get(&format!("{path}?limit={limit}")).await;
            answer.assert_status(200);
            assert_eq!(ids(&answer.json()).len(), count, "{path}?limit={limit}");
        }
    }
    let answer = app.token_user().get("/api/sessions?limit=1&offset=-5").await.json();
    assert_eq!(ids(&answer), ["websocket_500"]);
    let answer = app.token_user().get(&format!("/api/sessions?offset={many_digits}")).await;
    answer.assert_json(200, &json!({ "sessions": [], "total": 501 }));
}

#[tokio::test]
async fn v1_refuses_limits_out_of_bounds() {
    let app = TestApp::new();
    let user = app.token_user();
    let limit = ["query", "limit"];
    for given in ["0", "-1", "-9223372036854775809"] {
        let answer = user.get(&format!("/api/v1/sessions?limit={given}")).await;
        answer.assert_invalid("greater_than_equal", &limit, "Input should be greater than or equal to 1");
    }
    for given in ["501", "9223372036854775808"] {
        let answer = user.get(&format!("/api/v1/sessions?limit={given}")).await;
        answer.assert_invalid("less_than_equal", &limit, "Input should be less than or equal to 500");
    }
    let answer = user.get("/api/v1/sessions?offset=-1").await;
    answer.assert_invalid("greater_than_equal", &["query", "offset"], "Input should be greater than or equal to 0");
}

#[tokio::test]
async fn what_is_no_number_is_no_limit_in_either_family() {
    let app = TestApp::new();
    for path in ["/api/sessions", "/api/v1/sessions", "/api/memory/sessions"] {
        for name in ["limit", "offset"] {
            for given in ["abc", "", "1.5", "1e3", "0x10", "NaN", "1%00", "%FF", "--1", "\u{661}"] {
                let answer = app.token_user().get(&format!("{path}?{name}={given}")).await;
                answer.assert_invalid("int_parsing", &["query", name], "Input should be a valid integer");
            }
        }
    }
}

#[tokio::test]
async fn a_created_session_is_stored() {
    let app = TestApp::new();
    let user = app.token_user();
    for family in FAMILIES {
        let answer = user.call(Method::POST, &format!("{family}/sessions")).send().await;
        let created = answer.assert_status(200).json();
        let id = created["id"].as_str().unwrap();
        assert_eq!(created, json!({ "id": id, "title": "New Chat" }));
        let hex = id.strip_prefix("websocket_").unwrap();
        assert!(
            hex.len() == 12 && hex.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase()),
            "{id}"
        );

        let titled = user.post(&format!("{family}/sessions/{id}/title"), json!({ "title": "Named early" })).await;
        titled.assert_json(200, &json!({ "status": "ok" }));
        user.get(&format!("/api/v1/sessions/{id}/history")).await.assert_json(200, &json!([]));
    }
    insta::assert_json_snapshot!(user.get("/api/sessions").await.json(), @r#"
    {
      "sessions": [
        {
          "channel": "websocket",
          "created": "2026-11-23T04:40:21.000Z",
          "created_at": "2026-11-23T04:40:21.000Z",
          "id": "websocket_3ed2b0611e97",
          "last_activity": "2026-11-23T04:40:21.000Z",
          "message_count": 0,
          "preview": "",
          "title": "Named early",
          "updated_at": "2026-11-23T04:40:21.000Z",
          "user_title": "Named early"
        },
        {
          "channel": "websocket",
          "created": "2026-11-23T04:40:21.000Z",
          "created_at": "2026-11-23T04:40:21.000Z",
          "id": "websocket_783825822a6f",
          "last_activity": "2026-11-23T04:40:21.000Z",
          "message_count": 0,
          "preview": "",
          "title": "Named early",
          "updated_at": "2026-11-23T04:40:21.000Z",
          "user_title": "Named early"
        }
      ],
      "total": 2
    }
    "#);
}

/// No client sends one, but none that does should fail.
#[tokio::test]
async fn creating_a_session_takes_no_body() {
    let app = TestApp::new();
    for family in FAMILIES {
        let call = app.token_user().call(Method::POST, &format!("{family}/sessions"));
        call.raw_json("{").send().await.assert_status(200);
    }
}

#[tokio::test]
async fn a_title_is_trimmed_and_shown() {
    let app = two_sessions().await;
    let user = app.token_user();
    for (method, path, title) in [
        (Method::POST, "/api/sessions/telegram_123456789/title", "  Prime numbers\n".to_owned()),
        (Method::PUT, "/api/sessions/telegram_123456789/title", "t".to_owned()),
        (Method::POST, "/api/v1/sessions/telegram_123456789/title", "🐾".repeat(200)),
        (Method::PUT, "/api/v1/sessions/telegram_123456789/title", "<b>'\"%_</b>".to_owned()),
        // With a colon between the parts it is the same session.
        (Method::POST, "/api/sessions/telegram:123456789/title", "colon".to_owned()),
    ] {
        let answer = user.call(method, path).json(&json!({ "title": title, "unknown": [1] })).send().await;
        answer.assert_json(200, &json!({ "status": "ok" }));
        let list = user.get("/api/sessions").await.json();
        assert_eq!(ids(&list), ["discord_dm_987", "telegram_123456789"], "a new title is no activity");
        assert_eq!(list["sessions"][1]["title"], title.trim());
        assert_eq!(list["sessions"][1]["user_title"], title.trim());
        assert_eq!(list["sessions"][0].get("user_title"), None);
    }
}

#[tokio::test]
async fn titles_that_break_a_rule_are_refused_as_each_family_does() {
    let app = two_sessions().await;
    let user = app.token_user();
    let too_long = "y".repeat(201);
    for (body, legacy, v1) in [
        (json!({}), "Title is required", ("string_too_short", "String should have at least 1 character")),
        (
            json!({ "title": null }),
            "Title is required",
            ("string_too_short", "String should have at least 1 character"),
        ),
        (json!({ "title": "" }), "Title is required", ("string_too_short", "String should have at least 1 character")),
        (
            json!({ "title": " \n\t" }),
            "Title is required",
            ("string_too_short", "String should have at least 1 character"),
        ),
        (
            json!({ "title": too_long }),
            "Title must have at most 200 characters",
            ("string_too_long", "String should have at most 200 characters"),
        ),
        (
            json!({ "title": "a\0b" }),
            "Title must not contain a NUL character",
            ("string_error", "must not contain a NUL character"),
        ),
    ] {
        for method in [Method::POST, Method::PUT] {
            let path = "/api/sessions/telegram_123456789/title";
            user.call(method.clone(), path).json(&body).send().await.assert_error(400, legacy);
            let path = "/api/v1/sessions/telegram_123456789/title";
            user.call(method, path).json(&body).send().await.assert_invalid(v1.0, &["body", "title"], v1.1);
        }
    }
    let list = user.get("/api/sessions").await.json();
    assert_eq!(list["sessions"][1]["title"], "How do I check if a number is prime?");
    user.get("/api/audit").await.assert_json(200, &json!([]));
}

#[tokio::test]
async fn a_title_is_a_text() {
    let app = two_sessions().await;
    for family in FAMILIES {
        let path = format!("{family}/sessions/telegram_123456789/title");
        for title in [json!(5), json!(1.5), json!(true), json!(["x"]), json!({ "title": "x" })] {
            let answer = app.token_user().post(&path, json!({ "title": title })).await;
            let error = answer.assert_status(422).json()["detail"][0].clone();
            assert_eq!((&error["type"], &error["loc"]), (&json!("type_error"), &json!(["body", "title"])), "{title}");
        }
    }
    app.token_user().get("/api/audit").await.assert_json(200, &json!([]));
}

#[tokio::test]
async fn removing_a_session_takes_its_messages() {
    for family in FAMILIES {
        let app = two_sessions().await;
        let user = app.token_user();
        let path = format!("{family}/sessions/discord:dm:987");
        user.delete(&path).await.assert_json(200, &json!({ "status": "ok" }));
        user.delete(&path).await.assert_error(404, "Session not found");
        user.delete(&format!("{family}/sessions/discord_dm_987")).await.assert_error(404, "Session not found");
        assert_eq!(ids(&user.get("/api/sessions").await.json()), ["telegram_123456789"]);
        user.get("/api/memory/session?id=discord_dm_987").await.assert_json(200, &json!([]));
        user.get("/api/sessions/search?q=docker").await.assert_json(200, &json!({ "sessions": [] }));
    }
}

#[tokio::test]
async fn sessions_that_are_none_are_not_found_and_nothing_is_touched() {
    let app = two_sessions().await;
    let user = app.token_user();
    let too_long = "x".repeat(201);
    let slashes = "..%2F..%2Fconfig";
    for id in NO_IDS.into_iter().chain(["none", "telegram", "TELEGRAM_123456789", slashes, &too_long]) {
        for family in FAMILIES {
            user.delete(&format!("{family}/sessions/{id}")).await.assert_error(404, "Session not found");
            let path = format!("{family}/sessions/{id}/title");
            user.post(&path, json!({ "title": "x" })).await.assert_error(404, "Session not found");
            user.put(&path, json!({ "title": "x" })).await.assert_error(404, "Session not found");
        }
    }
    // What is not text names nothing.
    user.delete("/api/sessions/%FF").await.assert_error(404, "Not Found");
    user.post("/api/v1/sessions/%FF/title", json!({ "title": "x" })).await.assert_error(404, "Not Found");
    assert_eq!(ids(&user.get("/api/sessions").await.json()), ["discord_dm_987", "telegram_123456789"]);
    user.get("/api/audit").await.assert_json(200, &json!([]));
}
