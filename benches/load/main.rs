//! Loads the running server over HTTP: `cargo bench --bench load -- [OPTIONS]`. `benches/README.md` says what each number
//! means.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run should stop")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "shares and percentiles need not be exact"
)]

mod client;
#[path = "../support/dataset.rs"]
mod dataset;
mod generator;
#[path = "../../tests/it/support/postgres.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod postgres;
mod server;
#[path = "../support/text.rs"]
mod text;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Parser;
use dataset::Size;
use generator::{Load, Outcome};
use hmac::{Hmac, KeyInit, Mac};
use pawport::adapters::host::SystemClock;
use pawport::ports::clock::Clock;
use postgres::{Cluster, Database};
use server::{Place, Server};
use sha2::Sha256;
use std::fmt::Write as _;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How often the start is measured.
const STARTS: usize = 10;
/// How long an idle server is left alone before its memory is looked at again.
const IDLE: Duration = Duration::from_secs(10);
/// How long the server may take to answer what it has accepted.
const PATIENCE: Duration = Duration::from_secs(600);
/// How many deliveries a second come in while reads are measured.
const BESIDE_READS: u32 = 500;

/// Loads the running server over HTTP and prints what came of it.
#[derive(Parser)]
struct Options {
    /// How many sessions the database has; 0 for an empty one
    #[arg(long, default_value_t = Size::FULL.sessions)]
    sessions: u64,
    /// How many messages all sessions have together
    #[arg(long, default_value_t = Size::FULL.messages)]
    messages: u64,
    /// How long each load lasts
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How many connections send at the same time; unless given, 1 and 8 for reads and 128 for deliveries
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: Option<u32>,
    /// How many deliveries may wait for an answer; the server's own default unless given
    #[arg(long, default_value_t = 10_000)]
    queue_capacity: u64,
    /// Keep the data on a private PostgreSQL server, started from the installed programs, instead of in SQLite
    #[arg(long)]
    postgres: bool,
    /// Only loads whose name has one of these words
    words: Vec<String>,
    /// What `cargo bench` says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| name.contains(word.as_str()))
    }
}

fn main() {
    let options = Options::parse();
    if !options.bench {
        say("nothing to test here; run it as: cargo bench --bench load\n");
        return;
    }
    let data_dir = if options.sessions == 0 {
        // As a data directory must be.
        let private = Permissions::from_mode(0o700);
        tempfile::Builder::new().permissions(private).tempdir_in(dataset::folder()).unwrap()
    } else {
        dataset::copy(Size { sessions: options.sessions, messages: options.messages.max(options.sessions) })
    };
    // One thread, so that the server has the other core to itself.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cluster = options.postgres.then(|| Cluster::start("durable"));
    let database = cluster.as_ref().map(Cluster::database);
    if let Some(database) = &database
        && options.sessions > 0
    {
        server::move_data(data_dir.path(), database.url());
    }
    let place = Place { data_dir: data_dir.path(), database_url: database.as_ref().map(Database::url) };
    runtime.block_on(measure(&options, place));
}

async fn measure(options: &Options, place: Place<'_>) {
    let storage = if options.postgres { "PostgreSQL" } else { "SQLite" };
    say(&format!("{storage}, {} sessions, {} messages\n\n", options.sessions, options.messages));
    say(&format!("binary               {:8.1} MB\n", server::binary_size() as f64 / 1e6));
    if options.wants("start") {
        starts(options, place);
    }
    let server = Server::start(place, options.queue_capacity);
    memory(&server, "after start");
    if options.wants("memory") {
        sleep(IDLE).await;
        memory(&server, "idle for 10 s");
    }
    say(&format!(
        "\n{:<44} {:>6} {:>10} {:>8} {:>8} {:>8}  {}\n",
        "load", "conns", "answers/s", "p50 ms", "p99 ms", "max ms", "not 200"
    ));
    reads(options, &server).await;
    deliveries(options, &server).await;
    say("\n");
    memory(&server, "after the load");
    if options.wants("memory") {
        sleep(IDLE).await;
        memory(&server, "idle for 10 s again");
    }
    server.stop();
}

