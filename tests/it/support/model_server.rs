//! A model provider of this machine that says what a test wrote down for it.
//!
//! A test reads: `let models = ModelServer::start([Answer::calls(&[("mcp_home__lamp", json!({"on": true}))]),
//! Answer::says(&["Done", "."])]).await`, gives `models.base_url()` to the program as the address of an OpenAI-compatible
//! provider, and looks at `models.requests()` afterwards. Each request for an answer takes the next one of the script; when
//! it is over, requests are refused with status 400. Lists of models name [`MODEL`] and take nothing from the script.
//!
//! Answers are bytes in the end, so a test can cut them anywhere: see [`Answer::events`], [`Answer::bytes`] and
//! [`Answer::cut`].

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The only model that is listed. Any name can be asked.
pub const MODEL: &str = "test-model";

/// One answer of a script.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    pieces: Vec<Piece>,
    is_cut: bool,
}

#[derive(Debug, Clone)]
enum Piece {
    Bytes(Vec<u8>),
    Pause(Duration),
}

impl Answer {
    /// A whole answer in these pieces, with a count of tokens: 11 read, 7 written.
    pub fn says(pieces: &[&str]) -> Self {
        pieces.iter().fold(Self::begin(), |answer, piece| answer.say(piece)).end("stop")
    }

    /// A whole answer that wants these tools to be run: name and arguments. Their ids are `call_a`, `call_b` and so on, in
    /// every answer the same.
    pub fn calls(calls: &[(&str, Value)]) -> Self {
        let calls = calls.iter().zip('a'..).enumerate();
        let answer = calls.fold(Self::begin(), |answer, (at, ((name, arguments), letter))| {
            answer.call(at, &format!("call_{letter}"), name, &arguments.to_string())
        });
        answer.end("tool_calls")
    }

    /// A refusal with an error in OpenAI's form.
    pub fn status(status: u16, message: &str) -> Self {
        let body = json!({ "error": { "message": message, "type": "test" } });
        Self::whole(&body).with_status(status)
    }

    /// The same with another status.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// An answer that is JSON and no stream.
    pub fn whole(body: &Value) -> Self {
        Self::raw("application/json").bytes(body.to_string())
    }

    /// The beginning of a stream, for [`Answer::say`] and the like.
    pub fn begin() -> Self {
        Self::raw("text/event-stream")
    }

    /// An answer of status 200 without a body as yet.
    pub fn raw(content_type: &str) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self { status: 200, headers, pieces: Vec::new(), is_cut: false }
    }

    /// Adds a piece of text.
    pub fn say(self, piece: &str) -> Self {
        self.delta(&json!({ "content": piece }))
    }

    /// Adds a call. Without an `id`, as some providers do it, if that is empty.
    pub fn call(self, index: usize, id: &str, name: &str, arguments: &str) -> Self {
        let mut call = json!({
            "index": index, "type": "function", "function": { "name": name, "arguments": arguments },
        });
        if !id.is_empty() {
            call["id"] = Value::from(id);
        }
        self.delta(&json!({ "tool_calls": [call] }))
    }

    /// Adds a chunk with that delta.
    pub fn delta(self, delta: &Value) -> Self {
        self.event(&json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] }))
    }

    /// Ends as providers do: with the reason, the count of tokens, and `[DONE]`.
    pub fn end(self, finish_reason: &str) -> Self {
        self.reason(finish_reason)
            .event(&json!({ "choices": [], "usage": { "prompt_tokens": 11, "completion_tokens": 7 } }))
            .bytes("data: [DONE]\n\n")
    }

    /// Adds only the reason why the model stopped.
    pub fn reason(self, finish_reason: &str) -> Self {
        self.event(&json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": finish_reason }] }))
    }

    /// Adds an event, with a name if it has a type.
    pub fn event(self, data: &Value) -> Self {
        let name = data["type"].as_str().map(|name| format!("event: {name}\n")).unwrap_or_default();
        self.bytes(format!("{name}data: {data}\n\n"))
    }

    /// A stream of these events.
    pub fn events(events: &[Value]) -> Self {
        events.iter().fold(Self::begin(), Self::event)
    }

    /// Adds bytes, which are sent by themselves.
    pub fn bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.pieces.push(Piece::Bytes(bytes.into()));
        self
    }

    /// Waits before the next piece; before the status if nothing was added as yet.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pieces.push(Piece::Pause(pause));
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The connection is lost after what was added.
    pub fn cut(mut self) -> Self {
        self.is_cut = true;
        self
    }

    /// The same body, cut into two pieces at `at`.
    pub fn split_at(mut self, at: usize) -> Self {
        let body = self.body();
        self.pieces = vec![Piece::Bytes(body[..at].to_vec()), Piece::Bytes(body[at..].to_vec())];
        self
    }

    /// All bytes of the body.
    pub fn body(&self) -> Vec<u8> {
        let bytes = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Bytes(bytes) => Some(bytes.as_slice()),
            Piece::Pause(_) => None,
        });
        bytes.collect::<Vec<_>>().concat()
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Method and path with query: `POST /v1/chat/completions`.
    pub line: String,
    /// By their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body; null if it was none or no JSON.
    pub body: Value,
}

