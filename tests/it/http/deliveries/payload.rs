//! What of a delivery reaches the agent and the session.

use super::{Slot, request_id};
use crate::support::TestApp;
use serde_json::{Value, json};

/// The message that a body becomes.
async fn message(app: &TestApp, slot: &Slot, body: impl Into<axum::body::Body>) -> Value {
    let id = request_id(&slot.proven(app, "").body(body).send().await);
    assert_eq!(app.answer_turns().await, 1);
    app.token_user().get(&format!("/api/v1/sessions/webhook_{id}/history")).await.json()[0].clone()
}

#[tokio::test]
async fn everything_that_is_known_is_kept() {
    let app = TestApp::new();
    let slot = Slot::add(&app, "ci").await;
    let body = json!({
        "content": "summarise this",
        "sender": " ci ",
        "metadata": { "k": "v", "deep": { "list": [1, null] } },
        "media_urls": ["https://example.org/a.png", "http://example.org/b.png"],
        "unknown": true,
    });
    insta::assert_json_snapshot!(message(&app, &slot, body.to_string()).await, @r#"
    {
      "content": "summarise this",
      "id": "01a206b4-7b08-7c76-94ec-fd7b0b623b80",
      "metadata": {
        "media_urls": [
          "https://example.org/a.png",
          "http://example.org/b.png"
        ],
        "metadata": {
          "deep": {
            "list": [
              1,
              null
            ]
          },
          "k": "v"
        },
        "origin": "webhook",
        "request_id": "01a206b4-7b08-7c76-94ec-fd7b0b623b80",
        "sender": "ci",
        "source": "webhook",
        "webhook": "ci"
      },
      "role": "user",
      "timestamp": "2026-11-23T04:40:21.000Z"
    }
    "#);
}

#[tokio::test]
async fn without_content_the_whole_body_is_the_message_as_it_came() {
    let app = TestApp::new();
    let slot = Slot::add(&app, "ci").await;
    for (body, content) in [
        (r#"{"action": "opened", "n": 1.50}"#, r#"{"action": "opened", "n": 1.50}"#),
        ("\n\t{ }\r\n", "{ }"),
        (r#"{"content":""}"#, r#"{"content":""}"#),
        (r#"{"content":" \n"}"#, r#"{"content":" \n"}"#),
        (r#"{"content":5}"#, r#"{"content":5}"#),
        (r#"{"content":null}"#, r#"{"content":null}"#),
        (r#"{"content":{"content":"x"}}"#, r#"{"content":{"content":"x"}}"#),
        // An escaped NUL that is not the message is just somebody's data.
        (r#"{"other":"\u0000"}"#, r#"{"other":"\u0000"}"#),
        (r#"{"content":" x\r\n"}"#, " x\r\n"),
        (r#"{"content":"\ud83d\udc3e ünï"}"#, "🐾 ünï"),
        (r#"{"content":"first","content":"last"}"#, "last"),
    ] {
        assert_eq!(message(&app, &slot, body).await["content"], content, "{body}");
    }
}

#[tokio::test]
async fn members_of_a_form_we_do_not_know_are_left_alone() {
    let app = TestApp::new();
    let slot = Slot::add(&app, "ci").await;
    let long = "s".repeat(201);
    for (body, sender, metadata) in [
        (json!({}), "webhook:ci", json!({})),
        (json!({ "sender": { "login": "octocat" } }), "webhook:ci", json!({})),
        (json!({ "sender": "" }), "webhook:ci", json!({})),
        (json!({ "sender": "a\0b" }), "webhook:ci", json!({})),
        (json!({ "sender": long }), "webhook:ci", json!({})),
        (json!({ "sender": long[..200] }), &long[..200], json!({})),
        (json!({ "metadata": [1] }), "webhook:ci", json!({})),
        (json!({ "metadata": "x" }), "webhook:ci", json!({})),
        (json!({ "metadata": { "a\0": "\0" } }), "webhook:ci", json!({ "a\0": "\0" })),
        (
            json!({ "metadata": { "sender": "x", "source": "y" } }),
            "webhook:ci",
            json!({ "sender": "x", "source": "y" }),
        ),
    ] {
        let stored = message(&app, &slot, body.to_string()).await;
        assert_eq!(stored["metadata"]["sender"], sender, "{body}");
        assert_eq!(stored["metadata"]["metadata"], metadata, "{body}");
        assert_eq!(stored["metadata"]["source"], "webhook");
    }
}

#[tokio::test]
async fn media_urls_are_kept_as_links() {
    let app = TestApp::new();
    let slot = Slot::add(&app, "ci").await;
    let long = format!("https://example.org/{}", "x".repeat(2_048));
    for (given, kept) in [
        (json!([]), json!([])),
        (json!("https://example.org"), json!([])),
        (json!({ "url": "https://example.org" }), json!([])),
        (json!([5, null, ["https://example.org"], " https://example.org/a "]), json!(["https://example.org/a"])),
        // What could reach inwards if somebody ever followed it, or is no link at all.
        (json!(["file:///etc/passwd", "gopher://x", "//example.org", "javascript:alert(1)", "data:,x"]), json!([])),
        (json!(["https://example.org/a b", "https://example.org/\nx", "https://a\0b", long]), json!([])),
        (json!(["http://169.254.169.254/latest"]), json!(["http://169.254.169.254/latest"])),
        (json!(vec!["https://example.org"; 40]), json!(vec!["https://example.org"; 32])),
    ] {
        let body = json!({ "content": "look", "media_urls": given });
        let stored = message(&app, &slot, body.to_string()).await;
        assert_eq!((&stored["metadata"]["media_urls"], &stored["content"]), (&kept, &json!("look")), "{given}");
    }
}

#[tokio::test]
async fn bodies_that_are_no_json_are_refused() {
    let app = TestApp::new();
    let slot = Slot::add(&app, "ci").await;
    let bodies: [&[u8]; 15] = [
        b"",
        b" ",
        b"{",
        b"{\"content\":\"x\"",
        b"{\"content\":\"x\"} trailing",
        b"{\"content\":\"x\"}{}",
        b"{'content':'x'}",
        b"{content:1}",
        b"payload=%7B%7D",
        b"NaN",
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        b"{\"content\":\"caf\xe9\"}",
        b"{\"content\":\"a\x00b\"}",
        br#"{"content":"\ud800"}"#,
    ];
    for body in bodies {
        let answer = slot.proven(&app, "").body(body).send().await;
        assert_eq!(answer.status(), 400, "{}", body.escape_ascii());
        answer.assert_error(400, "Invalid JSON body");
    }
    let deep = format!("{}{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    slot.proven(&app, "").body(deep).send().await.assert_error(400, "Invalid JSON body");
    assert_eq!(app.answer_turns().await, 0);
}

#[tokio::test]
async fn json_that_is_no_object_is_refused() {
    let app = TestApp::new();
    let slot = Slot::add(&app, "ci").await;
    for body in ["[1,2]", "[{\"content\":\"x\"}]", "\"text\"", "5", "1e5", "true", "null", " [] "] {
        let answer = slot.proven(&app, "").body(body).send().await;
        answer.assert_invalid("dict_type", &["body"], "The body must be a JSON object");
    }
    let answer = slot.proven(&app, "").body(r#"{"content":"a\u0000b"}"#).send().await;
    answer.assert_invalid("string_error", &["body", "content"], "content must not contain a NUL character");
    assert_eq!(app.answer_turns().await, 0);
}
