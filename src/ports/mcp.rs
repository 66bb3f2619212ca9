//! MCP servers: keeping their configuration, reaching them, and watching over them.

use super::store::StoreError;
use crate::domain::audit::AuditEntry;
use crate::domain::mcp::connect::{Budgets, ConnectError};
use crate::domain::mcp::sign_in::{Callback, SignInError, SignedIn};
use crate::domain::mcp::status::McpStatus;
use crate::domain::mcp::tool::{CallError, ToolResult, Tools};
use crate::domain::mcp::{McpServer, McpServerName, RemoteUrl};
use crate::domain::output::Tail;
use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::{Map, Value};
use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// The configuration of servers, and what signing in to them gave.
///
/// A sign-in belongs to an address: whatever changes the address of a server removes its sign-in, so that no token is ever
/// sent elsewhere.
#[async_trait]
pub trait McpServerStore: Send + Sync {
    /// Stores a server, in the place of the one of that name if there is one, whether that can be read or not.
    ///
    /// **Contract:** every member comes back as it was given. A sign-in of that name is kept if the address is the same
    /// ([`crate::domain::mcp::McpTransport::is_same_remote`]), else it is removed.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn put(&self, server: &McpServer, entry: &AuditEntry) -> Result<(), StoreError>;

    /// The server of that name.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn find(&self, name: &McpServerName) -> Result<Option<McpServer>, StoreError>;

    /// All servers that can be read, by creation, then by name. Of the others the program's log says which they are: one
    /// that is damaged keeps no other from being used.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn list(&self) -> Result<Vec<McpServer>, StoreError>;

    /// Switches a server on or off. False, and no entry, if there is no such server.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn set_enabled(&self, name: &McpServerName, enabled: bool, entry: &AuditEntry) -> Result<bool, StoreError>;

    /// Removes a server and its sign-in. False, and no entry, if there is no such server.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn remove(&self, name: &McpServerName, entry: &AuditEntry) -> Result<bool, StoreError>;

    /// What signing in to a server gave: see [`SignedIn::grant`]. `None` also if there is no such server.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn sign_in(&self, name: &McpServerName) -> Result<Option<SecretString>, StoreError>;

    /// Stores what signing in gave, in the place of what was there. False, and nothing is stored, if there is no such server,
    /// or it has another address. Tokens that were renewed come without an entry: nobody did anything.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn set_sign_in(&self, signed_in: &SignedIn, entry: Option<&AuditEntry>) -> Result<bool, StoreError>;

    /// Removes what signing in gave. False, and no entry, if there is nothing.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn remove_sign_in(&self, name: &McpServerName, entry: &AuditEntry) -> Result<bool, StoreError>;
}

/// Is done when something is to be given up.
pub type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Reaches servers.
#[async_trait]
pub trait McpConnector: Send + Sync {
    /// Starts a program or reaches an address, agrees on a version of the protocol, and asks for the tools. What a program
    /// writes to standard error goes to `tail`. `signed_in` says whether stored tokens of a server of that name are sent;
    /// only the address that they belong to gets them. It is given up when `stop` is done.
    ///
    /// **Contract:** returns within `budgets` and some seconds for ending a program. When it returns with an error, no
    /// process of a program that it started is alive; if it is dropped, that is so soon after. Connections share nothing,
    /// whatever their servers are called.
    ///
    /// # Errors
    /// [`ConnectError`] says what to do.
    async fn connect(
        &self,
        server: &McpServer,
        signed_in: bool,
        budgets: Budgets,
        tail: Arc<Tail>,
        stop: Stop,
    ) -> Result<Box<dyn McpConnection>, ConnectError>;
}

/// What happens to a connection by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionEvent {
    /// The server said that its tools changed, and they were asked for again.
    ToolsChanged,
    /// It is lost, for that reason: the program ended, the stream broke, tokens are not taken any more. Nothing follows.
    Lost(String),
}

/// A connection to a server. Dropping it ends it at once: no process of its program is alive soon after.
#[async_trait]
pub trait McpConnection: Send + Sync {
    /// The tools that the server offers, whether they may be called or not. At most
    /// [`crate::domain::mcp::tool::MAX_TOOLS`].
    fn tools(&self) -> Tools;

    /// Waits for what happens next. For one caller at a time; nothing is missed between calls, and nothing is lost if the
    /// future is dropped.
    async fn next(&self) -> ConnectionEvent;

    /// Calls a tool. If the future is dropped, or `limit` is over, the server is told to stop.
    ///
    /// **Contract:** returns within `limit`. The arguments are checked against the tool's schema first, and nothing is sent
    /// if they do not fit it.
    ///
    /// # Errors
    /// [`CallError::NoTool`] (without the server's name), [`CallError::Arguments`], [`CallError::TimedOut`],
    /// [`CallError::Lost`], [`CallError::Refused`], [`CallError::TooLarge`].
    async fn call(&self, tool: &str, arguments: Map<String, Value>, limit: Duration) -> Result<ToolResult, CallError>;

    /// Ends it in order. When this returns, no process of its program is alive.
    async fn close(&self);
}

/// Lets users sign in to remote servers.
#[async_trait]
pub trait McpAuthorizer: Send + Sync {
    /// Begins a sign-in, and gives the address where the user goes on. Of those that were begun before for a server of that
    /// name the last one can still be ended.
    ///
    /// # Errors
    /// [`SignInError::Unusable`]
    async fn begin(&self, server: &McpServer, challenge: Option<&str>) -> Result<String, SignInError>;

    /// Ends a sign-in that was begun less than [`crate::domain::mcp::sign_in::LIFETIME`] ago. Whatever comes of it, its state
    /// is worth nothing any more.
    ///
    /// # Errors
    /// [`SignInError`]
    async fn finish(&self, callback: Callback) -> Result<SignedIn, SignInError>;

    /// Tells the authorization server that tokens are not needed any more (RFC 7009), as far as it listens.
    ///
    /// # Errors
    /// [`SignInError::Unusable`] if it could not be told. Who asks goes on all the same.
    async fn revoke(&self, url: &RemoteUrl, grant: &SecretString) -> Result<(), SignInError>;
}

/// Watches over servers: keeps those connected that are enabled.
#[async_trait]
pub trait McpSupervision: Send + Sync {
    /// Waits until nobody else changes the server of that name, and lets nobody else while the guard lives.
    async fn turn(&self, name: &McpServerName) -> Box<dyn Any + Send>;

    /// Takes a server, enabled or not, in the place of the one of that name.
    ///
    /// **Contract:** when this returns, no process of a program under the old configuration is alive. The new one is
    /// connected in the background.
    async fn supervise(&self, server: McpServer);

    /// Forgets a server. False if there is none of that name.
    ///
    /// **Contract:** when this returns, no process of its program is alive.
    async fn forget(&self, name: &McpServerName) -> bool;

    /// Connects a server now, unless it is connected, being connected or disabled.
    fn retry(&self, name: &McpServerName);

    /// Ends the connection of an enabled server, and makes a new one.
    fn reconnect(&self, name: &McpServerName);

    /// All servers, by creation, then by name. Asks nobody, so it takes microseconds.
    fn statuses(&self) -> Vec<McpStatus>;

    /// The server of that name.
    fn status(&self, name: &McpServerName) -> Option<McpStatus>;

    /// Calls a tool of a connected server, within its time limit. The result holds no secrets of the server.
    ///
    /// # Errors
    /// [`CallError`]
    async fn call(
        &self,
        server: &McpServerName,
        tool: &str,
        arguments: Map<String, Value>,
    ) -> Result<ToolResult, CallError>;
}
