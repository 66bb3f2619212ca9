//! What happens to turns, as it happens, and what was missed. The runtime's clock is paused. See also `mcp/events.rs`.

use crate::support::{Stream, TestApp, User, soon};
use axum::http::Method;
use pawport::adapters::fake::{Script, ScriptedAgent};
use pawport::domain::agent::model::TokenUsage;
use pawport::domain::agent::{AgentEvent, News, TurnId, TurnNews};
use pawport::domain::event::Event;
use pawport::domain::session::SessionId;
use serde_json::{Value, json};
use std::sync::Arc;

const STREAM: &str = "/api/v1/events/stream";
const KEEP_ALIVE: &str = ":\n\n";

async fn follow(user: &User, query: &str) -> Stream {
    let mut stream = user.open(&format!("{STREAM}{query}")).await;
    assert_eq!(stream.status, 200);
    assert!(stream.next().await.expect("a frame").starts_with("event: connected\nid: "));
    stream
}

/// Name, id and data of the next event.
async fn next(stream: &mut Stream) -> (String, String, Value) {
    let frame = stream.next().await.expect("a frame");
    let lines: Vec<_> = frame.lines().collect();
    let [event, id, data, ""] = lines[..] else { panic!("not a frame: {frame:?}") };
    let event = event.strip_prefix("event: ").expect("an event").to_owned();
    let id = id.strip_prefix("id: ").expect("an id").to_owned();
    let body: Value = serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON");
    assert_eq!(body["event"], event);
    (event, id, body["data"].clone())
}

/// A piece of an answer that nobody gave.
fn piece(text: String) -> Event {
    let session = SessionId::parse("websocket_a").expect("an id");
    let turn = TurnId::from_stored("turn".to_owned());
    Event::Turn(Arc::new(TurnNews { session, turn, news: News::Agent(AgentEvent::Text(text)) }))
}

#[tokio::test(start_paused = true)]
async fn what_happens_to_a_turn_is_told() {
    let script = Script::new()
        .event(AgentEvent::Thinking("Hm.".to_owned()))
        .tool_started("ls")
        .tool_finished("ls", "a b")
        .text("Two.")
        .event(AgentEvent::Used(TokenUsage { input: 12, output: 3 }))
        .fail("The model went away");
    let agent = Arc::new(ScriptedAgent::following([script]));
    let app = TestApp::with_agent(Arc::clone(&agent) as _);
    let user = app.token_user();
    let mut stream = follow(&user, "").await;
    let body = json!({ "content": "How many?", "session_id": "websocket_a" });
    let (answer, _) = tokio::join!(user.post("/api/v1/chat", body), app.answer_next());
    answer.assert_status(200);
    let turn = agent.asked()[0].id.to_string();
    let usage = json!({ "input_tokens": 12, "output_tokens": 3 });
    let wanted = [
        ("agent_start", json!({ "backend": "scripted", "model": "" })),
        ("thinking", json!({ "content": "Hm." })),
        ("tool_start", json!({ "name": "ls", "params": {}, "tool_call_id": "1" })),
        ("tool_result", json!({ "name": "ls", "result": "a b", "status": "success", "tool_call_id": "1" })),
        ("message", json!({ "content": "Two.", "is_stream_chunk": true })),
        (
            "token_usage",
            json!({ "input_tokens": 12, "output_tokens": 3, "total_tokens": 15, "input": 12, "output": 3 }),
        ),
        ("error", json!({ "message": "The model went away" })),
        ("agent_end", json!({ "status": "failed", "usage": usage })),
    ];
    for (number, (event, mut data)) in (1..).zip(wanted) {
        data["session_key"] = json!("websocket:a");
        data["session_id"] = json!("websocket_a");
        data["trace_id"] = json!(turn);
        assert_eq!(next(&mut stream).await, (event.to_owned(), format!("mwss20i0-{number}"), data));
    }
    assert_eq!(stream.next().await.as_deref(), Some(KEEP_ALIVE));
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_gets_what_was_missed() {
    let app = TestApp::new();
    let user = app.token_user();
    let mut stream = follow(&user, "").await;
    for number in 1..=5 {
        app.publish(piece(number.to_string()));
    }
    let (_, first, _) = next(&mut stream).await;
    drop(stream);
    let call = user.call(Method::GET, STREAM).header("last-event-id", &first);
    let mut by_header = call.open().await;
    assert_eq!(
        by_header.next().await.as_deref(),
        Some(&*format!("event: connected\nid: {first}\ndata: {{\"status\":\"ok\"}}\n\n"))
    );
    for mut stream in [by_header, follow(&user, &format!("?last_event_id={first}")).await] {
        for number in 2..=5 {
            assert_eq!(next(&mut stream).await.2["content"], number.to_string());
        }
        assert_eq!(stream.next().await.as_deref(), Some(KEEP_ALIVE));
    }
    // Of another run, or of none.
    for id in ["mws-3", "mwss20i0-99", "mwss20i0-", "x", "-1"] {
        let mut stream = follow(&user, &format!("?last_event_id={id}")).await;
        let (event, _, data) = next(&mut stream).await;
        assert_eq!((&*event, data), ("gap", json!({ "missed": null })), "{id}");
        assert_eq!(next(&mut stream).await.2["content"], "1");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_bounded_and_a_gap_says_what_is_lost() {
    let app = TestApp::new();
    let user = app.token_user();
    let mut unread = follow(&user, "").await;
    for number in 1..=10_000 {
        app.publish(piece(number.to_string()));
        if number % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    let (event, id, data) = next(&mut unread).await;
    assert_eq!((&*event, &*id, data), ("gap", "mwss20i0-5904", json!({ "missed": 5_904 })));
    for number in 5_905..=10_000 {
        assert_eq!(next(&mut unread).await.2["content"], number.to_string());
    }
    // Large ones take the room of many.
    for _ in 0..100 {
        app.publish(piece("x".repeat(500_000)));
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    let (event, _, data) = next(&mut unread).await;
    assert_eq!((&*event, data), ("gap", json!({ "missed": 92 })));
}

/// More than the bus keeps for the one who listens for all.
#[tokio::test(start_paused = true)]
async fn a_flood_is_a_gap_for_everybody() {
    let app = TestApp::new();
    let user = app.token_user();
    let mut stream = follow(&user, "").await;
    for number in 1..=9_000 {
        app.publish(piece(number.to_string()));
    }
    let mut gaps = Vec::new();
    loop {
        let (event, _, data) = next(&mut stream).await;
        if event == "gap" {
            gaps.push(data["missed"].as_u64().expect("a number"));
        }
        if data["content"] == "9000" {
            break;
        }
    }
    assert!(gaps.iter().sum::<u64>() >= 808, "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn who_lacks_the_scope_hears_nothing_of_turns() {
    let app = TestApp::new();
    let chat = crate::http::auth::key(&app, &["chat", "sessions"]).await;
    let only_chat = crate::http::auth::key(&app, &["chat"]).await;
    let other = crate::http::auth::key(&app, &["sessions", "memory"]).await;
    let mut chat = follow(&app.user_with(&chat.token), "").await;
    let mut only_chat = follow(&app.user_with(&only_chat.token), "").await;
    let mut other = follow(&app.user_with(&other.token), "").await;
    app.publish(piece("1".to_owned()));
    assert_eq!(soon(next(&mut chat)).await.0, "message");
    assert_eq!(only_chat.next().await.as_deref(), Some(KEEP_ALIVE));
    assert_eq!(other.next().await.as_deref(), Some(KEEP_ALIVE));
}
