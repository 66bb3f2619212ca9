//! A connection, whatever carries its messages.

use super::call;
use super::catalog::{Catalog, Shelf};
use super::fate::Fate;
use super::problem;
use super::stdio::{Exits, Program};
use crate::domain::mcp::connect::ConnectError;
use crate::domain::mcp::tool::{CallError, Tool, ToolResult, Tools};
use crate::ports::mcp::{ConnectionEvent, McpConnection};
use async_trait::async_trait;
use rmcp::model::{ClientCapabilities, ClientConfig, Implementation, ProtocolVersion};
use rmcp::service::{ClientInitializeError, NotificationContext, RunningService, serve_client_with_ct};
use rmcp::transport::IntoTransport;
use rmcp::{ClientHandler, Peer, RoleClient};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long is waited for the reason, when something ended.
pub(super) const MOMENT: Duration = Duration::from_secs(1);

/// How long asking for tools that changed may take.
const REFRESH: Duration = Duration::from_secs(30);

/// What lies at least between two times that the tools are asked for.
const PAUSE: Duration = Duration::from_millis(200);

/// After so many failures in a row it is better to begin anew.
const MAX_FAILED_LISTINGS: u32 = 3;

/// How long closing waits for a remote server to be told. It is told later if that does not suffice.
const FAREWELL: Duration = Duration::from_secs(2);

/// How many arguments are checked at a time. A schema can make this take for ever; then only its server suffers.
const CHECKS: usize = 2;

/// What the server sees of us: no capabilities, since nobody is there to answer its questions.
struct Client(Arc<Fate>);

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        let us = Implementation::new("pawport", env!("CARGO_PKG_VERSION"));
        // Later ones have no handshake any more.
        ClientConfig::new(ClientCapabilities::default(), us)
            .with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.0.ask_again();
    }
}

/// A server that answered `initialize`. Dropping it ends the connection.
pub(super) struct Opened {
    service: RunningService<RoleClient, Client>,
    stop: CancellationToken,
    fate: Arc<Fate>,
}

impl Opened {
    /// Agrees on a version of the protocol.
    pub async fn open<T, E, A>(transport: T, fate: Arc<Fate>) -> Result<Self, ClientInitializeError>
    where
        T: IntoTransport<RoleClient, E, A>,
        E: std::error::Error + Send + Sync + 'static,
    {
        let stop = CancellationToken::new();
        let service = serve_client_with_ct(Client(Arc::clone(&fate)), transport, stop.clone()).await?;
        Ok(Self { service, stop, fate })
    }

    /// Asks for the tools. `None` instead of an error: the connection was lost.
    pub async fn tools(&self, limit: Duration) -> Result<Vec<Tool>, Option<ConnectError>> {
        let version = self.service.peer_info().map(|server| server.protocol_version.clone());
        if let Some(version) = version.filter(|version| !ProtocolVersion::KNOWN_VERSIONS.contains(version)) {
            return Err(Some(ConnectError::Version(problem::short(version.as_str()))));
        }
        let listing = timeout(limit, call::list(self.service.peer())).await;
        let listed = listing.map_err(|_| ConnectError::HandshakeTimedOut(limit))?;
        listed.map_err(|error| problem::of_listing(&error))
    }

    /// Watches over it from now on.
    pub fn into_session(self, tools: Vec<Tool>, program: Option<Program>, tasks: &TaskTracker) -> Session {
        let Self { service, stop, fate } = self;
        let peer = service.peer().clone();
        let newest = Arc::new(Shelf::new(Catalog::new(tools)));
        let ended = CancellationToken::new();
        let exits = program.as_ref().map(Program::exits);
        tasks.spawn(keep(service, exits, Arc::clone(&fate), stop.clone(), ended.clone()));
        tasks.spawn(refresh(peer.clone(), Arc::clone(&newest), Arc::clone(&fate)));
        Session { peer, shelf: newest, fate, stop, ended, program, checks: Arc::new(Semaphore::new(CHECKS)) }
    }
}

