//! cloudflared as the program starts, watches and ends it: with a stand-in that behaves as it is told, and where there is a
//! real one, with that.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod cycles;
mod endings;
mod openings;
mod program;
mod watching;

use crate::support::cloudflared::{HOST, Run, StandIn, up};
use crate::support::soon;
use pawport::adapters::cloudflared::{Cloudflared, Kind, Pace};
use pawport::adapters::process::Processes;
use pawport::domain::output::Tail;
use pawport::domain::tunnel::{OpenError, PublicUrl};
use pawport::ports::tunnel::{OpenTunnel, TunnelNews, TunnelProvider};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

/// Generous where something has to come about, and quick where it has not.
const PACE: Pace =
    Pace { opening: Duration::from_secs(20), silence: Duration::from_millis(300), probes: Duration::from_millis(50) };

const TOKEN: &str = "eyJhIjoiYWNjb3VudCIsInQiOiJ0dW5uZWwiLCJzIjoic2VjcmV0In0";

const NAME: &str = "paw.example.org";

/// Where the server of the test would be.
const TARGET: &str = "127.0.0.1:8123";

/// A stand-in, and what starts it.
struct Lab {
    stand_in: StandIn,
    processes: Processes,
    tail: Arc<Tail>,
    tasks: TaskTracker,
    ledger: TempDir,
}

impl Lab {
    fn new(runs: &[Value]) -> Self {
        let ledger = tempfile::tempdir().unwrap();
        let path = ("PATH".to_owned(), search_path());
        let processes = Processes::new(ledger.path().join("children"), vec![path]).unwrap();
        Self { stand_in: StandIn::new(runs), processes, tail: Arc::default(), tasks: TaskTracker::new(), ledger }
    }

    fn provider(&self, kind: Kind, pace: Pace) -> Cloudflared {
        let target: SocketAddr = TARGET.parse().unwrap();
        let program = Some(self.stand_in.program());
        Cloudflared::new(self.processes.clone(), program, None, kind, target, pace, self.tasks.clone()).unwrap()
    }

    async fn start_kind(&mut self, kind: Kind, pace: Pace) -> Box<dyn OpenTunnel> {
        let provider = self.provider(kind, pace);
        self.tail = Arc::new(Tail::new(provider.masks()));
        provider.start(Arc::clone(&self.tail)).await.unwrap()
    }

    async fn start_at(&mut self, pace: Pace) -> Box<dyn OpenTunnel> {
        self.start_kind(Kind::Quick, pace).await
    }

    async fn start(&mut self) -> Box<dyn OpenTunnel> {
        self.start_at(PACE).await
    }

    /// A tunnel that is up.
    async fn open(&mut self) -> Box<dyn OpenTunnel> {
        let mut tunnel = self.start().await;
        assert_eq!(soon(tunnel.public()).await.unwrap().host(), HOST);
        tunnel
    }

    /// Why there is none.
    async fn failure(&mut self) -> OpenError {
        let mut tunnel = self.start().await;
        let error = soon(tunnel.public()).await.unwrap_err();
        tunnel.close().await;
        error
    }

    fn run(&self) -> Run {
        self.stand_in.runs().pop().unwrap()
    }

    /// Fails unless nothing of it is alive, now, and nothing is left of ours that served it.
    #[track_caller]
    fn assert_nothing_left(&self) {
        assert_eq!(self.stand_in.alive(), [0; 0]);
        assert_eq!(self.ledger.path().join("children").read_dir().unwrap().count(), 0, "an entry of the ledger");
    }
}

#[expect(clippy::disallowed_methods, reason = "programs are looked for where the tests' own are")]
fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap()
}

fn named() -> Kind {
    Kind::Named { token: SecretString::from(TOKEN), url: PublicUrl::of_host(NAME).unwrap() }
}

/// Waits until it is so.
async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(20), "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
