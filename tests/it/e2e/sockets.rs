//! WebSockets of the real program: very many of them, those of strangers, those of clients that do not read, and odd frames.

use super::binary::{PATIENCE, Place, Server};
use super::client::{Client, eventually};
use super::story::with_model;
use crate::support::model_server::{Answer, ModelServer};
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::{WebSocketStream, client_async};

/// How many sockets one credential may have.
const MOST: usize = 208;

/// How many want one at the same time.
const WAVE: usize = 100;

/// How many files a server may have open for other reasons than sockets: connections for requests, and to the database.
const OTHER_FILES: usize = 12;

const MIB: u64 = 1024 * 1024;

/// Held by who opens many, so that all tests together stay below the 1,024 files that a process may commonly open.
static ROOM: Mutex<()> = Mutex::const_new(());

struct Socket(WebSocketStream<TcpStream>);

/// What became of a wish for a socket: it and the id of its session, or the code and the reason why it was closed.
type Outcome = Result<(Socket, String), (u16, String)>;

impl Socket {
    /// Opens a socket. The system keeps at most that much of what is not read, if something is said of it.
    async fn open(address: SocketAddr, token: Option<&str>, unread: Option<u32>) -> Self {
        let query = token.map(|token| format!("?token={token}")).unwrap_or_default();
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = unread {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        let opened = async {
            let stream = socket.connect(address).await.unwrap();
            client_async(format!("ws://{address}/ws{query}"), stream).await.unwrap()
        };
        Self(timeout(PATIENCE, opened).await.expect("a socket").0)
    }

    /// Opens a socket, and reads what is said first.
    async fn attempt(address: SocketAddr, token: Option<&str>) -> Outcome {
        let mut socket = Self::open(address, token, None).await;
        match socket.heard().await {
            Some(Message::Text(text)) => {
                let greeting: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(greeting["type"], "connection_info");
                let session = greeting["id"].as_str().unwrap().to_owned();
                Ok((socket, session))
            }
            Some(Message::Close(Some(frame))) => {
                let (code, reason) = (frame.code.into(), frame.reason.to_string());
                assert_eq!(socket.heard().await, None, "nothing after the end");
                Err((code, reason))
            }
            other => panic!("not how a socket begins: {other:?}"),
        }
    }

    /// One that is open, and the id of its session.
    async fn greeted(client: &Client, server: &Server) -> (Self, String) {
        let outcome = Self::attempt(server.address, Some(client.token())).await;
        outcome.unwrap_or_else(|(code, reason)| panic!("closed: {code} {reason}"))
    }

    /// What comes next. `None` at the end.
    async fn heard(&mut self) -> Option<Message> {
        timeout(PATIENCE, self.0.next()).await.expect("something, or the end")?.ok()
    }

    /// The next message, pings aside.
    async fn message(&mut self) -> Value {
        loop {
            match self.heard().await {
                Some(Message::Text(text)) => return serde_json::from_str(&text).unwrap(),
                Some(Message::Ping(_) | Message::Pong(_)) => {}
                other => panic!("no message: {other:?}"),
            }
        }
    }

    /// The messages up to the first of that type.
    async fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut messages = Vec::new();
        loop {
            messages.push(self.message().await);
            if messages.last().is_some_and(|message| message["type"] == kind) {
                return messages;
            }
        }
    }

    async fn say(&mut self, message: &Value) {
        timeout(PATIENCE, self.0.send(Message::text(message.to_string()))).await.expect("room").unwrap();
    }

    /// Sends a text in pieces of that length, with a ping between the first two.
    async fn say_in_pieces(&mut self, text: &str, length: usize) {
        let sent = async {
            let mut pieces = text.as_bytes().chunks(length).enumerate().peekable();
            while let Some((number, piece)) = pieces.next() {
                let kind = if number == 0 { Data::Text } else { Data::Continue };
                let frame = Frame::message(piece.to_vec(), OpCode::Data(kind), pieces.peek().is_none());
                self.0.feed(Message::Frame(frame)).await.unwrap();
                if number == 0 {
                    self.0.feed(Message::Ping(b"there?".as_slice().into())).await.unwrap();
                }
            }
            self.0.flush().await.unwrap();
        };
        timeout(PATIENCE, sent).await.expect("room");
    }

    /// With which code and reason the server closes, whatever comes before.
    async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.heard().await {
                Some(Message::Close(Some(frame))) => return (frame.code.into(), frame.reason.to_string()),
                Some(_) => {}
                None => panic!("an end without a reason"),
            }
        }
    }
}

/// Waits until the server has no more files open than that.
async fn back_to(server: &Server, files: usize) {
    eventually("the sockets are gone", async || {
        let open = server.process.open_files().unwrap();
        (open <= files).then_some(())
    })
    .await;
}

