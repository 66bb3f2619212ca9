//! Settings: reading and changing them, and how the WebSocket writes them.

use super::AppState;
use super::error::{ApiError, BodyErrors, ErrorBody, Errors};
use super::extract::ApiJson;
use super::gate::Caller;
use super::work::to_the_end;
use crate::domain::auth::Principal;
use crate::domain::auth::scope::Scope;
use crate::domain::settings::members::{self, Guard};
use crate::domain::settings::rules::Refused;
use crate::domain::settings::service::{ChangeRefused, Settings};
use crate::domain::webhook::Webhook;
use crate::domain::webhook::service::Webhooks;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tokio_util::task::TaskTracker;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Routes under `/api` and `/api/v1`.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(read_settings)).routes(routes!(change_settings))
}

/// All settings, in one flat object: those that nobody set have their defaults. No secrets.
///
/// `webhook_configs` holds the webhook slots, with masked secrets, for those who may see them: with the scope `admin`.
#[utoipa::path(get, path = "/settings", tag = "settings", responses((status = 200, body = Object), Errors))]
async fn read_settings(
    State(settings): State<Arc<Settings>>,
    State(webhooks): State<Arc<Webhooks>>,
    Caller(principal): Caller,
) -> Result<Json<Map<String, Value>>, ApiError> {
    let mut view = settings.view();
    if principal.grant.scopes.allows(Scope::Admin) {
        let slots: Vec<Value> = webhooks.list().await?.iter().map(masked).collect();
        view.insert("webhook_configs".to_owned(), slots.into());
    }
    Ok(Json(view))
}

fn masked(webhook: &Webhook) -> Value {
    json!({
        "name": webhook.name.as_str(),
        "secret": format!("***{}", webhook.secret.hint()),
        "description": webhook.description,
        "sync_timeout": webhook.sync_timeout.as_secs(),
    })
}

/// That settings were changed.
#[derive(Serialize, ToSchema)]
pub struct ChangedView {
    #[schema(example = "ok")]
    status: &'static str,
    /// What should be known of what was changed, or was not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    warnings: Vec<String>,
}

impl ChangedView {
    /// With what should be known of it.
    #[must_use]
    pub fn with(warnings: Vec<String>) -> Self {
        Self { status: "ok", warnings }
    }
}

/// Changes the settings that are named, all of them or none; they hold from the next answer of the agent on.
///
/// The members are those of `GET`, flat or within `settings`, and secrets. Null resets a setting to its default; an empty
/// secret changes nothing. A list may be one text with commas. A key is dropped when the address of its model changes.
#[utoipa::path(
    put, path = "/settings", tag = "settings", request_body(content = Object, example = json!({ "plan_mode": true })),
    responses(
        (status = 200, body = ChangedView),
        (status = 403, body = ErrorBody, description = "One of them cannot be changed here, or not by this credential"),
        BodyErrors, Errors,
    )
)]
async fn change_settings(
    State(settings): State<Arc<Settings>>,
    State(tasks): State<TaskTracker>,
    Caller(principal): Caller,
    ApiJson(body): ApiJson<Map<String, Value>>,
) -> Result<Json<ChangedView>, ApiError> {
    let wanted = match body.get("settings") {
        None => body,
        Some(Value::Object(wanted)) => wanted.clone(),
        Some(_) => return Err(ApiError::invalid("dict_type", &["body", "settings"], "Input should be an object")),
    };
    let warnings = change(&settings, &tasks, principal, wanted).await?;
    Ok(Json(ChangedView { status: "ok", warnings }))
}

/// Makes a change, to its end even if the client is gone by then. Gives the warnings.
///
/// # Errors
/// What the client is told if nothing was changed.
pub async fn change(
    settings: &Arc<Settings>,
    tasks: &TaskTracker,
    principal: Principal,
    wanted: Map<String, Value>,
) -> Result<Vec<String>, ApiError> {
    let settings = Arc::clone(settings);
    let work = async move { settings.change(&principal, &wanted).await };
    to_the_end(tasks, work).await?.map(|changed| changed.warnings).map_err(refusal)
}

