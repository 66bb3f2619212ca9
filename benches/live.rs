//! What it costs to tell many: 200 WebSockets and 500 event streams hear five answers at once.
//!
//! `cargo bench --bench live` serves the app on a port, with an agent that writes 2,000 pieces into each answer, 16 a second;
//! a number after `--` is another rate, a second one another number of pieces. The clients are another process on the same
//! machine. Every piece says when it was written. Prints how long the pieces take to the clients, how many were missed, and
//! how much memory the server takes.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run should stop")]
#![expect(clippy::print_stdout, reason = "the numbers go to whoever runs it")]

use async_trait::async_trait;
use futures_util::{SinkExt, StreamExt};
use pawport::adapters::events::BroadcastEvents;
use pawport::adapters::fake::{FakeMcp, FakeTunnels, FixedAgent, WordEmbedders};
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
use serde::Deserialize;
use serde_json::json;
use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
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
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let [role, address, pieces] = &arguments[..]
        && role == "clients"
    {
        return runtime.block_on(hear(address.parse().unwrap(), pieces.parse().unwrap()));
    }
    let numbers: Vec<u64> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let (rate, pieces) = (numbers.first().copied().unwrap_or(16), numbers.get(1).copied().unwrap_or(2_000));
    runtime.block_on(serve(rate, pieces));
}

#[expect(clippy::disallowed_methods, reason = "the one clock that two processes share")]
/// Microseconds, by a clock that both processes read.
fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

/// Writes pieces at a steady rate, each with its number and its time.
struct Writer {
    pause: Duration,
    pieces: u64,
    turns: AtomicU32,
}

#[async_trait]
impl AgentRunner for Writer {
    fn name(&self) -> &'static str {
        "writer"
    }

    async fn run(&self, _request: AgentRequest<'_>, io: &dyn AgentIo) -> Result<(), AgentError> {
        // Models do not write in step.
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(self.pause * turn / u32::try_from(TURNS).unwrap()).await;
        let mut often = tokio::time::interval(self.pause);
        for number in 0..self.pieces {
            often.tick().await;
            io.emit(AgentEvent::Text(format!("#{number} {} ", now())));
        }
        Ok(())
    }
}

/// What clients heard.
#[derive(Default)]
struct Heard {
    /// From writing to hearing, in microseconds.
    times: Vec<u32>,
    /// The number of the next piece, by turn.
    next: HashMap<String, u64>,
    gaps: u64,
    out_of_order: u64,
}

impl Heard {
    fn take(&mut self, turn: &str, text: &str) {
        let mut words = text.split_whitespace();
        let number: u64 = words.next().unwrap().trim_start_matches('#').parse().unwrap();
        let at: u64 = words.next().unwrap().parse().unwrap();
        self.times.push(u32::try_from(now().saturating_sub(at)).unwrap());
        let next = match self.next.get_mut(turn) {
            Some(next) => next,
            None => self.next.entry(turn.to_owned()).or_default(),
        };
        if number < *next {
            self.out_of_order += 1;
        }
        self.gaps += number.saturating_sub(*next);
        *next = number + 1;
    }

    /// What was missed at the end of answers of that length is missed, too.
    fn end(mut self, turns: usize, pieces: u64) -> Self {
        let heard: u64 = self.next.values().sum();
        self.gaps += turns as u64 * pieces - heard;
        self
    }
}

/// The server, and the clients as another process.
async fn serve(rate: u64, pieces: u64) {
    let pause = Duration::from_secs(1) / u32::try_from(rate).unwrap();
    let writer = Writer { pause, pieces, turns: AtomicU32::new(0) };
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let app = app(Arc::new(writer), &tasks, stop.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(run(app, listener, tasks, Shutdown::default(), Duration::from_secs(10)));
    println!("{rate} pieces a second in each of {TURNS} answers; the server takes {} MiB", resident());

    let mut clients = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["clients", &address.to_string(), &pieces.to_string()])
        .spawn()
        .unwrap();
    let mut often = tokio::time::interval(Duration::from_secs(10));
    let ended = loop {
        tokio::select! {
            ended = clients.wait() => break ended.unwrap(),
            _ = often.tick() => println!("  {} MiB", resident()),
        }
    };
    assert!(ended.success(), "the clients failed");
    println!("the server takes {} MiB", resident());
    stop.cancel();
    server.join_next().await.unwrap().unwrap().unwrap();
}

