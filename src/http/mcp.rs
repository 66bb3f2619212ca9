//! MCP servers: adding, switching, testing and using them.

mod body;
mod callback;
mod presets;

use super::error::{ApiError, BodyErrors, ErrorBody, Errors, ParameterErrors};
use super::extract::{ApiJson, Parameters};
use super::gate::Caller;
use super::sessions::{OK, OkView};
use super::work::to_the_end;
use super::{AppState, time};
use crate::domain::mcp::service::{AddRefused, McpServers, SHOWN, TestRefused, Tested};
use crate::domain::mcp::status::{McpState, McpStatus};
use crate::domain::mcp::tool::{CallError, MAX_ARGUMENTS, Tool};
use crate::domain::mcp::{McpServer, McpServerName};
use crate::domain::text::head;
use crate::ports::store::StoreError;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use body::{McpServerBody, NameBody};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_util::task::TaskTracker;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use callback::{CALLBACK, CLIENT_DOCUMENT};

/// Routes under `/api` and `/api/v1`.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(read_mcp_status))
        .routes(routes!(add_mcp_server))
        .routes(routes!(remove_mcp_server))
        .routes(routes!(toggle_mcp_server))
        .routes(routes!(test_mcp_server))
        .merge(presets::routes())
        .merge(callback::routes())
}

/// Routes under `/api/v1` only.
pub fn v1_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list_mcp_tools)).routes(routes!(call_mcp_tool)).merge(callback::v1_routes())
}

/// A server at this moment.
#[derive(Serialize, ToSchema)]
pub struct McpStatusView {
    /// Whether its tools can be called.
    connected: bool,
    /// Whether it is being started or reached.
    connecting: bool,
    /// How many of its tools may be called.
    tool_count: usize,
    /// Why it failed last; empty if it did not.
    error: String,
    /// `stdio`, `http`, `streamable-http` or `sse`.
    transport: &'static str,
    /// Whether it should be connected.
    enabled: bool,
    /// `disabled`, `connecting`, `connected`, `backing_off` (is tried again by itself), `failed` (somebody has to do
    /// something) or `needs_auth` (the user has to sign in at `auth_url`).
    #[schema(example = "connected")]
    state: &'static str,
    /// Since when, as RFC 3339 says.
    since: String,
    /// How often it was connected anew since it was enabled or Pawport started.
    restarts: u32,
    /// When it is tried again, in the state `backing_off`.
    retry_at: Option<String>,
    /// Where to sign in, in the state `needs_auth`. Good once, and renewed before it ends.
    auth_url: Option<String>,
    /// The last lines that its program wrote to standard error, oldest first.
    stderr: Vec<String>,
    /// The preset that it was made from, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    registry_ref: Option<String>,
}

impl From<McpStatus> for McpStatusView {
    fn from(status: McpStatus) -> Self {
        let (retry_at, auth_url) = match &status.state {
            McpState::BackingOff { until } => (Some(time::rfc3339(*until)), None),
            McpState::NeedsAuth { url } => (None, Some(url.clone())),
            McpState::Disabled | McpState::Connecting | McpState::Connected | McpState::Failed => (None, None),
        };
        Self {
            connected: status.state == McpState::Connected,
            connecting: status.state == McpState::Connecting,
            tool_count: status.tools.len(),
            enabled: status.is_enabled(),
            state: status.state.as_str(),
            since: time::rfc3339(status.since),
            error: status.error,
            transport: status.transport,
            restarts: status.restarts,
            retry_at,
            auth_url,
            stderr: status.stderr,
            registry_ref: status.preset,
        }
    }
}

/// All servers, by name.
#[utoipa::path(
    get, path = "/mcp/status", tag = "mcp",
    responses((status = 200, body = BTreeMap<String, McpStatusView>), Errors)
)]
async fn read_mcp_status(State(servers): State<Arc<McpServers>>) -> Json<BTreeMap<String, McpStatusView>> {
    let statuses = servers.statuses().into_iter();
    Json(statuses.map(|status| (status.name.as_str().to_owned(), McpStatusView::from(status))).collect())
}

/// Adds a server, in the place of the one of that name if there is one. It is connected in the background: the status says
/// what comes of it.
///
/// A server with the transport `stdio` is a program that runs on this machine as the user that Pawport runs as.
#[utoipa::path(
    post, path = "/mcp/add", tag = "mcp", request_body = McpServerBody,
    responses(
        (status = 200, body = OkView), (status = 409, body = ErrorBody, description = "There are too many"),
        BodyErrors, Errors
    )
)]
async fn add_mcp_server(
    State(servers): State<Arc<McpServers>>,
    State(tasks): State<TaskTracker>,
    Caller(principal): Caller,
    ApiJson(body): ApiJson<McpServerBody>,
) -> Result<Json<OkView>, ApiError> {
    let server = McpServer::try_from(body)?;
    to_the_end(&tasks, async move { servers.add(&principal, server).await }).await??;
    Ok(OK)
}

