//! A word for whoever has an Ollama and does not know that it can answer here. It never switches by itself.

use crate::domain::settings::service::Settings;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

/// Where an Ollama listens unless told otherwise.
pub(super) const ADDRESS: &str = "http://127.0.0.1:11434";

/// How long it may take to list its models.
const PATIENCE: Duration = Duration::from_millis(300);

/// Looks for an Ollama at `address`, and says how to use it. `command` makes the whole command of what follows `pawport`.
pub(super) async fn hint(settings: Arc<Settings>, address: &str, command: impl Fn(&str) -> String) {
    let Some(model) = first_model(&settings, address).await else { return };
    let command = command(&arguments(&model, address));
    tracing::info!(address, model, command, "an Ollama is running here, and could answer");
    let mut out = std::io::stdout().lock();
    if out.is_terminal() {
        // Whoever started us may have gone; the server runs all the same.
        let text = format!("  An Ollama is running here. To have it answer, start with\n    {command}\n\n");
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// The first of its models. `None` if somebody chose an agent, or nobody answers in time.
async fn first_model(settings: &Settings, address: &str) -> Option<String> {
    if !settings.is_untouched() {
        return None;
    }
    let models = tokio::time::timeout(PATIENCE, settings.models_at(Some(address))).await.ok()?.ok()?;
    models.into_iter().next()
}

fn arguments(model: &str, address: &str) -> String {
    // Names have colons, which mean nothing to a shell; whatever else is in one is quoted.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | ':');
    let model =
        if model.chars().all(is_plain) { model.to_owned() } else { format!("'{}'", model.replace('\'', r"'\''")) };
    format!("serve --agent openai_compatible --model {model} --model-base-url {address}/v1")
}

#[cfg(test)]
mod tests;