/// The server. It ends when this is dropped.
pub struct ModelServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct State {
    script: VecDeque<Answer>,
    asked: Vec<Asked>,
}

impl ModelServer {
    /// Starts one that answers by the script.
    pub async fn start(script: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { script: script.into_iter().collect(), asked: Vec::new() }));
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&state);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let shared = Arc::clone(&shared);
                // Whoever asks may hang up at any time.
                connections.spawn(async move { drop(serve(socket, &shared).await) });
            }
        });
        Self { address, state, _tasks: tasks }
    }

    /// The address to configure for a provider that speaks chat completions.
    pub fn base_url(&self) -> String {
        format!("{}/v1", self.origin())
    }

    /// The address to configure for a provider that speaks Anthropic's API.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds to the script.
    pub fn then(&self, answer: Answer) {
        self.state.lock().unwrap().script.push_back(answer);
    }

    /// What was asked until now, lists of models included.
    pub fn requests(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    /// The bodies of the requests for answers.
    pub fn bodies(&self) -> Vec<Value> {
        let posted = |asked: &Asked| asked.line.starts_with("POST ");
        self.requests().into_iter().filter(posted).map(|asked| asked.body).collect()
    }
}

async fn serve(socket: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut socket = BufReader::new(socket);
    let mut line = String::new();
    socket.read_line(&mut line).await?;
    let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        socket.read_line(&mut header).await?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await?;
    let is_list = line.starts_with("GET ") && line.contains("/models");
    let answer = {
        let mut state = state.lock().unwrap();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        state.asked.push(Asked { line, headers, body });
        match is_list {
            true => Answer::whole(&json!({ "object": "list", "data": [{ "id": MODEL, "object": "model" }] })),
            false => state.script.pop_front().unwrap_or_else(|| Answer::status(400, "the script of the test is over")),
        }
    };
    write(socket.into_inner(), answer).await
}

async fn write(mut socket: TcpStream, answer: Answer) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut pieces = answer.pieces.into_iter().peekable();
    while let Some(Piece::Pause(pause)) = pieces.next_if(|piece| matches!(piece, Piece::Pause(_))) {
        tokio::time::sleep(pause).await;
    }
    let mut head = format!("HTTP/1.1 {} X\r\nconnection: close\r\ntransfer-encoding: chunked\r\n", answer.status);
    for (name, value) in answer.headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    head.push_str("\r\n");
    socket.write_all(head.as_bytes()).await?;
    for piece in pieces {
        match piece {
            Piece::Pause(pause) => tokio::time::sleep(pause).await,
            Piece::Bytes(bytes) if bytes.is_empty() => {}
            // A chunk of its own, so that the client gets it by itself.
            Piece::Bytes(bytes) => {
                socket.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).await?;
                socket.write_all(&bytes).await?;
                socket.write_all(b"\r\n").await?;
            }
        }
    }
    if !answer.is_cut {
        socket.write_all(b"0\r\n\r\n").await?;
    }
    socket.shutdown().await
}
