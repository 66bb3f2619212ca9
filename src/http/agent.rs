//! What the agent is doing: at this moment, and as it changes.

use super::AppState;
use super::error::{ApiError, Errors};
use super::extract::Parameters;
use super::feed::{Feed, sse};
use super::streams::{KEEP_ALIVE, OpenStream, Streams};
use crate::domain::agent::service::Agent;
use crate::domain::agent::status::{AgentStatus, SessionState, SessionStatus};
use crate::domain::auth::service::Proven;
use axum::Json;
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
    OpenApiRouter::new()
        .routes(routes!(read_agent_status))
        .routes(routes!(stream_agent_status))
        .routes(routes!(poll_agent_status))
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
/// Every state of a session is told, however short it was. The `id` of an event names the run of the server and
/// counts changes since it began. A comment is sent every 15 seconds.
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
    let follower = Follower::new(agent, &feed, None, open);
    let frames = stream::unfold((follower, feed), |(mut follower, feed)| async move {
        let status = follower.next().await?;
        let view = serde_json::to_string(&StatusView::from(&status)).ok()?;
        let frame = sse("status", Some(&feed.id(status.version)), &view);
        Some((frame, (follower, feed)))
    });
    Ok(streams.answer(frames, proven))
}

/// What the agent did since somebody asked last.
#[derive(Serialize, ToSchema)]
struct StatusesView {
    /// Every status since then, oldest first.
    events: Vec<StatusEventView>,
    /// What to give as `since` next time.
    #[schema(example = "mb1q8x7k-42")]
    since: String,
}

/// An event, with the members that it has in the stream.
#[derive(Serialize, ToSchema)]
struct StatusEventView {
    #[schema(example = "mb1q8x7k-42")]
    id: String,
    /// Always `status`.
    event: &'static str,
    data: StatusView,
}

impl StatusEventView {
    fn of(status: &AgentStatus, feed: &Feed) -> Self {
        Self { id: feed.id(status.version), event: "status", data: status.into() }
    }
}

/// What the agent is doing, as soon as that is something else than at the event `since`, or after `wait` seconds.
///
/// The same as the stream, for clients that it does not reach: what is between them may hold a stream back until it ends, as
/// Cloudflare's quick tunnels do. Without `since`, or with one of another run of the server, the answer is the present
/// status, at once.
#[utoipa::path(
    get, path = "/agent/status/poll", tag = "agent",
    params(
        ("since" = Option<String>, Query, description = "The id of the event that was read last"),
        ("wait" = Option<u64>, Query, minimum = 0, maximum = 60, description = "How long to wait, in seconds; 25 unless given")
    ),
    responses((status = 200, body = StatusesView), super::error::ParameterErrors, Errors)
)]
async fn poll_agent_status(
    State(agent): State<Arc<Agent>>,
    State(feed): State<Feed>,
    State(streams): State<Streams>,
    parameters: Parameters,
    proven: Proven,
) -> Result<Json<StatusesView>, ApiError> {
    let wait = parameters.wait()?;
    let open = streams.open(&proven)?;
    let since = parameters.text("since").and_then(|id| feed.number(id));
    // Nobody was told of one that is still to come.
    let since = since.filter(|since| *since <= agent.status().version);
    let mut follower = Follower::new(agent, &feed, since, open);
    let first = streams.wait_for(follower.next(), wait, proven).await?.flatten();
    let rest = std::iter::from_fn(|| follower.next_ready());
    let events = first.into_iter().chain(rest).map(|status| StatusEventView::of(&status, &feed)).collect();
    Ok(Json(StatusesView { events, since: feed.id(follower.seen.unwrap_or_default()) }))
}

/// One client that follows the status.
struct Follower {
    agent: Arc<Agent>,
    changes: watch::Receiver<u64>,
    /// The version of the last status that was taken in, or that the client knows from before.
    seen: Option<u64>,
    /// What is still to be sent.
    ready: VecDeque<AgentStatus>,
    /// What was sent last.
    last: Option<AgentStatus>,
    _open: OpenStream,
}

impl Follower {
    fn new(agent: Arc<Agent>, feed: &Feed, seen: Option<u64>, open: OpenStream) -> Self {
        // Subscribed before the first look, so that no change falls between the two.
        Self { changes: feed.status(), agent, seen, ready: VecDeque::new(), last: None, _open: open }
    }

    /// The next status that differs from the one before; the first time, the present one, unless the client knows one.
    /// `None` if the feed is gone. May be dropped.
    async fn next(&mut self) -> Option<AgentStatus> {
        loop {
            if let Some(status) = self.next_ready() {
                return Some(status);
            }
            let statuses = match self.seen {
                Some(seen) => self.agent.statuses_after(seen),
                None => vec![self.agent.status()],
            };
            if let Some(newest) = statuses.last() {
                self.seen = Some(newest.version);
                self.ready.extend(statuses);
                continue;
            }
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                // An old error that has vanished is a change that no event tells.
                () = tokio::time::sleep(KEEP_ALIVE) => {}
            }
            self.changes.borrow_and_update();
        }
    }

    /// The same among those that were taken in already.
    fn next_ready(&mut self) -> Option<AgentStatus> {
        loop {
            let status = self.ready.pop_front()?;
            if self.last.as_ref().is_none_or(|last| status.differs_from(last)) {
                self.last = Some(status.clone());
                return Some(status);
            }
        }
    }
}
