//! Accepted means stored: deliveries survive that the server is killed in the middle of them, and are answered once.

use super::binary::{PATIENCE, Place, Server};
use super::client::{Answer, Client, Slot, eventually};
use pawport::domain::agent::service::LEASE;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// How many send at the same time.
pub const SENDERS: usize = 50;

/// After so many acknowledgements the server is killed.
const KILL_AFTER: [usize; 3] = [100, 220, 340];

/// How often a sender without an answer tries again before it must be a mistake.
const MAX_TRIES: u32 = 5_000;

/// A delivery that the server said it had accepted.
#[derive(Debug)]
pub struct Acknowledged {
    pub content: String,
    pub request_id: String,
}

fn content(sender: usize, sequence: usize) -> String {
    format!("from {sender}, number {sequence}")
}

/// Sends one delivery until it is acknowledged, to whichever server is there, always with the same id.
async fn send(slot: &Slot, content: &str, servers: &mut watch::Receiver<(SocketAddr, String)>) -> Acknowledged {
    let body = json!({ "content": content }).to_string();
    let id = format!("msg_{}", content.replace([' ', ','], "-"));
    for _ in 0..MAX_TRIES {
        let (address, token) = servers.borrow_and_update().clone();
        // A connection of its own for each try, as from senders that do not know each other.
        let client = Client::new(address, &token);
        let mut request = client.request(reqwest::Method::POST, &format!("/webhook/inbound/{}", slot.name));
        for (name, value) in slot.standard_headers(&id, &body) {
            request = request.header(name, value);
        }
        match Client::try_send(request.body(body.clone())).await {
            Ok(answer @ Answer { status: 200, .. }) => {
                let answer = answer.json();
                assert_eq!(answer["status"], "accepted");
                let request_id = answer["request_id"].as_str().unwrap().to_owned();
                return Acknowledged { content: content.to_owned(), request_id };
            }
            // The database is away, and the server says when to come again. The tests are less patient.
            Ok(answer @ Answer { status: 503, .. }) => {
                assert!(answer.header("retry-after").parse::<u32>().is_ok(), "{answer:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(refused) => panic!("{content}: {refused:?}"),
            // Nobody knows whether it was taken. There may be a new server already, or soon.
            Err(_) => drop(tokio::time::timeout(Duration::from_millis(50), servers.changed()).await),
        }
    }
    panic!("{content} was never answered");
}

/// Sends deliveries, `each` from every sender, and lets `disturb` do what it likes after each acknowledgement, of which it
/// gets the count. Gives the server that `disturb` gave last.
pub async fn deliver(
    place: &Place,
    slot_settings: &Value,
    each: usize,
    mut disturb: impl FnMut(usize, Server) -> Server,
) -> (Server, Slot, Vec<Acknowledged>) {
    let mut server = place.serve(&[]);
    let slot = server.client(place).add_slot(slot_settings).await;
    let (announce, servers) = watch::channel((server.address, place.token()));
    let (acknowledge, mut acknowledgements) = mpsc::unbounded_channel();
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let (slot, mut servers, acknowledge) = (slot.clone(), servers.clone(), acknowledge.clone());
        senders.spawn(async move {
            for sequence in 0..each {
                let acknowledged = send(&slot, &content(sender, sequence), &mut servers).await;
                acknowledge.send(acknowledged).unwrap();
            }
        });
    }
    drop(acknowledge);

    let mut acknowledged = Vec::new();
    while let Some(one) = acknowledgements.recv().await {
        acknowledged.push(one);
        server = disturb(acknowledged.len(), server);
        if announce.borrow().0 != server.address {
            announce.send((server.address, place.token())).unwrap();
        }
    }
    while let Some(ended) = senders.join_next().await {
        ended.unwrap();
    }
    assert_eq!(acknowledged.len(), SENDERS * each);
    (server, slot, acknowledged)
}

/// Sends deliveries while the server is killed again and again. Gives the last server.
pub async fn deliver_through_kills(
    place: &Place,
    slot_settings: &Value,
    each: usize,
) -> (Server, Slot, Vec<Acknowledged>) {
    let kill = |count: usize, server: Server| {
        if !KILL_AFTER.contains(&count) {
            return server;
        }
        server.kill();
        place.serve(&[])
    };
    deliver(place, slot_settings, each, kill).await
}

/// Waits until all are answered, and looks at each: one question, one answer, and nothing else.
pub async fn assert_each_is_answered_once(client: &Client, acknowledged: &[Acknowledged]) {
    // A turn that was claimed in the moment of a fault may be left until its lease has ended. How long all of them take is
    // for the machine to say; only that nothing happens any more is a fault.
    let quiet = LEASE + PATIENCE;
    let (mut deadline, mut answered) = (Instant::now() + quiet, 0);
    let total = loop {
        let status = client.get("/api/v1/agent/status").await.json();
        let page = client.get("/api/v1/sessions?limit=1").await.json();
        let total = page["total"].as_u64().unwrap();
        if status["global"]["state"] == "idle" && total >= acknowledged.len() as u64 {
            let mut now_answered = 0;
            for one in acknowledged {
                now_answered += usize::from(client.history(&format!("webhook_{}", one.request_id)).await.len() >= 2);
            }
            if now_answered == acknowledged.len() {
                break total;
            }
            if now_answered > answered {
                (deadline, answered) = (Instant::now() + quiet, now_answered);
            }
        }
        assert!(
            Instant::now() < deadline,
            "not all are answered: {answered} of {}, {status}, {total} sessions",
            acknowledged.len()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    // A session more would be a delivery that was taken twice.
    assert_eq!(total, acknowledged.len() as u64);
    let request_ids: HashSet<_> = acknowledged.iter().map(|one| &one.request_id).collect();
    assert_eq!(request_ids.len(), acknowledged.len());
    for one in acknowledged {
        let history = client.history(&format!("webhook_{}", one.request_id)).await;
        assert_eq!(history.len(), 2, "{history:?}");
        assert_eq!((&history[0]["role"], &history[0]["content"]), (&json!("user"), &json!(one.content)));
        assert_answers(&history[1], &one.content);
    }
}

/// What the built-in agent says to `content`.
#[track_caller]
fn assert_answers(answer: &Value, content: &str) {
    assert_eq!(answer["role"], "assistant", "{answer}");
    let text = answer["content"].as_str().unwrap();
    assert!(text.contains(&format!("“{content}”")), "the answer to {content:?} is {text:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_delivery_is_answered_once_although_the_server_is_killed() {
    let place = Place::new();
    let settings = json!({ "name": "load", "scheme": "standard" });
    let (server, _, acknowledged) = deliver_through_kills(&place, &settings, 40).await;
    let client = server.client(&place);

    assert_each_is_answered_once(&client, &acknowledged).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_one_session_all_are_answered_in_the_order_of_acceptance() {
    let place = Place::new();
    let settings = json!({ "name": "load", "scheme": "standard", "session": "slot" });
    let (server, _, acknowledged) = deliver_through_kills(&place, &settings, 10).await;
    let client = server.client(&place);

    let exported = eventually("all are answered", async || {
        let exported = client.get("/api/v1/sessions/webhook_load/export?format=json").await.json();
        let count = exported["messages"].as_array().unwrap().len();
        (count >= 2 * acknowledged.len()).then(|| exported.clone())
    })
    .await;
    let messages = exported["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 2 * acknowledged.len());

    // The audit log is written together with the delivery, so it has the order of acceptance, newest first.
    let audit = client.get("/api/v1/audit?limit=1000").await.json();
    let mut accepted: Vec<_> = audit.as_array().unwrap().iter().collect();
    accepted.retain(|entry| entry["action"] == "webhook_accepted");
    accepted.reverse();
    assert_eq!(accepted.len(), acknowledged.len(), "no delivery was taken twice");

    let contents: HashMap<_, _> = acknowledged.iter().map(|one| (&one.request_id, &one.content)).collect();
    let mut in_order = Vec::new();
    for (pair, accepted) in messages.chunks(2).zip(accepted) {
        let content = contents[&accepted["context"]["request_id"].as_str().unwrap().to_owned()];
        assert_eq!((&pair[0]["role"], &pair[0]["content"]), (&json!("user"), &json!(content)));
        assert_answers(&pair[1], content);
        in_order.push(content.clone());
    }
    for sender in 0..SENDERS {
        let own: Vec<_> = in_order.iter().filter(|text| text.starts_with(&format!("from {sender},"))).collect();
        let expected: Vec<_> = (0..10).map(|sequence| content(sender, sequence)).collect();
        assert!(own.into_iter().eq(&expected), "what a sender sends one after the other stays in that order");
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_delivery_is_answered_like_the_first_after_a_kill() {
    let place = Place::new();
    let server = place.serve(&[]);
    let slot = server.client(&place).add_slot(&json!({ "name": "load", "scheme": "standard" })).await;
    let (announce, mut servers) = watch::channel((server.address, place.token()));
    let first = send(&slot, "only once", &mut servers).await;
    server.kill();

    let server = place.serve(&[]);
    announce.send((server.address, place.token())).unwrap();
    let again = send(&slot, "only once", &mut servers).await;
    assert_eq!(again.request_id, first.request_id);

    let client = server.client(&place);
    let mut request = client.request(reqwest::Method::POST, "/webhook/inbound/load?wait=true");
    let body = json!({ "content": "only once" }).to_string();
    for (name, value) in slot.standard_headers("msg_only-once", &body) {
        request = request.header(name, value);
    }
    let waited = Client::try_send(request.body(body)).await.unwrap().json();
    assert_eq!((&waited["status"], &waited["request_id"]), (&json!("ok"), &json!(first.request_id)));
    let history = client.history(&format!("webhook_{}", first.request_id)).await;
    assert_eq!(history.len(), 2, "{history:?}");
    assert_eq!(history[1]["content"], waited["response"]);
    assert_eq!(client.get("/api/sessions").await.json()["total"], 1);
    server.stop();
}

#[tokio::test]
async fn what_was_changed_is_still_there_after_a_kill() {
    let place = Place::new();
    let server = place.serve(&[]);
    let client = server.client(&place);
    let kept = client.post("/api/v1/sessions", &json!({})).await.json()["id"].as_str().unwrap().to_owned();
    let removed = client.post("/api/v1/sessions", &json!({})).await.json()["id"].as_str().unwrap().to_owned();
    let renamed = client.post(&format!("/api/v1/sessions/{kept}/title"), &json!({ "title": "Kept" })).await;
    assert_eq!(renamed.json()["status"], "ok");
    let path = format!("/api/v1/sessions/{removed}");
    let gone = Client::try_send(client.request(reqwest::Method::DELETE, &path)).await.unwrap();
    assert_eq!(gone.json()["status"], "ok");
    let slot = client.add_slot(&json!({ "name": "kept", "sync_timeout": 300 })).await;
    client.add_slot(&json!({ "name": "removed" })).await;
    assert_eq!(client.post("/api/webhooks/remove", &json!({ "name": "removed" })).await.status, 200);
    server.kill();

    let server = place.serve(&[]);
    let client = server.client(&place);
    let sessions = client.get("/api/v1/sessions").await.json();
    assert_eq!((&sessions["total"], &sessions["sessions"][0]["title"]), (&json!(1), &json!("Kept")));
    let slots = client.get("/api/webhooks").await.json();
    assert_eq!(slots["webhooks"].as_array().unwrap().len(), 1);
    assert_eq!(slots["webhooks"][0]["sync_timeout"], 300);
    let answer = client.deliver(&slot, "?wait=true", &json!({ "content": "/ping" })).await.json();
    assert_eq!(answer["response"], "pong");
    server.stop();
}
