//! MCP servers that are not there.

use crate::domain::mcp::connect::{Budgets, ConnectError};
use crate::domain::mcp::sign_in::{Callback, SignInError, SignedIn};
use crate::domain::mcp::tool::{CallError, Tool, ToolResult, Tools};
use crate::domain::mcp::{McpServer, McpServerName, McpTransport, RemoteUrl, SecretText};
use crate::domain::output::Tail;
use crate::ports::mcp::{ConnectionEvent, McpAuthorizer, McpConnection, McpConnector, Stop};
use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Stands in for servers, and for where users sign in to them. What a server does is said by its command or by the host of
/// its address:
///
/// - `works`: it has the tools `echo` (gives `text` back), `environment` (gives its environment), `fails` and `hangs`;
/// - `missing`: there is no such program;
/// - `exits`: it ends at once, after saying why;
/// - `refuses`: it answers with an error that has the values of its environment and headers in it;
/// - `silent`: it never answers;
/// - `private`: it works for whoever signed in;
/// - `loses`: it works, and its connections are lost when [`FakeMcp::lose`] says so;
/// - everything else cannot be reached.
#[derive(Default)]
pub struct FakeMcp {
    state: Mutex<State>,
    lost: Arc<Notify>,
    open: Arc<AtomicUsize>,
    connects: AtomicUsize,
}

#[derive(Default)]
struct State {
    /// Sign-ins that were begun, by state.
    begun: HashMap<String, (McpServerName, RemoteUrl)>,
    /// What signing in gave, by server.
    signed_in: HashMap<McpServerName, String>,
    revoked: Vec<String>,
}

impl FakeMcp {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Breaks every open connection to `loses`.
    pub fn lose(&self) {
        self.lost.notify_waiters();
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// How often a connection was tried.
    pub fn connects(&self) -> usize {
        self.connects.load(Ordering::SeqCst)
    }

    /// What was revoked.
    pub fn revoked(&self) -> Vec<String> {
        self.state().revoked.clone()
    }
}

/// What the server is told by: its command, or the host of its address.
fn role(server: &McpServer) -> String {
    match &server.transport {
        McpTransport::Stdio { command, .. } => command.as_str().to_owned(),
        McpTransport::Remote { url, .. } => {
            let host = url::Url::parse(url.expose()).ok();
            host.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
        }
    }
}

#[async_trait]
impl McpConnector for FakeMcp {
    async fn connect(
        &self,
        server: &McpServer,
        signed_in: bool,
        budgets: Budgets,
        tail: Arc<Tail>,
        stop: Stop,
    ) -> Result<Box<dyn McpConnection>, ConnectError> {
        self.connects.fetch_add(1, Ordering::SeqCst);
        match role(server).as_str() {
            "works" | "loses" => {}
            "missing" => return Err(ConnectError::NotStarted("the command \"missing\" was not found".to_owned())),
            "exits" => {
                if let McpTransport::Stdio { environment, .. } = &server.transport {
                    for value in environment.values() {
                        tail.push(&format!("bad key {}", value.expose()));
                    }
                }
                tail.push("giving up");
                return Err(ConnectError::Exited { how: "exited with status 2".to_owned(), last_lines: tail.to_vec() });
            }
            "refuses" => {
                let secrets: Vec<&str> = match &server.transport {
                    McpTransport::Stdio { environment, .. } => environment.values().map(SecretText::expose).collect(),
                    McpTransport::Remote { headers, .. } => headers.values().map(SecretText::expose).collect(),
                };
                return Err(ConnectError::Refused(format!("bad key {}", secrets.join(" "))));
            }
            "silent" => {
                let _ = tokio::time::timeout(budgets.start, stop).await;
                return Err(ConnectError::StartTimedOut { limit: budgets.start, last_lines: tail.to_vec() });
            }
            "private" if signed_in && self.state().signed_in.contains_key(&server.name) => {}
            "private" => return Err(ConnectError::Unauthorized { challenge: Some("Bearer".to_owned()) }),
            _ => return Err(ConnectError::Unreachable("connection refused".to_owned())),
        }
        self.open.fetch_add(1, Ordering::SeqCst);
        let environment = match &server.transport {
            McpTransport::Stdio { environment, .. } => {
                let pairs = environment.iter().map(|(name, value)| (name.as_str().to_owned(), json!(value.expose())));
                pairs.collect()
            }
            McpTransport::Remote { .. } => Map::new(),
        };
        let lost = (role(server) == "loses").then(|| Arc::clone(&self.lost));
        Ok(Box::new(FakeConnection { environment, lost, open: Arc::clone(&self.open) }))
    }
}

struct FakeConnection {
    environment: Map<String, Value>,
    lost: Option<Arc<Notify>>,
    open: Arc<AtomicUsize>,
}

impl Drop for FakeConnection {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl McpConnection for FakeConnection {
    fn tools(&self) -> Tools {
        let tool = |name: &str, description: &str| Tool {
            name: name.to_owned(),
            description: description.to_owned(),
            schema: Map::from_iter([("type".to_owned(), json!("object"))]),
            read_only: name == "echo",
        };
        let tools = [
            tool("echo", "Gives the text back"),
            tool("environment", "Gives the environment"),
            tool("fails", "Fails"),
            tool("hangs", ""),
        ];
        Tools::from(tools)
    }

