//! The open route that takes deliveries.

mod payload;
mod proofs;
mod refusals;
mod waiting;

use crate::support::{Call, Response, TestApp};
use axum::body::{Body, Bytes};
use axum::http::Method;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::convert::Infallible;

/// What [`Slot::deliver`] sends.
const BODY: &str = r#"{"content":"summarise this"}"#;

const REFUSAL: &str = "Invalid webhook secret or signature";

/// A slot and what its sender knows.
struct Slot {
    name: &'static str,
    secret: String,
}

impl Slot {
    async fn add(app: &TestApp, name: &'static str) -> Self {
        Self::add_with(app, name, json!({})).await
    }

    async fn add_with(app: &TestApp, name: &'static str, mut members: Value) -> Self {
        members["name"] = name.into();
        let added = app.token_user().post("/api/webhooks/add", members).await.assert_status(200).json();
        Self { name, secret: added["webhook"]["secret"].as_str().expect("a secret").to_owned() }
    }

    /// A call without proof and without a body. `query` is empty or begins with a question mark.
    fn call(&self, app: &TestApp, query: &str) -> Call {
        app.anonymous().call(Method::POST, &format!("/webhook/inbound/{}{query}", self.name))
    }

    /// A call with the secret.
    fn proven(&self, app: &TestApp, query: &str) -> Call {
        self.call(app, query).header("x-webhook-secret", &self.secret)
    }

    async fn deliver(&self, app: &TestApp) -> Response {
        self.proven(app, "").body(BODY).send().await
    }

    /// Delivers `content` and gives the request id.
    async fn ask(&self, app: &TestApp, content: &str) -> String {
        let answer = self.proven(app, "").json(&json!({ "content": content })).send().await;
        request_id(&answer)
    }

    fn hex_signature(&self, body: &[u8]) -> String {
        format!("sha256={}", hex::encode(hmac(self.secret.as_bytes(), &[body])))
    }

    /// A call with everything that Standard Webhooks wants.
    fn signed(&self, app: &TestApp, query: &str, id: &str, seconds: i64, body: &'static str) -> Call {
        let call = self.call(app, query).header("webhook-id", id).header("webhook-timestamp", seconds.to_string());
        call.header("webhook-signature", self.standard_signature(id, seconds, body)).body(body)
    }

