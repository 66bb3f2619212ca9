//! What happens, as it happens.

use super::AppState;
use super::error::{ApiError, Errors};
use super::extract::Parameters;
use super::feed::{Batch, Feed, Frame, Reader, What, sse};
use super::streams::{OpenStream, Streams};
use crate::domain::auth::scope::Scope;
use crate::domain::auth::service::Proven;
use crate::domain::mcp::McpServerName;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::stream;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Routes under `/api/v1` only.
pub fn v1_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(stream_events)).routes(routes!(poll_events))
}

/// What happens, as server-sent events: `connected` at once, then an event for everything that happens.
///
/// `data` holds `{"event": …, "data": …}`, but for `connected`.
///
/// With the scopes `chat` and `sessions`, what happens to turns, each with `session_key`, `session_id` and `trace_id`, the turn's id:
///
/// - `agent_start`: an agent begins; `backend`, `model`.
/// - `thinking`: `content`, a piece of what the model thinks aloud.
/// - `message`: `content`, a piece of the answer; `is_stream_chunk: true`.
/// - `tool_start`: `name`, `params`. `tool_result`: `name`, `result`, `status` (`success` or `error`).
/// - `ask_user_question`: `question`, `options`.
/// - `token_usage`: `input_tokens`, `output_tokens`, `total_tokens`, in addition to those before.
/// - `error`: the turn failed; `message`.
/// - `agent_end`: the answer is stored; `status` (`answered`, `stopped` or `failed`), `usage`.
///
/// With the scope `admin`:
///
/// - `mcp_status`: an MCP server changed; `name`, and the members of its status, or `removed: true`.
/// - `mcp_oauth_redirect`: the user has to sign in to the MCP server `server`, at `url`.
/// - `tunnel_status`: the tunnel changed; its status.
///
/// With any:
///
/// - `gap`: so many events (`missed`; null if nobody knows) are lost to this client; ask for the state instead.
///
/// Every event has an `id`. Who comes back with the last one in the header `Last-Event-ID`, or in the query, gets what came
/// since; if that is not kept any more, a `gap` first. A comment is sent every 15 seconds.
#[utoipa::path(
    get, path = "/events/stream", tag = "events",
    params(
        ("last_event_id" = Option<String>, Query, description = "The id of the event that was read last"),
        ("Last-Event-ID" = Option<String>, Header, description = "The same; what browsers send when they come back")
    ),
    responses((status = 200, content_type = "text/event-stream", body = String), super::error::ParameterErrors, Errors)
)]
async fn stream_events(
    State(feed): State<Feed>,
    State(streams): State<Streams>,
    headers: HeaderMap,
    parameters: Parameters,
    proven: Proven,
) -> Result<Response, ApiError> {
    let open = streams.open(&proven)?;
    let header = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let last = header.or_else(|| parameters.text("last_event_id")).filter(|id| !id.is_empty());
    let reader = last.map_or_else(|| feed.read(), |id| feed.read_after(id));
    let connected = sse("connected", Some(&reader.position()), &json!({ "status": "ok" }));
    let follower = Follower::new(reader, &proven, open);
    let frames = stream::unfold((follower, VecDeque::from([connected])), |(mut follower, mut ready)| async move {
        while ready.is_empty() {
            ready.extend(follower.next().await.into_iter().filter_map(|heard| heard.event()));
        }
        ready.pop_front().map(|frame| (frame, (follower, ready)))
    });
    Ok(streams.answer(frames, proven))
}

/// What happened since somebody asked last.
#[derive(Serialize, ToSchema)]
struct EventsView {
    /// Oldest first.
    events: Vec<Value>,
    /// What to give as `since` next time.
    #[schema(example = "mb1q8x7k-42")]
    since: String,
}

