//! The session list: reading, searching, renaming, removing.

mod export;
mod view;

use super::AppState;
use super::error::{ApiError, BodyErrors, ErrorBody, Errors, ParameterErrors};
use super::extract::{ApiJson, ApiPath, Family, Parameters};
use super::gate::Caller;
use crate::domain::session::service::Sessions;
use crate::domain::session::{SearchQuery, SessionId, SessionSummary, SessionTitle};
use crate::domain::text::{PageLimit, TextRejected};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use view::{HitView, SearchView, SessionPageView, SessionView};

pub use view::MessageView;

/// Routes under `/api` and `/api/v1`.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_sessions, create_session))
        .routes(routes!(search_sessions))
        .routes(routes!(remove_session))
        .routes(routes!(rename_session, rename_session_put))
}

/// Routes under `/api` only.
pub fn legacy_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_sessions_bare))
        .routes(routes!(read_history_by_query))
        .routes(routes!(export_session_by_query))
}

/// Routes under `/api/v1` only.
pub fn v1_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(read_history)).routes(routes!(export_session))
}

/// An answer that only says that it worked.
#[derive(Serialize, ToSchema)]
pub struct OkView {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// That it worked.
pub const OK: Json<OkView> = Json(OkView { status: "ok" });

fn no_session() -> ApiError {
    ApiError::not_found("Session not found")
}

/// A text that is no session id names no session.
fn session_id(text: &str) -> Result<SessionId, ApiError> {
    SessionId::parse(text).map_err(|_| no_session())
}

async fn page(
    sessions: &Sessions,
    parameters: &Parameters,
    default: i64,
    family: Family,
) -> Result<SessionPageView, ApiError> {
    let limit = parameters.limit(default, 500, family)?;
    let offset = parameters.bounded("offset", 0, 0, i64::MAX, family)?;
    Ok(sessions.recent(limit, offset.unsigned_abs()).await?.into())
}

/// Sessions, newest activity first, and how many there are in all.
#[utoipa::path(
    get, path = "/sessions", tag = "sessions",
    params(
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 500, description = "How many at most; 50 unless given"),
        ("offset" = Option<i64>, Query, minimum = 0, description = "How many to leave out first"),
    ),
    responses((status = 200, body = SessionPageView), ParameterErrors, Errors)
)]
async fn list_sessions(
    State(sessions): State<Arc<Sessions>>,
    family: Family,
    parameters: Parameters,
) -> Result<Json<SessionPageView>, ApiError> {
    page(&sessions, &parameters, 50, family).await.map(Json)
}

/// The same list without the total, for clients that want an array.
#[utoipa::path(
    get, path = "/memory/sessions", tag = "sessions",
    params(
        ("limit" = Option<i64>, Query, description = "How many at most; 20 unless given"),
        ("offset" = Option<i64>, Query, description = "How many to leave out first"),
    ),
    responses((status = 200, body = [SessionView]), ParameterErrors, Errors)
)]
async fn list_sessions_bare(
    State(sessions): State<Arc<Sessions>>,
    family: Family,
    parameters: Parameters,
) -> Result<Json<Vec<SessionView>>, ApiError> {
    let page = page(&sessions, &parameters, 20, family).await?;
    Ok(Json(page.sessions))
}

/// A session that was just created.
#[derive(Serialize, ToSchema)]
pub struct CreatedSessionView {
    #[schema(example = "websocket_1d61a8c4f20b")]
    id: String,
    #[schema(example = "New Chat")]
    title: String,
}

/// A new, empty session. Takes no body.
#[utoipa::path(
    post, path = "/sessions", tag = "sessions", responses((status = 200, body = CreatedSessionView), Errors)
)]
async fn create_session(
    State(sessions): State<Arc<Sessions>>,
    Caller(principal): Caller,
) -> Result<Json<CreatedSessionView>, ApiError> {
    let session: SessionSummary = sessions.create(&principal).await?;
    Ok(Json(CreatedSessionView { title: session.title().to_owned(), id: session.id.to_string() }))
}

