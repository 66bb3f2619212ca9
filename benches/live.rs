//! What it costs to tell many: 200 WebSockets and 500 event streams hear five answers at once.
//!
//! `cargo bench --bench live` serves the app on a port, with an agent that writes 2,000 pieces into each answer, 25 a second;
//! a number after `--` is another rate, a second one another number of pieces. Every piece says when it was written. Prints
//! how long the pieces take to the clients, how many were missed, and what it takes of memory.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run should stop")]
#![expect(clippy::print_stdout, reason = "the numbers go to whoever runs it")]

use async_trait::async_trait;
use futures_util::{SinkExt, StreamExt};
use pawport::adapters::events::BroadcastEvents;
use pawport::adapters::fake::{FakeMcp, FixedAgent};
use pawport::adapters::host::{OsEntropy, SystemClock, SystemTimer};
use pawport::adapters::in_memory::InMemoryStorage;
use pawport::app::{App, Parts, Settings, Shutdown, run};
use pawport::domain::agent::AgentEvent;
use pawport::domain::agent::choice::AgentSettings;
use pawport::domain::agent::service::AgentLimits;
use pawport::domain::auth::login::SessionTtl;
use pawport::domain::auth::rate::RateLimits;
use pawport::domain::auth::service::MasterToken;
use pawport::domain::auth::token::AccessToken;
use pawport::domain::mcp::connect::Budgets;
use pawport::http::client::Policy;
use pawport::ports::agent::{AgentError, AgentIo, AgentRequest, AgentRunner};
use pawport::ports::store::Stores;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const TOKEN: &str = "the-live-benchmark-knows-this-token-and-nobody-else-uses-it";
const TURNS: usize = 5;
const SOCKETS: usize = 200;
const STREAMS: usize = 500;

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let (rate, pieces) = (numbers.first().copied().unwrap_or(25), numbers.get(1).copied().unwrap_or(2_000));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(rate, pieces));
}

/// Writes pieces at a steady rate, each with its number and its time.
struct Writer {
    begun: Instant,
    pause: Duration,
    pieces: u64,
}

#[async_trait]
impl AgentRunner for Writer {
    fn name(&self) -> &'static str {
        "writer"
    }

    async fn run(&self, _request: AgentRequest<'_>, io: &dyn AgentIo) -> Result<(), AgentError> {
        let mut often = tokio::time::interval(self.pause);
        for number in 0..self.pieces {
            often.tick().await;
            io.emit(AgentEvent::Text(format!("#{number} {} ", self.begun.elapsed().as_micros())));
        }
        Ok(())
    }
}

/// What a client heard.
#[derive(Default)]
struct Heard {
    /// From writing to hearing, in microseconds.
    times: Vec<u128>,
    next: HashMap<String, u64>,
    gaps: u64,
    out_of_order: u64,
}

impl Heard {
    fn take(&mut self, begun: Instant, turn: &str, text: &str) {
        let mut words = text.split_whitespace();
        let number: u64 = words.next().unwrap().trim_start_matches('#').parse().unwrap();
        let at: u128 = words.next().unwrap().parse().unwrap();
        self.times.push(begun.elapsed().as_micros().saturating_sub(at));
        let next = self.next.entry(turn.to_owned()).or_default();
        if number < *next {
            self.out_of_order += 1;
        }
        self.gaps += number.saturating_sub(*next);
        *next = number + 1;
    }
}

async fn measure(rate: u64, pieces: u64) {
    let begun = Instant::now();
    let writer = Writer { begun, pause: Duration::from_secs(1) / u32::try_from(rate).unwrap(), pieces };
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let app = app(Arc::new(writer), &tasks, stop.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(run(app, listener, tasks, Shutdown::default(), Duration::from_secs(10)));
    let before = resident();

    let mut sockets = Vec::new();
    for number in 0..SOCKETS {
        sockets.push(open_socket(address, number % TURNS).await);
    }
    let http = reqwest::Client::new();
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let url = format!("http://{address}/api/v1/events/stream");
        let answer = http.get(url).bearer_auth(TOKEN).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        streams.push(answer);
    }
    println!("{SOCKETS} sockets and {STREAMS} streams are open: {} MiB, {before} MiB before", resident());

    let mut clients: JoinSet<(bool, Heard)> = JoinSet::new();
    // The first of each session says something, so that the answer begins once everybody listens.
    for (number, mut socket) in sockets.into_iter().enumerate() {
        if number >= SOCKETS - TURNS {
            socket.send(Message::text(json!({ "action": "chat", "message": "go" }).to_string())).await.unwrap();
        }
        clients.spawn(async move { (true, listen(begun, socket).await) });
    }
    for answer in streams {
        clients.spawn(async move { (false, follow(begun, answer, pieces).await) });
    }
    let (mut by_socket, mut by_stream) = (Vec::new(), Vec::new());
    let mut wrong = [0, 0];
    let mut peak = 0;
    while let Some(heard) = clients.join_next().await {
        let (is_socket, heard) = heard.unwrap();
        peak = peak.max(resident());
        wrong = [wrong[0] + heard.gaps, wrong[1] + heard.out_of_order];
        if is_socket { by_socket.extend(heard.times) } else { by_stream.extend(heard.times) }
    }
    print("WebSockets", by_socket);
    print("event streams", by_stream);
    println!("missed: {}, out of order: {}; memory afterwards {peak} MiB, clients included", wrong[0], wrong[1]);
    stop.cancel();
    server.join_next().await.unwrap().unwrap().unwrap();
}

