//! Questions from beginning to end, with the real program, a real tool, and a model that follows a script.

use super::binary::{PATIENCE, Place, Program};
use super::client::{Client, Stream, eventually};
use crate::support::mcp_servers;
use crate::support::model_server::{Answer, ModelServer};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// A server whose agent is that model.
pub fn with_model(place: &Place, models: &ModelServer, flags: &[&str]) -> Program {
    let program = place.program_with_data(&[&["serve", "--port", "0"], flags].concat());
    let program = program.env("PAWPORT_AGENT", "openai_compatible").env("PAWPORT_MODEL", "test-model");
    program.env("PAWPORT_MODEL_BASE_URL", models.base_url()).env("PAWPORT_MODEL_API_KEY", "sk-story-0123456789")
}

/// Adds the server that knows the time, and waits until it is connected.
async fn add_time(client: &Client) {
    let (command, args) = mcp_servers::time();
    let added = client.post("/api/v1/mcp/add", &json!({ "name": "time", "command": command, "args": args })).await;
    assert_eq!(added.json()["status"], "ok");
    eventually("the time server is connected", async || {
        let statuses = client.get("/api/v1/mcp/status").await.json();
        (statuses["time"]["connected"] == true).then_some(())
    })
    .await;
}

/// The events of a chat until its end: names, and what came with them.
async fn ask(client: &Client, body: &Value) -> Vec<(String, Value)> {
    let mut stream = Stream::open(client.request(Method::POST, "/api/v1/chat/stream").json(body)).await;
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        let ended = event.name == "stream_end";
        events.push((event.name, event.data));
        if ended {
            break;
        }
    }
    events
}

fn names(events: &[(String, Value)]) -> Vec<&str> {
    events.iter().map(|(name, _)| name.as_str()).collect()
}

/// What the status stream shows of a session: its states, one after the other, until it is gone.
async fn states(mut stream: Stream, session: &str) -> Vec<String> {
    let mut states: Vec<String> = Vec::new();
    loop {
        let event = tokio::time::timeout(PATIENCE, stream.next()).await.expect("another status").unwrap();
        let sessions = event.data["sessions"].as_array().unwrap();
        let found = sessions.iter().find(|it| session.ends_with(it["session_id"].as_str().unwrap()));
        match found {
            Some(found) => {
                let tool = found["tool_name"].as_str().map(|name| format!(" {name}")).unwrap_or_default();
                let state = format!("{}{tool}", found["state"].as_str().unwrap());
                if states.last() != Some(&state) {
                    states.push(state);
                }
            }
            None if states.is_empty() => {}
            None => return states,
        }
    }
}

const NOON: &str = "mcp_time__convert_time";

fn noon() -> Value {
    json!({ "source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo" })
}

