//! The agent that needs no model: it answers commands, and says how to connect a model to everything else.

use crate::domain::agent::AgentEvent;
use crate::domain::agent::status::AgentStatus;
use crate::domain::text;
use crate::ports::agent::{AgentError, AgentIo, AgentRequest, AgentRunner};
use async_trait::async_trait;

/// How much of the message an acknowledgement quotes, in characters.
const QUOTED_CHARS: usize = 80;

/// The built-in agent.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuiltinAgent;

#[async_trait]
impl AgentRunner for BuiltinAgent {
    fn name(&self) -> &'static str {
        "builtin"
    }

    async fn run(&self, request: AgentRequest<'_>, io: &dyn AgentIo) -> Result<(), AgentError> {
        io.emit(AgentEvent::Text(answer(request.turn.message.text.as_str(), request.status)));
        Ok(())
    }
}

fn answer(message: &str, status: &AgentStatus) -> String {
    match message.trim() {
        "/help" => "I am the built-in agent: no language model is connected.\n\n\
             /help shows this\n\
             /ping answers pong\n\
             /status says what the server is doing"
            .to_owned(),
        "/ping" => "pong".to_owned(),
        "/status" => format!(
            "{}: {} of {} sessions in work, up for {} s",
            status.state.as_str(),
            status.active_sessions,
            status.max_concurrent,
            status.uptime.as_secs()
        ),
        other => {
            let first_line = other.lines().next().unwrap_or_default();
            let quoted = text::head(first_line, QUOTED_CHARS);
            let more = if quoted.len() < other.len() { "…" } else { "" };
            format!(
                "Received: “{quoted}{more}”\n\nNo language model is connected, so this is all I can say. \
                 See “Connecting a model” in docs/operations.md, or send /help."
            )
        }
    }
}

#[cfg(test)]
mod tests;