async fn open_socket(address: SocketAddr, session: usize) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut socket, _) = client_async(format!("ws://{address}/ws?token={TOKEN}"), stream).await.unwrap();
    let switch = json!({ "action": "switch_session", "session_id": format!("websocket_live{session}") });
    socket.send(Message::text(switch.to_string())).await.unwrap();
    while !socket.next().await.unwrap().unwrap().to_text().unwrap_or_default().contains("session_history") {}
    socket
}

/// Hears one answer to its end.
async fn listen(begun: Instant, mut socket: WebSocketStream<TcpStream>) -> Heard {
    let mut heard = Heard::default();
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let message: Value = serde_json::from_str(&text).unwrap();
        match message["type"].as_str().unwrap() {
            "message" => heard.take(begun, "", message["content"].as_str().unwrap()),
            "stream_end" => break,
            _ => {}
        }
    }
    heard
}

/// Hears all answers to their end.
async fn follow(begun: Instant, answer: reqwest::Response, pieces: u64) -> Heard {
    let mut heard = Heard::default();
    let mut bytes = answer.bytes_stream();
    let mut buffer = String::new();
    let mut ended = 0;
    while ended < TURNS {
        let Some(Ok(piece)) = bytes.next().await else { break };
        buffer.push_str(&String::from_utf8_lossy(&piece));
        while let Some(end) = buffer.find("\n\n") {
            let frame: String = buffer.drain(..end + 2).collect();
            let Some(data) = frame.lines().find_map(|line| line.strip_prefix("data: ")) else { continue };
            let body: Value = serde_json::from_str(data).unwrap();
            match body["event"].as_str() {
                Some("message") => {
                    let turn = body["data"]["trace_id"].as_str().unwrap();
                    heard.take(begun, turn, body["data"]["content"].as_str().unwrap());
                }
                Some("agent_end") => ended += 1,
                _ => {}
            }
        }
    }
    heard.gaps += heard.next.values().map(|next| pieces - next).sum::<u64>();
    heard
}

fn print(who: &str, mut times: Vec<u128>) {
    times.sort_unstable();
    let at =
        |part: usize| times.get((times.len() * part / 1_000).min(times.len().saturating_sub(1))).map_or(0, |it| *it);
    let (p50, p99, most) = (at(500), at(990), at(1_000));
    println!("{who}: {} pieces; p50 {p50} µs, p99 {p99} µs, most {most} µs", times.len());
}

/// What Linux calls resident, in MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() / 1_024
}

fn app(writer: Arc<dyn AgentRunner>, tasks: &TaskTracker, stop: CancellationToken) -> App {
    let mcp = Arc::new(FakeMcp::default());
    let token = AccessToken::parse(&SecretString::from(TOKEN)).unwrap();
    let parts = Parts {
        stores: Stores::of(&Arc::new(InMemoryStorage::new())),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
        events: Arc::new(BroadcastEvents::default()),
        agents: Arc::new(FixedAgent::runner(writer)),
        timer: Arc::new(SystemTimer),
        master: MasterToken::configured(token),
        mcp_connector: Arc::clone(&mcp) as _,
        mcp_authorizer: mcp,
        tasks: tasks.clone(),
    };
    let hour = Duration::from_secs(3_600);
    let settings = Settings {
        limits: AgentLimits { max_concurrent: TURNS, queue_capacity: 100 },
        agent: AgentSettings::builtin(),
        public_url: "http://127.0.0.1".to_owned(),
        address: ([127, 0, 0, 1], 80).into(),
        policy: Policy { url_tokens: true, ..Policy::default() },
        rate_limits: RateLimits { api: None, auth: None, ws: None, key: None },
        session_ttl: SessionTtl::from_hours(24).unwrap(),
        mcp_budgets: Budgets { start: hour, handshake: hour },
        mcp_test_budgets: Budgets { start: hour, handshake: hour },
        status_key: None,
    };
    App::build(settings, parts, stop)
}
