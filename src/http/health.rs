//! Whether the server is alive and ready, and which one it is.

use super::AppState;
use super::error::{ApiError, ErrorBody, Errors};
use crate::domain::agent::service::Agent;
use crate::domain::readiness::service::Readiness;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::error::Error;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Routes under `/api` and `/api/v1`.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(version))
}

/// Routes under no prefix.
pub fn root_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(alive)).routes(routes!(ready))
}

/// A sign of life.
#[derive(Serialize, ToSchema)]
pub struct HealthView {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// That requests can be served, and from what.
#[derive(Serialize, ToSchema)]
pub struct ReadyView {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
    /// The storage: `sqlite`, `postgresql` or `memory`.
    #[schema(example = "sqlite")]
    storage: &'static str,
    /// The index that texts are searched with: `fts5`, `pg_trgm`, `trigram arrays`, or `scan` for none.
    #[schema(example = "fts5")]
    search: &'static str,
}

/// Whether the process answers at all.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses((status = 200, body = HealthView)))]
async fn alive() -> Json<HealthView> {
    Json(HealthView { status: "ok" })
}

/// Whether requests can be served: the storage answers and has the schema that this version knows.
#[utoipa::path(
    get, path = "/readyz", tag = "health", security(()),
    responses(
        (status = 200, body = ReadyView),
        (status = 503, body = ErrorBody, description = "Not ready, for the reason given"),
    )
)]
async fn ready(State(readiness): State<Arc<Readiness>>) -> Result<Json<ReadyView>, ApiError> {
    match readiness.check().await {
        Ok(condition) => Ok(Json(ReadyView { status: "ok", storage: condition.storage, search: condition.search })),
        Err(error) => {
            // The reason is what this route is for; a storage error names no secret.
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            tracing::warn!(error = &error as &dyn Error, "not ready");
            Err(ApiError::busy(format!("{error}{cause}")))
        }
    }
}

/// Which program this is: what both families of clients read.
#[derive(Serialize, ToSchema)]
pub struct VersionView {
    /// The version of the program.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// The same.
    current: &'static str,
    /// The newest version known. Nothing is asked of the network, so it is the same.
    latest: &'static str,
    /// Always false, for the same reason.
    update_available: bool,
    /// Always null: there is no Python here.
    python: Option<String>,
    /// The kind of agent that answers.
    #[schema(example = "builtin")]
    agent_backend: &'static str,
}

/// Which program this is.
#[utoipa::path(get, path = "/version", tag = "health", responses((status = 200, body = VersionView), Errors))]
async fn version(State(agent): State<Arc<Agent>>) -> Json<VersionView> {
    let version = env!("CARGO_PKG_VERSION");
    Json(VersionView {
        version,
        current: version,
        latest: version,
        update_available: false,
        python: None,
        agent_backend: agent.kind(),
    })
}
