//! What happens, as it happens.

use super::AppState;
use super::error::{ApiError, Errors};
use super::extract::Parameters;
use super::feed::{Batch, Feed, Frame, Reader, What, sse};
use super::streams::{OpenStream, Streams};
use crate::domain::auth::scope::Scope;
use crate::domain::auth::service::Proven;
use crate::domain::mcp::McpServerName;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::stream;
use serde_json::json;
use std::collections::{HashSet, VecDeque};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Routes under `/api/v1` only.
pub fn v1_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(stream_events))
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
    let scopes = &proven.principal.grant.scopes;
    let connected = sse("connected", Some(&reader.position()), &json!({ "status": "ok" }));
    let follower = Follower {
        reader,
        sees_servers: scopes.allows(Scope::Admin),
        sees_turns: scopes.allows(Scope::Chat) && scopes.allows(Scope::Sessions),
        sign_ins: HashSet::new(),
        ready: VecDeque::from([connected]),
        _open: open,
    };
    let frames = stream::unfold(follower, |mut follower| async move {
        let frame = follower.next().await;
        Some((frame, follower))
    });
    Ok(streams.answer(frames, proven))
}

/// One client that follows.
struct Follower {
    reader: Reader,
    sees_servers: bool,
    sees_turns: bool,
    /// The servers at which the user was told to sign in.
    sign_ins: HashSet<McpServerName>,
    /// What is still to be sent.
    ready: VecDeque<Bytes>,
    _open: OpenStream,
}

impl Follower {
    async fn next(&mut self) -> Bytes {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return frame;
            }
            match self.reader.next().await {
                Batch::Frames(frames) => {
                    let wanted = frames.into_iter().filter(|frame| self.wants(frame));
                    let wanted: Vec<_> = wanted.filter_map(|frame| frame.event()).collect();
                    self.ready.extend(wanted);
                }
                Batch::Gap(missed) => {
                    let body = json!({ "event": "gap", "data": { "missed": missed } });
                    return sse("gap", Some(&self.reader.position()), &body);
                }
            }
        }
    }

    fn wants(&mut self, frame: &Frame) -> bool {
        match &frame.what {
            What::Turn(_) | What::Failed(..) => self.sees_turns,
            What::Server { name, is_settled, .. } => {
                if *is_settled {
                    self.sign_ins.remove(name);
                }
                self.sees_servers
            }
            // It is the same wish until the server is connected, though the address is renewed now and then.
            What::SignIn { name, .. } => self.sees_servers && self.sign_ins.insert(name.clone()),
            What::Lost(_) => true,
        }
    }
}