fn refusal(refused: ChangeRefused) -> ApiError {
    match refused {
        ChangeRefused::Refused(Refused::Invalid { member, why }) => {
            ApiError::invalid("value_error", &["body", &member], why)
        }
        ChangeRefused::Refused(refused) => ApiError::new(StatusCode::FORBIDDEN, refused.to_string()),
        ChangeRefused::Store(error) => error.into(),
    }
}

/// The settings that the WebSocket shows under their names in camel case.
const IN_CAMEL_CASE: [&str; 82] = [
    "agent_backend",
    "claude_sdk_provider",
    "claude_sdk_model",
    "claude_sdk_max_turns",
    "openai_agents_provider",
    "openai_agents_model",
    "openai_agents_max_turns",
    "google_adk_provider",
    "google_adk_model",
    "google_adk_max_turns",
    "codex_cli_model",
    "codex_cli_max_turns",
    "copilot_sdk_provider",
    "copilot_sdk_model",
    "copilot_sdk_max_turns",
    "deep_agents_model",
    "deep_agents_max_turns",
    "opencode_base_url",
    "opencode_model",
    "opencode_max_turns",
    "llm_provider",
    "ollama_host",
    "ollama_model",
    "anthropic_model",
    "openai_compatible_base_url",
    "openai_compatible_model",
    "openai_compatible_max_tokens",
    "gemini_model",
    "litellm_api_base",
    "litellm_model",
    "litellm_max_tokens",
    "bypass_permissions",
    "web_search_provider",
    "url_extract_provider",
    "injection_scan_enabled",
    "injection_scan_llm",
    "pii_scan_enabled",
    "pii_default_action",
    "pii_scan_memory",
    "pii_scan_audit",
    "pii_scan_logs",
    "tool_profile",
    "plan_mode",
    "plan_mode_tools",
    "smart_routing_enabled",
    "model_tier_simple",
    "model_tier_moderate",
    "model_tier_complex",
    "budget_monthly_usd",
    "budget_warning_threshold",
    "budget_auto_pause",
    "budget_reset_day",
    "trace_retention_days",
    "tts_provider",
    "tts_voice",
    "stt_provider",
    "stt_model",
    "ocr_provider",
    "sarvam_tts_language",
    "self_audit_enabled",
    "self_audit_schedule",
    "memory_backend",
    "file_vector_enabled",
    "vector_store",
    "embedding_provider",
    "embedding_model",
    "embedding_base_url",
    "mem0_auto_learn",
    "mem0_llm_provider",
    "mem0_llm_model",
    "mem0_embedder_provider",
    "mem0_embedder_model",
    "mem0_vector_store",
    "mem0_ollama_base_url",
    "web_host",
    "web_port",
    "a2a_enabled",
    "a2a_agent_name",
    "a2a_agent_description",
    "a2a_task_timeout",
    "a2a_trusted_agents",
    "soul_enabled",
];

/// The rest of them.
const OF_THE_SOUL: [&str; 5] =
    ["soul_name", "soul_archetype", "soul_persona", "soul_auto_save_interval", "soul_biorhythm"];

/// What the WebSocket says of secrets: whether they are there.
const HAS: [(&str, &str); 15] = [
    ("hasOpenaiCompatibleKey", "openai_compatible_api_key"),
    ("hasLitellmKey", "litellm_api_key"),
    ("hasGoogleApiKey", "google_api_key"),
    ("hasAnthropicKey", "anthropic_api_key"),
    ("hasOpenaiKey", "openai_api_key"),
    ("hasTavilyKey", "tavily_api_key"),
    ("hasBraveKey", "brave_search_api_key"),
    ("hasParallelKey", "parallel_api_key"),
    ("hasElevenlabsKey", "elevenlabs_api_key"),
    ("hasGoogleOAuthId", "google_oauth_client_id"),
    ("hasGoogleOAuthSecret", "google_oauth_client_secret"),
    ("hasSpotifyClientId", "spotify_client_id"),
    ("hasSpotifyClientSecret", "spotify_client_secret"),
    ("hasSarvamKey", "sarvam_api_key"),
    ("hasOpenrouterKey", "openrouter_api_key"),
];