    fn standard_signature(&self, id: &str, seconds: i64, body: &str) -> String {
        let key = STANDARD.decode(self.secret.strip_prefix("whsec_").expect("a key")).expect("a key in base64");
        let signed = hmac(&key, &[format!("{id}.{seconds}.{body}").as_bytes()]);
        format!("v1,{}", STANDARD.encode(signed))
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length will do");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

#[track_caller]
fn request_id(answer: &Response) -> String {
    answer.assert_status(200).json()["request_id"].as_str().expect("a request id").to_owned()
}

/// What was said in a session: role and text of each message.
async fn said(app: &TestApp, session: &str) -> Vec<(String, String)> {
    let history = app.token_user().get(&format!("/api/v1/sessions/{session}/history?limit=500")).await.json();
    let text = |message: &Value, name: &str| message[name].as_str().expect("a text").to_owned();
    let messages = history.as_array().expect("a list").iter();
    messages.map(|message| (text(message, "role"), text(message, "content"))).collect()
}

async fn session_count(app: &TestApp) -> Value {
    app.token_user().get("/api/sessions").await.json()["total"].clone()
}

#[tokio::test]
async fn a_delivery_is_accepted_and_answered_in_a_session_of_its_own() {
    let app = TestApp::new();
    let slot = Slot::add(&app, "github-events").await;
    let answer = slot.deliver(&app).await;
    insta::assert_json_snapshot!(answer.assert_status(200).json(), @r#"
    {
      "request_id": "01a206b4-7b08-7c76-94ec-fd7b0b623b80",
      "status": "accepted"
    }
    "#);
    let id = request_id(&answer);
    assert_eq!(session_count(&app).await, 0, "the message is stored in its session when its turn comes");

    assert_eq!(app.answer_turns().await, 1);
    let history = app.token_user().get(&format!("/api/v1/sessions/webhook_{id}/history")).await;
    insta::assert_json_snapshot!(history.json(), @r#"
    [
      {
        "content": "summarise this",
        "id": "01a206b4-7b08-7c76-94ec-fd7b0b623b80",
        "metadata": {
          "media_urls": [],
          "metadata": {},
          "origin": "webhook",
          "request_id": "01a206b4-7b08-7c76-94ec-fd7b0b623b80",
          "sender": "webhook:github-events",
          "source": "webhook",
          "webhook": "github-events"
        },
        "role": "user",
        "timestamp": "2026-11-23T04:40:21.000Z"
      },
      {
        "content": "Received: “summarise this”\n\nNo language model is connected, so this is all I can say. See “Connecting a model” in docs/operations.md, or send /help.",
        "id": "01a206b4-7b08-74ac-816a-f38f59d2ddeb",
        "metadata": {
          "agent": "builtin",
          "request_id": "01a206b4-7b08-7c76-94ec-fd7b0b623b80"
        },
        "role": "assistant",
        "timestamp": "2026-11-23T04:40:21.000Z"
      }
    ]
    "#);
    insta::assert_json_snapshot!(app.token_user().get("/api/sessions").await.json(), @r#"
    {
      "sessions": [
        {
          "channel": "webhook",
          "created": "2026-11-23T04:40:21.000Z",
          "created_at": "2026-11-23T04:40:21.000Z",
          "id": "webhook_01a206b4-7b08-7c76-94ec-fd7b0b623b80",
          "last_activity": "2026-11-23T04:40:21.000Z",
          "message_count": 2,
          "preview": "Received: “summarise this”\n\nNo language model is connected, so this is all I can say. See “Connecting a model” in docs/o",
          "title": "summarise this",
          "updated_at": "2026-11-23T04:40:21.000Z"
        }
      ],
      "total": 1
    }
    "#);
}

#[tokio::test]
async fn deliveries_to_a_slot_have_a_session_each_unless_it_says_otherwise() {
    let app = TestApp::new();
    let slot = Slot::add(&app, "ci").await;
    let (one, two) = (slot.ask(&app, "/ping").await, slot.ask(&app, "/ping").await);
    assert_ne!(one, two);
    assert_eq!(app.answer_turns().await, 2);
    for id in [one, two] {
        let expected = [("user", "/ping"), ("assistant", "pong")].map(|(role, text)| (role.into(), text.into()));
        assert_eq!(said(&app, &format!("webhook_{id}")).await, expected);
    }
    assert_eq!(session_count(&app).await, 2);
}

#[tokio::test]
async fn a_slot_with_one_session_puts_everything_there_in_order() {
    let app = TestApp::new();
    let slot = Slot::add_with(&app, "ci", json!({ "session": "slot" })).await;
    let other = Slot::add_with(&app, "cron", json!({ "session": "slot" })).await;
    for number in 0..12 {
        slot.ask(&app, &format!("question {number}")).await;
        other.ask(&app, &format!("other {number}")).await;
    }
    assert_eq!(app.answer_turns().await, 24);
    let messages = said(&app, "webhook_ci").await;
    assert_eq!(messages.len(), 24);
    for (number, pair) in messages.chunks(2).enumerate() {
        assert_eq!(pair[0], ("user".to_owned(), format!("question {number}")));
        assert_eq!(pair[1].0, "assistant");
        assert!(pair[1].1.contains(&format!("question {number}")), "{pair:?}");
    }
    assert_eq!(session_count(&app).await, 2);
}

#[tokio::test]
async fn the_one_session_of_a_slot_is_named_after_it() {
    for name in ["_index", "_aliases", "-", "xcompaction", "a_b-C", "0"] {
        let app = TestApp::new();
        let slot = Slot::add_with(&app, name, json!({ "session": "slot" })).await;
        slot.deliver(&app).await.assert_status(200);
        assert_eq!(app.answer_turns().await, 1);
        let sessions = app.token_user().get("/api/sessions").await.json();
        assert_eq!(sessions["sessions"][0]["id"], format!("webhook_{name}"));
    }
}

#[tokio::test]
async fn what_was_delivered_to_a_slot_is_answered_after_it_was_removed() {
    let app = TestApp::new();
    let slot = Slot::add(&app, "ci").await;
    let id = slot.ask(&app, "/ping").await;
    app.token_user().post("/api/webhooks/remove", json!({ "name": "ci" })).await.assert_status(200);
    app.answer_turns().await;
    assert_eq!(said(&app, &format!("webhook_{id}")).await.len(), 2);
}

#[tokio::test]
async fn the_body_may_claim_to_be_anything() {
    let app = TestApp::new();
    let slot = Slot::add(&app, "ci").await;
    slot.proven(&app, "").body(BODY).send().await.assert_status(200);
    for kind in ["application/json", "text/plain", "application/x-www-form-urlencoded", "", "nonsense", "image/png"] {
        slot.proven(&app, "").header("content-type", kind).body(BODY).send().await.assert_status(200);
    }
}

fn body_of(length: usize) -> String {
    format!(r#"{{"content":"{}"}}"#, "x".repeat(length - r#"{"content":""}"#.len()))
}

#[tokio::test]
async fn a_body_of_one_mebibyte_is_taken_and_a_larger_one_is_not() {
    let app = TestApp::new();
    let slot = Slot::add(&app, "ci").await;
    slot.proven(&app, "").body(body_of(1024 * 1024)).send().await.assert_status(200);
    assert_eq!(app.answer_turns().await, 1);

    let too_large = body_of(1024 * 1024 + 1);
    let answer = slot.proven(&app, "").body(too_large.clone()).send().await;
    answer.assert_error(413, "The body is larger than 1 MiB");
    // Without a length nobody knows before it has come.
    let pieces: Vec<_> =
        too_large.as_bytes().chunks(10_000).map(Bytes::copy_from_slice).map(Ok::<_, Infallible>).collect();
    let answer = slot.proven(&app, "").body(Body::from_stream(stream::iter(pieces))).send().await;
    answer.assert_error(413, "The body is larger than 1 MiB");
    assert_eq!(app.answer_turns().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_given_up_after_half_a_minute() {
    let app = TestApp::new();
    let slot = Slot::add(&app, "ci").await;
    let begun = tokio::time::Instant::now();
    let call = slot.proven(&app, "").body(Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()));
    call.send().await.assert_error(408, "The body took too long to arrive");
    assert_eq!(begun.elapsed().as_secs(), 30);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let app = TestApp::new();
    let slot = Slot::add(&app, "ci").await;
    let pieces = [Ok(Bytes::from_static(b"{\"content\":")), Err(std::io::Error::other("reset"))];
    let answer = slot.proven(&app, "").body(Body::from_stream(stream::iter(pieces))).send().await;
    answer.assert_error(400, "The body could not be read");
    assert_eq!(app.answer_turns().await, 0);
}

#[tokio::test]
async fn a_full_backlog_refuses_until_something_was_answered() {
    let app = TestApp::with_capacity(2);
    let slot = Slot::add(&app, "ci").await;
    let standard = Slot::add_with(&app, "std", json!({ "scheme": "standard" })).await;
    let now = 1_795_408_821;
    slot.deliver(&app).await.assert_status(200);
    let first = request_id(&standard.signed(&app, "", "msg_1", now, BODY).send().await);

    for query in ["", "?wait=true"] {
        let answer = slot.proven(&app, query).body(BODY).send().await;
        answer.assert_error(503, "Too many deliveries are waiting for an answer; try again later");
        assert_eq!(answer.header("retry-after"), "1");
    }
    let answer = standard.signed(&app, "", "msg_2", now, BODY).send().await;
    answer.assert_status(503);
    // What is in the backlog already needs no room.
    assert_eq!(request_id(&standard.signed(&app, "", "msg_1", now, BODY).send().await), first);

    assert_eq!(app.answer_turns().await, 2);
    slot.deliver(&app).await.assert_status(200);
    // The refusal was not remembered as a delivery.
    assert_ne!(request_id(&standard.signed(&app, "", "msg_2", now, BODY).send().await), first);
    assert_eq!(app.answer_turns().await, 2);
}

#[tokio::test]
async fn an_agent_that_fails_leaves_its_reason_in_the_session() {
    use pawport::adapters::fake::{Script, ScriptedAgent};
    let script = Script::new().text("Let me see").fail("The model went away");
    let app = TestApp::with_agent(std::sync::Arc::new(ScriptedAgent::following([script])));
    let slot = Slot::add_with(&app, "ci", json!({ "session": "slot" })).await;
    slot.deliver(&app).await.assert_status(200);
    app.answer_turns().await;
    let history = app.token_user().get("/api/memory/session?id=webhook_ci").await.json();
    insta::assert_json_snapshot!(history[1], @r#"
    {
      "content": "Let me see\n\nThe model went away",
      "id": "01a206b4-7b08-74ac-816a-f38f59d2ddeb",
      "metadata": {
        "agent": "scripted",
        "error": true,
        "incomplete": true,
        "request_id": "01a206b4-7b08-7c76-94ec-fd7b0b623b80"
      },
      "role": "assistant",
      "timestamp": "2026-11-23T04:40:21.000Z"
    }
    "#);
}
