//! What is remembered of somebody, in the terminal. The running server does the work.

use super::running::RunningServer;
use crate::config::Config;
use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;

/// How long an answer may take. Deleting much takes its time.
const PATIENCE: Duration = Duration::from_secs(600);

/// How many memories are asked for at once.
const PAGE: usize = 500;

/// Everything that is remembered of `owner`, or of everybody, as a JSON array, oldest first.
///
/// # Errors
/// If no server runs, or it does not answer.
pub async fn export_memories(config: &Config, owner: Option<&str>) -> anyhow::Result<String> {
    let server = RunningServer::find(config, PATIENCE).await?;
    let mut all: Vec<Value> = Vec::new();
    loop {
        let mut query =
            vec![("kind", "all".to_owned()), ("limit", PAGE.to_string()), ("offset", all.len().to_string())];
        query.extend(owner.map(|owner| ("owner", owner.to_owned())));
        let path = format!("/memory/long_term?{}", encoded(&query));
        let page: Value = server.ask(server.request(Method::GET, &path)).await?;
        let page = page.as_array().cloned().context("the server gave no list")?;
        let is_last = page.len() < PAGE;
        all.extend(page);
        if is_last {
            break;
        }
    }
    all.reverse();
    Ok(serde_json::to_string_pretty(&all)?)
}

/// Deletes everything that is remembered of `owner`; gives what to tell the operator.
///
/// # Errors
/// If it was not confirmed, no server runs, or it does not answer.
pub async fn delete_memories(config: &Config, owner: &str, confirmed: bool) -> anyhow::Result<String> {
    ensure!(
        confirmed,
        "everything that is remembered of {owner} would be deleted for ever; look at it with pawport memory export --owner {owner}, then add --yes"
    );
    let server = RunningServer::find(config, PATIENCE).await?;
    let path = format!("/memory/long_term?{}", encoded(&[("owner", owner.to_owned())]));
    let answer: Value = server.ask(server.request(Method::DELETE, &path)).await?;
    Ok(format!("Deleted {} memories of {owner}.", answer["deleted"]))
}

fn encoded(query: &[(&str, String)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish()
}
