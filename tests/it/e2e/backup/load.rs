//! A backup of a server that has much to do.

use super::Home;
use super::pack::{lines, rows};
use crate::e2e::client::{Client, Slot, eventually, plain_slot};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const SENDERS: usize = 16;

/// Delivers until it is told to stop.
async fn send(client: Client, slot: Slot, sender: usize, stop: CancellationToken) {
    for number in 0.. {
        if stop.is_cancelled() {
            break;
        }
        let answer = client.deliver(&slot, "", &json!({ "content": format!("from {sender}: {number}") })).await;
        assert_eq!(answer.json()["status"], "accepted");
    }
}

/// Sees that the file shows one moment; gives how many deliveries had been taken then, and how many had no answer.
fn assert_one_moment(file: &Path) -> (usize, usize) {
    let lines = lines(file);
    let mut numbers: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
    for message in rows(&lines, "messages") {
        let of_session = numbers.entry(message["session_key"].as_i64().unwrap()).or_default();
        of_session.push(message["number"].as_u64().unwrap());
    }
    let sessions = rows(&lines, "sessions");
    let mut answered = 0;
    for session in &sessions {
        let numbers = numbers.remove(&session["key"].as_i64().unwrap()).unwrap_or_default();
        let count = session["message_count"].as_u64().unwrap();
        assert!(numbers.iter().copied().eq(1..=count), "{session}: {numbers:?}");
        answered += usize::from(count == 2);
    }
    assert!(numbers.is_empty(), "messages without a session: {numbers:?}");
    // An answer ends its turn, and a delivery makes one and an entry of the audit log: both or neither.
    let accepted = rows(&lines, "audit").iter().filter(|entry| entry["action"] == "webhook_accepted").count();
    let turns = rows(&lines, "turns").len();
    assert_eq!(accepted, answered + turns);
    (accepted, turns)
}

pub(super) async fn a_backup_under_load_is_of_one_moment(from: Home, to: Home) {
    let server = from.serve(&["--max-concurrent", "1"]);
    let client = server.client(&from.place);
    let slot = client.add_slot(&plain_slot("load")).await;
    let stop = CancellationToken::new();
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        senders.spawn(send(client.clone(), slot.clone(), sender, stop.clone()));
    }
    let mut moments = Vec::new();
    let mut unfinished = None;
    for number in 0..20 {
        let file = from.backup(&format!("load-{number}.backup"));
        let (accepted, turns) = assert_one_moment(&file);
        moments.push(accepted);
        if turns > 0 && number >= 3 {
            unfinished = Some((file, accepted));
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(moments.is_sorted() && moments.first() < moments.last(), "nothing was delivered meanwhile: {moments:?}");
    stop.cancel();
    while let Some(ended) = senders.join_next().await {
        ended.unwrap();
    }
    server.stop();

    let (file, accepted) = unfinished.expect("a backup with deliveries that were not answered yet");
    to.take_keys_of(&from);
    to.restored(&file, &[]);
    let server = to.serve(&[]);
    let client = server.client(&to.place);
    eventually("all are answered", async || {
        let mut answered = 0;
        for offset in (0..accepted).step_by(500) {
            let page: Value = client.get(&format!("/api/v1/sessions?limit=500&offset={offset}")).await.json();
            assert!(page["total"].as_u64().unwrap() <= accepted as u64);
            answered += page["sessions"].as_array().unwrap().iter().filter(|it| it["message_count"] == 2).count();
        }
        (answered == accepted).then_some(())
    })
    .await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_sqlite_to_sqlite_a_backup_under_load_is_of_one_moment() {
    a_backup_under_load_is_of_one_moment(Home::sqlite(), Home::sqlite()).await;
}
