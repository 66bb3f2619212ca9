//! What the two clients send, and what they wait for.

use super::*;
use pawport::domain::agent::model::TokenUsage;

#[tokio::test]
async fn the_dashboard_chats() {
    let first = Script::new()
        .event(AgentEvent::Thinking("Hm.".to_owned()))
        .tool_started("ls")
        .tool_finished("ls", "a b")
        .text("There are ")
        .text("two.")
        .event(AgentEvent::Used(TokenUsage { input: 12, output: 3 }));
    let (served, agent) = served([first, Script::answer("one").pause().text("two"), Script::new().fail("Gone")]).await;
    let (mut client, id) = Client::greeted(&served).await;
    client.send(json!({ "action": "authenticate", "token": MASTER_TOKEN })).await;
    let status = client.ask(json!({ "action": "tool", "tool": "status" })).await;
    assert_eq!(status["type"], "status");
    let text = status["content"].as_str().expect("a text");
    if cfg!(target_os = "linux") {
        assert!(["CPU: ", "RAM: ", "Disk: "].iter().all(|part| text.contains(part)), "{text}");
    }
    for (action, answer) in [
        ("get_settings", "settings"),
        ("get_reminders", "reminders"),
        ("get_intentions", "intentions"),
        ("get_skills", "skills"),
        ("get_health", "health_update"),
        ("get_health_errors", "health_errors"),
        ("browse", "files"),
        ("toggle_agent", "notification"),
        ("add_reminder", "reminder_error"),
        ("approve_plan", "error"),
        ("dance", "error"),
        ("stop", "stream_end"),
    ] {
        assert_eq!(client.ask(json!({ "action": action, "context": "files" })).await["type"], answer, "{action}");
    }

    client.send(json!({ "action": "chat", "message": "How many?" })).await;
    let messages = client.until("stream_end").await;
    let wanted = [
        "stream_start",
        "agent_start",
        "thinking",
        "tool_start",
        "tool_result",
        "message",
        "message",
        "token_usage",
        "agent_end",
        "stream_end",
    ];
    assert_eq!(kinds(&messages), wanted);
    let turn = agent.asked()[0].id.to_string();
    assert_eq!(
        messages[5],
        json!({
            "type": "message", "content": "There are ", "is_stream_chunk": true, "metadata": { "trace_id": turn }
        })
    );
    assert_eq!(messages[4]["data"]["status"], "success");

    // Stopped in the middle.
    client.send(json!({ "action": "chat", "message": "Count" })).await;
    soon(agent.paused()).await;
    client.send(json!({ "action": "stop" })).await;
    let messages = client.until("stream_end").await;
    assert_eq!(kinds(&messages), ["stream_start", "agent_start", "message", "agent_end", "stream_end"]);
    assert_eq!(messages[3]["data"]["status"], "stopped");

    // One that fails has an end, too.
    client.send(json!({ "action": "chat", "message": "Fail" })).await;
    let messages = client.until("stream_end").await;
    assert_eq!(kinds(&messages), ["stream_start", "agent_start", "error", "error", "agent_end", "stream_end"]);
    assert_eq!(messages[3], json!({ "type": "error", "content": "Gone" }));

    // It comes back.
    let new = client.ask(json!({ "action": "new_session" })).await;
    assert!(new["type"] == "new_session" && new["id"] != *id, "{new}");
    drop(client);
    let path = format!("/ws?token={MASTER_TOKEN}&resume_session={id}");
    let mut client = Client::open(served.address, &path, &[]).await.expect("a socket");
    assert_eq!(
        client.next().await,
        json!({ "type": "connection_info", "content": "Connected to PocketPaw", "id": id })
    );
    let history = client.next().await;
    assert_eq!((&history["type"], &history["session_id"]), (&json!("session_history"), &json!(id)));
    let said: Vec<_> = history["messages"].as_array().expect("a list").iter().map(|it| &it["content"]).collect();
    assert_eq!(said, ["How many?", "There are two.", "Count", "one", "Fail", "Gone"]);
    assert!(["id", "role", "timestamp", "metadata"].iter().all(|member| history["messages"][0].get(member).is_some()));
}

#[tokio::test]
async fn switching_is_answered_for_every_id() {
    let (served, _) = served([Script::answer("hello"), Script::answer("again")]).await;
    let (mut client, id) = Client::greeted(&served).await;
    client.send(json!({ "action": "chat", "message": "hi" })).await;
    client.until("stream_end").await;
    for unknown in ["websocket_none", "websocket_../../../config", "telegram_1", "_index", "", "a\0b"] {
        let answer = client.ask(json!({ "action": "switch_session", "session_id": unknown })).await;
        assert_eq!(answer, json!({ "type": "session_history", "session_id": unknown, "messages": [] }));
    }
    assert_eq!(client.ask(json!({ "action": "switch_session" })).await["messages"], json!([]));
    let answer = client.ask(json!({ "action": "switch_session", "session_id": id.replace('_', ":") })).await;
    assert_eq!((&answer["session_id"], answer["messages"].as_array().map(Vec::len)), (&json!(id), Some(2)));
    // What is said now is said there, and whoever else is there hears it.
    let path = format!("/v1/ws?token={MASTER_TOKEN}&resume_session={id}");
    let mut other = Client::open(served.address, &path, &[]).await.expect("a socket");
    other.until("session_history").await;
    client.send(json!({ "action": "chat", "message": "more" })).await;
    let (ours, theirs) = (client.until("stream_end").await, other.until("stream_end").await);
    assert_eq!(ours, theirs);
}

