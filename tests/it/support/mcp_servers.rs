//! MCP servers for the tests: real ones, which `.ci/test` installs, and one that misbehaves, `tests/servers/odd.py`.
//!
//! Each function gives a program and its arguments. What serves HTTP is started here, and ends with the test process,
//! however that ends.

#![expect(clippy::disallowed_methods, reason = "the server is a child process, and CI says that it must be there")]
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What is missing, and what to do about it.
const MISSING: &str = "there are no MCP servers in target/mcp-servers: call .ci/test, which installs them";

/// Runs in the server before its own code: the end of standard input is its end. Node 18 lacks what is set first.
const PRELUDE: &str = "data:text/javascript,import{webcrypto}from'node:crypto';globalThis.crypto??=webcrypto;\
    process.stdin.resume();process.stdin.on('end',()=>process.exit());";

/// How long a server may take to listen, however slow the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether the servers are installed. If not, says so; where the tests must be complete, that is a failure.
pub fn available() -> bool {
    // Written when all else is there.
    let is_there = installed("installed").is_file();
    if !is_there {
        assert!(std::env::var_os("CI").is_none(), "{MISSING}");
        // Not `eprintln!`, which is shown for failing tests only.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {MISSING}");
    }
    is_there
}

/// `@modelcontextprotocol/server-everything`: a tool of every kind.
pub fn everything() -> (String, Vec<String>) {
    ("node".to_owned(), vec![of_node("server-everything"), "stdio".to_owned()])
}

/// `@modelcontextprotocol/server-filesystem`, for one folder.
pub fn filesystem(folder: &str) -> (String, Vec<String>) {
    ("node".to_owned(), vec![of_node("server-filesystem"), folder.to_owned()])
}

/// `mcp-server-time`.
pub fn time() -> (String, Vec<String>) {
    (text(installed("python/bin/mcp-server-time")), vec!["--local-timezone=UTC".to_owned()])
}

/// `mcp-server-fetch`, which may ask servers of the tests too.
pub fn fetch() -> (String, Vec<String>) {
    let arguments = ["--ignore-robots-txt", "--allow-private-ips"];
    (text(installed("python/bin/mcp-server-fetch")), arguments.map(str::to_owned).to_vec())
}

/// The server that misbehaves: a mode, and its argument if it has one. See `tests/servers/odd.py`.
pub fn odd(mode: &[&str]) -> (String, Vec<String>) {
    let script = text(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/servers/odd.py"));
    // Isolated from the environment and from installed packages.
    let arguments = ["-I", "-S", &script].into_iter().chain(mode.iter().copied());
    (text(python()), arguments.map(str::to_owned).collect())
}

/// The Python that runs them.
pub fn python() -> PathBuf {
    installed("python/bin/python")
}

/// A server that listens.
pub struct Running {
    /// Where clients connect.
    pub url: String,
    child: Child,
}

/// The server of [`everything`] over HTTP, once it listens: `sse` or `streamableHttp`.
pub async fn everything_over_http(kind: &'static str) -> Running {
    // Not on the clock of the runtime, which may be paused.
    tokio::task::spawn_blocking(move || start(kind)).await.unwrap()
}

fn start(kind: &str) -> Running {
    // Somebody could take the port before the server does; then it ends and the test fails.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new("node")
        .args(["--import", PRELUDE, &of_node("server-everything"), kind])
        .env("PORT", port.to_string())
        .stdin(Stdio::piped())
        // It writes a line for each request.
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("Node is there");
    let path = if kind == "sse" { "sse" } else { "mcp" };
    let mut running = Running { url: format!("http://127.0.0.1:{port}/{path}"), child };
    let began = Instant::now();
    while TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_err() {
        let ended = running.child.try_wait().unwrap();
        assert!(ended.is_none(), "the MCP server did not start: {ended:?}");
        assert!(began.elapsed() < PATIENCE, "the MCP server does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    running
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.child.id().try_into().expect("a process id"));
        // Whatever it started goes with it.
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// Something that `.ci/test` installs.
fn installed(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/mcp-servers").join(path)
}

/// What Node runs for a package of the project that made the protocol.
fn of_node(package: &str) -> String {
    text(installed(&format!("node/node_modules/@modelcontextprotocol/{package}/dist/index.js")))
}

fn text(path: PathBuf) -> String {
    path.into_os_string().into_string().expect("a path in UTF-8")
}