/// Removes a server, ends its program, and signs out of it.
#[utoipa::path(
    post, path = "/mcp/remove", tag = "mcp", request_body = NameBody,
    responses((status = 200, body = OkView), (status = 404, body = BothView, description = "No such server"), BodyErrors, Errors)
)]
async fn remove_mcp_server(
    State(servers): State<Arc<McpServers>>,
    State(tasks): State<TaskTracker>,
    Caller(principal): Caller,
    ApiJson(body): ApiJson<NameBody>,
) -> Result<Json<OkView>, Refusal> {
    let (name, given) = body.name()?;
    let removed = match name {
        Some(name) => to_the_end(&tasks, async move { servers.remove(&principal, &name).await }).await??,
        None => false,
    };
    if removed { Ok(OK) } else { Err(no_server(&given)) }
}

/// What to switch.
#[derive(Deserialize, ToSchema)]
struct ToggleBody {
    /// The server's name.
    #[schema(required = true, nullable = false, example = "filesystem")]
    name: Option<String>,
    /// Whether it should be connected; to the other of what it is, unless given.
    enabled: Option<bool>,
}

/// How it is now.
#[derive(Serialize, ToSchema)]
struct ToggledView {
    /// Always `ok`.
    status: &'static str,
    /// Whether it should be connected.
    enabled: bool,
    /// Whether it is. A server that was just switched on is connected in the background.
    connected: bool,
}

/// Switches a server on or off. When the answer to switching off comes, its program has ended.
#[utoipa::path(
    post, path = "/mcp/toggle", tag = "mcp", request_body = ToggleBody,
    responses(
        (status = 200, body = ToggledView), (status = 404, body = BothView, description = "No such server"),
        BodyErrors, Errors
    )
)]
async fn toggle_mcp_server(
    State(servers): State<Arc<McpServers>>,
    State(tasks): State<TaskTracker>,
    Caller(principal): Caller,
    ApiJson(body): ApiJson<ToggleBody>,
) -> Result<Json<ToggledView>, Refusal> {
    let (name, given) = NameBody { name: body.name }.name()?;
    let name = name.ok_or_else(|| no_server(&given))?;
    let work = async move { servers.set_enabled(&principal, &name, body.enabled).await };
    let status = to_the_end(&tasks, work).await??.ok_or_else(|| no_server(&given))?;
    let connected = status.state == McpState::Connected;
    Ok(Json(ToggledView { status: "ok", enabled: status.is_enabled(), connected }))
}

/// A tool in short.
#[derive(Serialize, ToSchema)]
pub struct ToolView {
    name: String,
    description: String,
}

impl From<&Tool> for ToolView {
    fn from(tool: &Tool) -> Self {
        Self { name: tool.name.clone(), description: tool.description.clone() }
    }
}

/// What came of a test.
#[derive(Serialize, ToSchema)]
struct TestedView {
    /// Whether the server works.
    connected: bool,
    /// Why it does not.
    error: Option<String>,
    /// Its tools.
    tools: Vec<ToolView>,
    /// The last lines that its program wrote to standard error.
    stderr: Vec<String>,
}

impl From<Tested> for TestedView {
    fn from(tested: Tested) -> Self {
        let (error, tools) = match &tested.outcome {
            Ok(tools) => (None, tools.iter().map(ToolView::from).collect()),
            Err(error) => (Some(error.clone()), Vec::new()),
        };
        Self { connected: error.is_none(), error, tools, stderr: tested.stderr }
    }
}

/// Reaches a server, asks for its tools, and ends it again. Nothing that is stored or connected takes notice, whatever its
/// name. With a name and nothing else it is the stored server of that name that is tested.
#[utoipa::path(
    post, path = "/mcp/test", tag = "mcp", request_body = McpServerBody,
    responses(
        (status = 200, body = TestedView), (status = 404, body = ErrorBody, description = "No such server"),
        BodyErrors, Errors
    )
)]
async fn test_mcp_server(
    State(servers): State<Arc<McpServers>>,
    Caller(principal): Caller,
    ApiJson(body): ApiJson<McpServerBody>,
) -> Result<Json<TestedView>, ApiError> {
    let tested = match body.only_a_name() {
        Some(name) => servers.test_stored(&principal, &body::server_name(&name)?).await,
        None => servers.test(&principal, &McpServer::try_from(body.named("test"))?).await,
    };
    tested.map(|tested| Json(tested.into())).map_err(|refused| match refused {
        TestRefused::TooMany => ApiError::busy(refused.to_string()),
        TestRefused::Unknown(_) => ApiError::not_found(refused.to_string()),
        TestRefused::Store(error) => error.into(),
    })
}

/// A tool with all that is needed to call it.
#[derive(Serialize, ToSchema)]
struct FullToolView {
    name: String,
    description: String,
    /// The JSON schema of its arguments.
    #[schema(value_type = Object)]
    input_schema: Map<String, Value>,
}

#[derive(Serialize, ToSchema)]
struct ToolsView {
    tools: Vec<FullToolView>,
}

