//! What many MCP servers cost at the start: 25 that work and 25 that do not.
//!
//! `cargo bench --bench mcp` starts the program again and again with the same 50 servers, and prints how long it takes from
//! the start of the process to its line `listening on`, until all that work are connected, and how long
//! `GET /api/v1/mcp/status` takes meanwhile and afterwards. A number after `--` says how many times. Needs Python 3.8.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run should stop")]
#![expect(clippy::disallowed_methods, reason = "the program under test is a child process")]
#![expect(clippy::print_stdout, reason = "the numbers go to whoever runs it")]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::fmt;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TOKEN: &str = "the-mcp-benchmark-knows-this-token-and-nobody-else-uses-it";
const EACH: usize = 25;
const QUESTIONS: usize = 1_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let times = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(5);
    runtime.block_on(measure(times));
}

async fn measure(times: usize) {
    let place = tempfile::tempdir().unwrap();
    let empty = start_and_stop(place.path(), times);
    println!("no servers:           listening after {empty}");

    let server = Server::start(place.path());
    // Taken and never accepted from, so that whoever connects waits.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for number in 0..EACH {
        let name = format!("broken-{number}");
        let settings = match number % 6 {
            0 => json!({ "name": name, "command": "no-such-program" }),
            1 => odd(&name, &["exit"]),
            2 => odd(&name, &["hang-initialize"]),
            3 => odd(&name, &["not-mcp"]),
            4 => json!({ "name": name, "transport": "http", "url": format!("http://{nobody}/mcp") }),
            _ => {
                json!({ "name": name, "transport": "http", "url": format!("http://{}/mcp", silent.local_addr().unwrap()) })
            }
        };
        server.post("/mcp/add", &settings).await;
        server.post("/mcp/add", &odd(&format!("good-{number}"), &["good"])).await;
    }
    server.stop();
    let many = start_and_stop(place.path(), times);
    println!("{EACH} good, {EACH} broken:  listening after {many}");

    let (mut connected, mut meanwhile) = (Times::default(), Times::default());
    let mut server = Server::start(place.path());
    for _ in 0..times {
        server.stop();
        server = Server::start(place.path());
        loop {
            let asked = Instant::now();
            let statuses = server.statuses().await;
            meanwhile.add(asked.elapsed());
            let statuses = statuses.as_object().unwrap();
            if statuses.values().filter(|status| status["connected"] == true).count() == EACH {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        connected.add(server.began.elapsed());
    }
    println!("all good connected:   after {connected}");
    println!("status meanwhile:     {meanwhile}");
    let mut afterwards = Times::default();
    for _ in 0..QUESTIONS {
        let asked = Instant::now();
        server.statuses().await;
        afterwards.add(asked.elapsed());
    }
    println!("status afterwards:    {afterwards}");
    let stopping = Instant::now();
    server.stop();
    println!("end of all:           {:.0?}", stopping.elapsed());
}

fn start_and_stop(place: &Path, times: usize) -> Times {
    let mut ready = Times::default();
    for _ in 0..times {
        let server = Server::start(place);
        ready.add(server.ready_after);
        server.stop();
    }
    ready
}

/// The settings of `tests/servers/odd.py`.
fn odd(name: &str, mode: &[&str]) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/odd.py");
    let arguments = [&["-I", "-S", script], mode].concat();
    json!({ "name": name, "command": "python3", "args": arguments })
}

/// How long things took.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn add(&mut self, took: Duration) {
        self.0.push(took);
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let within = |percent: usize| sorted[(sorted.len() - 1) * percent / 100];
        write!(f, "{:.1?} (p50), ", within(50))?;
        if sorted.len() >= 100 {
            write!(f, "{:.1?} (p99), ", within(99))?;
        }
        write!(f, "{:.1?} at most, of {}", within(100), sorted.len())
    }
}

/// A running server. Ends when it is dropped.
struct Server {
    process: Child,
    base: String,
    client: Client,
    began: Instant,
    ready_after: Duration,
}

impl Server {
    fn start(place: &Path) -> Self {
        let began = Instant::now();
        let mut process = Command::new(env!("CARGO_BIN_EXE_pawport"))
            .args(["serve", "--port", "0", "--log", "off", "--data-dir"])
            .arg(place.join("data"))
            .env("PAWPORT_ACCESS_TOKEN", TOKEN)
            // Limits that are counted and not reached.
            .env("PAWPORT_RATE_LIMIT_API", "100000/100000")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready_after = began.elapsed();
        let base = line.trim().strip_prefix("listening on ").map(|url| format!("{url}/api/v1"));
        let base = base.unwrap_or_else(|| panic!("the server says {line:?} and no address"));
        let client = Client::builder().no_proxy().build().unwrap();
        Self { process, base, client, began, ready_after }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let request = self.client.request(method, format!("{}{path}", self.base)).bearer_auth(TOKEN);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }

    async fn post(&self, path: &str, body: &Value) {
        self.ask(Method::POST, path, Some(body)).await;
    }

    async fn statuses(&self) -> Value {
        self.ask(Method::GET, "/mcp/status", None).await
    }

    fn stop(mut self) {
        kill(Pid::from_raw(self.process.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        let status = self.process.wait().unwrap();
        assert!(status.success(), "the server ended with {status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that was stopped is gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