fn starts(options: &Options, place: Place<'_>) {
    // The first start makes the keys, once and for all.
    Server::start(place, options.queue_capacity).stop();
    let mut times: Vec<Duration> = (0..STARTS)
        .map(|_| {
            let server = Server::start(place, options.queue_capacity);
            let time = server.ready_after;
            server.stop();
            time
        })
        .collect();
    times.sort_unstable();
    let millis = |at: usize| times[at].as_secs_f64() * 1_000.0;
    say(&format!(
        "ready after start    {:8.1} ms least, {:.1} ms median, {:.1} ms most of {STARTS}\n",
        millis(0),
        millis(STARTS / 2),
        millis(STARTS - 1)
    ));
}

fn memory(server: &Server, when: &str) {
    let status = server.status();
    let megabytes = |name: &str| status.get(name).copied().unwrap_or(0) as f64 * 1024.0 / 1e6;
    say(&format!(
        "memory {when:<20} {:6.1} MB resident ({:.1} MB its own, {:.1} MB of files), {:.1} MB at most; {} threads\n",
        megabytes("VmRSS"),
        megabytes("RssAnon"),
        megabytes("RssFile"),
        megabytes("VmHWM"),
        status.get("Threads").copied().unwrap_or(0)
    ));
}

async fn run(options: &Options, server: &Server, loads: Vec<Load>) -> u64 {
    if !loads.iter().any(|load| options.wants(&load.name)) {
        return 0;
    }
    let outcomes = generator::run(server.address, &loads, Duration::from_secs(options.seconds)).await;
    for (load, outcome) in loads.iter().zip(&outcomes) {
        print(load, outcome);
    }
    outcomes
        .iter()
        .zip(&loads)
        .filter(|(_, load)| load.name.contains("webhook"))
        .map(|(outcome, _)| outcome.all_good)
        .sum()
}

fn print(load: &Load, outcome: &Outcome) {
    let mut others = String::new();
    for (status, count) in &outcome.others {
        let _ = write!(others, "{count}×{status} ");
    }
    if outcome.broken > 0 {
        let _ = write!(others, "{} broken connections", outcome.broken);
    }
    say(&format!(
        "{:<44} {:>6} {:>10.0} {:>8.2} {:>8.2} {:>8.2}  {others}\n",
        load.name,
        load.connections,
        outcome.per_second(),
        outcome.within(0.5),
        outcome.within(0.99),
        outcome.within(1.0)
    ));
}

fn read_loads(options: &Options, server: &Server, connections: u32) -> Vec<Load> {
    let connections = options.connections.unwrap_or(connections);
    let search = |what: &str, word: &str| {
        let request = server.get(&format!("/api/sessions/search?q={word}"));
        Load::of(&format!("search, {what}"), connections, &request)
    };
    vec![
        Load::of("list 50", connections, &server.get("/api/sessions?limit=50")),
        search("a common word", text::COMMON),
        search("a rare word", text::RARE),
        search("a word in 1 of 1,000", text::SELDOM),
        search("a word that is in nothing", text::NOWHERE),
        search("two letters that are in nothing", text::TWO_NOWHERE),
    ]
}

async fn reads(options: &Options, server: &Server) {
    let connections: &[u32] = if options.connections.is_some() { &[0] } else { &[1, 8] };
    for connections in connections {
        for load in read_loads(options, server, *connections) {
            run(options, server, vec![load]).await;
        }
    }
}

