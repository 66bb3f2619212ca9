//! Talking to the agent.

mod body;
mod stream;

use super::AppState;
use super::error::{ApiError, BodyErrors, ErrorBody, Errors};
use super::extract::{ApiJson, Parameters, RawBody, parse_json};
use super::feed::sse;
use super::gate::Caller;
use super::work::to_the_end;
use crate::domain::agent::Reply;
use crate::domain::agent::model::TokenUsage;
use crate::domain::agent::service::chat::{Chats, Said, SayError, Saying};
use crate::domain::agent::waiting::OnReply;
use crate::domain::auth::Principal;
use crate::domain::auth::service::Proven;
use crate::domain::session::SessionId;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use body::ChatBody;
use futures_channel::oneshot;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use stream::Follower;
use tokio_util::task::TaskTracker;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use body::{content, existing_session, written_forms};

/// Routes under `/api/v1` only.
pub fn v1_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(chat))
        .routes(routes!(stream_chat))
        .routes(routes!(stop_chat))
        .routes(routes!(approve_plan))
        .routes(routes!(reject_plan))
}

impl From<SayError> for ApiError {
    fn from(error: SayError) -> Self {
        match error {
            SayError::QueueFull => Self::busy(error.to_string()),
            SayError::Store(error) => error.into(),
        }
    }
}

/// Says something, to the end although the client may go away: a message is stored with all that belongs to it.
pub async fn say(
    tasks: &TaskTracker,
    chats: &Arc<Chats>,
    principal: &Principal,
    saying: Saying,
    on_reply: Option<OnReply>,
) -> Result<Said, ApiError> {
    let (chats, principal) = (Arc::clone(chats), principal.clone());
    Ok(to_the_end(tasks, async move { chats.say(&principal, saying, on_reply).await }).await??)
}

/// Gives the answer of a turn to whoever waits for it here.
fn awaited() -> (OnReply, oneshot::Receiver<Reply>) {
    let (sender, reply) = oneshot::channel::<Reply>();
    // Whoever waited may be gone by the time of the answer.
    (Box::new(move |reply| drop(sender.send(reply))), reply)
}

/// What the agent said.
#[derive(Serialize, ToSchema)]
struct ChatView {
    /// Where the conversation goes on.
    #[schema(example = "websocket_c06a4bd8c2ee")]
    session_id: String,
    /// The answer. If the agent failed, it says why.
    content: String,
    /// The same.
    response: String,
    /// The tokens that it took; empty if nobody counted them.
    usage: UsageView,
}

#[derive(Serialize, ToSchema)]
struct UsageView {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    output_tokens: Option<u64>,
}

impl ChatView {
    fn new(session: &SessionId, content: String, usage: TokenUsage) -> Self {
        let counted = (usage != TokenUsage::default()).then_some(usage);
        let usage = UsageView {
            input_tokens: counted.map(|usage| usage.input),
            output_tokens: counted.map(|usage| usage.output),
        };
        Self { session_id: session.as_str().to_owned(), response: content.clone(), content, usage }
    }
}

/// Says something to the agent, and waits for the answer.
///
/// Something like `/help` is answered by the server itself. If the agent waits for an answer of the user's in this session, this is it. A turn that fails is an answer that says so.
/// Who goes away before the answer finds it in the session.
#[utoipa::path(
    post, path = "/chat", tag = "chat", request_body = ChatBody,
    responses((status = 200, body = ChatView), BodyErrors, Errors)
)]
async fn chat(
    State(state): State<AppState>,
    proven: Proven,
    ApiJson(body): ApiJson<ChatBody>,
) -> Result<Json<ChatView>, ApiError> {
    let saying = body.saying(&state.sessions, &proven.principal).await?;
    // Counted as a stream is: it may stay as long.
    let _open = state.streams.open(&proven)?;
    let reader = state.feed.read();
    let (on_reply, reply) = awaited();
    let said = say(&state.tasks, &state.chats, &proven.principal, saying, Some(on_reply)).await?;
    let (session, reply) = match said {
        Said::Command { text, session } => {
            return Ok(Json(ChatView::new(&session, text, TokenUsage::default())));
        }
        Said::Turn { session, .. } => (session, reply.await.ok()),
        Said::Reply { turn, session } => {
            let ended = state.streams.clone().ended(proven);
            let rest = Follower::new(reader, turn, session.clone(), None, Arc::clone(&state.agent), Box::pin(ended));
            (session, rest.rest().await)
        }
    };
    let reply = reply.ok_or_else(|| {
        ApiError::busy("The server stops before there is an answer; it will be in the session once it runs again")
    })?;
    Ok(Json(ChatView::new(&session, reply.text, reply.usage)))
}