    async fn next(&self) -> ConnectionEvent {
        match &self.lost {
            Some(lost) => lost.notified().await,
            None => std::future::pending().await,
        }
        ConnectionEvent::Lost("the program was ended by signal 9".to_owned())
    }

    async fn call(&self, tool: &str, arguments: Map<String, Value>, limit: Duration) -> Result<ToolResult, CallError> {
        let text = |text: &Value| vec![json!({ "type": "text", "text": text })];
        let good = |content, structured| Ok(ToolResult { content, structured, is_error: false });
        match tool {
            "echo" => match arguments.get("text") {
                Some(given @ Value::String(_)) => good(text(given), None),
                _ => Err(CallError::Arguments {
                    place: vec!["text".to_owned()],
                    message: "\"text\" is a required property".to_owned(),
                }),
            },
            "environment" => {
                good(text(&json!(Value::Object(self.environment.clone()).to_string())), Some(json!(self.environment)))
            }
            "fails" => Ok(ToolResult { content: text(&json!("it did not work")), structured: None, is_error: true }),
            "hangs" => {
                tokio::time::sleep(limit).await;
                Err(CallError::TimedOut(limit))
            }
            _ => Err(CallError::NoTool { server: String::new(), tool: tool.to_owned() }),
        }
    }

    async fn close(&self) {}
}

#[async_trait]
impl McpAuthorizer for FakeMcp {
    async fn begin(&self, server: &McpServer, _challenge: Option<&str>) -> Result<String, SignInError> {
        let url = server.transport.url().ok_or_else(|| SignInError::Unusable("it has no address".to_owned()))?;
        let mut state = self.state();
        state.begun.retain(|_, (name, _)| *name != server.name);
        let number = format!("state-of-{}", server.name.as_str());
        state.begun.insert(number.clone(), (server.name.clone(), url.clone()));
        Ok(format!("https://auth.example/authorize?state={number}"))
    }

    async fn finish(&self, callback: Callback) -> Result<SignedIn, SignInError> {
        let mut state = self.state();
        let begun = state.begun.remove(callback.state.expose_secret());
        let (server, url) = begun.ok_or(SignInError::UnknownState)?;
        let code =
            callback.outcome.map_err(|reason| SignInError::Denied { server: server.as_str().to_owned(), reason })?;
        let grant = format!("grant for {}", code.expose_secret());
        state.signed_in.insert(server.clone(), grant.clone());
        Ok(SignedIn { server, url, grant: SecretString::from(grant) })
    }

    async fn revoke(&self, _url: &RemoteUrl, grant: &SecretString) -> Result<(), SignInError> {
        let mut state = self.state();
        state.signed_in.retain(|_, given| given != grant.expose_secret());
        state.revoked.push(grant.expose_secret().to_owned());
        Ok(())
    }
}