#[tokio::test]
async fn ten_thousand_want_a_socket_and_only_as_many_have_one_as_may() {
    // What it uses is read from /proc.
    if !cfg!(target_os = "linux") {
        return;
    }
    let _room = ROOM.lock().await;
    let place = Place::new();
    let server = place.serve(&[]);
    let client = server.client(&place);
    assert_eq!(client.get("/api/v1/auth/me").await.status, 200);
    let files = server.process.open_files().unwrap() + OTHER_FILES;
    let memory = server.process.memory().unwrap();
    let mut most = 0;
    let mut after = Vec::new();
    for _ in 0..5 {
        let mut held = Vec::new();
        let mut refused = 0;
        for _ in 0..20 {
            let wave = join_all((0..WAVE).map(|_| Socket::attempt(server.address, Some(client.token()))));
            let (outcomes, answer) = tokio::join!(wave, client.get("/api/v1/auth/me"));
            assert_eq!(answer.status, 200, "{answer:?}");
            for outcome in outcomes {
                match outcome {
                    Ok((socket, _)) => held.push(socket),
                    Err((code, reason)) => {
                        assert_eq!((code, reason.as_str()), (4029, "Too many WebSockets are open"));
                        refused += 1;
                    }
                }
            }
            most = most.max(server.process.open_files().unwrap());
        }
        assert_eq!((held.len(), refused), (MOST, 20 * WAVE - MOST));
        // Those who are in have noticed nothing.
        for socket in [0, MOST / 2, MOST - 1] {
            held[socket].say(&json!({ "action": "get_skills" })).await;
            assert_eq!(held[socket].message().await["type"], "skills");
        }
        drop(held);
        back_to(&server, files).await;
        after.push(server.process.memory().unwrap());
    }
    let peak = server.process.peak_memory().unwrap();
    assert!(most <= files + MOST + WAVE, "{most}");
    assert!(after[4] < memory + 100 * MIB && peak < memory + 150 * MIB, "from {memory} to {after:?}, {peak} at most");
    // What was needed for the first is used again for the rest.
    assert!(after[4] < after[0] + 40 * MIB, "{after:?}");
    server.stop();
}

#[tokio::test]
async fn strangers_are_told_to_go_and_leave_nothing_behind() {
    // What it uses is read from /proc.
    if !cfg!(target_os = "linux") {
        return;
    }
    let _room = ROOM.lock().await;
    let place = Place::new();
    let server = place.serve(&[]);
    let client = server.client(&place);
    assert_eq!(client.get("/api/v1/auth/me").await.status, 200);
    let files = server.process.open_files().unwrap() + OTHER_FILES;
    let memory = server.process.memory().unwrap();
    for token in [None, Some("00000000-0000-4000-8000-000000000000")] {
        for _ in 0..10 {
            for outcome in join_all((0..WAVE).map(|_| Socket::attempt(server.address, token))).await {
                match outcome {
                    Ok(_) => panic!("a stranger was let in"),
                    Err((code, reason)) => {
                        assert_eq!((code, reason.as_str()), (4003, "Unauthorized"));
                    }
                }
            }
        }
    }
    // Those who neither read nor go are gone, too.
    let staying = join_all((0..WAVE).map(|_| Socket::open(server.address, None, None))).await;
    back_to(&server, files).await;
    drop(staying);
    let now = server.process.memory().unwrap();
    assert!(now < memory + 100 * MIB, "from {memory} to {now}");
    // Nobody was counted as one who is in.
    let (mut socket, _) = Socket::greeted(&client, &server).await;
    socket.say(&json!({ "action": "get_skills" })).await;
    assert_eq!(socket.message().await["type"], "skills");
    server.stop();
}

/// How long the answers of the talkative model are, in bytes; and how much of one is taken.
const TOLD: usize = 10 * 1024 * 1024;
const TAKEN: usize = 1024 * 1024;

/// How many of them there are: more than the system keeps for somebody who does not read.
const ANSWERS: usize = 5;

