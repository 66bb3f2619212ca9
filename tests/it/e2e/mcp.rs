//! MCP servers as the program starts, reaches and ends them: real servers, processes and sockets.

#[cfg(target_os = "linux")]
mod children;
mod cli;
mod faults;
mod many;
mod real;
mod sign_in;

use super::binary::{PATIENCE, Place, Program, Server};
use super::client::{Answer, Client, eventually};
use crate::support::mcp_servers;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The variable by which the processes of a test are found.
const MARK: &str = "PAWPORT_TEST_MARK";

/// Far more than an end needs that nobody refuses.
const SOON: Duration = Duration::from_secs(5);

/// A place for servers, with a mark for the programs that they start.
struct Lab {
    place: Place,
    mark: String,
}

impl Lab {
    /// `None` if there are no MCP servers to test with.
    fn new() -> Option<Self> {
        static LABS: AtomicU32 = AtomicU32::new(0);
        // Of one length whatever the id, since short values of a name that says nothing are no secrets.
        let mark = || format!("mark-{:010}-{}", std::process::id(), LABS.fetch_add(1, Ordering::Relaxed));
        mcp_servers::available().then(|| Self { place: Place::new(), mark: mark() })
    }

    /// The settings of a server that is a program.
    fn program(&self, name: &str, (command, arguments): (String, Vec<String>)) -> Value {
        json!({ "name": name, "command": command, "args": arguments, "env": { MARK: self.mark } })
    }

    /// The settings of the one that misbehaves: see `tests/servers/odd.py`.
    fn odd(&self, name: &str, mode: &[&str]) -> Value {
        self.program(name, mcp_servers::odd(mode))
    }

    fn serve(&self, flags: &[&str]) -> Paw {
        Paw::of(&self.place, self.place.serve(flags))
    }

    /// The ids of living processes with the mark.
    fn alive(&self) -> Vec<u32> {
        let mark = format!("{MARK}={}\0", self.mark);
        let has_mark = |pid: &u32| {
            std::fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environment| environment.windows(mark.len()).any(|part| part == mark.as_bytes()))
        };
        processes().map(|process| process.0).filter(has_mark).collect()
    }
}

/// Living processes, each with its group. Those that have ended, and whose parents did not notice, are left out.
fn processes() -> impl Iterator<Item = (u32, u32)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(|pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Behind the name, which may hold anything: state, parent, group.
        let mut fields = stat.rsplit(") ").next()?.split(' ');
        let (state, group) = (fields.next()?, fields.nth(1)?.parse().ok()?);
        (!matches!(state, "Z" | "X")).then_some((pid, group))
    })
}

/// The living members of a process group.
fn members(group: u32) -> Vec<u32> {
    processes().filter(|process| process.1 == group).map(|process| process.0).collect()
}

/// A running server, and who uses it.
struct Paw {
    server: Server,
    client: Client,
}

impl Paw {
    fn of(place: &Place, server: Server) -> Self {
        let client = server.client(place);
        Self { server, client }
    }

    fn started(place: &Place, program: Program) -> Self {
        Self::of(place, program.start())
    }

    async fn add(&self, settings: &Value) {
        assert_eq!(self.client.post("/api/v1/mcp/add", settings).await.json()["status"], "ok");
    }

    async fn remove(&self, name: &str) -> Answer {
        self.client.post("/api/v1/mcp/remove", &json!({ "name": name })).await
    }

    async fn toggle(&self, name: &str, enabled: bool) -> Value {
        self.client.post("/api/v1/mcp/toggle", &json!({ "name": name, "enabled": enabled })).await.json()
    }

    async fn test(&self, settings: &Value) -> Answer {
        self.client.post("/api/v1/mcp/test", settings).await
    }

    async fn statuses(&self) -> Value {
        self.client.get("/api/v1/mcp/status").await.json()
    }

    async fn status(&self, name: &str) -> Value {
        self.statuses().await[name].take()
    }

    /// Waits for a status that fulfils the condition, and gives it.
    async fn until(&self, name: &str, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status(name).await;
            if condition(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "waited in vain until {name} {what}: {status}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn connected(&self, name: &str) -> Value {
        self.until(name, "is connected", |status| status["state"] == "connected").await
    }

    /// Adds a server that must come to be connected.
    async fn connect(&self, settings: &Value) -> Value {
        self.add(settings).await;
        self.connected(settings["name"].as_str().unwrap()).await
    }

    async fn call(&self, server: &str, tool: &str, arguments: Value) -> Answer {
        let body = json!({ "server": server, "tool": tool, "arguments": arguments });
        self.client.post("/api/v1/mcp/call", &body).await
    }

    /// The text that a tool gives.
    async fn say(&self, server: &str, tool: &str, arguments: Value) -> String {
        let called = self.call(server, tool, arguments).await.json();
        assert_eq!(called["is_error"], false, "{called}");
        called["content"][0]["text"].as_str().unwrap().to_owned()
    }

    /// The same, of a tool that gives JSON.
    async fn ask(&self, server: &str, tool: &str) -> Value {
        self.say(server, tool, json!({})).await.parse().unwrap()
    }

    /// The process group of an odd server, which is also the id of its process.
    async fn group(&self, server: &str) -> u32 {
        let ids = self.ask(server, "pid").await;
        assert_eq!(ids["pid"], ids["group"], "it leads a group of its own");
        u32::try_from(ids["group"].as_u64().unwrap()).unwrap()
    }

    /// The names of the tools that may be called.
    async fn tools(&self, server: &str) -> Vec<String> {
        let answer = self.client.get(&format!("/api/v1/mcp/tools?server={server}")).await.json();
        let names = answer["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned());
        names.collect()
    }
}

/// The text of a refusal with that status.
#[track_caller]
fn refusal(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status, status, "{answer:?}");
    let body: Value = answer.text.parse().unwrap();
    body["detail"].as_str().unwrap().to_owned()
}
