//! The tunnel of the real program, with a stand-in for cloudflared: see `tests/tunnel/cloudflared.py`.

mod cli;
mod endings;
mod faults;
mod trust;

use super::binary::{PATIENCE, Place, Program, Server};
use super::client::{Answer, Client, Stream, eventually};
use crate::support::cloudflared::{HOST, StandIn, up};
use crate::support::scan;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A place with a stand-in.
struct Lab {
    place: Place,
    stand_in: StandIn,
}

/// A running server, and its owner.
struct Paw {
    server: Server,
    client: Client,
}

impl Lab {
    fn new(runs: &[Value]) -> Self {
        Self { place: Place::new(), stand_in: StandIn::new(runs) }
    }

    /// A program that finds the stand-in.
    fn program(&self, arguments: &[&str]) -> Program {
        self.place.program_with_data(arguments).env("PAWPORT_CLOUDFLARED", self.stand_in.program())
    }

    fn serve(&self, flags: &[&str]) -> Paw {
        self.started(self.program(&[&["serve", "--port", "0"], flags].concat()))
    }

    /// A server that trusts this machine, as it does unless it is told otherwise.
    fn trusting(&self) -> Paw {
        let program = self.program(&["serve", "--port", "0"]);
        self.started(program.without_env("PAWPORT_LOCALHOST_AUTH_BYPASS"))
    }

    fn started(&self, program: Program) -> Paw {
        let server = program.start();
        let client = server.client(&self.place);
        Paw { server, client }
    }
}

impl Paw {
    async fn post(&self, path: &str) -> Value {
        // The answer may take as long as a tunnel does.
        let request = self.client.request(Method::POST, path).timeout(PATIENCE + PATIENCE);
        Answer::of(request.send().await.unwrap()).await.unwrap().json()
    }

    async fn start(&self) -> Value {
        self.post("/api/remote/start").await
    }

    async fn stop(&self) -> Value {
        self.post("/api/remote/stop").await
    }

    async fn status(&self) -> Value {
        self.client.get("/api/v1/remote/status").await.json()
    }

    /// Waits until the tunnel is in that state, for so long at most.
    async fn within(&self, patience: Duration, state: &str) -> Value {
        let began = Instant::now();
        loop {
            let status = self.status().await;
            if status["state"] == state {
                return status;
            }
            assert!(began.elapsed() < patience, "it does not become {state}: {status}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn until(&self, state: &str) -> Value {
        self.within(PATIENCE, state).await
    }

    /// The address that a phone is shown.
    async fn picture(&self) -> String {
        let answer = self.client.get("/api/qr").await;
        let address = scan::picture(&answer.bytes);
        address.split_once("/?token=").unwrap().0.to_owned()
    }

    async fn events(&self) -> Stream {
        let mut stream = Stream::open(self.client.request(Method::GET, "/api/v1/events/stream")).await;
        assert_eq!(stream.next().await.unwrap().name, "connected");
        stream
    }
}

fn url() -> String {
    format!("https://{HOST}")
}