/// Says something to the agent, and follows the answer as server-sent events.
///
/// These are `stream_start` with the `session_id`; then `thinking` (`content`), `tool_start` (`tool`, `input`), `tool_result` (`tool`, and the first 200 characters of its
/// `output`), `ask_user_question` (`question`, `options`), `chunk` (`content`, a piece of the answer), `error` (`detail`:
/// the turn failed), `gap` (`missed`: so much was not read in time); and at the end `stream_end`, with the `session_id` in
/// which the conversation goes on, and the `usage`.
///
/// An answer that is being written in this session is stopped, unless the agent waits for an answer of the user's:
/// then this is it, and the rest of that turn is followed. Who goes away does not stop the agent. A comment is sent every
/// 15 seconds.
#[utoipa::path(
    post, path = "/chat/stream", tag = "chat", request_body = ChatBody,
    responses((status = 200, content_type = "text/event-stream", body = String), BodyErrors, Errors)
)]
async fn stream_chat(
    State(state): State<AppState>,
    proven: Proven,
    ApiJson(body): ApiJson<ChatBody>,
) -> Result<Response, ApiError> {
    let mut saying = body.saying(&state.sessions, &proven.principal).await?;
    let open = state.streams.open(&proven)?;
    let session = saying.session.take().unwrap_or_else(|| state.chats.new_session());
    saying.session = Some(session.clone());
    // Before anything is said, so that nothing of the answer is missed.
    let reader = state.feed.read();
    let (on_reply, reply) = awaited();
    let said = say(&state.tasks, &state.chats, &proven.principal, saying, Some(on_reply)).await?;
    let start = sse("stream_start", None, &json!({ "session_id": session.as_str() }));
    let (turn, reply) = match said {
        Said::Command { text, session } => return Ok(stream::of_command(start, &text, &session)),
        Said::Turn { turn, .. } => {
            // Not before the new one is stored: what cannot be taken stops nothing.
            state.chats.stop_others(&proven.principal, &session, &turn);
            (turn, Some(reply))
        }
        Said::Reply { turn, .. } => (turn, None),
    };
    let ended = Box::pin(state.streams.clone().ended(proven));
    let follower = Follower::new(reader, turn, session, reply, Arc::clone(&state.agent), ended);
    Ok(follower.answer(start, open))
}

/// That it was stopped.
#[derive(Serialize, ToSchema)]
struct StoppedView {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
    /// As it was asked for.
    session_id: String,
}

/// Stops what the agent does in a session.
///
/// What it said until then is its answer.
#[utoipa::path(
    post, path = "/chat/stop", tag = "chat",
    params(("session_id" = String, Query, description = "The session")),
    responses(
        (status = 200, body = StoppedView), (status = 400, body = ErrorBody, description = "No session is named"),
        (status = 404, body = ErrorBody, description = "Nothing is done in this session"), super::error::ParameterErrors, Errors
    )
)]
async fn stop_chat(
    State(chats): State<Arc<Chats>>,
    Caller(principal): Caller,
    parameters: Parameters,
) -> Result<Json<StoppedView>, ApiError> {
    let given = parameters.text("session_id").map(str::trim).filter(|id| !id.is_empty());
    let given = given.ok_or_else(|| ApiError::bad_request("session_id is required"))?;
    // Which of the two was meant does not matter: what is not done is not stopped.
    match written_forms(given).iter().any(|session| chats.stop(&principal, session)) {
        true => Ok(Json(StoppedView { status: "ok", session_id: given.to_owned() })),
        false => Err(ApiError::not_found("No active stream for this session")),
    }
}

/// Which plan.
#[derive(Deserialize, Default, ToSchema)]
struct PlanBody {
    /// The session whose plan is meant; the only plan that waits, unless given.
    #[schema(example = "websocket:c06a4bd8c2ee")]
    session_key: Option<String>,
}

/// What became of a plan.
#[derive(Serialize, ToSchema)]
struct PlanView {
    #[schema(example = "websocket:c06a4bd8c2ee")]
    session_key: String,
    /// `approved` or `rejected`.
    action: &'static str,
}

/// Approves the plan that waits for it.
///
/// The agent does what it said.
#[utoipa::path(
    post, path = "/plan/approve", tag = "chat", request_body(content = Option<PlanBody>),
    responses((status = 200, body = PlanView), (status = 404, body = ErrorBody, description = "No plan waits"), BodyErrors, Errors)
)]
async fn approve_plan(
    State(chats): State<Arc<Chats>>,
    Caller(principal): Caller,
    RawBody(body): RawBody,
) -> Result<Json<PlanView>, ApiError> {
    decide(&chats, &principal, &body, true)
}

/// Rejects the plan that waits to be approved.
///
/// The agent is told so.
#[utoipa::path(
    post, path = "/plan/reject", tag = "chat", request_body(content = Option<PlanBody>),
    responses((status = 200, body = PlanView), (status = 404, body = ErrorBody, description = "No plan waits"), BodyErrors, Errors)
)]
async fn reject_plan(
    State(chats): State<Arc<Chats>>,
    Caller(principal): Caller,
    RawBody(body): RawBody,
) -> Result<Json<PlanView>, ApiError> {
    decide(&chats, &principal, &body, false)
}

/// Decides on the plan that the body names. The desktop client sends none.
fn decide(chats: &Chats, principal: &Principal, body: &[u8], approved: bool) -> Result<Json<PlanView>, ApiError> {
    let body = if body.is_empty() { PlanBody::default() } else { parse_json(body)? };
    let (verb, action) = if approved { ("approve", "approved") } else { ("reject", "rejected") };
    let session = decide_on(chats, principal, body.session_key.as_deref(), approved);
    let session = session.ok_or_else(|| ApiError::not_found(format!("No active plan to {verb}")))?;
    Ok(Json(PlanView { session_key: session.key(), action }))
}

/// Decides on the plan of that session, or on the only one. `None` if there is no such plan.
pub fn decide_on(chats: &Chats, principal: &Principal, session_key: Option<&str>, approved: bool) -> Option<SessionId> {
    let decide = |session| chats.decide(principal, session, approved);
    match session_key {
        None => decide(None),
        Some(key) => written_forms(key).iter().find_map(|session| decide(Some(session))),
    }
}
