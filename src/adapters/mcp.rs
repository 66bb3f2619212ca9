//! Connections to MCP servers. All that names rmcp is here.
//!
//! rmcp has no time limits and no opinion on what an error means to a user; both are added here. Whatever a server says or
//! does, a connection stays within its time limits, holds a bounded amount of memory, and leaves no process behind.

mod call;
mod catalog;
mod fate;
mod problem;
mod remote;
mod session;
pub mod sign_in;
mod sse;
mod stdio;
mod watched;

pub use remote::http_client;

use crate::adapters::process::{Command, Processes};
use crate::domain::mcp::connect::{Budgets, ConnectError};
use crate::domain::mcp::{McpServer, McpTransport};
use crate::domain::output::{Masks, Tail};
use crate::ports::mcp::{McpConnection, McpConnector, Stop};
use async_trait::async_trait;
use fate::Fate;
use remote::{Approach, Place};
use reqwest::Client;
use rmcp::transport::AuthClient;
use secrecy::SecretString;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

/// Gives clients that send what signing in to a server gave.
#[async_trait]
pub trait SignIns: Send + Sync {
    /// A client for this server that sends its tokens over `http`, and renews them. `None`: nobody signed in to it.
    ///
    /// # Errors
    /// If what is stored cannot be read or used.
    async fn client(&self, server: &McpServer, http: Client) -> Result<Option<AuthClient<Client>>, ConnectError>;
}

/// Reaches servers through rmcp.
pub struct RmcpConnector {
    processes: Processes,
    http: Client,
    sign_ins: Arc<dyn SignIns>,
    tasks: TaskTracker,
}

impl RmcpConnector {
    /// `http` is [`http_client`]; `tasks` runs what goes on in the background of connections.
    #[must_use]
    pub fn new(processes: Processes, http: Client, sign_ins: Arc<dyn SignIns>, tasks: TaskTracker) -> Self {
        Self { processes, http, sign_ins, tasks }
    }

    async fn approach(
        &self,
        server: &McpServer,
        signed_in: bool,
        budgets: Budgets,
        tail: Arc<Tail>,
        masks: Masks,
        stop: Stop,
    ) -> Result<Box<dyn McpConnection>, ConnectError> {
        let session = match &server.transport {
            McpTransport::Stdio { command, arguments, environment } => {
                let environment = environment.iter();
                let command = Command {
                    program: command.as_str().to_owned(),
                    arguments: arguments.expose().to_vec(),
                    environment: environment
                        .map(|(name, value)| (name.as_str().to_owned(), SecretString::from(value.expose())))
                        .collect(),
                    folder: None,
                };
                let fate = Arc::new(Fate::new(masks));
                stdio::connect(&self.processes, &self.tasks, &command, budgets, fate, tail, stop).await?
            }
            McpTransport::Remote { url, flavor, headers } => {
                let deadline = Instant::now() + budgets.start;
                let signed = match signed_in {
                    true => {
                        let client = timeout_at(deadline, self.sign_ins.client(server, self.http.clone())).await;
                        client.map_err(|_| {
                            ConnectError::Refused("its sign-in could not be renewed in time".to_owned())
                        })??
                    }
                    false => None,
                };
                let place = Place::new(url, headers, self.http.clone(), signed)?;
                let approach = Approach { place, budgets, deadline, masks, tasks: &self.tasks };
                tokio::select! {
                    connected = approach.connect(*flavor) => connected?,
                    () = stop => return Err(ConnectError::Lost("it was given up".to_owned())),
                }
            }
        };
        Ok(Box::new(session))
    }
}

#[async_trait]
impl McpConnector for RmcpConnector {
    async fn connect(
        &self,
        server: &McpServer,
        signed_in: bool,
        budgets: Budgets,
        tail: Arc<Tail>,
        stop: Stop,
    ) -> Result<Box<dyn McpConnection>, ConnectError> {
        let masks = Masks::of(server);
        let connection = self.approach(server, signed_in, budgets, tail, masks.clone(), stop).await;
        connection.map_err(|error| masked(error, &masks))
    }
}

/// Servers like to repeat what they were given.
fn masked(error: ConnectError, masks: &Masks) -> ConnectError {
    match error {
        ConnectError::NotStarted(text) => ConnectError::NotStarted(masks.text(&text)),
        ConnectError::Unreachable(text) => ConnectError::Unreachable(masks.text(&text)),
        ConnectError::NotMcp(text) => ConnectError::NotMcp(masks.text(&text)),
        ConnectError::Version(text) => ConnectError::Version(masks.text(&text)),
        ConnectError::Refused(text) => ConnectError::Refused(masks.text(&text)),
        ConnectError::Lost(text) => ConnectError::Lost(masks.text(&text)),
        // Made of our own words, and of lines that are masked already.
        error => error,
    }
}
