//! The settings of memory, by the names that clients know. The same as among all settings.

use crate::domain::memory::service::Memories;
use crate::domain::settings::memory::{CHANGEABLE_BESIDES, SHOWN, shown};
use crate::domain::settings::service::Settings;
use crate::http::AppState;
use crate::http::error::{ApiError, BodyErrors, ErrorBody, Errors};
use crate::http::extract::ApiJson;
use crate::http::gate::Caller;
use crate::http::settings::{ChangedView, change};
use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value};
use std::sync::Arc;
use tokio_util::task::TaskTracker;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Routes under `/api` and `/api/v1`.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(read_memory_settings, change_memory_settings))
}

/// How memories are found, and whether the agent learns by itself. What each value means here is in `docs/memory.md`.
#[utoipa::path(get, path = "/memory/settings", tag = "memory", responses((status = 200, body = Object), Errors))]
async fn read_memory_settings(State(settings): State<Arc<Settings>>) -> Json<Map<String, Value>> {
    Json(shown(&settings.view()))
}

/// Changes settings of memory, all of those that are named or none. They hold at once.
///
/// Named may be those of `GET`, and `file_vector_enabled`, `file_auto_learn`, `vector_store`, `embedding_provider`,
/// `embedding_model`, `embedding_base_url` and `memory_learn_from_webhooks`; what else is named is left out, with a warning. If
/// the model that makes vectors cannot be used now, a warning says why, and memories are found by their words until it can.
#[utoipa::path(
    post, path = "/memory/settings", tag = "memory",
    request_body(content = Object, example = json!({ "memory_backend": "file" })),
    responses(
        (status = 200, body = ChangedView),
        (status = 403, body = ErrorBody, description = "An address, which only the owner may change"),
        BodyErrors, Errors,
    )
)]
async fn change_memory_settings(
    State(settings): State<Arc<Settings>>,
    State(memories): State<Arc<Memories>>,
    State(tasks): State<TaskTracker>,
    Caller(principal): Caller,
    ApiJson(body): ApiJson<Map<String, Value>>,
) -> Result<Json<ChangedView>, ApiError> {
    let is_known = |name: &str| SHOWN.contains(&name) || CHANGEABLE_BESIDES.contains(&name);
    let (wanted, unknown): (Map<String, Value>, Map<String, Value>) =
        body.into_iter().partition(|(name, _)| is_known(name));
    let mut warnings: Vec<String> = unknown
        .keys()
        .take(10)
        .map(|name| format!("{:?} is no setting of memory", crate::domain::text::head(name, 100)))
        .collect();
    warnings.extend(change(&settings, &tasks, principal, wanted).await?);
    memories.follow_settings();
    if let Some(problem) = memories.embedder_problem().await {
        warnings.push(format!("Memories are found by their words only for now. {problem}"));
    }
    Ok(Json(ChangedView::with(warnings)))
}
