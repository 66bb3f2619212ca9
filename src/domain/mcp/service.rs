//! Adding, switching, testing and using servers.

use super::connect::Budgets;
use super::mask;
use super::preset::{InstallRejected, Preset};
use super::sign_in::{Callback, SignInError};
use super::status::{McpState, McpStatus};
use super::tool::{CallError, ToolFilter, ToolResult, Tools};
use super::{McpServer, McpServerName, McpTransport, RemoteUrl};
use crate::domain::audit::Happening;
use crate::domain::audit::service::Audit;
use crate::domain::auth::{CredentialKind, Principal};
use crate::domain::output::{Masks, Tail};
use crate::domain::text::head;
use crate::ports::clock::Clock;
use crate::ports::mcp::{McpAuthorizer, McpConnector, McpServerStore, McpSupervision};
use crate::ports::store::StoreError;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use thiserror::Error;

/// How many servers there may be.
pub const MAX_SERVERS: usize = 200;

/// How many tests may run at a time: each may start a program.
pub const MAX_TESTS: usize = 4;

/// How much of a name that is none is said back, in characters.
pub const SHOWN: usize = 100;

/// Why a server was not added.
#[derive(Debug, Error)]
pub enum AddRefused {
    /// There are [`MAX_SERVERS`] already.
    #[error("there are {MAX_SERVERS} MCP servers already; remove one first")]
    TooMany,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a preset was not installed.
#[derive(Debug, Error)]
pub enum InstallRefused {
    /// There is no such preset.
    #[error("Unknown preset: {0}")]
    Unknown(String),
    /// What was given does not fit it.
    #[error(transparent)]
    Rejected(InstallRejected),
    /// The server that it describes was not added.
    #[error(transparent)]
    Add(#[from] AddRefused),
}

/// What came of a test.
#[derive(Debug, Clone)]
pub struct Tested {
    /// The tools, or why there are none, without secrets of the server.
    pub outcome: Result<Tools, String>,
    /// The last lines that its program wrote to standard error.
    pub stderr: Vec<String>,
}

/// Why nothing was tested.
#[derive(Debug, Error)]
pub enum TestRefused {
    /// [`MAX_TESTS`] run already.
    #[error("{MAX_TESTS} tests are running already; try again when one has ended")]
    TooMany,
    /// There is no server of that name.
    #[error("Server '{0}' not found")]
    Unknown(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why somebody is not signed in.
#[derive(Debug, Error)]
pub enum SignInRefused {
    /// It failed, or the server is gone or has another address meanwhile.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who reaches servers and watches over them.
#[derive(Clone)]
pub struct McpAdapters {
    /// Reaches them.
    pub connector: Arc<dyn McpConnector>,
    /// Lets users sign in to them.
    pub authorizer: Arc<dyn McpAuthorizer>,
    /// Watches over them.
    pub supervision: Arc<dyn McpSupervision>,
}

/// The MCP servers.
pub struct McpServers {
    store: Arc<dyn McpServerStore>,
    adapters: McpAdapters,
    audit: Arc<Audit>,
    clock: Arc<dyn Clock>,
    presets: Vec<Preset>,
    test_budgets: Budgets,
    tests: AtomicUsize,
}

impl McpServers {
    /// Servers over a store. A test may take as long as `test_budgets` says.
    #[must_use]
    pub fn new(
        store: Arc<dyn McpServerStore>,
        adapters: McpAdapters,
        audit: Arc<Audit>,
        clock: Arc<dyn Clock>,
        presets: Vec<Preset>,
        test_budgets: Budgets,
    ) -> Self {
        Self { store, adapters, audit, clock, presets, test_budgets, tests: AtomicUsize::new(0) }
    }

    /// Takes up the stored servers. Those that are enabled are connected in the background. Gives how many there are.
    ///
    /// # Errors
    /// As the store's.
    pub async fn start(&self) -> Result<usize, StoreError> {
        let servers = self.store.list().await?;
        let count = servers.len();
        for server in servers {
            self.adapters.supervision.supervise(server).await;
        }
        Ok(count)
    }

    /// All servers, by creation.
    #[must_use]
    pub fn statuses(&self) -> Vec<McpStatus> {
        self.adapters.supervision.statuses()
    }

    /// The server of that name.
    #[must_use]
    pub fn status(&self, name: &McpServerName) -> Option<McpStatus> {
        self.adapters.supervision.status(name)
    }

    /// Adds a server, in the place of the one of that name if there is one. It is connected in the background.
    ///
    /// # Errors
    /// [`AddRefused`]; nothing was changed then.
    pub async fn add(&self, principal: &Principal, mut server: McpServer) -> Result<(), AddRefused> {
        let supervision = &self.adapters.supervision;
        let turn = supervision.turn(&server.name).await;
        let existing = self.store.find(&server.name).await?;
        let moves = existing.as_ref().is_some_and(|existing| !existing.transport.is_same_remote(&server.transport));
        let grant = if moves { self.grant(&server.name).await? } else { None };
        if existing.is_none() && supervision.statuses().len() >= MAX_SERVERS {
            return Err(AddRefused::TooMany);
        }
        server.created = existing.as_ref().map_or_else(|| self.clock.now(), |existing| existing.created);
        let action = if existing.is_some() { "mcp_server_replaced" } else { "mcp_server_added" };
        let entry = self.audit.entry(described(Happening::success(principal, action, server.name.as_str()), &server));
        self.store.put(&server, &entry).await?;
        let name = server.name.clone();
        supervision.supervise(server).await;
        drop(turn);
        // The store has dropped what belongs to another address.
        if let Some((before, grant)) = grant {
            self.revoke(&name, &before, &grant).await;
        }
        Ok(())
    }

    /// Removes a server; ends its program, and gives back what signing in gave. False if there is no such server.
    ///
    /// # Errors
    /// As the store's.
    pub async fn remove(&self, principal: &Principal, name: &McpServerName) -> Result<bool, StoreError> {
        let turn = self.adapters.supervision.turn(name).await;
        let grant = self.grant(name).await?;
        let entry = self.audit.entry(Happening::success(principal, "mcp_server_removed", name.as_str()));
        let removed = self.store.remove(name, &entry).await?;
        self.adapters.supervision.forget(name).await;
        drop(turn);
        if removed && let Some((url, grant)) = grant {
            self.revoke(name, &url, &grant).await;
        }
        Ok(removed)
    }

    /// Switches a server on or off; to the other if `enabled` is not given. Gives how it is now. `None` if there is no such
    /// server.
    ///
    /// # Errors
    /// As the store's.
    pub async fn set_enabled(
        &self,
        principal: &Principal,
        name: &McpServerName,
        enabled: Option<bool>,
    ) -> Result<Option<McpStatus>, StoreError> {
        let _turn = self.adapters.supervision.turn(name).await;
        let Some(mut server) = self.store.find(name).await? else { return Ok(None) };
        let enabled = enabled.unwrap_or(!server.enabled);
        if enabled != server.enabled {
            let action = if enabled { "mcp_server_enabled" } else { "mcp_server_disabled" };
            let entry = self.audit.entry(Happening::success(principal, action, name.as_str()));
            if !self.store.set_enabled(name, enabled, &entry).await? {
                return Ok(None);
            }
            server.enabled = enabled;
            self.adapters.supervision.supervise(server).await;
        } else if enabled {
            self.adapters.supervision.retry(name);
        }
        Ok(self.status(name))
    }

    /// Reaches a server that need not be stored, and ends it again. Nothing that is stored or connected takes notice.
    ///
    /// # Errors
    /// [`TestRefused`]
    pub async fn test(&self, principal: &Principal, server: &McpServer) -> Result<Tested, TestRefused> {
        let happening = Happening::success(principal, "mcp_server_tested", server.name.as_str());
        self.run_test(server, false, described(happening, server)).await
    }

    /// The same for a stored server, with its secrets.
    ///
    /// # Errors
    /// [`TestRefused`]
    pub async fn test_stored(&self, principal: &Principal, name: &McpServerName) -> Result<Tested, TestRefused> {
        let server = self.store.find(name).await?;
        let server = server.ok_or_else(|| TestRefused::Unknown(name.as_str().to_owned()))?;
        let happening = Happening::success(principal, "mcp_server_tested", name.as_str());
        self.run_test(&server, true, described(happening, &server)).await
    }

    async fn run_test(&self, server: &McpServer, signed_in: bool, happening: Happening) -> Result<Tested, TestRefused> {
        let running = Running::enter(&self.tests).ok_or(TestRefused::TooMany)?;
        // Before, because a program runs in any case.
        self.audit.record(happening).await?;
        let masks = Masks::of(server);
        let tail = Arc::new(Tail::new(masks.clone()));
        let (budgets, never) = (self.test_budgets, Box::pin(std::future::pending()));
        let connected = self.adapters.connector.connect(server, signed_in, budgets, Arc::clone(&tail), never).await;
        let outcome = match connected {
            Ok(connection) => {
                let tools = connection.tools();
                connection.close().await;
                Ok(tools)
            }
            Err(error) => Err(masks.text(&error.to_string())),
        };
        drop(running);
        Ok(Tested { outcome, stderr: tail.to_vec() })
    }

    /// All presets, each with whether a server of its name is there.
    pub fn presets(&self) -> impl Iterator<Item = (&Preset, bool)> {
        let installed = self.statuses();
        self.presets.iter().map(move |preset| (preset, installed.iter().any(|server| server.name == preset.id)))
    }

    /// Adds the server that a preset describes, in the place of the one of that name if there is one.
    ///
    /// # Errors
    /// [`InstallRefused`]; nothing was changed then.
    pub async fn install(
        &self,
        principal: &Principal,
        preset: &str,
        values: BTreeMap<String, String>,
        extra_arguments: Vec<String>,
    ) -> Result<Option<McpStatus>, InstallRefused> {
        let found = self.presets.iter().find(|known| known.id.as_str() == preset);
        let found = found.ok_or_else(|| InstallRefused::Unknown(head(preset, SHOWN).to_owned()))?;
        let server = found.server(values, extra_arguments, self.clock.now()).map_err(InstallRefused::Rejected)?;
        let name = server.name.clone();
        self.add(principal, server).await?;
        Ok(self.status(&name))
    }

    /// Calls a tool.
    ///
    /// # Errors
    /// [`CallError`] says whether anything was sent. A call that could not be noted in the audit log is not made.
    pub async fn call(
        &self,
        principal: &Principal,
        server: &str,
        tool: &str,
        arguments: Map<String, Value>,
    ) -> Result<Result<ToolResult, CallError>, StoreError> {
        let Some(name) = McpServerName::parse(server).ok().filter(|name| self.status(name).is_some()) else {
            return Ok(Err(CallError::NoServer(head(server, SHOWN).to_owned())));
        };
        let shown = head(tool, ToolFilter::MAX_LEN);
        let happening = Happening::success(principal, "mcp_tool_called", name.as_str()).with("tool", shown);
        self.audit.record(happening).await?;
        Ok(self.adapters.supervision.call(&name, tool, arguments).await)
    }

    /// Ends a sign-in with what the browser brought, and connects the server. Gives its name.
    ///
    /// # Errors
    /// [`SignInRefused`]; the server gets another address to sign in at then.
    pub async fn finish_sign_in(&self, callback: Callback) -> Result<McpServerName, SignInRefused> {
        let state = callback.state.clone();
        let finished = self.try_finish_sign_in(callback).await;
        if finished.is_err() {
            self.renew_sign_in(&state);
        }
        finished
    }

    /// A state is good once: whoever wants to try again needs another address.
    fn renew_sign_in(&self, state: &SecretString) {
        let state = format!("state={}", state.expose_secret());
        for status in self.statuses() {
            if matches!(&status.state, McpState::NeedsAuth { url } if url.split(['?', '&']).any(|part| part == state)) {
                self.adapters.supervision.reconnect(&status.name);
            }
        }
    }

    async fn try_finish_sign_in(&self, callback: Callback) -> Result<McpServerName, SignInRefused> {
        let signed_in = self.adapters.authorizer.finish(callback).await?;
        let name = signed_in.server.as_str();
        let credential = Principal::without_grant(CredentialKind::McpSignIn, name);
        let happening = Happening::success(&credential, "mcp_signed_in", name);
        let entry = self.audit.entry(happening);
        let stored = self.store.set_sign_in(&signed_in, Some(&entry)).await;
        if !matches!(stored, Ok(true)) {
            // Tokens that nobody will use.
            self.revoke(&signed_in.server, &signed_in.url, &signed_in.grant).await;
        }
        if !stored? {
            return Err(SignInError::UnknownState.into());
        }
        self.adapters.supervision.reconnect(&signed_in.server);
        Ok(signed_in.server)
    }

    /// Gives back what signing in gave. The user has to sign in anew. False if nobody was signed in.
    ///
    /// # Errors
    /// As the store's.
    pub async fn sign_out(&self, principal: &Principal, name: &McpServerName) -> Result<bool, StoreError> {
        let turn = self.adapters.supervision.turn(name).await;
        let grant = self.grant(name).await?;
        let entry = self.audit.entry(Happening::success(principal, "mcp_signed_out", name.as_str()));
        let removed = self.store.remove_sign_in(name, &entry).await?;
        self.adapters.supervision.reconnect(name);
        drop(turn);
        if removed && let Some((url, grant)) = grant {
            self.revoke(name, &url, &grant).await;
        }
        Ok(removed)
    }

    /// The address of a server, and what signing in to it gave. What cannot be read cannot be revoked either.
    async fn grant(&self, name: &McpServerName) -> Result<Option<(RemoteUrl, SecretString)>, StoreError> {
        let read = async {
            let server = self.store.find(name).await?;
            let Some(url) = server.as_ref().and_then(|server| server.transport.url()) else { return Ok(None) };
            let grant = self.store.sign_in(name).await?;
            Ok(grant.map(|grant| (url.clone(), grant)))
        };
        match read.await {
            Err(StoreError::Corrupt { .. }) => Ok(None),
            read => read,
        }
    }

    async fn revoke(&self, name: &McpServerName, url: &RemoteUrl, grant: &SecretString) {
        if let Err(error) = self.adapters.authorizer.revoke(url, grant).await {
            tracing::warn!(server = name.as_str(), %error, "tokens were dropped here, but not revoked");
        }
    }
}

/// What an entry of the audit log says of a server: what is run or reached, without secrets.
fn described(happening: Happening, server: &McpServer) -> Happening {
    let happening = happening.with("transport", server.transport.as_str()).with("enabled", server.enabled);
    match &server.transport {
        McpTransport::Stdio { command, arguments, environment } => {
            let names: Vec<&str> = environment.keys().map(super::EnvironmentName::as_str).collect();
            happening
                .with("command", command.as_str())
                .with("args", json!(mask::arguments(arguments.expose())))
                .with("env", json!(names))
        }
        McpTransport::Remote { url, headers, .. } => {
            let names: Vec<&str> = headers.keys().map(super::HeaderName::as_str).collect();
            happening.with("url", url.shown()).with("headers", json!(names))
        }
    }
}

/// One of the tests that run.
struct Running<'a>(&'a AtomicUsize);

impl<'a> Running<'a> {
    fn enter(count: &'a AtomicUsize) -> Option<Self> {
        let entered = count
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |running| (running < MAX_TESTS).then_some(running + 1));
        // Not made unless it is one: dropping it counts.
        entered.is_ok().then(|| Self(count))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
