//! The main job: a webhook comes in, the agent answers, the dashboard reads it back.

use super::binary::Place;
use super::client::{Client, Event, Slot, Stream, eventually, plain_slot};
use serde_json::{Value, json};

/// Reads the stream until its state is `state`. Gives the events up to there.
async fn until_state(stream: &mut Stream, state: &str) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let event = stream.next().await.expect("the stream goes on");
        events.push(event.clone());
        if event.data["global"]["state"] == state {
            return events;
        }
    }
}

/// Has deliveries answered one after the other, until it is stopped. Gives how many.
async fn deliver_on_and_on(client: &Client, slot: &Slot) -> u32 {
    let mut count = 0;
    loop {
        count += 1;
        let content = format!("work {count}");
        let answer = client.deliver(slot, "?wait=true", &json!({ "content": content })).await.json();
        assert_eq!(answer["status"], "ok", "{answer}");
    }
}

#[tokio::test]
async fn a_webhook_shows_in_the_stream_and_is_kept() {
    let place = Place::new();
    let server = place.serve(&[]);
    let client = server.client(&place);
    let slot = client.add_slot(&json!({ "name": "github-events", "description": "What happens on GitHub" })).await;

    let mut stream = client.status_stream().await;
    let header = |name| stream.response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("content-type").as_deref(), Some("text/event-stream"));
    assert_eq!(header("cache-control").as_deref(), Some("no-cache"));
    assert_eq!(header("x-accel-buffering").as_deref(), Some("no"));
    let first = stream.next().await.unwrap();
    assert_eq!((first.name.as_str(), &first.data["global"]["state"]), ("status", &json!("idle")));

    // The agent answers faster than the stream gathers changes, so what is shown of one delivery is a matter of luck.
    let events = tokio::select! {
        events = until_state(&mut stream, "active") => events,
        count = deliver_on_and_on(&client, &slot) => panic!("ended after {count}"),
    };
    let active = events.last().unwrap();
    let session = active.data["sessions"][0]["session_id"].as_str().expect("a session that is being answered");
    assert_eq!(active.data["sessions"][0]["channel"], "webhook", "{session}");
    assert_ne!(active.data["global"]["active_sessions"], 0);
    let later = until_state(&mut stream, "idle").await;
    assert_eq!(later.last().unwrap().data["sessions"], json!([]));
    let number = |event: &Event| event.id.rsplit('-').next().unwrap().parse::<u64>().unwrap();
    let ids: Vec<u64> = [&first].into_iter().chain(&events).chain(&later).map(number).collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    drop(stream);

    let delivery = json!({ "content": "A pull request was opened", "sender": "octocat", "metadata": { "pr": 7 } });
    let answer = client.deliver(&slot, "?wait=true", &delivery).await.json();
    let id = answer["request_id"].as_str().unwrap();
    read_it_back(&client, id, answer["response"].as_str().unwrap()).await;
    server.stop();

    let server = place.serve(&[]);
    let client = server.client(&place);
    read_it_back(&client, id, answer["response"].as_str().unwrap()).await;
    let slots = client.get("/api/webhooks").await.json();
    assert_eq!(slots["webhooks"][0]["name"], "github-events");
    let again = client.deliver(&slot, "?wait=true", &json!({ "content": "/ping" })).await.json();
    assert_eq!(again["response"], "pong", "the secret is still good");
    server.stop();
}

/// Finds the delivery wherever the dashboard looks.
async fn read_it_back(client: &Client, request_id: &str, response: &str) {
    let session = format!("webhook_{request_id}");
    let sessions = client.get("/api/sessions?limit=500").await.json();
    let listed = sessions["sessions"].as_array().unwrap().iter().find(|listed| listed["id"] == session.as_str());
    let listed = listed.expect("the session is in the list");
    assert_eq!(listed["title"], "A pull request was opened");
    assert_eq!((&listed["channel"], &listed["message_count"]), (&json!("webhook"), &json!(2)));

    let history = client.history(&session).await;
    let said: Vec<_> = history.iter().map(|message| (&message["role"], &message["content"])).collect();
    assert_eq!(said, [(&json!("user"), &json!("A pull request was opened")), (&json!("assistant"), &json!(response))]);
    let metadata = &history[0]["metadata"];
    assert_eq!((&metadata["sender"], &metadata["metadata"]["pr"]), (&json!("octocat"), &json!(7)));

    for query in ["pull%20request", "PULL", "ll%20req"] {
        let found = client.get(&format!("/api/sessions/search?q={query}")).await.json();
        let hits = found["sessions"].as_array().unwrap();
        assert_eq!(hits.iter().filter(|hit| hit["id"] == session.as_str()).count(), 1, "{query}: {found}");
    }

    let exported = client.get(&format!("/api/v1/sessions/{session}/export?format=json")).await.json();
    assert_eq!((&exported["session_id"], &exported["message_count"]), (&json!(session), &json!(2)));
    assert_eq!(exported["messages"], Value::from(history));
    let exported = client.get(&format!("/api/v1/sessions/{session}/export?format=md")).await;
    assert!(exported.content_type.starts_with("text/markdown"), "{exported:?}");
    assert!(exported.text.contains("A pull request was opened") && exported.text.contains(response), "{exported:?}");

    for path in ["/api/audit?limit=1000", "/api/v1/audit?limit=1000"] {
        let audit = client.get(path).await.json();
        let entries = audit.as_array().unwrap();
        let accepted = entries.iter().filter(|entry| entry["context"]["request_id"] == request_id);
        let accepted: Vec<_> = accepted.map(|entry| (&entry["action"], &entry["target"])).collect();
        assert_eq!(accepted, [(&json!("webhook_accepted"), &json!("github-events"))]);
        assert!(entries.iter().any(|entry| entry["action"] == "webhook_added" && entry["actor"] == "dashboard_user"));
    }
}

#[tokio::test]
async fn two_clients_see_the_same() {
    let place = Place::new();
    let server = place.serve(&[]);
    let client = server.client(&place);
    let slot = client.add_slot(&plain_slot("both")).await;
    let (mut one, mut other) = (client.status_stream().await, client.status_stream().await);
    tokio::select! {
        _ = async { tokio::join!(until_state(&mut one, "active"), until_state(&mut other, "active")) } => {}
        count = deliver_on_and_on(&client, &slot) => panic!("ended after {count}"),
    }
    for stream in [&mut one, &mut other] {
        until_state(stream, "idle").await;
    }
    server.stop();
}

#[tokio::test]
async fn streams_are_limited_and_a_client_that_leaves_makes_room() {
    let place = Place::new();
    let server = place.serve(&[]);
    let client = server.client(&place);
    let mut streams = Vec::new();
    let refusal = loop {
        assert!(streams.len() < 1_000, "there is no limit");
        let mut stream = client.status_stream().await;
        if stream.response.status() != 200 {
            break stream.response;
        }
        assert_eq!(stream.next().await.unwrap().name, "status");
        streams.push(stream);
    };
    assert_eq!(refusal.status(), 503);
    assert!(refusal.headers().contains_key("retry-after"));
    assert!(refusal.json::<Value>().await.unwrap()["detail"].is_string());

    // The server is not told that a client has gone; it must notice.
    streams.truncate(1);
    eventually("there is room again", async || {
        let stream = client.status_stream().await;
        (stream.response.status() == 200).then_some(())
    })
    .await;
    server.stop();
}
