//! `pawport chat` and `pawport doctor`: what people see in a terminal.

use super::binary::{Ended, Place};
use super::client::Client;
use serde_json::Value;
use std::fs::File;

/// The newest sessions.
async fn sessions(client: &Client) -> Vec<Value> {
    client.get("/api/v1/sessions").await.json()["sessions"].as_array().unwrap().clone()
}

#[track_caller]
fn went_well(ended: &Ended) -> &str {
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    &ended.stdout
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_said_and_answered() {
    let place = Place::new();
    let server = place.serve(&[]);
    let client = server.client(&place);
    let ended = place.program_with_data(&["chat", "Hello there"]).run();
    assert!(went_well(&ended).starts_with("Received: “Hello there”\n"), "{ended:?}");
    let sessions = sessions(&client).await;
    assert_eq!((sessions.len(), &sessions[0]["title"]), (1, &Value::from("Hello there")));
    let id = sessions[0]["id"].as_str().unwrap();

    let ended = place.program_with_data(&["chat", "--session", id, "And again"]).run();
    assert!(went_well(&ended).starts_with("Received: “And again”\n"), "{ended:?}");
    let said: Vec<_> = client.history(id).await.iter().map(|message| message["role"].clone()).collect();
    assert_eq!(said, ["user", "assistant", "user", "assistant"]);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_are_messages_of_one_chat() {
    let place = Place::new();
    let server = place.serve(&[]);
    let client = server.client(&place);
    std::fs::write(place.path("lines"), "first\n\nsecond\n/rename Both\n/sessions\n").unwrap();
    let lines = File::open(place.path("lines")).unwrap();
    let ended = place.program_with_data(&["chat"]).stdin(lines).run();
    let said = went_well(&ended);
    assert!(said.contains("Received: “first”") && said.contains("Received: “second”"), "{said}");
    assert!(said.contains("1. Both (4 messages, websocket_"), "{said}");
    assert_eq!(sessions(&client).await.len(), 1);
    server.stop();
}

#[test]
fn a_chat_needs_a_server_and_says_so() {
    let ended = Place::new().program_with_data(&["chat", "Hello"]).run();
    assert_eq!(ended.code(), Some(1));
    assert!(ended.stderr.contains("start one with pawport serve"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_says_what_there_is() {
    let place = Place::new();
    let ended = place.program_with_data(&["doctor"]).run();
    let said = went_well(&ended);
    assert!(said.contains("does not run; start it with"), "{said}");
    assert!(said.contains("no language model is connected; docs/agents.md says how"), "{said}");

    let server = place.serve(&[]);
    let ended = place.program_with_data(&["doctor"]).run();
    let said = went_well(&ended);
    assert!(said.contains(&format!("runs at http://{}", server.address)), "{said}");
    assert!(said.contains("sqlite answers; texts are searched with fts5"), "{said}");
    assert!(said.contains("there are none; docs/mcp.md says how to add one"), "{said}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_fails_if_something_is_wrong() {
    let place = Place::new();
    // Nobody listens on the port that was just free.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let doctor = || {
        let program = place.program_with_data(&["doctor"]);
        let program = program.env("PAWPORT_AGENT", "openai_compatible").env("PAWPORT_MODEL", "m");
        program.env("PAWPORT_MODEL_BASE_URL", format!("http://{free}/v1"))
    };
    let ended = doctor().run();
    assert_eq!((ended.code(), ended.stdout.as_str()), (Some(1), ""));
    let expected = format!("openai_compatible with the model m: the model at http://{free} cannot be reached");
    assert!(ended.stderr.contains("WRONG  agent") && ended.stderr.contains(&expected), "{ended:?}");
}