/// The tools of a connected server that may be called, with the schemas of their arguments.
#[utoipa::path(
    get, path = "/mcp/tools", tag = "mcp",
    params(("server" = String, Query, description = "The server's name")),
    responses((status = 200, body = ToolsView), (status = 404, body = ErrorBody, description = "No such server"), ParameterErrors, Errors)
)]
async fn list_mcp_tools(
    State(servers): State<Arc<McpServers>>,
    parameters: Parameters,
) -> Result<Json<ToolsView>, ApiError> {
    let name = parameters
        .text("server")
        .ok_or_else(|| ApiError::invalid("missing", &["query", "server"], "Field required"))?;
    let status = McpServerName::parse(name).ok().and_then(|name| servers.status(&name));
    let status = status.ok_or_else(|| ApiError::not_found(format!("Server '{}' not found", head(name, SHOWN))))?;
    let tools = status.tools.iter().map(|tool| FullToolView {
        name: tool.name.clone(),
        description: tool.description.clone(),
        input_schema: tool.schema.clone(),
    });
    Ok(Json(ToolsView { tools: tools.collect() }))
}

/// What to call.
#[derive(Deserialize, ToSchema)]
struct CallBody {
    /// The server's name.
    #[schema(example = "filesystem")]
    server: String,
    /// The tool's name.
    #[schema(example = "list_directory")]
    tool: String,
    /// Its arguments, as its schema says; none unless given. At most 256 KiB.
    #[serde(default)]
    #[schema(value_type = Object)]
    arguments: Map<String, Value>,
}

/// What the tool gave back. Secrets of the server's configuration are replaced by `***`.
#[derive(Serialize, ToSchema)]
struct CalledView {
    /// Blocks of content, as the Model Context Protocol describes them.
    #[schema(value_type = Vec<Object>)]
    content: Vec<Value>,
    /// The same for programs, if the tool gives it.
    #[schema(value_type = Option<Object>)]
    structured_content: Option<Value>,
    /// Whether the tool says that it failed; `content` says why.
    is_error: bool,
}

/// Calls a tool, and waits for what it gives. Whoever goes away before that makes the server stop.
#[utoipa::path(
    post, path = "/mcp/call", tag = "mcp", request_body = CallBody,
    responses(
        (status = 200, body = CalledView),
        (status = 403, body = ErrorBody, description = "The server's configuration does not allow this tool"),
        (status = 404, body = ErrorBody, description = "No such server or tool"),
        (status = 409, body = ErrorBody, description = "The server is not connected"),
        (status = 502, body = ErrorBody, description = "The server failed"),
        (status = 504, body = ErrorBody, description = "The tool took too long"),
        BodyErrors, Errors
    )
)]
async fn call_mcp_tool(
    State(servers): State<Arc<McpServers>>,
    Caller(principal): Caller,
    ApiJson(body): ApiJson<CallBody>,
) -> Result<Json<CalledView>, ApiError> {
    if serde_json::to_vec(&body.arguments).is_ok_and(|json| json.len() > MAX_ARGUMENTS) {
        return Err(ApiError::invalid("too_long", &["body", "arguments"], "must have at most 256 KiB"));
    }
    let called = servers.call(&principal, &body.server, &body.tool, body.arguments).await?;
    let result = called.map_err(|error| match &error {
        CallError::NoServer(_) | CallError::NoTool { .. } => ApiError::not_found(error.to_string()),
        CallError::NotConnected { .. } => ApiError::new(StatusCode::CONFLICT, error.to_string()),
        CallError::NotAllowed(_) => ApiError::new(StatusCode::FORBIDDEN, error.to_string()),
        CallError::Arguments { place, message } => {
            let place: Vec<&str> = ["body", "arguments"].into_iter().chain(place.iter().map(String::as_str)).collect();
            ApiError::invalid("schema", &place, message)
        }
        CallError::TimedOut(_) => ApiError::new(StatusCode::GATEWAY_TIMEOUT, error.to_string()),
        CallError::Lost(_) | CallError::Refused { .. } | CallError::TooLarge(_) => {
            ApiError::new(StatusCode::BAD_GATEWAY, error.to_string())
        }
    })?;
    Ok(Json(CalledView { content: result.content, structured_content: result.structured, is_error: result.is_error }))
}

impl From<AddRefused> for ApiError {
    fn from(refused: AddRefused) -> Self {
        match refused {
            AddRefused::TooMany => Self::new(StatusCode::CONFLICT, refused.to_string()),
            AddRefused::Store(error) => error.into(),
        }
    }
}

/// A refusal that clients of either kind find: some read `detail`, some `error`.
#[derive(Serialize, ToSchema)]
pub struct BothView {
    #[schema(example = "Server 'files' not found")]
    detail: String,
    /// The same.
    error: String,
}

/// Why a request was not served, where clients look for it in two places.
enum Refusal {
    Api(ApiError),
    Both(StatusCode, String),
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Api(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Api(error) => error.into_response(),
            Self::Both(status, detail) => (status, Json(BothView { error: detail.clone(), detail })).into_response(),
        }
    }
}

fn no_server(name: &str) -> Refusal {
    Refusal::Both(StatusCode::NOT_FOUND, format!("Server '{}' not found", head(name.trim(), SHOWN)))
}
