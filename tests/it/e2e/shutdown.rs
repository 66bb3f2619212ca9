//! The end: no new work, open work finishes, streams end, and the exit status says how it went.

use super::binary::{Place, Server};
use super::client::{Client, eventually, plain_slot};
use nix::sys::signal::Signal;
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Far less than the time that open work gets (10 s) and far more than an end without any takes.
const SOON: Duration = Duration::from_secs(5);

/// The storages that a server can have.
const STORAGES: [&[&str]; 2] = [&[], &["--database-url", "memory:"]];

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(super::binary::PATIENCE)).unwrap();
    stream
}

/// A delivery of which the server waits for the rest of the body, which never comes.
pub(super) fn unfinished_request(server: &Server) -> TcpStream {
    let mut stream = connect(server);
    let head =
        "POST /webhook/inbound/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    // It asks for the body, so it is reading it.
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 100 Continue"), "{}", String::from_utf8_lossy(&answer));
    stream.write_all(b"{").unwrap();
    stream
}

pub(super) fn stopping(server: &Server) {
    server.process.stderr().wait_until("it says that it stops", |log| log.contains("stopping"));
}

#[tokio::test]
async fn an_open_stream_ends_and_does_not_delay() {
    for (storage, signal) in STORAGES.into_iter().zip([Signal::SIGTERM, Signal::SIGINT]) {
        let place = Place::new();
        let server = place.serve(storage);
        let mut stream = server.client(&place).status_stream().await;
        assert_eq!(stream.next().await.unwrap().name, "status");
        let began = Instant::now();
        server.process.signal(signal);
        // An end in the protocol, not a broken connection: that would fail.
        assert!(stream.next().await.is_none());
        let ended = server.process.end();
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn connections_that_ask_for_nothing_do_not_delay() {
    let place = Place::new();
    let server = place.serve(&[]);
    let silent = connect(&server);
    let mut kept = connect(&server);
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = [0; 15];
    kept.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    let began = Instant::now();
    server.stop();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    drop((silent, kept));
}

#[tokio::test]
async fn half_a_request_does_not_delay() {
    let place = Place::new();
    let server = place.serve(&[]);
    let mut halves = ["G", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"].map(|half| {
        let mut stream = connect(&server);
        stream.write_all(half.as_bytes()).unwrap();
        stream
    });
    // Whoever is served after them knows that they were read.
    assert_eq!(server.client(&place).get("/healthz").await.status, 200);
    let began = Instant::now();
    server.stop();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    for half in &mut halves {
        let mut rest = Vec::new();
        // Closed, in whatever way.
        let _ = half.read_to_end(&mut rest);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_an_answer_gets_one_and_nothing_is_lost() {
    const WAITING: usize = 40;
    for storage in STORAGES {
        let place = Place::new();
        let server = place.serve(&[&["--max-concurrent", "1"], storage].concat());
        let client = server.client(&place);
        // One session, so that they are answered one after the other and most of them wait.
        let slot = client.add_slot(&json!({ "name": "busy", "session": "slot" })).await;
        let mut requests = JoinSet::new();
        for number in 0..WAITING {
            let (client, slot) = (client.clone(), slot.clone());
            requests.spawn(async move {
                let delivery = json!({ "content": format!("question {number}.") });
                client.deliver(&slot, "?wait=true", &delivery).await.json()
            });
        }
        eventually("all are accepted", async || {
            let audit = client.get("/api/v1/audit?limit=1000").await.json();
            let accepted = audit.as_array().unwrap().iter().filter(|entry| entry["action"] == "webhook_accepted");
            (accepted.count() == WAITING).then_some(())
        })
        .await;
        let began = Instant::now();
        server.stop();
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        while let Some(answer) = requests.join_next().await {
            let answer = answer.unwrap();
            assert!(answer["status"] == "ok" || answer["status"] == "timeout", "{answer}");
            assert!(answer["request_id"].is_string(), "{answer}");
        }
        if !storage.is_empty() {
            continue;
        }
        let server = place.serve(&[]);
        let client = server.client(&place);
        let messages = eventually("the rest is answered", async || {
            let messages = client.get("/api/v1/sessions/webhook_busy/history?limit=500").await.json();
            (messages.as_array().unwrap().len() >= 2 * WAITING).then(|| messages.clone())
        })
        .await;
        assert_eq!(messages.as_array().unwrap().len(), 2 * WAITING);
        for number in 0..WAITING {
            let question = format!("question {number}.");
            let told = |role: &str| {
                let own = messages.as_array().unwrap().iter().filter(|message| message["role"] == role);
                own.filter(|message| message["content"].as_str().unwrap().contains(&question)).count()
            };
            assert_eq!((told("user"), told("assistant")), (1, 1), "{question}");
        }
        server.stop();
    }
}

#[test]
fn a_request_that_is_being_read_may_finish() {
    let place = Place::new();
    let server = place.serve(&[]);
    let mut request = unfinished_request(&server);
    server.process.signal(Signal::SIGTERM);
    stopping(&server);
    request.write_all(&[b' '; 99]).unwrap();
    let mut answer = String::new();
    request.read_to_string(&mut answer).unwrap();
    // There is no such slot. What matters is that it was answered.
    assert!(answer.contains("HTTP/1.1 403 "), "{answer}");
    let ended = server.process.end();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
}

#[tokio::test]
async fn no_new_connection_is_served_while_it_stops() {
    let place = Place::new();
    let server = place.serve(&[]);
    let (address, token) = (server.address, place.token());
    let request = unfinished_request(&server);
    server.process.signal(Signal::SIGTERM);
    stopping(&server);
    eventually("nobody listens", async || {
        let client = Client::new(address, &token);
        Client::try_send(client.request(reqwest::Method::GET, "/healthz")).await.is_err().then_some(())
    })
    .await;
    drop(request);
    let ended = server.process.end();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let place = Place::new();
    let mut server = place.serve(&["--shutdown-timeout", "300"]);
    let request = unfinished_request(&server);
    server.process.signal(Signal::SIGTERM);
    stopping(&server);
    assert!(server.process.is_running());
    let began = Instant::now();
    server.process.signal(Signal::SIGTERM);
    let ended = server.process.end();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.lines().last().unwrap().starts_with("pawport: "), "{ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    drop(request);
}

#[test]
fn the_deadline_ends_it() {
    let place = Place::new();
    let server = place.serve(&["--shutdown-timeout", "1"]);
    let request = unfinished_request(&server);
    let began = Instant::now();
    server.process.signal(Signal::SIGTERM);
    let ended = server.process.end();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.lines().last().unwrap().starts_with("pawport: "), "{ended:?}");
    drop(request);
}

#[tokio::test]
async fn after_an_end_in_order_the_database_is_one_file() {
    let place = Place::new();
    let server = place.serve(&[]);
    let client = server.client(&place);
    let slot = client.add_slot(&plain_slot("tidy")).await;
    let answer = client.deliver(&slot, "?wait=true", &json!({ "content": "/ping" })).await;
    assert_eq!(answer.json()["response"], "pong");
    server.stop();
    // Whoever copies the file then has everything.
    for name in ["pawport.db-wal", "pawport.db-shm"] {
        assert!(!place.data_dir().join(name).exists(), "{name} is left");
    }
}
