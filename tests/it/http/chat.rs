//! Talking to the agent over REST.

use crate::support::{Stream, TestApp, User, soon};
use axum::http::Method;
use futures_util::FutureExt;
use pawport::adapters::fake::{Script, ScriptedAgent};
use pawport::domain::agent::model::TokenUsage;
use pawport::domain::agent::{AgentEvent, Question};
use pawport::domain::session::Role;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const CHAT: &str = "/api/v1/chat";
const STREAM: &str = "/api/v1/chat/stream";

/// An app whose agent follows the scripts.
fn app_with(scripts: impl IntoIterator<Item = Script>) -> (TestApp, Arc<ScriptedAgent>) {
    let agent = Arc::new(ScriptedAgent::following(scripts));
    (TestApp::with_agent(Arc::clone(&agent) as _), agent)
}

async fn follow(user: &User, body: Value) -> Stream {
    let stream = user.call(Method::POST, STREAM).json(&body).open().await;
    assert_eq!(stream.status, 200);
    stream
}

/// Answers what comes.
async fn answer_one(app: &TestApp) {
    soon(async {
        while app.answer_turns().await == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// The rest of a stream as one text.
async fn rest(stream: Stream) -> String {
    stream.whole().await.expect("a whole answer").text().to_owned()
}

#[tokio::test]
async fn an_answer_is_waited_for() {
    let script = Script::answer("There are 7.").event(AgentEvent::Used(TokenUsage { input: 12, output: 3 }));
    let (app, agent) = app_with([script, Script::answer("Yes.")]);
    let user = app.token_user();
    let (answer, ()) = tokio::join!(user.post(CHAT, json!({ "content": "How many?" })), answer_one(&app));
    let first = answer.assert_status(200).json();
    let session = first["session_id"].as_str().expect("an id").to_owned();
    assert!(session.starts_with("websocket_") && session.len() == 22, "{session}");
    answer.assert_json(
        200,
        &json!({
            "session_id": session, "content": "There are 7.", "response": "There are 7.",
            "usage": { "input_tokens": 12, "output_tokens": 3 }
        }),
    );
    // The id may come back without its channel.
    let chat = session.trim_start_matches("websocket_");
    let body =
        json!({ "content": "Sure?", "session_id": chat, "media": [], "file_context": { "open_file": "a", "x": 1 } });
    let (answer, ()) = tokio::join!(user.post(CHAT, body), answer_one(&app));
    answer.assert_json(200, &json!({ "session_id": session, "content": "Yes.", "response": "Yes.", "usage": {} }));
    let metadata = agent.asked()[1].message.metadata.as_json().to_owned();
    assert!(metadata.contains(r#"{"open_file":"a"}"#), "{metadata}");
}

#[tokio::test]
async fn a_turn_that_fails_is_an_answer() {
    let (app, _) = app_with([Script::new().fail("The model went away")]);
    let user = app.token_user();
    let (answer, ()) = tokio::join!(user.post(CHAT, json!({ "content": "hi" })), answer_one(&app));
    assert_eq!(answer.assert_status(200).json()["content"], "The model went away");
}

#[tokio::test]
async fn a_command_is_answered_by_the_server() {
    let app = TestApp::new();
    let user = app.token_user();
    let answer = user.post(CHAT, json!({ "content": "/help", "session_id": "websocket_a" })).await.json();
    assert_eq!((&answer["session_id"], &answer["usage"]), (&json!("websocket_a"), &json!({})));
    assert!(answer["response"].as_str().expect("a text").starts_with("/help "));
    let new = user.post(CHAT, json!({ "content": "/new", "session_id": "websocket_a" })).await.json();
    assert_ne!(new["session_id"], "websocket_a");
    let text = rest(follow(&user, json!({ "content": "/stop", "session_id": "websocket_a" })).await).await;
    assert_eq!(
        text,
        "event: stream_start\ndata: {\"session_id\":\"websocket_a\"}\n\n\
         event: chunk\ndata: {\"content\":\"Nothing is being answered in this chat.\",\"type\":\"text\"}\n\n\
         event: stream_end\ndata: {\"session_id\":\"websocket_a\",\"usage\":{}}\n\n"
    );
}

#[tokio::test]
async fn what_cannot_be_said_is_refused() {
    let app = TestApp::new();
    app.say("telegram_1", Role::User, "hello").await;
    let user = app.token_user();
    for path in [CHAT, STREAM] {
        let invalid = async |body: Value, kind: &str, place: &str, message: &str| {
            user.post(path, body).await.assert_invalid(kind, &["body", place], message);
        };
        invalid(json!({}), "missing", "content", "Field required").await;
        let short = "String should have at least 1 character";
        invalid(json!({ "content": "" }), "string_too_short", "content", short).await;
        let long = "String should have at most 100000 characters";
        invalid(json!({ "content": "ä".repeat(100_001) }), "string_too_long", "content", long).await;
        invalid(json!({ "content": "a\0" }), "value_error", "content", "must not contain a NUL character").await;
        for media in [json!(["/etc/passwd"]), json!([{ "type": "image", "data": "AA==" }])] {
            let body = json!({ "content": "x", "media": media });
            invalid(body, "value_error", "media", "attachments are not supported yet").await;
        }
        let body = json!({ "content": "x", "file_context": { "open_file": "x".repeat(16 * 1024) } });
        invalid(body, "too_long", "file_context", "must have at most 16 KiB").await;
        for reserved in ["_index", "_aliases", "websocket_a_compaction", "a b", "../x\\"] {
            let body = json!({ "content": "x", "session_id": reserved });
            invalid(body, "value_error", "session_id", "Not a session id").await;
        }
        let other = "There is no such session, and new ones begin with websocket_";
        let body = json!({ "content": "x", "session_id": "telegram_2" });
        invalid(body, "value_error", "session_id", other).await;
    }
    // What exists may be gone on with, whatever it is; nothing else was stored.
    let body = json!({ "content": "/status", "session_id": "telegram:1" });
    assert_eq!(user.post(CHAT, body).await.json()["session_id"], "telegram_1");
    let body = json!({ "content": "/status", "session_id": "my_own" });
    assert_eq!(user.post(CHAT, body).await.json()["session_id"], "websocket_my_own");
    assert_eq!(user.get("/api/v1/sessions").await.json()["total"], 1);
}

#[tokio::test]
async fn an_answer_is_followed_step_by_step() {
    let question = Question { text: "Which?".to_owned(), options: vec!["a".to_owned()], is_plan: false };
    let script = Script::new()
        .event(AgentEvent::Thinking("Hm.".to_owned()))
        .tool_started("ls")
        .tool_finished("ls", &"ö".repeat(300))
        .event(AgentEvent::Asked(question))
        .event(AgentEvent::Answered)
        .text("There are\n")
        .text("7.")
        .event(AgentEvent::Used(TokenUsage { input: 12, output: 3 }));
    let (app, _) = app_with([script]);
    let user = app.token_user();
    let stream = follow(&user, json!({ "content": "How many?", "session_id": "websocket_a" })).await;
    for (name, value) in
        [("content-type", "text/event-stream"), ("cache-control", "no-cache"), ("x-accel-buffering", "no")]
    {
        assert_eq!(stream.headers[name], value, "{name}");
    }
    let (text, ()) = tokio::join!(rest(stream), answer_one(&app));
    let output = "ö".repeat(200);
    assert_eq!(
        text,
        format!(
            "event: stream_start\ndata: {{\"session_id\":\"websocket_a\"}}\n\n\
             event: thinking\ndata: {{\"content\":\"Hm.\"}}\n\n\
             event: tool_start\ndata: {{\"input\":{{}},\"tool\":\"ls\"}}\n\n\
             event: tool_result\ndata: {{\"output\":\"{output}\",\"tool\":\"ls\"}}\n\n\
             event: ask_user_question\ndata: {{\"is_plan\":false,\"options\":[\"a\"],\"question\":\"Which?\"}}\n\n\
             event: chunk\ndata: {{\"content\":\"There are\\n\",\"type\":\"text\"}}\n\n\
             event: chunk\ndata: {{\"content\":\"7.\",\"type\":\"text\"}}\n\n\
             event: stream_end\ndata: {{\"session_id\":\"websocket_a\",\"usage\":{{\"input_tokens\":12,\"output_tokens\":3}}}}\n\n"
        )
    );
}

#[tokio::test]
async fn a_stream_ends_with_its_end_also_after_an_error() {
    let (app, _) = app_with([Script::answer("Well").fail("The model went away")]);
    let stream = follow(&app.token_user(), json!({ "content": "hi", "session_id": "a" })).await;
    let (text, ()) = tokio::join!(rest(stream), answer_one(&app));
    let tail = "event: error\ndata: {\"detail\":\"The model went away\"}\n\n\
                event: stream_end\ndata: {\"session_id\":\"websocket_a\",\"usage\":{}}\n\n";
    assert!(text.ends_with(tail), "{text}");
}

#[tokio::test]
async fn an_answer_can_be_stopped() {
    let (app, agent) = app_with([Script::answer("one").pause().text("two")]);
    let user = app.token_user();
    let stop = async |query: &str| user.call(Method::POST, &format!("{CHAT}/stop{query}")).send().await;
    stop("").await.assert_error(400, "session_id is required");
    stop("?session_id=").await.assert_error(400, "session_id is required");
    for id in ["websocket_none", "_index", "%00"] {
        stop(&format!("?session_id={id}")).await.assert_error(404, "No active stream for this session");
    }
    let stream = follow(&user, json!({ "content": "hi", "session_id": "websocket_a" })).await;
    let answering = app.answering_turns();
    soon(agent.paused()).await;
    stop("?session_id=a").await.assert_json(200, &json!({ "status": "ok", "session_id": "a" }));
    let text = rest(stream).await;
    let tail = "event: chunk\ndata: {\"content\":\"one\",\"type\":\"text\"}\n\n\
                event: stream_end\ndata: {\"session_id\":\"websocket_a\",\"usage\":{}}\n\n";
    assert!(text.ends_with(tail), "{text}");
    assert_eq!(soon(answering.join_all()).await, [1]);
    let history = user.get("/api/v1/sessions/websocket_a/history").await.json();
    assert_eq!(history[1]["content"], "one");
}

#[tokio::test]
async fn a_second_stream_stops_the_first() {
    let (app, agent) = app_with([Script::answer("first").pause(), Script::answer("second")]);
    let user = app.token_user();
    let body = json!({ "content": "hi", "session_id": "websocket_a" });
    let first = follow(&user, body.clone()).await;
    let answering = app.answering_turns();
    soon(agent.paused()).await;
    let second = follow(&user, body).await;
    let first = rest(first).await;
    assert!(first.contains("first") && first.contains("stream_end") && !first.contains("second"), "{first}");
    assert_eq!(soon(answering.join_all()).await.iter().sum::<usize>() + app.answer_turns().await, 2);
    let second = rest(second).await;
    assert!(second.contains("second") && second.contains("stream_end") && !second.contains("first"), "{second}");
}

#[tokio::test]
async fn an_answer_to_a_question_follows_the_turn_that_asked() {
    let ask = Script::new().call("ask_user", r#"{"question":"Which colour?","options":["red","blue"]}"#);
    let (app, _) = app_with([ask.text("Painted.")]);
    let user = app.token_user();
    let body = json!({ "content": "Paint it", "session_id": "websocket_a" });
    let mut first = follow(&user, body).await;
    let answering = app.answering_turns();
    loop {
        let frame = first.next().await.expect("a frame");
        if frame.contains("ask_user_question") {
            break assert!(frame.contains(r#""options":["red","blue"],"question":"Which colour?""#), "{frame}");
        }
    }
    let second = follow(&user, json!({ "content": "red", "session_id": "websocket_a" })).await;
    let (first, second) = tokio::join!(rest(first), rest(second));
    for text in [&first, &second] {
        assert!(text.contains("Painted.") && text.ends_with("\"usage\":{}}\n\n"), "{text}");
    }
    assert_eq!(soon(answering.join_all()).await, [1], "it is one turn");
}

#[tokio::test]
async fn an_answer_to_a_question_can_wait_for_the_rest() {
    let ask = Script::new().call("ask_user", r#"{"question":"Which colour?"}"#);
    let (app, _) = app_with([ask.text("Painted.")]);
    let user = app.token_user();
    let mut stream = follow(&user, json!({ "content": "Paint it", "session_id": "websocket_a" })).await;
    let answering = app.answering_turns();
    while !stream.next().await.expect("a frame").contains("ask_user_question") {}
    let answer = user.post(CHAT, json!({ "content": "red", "session_id": "websocket_a" })).await;
    assert_eq!(answer.json()["response"], "Painted.");
    drop(answering);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_says_that_it_is_alive_and_ends_with_the_server() {
    let (app, agent) = app_with([Script::new().pause()]);
    let mut stream = follow(&app.token_user(), json!({ "content": "hi", "session_id": "a" })).await;
    assert!(stream.next().await.expect("a frame").starts_with("event: stream_start\n"));
    let answering = app.answering_turns();
    soon(agent.paused()).await;
    let begun = tokio::time::Instant::now();
    for count in 1..=3 {
        assert_eq!(stream.next().await.as_deref(), Some(":\n\n"));
        assert_eq!(begun.elapsed().as_secs(), count * 15);
    }
    app.stop.cancel();
    let text = rest(stream).await;
    assert!(text.starts_with("event: error\n") && text.contains("event: stream_end\n"), "{text}");
    drop(answering);
}

#[tokio::test]
async fn who_goes_away_does_not_stop_the_agent() {
    let (app, agent) = app_with([Script::answer("one").pause().text("two")]);
    let user = app.token_user();
    let stream = follow(&user, json!({ "content": "hi", "session_id": "websocket_a" })).await;
    let answering = app.answering_turns();
    soon(agent.paused()).await;
    drop(stream);
    agent.resume();
    assert_eq!(soon(answering.join_all()).await, [1]);
    let history = user.get("/api/v1/sessions/websocket_a/history").await.json();
    assert_eq!(history[1]["content"], "onetwo");
}

/// Dropped at any of its waits, a request leaves a message that is answered to its end, or none.
#[tokio::test(start_paused = true)]
async fn who_goes_away_in_the_middle_leaves_nothing_half_done() {
    // On a clock that goes on only when nobody has anything to do.
    let quiet = || tokio::time::sleep(Duration::from_millis(1));
    let mut taken = Vec::new();
    for waits in 1..=10 {
        let (app, agent) = app_with([Script::answer("one").pause().text("two")]);
        let user = app.token_user();
        let mut asking = Box::pin(user.post(CHAT, json!({ "content": "hi", "session_id": "websocket_a" })));
        for _ in 0..waits {
            assert!((&mut asking).now_or_never().is_none(), "nobody answered");
            tokio::task::yield_now().await;
        }
        drop(asking);
        quiet().await;
        let answering = app.answering_turns();
        quiet().await;
        agent.resume();
        let answered = soon(answering.join_all()).await;
        let history = user.get("/api/v1/sessions/websocket_a/history").await.json();
        taken.push(answered[0]);
        if answered == [0] {
            assert_eq!(history, json!([]), "gone at wait {waits}");
            continue;
        }
        let said: Vec<_> =
            history.as_array().expect("messages").iter().map(|it| (&it["role"], &it["content"])).collect();
        assert_eq!(said, [(&json!("user"), &json!("hi")), (&json!("assistant"), &json!("onetwo"))]);
        assert_eq!(history[1]["metadata"]["incomplete"], Value::Null);
    }
    assert!(taken.is_sorted() && taken.last() == Some(&1), "{taken:?}");
}

#[tokio::test]
async fn there_is_no_plan_to_decide_on() {
    let app = TestApp::new();
    let user = app.token_user();
    for (path, detail) in [("approve", "No active plan to approve"), ("reject", "No active plan to reject")] {
        let path = format!("/api/v1/plan/{path}");
        user.call(Method::POST, &path).send().await.assert_error(404, detail);
        for body in [json!({}), json!({ "session_key": null }), json!({ "session_key": "websocket:a" })] {
            user.post(&path, body).await.assert_error(404, detail);
        }
        user.call(Method::POST, &path).raw_json("{").send().await.assert_error(400, "Invalid JSON body");
        user.post(&path, json!({ "session_key": 5 })).await.assert_status(422);
    }
}

#[tokio::test]
async fn too_many_that_wait_are_told_so() {
    let app = TestApp::with_capacity(0);
    let detail = "Too many messages wait for an answer; try again later";
    for path in [CHAT, STREAM] {
        app.token_user().post(path, json!({ "content": "hi" })).await.assert_error(503, detail);
    }
    let refused = app.anonymous().post(CHAT, json!({ "content": "hi" })).await;
    refused.assert_error(401, "Unauthorized");
    app.token_user().post("/api/chat", json!({ "content": "hi" })).await.assert_error(404, "Not Found");
}