/// What happened since the event `since`: at once if something has, else as soon as something does, else after `wait` seconds.
///
/// The same as the stream, for clients that it does not reach: what is between them may hold a stream back until it ends, as
/// Cloudflare's quick tunnels do. Each event has the `id`, `event` and `data` that the stream gives it, so a client may go
/// on with the other at any time; only where to sign in to an MCP server is told again whenever that address is renewed. Without `since` the answer comes at once, has no events, and says where to begin.
#[utoipa::path(
    get, path = "/events/poll", tag = "events",
    params(
        ("since" = Option<String>, Query, description = "The id of the event that was read last"),
        ("wait" = Option<u64>, Query, minimum = 0, maximum = 60, description = "How long to wait, in seconds; 25 unless given")
    ),
    responses((status = 200, body = EventsView), super::error::ParameterErrors, Errors)
)]
async fn poll_events(
    State(feed): State<Feed>,
    State(streams): State<Streams>,
    parameters: Parameters,
    proven: Proven,
) -> Result<Json<EventsView>, ApiError> {
    let wait = parameters.wait()?;
    let open = streams.open(&proven)?;
    let Some(since) = parameters.text("since").filter(|id| !id.is_empty()) else {
        return Ok(Json(EventsView { events: Vec::new(), since: feed.read().position() }));
    };
    let mut follower = Follower::new(feed.read_after(since), &proven, open);
    let heard = async {
        loop {
            let events: Vec<_> = follower.next().await.iter().filter_map(Heard::value).collect();
            if !events.is_empty() {
                return events;
            }
        }
    };
    let events = streams.wait_for(heard, wait, proven).await?.unwrap_or_default();
    Ok(Json(EventsView { events, since: follower.reader.position() }))
}

/// One client that follows.
struct Follower {
    reader: Reader,
    sees_administration: bool,
    sees_turns: bool,
    /// The servers at which the user was told to sign in.
    sign_ins: HashSet<McpServerName>,
    _open: OpenStream,
}

impl Follower {
    fn new(reader: Reader, proven: &Proven, open: OpenStream) -> Self {
        let scopes = &proven.principal.grant.scopes;
        Self {
            reader,
            sees_administration: scopes.allows(Scope::Admin),
            sees_turns: scopes.allows(Scope::Chat) && scopes.allows(Scope::Sessions),
            sign_ins: HashSet::new(),
            _open: open,
        }
    }

    /// Waits until something happens. Nothing of that may be for this client. May be dropped.
    async fn next(&mut self) -> Vec<Heard> {
        match self.reader.next().await {
            Batch::Frames(frames) => frames.into_iter().filter(|frame| self.wants(frame)).map(Heard::Frame).collect(),
            Batch::Gap(missed) => vec![Heard::Gap { id: self.reader.position(), missed }],
        }
    }

    fn wants(&mut self, frame: &Frame) -> bool {
        match &frame.what {
            What::Turn(_) | What::Failed(..) => self.sees_turns,
            What::Server { name, is_settled, .. } => {
                if *is_settled {
                    self.sign_ins.remove(name);
                }
                self.sees_administration
            }
            // It is the same wish until the server is connected, though the address is renewed now and then.
            What::SignIn { name, .. } => self.sees_administration && self.sign_ins.insert(name.clone()),
            What::Tunnel(_) => self.sees_administration,
            What::Lost(_) => true,
        }
    }
}

/// What a client is told.
enum Heard {
    Frame(Arc<Frame>),
    /// So many events are lost to it.
    Gap {
        id: String,
        missed: Option<u64>,
    },
}

impl Heard {
    /// For a stream.
    fn event(&self) -> Option<Bytes> {
        match self {
            Self::Frame(frame) => frame.event(),
            Self::Gap { id, missed } => {
                Some(sse("gap", Some(id), &json!({ "event": "gap", "data": { "missed": missed } })))
            }
        }
    }

    /// For an answer.
    fn value(&self) -> Option<Value> {
        match self {
            Self::Frame(frame) => frame.value(),
            Self::Gap { id, missed } => Some(json!({ "id": id, "event": "gap", "data": { "missed": missed } })),
        }
    }
}