/// The clients.
async fn hear(address: SocketAddr, pieces: u64) {
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
    println!("{SOCKETS} sockets and {STREAMS} streams are open");

    let mut clients: JoinSet<(bool, Heard)> = JoinSet::new();
    // The first of each session says something, so that the answer begins once everybody listens.
    for (number, mut socket) in sockets.into_iter().enumerate() {
        if number >= SOCKETS - TURNS {
            socket.send(Message::text(json!({ "action": "chat", "message": "go" }).to_string())).await.unwrap();
        }
        clients.spawn(async move { (true, listen(socket).await.end(1, pieces)) });
    }
    for answer in streams {
        clients.spawn(async move { (false, follow(answer).await.end(TURNS, pieces)) });
    }
    let (mut by_socket, mut by_stream) = (Vec::new(), Vec::new());
    let mut wrong = [0, 0];
    while let Some(heard) = clients.join_next().await {
        let (is_socket, heard) = heard.unwrap();
        wrong = [wrong[0] + heard.gaps, wrong[1] + heard.out_of_order];
        if is_socket { by_socket.extend(heard.times) } else { by_stream.extend(heard.times) }
    }
    print("WebSockets", by_socket);
    print("event streams", by_stream);
    println!("missed: {}, out of order: {}", wrong[0], wrong[1]);
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
async fn listen(mut socket: WebSocketStream<TcpStream>) -> Heard {
    #[derive(Deserialize)]
    struct Heading<'a> {
        r#type: &'a str,
        #[serde(borrow)]
        content: Option<Cow<'a, str>>,
    }
    let mut heard = Heard::default();
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let message: Heading<'_> = serde_json::from_str(&text).unwrap();
        match (message.r#type, message.content) {
            ("message", Some(text)) => heard.take("", &text),
            ("stream_end", _) => break,
            _ => {}
        }
    }
    heard
}

/// Hears all answers to their end.
async fn follow(answer: reqwest::Response) -> Heard {
    #[derive(Deserialize)]
    struct Told<'a> {
        /// Not in the first, which says that the stream is open.
        #[serde(default)]
        event: &'a str,
        #[serde(borrow, default)]
        data: Piece<'a>,
    }
    #[derive(Default, Deserialize)]
    struct Piece<'a> {
        trace_id: Option<&'a str>,
        #[serde(borrow)]
        content: Option<Cow<'a, str>>,
    }
    let mut heard = Heard::default();
    let mut bytes = answer.bytes_stream();
    let mut buffer = String::new();
    let mut ended = 0;
    while ended < TURNS {
        let Some(Ok(piece)) = bytes.next().await else { break };
        buffer.push_str(&String::from_utf8_lossy(&piece));
        while let Some(end) = buffer.find("\n\n") {
            if let Some(data) = buffer[..end].lines().find_map(|line| line.strip_prefix("data: ")) {
                let told: Told<'_> = serde_json::from_str(data).unwrap();
                match told.event {
                    "message" => heard.take(told.data.trace_id.unwrap(), &told.data.content.unwrap()),
                    "agent_end" => ended += 1,
                    _ => {}
                }
            }
            buffer.drain(..end + 2);
        }
    }
    heard
}

fn print(who: &str, mut times: Vec<u32>) {
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
        embedders: Arc::new(WordEmbedders::default()),
        timer: Arc::new(SystemTimer),
        master: MasterToken::configured(token),
        mcp_connector: Arc::clone(&mcp) as _,
        mcp_authorizer: mcp,
        tunnels: Arc::new(FakeTunnels::default()),
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