/// Waits for the end, and says why.
async fn keep(
    service: RunningService<RoleClient, Client>,
    exits: Option<Exits>,
    fate: Arc<Fate>,
    stop: CancellationToken,
    ended: CancellationToken,
) {
    let mut waiting = std::pin::pin!(service.waiting());
    match exits {
        None => {
            let _ = waiting.as_mut().await;
            fate.lose("the server closed the connection");
        }
        Some(exits) => {
            let is_closed = tokio::select! {
                _ = waiting.as_mut() => true,
                _ = exits.wait() => false,
            };
            // The end of its output is seen before its own end, which says more.
            match timeout(MOMENT, exits.wait()).await {
                Ok(how) => fate.lose(&how),
                Err(_) => fate.lose("the program closed its output"),
            }
            stop.cancel();
            if !is_closed {
                let _ = waiting.await;
            }
        }
    }
    ended.cancel();
}

/// Asks for the tools whenever they may have changed.
async fn refresh(peer: Peer<RoleClient>, shelf: Arc<Shelf>, fate: Arc<Fate>) {
    let work = async {
        let mut failures = 0;
        while failures < MAX_FAILED_LISTINGS {
            fate.stale().await;
            match timeout(REFRESH, call::list(&peer)).await {
                Ok(Ok(tools)) => {
                    shelf.replace(Catalog::new(tools));
                    fate.tools_changed();
                    failures = 0;
                }
                // What is known stays; whoever calls a tool that is gone hears it from the server.
                Ok(Err(_)) | Err(_) => failures += 1,
            }
            sleep(PAUSE).await;
        }
        fate.lose("the server says that its tools changed, and does not list them");
    };
    tokio::select! {
        () = fate.gone() => {}
        () = work => {}
    }
}

/// A connection that works.
pub(super) struct Session {
    peer: Peer<RoleClient>,
    shelf: Arc<Shelf>,
    fate: Arc<Fate>,
    stop: CancellationToken,
    ended: CancellationToken,
    program: Option<Program>,
    checks: Arc<Semaphore>,
}

impl Session {
    async fn try_call(&self, tool: &str, arguments: Map<String, Value>) -> Result<ToolResult, CallError> {
        let arguments = self.checked(tool, arguments).await?;
        match call::call(&self.peer, tool, arguments).await {
            Ok(result) => Ok(result),
            Err(Some(error)) => Err(self.masked(error)),
            Err(None) => Err(self.lost().await),
        }
    }

    async fn checked(&self, tool: &str, arguments: Map<String, Value>) -> Result<Map<String, Value>, CallError> {
        let catalog = self.shelf.newest();
        let place = catalog.find(tool);
        let place = place.ok_or_else(|| CallError::NoTool { server: String::new(), tool: tool.to_owned() })?;
        let Ok(permit) = Arc::clone(&self.checks).acquire_owned().await else { return Err(self.lost().await) };
        let check = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            catalog.check(place, arguments)
        });
        match check.await {
            Ok(checked) => checked,
            // The runtime ends.
            Err(_) => Err(self.lost().await),
        }
    }

    async fn lost(&self) -> CallError {
        let _ = timeout(MOMENT, self.fate.gone()).await;
        CallError::Lost(self.fate.reason())
    }

    fn masked(&self, error: CallError) -> CallError {
        let masks = self.fate.masks();
        match error {
            CallError::Refused { code, message } => CallError::Refused { code, message: masks.text(&message) },
            CallError::Lost(reason) => CallError::Lost(masks.text(&reason)),
            error => error,
        }
    }
}

#[async_trait]
impl McpConnection for Session {
    fn tools(&self) -> Tools {
        self.shelf.newest().tools()
    }

    async fn next(&self) -> ConnectionEvent {
        self.fate.next().await
    }

    async fn call(&self, tool: &str, arguments: Map<String, Value>, limit: Duration) -> Result<ToolResult, CallError> {
        tokio::select! {
            // An answer that came just before the end is one.
            biased;
            result = timeout(limit, self.try_call(tool, arguments)) => {
                result.unwrap_or(Err(CallError::TimedOut(limit)))
            }
            () = self.fate.gone() => Err(CallError::Lost(self.fate.reason())),
        }
    }

    async fn close(&self) {
        self.fate.lose("it was closed");
        self.stop.cancel();
        match &self.program {
            Some(program) => program.stop().await,
            None => {
                let _ = timeout(FAREWELL, self.ended.cancelled()).await;
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Ends the tasks. The program kills itself when it is dropped.
        self.fate.lose("it was dropped");
        self.stop.cancel();
    }
}
