//! Servers that can be added by name.

use super::{BothView, Refusal, ToolView};
use crate::domain::mcp::preset::{InstallRejected, Preset, PresetKey, PresetTransport};
use crate::domain::mcp::service::{InstallRefused, McpServers};
use crate::domain::mcp::status::McpState;
use crate::http::AppState;
use crate::http::error::{ApiError, BodyErrors, ErrorBody, Errors};
use crate::http::extract::ApiJson;
use crate::http::gate::Caller;
use crate::http::work::to_the_end;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_util::task::TaskTracker;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Routes under `/api` and `/api/v1`.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list_mcp_presets)).routes(routes!(install_mcp_preset))
}

/// A well-known server.
#[derive(Serialize, ToSchema)]
struct PresetView {
    #[schema(example = "filesystem")]
    id: String,
    name: String,
    description: String,
    /// The name of a Lucide icon.
    icon: String,
    category: String,
    /// The package that it is installed from; empty for an address.
    package: String,
    /// `stdio`, `http`, `streamable-http` or `sse`.
    transport: &'static str,
    /// Its address; empty for a program.
    url: String,
    docs_url: String,
    /// Whether it needs `extra_args`.
    needs_args: bool,
    /// What they are; empty if it needs none.
    args_hint: String,
    /// Whether the user has to sign in.
    oauth: bool,
    /// Whether there is a server of that name.
    installed: bool,
    /// What its environment needs.
    env_keys: Vec<PresetKeyView>,
}

/// A variable of a preset's environment.
#[derive(Serialize, ToSchema)]
struct PresetKeyView {
    key: String,
    label: String,
    required: bool,
    placeholder: String,
    /// Whether clients should hide it.
    secret: bool,
}

impl From<&PresetKey> for PresetKeyView {
    fn from(key: &PresetKey) -> Self {
        Self {
            key: key.key.as_str().to_owned(),
            label: key.label.clone(),
            required: key.required,
            placeholder: key.placeholder.clone(),
            secret: key.secret,
        }
    }
}

impl PresetView {
    fn new(preset: &Preset, installed: bool) -> Self {
        let (url, args_hint, oauth) = match &preset.transport {
            PresetTransport::Stdio { extra_arguments, .. } => ("", extra_arguments.as_deref(), false),
            PresetTransport::Remote { url, oauth, .. } => (url.expose(), None, *oauth),
        };
        Self {
            id: preset.id.as_str().to_owned(),
            name: preset.name.clone(),
            description: preset.description.clone(),
            icon: preset.icon.clone(),
            category: preset.category.clone(),
            package: preset.package.clone(),
            transport: preset.transport_name(),
            url: url.to_owned(),
            docs_url: preset.docs_url.clone(),
            needs_args: args_hint.is_some(),
            args_hint: args_hint.unwrap_or_default().to_owned(),
            oauth,
            installed,
            env_keys: preset.keys.iter().map(PresetKeyView::from).collect(),
        }
    }
}

/// All presets.
#[utoipa::path(get, path = "/mcp/presets", tag = "mcp", responses((status = 200, body = Vec<PresetView>), Errors))]
async fn list_mcp_presets(State(servers): State<Arc<McpServers>>) -> Json<Vec<PresetView>> {
    Json(servers.presets().map(|(preset, installed)| PresetView::new(preset, installed)).collect())
}

/// Which preset, and what it needs.
#[derive(Deserialize, ToSchema)]
struct InstallBody {
    #[schema(example = "filesystem")]
    preset_id: String,
    /// Values for its `env_keys`.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Further arguments, if it needs some.
    #[schema(example = json!(["/srv/files"]))]
    extra_args: Option<Vec<String>>,
}

/// The server that was added.
#[derive(Serialize, ToSchema)]
struct InstalledView {
    /// Always `ok`.
    status: &'static str,
    /// Whether it is connected. It is connected in the background: the status says what comes of it.
    connected: bool,
    /// Its tools, if it is connected.
    tools: Vec<ToolView>,
}

/// Adds the server that a preset describes. It is connected in the background.
#[utoipa::path(
    post, path = "/mcp/presets/install", tag = "mcp", request_body = InstallBody,
    responses(
        (status = 200, body = InstalledView), (status = 404, body = BothView, description = "No such preset"),
        (status = 409, body = ErrorBody, description = "There are too many servers"),
        BodyErrors, Errors
    )
)]
async fn install_mcp_preset(
    State(servers): State<Arc<McpServers>>,
    State(tasks): State<TaskTracker>,
    Caller(principal): Caller,
    ApiJson(body): ApiJson<InstallBody>,
) -> Result<Json<InstalledView>, Refusal> {
    let InstallBody { preset_id, env, extra_args } = body;
    let install = async move { servers.install(&principal, &preset_id, env, extra_args.unwrap_or_default()).await };
    let installed = to_the_end(&tasks, install).await?.map_err(refusal)?;
    let (connected, tools) = installed.map_or((false, Vec::new()), |status| {
        (status.state == McpState::Connected, status.tools.iter().map(ToolView::from).collect())
    });
    Ok(Json(InstalledView { status: "ok", connected, tools }))
}

fn refusal(refused: InstallRefused) -> Refusal {
    let text = refused.to_string();
    match refused {
        InstallRefused::Unknown(_) => Refusal::Both(StatusCode::NOT_FOUND, text),
        InstallRefused::Add(error) => Refusal::Api(error.into()),
        InstallRefused::Rejected(rejected) => match rejected {
            InstallRejected::KeysMissing(_) | InstallRejected::ArgumentsMissing(_) => {
                Refusal::Both(StatusCode::BAD_REQUEST, text)
            }
            InstallRejected::UnknownKey(key) | InstallRejected::Value(key, _) => {
                Refusal::Api(ApiError::invalid("value_error", &["body", "env", &key], text))
            }
            InstallRejected::Arguments(_) | InstallRejected::NoArguments => {
                Refusal::Api(ApiError::invalid("value_error", &["body", "extra_args"], text))
            }
        },
    }
}