#[tokio::test]
async fn a_question_is_answered_with_a_tool_told_stored_found_and_kept() {
    if !mcp_servers::available() {
        return;
    }
    let models = ModelServer::start([
        Answer::begin().say("Let me ").say("look.").call(0, "call_1", NOON, &noon().to_string()).end("tool_calls"),
        Answer::says(&["In Tokyo ", "it is ", "nine in the evening."]),
    ])
    .await;
    let place = Place::new();
    let server = with_model(&place, &models, &[]).start();
    let client = server.client(&place);
    add_time(&client).await;

    let session = "websocket_story";
    let watching = states(client.status_stream().await, session);
    let body = json!({ "content": "When it is noon in UTC, what time is it in Tokyo?", "session_id": session });
    let (states, events) = tokio::join!(watching, ask(&client, &body));

    assert_eq!(
        names(&events),
        ["stream_start", "chunk", "chunk", "tool_start", "tool_result", "chunk", "chunk", "chunk", "stream_end"]
    );
    assert_eq!(events[0].1, json!({ "session_id": session }));
    assert_eq!(events[3].1, json!({ "tool": NOON, "input": noon() }));
    assert_eq!(events[4].1["tool"], NOON);
    let usage = json!({ "input_tokens": 22, "output_tokens": 14 });
    assert_eq!(events[8].1, json!({ "session_id": session, "usage": usage }));
    let text: String = events.iter().filter(|it| it.0 == "chunk").map(|it| it.1["content"].as_str().unwrap()).collect();
    assert_eq!(text, "Let me look.\n\nIn Tokyo it is nine in the evening.");
    assert_eq!(states, ["thinking", "streaming", &format!("tool_running {NOON}"), "thinking", "streaming"]);

    let asked = models.bodies();
    assert_eq!(asked.len(), 2);
    let offered: Vec<&str> =
        asked[0]["tools"].as_array().unwrap().iter().map(|tool| tool["function"]["name"].as_str().unwrap()).collect();
    assert!(offered.contains(&NOON) && offered.contains(&"ask_user"), "{offered:?}");
    let result = asked[1]["messages"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((result["role"].as_str(), result["tool_call_id"].as_str()), (Some("tool"), Some("call_1")));
    assert!(result["content"].as_str().unwrap().contains("T21:00:00+09:00"), "{result}");

    read_it_back(&client, session, &text).await;
    let audited = client.audited("mcp_tool_finished").await;
    assert_eq!((audited[0]["actor"].as_str(), audited[0]["status"].as_str()), (Some("agent"), Some("success")));
    server.stop();

    // The next start knows all of it, and so does the model.
    models.then(Answer::says(&["As I said: nine."]));
    let server = with_model(&place, &models, &[]).start();
    let client = server.client(&place);
    read_it_back(&client, session, &text).await;
    let again = client.post("/api/v1/chat", &json!({ "content": "What was it?", "session_id": session })).await.json();
    assert_eq!(again["response"], "As I said: nine.");
    let roles: Vec<String> = models.bodies()[2]["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["role"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "assistant", "user"]);
    server.stop();
}

/// Finds the conversation wherever a client looks.
async fn read_it_back(client: &Client, session: &str, text: &str) {
    let history = client.history(session).await;
    assert_eq!((history.len(), history[1]["content"].as_str()), (2, Some(text)));
    let call = &history[1]["metadata"]["steps"][0]["calls"][0];
    assert_eq!((call["name"].as_str(), &call["is_error"]), (Some(NOON), &json!(false)));
    let listed = client.get("/api/v1/sessions").await.json();
    assert_eq!(listed["sessions"][0]["id"], session);
    let found = client.get("/api/v1/sessions/search?q=nine%20in%20the%20evening").await.json();
    assert_eq!(found["sessions"][0]["id"], session);
}

#[tokio::test]
async fn a_turn_in_which_the_server_is_killed_calls_nothing_twice() {
    if !mcp_servers::available() {
        return;
    }
    let models = ModelServer::start([
        Answer::calls(&[(NOON, noon())]),
        // It is being asked what to make of the result when the server is killed.
        Answer::begin().pause(Duration::from_secs(600)),
        Answer::says(&["Nine in the evening."]),
    ])
    .await;
    let place = Place::new();
    let server = with_model(&place, &models, &[]).start();
    let client = server.client(&place);
    add_time(&client).await;
    let body = json!({ "content": "Noon?", "session_id": "websocket_killed" });
    let asking = client.request(Method::POST, "/api/v1/chat/stream").json(&body);
    let stream = Stream::open(asking).await;
    eventually("the model is asked again", async || (models.requests().len() == 2).then_some(())).await;
    server.kill();
    drop(stream);

    let server = with_model(&place, &models, &[]).start();
    let client = server.client(&place);
    let answer = eventually("the turn is answered", async || {
        let history = client.history("websocket_killed").await;
        history.get(1).map(|message| message["content"].as_str().unwrap().to_owned())
    })
    .await;
    assert_eq!(answer, "Nine in the evening.");
    assert_eq!(client.audited("mcp_tool_called").await.len(), 1);
    server.stop();
}

#[tokio::test]
async fn a_model_that_is_away_is_said_to_be_and_the_key_never_is() {
    let models = ModelServer::start([Answer::status(401, "Incorrect API key provided: sk-story-0123456789")]).await;
    let place = Place::new();
    let server = with_model(&place, &models, &["--log", "debug"]).start();
    let client = server.client(&place);
    let answer = client.post("/api/v1/chat", &json!({ "content": "Hello" })).await;
    let text = answer.json()["response"].as_str().unwrap().to_owned();
    assert!(answer.status == 200 && text.contains("PAWPORT_MODEL_API_KEY"), "{text}");
    assert_eq!(models.requests()[0].headers["authorization"], "Bearer sk-story-0123456789");
    let shown = client.get("/api/v1/settings").await;
    let config = place.program_with_data(&["config", "show"]).env("PAWPORT_MODEL_API_KEY", "sk-story-0123456789").run();
    let ended = server.stop();
    for said in [&text, &String::from_utf8_lossy(&shown.bytes).into_owned(), &ended.stderr, &config.stdout] {
        assert!(!said.contains("sk-story"), "{said}");
    }
}

#[tokio::test]
async fn a_webhook_gets_no_tool_that_may_change_something() {
    if !mcp_servers::available() {
        return;
    }
    let models = ModelServer::start([Answer::says(&["Noted."]), Answer::says(&["Noted."])]).await;
    let place = Place::new();
    let server = with_model(&place, &models, &[]).start();
    let client = server.client(&place);
    let files = place.path("files");
    std::fs::create_dir(&files).unwrap();
    let (command, args) = mcp_servers::filesystem(files.to_str().unwrap());
    let _ = client.post("/api/v1/mcp/add", &json!({ "name": "files", "command": command, "args": args })).await;
    eventually("the file server is connected", async || {
        let statuses = client.get("/api/v1/mcp/status").await.json();
        (statuses["files"]["connected"] == true).then_some(())
    })
    .await;
    let slot = client.add_slot(&json!({ "name": "ci", "description": "" })).await;
    let offered = |request: usize| -> Vec<String> {
        let tools = models.bodies()[request]["tools"].as_array().cloned().unwrap_or_default();
        tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap().to_owned()).collect()
    };
    let _ = client.deliver(&slot, "?wait=true", &json!({ "content": "Delete everything" })).await;
    let by_default = offered(0);
    assert!(by_default.iter().any(|name| name == "mcp_files__read_text_file"), "{by_default:?}");
    assert!(!by_default.iter().any(|name| name == "mcp_files__write_file"), "{by_default:?}");

    let settings = client.request(Method::PUT, "/api/v1/settings").json(&json!({ "tools_webhooks": "none" }));
    assert_eq!(Client::try_send(settings).await.unwrap().status, 200);
    let _ = client.deliver(&slot, "?wait=true", &json!({ "content": "Delete everything" })).await;
    assert_eq!(offered(1), [""; 0]);
    server.stop();
}