/// Sessions in which the text was said, newest activity first. The text is taken literally and compared without regard to
/// case; a blank one finds nothing.
#[utoipa::path(
    get, path = "/sessions/search", tag = "sessions",
    params(
        ("q" = Option<String>, Query, description = "What to look for, at most 200 characters"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 200, description = "How many at most; 20 unless given"),
    ),
    responses((status = 200, body = SearchView), ParameterErrors, Errors)
)]
async fn search_sessions(
    State(sessions): State<Arc<Sessions>>,
    family: Family,
    parameters: Parameters,
) -> Result<Json<SearchView>, ApiError> {
    let limit: PageLimit = parameters.limit(20, 200, family)?;
    let query = match SearchQuery::parse(parameters.text("q").unwrap_or_default()) {
        Ok(query) => query,
        Err(TextRejected::Blank) => return Ok(Json(SearchView { sessions: Vec::new() })),
        Err(rejected) => return Err(ApiError::invalid("string_error", &["query", "q"], rejected.to_string())),
    };
    let hits = sessions.search(&query, limit).await?;
    Ok(Json(SearchView { sessions: hits.into_iter().map(HitView::from).collect() }))
}

/// Removes a session with all its messages.
#[utoipa::path(
    delete, path = "/sessions/{id}", tag = "sessions",
    params(("id" = String, Path, description = "The session, with `_` or `:` between its parts")),
    responses((status = 200, body = OkView), (status = 404, body = ErrorBody, description = "No such session"), Errors)
)]
async fn remove_session(
    State(sessions): State<Arc<Sessions>>,
    Caller(principal): Caller,
    ApiPath(id): ApiPath,
) -> Result<Json<OkView>, ApiError> {
    match sessions.remove(&principal, &session_id(&id)?).await? {
        true => Ok(OK),
        false => Err(no_session()),
    }
}

/// A title for a session.
#[derive(Deserialize, ToSchema)]
struct TitleBody {
    /// 1 to 200 characters; white space around it is left out.
    #[serde(default)]
    #[schema(required = true, nullable = false, min_length = 1, max_length = 200, example = "Prime numbers")]
    title: Option<String>,
}

impl TitleBody {
    fn parse(&self, family: Family) -> Result<SessionTitle, ApiError> {
        let place = ["body", "title"];
        let rejected = match SessionTitle::parse(self.title.as_deref().unwrap_or_default()) {
            Ok(title) => return Ok(title),
            Err(rejected) => rejected,
        };
        Err(match (family, rejected) {
            (Family::Legacy, TextRejected::Blank) => ApiError::bad_request("Title is required"),
            (Family::Legacy, rejected) => ApiError::bad_request(format!("Title {rejected}")),
            (Family::V1, TextRejected::Blank) => {
                ApiError::invalid("string_too_short", &place, "String should have at least 1 character")
            }
            (Family::V1, TextRejected::TooLong(max)) => {
                ApiError::invalid("string_too_long", &place, format!("String should have at most {max} characters"))
            }
            (Family::V1, TextRejected::Nul) => ApiError::invalid("string_error", &place, rejected.to_string()),
        })
    }
}

/// Gives a session a title.
#[utoipa::path(
    post, path = "/sessions/{id}/title", tag = "sessions", request_body = TitleBody,
    params(("id" = String, Path, description = "The session, with `_` or `:` between its parts")),
    responses(
        (status = 200, body = OkView),
        (status = 404, body = ErrorBody, description = "No such session"),
        BodyErrors, Errors,
    )
)]
async fn rename_session(
    State(sessions): State<Arc<Sessions>>,
    Caller(principal): Caller,
    family: Family,
    ApiPath(id): ApiPath,
    ApiJson(body): ApiJson<TitleBody>,
) -> Result<Json<OkView>, ApiError> {
    let title = body.parse(family)?;
    match sessions.rename(&principal, &session_id(&id)?, &title).await? {
        true => Ok(OK),
        false => Err(no_session()),
    }
}

