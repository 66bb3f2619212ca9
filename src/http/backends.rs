//! The agents that can answer.

use super::AppState;
use super::error::{ApiError, BodyErrors, Errors, ParameterErrors};
use super::extract::{ApiJson, Parameters};
use crate::domain::agent::choice::AgentKind;
use crate::domain::agent::service::Agent;
use crate::domain::agent::service::check::AgentCheck;
use crate::domain::settings::service::{AgentOffer, NoModels, Settings};
use crate::domain::text;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How long somebody may take to list models. Nobody waits long for a list to choose from.
const PATIENCE: Duration = Duration::from_secs(5);

/// Routes under `/api` and `/api/v1`.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_backends))
        .routes(routes!(install_backend))
        .routes(routes!(list_ollama_models))
}

/// Routes under `/api/v1` only.
pub fn v1_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(check_backend))
}

/// An agent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct BackendView {
    /// As `agent_backend` in the settings has it.
    #[schema(example = "openai_compatible")]
    name: &'static str,
    display_name: &'static str,
    /// Whether it has all that it needs.
    available: bool,
    /// Whether it answers now.
    active: bool,
    /// What it lacks, in words.
    #[schema(example = json!(["a model: set openai_compatible_model"]))]
    lacks: Vec<String>,
    capabilities: &'static [&'static str],
    beta: bool,
    install_hint: InstallHintView,
    /// The secrets that it cannot do without.
    required_keys: &'static [&'static str],
    supported_providers: &'static [&'static str],
}

/// There is never anything to install.
#[derive(Serialize, ToSchema)]
struct InstallHintView {
    pip_spec: &'static str,
    pip_package: &'static str,
    external_cmd: &'static str,
    docs_url: &'static str,
}

impl From<AgentOffer> for BackendView {
    fn from(AgentOffer { kind, is_active, lacks }: AgentOffer) -> Self {
        const MODEL: &[&str] = &["streaming", "tools", "mcp", "multi_turn", "custom_system_prompt"];
        let (display_name, capabilities, docs_url): (_, &[&str], _) = match kind {
            AgentKind::Builtin => ("Built-in (no model)", &["streaming"], ""),
            AgentKind::OpenAiCompatible => {
                ("OpenAI-compatible", MODEL, "https://platform.openai.com/docs/api-reference/chat")
            }
            AgentKind::Anthropic => ("Anthropic", MODEL, "https://docs.anthropic.com/en/api/messages"),
            AgentKind::Command => ("Command", &["streaming", "multi_turn"], ""),
        };
        let supported_providers: &[&str] = match kind {
            AgentKind::OpenAiCompatible => &["openai", "ollama", "openrouter", "litellm", "lm_studio", "vllm"],
            AgentKind::Anthropic => &["anthropic"],
            AgentKind::Builtin | AgentKind::Command => &[],
        };
        Self {
            name: kind.as_str(),
            display_name,
            available: lacks.is_empty(),
            active: is_active,
            lacks,
            capabilities,
            beta: false,
            install_hint: InstallHintView { pip_spec: "", pip_package: "", external_cmd: "", docs_url },
            required_keys: if kind == AgentKind::Anthropic { &["anthropic_api_key"] } else { &[] },
            supported_providers,
        }
    }
}

/// The agents that can answer, and what each of them lacks.
#[utoipa::path(get, path = "/backends", tag = "settings", responses((status = 200, body = Vec<BackendView>), Errors))]
async fn list_backends(State(settings): State<Arc<Settings>>) -> Json<Vec<BackendView>> {
    Json(settings.agents().into_iter().map(BackendView::from).collect())
}

#[derive(Deserialize, ToSchema)]
struct InstallBackendBody {
    /// Which agent.
    #[schema(required = true, nullable = false, example = "anthropic")]
    backend: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct NotInstalledView {
    /// Why nothing was installed, in words for the user.
    error: String,
}

/// Says that there is nothing to install: every agent is a part of the program, or a program of the user's.
#[utoipa::path(
    post, path = "/backends/install", tag = "settings", request_body = InstallBackendBody,
    responses((status = 200, body = NotInstalledView), BodyErrors, Errors)
)]
async fn install_backend(
    State(settings): State<Arc<Settings>>,
    ApiJson(body): ApiJson<InstallBackendBody>,
) -> Json<NotInstalledView> {
    let given = body.backend.unwrap_or_default();
    let given = given.trim();
    let offer = settings.agents().into_iter().find(|offer| offer.kind.as_str() == given);
    let error = match offer {
        None => {
            let names = AgentKind::ALL.map(AgentKind::as_str).join(", ");
            format!("There is no backend {:?}; there are {names}", text::head(given, 100))
        }
        Some(offer) if offer.lacks.is_empty() => format!("{given} needs no installation: it is ready"),
        Some(offer) => format!("{given} needs no installation, but lacks {}", offer.lacks.join(", and ")),
    };
    Json(NotInstalledView { error })
}

/// The models of an Ollama, or of whatever else speaks the API of `OpenAI`, by name. Empty if nobody answers there.
///
/// Only addresses on the machine of the server are asked, and that of `openai_compatible_base_url`.
#[utoipa::path(
    get, path = "/backends/ollama-models", tag = "settings",
    params(("host" = Option<String>, Query, description = "Where it is; else where the setting `ollama_host` says", example = "http://localhost:11434")),
    responses((status = 200, body = Vec<String>), ParameterErrors, Errors)
)]
async fn list_ollama_models(
    State(settings): State<Arc<Settings>>,
    parameters: Parameters,
) -> Result<Json<Vec<String>>, ApiError> {
    let host = parameters.text("host").filter(|host| !host.trim().is_empty());
    match tokio::time::timeout(PATIENCE, settings.models_at(host)).await {
        Ok(Ok(models)) => Ok(Json(models)),
        Ok(Err(refused @ NoModels::Host)) => {
            Err(ApiError::invalid("value_error", &["query", "host"], refused.to_string()))
        }
        Ok(Err(NoModels::Failed(reason))) => {
            tracing::debug!(reason, "nobody says which models there are");
            Ok(Json(Vec::new()))
        }
        Err(_) => Ok(Json(Vec::new())),
    }
}

/// Whether the agent would answer.
#[derive(Serialize, ToSchema)]
struct CheckView {
    /// The agent that was chosen.
    #[schema(example = "openai_compatible")]
    agent: &'static str,
    /// Its model; empty if it has none.
    #[schema(example = "llama3.2")]
    model: String,
    /// What is wrong, and what to do about it; null if it would answer.
    problem: Option<String>,
    /// Whether the model called a tool when it was asked to; null if there is no model, or it did not answer.
    calls_tools: Option<bool>,
}

/// Asks the agent that was chosen for a word, and to call a tool. That takes a few tokens of its model.
#[utoipa::path(post, path = "/backends/check", tag = "settings", responses((status = 200, body = CheckView), Errors))]
async fn check_backend(State(agent): State<Arc<Agent>>) -> Json<CheckView> {
    let AgentCheck { agent, model, problem, calls_tools } = agent.check().await;
    Json(CheckView { agent, model, problem, calls_tools })
}