#[tokio::test]
async fn commands_are_answered_and_may_lead_elsewhere() {
    let (served, _) = served([Script::answer("hello")]).await;
    let (mut client, id) = Client::greeted(&served).await;
    client.send(json!({ "action": "chat", "message": "hi" })).await;
    client.until("stream_end").await;
    client.send(json!({ "action": "chat", "message": "/new" })).await;
    let messages = client.until("new_session").await;
    assert_eq!(kinds(&messages), ["stream_start", "message", "stream_end", "new_session"]);
    assert_eq!(messages[1]["is_stream_chunk"], false);
    client.send(json!({ "action": "chat", "message": "/resume 1" })).await;
    let messages = client.until("session_history").await;
    assert_eq!((kinds(&messages)[2], &messages[3]["session_id"]), ("stream_end", &json!(id)));
    client.send(json!({ "action": "chat", "message": "/delete" })).await;
    let messages = client.until("new_session").await;
    assert_ne!(messages[3]["id"], id);
    for message in [json!(""), json!("x".repeat(100_001)), json!(5), json!("a\0")] {
        client.send(json!({ "action": "chat", "message": message })).await;
        assert_eq!(kinds(&client.until("stream_end").await), ["stream_start", "error", "stream_end"]);
    }
    client.send(json!({ "action": "chat", "message": "look", "media": [{ "data": "AA==" }] })).await;
    assert_eq!(kinds(&client.until("stream_end").await), ["stream_start", "error", "stream_end"]);
}

#[tokio::test]
async fn a_question_is_answered_in_the_chat() {
    let ask = Script::new().call("ask_user", r#"{"question":"Which colour?","options":["red"]}"#);
    let (served, _) = served([ask.text("Painted.")]).await;
    let (mut client, _) = Client::greeted(&served).await;
    client.send(json!({ "action": "chat", "message": "Paint it" })).await;
    loop {
        let message = client.next().await;
        if message["event_type"] == "ask_user_question" {
            break assert_eq!(message["data"]["options"], json!(["red"]));
        }
    }
    client.send(json!({ "action": "chat", "message": "red" })).await;
    let messages = client.until("stream_end").await;
    assert_eq!(messages.iter().filter(|message| message["content"] == "Painted.").count(), 1, "{messages:?}");
}

/// It signs in for a cookie, opens a socket that it only pings, and chats over REST.
#[tokio::test]
async fn the_desktop_client_chats() {
    let (served, agent) = served([Script::answer("one").pause().text("two")]).await;
    let login = served.token_user().post("/api/v1/auth/login", json!({ "token": MASTER_TOKEN })).await;
    let cookie = login.header("set-cookie").split(';').next().expect("a cookie").to_owned();
    let headers = [("cookie", &*cookie), ("origin", "tauri://localhost")];
    let mut client = Client::open(served.address, "/api/v1/ws", &headers).await.expect("a socket");
    assert_eq!(client.next().await["type"], "connection_info");
    client.send(json!({ "action": "ping" })).await;

    let http = reqwest::Client::new();
    let url = |path: &str| format!("http://{}/api/v1/chat{path}", served.address);
    let ask = http.post(url("/stream")).bearer_auth(MASTER_TOKEN);
    let ask = ask.json(&json!({ "content": "hi", "session_id": null, "media": [] }));
    let answer = ask.send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    soon(agent.paused()).await;
    let session = agent.asked()[0].session.to_string();
    let stop = http.post(url(&format!("/stop?session_id={session}"))).bearer_auth(MASTER_TOKEN);
    assert_eq!(stop.send().await.expect("an answer").status(), 200);
    let text = soon(answer.text()).await.expect("a text");
    assert!(text.starts_with("event: stream_start\ndata: {") && text.contains("event: stream_end\ndata: {"), "{text}");
    // The ping was not answered, and nothing of another session was told.
    assert_eq!(client.ask(json!({ "action": "get_skills" })).await["type"], "skills");
}

#[tokio::test]
async fn what_waits_for_its_turn_is_stopped_at_once() {
    let script = [Script::answer("one").pause(), Script::answer("three")];
    let (served, agent) = served_told(script, |settings| settings.limits.max_concurrent = 1).await;
    let (mut busy, _) = Client::greeted(&served).await;
    busy.send(json!({ "action": "chat", "message": "first" })).await;
    soon(agent.paused()).await;

    let (mut waiting, id) = Client::greeted(&served).await;
    waiting.send(json!({ "action": "chat", "message": "second" })).await;
    waiting.send(json!({ "action": "stop" })).await;
    waiting.until("stream_end").await;
    let path = format!("/api/v1/sessions/{id}/history");
    let history = served.token_user().get(&path).await.json();
    let said: Vec<_> = history.as_array().expect("messages").iter().map(|message| &message["content"]).collect();
    assert_eq!(said, ["second", "Stopped before anything was said."]);

    // Removed while it waits, a chat does not come back.
    waiting.send(json!({ "action": "chat", "message": "third" })).await;
    waiting.send(json!({ "action": "chat", "message": "/delete" })).await;
    let messages = waiting.until("new_session").await;
    let text = messages.iter().filter_map(|message| message["content"].as_str()).collect::<String>();
    assert!(text.contains("The chat was removed."), "{messages:?}");
    served.token_user().get(&path).await.assert_json(200, &json!([]));

    agent.resume();
    busy.until("stream_end").await;
    assert_eq!(agent.asked().len(), 1, "what was stopped was never asked");
}