/// A slot each for the ways of proof, and requests to it.
async fn delivery_loads(options: &Options, server: &Server) -> Vec<Load> {
    let connections = options.connections.unwrap_or(128);
    let body = serde_json::json!({
        "content": "The deployment of the billing service failed twice this morning: the health check timed out after 30 \
            seconds, and the second attempt was stopped by hand. Please find out what changed since yesterday.",
        "sender": "load",
        "metadata": { "environment": "production", "service": "billing", "attempt": 2 },
    })
    .to_string();

    let secret = server.add_webhook("by-secret", "any").await;
    let request = server.post("/webhook/inbound/by-secret", &format!("x-webhook-secret: {secret}\r\n"), &body);
    let by_secret = Load::of("webhook, secret in a header", connections, &request);

    let secret = server.add_webhook("by-hex", "any").await;
    let signature = hex::encode(hmac_of(secret.as_bytes(), &[body.as_bytes()]));
    let header = format!("x-webhook-signature: sha256={signature}\r\n");
    let request = server.post("/webhook/inbound/by-hex", &header, &body);
    let by_hex = Load::of("webhook, hexadecimal signature", connections, &request);

    let secret = server.add_webhook("by-standard", "standard").await;
    let key = STANDARD.decode(secret.trim_start_matches("whsec_")).unwrap();
    let address = server.address;
    let requests = move |connection: u32| -> generator::NextRequest {
        let (key, body) = (key.clone(), body.clone());
        let mut number = 0_u64;
        Box::new(move |buffer| {
            number += 1;
            let id = format!("msg_{connection}_{number}");
            let timestamp = (SystemClock.now().0 / 1_000).to_string();
            let parts = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body.as_bytes()];
            let signature = STANDARD.encode(hmac_of(&key, &parts));
            let length = body.len();
            // Writing into memory cannot fail.
            let _ = write!(
                buffer,
                "POST /webhook/inbound/by-standard HTTP/1.1\r\nhost: {address}\r\ncontent-length: {length}\r\n\
                 webhook-id: {id}\r\nwebhook-timestamp: {timestamp}\r\nwebhook-signature: v1,{signature}\r\n\r\n{body}"
            );
        })
    };
    let name = "webhook, standard signature and id".to_owned();
    let by_standard = Load { name, connections, rate: None, requests: Box::new(requests) };
    vec![by_secret, by_hex, by_standard]
}

fn hmac_of(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

async fn deliveries(options: &Options, server: &Server) {
    let mut loads = delivery_loads(options, server).await;
    let beside = loads.swap_remove(0);
    let again = delivery_of(&beside);
    let mut all: Vec<Vec<Load>> = vec![vec![again]];
    all.extend(loads.into_iter().map(|load| vec![load]));
    // What a user at the dashboard notices while deliveries come in.
    let reads = read_loads(options, server, 4).into_iter().take(3);
    let mut mixed: Vec<Load> = reads.map(|load| Load { connections: 1, ..load }.at_rate(20)).collect();
    mixed.push(beside.at_rate(BESIDE_READS));
    for load in &mut mixed {
        let rate = load.rate.unwrap_or_default();
        let _ = write!(load.name, ", {rate} a second");
    }
    all.push(mixed);
    for loads in all {
        let before = server.sessions().await.0;
        let began = Instant::now();
        let accepted = run(options, server, loads).await;
        if accepted > 0 {
            drained(server, before + accepted, accepted, began).await;
        }
    }
}

fn delivery_of(load: &Load) -> Load {
    let mut request = Vec::new();
    (load.requests)(0)(&mut request);
    Load::of(&load.name, load.connections, &request)
}

/// Waits until all deliveries are answered, and says how long that took.
async fn drained(server: &Server, expected: u64, accepted: u64, began: Instant) {
    let ended = Instant::now();
    let (mut sessions, mut unanswered) = server.sessions().await;
    let waiting = expected.saturating_sub(sessions);
    while sessions < expected || unanswered > 0 {
        assert!(ended.elapsed() < PATIENCE, "{} deliveries are not answered", expected - sessions);
        sleep(Duration::from_millis(50)).await;
        (sessions, unanswered) = server.sessions().await;
    }
    say(&format!(
        "  {accepted} accepted, {waiting} of them waiting at the end; all answered {:.1} s later ({:.0} a second)\n",
        ended.elapsed().as_secs_f64(),
        accepted as f64 / began.elapsed().as_secs_f64()
    ));
}

/// Writes to standard output at once: whoever runs this watches it.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
