//! Watches over MCP servers: a task for each that is enabled, which does what its state machine says.

use crate::domain::event::Event;
use crate::domain::mcp::connect::{Budgets, ConnectError};
use crate::domain::mcp::sign_in::SignInError;
use crate::domain::mcp::status::{McpState, McpStatus};
use crate::domain::mcp::supervisor::{Effect, Input, Supervisor};
use crate::domain::mcp::tool::{CallError, ToolResult, Tools};
use crate::domain::mcp::{McpServer, McpServerName, McpTransport};
use crate::domain::output::{Masks, Tail};
use crate::domain::time::Timestamp;
use crate::ports::clock::Clock;
use crate::ports::entropy::{Entropy, random};
use crate::ports::events::EventBus;
use crate::ports::mcp::{ConnectionEvent, McpAuthorizer, McpConnection, McpConnector, McpSupervision};
use async_trait::async_trait;
use futures_util::FutureExt;
use serde_json::{Map, Value};
use std::any::Any;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What the tasks work with.
pub struct World {
    /// Reaches servers.
    pub connector: Arc<dyn McpConnector>,
    /// Begins sign-ins.
    pub authorizer: Arc<dyn McpAuthorizer>,
    /// Is told of every change.
    pub events: Arc<dyn EventBus>,
    /// Says since when.
    pub clock: Arc<dyn Clock>,
    /// Spreads pauses.
    pub entropy: Arc<dyn Entropy>,
    /// How long connecting may take.
    pub budgets: Budgets,
}

/// Watches over servers until it is told to stop; the tracker it was given is done when all programs have ended.
pub struct Supervision {
    world: Arc<World>,
    servers: Mutex<HashMap<McpServerName, Arc<Watched>>>,
    turns: Mutex<HashMap<McpServerName, Weak<tokio::sync::Mutex<()>>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// One server.
struct Watched {
    server: McpServer,
    masks: Masks,
    tail: Arc<Tail>,
    live: Mutex<Live>,
    retry: Notify,
    reconnect: Notify,
    stop: CancellationToken,
    /// Done when the task has ended, and with it the program.
    task: TaskTracker,
}

/// What changes.
struct Live {
    machine: Supervisor,
    connection: Option<Arc<dyn McpConnection>>,
    /// Those of the connection that may be called.
    tools: Tools,
}

impl Supervision {
    /// Nothing to watch over yet. Tasks run on `tasks`, and end when `stop` is cancelled.
    #[must_use]
    pub fn new(world: World, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self { world: Arc::new(world), servers: Mutex::default(), turns: Mutex::default(), tasks, stop }
    }

    fn servers(&self) -> MutexGuard<'_, HashMap<McpServerName, Arc<Watched>>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watched(&self, name: &McpServerName) -> Option<Arc<Watched>> {
        self.servers().get(name).cloned()
    }
}

#[async_trait]
impl McpSupervision for Supervision {
    async fn turn(&self, name: &McpServerName) -> Box<dyn Any + Send> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            let known = turns.get(name).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let turn = Arc::default();
                turns.insert(name.clone(), Arc::downgrade(&turn));
                turn
            })
        };
        Box::new(turn.lock_owned().await)
    }

    async fn supervise(&self, server: McpServer) {
        let before = self.watched(&server.name);
        if let Some(before) = before {
            before.end().await;
        }
        let watched = Arc::new(Watched::new(server, &*self.world.clock, self.stop.child_token()));
        let name = watched.server.name.clone();
        self.servers().insert(name.clone(), Arc::clone(&watched));
        if watched.server.enabled {
            let task = watched.task.track_future(watch(Arc::clone(&self.world), Arc::clone(&watched)));
            self.tasks.spawn(task);
        }
        watched.task.close();
        self.world.events.publish(Event::McpServerChanged(name));
    }

    async fn forget(&self, name: &McpServerName) -> bool {
        let Some(watched) = self.watched(name) else { return false };
        watched.end().await;
        self.servers().remove(name);
        self.world.events.publish(Event::McpServerChanged(name.clone()));
        true
    }

    fn retry(&self, name: &McpServerName) {
        if let Some(watched) = self.watched(name) {
            // Only if it waits: whoever asks while it is being connected has what they want.
            watched.retry.notify_waiters();
        }
    }

    fn reconnect(&self, name: &McpServerName) {
        if let Some(watched) = self.watched(name) {
            watched.reconnect.notify_one();
        }
    }

    fn statuses(&self) -> Vec<McpStatus> {
        let mut servers: Vec<Arc<Watched>> = self.servers().values().cloned().collect();
        servers.sort_by(|a, b| (a.server.created, &a.server.name).cmp(&(b.server.created, &b.server.name)));
        servers.iter().map(|watched| watched.status()).collect()
    }

    fn status(&self, name: &McpServerName) -> Option<McpStatus> {
        self.watched(name).map(|watched| watched.status())
    }

    async fn call(
        &self,
        server: &McpServerName,
        tool: &str,
        arguments: Map<String, Value>,
    ) -> Result<ToolResult, CallError> {
        let watched = self.watched(server).ok_or_else(|| CallError::NoServer(server.as_str().to_owned()))?;
        watched.call(tool, arguments).await
    }
}