/// The `content` of the WebSocket's message `settings`: names in camel case, whether secrets are there, and that the agent
/// runs, as it does whenever the server does. No secrets.
#[must_use]
pub fn camel_case_view(settings: &Settings) -> Value {
    let mut view = settings.view();
    let mut content = Map::new();
    for name in IN_CAMEL_CASE.into_iter().chain(OF_THE_SOUL) {
        content.insert(camel_case(name), view.remove(name).unwrap_or_default());
    }
    // The one list that this message writes as a text.
    let tools = content["planModeTools"].as_array().map(|tools| {
        tools.iter().map(|tool| tool.as_str().map_or_else(|| tool.to_string(), str::to_owned)).collect::<Vec<_>>()
    });
    content.insert("planModeTools".to_owned(), tools.unwrap_or_default().join(",").into());
    for (name, secret) in HAS {
        content.insert(name.to_owned(), settings.has_secret(secret).into());
    }
    content.insert("agentActive".to_owned(), false.into());
    content.insert("agentStatus".to_owned(), json!({ "status": "running", "backend": "AgentLoop" }));
    content.into()
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (head, rest) = word.split_at(word.len().min(1));
        name + &head.to_ascii_uppercase() + rest
    })
}

/// What a WebSocket message `settings` wants: its members without `action`. A page sends every field it has, so those that
/// nobody can change here are left out, with a warning if they are not what they were.
#[must_use]
pub fn change_of_message(settings: &Settings, message: &Map<String, Value>) -> (Map<String, Value>, Vec<String>) {
    let view = settings.view();
    let (mut wanted, mut warnings) = (Map::new(), Vec::new());
    for (name, value) in message.iter().filter(|(name, _)| *name != "action") {
        let Some(member) = members::find(name) else { continue };
        let is_fixed = matches!(member.guard, Guard::Protected | Guard::Configured(_)) || name == "webhook_configs";
        if !is_fixed {
            wanted.insert(name.clone(), value.clone());
        } else if view.get(name) != Some(value) && !value.is_null() {
            warnings.push(format!("{name} cannot be changed here"));
        }
    }
    (wanted, warnings)
}

/// Which secret a provider's name in the WebSocket message `save_api_key` means.
const PROVIDERS: [(&str, &str); 15] = [
    ("anthropic", "anthropic_api_key"),
    ("openai", "openai_api_key"),
    ("openai_compatible", "openai_compatible_api_key"),
    ("google", "google_api_key"),
    ("tavily", "tavily_api_key"),
    ("brave", "brave_search_api_key"),
    ("parallel", "parallel_api_key"),
    ("elevenlabs", "elevenlabs_api_key"),
    ("google_oauth_id", "google_oauth_client_id"),
    ("google_oauth_secret", "google_oauth_client_secret"),
    ("spotify_client_id", "spotify_client_id"),
    ("spotify_client_secret", "spotify_client_secret"),
    ("sarvam", "sarvam_api_key"),
    ("litellm", "litellm_api_key"),
    ("openrouter", "openrouter_api_key"),
];

/// What a WebSocket message `save_api_key` wants.
///
/// # Errors
/// What is wrong with it, in words for the user.
pub fn change_of_key(message: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    let provider = message.get("provider").and_then(Value::as_str).unwrap_or_default();
    let known = PROVIDERS.iter().find(|known| known.0 == provider);
    let names = || PROVIDERS.map(|known| known.0).join(", ");
    let (_, secret) = known.ok_or_else(|| format!("Unknown provider; known are {}", names()))?;
    let key = message.get("key").and_then(Value::as_str).map(str::trim).filter(|key| !key.is_empty());
    let key = key.ok_or("The key is missing")?;
    Ok(Map::from_iter([((*secret).to_owned(), key.into())]))
}

#[cfg(test)]
mod tests;