/// Gives a session a title; the same as POST.
#[utoipa::path(
    put, path = "/sessions/{id}/title", tag = "sessions", request_body = TitleBody,
    params(("id" = String, Path, description = "The session, with `_` or `:` between its parts")),
    responses(
        (status = 200, body = OkView),
        (status = 404, body = ErrorBody, description = "No such session"),
        BodyErrors, Errors,
    )
)]
async fn rename_session_put(
    state: State<Arc<Sessions>>,
    caller: Caller,
    family: Family,
    id: ApiPath,
    body: ApiJson<TitleBody>,
) -> Result<Json<OkView>, ApiError> {
    rename_session(state, caller, family, id, body).await
}

async fn history(
    sessions: &Sessions,
    id: &str,
    parameters: &Parameters,
    family: Family,
) -> Result<Json<Vec<MessageView>>, ApiError> {
    let limit = parameters.limit(50, 500, family)?;
    let Ok(id) = SessionId::parse(id) else { return Ok(Json(Vec::new())) };
    let messages = sessions.history(&id, limit).await?;
    Ok(Json(messages.into_iter().map(MessageView::from).collect()))
}

/// The last messages of a session, oldest first. An unknown session has none.
#[utoipa::path(
    get, path = "/sessions/{id}/history", tag = "sessions",
    params(
        ("id" = String, Path, description = "The session, with `_` or `:` between its parts"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 500, description = "How many at most; 50 unless given"),
    ),
    responses((status = 200, body = [MessageView]), ParameterErrors, Errors,
        (status = 404, body = ErrorBody, description = "The id is not text"))
)]
async fn read_history(
    State(sessions): State<Arc<Sessions>>,
    family: Family,
    ApiPath(id): ApiPath,
    parameters: Parameters,
) -> Result<Json<Vec<MessageView>>, ApiError> {
    history(&sessions, &id, &parameters, family).await
}

/// The last messages of a session, oldest first. An unknown session has none.
#[utoipa::path(
    get, path = "/memory/session", tag = "sessions",
    params(
        ("id" = Option<String>, Query, description = "The session, with `_` or `:` between its parts"),
        ("limit" = Option<i64>, Query, description = "How many at most; 50 unless given"),
    ),
    responses((status = 200, body = [MessageView]), ParameterErrors, Errors)
)]
async fn read_history_by_query(
    State(sessions): State<Arc<Sessions>>,
    family: Family,
    parameters: Parameters,
) -> Result<Json<Vec<MessageView>>, ApiError> {
    history(&sessions, parameters.text("id").unwrap_or_default(), &parameters, family).await
}

/// A session as a file.
#[utoipa::path(
    get, path = "/sessions/{id}/export", tag = "sessions",
    params(
        ("id" = String, Path, description = "The session, with `_` or `:` between its parts"),
        ("format" = Option<String>, Query, description = "`json` or `md`; `json` unless given"),
    ),
    responses(
        (status = 200, description = "The file", content((export::ExportView = "application/json"), (String = "text/markdown"))),
        (status = 400, body = ErrorBody, description = "Another format"),
        (status = 404, body = ErrorBody, description = "No such session"),
        ParameterErrors, Errors,
    )
)]
async fn export_session(
    State(sessions): State<Arc<Sessions>>,
    ApiPath(id): ApiPath,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    export::export(sessions, &id, parameters.text("format")).await
}

/// A session as a file.
#[utoipa::path(
    get, path = "/memory/session/export", tag = "sessions",
    params(
        ("id" = Option<String>, Query, description = "The session, with `_` or `:` between its parts"),
        ("format" = Option<String>, Query, description = "`json` or `md`; `json` unless given"),
    ),
    responses(
        (status = 200, description = "The file", content((export::ExportView = "application/json"), (String = "text/markdown"))),
        (status = 400, body = ErrorBody, description = "No id, or another format"),
        (status = 404, body = ErrorBody, description = "No such session"),
        ParameterErrors, Errors,
    )
)]
async fn export_session_by_query(
    State(sessions): State<Arc<Sessions>>,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let id = parameters.text("id").filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| ApiError::bad_request("Missing required parameter: id"))?;
    export::export(sessions, id, parameters.text("format")).await
}
