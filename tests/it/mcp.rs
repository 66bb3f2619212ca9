//! The MCP client against real servers, against one that misbehaves, and against HTTP servers that are no MCP servers.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod calls;
mod odd;
mod remote;
mod stdio;

use crate::support::{mcp_servers, soon};
use async_trait::async_trait;
use pawport::adapters::mcp::{RmcpConnector, SignIns, http_client};
use pawport::adapters::process::Processes;
use pawport::domain::mcp::connect::{Budgets, ConnectError};
use pawport::domain::mcp::tool::{CallError, ToolFilter, ToolResult};
use pawport::domain::mcp::{
    Arguments, CallTimeout, Command, EnvironmentName, HeaderName, McpServer, McpServerName, McpTransport, RemoteFlavor,
    RemoteUrl, SecretText,
};
use pawport::domain::output::{Masks, Tail};
use pawport::domain::time::Timestamp;
use pawport::ports::mcp::{ConnectionEvent, McpConnection, McpConnector};
use rmcp::transport::AuthClient;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

/// Generous, since machines are busy.
const BUDGETS: Budgets = Budgets { start: Duration::from_secs(30), handshake: Duration::from_secs(20) };
const LIMIT: Duration = Duration::from_secs(20);

/// The name of the variable by which the processes of a test are found.
const MARK: &str = "PAWPORT_TEST_MARK";

/// What the programs of this test have for a secret.
const SECRET: &str = "hunter2-hunter2";

struct NobodySignedIn;

#[async_trait]
impl SignIns for NobodySignedIn {
    async fn client(
        &self,
        _: &McpServer,
        _: reqwest::Client,
    ) -> Result<Option<AuthClient<reqwest::Client>>, ConnectError> {
        Ok(None)
    }
}

/// A connector of its own, and what is known of the programs that it starts.
struct Lab {
    connector: RmcpConnector,
    tail: Arc<Tail>,
    mark: String,
    _ledger: TempDir,
}

impl Lab {
    #[expect(clippy::disallowed_methods, reason = "programs are looked for where the tests' own are")]
    fn new() -> Self {
        static LABS: AtomicU32 = AtomicU32::new(0);
        let ledger = tempfile::tempdir().unwrap();
        let path = std::env::var_os("PATH").unwrap();
        let processes = Processes::new(ledger.path().join("children"), vec![("PATH".to_owned(), path)]).unwrap();
        let http = http_client().unwrap();
        let connector = RmcpConnector::new(processes, http, Arc::new(NobodySignedIn), TaskTracker::new());
        let mark = format!("{}-{}", std::process::id(), LABS.fetch_add(1, Ordering::Relaxed));
        Self { connector, tail: Arc::default(), mark, _ledger: ledger }
    }

    fn program(&self, (program, arguments): (String, Vec<String>)) -> McpServer {
        let variables = [(MARK, self.mark.as_str()), ("SECRET", SECRET)];
        server(McpTransport::Stdio {
            command: Command::parse(&program).unwrap(),
            arguments: Arguments::parse(arguments).unwrap(),
            environment: variables
                .into_iter()
                .map(|(name, value)| (EnvironmentName::parse(name).unwrap(), SecretText::variable(value).unwrap()))
                .collect(),
        })
    }

    async fn try_connect(
        &mut self,
        server: &McpServer,
        budgets: Budgets,
    ) -> Result<Box<dyn McpConnection>, ConnectError> {
        self.tail = Arc::new(Tail::new(Masks::of(server)));
        self.connector.connect(server, false, budgets, Arc::clone(&self.tail), Box::pin(pending())).await
    }

    async fn connect(&mut self, server: &McpServer) -> Box<dyn McpConnection> {
        self.try_connect(server, BUDGETS).await.unwrap()
    }

    async fn odd(&mut self, mode: &[&str]) -> Box<dyn McpConnection> {
        self.connect(&self.program(mcp_servers::odd(mode))).await
    }

    /// Why this mode of the odd server cannot be connected.
    async fn failure(&mut self, mode: &[&str], budgets: Budgets) -> ConnectError {
        let server = self.program(mcp_servers::odd(mode));
        match self.try_connect(&server, budgets).await {
            Ok(_) => panic!("{mode:?} was connected"),
            Err(error) => error,
        }
    }

    /// Fails unless all processes of this test's programs end soon.
    async fn assert_nothing_alive(&self) {
        let began = Instant::now();
        while !self.alive().is_empty() {
            assert!(began.elapsed() < Duration::from_secs(10), "still alive: {:?}", self.alive());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The ids of living processes with this test's mark.
    fn alive(&self) -> Vec<u32> {
        let mark = format!("{MARK}={}\0", self.mark);
        let has_mark = |pid: &u32| {
            std::fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environment| environment.windows(mark.len()).any(|part| part == mark.as_bytes()))
        };
        processes().filter(|pid| has_mark(pid) && is_alive(*pid)).collect()
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Whether there is a process of that id, and it is no zombie.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).is_some_and(|state| state != 'Z')
}

async fn assert_ends(pid: u32) {
    let began = Instant::now();
    while is_alive(pid) {
        assert!(began.elapsed() < Duration::from_secs(10), "{pid} is still alive");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn server(transport: McpTransport) -> McpServer {
    McpServer {
        name: McpServerName::parse("test").unwrap(),
        transport,
        enabled: true,
        call_timeout: CallTimeout::default(),
        tools: ToolFilter::default(),
        preset: None,
        created: Timestamp(0),
    }
}

fn remote_server(url: &str, flavor: RemoteFlavor, headers: &[(&str, &str)]) -> McpServer {
    let headers: BTreeMap<_, _> = headers
        .iter()
        .map(|(name, value)| (HeaderName::parse(name).unwrap(), SecretText::header(value).unwrap()))
        .collect();
    server(McpTransport::Remote { url: RemoteUrl::parse(url).unwrap(), flavor, headers })
}

fn names(connection: &dyn McpConnection) -> Vec<String> {
    connection.tools().iter().map(|tool| tool.name.clone()).collect()
}

async fn call(connection: &dyn McpConnection, tool: &str, arguments: Value) -> Result<ToolResult, CallError> {
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    connection.call(tool, arguments, LIMIT).await
}

/// The text that a tool gives.
async fn say(connection: &dyn McpConnection, tool: &str, arguments: Value) -> String {
    let result = call(connection, tool, arguments).await.unwrap();
    assert!(!result.is_error, "{result:?}");
    result.content[0]["text"].as_str().unwrap().to_owned()
}

async fn pid_of(connection: &dyn McpConnection) -> u32 {
    let ids: Value = say(connection, "pid", json!({})).await.parse().unwrap();
    ids["pid"].as_u64().unwrap().try_into().unwrap()
}

async fn lost(connection: &dyn McpConnection) -> String {
    match soon(connection.next()).await {
        ConnectionEvent::Lost(reason) => reason,
        event @ ConnectionEvent::ToolsChanged => panic!("{event:?}"),
    }
}

fn nothing() -> Map<String, Value> {
    Map::new()
}
