//! The program itself, as a user starts it.

use super::client::Connection;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_pawport");
const TOKEN: &str = "the-load-benchmark-knows-this-token-and-nobody-else-uses-it";

/// How large the program is, in bytes.
pub fn binary_size() -> u64 {
    fs::metadata(BINARY).unwrap().len()
}

/// Where a server keeps its data.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub data_dir: &'a Path,
    /// If it is not in the data directory.
    pub database_url: Option<&'a str>,
}

/// Moves the data of a data directory into another database, as a user would.
#[expect(clippy::disallowed_methods, reason = "the program is run as a process of its own")]
pub fn move_data(data_dir: &Path, database_url: &str) {
    let file = data_dir.join("moving.backup");
    let run = |command: &mut Command| assert!(command.arg("--data-dir").arg(data_dir).status().unwrap().success());
    run(Command::new(BINARY).arg("backup").arg(&file));
    run(Command::new(BINARY).arg("restore").arg(&file).env("PAWPORT_DATABASE_URL", database_url));
    fs::remove_file(file).unwrap();
}

/// A running server. Ends when it is dropped.
pub struct Server {
    process: RefCell<Child>,
    log: PathBuf,
    pub address: SocketAddr,
    /// From the start of the process until it said that it listens.
    pub ready_after: Duration,
}

impl Server {
    /// Starts a server on a place. Its log goes into a file in the data directory.
    #[expect(clippy::disallowed_methods, reason = "the server under load is a process of its own")]
    pub fn start(place: Place<'_>, queue_capacity: u64) -> Self {
        let log = place.data_dir.join("server.log");
        let errors = OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let began = Instant::now();
        let mut command = Command::new(BINARY);
        if let Some(url) = place.database_url {
            command.env("PAWPORT_DATABASE_URL", url);
        }
        let mut process = command
            .args(["serve", "--port", "0", "--data-dir"])
            .arg(place.data_dir)
            .args(["--queue-capacity", &queue_capacity.to_string()])
            .env("PAWPORT_ACCESS_TOKEN", TOKEN)
            // Limits that are counted and not reached.
            .env("PAWPORT_RATE_LIMIT_API", "100000/100000")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready_after = began.elapsed();
        let Some(address) = line.trim().strip_prefix("listening on http://").and_then(|text| text.parse().ok()) else {
            let _ = process.kill();
            let log = fs::read_to_string(log).unwrap_or_default();
            panic!("the server did not start; it said {line:?} and {log:?}");
        };
        Self { process: RefCell::new(process), log, address, ready_after }
    }

    /// Asks the server to end, and waits until it has.
    pub fn stop(self) {
        let mut process = self.process.borrow_mut();
        kill(Pid::from_raw(process.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        let status = process.wait().unwrap();
        assert!(status.success(), "the server ended with {status}");
    }

    /// What the system says about the process, in kB by name; `Threads` is a number.
    pub fn status(&self) -> BTreeMap<String, u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.process.borrow().id())).unwrap();
        text.lines()
            .filter_map(|line| {
                let (name, value) = line.split_once(':')?;
                Some((name.to_owned(), value.trim().trim_end_matches(" kB").parse().ok()?))
            })
            .collect()
    }

    /// A request with the token, without a body.
    pub fn get(&self, path: &str) -> Vec<u8> {
        let address = self.address;
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {TOKEN}\r\n\r\n").into_bytes()
    }

    /// A request with a body, and with `headers`, each with its line end.
    pub fn post(&self, path: &str, headers: &str, body: &str) -> Vec<u8> {
        let (address, length) = (self.address, body.len());
        format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
             {headers}\r\n{body}"
        )
        .into_bytes()
    }

    /// Asks once and gives the answer's JSON.
    pub async fn ask(&self, request: &[u8]) -> serde_json::Value {
        let Ok(mut connection) = Connection::open(self.address).await else { panic!("{}", self.fate()) };
        let Ok(head) = connection.exchange(request).await else { panic!("{}", self.fate()) };
        let body = connection.body(head);
        assert_eq!(head.status, 200, "{}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    /// What became of a server that does not answer: how it ended, and what it said last.
    fn fate(&self) -> String {
        let ended = self.process.borrow_mut().try_wait().unwrap();
        let ended = ended.map_or_else(|| "it still runs".to_owned(), |status| format!("it ended with {status}"));
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(10).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        format!("the server does not answer: {ended}; the end of its log:\n{}", last.join("\n"))
    }

    /// Adds a webhook slot and gives its secret.
    pub async fn add_webhook(&self, name: &str, scheme: &str) -> String {
        let body = serde_json::json!({ "name": name, "scheme": scheme }).to_string();
        let bearer = format!("authorization: Bearer {TOKEN}\r\n");
        let answer = self.ask(&self.post("/api/webhooks/add", &bearer, &body)).await;
        answer["webhook"]["secret"].as_str().unwrap().to_owned()
    }

    /// How many sessions there are, and how many of the newest 500 have no answer yet.
    pub async fn sessions(&self) -> (u64, usize) {
        let page = self.ask(&self.get("/api/sessions?limit=500")).await;
        let newest = page["sessions"].as_array().unwrap();
        let unanswered = newest.iter().filter(|session| session["message_count"] == 1).count();
        (page["total"].as_u64().unwrap(), unanswered)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let process = self.process.get_mut();
        // A server that was stopped is gone already.
        let _ = process.kill();
        let _ = process.wait();
    }
}
