//! What the agent is doing: at this moment, and as it changes.

use super::AppState;
use super::error::{ApiError, Errors};
use super::feed::Feed;
use super::streams::{KEEP_ALIVE, OpenStream, Streams};
use crate::domain::agent::service::Agent;
use crate::domain::agent::status::{AgentStatus, SessionState, SessionStatus};
use crate::domain::auth::service::Proven;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use futures_util::stream;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::watch;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

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
    /// `thinking`, `tool_running`, `streaming`, `waiting_for_user` or `error`.
    state: &'static str,
    tool_name: Option<String>,
    duration_seconds: f64,
    /// The tokens of the turn; null while its provider has not told of any.
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
            SessionState::WaitingForUser => ("waiting_for_user", None, None),
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
            token_usage: session.usage.map(|used| TokenUsageView { input: used.input, output: used.output }),
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
/// Every state of a session is told, however short it was. The `id` of an event counts changes since the server started. A comment is
/// sent every 15 seconds.
#[utoipa::path(
    get, path = "/agent/status/stream", tag = "agent",
    responses((status = 200, content_type = "text/event-stream", body = String), Errors)
)]
async fn stream_agent_status(
    State(agent): State<Arc<Agent>>,
    State(feed): State<Feed>,
    State(streams): State<Streams>,
    proven: Proven,
) -> Result<Response, ApiError> {
    let open = streams.open(&proven)?;
    let follower = Follower {
        // Subscribed before the first snapshot is taken, so that no change falls between the two.
        changes: feed.status(),
        agent,
        ready: VecDeque::new(),
        last: None,
        _open: open,
    };
    let frames = stream::unfold(follower, |mut follower| async move {
        let status = follower.next().await?;
        let view = serde_json::to_string(&StatusView::from(&status)).ok()?;
        let frame = format!("event: status\nid: {}\ndata: {view}\n\n", status.version);
        Some((Bytes::from(frame), follower))
    });
    Ok(streams.answer(frames, proven))
}

/// One client that follows the status.
struct Follower {
    changes: watch::Receiver<u64>,
    agent: Arc<Agent>,
    /// What is still to be sent.
    ready: VecDeque<AgentStatus>,
    last: Option<AgentStatus>,
    _open: OpenStream,
}

impl Follower {
    /// The next status that differs from the one before. `None` if the feed is gone.
    async fn next(&mut self) -> Option<AgentStatus> {
        loop {
            while let Some(status) = self.ready.pop_front() {
                if self.last.as_ref().is_none_or(|last| status.differs_from(last)) {
                    self.last = Some(status.clone());
                    return Some(status);
                }
            }
            let Some(last) = &self.last else {
                self.ready.push_back(self.agent.status());
                continue;
            };
            let seen = last.version;
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                // An old error that has vanished is a change that no event tells.
                () = tokio::time::sleep(KEEP_ALIVE) => {}
            }
            self.changes.borrow_and_update();
            self.ready.extend(self.agent.statuses_after(seen));
        }
    }
}