impl Watched {
    fn new(server: McpServer, clock: &dyn Clock, stop: CancellationToken) -> Self {
        let masks = Masks::of(&server);
        let tail = Arc::new(Tail::new(masks.clone()));
        let machine = Supervisor::new(clock.now());
        let live = Mutex::new(Live { machine, connection: None, tools: Tools::default() });
        let (retry, reconnect, task) = (Notify::new(), Notify::new(), TaskTracker::new());
        Self { server, masks, tail, live, retry, reconnect, stop, task }
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the task, and with it the program.
    async fn end(&self) {
        self.stop.cancel();
        self.task.wait().await;
    }

    fn status(&self) -> McpStatus {
        let live = self.live();
        let machine = &live.machine;
        McpStatus {
            name: self.server.name.clone(),
            transport: self.server.transport.as_str(),
            preset: self.server.preset.clone(),
            state: if self.server.enabled { machine.state().clone() } else { McpState::Disabled },
            since: machine.since(),
            tools: Arc::clone(&live.tools),
            error: self.masks.text(machine.error()),
            stderr: self.tail.to_vec(),
            restarts: machine.restarts(),
        }
    }

    async fn call(&self, tool: &str, arguments: Map<String, Value>) -> Result<ToolResult, CallError> {
        let server = || self.server.name.as_str().to_owned();
        let Some(connection) = self.live().connection.clone() else {
            return Err(CallError::NotConnected { server: server(), why: self.why_not_connected() });
        };
        if !self.server.tools.allows(tool) {
            return Err(CallError::NotAllowed(tool.to_owned()));
        }
        let called = connection.call(tool, arguments, self.server.call_timeout.duration()).await;
        let masks = &self.masks;
        match called {
            Ok(mut result) => {
                result.content.iter_mut().chain(&mut result.structured).for_each(|value| masks.value(value));
                Ok(result)
            }
            Err(CallError::NoTool { tool, .. }) => Err(CallError::NoTool { server: server(), tool }),
            Err(CallError::Refused { code, message }) => {
                Err(CallError::Refused { code, message: masks.text(&message) })
            }
            Err(CallError::Lost(reason)) => Err(CallError::Lost(masks.text(&reason))),
            Err(error) => Err(error),
        }
    }

    fn why_not_connected(&self) -> String {
        let status = self.status();
        match status.state {
            McpState::Disabled => "it is switched off".to_owned(),
            McpState::Connecting | McpState::Connected => "it is being connected; try again in a moment".to_owned(),
            McpState::NeedsAuth { .. } => "it wants you to sign in first".to_owned(),
            McpState::BackingOff { .. } | McpState::Failed => status.error,
        }
    }

    /// Takes over the connection's tools that may be called.
    fn refresh_tools(&self, connection: &dyn McpConnection) {
        let tools = connection.tools();
        let allowed: Tools = tools.iter().filter(|tool| self.server.tools.allows(&tool.name)).cloned().collect();
        self.live().tools = allowed;
    }
}

/// Does what the server's state machine says, until it is told to stop.
async fn watch(world: Arc<World>, watched: Arc<Watched>) {
    let mut effect = Effect::Connect;
    while !watched.stop.is_cancelled() {
        // Not dropped when it is to stop: what was started is to be ended in order.
        let work = AssertUnwindSafe(carry_out(&world, &watched, effect)).catch_unwind();
        let input = tokio::select! {
            input = work => input.unwrap_or_else(|_| panicked(&watched)),
            () = watched.reconnect.notified() => Input::Reconnect,
        };
        if watched.stop.is_cancelled() {
            break;
        }
        if !matches!(input, Input::Connected) {
            disconnect(&watched).await;
        }
        effect = step(&world, &watched, input);
    }
    disconnect(&watched).await;
}

/// A mistake of ours is a failure like another, and no reason to leave a server as it is for ever.
fn panicked(watched: &Watched) -> Input {
    tracing::error!(server = watched.server.name.as_str(), "watching over an MCP server panicked");
    let reason = "Pawport made a mistake; its log says more".to_owned();
    match watched.live().connection {
        Some(_) => Input::Lost(reason),
        None => Input::Failed(ConnectError::Lost(reason)),
    }
}

/// Gives the machine an input, and tells who listens.
fn step(world: &World, watched: &Watched, input: Input) -> Effect {
    let now: Timestamp = world.clock.now();
    let chance = u64::from_le_bytes(random(&*world.entropy));
    let (effect, before, after) = {
        let mut live = watched.live();
        let before = live.machine.state().clone();
        let effect = live.machine.step(input, now, chance);
        (effect, before, live.machine.state().clone())
    };
    if before != after {
        let status = watched.status();
        tracing::info!(
            server = status.name.as_str(),
            state = after.as_str(),
            error = status.error,
            "an MCP server has another state"
        );
        world.events.publish(Event::McpServerChanged(status.name));
    }
    effect
}

/// Does what is to be done, and gives what came of it; anything if it is to stop. May be dropped at any time.
async fn carry_out(world: &World, watched: &Watched, effect: Effect) -> Input {
    match effect {
        Effect::Connect => connect(world, watched).await,
        Effect::Wait(pause) => tokio::select! {
            () = sleep(pause) => Input::Due,
            () = watched.retry.notified() => Input::Start,
            () = watched.stop.cancelled() => Input::Due,
        },
        Effect::Rest => {
            let connection = watched.live().connection.clone();
            match connection {
                Some(connection) => hold(world, watched, connection).await,
                None => {
                    watched.stop.run_until_cancelled(watched.retry.notified()).await;
                    Input::Start
                }
            }
        }
    }
}

async fn connect(world: &World, watched: &Watched) -> Input {
    let server = &watched.server;
    let stop = Box::pin(watched.stop.clone().cancelled_owned());
    match world.connector.connect(server, true, world.budgets, Arc::clone(&watched.tail), stop).await {
        Ok(connection) => {
            let connection: Arc<dyn McpConnection> = Arc::from(connection);
            watched.refresh_tools(&*connection);
            watched.live().connection = Some(connection);
            Input::Connected
        }
        Err(ConnectError::Unauthorized { challenge }) if may_sign_in(server) => {
            let begun = watched.stop.run_until_cancelled(world.authorizer.begin(server, challenge.as_deref())).await;
            match begun.unwrap_or_else(|| Err(SignInError::Unusable("it was given up".to_owned()))) {
                Ok(url) => Input::SignIn(url),
                Err(SignInError::Unusable(reason)) => Input::Failed(ConnectError::SignInUnusable(reason)),
                Err(error) => Input::Failed(ConnectError::SignInUnusable(error.to_string())),
            }
        }
        Err(error) => Input::Failed(error),
    }
}

/// Whoever configured a token wants that one to be used.
fn may_sign_in(server: &McpServer) -> bool {
    match &server.transport {
        McpTransport::Stdio { .. } => false,
        McpTransport::Remote { headers, .. } => headers.keys().all(|name| name.as_str() != "authorization"),
    }
}

/// Waits until the connection is gone.
async fn hold(world: &World, watched: &Watched, connection: Arc<dyn McpConnection>) -> Input {
    loop {
        let event = watched.stop.run_until_cancelled(connection.next()).await;
        match event.unwrap_or_else(|| ConnectionEvent::Lost("it was closed".to_owned())) {
            ConnectionEvent::ToolsChanged => {
                watched.refresh_tools(&*connection);
                world.events.publish(Event::McpServerChanged(watched.server.name.clone()));
            }
            ConnectionEvent::Lost(reason) => return Input::Lost(reason),
        }
    }
}

/// Ends the connection, if there is one. Until that is done it is known, so that nobody takes it for ended.
async fn disconnect(watched: &Watched) {
    let connection = watched.live().connection.clone();
    if let Some(connection) = connection {
        connection.close().await;
    }
    let mut live = watched.live();
    live.tools = Tools::default();
    live.connection = None;
}

#[cfg(test)]
mod tests;