#[tokio::test]
async fn who_does_not_read_costs_little_and_is_dropped_and_the_others_hear_the_answer() {
    // What it uses is read from /proc.
    if !cfg!(target_os = "linux") {
        return;
    }
    let piece = "x".repeat(256);
    let answer = || (0..TOLD / piece.len()).fold(Answer::begin(), |answer, _| answer.say(&piece)).end("stop");
    let models = ModelServer::start((0..ANSWERS).map(|_| answer())).await;
    let place = Place::new();
    let server = with_model(&place, &models, &[]).start();
    let client = server.client(&place);
    let (speaker, session) = Socket::greeted(&client, &server).await;
    let mut hearing = vec![speaker];
    let follow = async |socket: &mut Socket| {
        socket.say(&json!({ "action": "switch_session", "session_id": session })).await;
        socket.until("session_history").await;
    };
    for _ in 0..2 {
        let (mut socket, _) = Socket::greeted(&client, &server).await;
        follow(&mut socket).await;
        hearing.push(socket);
    }
    let files = server.process.open_files().unwrap();
    let memory = server.process.memory().unwrap();
    let mut deaf = Vec::new();
    for _ in 0..20 {
        let mut socket = Socket::open(server.address, Some(client.token()), Some(4096)).await;
        follow(&mut socket).await;
        deaf.push(socket);
    }
    for _ in 0..ANSWERS {
        hearing[0].say(&json!({ "action": "chat", "message": "Tell me everything" })).await;
        let heard = join_all(hearing.iter_mut().map(|socket| socket.until("stream_end"))).await;
        for messages in heard {
            let gaps = messages.iter().filter(|message| message["event_type"] == "gap").count();
            let pieces = messages.iter().filter(|message| message["is_stream_chunk"] == true);
            let heard: usize = pieces.map(|message| message["content"].as_str().unwrap().len()).sum();
            assert!(heard == TAKEN || gaps > 0, "{heard} bytes without a gap");
        }
    }
    let peak = server.process.peak_memory().unwrap();
    // One is the connection to the model.
    back_to(&server, files + 1).await;
    assert!(peak < memory + 100 * MIB, "from {memory} to {peak}");
    // What is left to read for those who did not is not all of it.
    for mut socket in deaf {
        let mut messages = 0;
        while socket.heard().await.is_some() {
            messages += 1;
        }
        assert!(messages < ANSWERS * TAKEN / piece.len(), "{messages}");
    }
    hearing[0].say(&json!({ "action": "get_skills" })).await;
    assert_eq!(hearing[0].message().await["type"], "skills");
    let stored = client.history(&session).await;
    assert_eq!(stored.len(), 2 * ANSWERS);
    assert_eq!(stored[2 * ANSWERS - 1]["content"].as_str().unwrap().len(), TAKEN);
    server.stop();
}

#[tokio::test]
async fn long_messages_are_taken_in_whatever_pieces_they_come() {
    let place = Place::new();
    let server = place.serve(&[]);
    let client = server.client(&place);
    let text = "paw ".repeat(16 * 1024);
    let message = json!({ "action": "chat", "message": text }).to_string();
    for length in [message.len(), 1024, 1] {
        let (mut socket, session) = Socket::greeted(&client, &server).await;
        socket.say_in_pieces(&message, length).await;
        let messages = socket.until("stream_end").await;
        assert!(messages.iter().all(|message| message["type"] != "error"), "{messages:?}");
        let history = client.history(&session).await;
        assert_eq!((history.len(), &history[0]["content"]), (2, &json!(text)));
    }
    // One that is too long is refused with a reason, and the socket stays.
    let (mut socket, _) = Socket::greeted(&client, &server).await;
    socket.say_in_pieces(&json!({ "action": "chat", "message": "x".repeat(100_001) }).to_string(), 1024).await;
    let messages = socket.until("stream_end").await;
    assert_eq!(messages[1], json!({ "type": "error", "content": "The message has more than 100000 characters." }));
    // More than a message may have ends it, in pieces as well.
    socket.say_in_pieces(&format!("{{\"x\":\"{}\"}}", "x".repeat(300 * 1024)), 1024).await;
    assert_eq!(socket.closed().await, (1009, "A message may have at most 256 KiB".to_owned()));
    server.stop();
}

#[tokio::test]
async fn what_is_no_text_or_no_json_ends_a_socket_with_a_reason() {
    let place = Place::new();
    let server = place.serve(&[]);
    let client = server.client(&place);
    let (mut socket, _) = Socket::greeted(&client, &server).await;
    socket.0.send(Message::binary(vec![0; 64 * 1024])).await.unwrap();
    assert_eq!(socket.closed().await, (1003, "Only text is understood here".to_owned()));
    let (mut socket, _) = Socket::greeted(&client, &server).await;
    for _ in 0..19 {
        socket.0.send(Message::text("{".repeat(1000))).await.unwrap();
        let answer = socket.message().await;
        assert_eq!(answer, json!({ "type": "error", "content": "A message has to be a JSON object." }));
    }
    socket.0.send(Message::text("{")).await.unwrap();
    assert_eq!(socket.closed().await, (1008, "Too many messages that are no JSON objects".to_owned()));
    server.stop();
}
