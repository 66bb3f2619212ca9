//! How Pawport is, as the clients show it.

use crate::domain::agent::status::GlobalState;
use crate::http::AppState;
use crate::http::time::rfc3339;
use serde_json::{Value, json};

/// How many things are looked at.
const CHECKS: usize = 2;

/// A report with what is wrong.
pub async fn report(state: &AppState) -> Value {
    let status = state.agent.status();
    let now = rfc3339(state.feed.started().plus(status.uptime));
    let mut issues = Vec::new();
    if let Err(error) = state.readiness.check().await {
        tracing::warn!(error = &error as &dyn std::error::Error, "the storage is not ready");
        issues.push(json!({
            "check_id": "storage", "name": "Storage", "category": "storage", "status": "critical",
            "message": "The storage cannot be used",
            "fix_hint": "The log of the server has the reason", "timestamp": now, "details": null
        }));
    }
    if status.state == GlobalState::Degraded {
        issues.push(json!({
            "check_id": "agent", "name": "Agent", "category": "config", "status": "warning",
            "message": "The agent failed to answer within the last 30 seconds",
            "fix_hint": "The answer says why; see the settings of the agent", "timestamp": now, "details": null
        }));
    }
    let (state, message) = match issues.is_empty() {
        true => ("healthy", "All is well"),
        false => ("degraded", "Something is wrong"),
    };
    json!({
        "status": state, "message": message, "check_count": CHECKS, "issues": issues, "last_check": now
    })
}
