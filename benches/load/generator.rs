//! Load: many connections, each with one request at a time, for a while; and what came of it.

use super::client::{Connection, Head};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

/// How long is loaded before it counts.
const WARM_UP: Duration = Duration::from_secs(1);

/// Makes the next request of one connection.
pub type NextRequest = Box<dyn FnMut(&mut Vec<u8>) + Send>;

/// One kind of load.
pub struct Load {
    pub name: String,
    pub connections: u32,
    /// How many requests a second all connections send together; `None` for as many as are answered.
    pub rate: Option<u32>,
    /// Called once for each connection, with its number.
    pub requests: Box<dyn Fn(u32) -> NextRequest>,
}

impl Load {
    /// As many as are answered of always the same request.
    pub fn of(name: &str, connections: u32, request: &[u8]) -> Self {
        let request = request.to_vec();
        Self {
            name: name.to_owned(),
            connections,
            rate: None,
            requests: Box::new(move |_| {
                let request = request.clone();
                Box::new(move |buffer| buffer.extend_from_slice(&request))
            }),
        }
    }

    pub fn at_rate(self, rate: u32) -> Self {
        Self { rate: Some(rate), ..self }
    }
}

/// What came of a load.
#[derive(Default)]
pub struct Outcome {
    /// Of the answers with status 200, in microseconds, sorted.
    latencies: Vec<u32>,
    /// How many answers had another status.
    pub others: BTreeMap<u16, u64>,
    /// How many connections broke.
    pub broken: u64,
    /// How many answers had status 200 since the very beginning, warm-up included.
    pub all_good: u64,
    seconds: f64,
}

impl Outcome {
    pub fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.seconds
    }

    /// The time within which `share` of all answers came, in milliseconds.
    pub fn within(&self, share: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.latencies.get(at).map_or(0.0, |micros| f64::from(*micros) / 1_000.0)
    }

    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        for (status, count) in other.others {
            *self.others.entry(status).or_default() += count;
        }
        self.broken += other.broken;
        self.all_good += other.all_good;
    }
}

/// Puts all of `loads` on a server at the same time. Gives what came of each.
pub async fn run(address: SocketAddr, loads: &[Load], duration: Duration) -> Vec<Outcome> {
    let begin = Instant::now();
    let mut connections = JoinSet::new();
    for (at, load) in loads.iter().enumerate() {
        for number in 0..load.connections {
            let schedule = Schedule {
                counts_from: begin + WARM_UP,
                until: begin + WARM_UP + duration,
                every: load.rate.map(|rate| Duration::from_secs(1) * load.connections / rate),
                // Spread evenly, so that they do not all come at the same moment.
                first: begin + load.rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) * number / rate),
            };
            let requests = (load.requests)(number);
            connections.spawn(async move { (at, one_connection(address, requests, schedule).await) });
        }
    }
    let mut outcomes: Vec<Outcome> = loads.iter().map(|_| Outcome::default()).collect();
    while let Some(done) = connections.join_next().await {
        let (at, outcome) = done.unwrap();
        outcomes[at].add(outcome);
    }
    for outcome in &mut outcomes {
        outcome.seconds = duration.as_secs_f64();
        outcome.latencies.sort_unstable();
    }
    outcomes
}

struct Schedule {
    counts_from: Instant,
    until: Instant,
    first: Instant,
    every: Option<Duration>,
}

async fn one_connection(address: SocketAddr, mut requests: NextRequest, schedule: Schedule) -> Outcome {
    let mut outcome = Outcome::default();
    let Ok(mut connection) = Connection::open(address).await else {
        outcome.broken += 1;
        return outcome;
    };
    let (mut request, mut next) = (Vec::new(), schedule.first);
    loop {
        let mut began = Instant::now();
        if let Some(every) = schedule.every {
            if next > began {
                sleep_until(next.into()).await;
                began = Instant::now();
            } else {
                // Sent late because the one before took long; whoever wanted to send it then has waited since then.
                began = next;
            }
            next += every;
        }
        if began >= schedule.until {
            return outcome;
        }
        request.clear();
        requests(&mut request);
        match connection.exchange(&request).await {
            Ok(Head { status: 200, .. }) => {
                outcome.all_good += 1;
                if began >= schedule.counts_from {
                    outcome.latencies.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
                }
            }
            Ok(head) => {
                *outcome.others.entry(head.status).or_default() += 1;
                if let Some(seconds) = head.retry_after {
                    let left = schedule.until.saturating_duration_since(Instant::now());
                    sleep(Duration::from_secs(seconds).min(left)).await;
                }
            }
            Err(_) => {
                outcome.broken += 1;
                match Connection::open(address).await {
                    Ok(another) => connection = another,
                    Err(_) => return outcome,
                }
            }
        }
    }
}
