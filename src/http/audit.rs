//! Reading the audit log.

use super::AppState;
use super::error::{ApiError, Errors, ParameterErrors};
use super::extract::{Family, Parameters};
use super::time::rfc3339;
use crate::domain::audit::AuditEntry;
use crate::domain::audit::service::Audit;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Routes under `/api` and `/api/v1`.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list_audit_entries))
}

/// One line of the audit log.
#[derive(Serialize, ToSchema)]
pub struct AuditView {
    /// Unique.
    id: String,
    /// When it happened.
    #[schema(format = DateTime)]
    timestamp: String,
    /// `info`, `warning`, `critical` or `alert`.
    severity: &'static str,
    /// Who.
    #[schema(example = "dashboard_user")]
    actor: String,
    /// What.
    #[schema(example = "webhook_added")]
    action: String,
    /// To what.
    target: String,
    /// How it ended.
    #[schema(example = "success")]
    status: String,
    /// More about it. `credential` says which kind of credential was used, and which one.
    #[schema(value_type = Object)]
    context: Map<String, Value>,
}

impl From<AuditEntry> for AuditView {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.id,
            timestamp: rfc3339(entry.at),
            severity: entry.severity.as_str(),
            actor: entry.actor,
            action: entry.action,
            target: entry.target,
            status: entry.status,
            context: entry.context,
        }
    }
}

/// The newest entries of the audit log, newest first.
#[utoipa::path(
    get, path = "/audit", tag = "security",
    params(("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "How many at most; 100 unless given")),
    responses((status = 200, body = [AuditView]), ParameterErrors, Errors)
)]
async fn list_audit_entries(
    State(audit): State<Arc<Audit>>,
    family: Family,
    parameters: Parameters,
) -> Result<Json<Vec<AuditView>>, ApiError> {
    let entries = audit.recent(parameters.limit(100, 1_000, family)?).await?;
    Ok(Json(entries.into_iter().map(AuditView::from).collect()))
}
