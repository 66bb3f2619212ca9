//! Searching.

use super::{FAMILIES, ids, two_sessions};
use crate::support::TestApp;
use pawport::domain::session::Role;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_hit_says_who_said_it_where() {
    let app = two_sessions().await;
    for family in FAMILIES {
        let answer = app.token_user().get(&format!("{family}/sessions/search?q=DOCKER")).await;
        insta::allow_duplicates! {
            insta::assert_json_snapshot!(answer.assert_status(200).json(), @r#"
            {
              "sessions": [
                {
                  "channel": "discord",
                  "id": "discord_dm_987",
                  "last_activity": "2026-11-23T04:40:23.000Z",
                  "match": "Docker deployment help please",
                  "match_role": "user",
                  "title": "Docker deployment help please"
                }
              ]
            }
            "#);
        }
    }
}

#[tokio::test]
async fn sessions_are_found_newest_activity_first_each_by_its_first_hit() {
    let app = two_sessions().await;
    app.pass(Duration::from_secs(1));
    app.say("telegram_123456789", Role::User, "Please help again").await;
    app.say("telegram_123456789", Role::Assistant, "I help gladly").await;
    let answer = app.token_user().get("/api/sessions/search?q=help").await.json();
    assert_eq!(ids(&answer), ["telegram_123456789", "discord_dm_987"]);
    assert_eq!(answer["sessions"][0]["match"], "Please help again");
    assert_eq!(answer["sessions"][0]["match_role"], "user");
}

#[tokio::test]
async fn the_excerpt_is_cut_around_the_hit() {
    let app = TestApp::new();
    let text = format!("{}needle{}", "a".repeat(500), "b".repeat(500));
    app.say("websocket_long", Role::Assistant, &text).await;
    let answer = app.token_user().get("/api/v1/sessions/search?q=needle").await.json();
    let expected = format!("…{}needle{}…", "a".repeat(96), "b".repeat(96));
    assert_eq!(answer["sessions"][0]["match"], expected);
    assert_eq!(expected.chars().count(), 200);
}

#[tokio::test]
async fn every_character_means_itself() {
    let app = TestApp::new();
    app.say("websocket_plain", Role::User, "100 percent of a-b, it's said").await;
    app.say("websocket_signs", Role::User, "100% of a_b, \"quoted\" c:\\d").await;
    for (query, found) in [
        ("100%25", "websocket_signs"),
        ("a_b", "websocket_signs"),
        ("%22quoted%22", "websocket_signs"),
        ("%22", "websocket_signs"),
        ("%5Cd", "websocket_signs"),
        ("it%27s", "websocket_plain"),
        ("it's+said", "websocket_plain"),
        ("a-b", "websocket_plain"),
    ] {
        for family in FAMILIES {
            let answer = app.token_user().get(&format!("{family}/sessions/search?q={query}")).await.json();
            assert_eq!(ids(&answer), [found], "{query}");
        }
    }
    for query in ["%25%25", "__", "a%25b", "OR", "100+OR+percent", "quot*", "%22+OR+%22"] {
        let answer = app.token_user().get(&format!("/api/sessions/search?q={query}")).await;
        answer.assert_json(200, &json!({ "sessions": [] }));
    }
}

#[tokio::test]
async fn a_blank_query_finds_nothing() {
    let app = two_sessions().await;
    for family in FAMILIES {
        for query in ["", "?q=", "?q=%20%0A", "?q=+", "?limit=5", "?q=zzzz"] {
            let answer = app.token_user().get(&format!("{family}/sessions/search{query}")).await;
            answer.assert_json(200, &json!({ "sessions": [] }));
        }
    }
}

#[tokio::test]
async fn queries_that_no_message_can_contain_are_refused() {
    let app = TestApp::new();
    let place = ["query", "q"];
    for family in FAMILIES {
        let user = app.token_user();
        let answer = user.get(&format!("{family}/sessions/search?q={}", "x".repeat(201))).await;
        answer.assert_invalid("string_error", &place, "must have at most 200 characters");
        let answer = user.get(&format!("{family}/sessions/search?q=a%00b")).await;
        answer.assert_invalid("string_error", &place, "must not contain a NUL character");
        user.get(&format!("{family}/sessions/search?q={}", "%C3%A4".repeat(200))).await.assert_status(200);
        user.get(&format!("{family}/sessions/search?q=%FF%FE")).await.assert_status(200);
        user.get(&format!("{family}/sessions/search?q=%ZZ%")).await.assert_status(200);
    }
}

#[tokio::test]
async fn the_limit_is_1_to_200() {
    let app = TestApp::new();
    let user = app.token_user();
    for number in 0..201 {
        app.say(&format!("websocket_{number:03}"), Role::User, "needle").await;
    }
    for (limit, count) in [("", 20), ("&limit=0", 1), ("&limit=-7", 1), ("&limit=200", 200), ("&limit=201", 200)] {
        let answer = user.get(&format!("/api/sessions/search?q=needle{limit}")).await.json();
        assert_eq!(ids(&answer).len(), count, "{limit}");
    }
    let place = ["query", "limit"];
    let answer = user.get("/api/v1/sessions/search?q=needle&limit=0").await;
    answer.assert_invalid("greater_than_equal", &place, "Input should be greater than or equal to 1");
    let answer = user.get("/api/v1/sessions/search?q=needle&limit=201").await;
    answer.assert_invalid("less_than_equal", &place, "Input should be less than or equal to 200");
    for family in FAMILIES {
        let answer = user.get(&format!("{family}/sessions/search?q=needle&limit=many")).await;
        answer.assert_invalid("int_parsing", &place, "Input should be a valid integer");
        // Nothing is looked for, but the limit is wrong all the same.
        let answer = user.get(&format!("{family}/sessions/search?limit=many")).await;
        answer.assert_invalid("int_parsing", &place, "Input should be a valid integer");
    }
}
