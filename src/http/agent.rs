//! What the agent is doing: at this moment, and as it changes.

use super::AppState;
use super::error::{ApiError, Errors};
use super::streams::{OpenStream, Streams};
use crate::domain::agent::service::Agent;
use crate::domain::agent::status::{AgentStatus, SessionState, SessionStatus};
use crate::domain::auth::service::Proven;
use crate::domain::event::Event;
use crate::ports::events::{EventBus, EventStream, Heard};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use axum::response::sse;
use futures_util::{FutureExt, StreamExt, stream};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Changes are sent no closer together than this.
const DEBOUNCE: Duration = Duration::from_secs(1);

/// How often a quiet stream says that it is alive. Also how often it looks whether an old error has vanished, which is a
/// change that no event tells.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Routes under `/api/v1` only.
pub fn v1_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(read_agent_status)).routes(routes!(stream_agent_status))
}

/// What the agent is doing.
#[derive(Serialize, ToSchema)]
struct StatusView {
    global: GlobalView,
    /// The sessions that are being answered, and those that failed within the last 30 seconds.
    sessions: Vec<SessionStatusView>,
}

#[derive(Serialize, ToSchema)]
struct GlobalView {
    /// `idle`, `active` or `degraded`.
    state: &'static str,
    active_sessions: usize,
    max_concurrent: usize,
    uptime_seconds: u64,
}

#[derive(Serialize, ToSchema)]
struct SessionStatusView {
    #[schema(example = "websocket:c06a4bd8c2ee")]
    session_key: String,
    #[schema(example = "c06a4bd8c2ee")]
    session_id: String,
    channel: String,
    title: String,
    /// `thinking`, `tool_running`, `streaming` or `error`.
    state: &'static str,
    tool_name: Option<String>,
    duration_seconds: f64,
    /// Null: the agent counts no tokens yet.
    token_usage: Option<TokenUsageView>,
    error_message: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct TokenUsageView {
    input: u64,
    output: u64,
}

impl From<&AgentStatus> for StatusView {
    fn from(status: &AgentStatus) -> Self {
        Self {
            global: GlobalView {
                state: status.state.as_str(),
                active_sessions: status.active_sessions,
                max_concurrent: status.max_concurrent,
                uptime_seconds: status.uptime.as_secs(),
            },
            sessions: status.sessions.iter().map(SessionStatusView::from).collect(),
        }
    }
}

impl From<&SessionStatus> for SessionStatusView {
    fn from(session: &SessionStatus) -> Self {
        let (state, tool_name, error_message) = match &session.state {
            SessionState::Thinking => ("thinking", None, None),
            SessionState::ToolRunning(name) => ("tool_running", Some(name.clone()), None),
            SessionState::Streaming => ("streaming", None, None),
            SessionState::Error(reason) => ("error", None, Some(reason.clone())),
        };
        Self {
            session_key: session.id.key(),
            session_id: session.id.chat().to_owned(),
            channel: session.id.channel().to_owned(),
            title: session.title.clone(),
            state,
            tool_name,
            // One digit, as the clients show it.
            duration_seconds: (session.duration.as_secs_f64() * 10.0).round() / 10.0,
            token_usage: None,
            error_message,
        }
    }
}

/// What the agent is doing at this moment.
#[utoipa::path(get, path = "/agent/status", tag = "agent", responses((status = 200, body = StatusView), Errors))]
async fn read_agent_status(State(agent): State<Arc<Agent>>) -> Json<StatusView> {
    Json(StatusView::from(&agent.status()))
}

/// What the agent is doing, as server-sent events: an event `status` at once, then one for every change.
///
/// Changes are gathered for up to a second. The `id` of an event counts changes since the server started. A comment is
/// sent every 15 seconds.
#[utoipa::path(
    get, path = "/agent/status/stream", tag = "agent",
    responses((status = 200, content_type = "text/event-stream", body = String), Errors)
)]
async fn stream_agent_status(
    State(agent): State<Arc<Agent>>,
    State(events): State<Arc<dyn EventBus>>,
    State(streams): State<Streams>,
    proven: Proven,
) -> Result<Response, ApiError> {
    let open = streams.open(&proven)?;
    let follower = Follower {
        // Subscribed before the first snapshot is taken, so that no change falls between the two.
        events: events.subscribe(),
        agent,
        last: None,
        _open: open,
    };
    let frames = stream::unfold(follower, |mut follower| async move {
        let status = follower.next().await?;
        let frame = sse::Event::default().event("status").id(status.version.to_string());
        let frame = frame.json_data(StatusView::from(&status)).ok()?;
        Some((frame, follower))
    });
    Ok(streams.answer(frames, KEEP_ALIVE, proven))
}

/// One client that follows the status.
struct Follower {
    events: EventStream,
    agent: Arc<Agent>,
    last: Option<(AgentStatus, Instant)>,
    _open: OpenStream,
}

impl Follower {
    /// The next status that the client has not seen. `None` if the bus is gone.
    async fn next(&mut self) -> Option<AgentStatus> {
        let status = match self.last.clone() {
            None => self.agent.status(),
            Some((last, sent)) => self.unseen(&last, sent).await?,
        };
        self.last = Some((status.clone(), Instant::now()));
        Some(status)
    }

    /// Waits for a status that differs from `last`, which was sent then. `None` if the bus is gone.
    async fn unseen(&mut self, last: &AgentStatus, sent: Instant) -> Option<AgentStatus> {
        loop {
            tokio::select! {
                heard = self.events.next() => match heard? {
                    Heard::Event(Event::AgentStatusChanged) | Heard::Missed(_) => {}
                    Heard::Event(Event::CredentialsChanged | Event::McpServerChanged(_)) => continue,
                },
                () = tokio::time::sleep(KEEP_ALIVE) => {}
            }
            tokio::time::sleep_until(sent + DEBOUNCE).await;
            // What else was told until now is in the status that is read next.
            while self.events.next().now_or_never().is_some_and(|heard| heard.is_some()) {}
            let status = self.agent.status();
            // A change may have been undone while changes were gathered.
            if status.differs_from(last) {
                return Some(status);
            }
        }
    }
}
