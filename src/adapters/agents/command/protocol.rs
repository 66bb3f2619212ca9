//! The lines of JSON that server and program exchange.

use crate::domain::agent::model::{ModelMessage, TokenUsage, ToolCall, ToolOutcome};
use crate::ports::agent::AgentRequest;
use serde_json::{Value, json};

/// The version of the protocol. It changes when a program that does as it was told would not work any more.
const VERSION: u32 = 1;

/// What a program says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Text(String),
    Thinking(String),
    ToolCall(ToolCall),
    Usage(TokenUsage),
    Done,
    Error(String),
    /// A message of a kind that is not known here, which is no reason to fail.
    Unknown(String),
}

/// Reads a line; `None` if it is no message.
pub(super) fn read(line: &str) -> Option<Said> {
    let message: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| message[name].as_str().map(str::to_owned);
    Some(match message["type"].as_str()? {
        "text" => Said::Text(text("text")?),
        "thinking" => Said::Thinking(text("text")?),
        "tool_call" => {
            let arguments = match &message["arguments"] {
                Value::Null => "{}".to_owned(),
                // As a model may have written them.
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            Said::ToolCall(ToolCall { id: text("id")?, name: text("name")?, arguments })
        }
        "usage" => {
            let count = |name: &str| message[name].as_u64().unwrap_or(0);
            Said::Usage(TokenUsage { input: count("input_tokens"), output: count("output_tokens") })
        }
        "done" => Said::Done,
        "error" => Said::Error(text("message")?),
        other => Said::Unknown(other.to_owned()),
    })
}

/// The line that begins a turn.
pub(super) fn turn_line(request: &AgentRequest<'_>) -> String {
    let messages: Vec<Value> = request.messages.iter().flat_map(messages_of).collect();
    let tools = request.tools.iter().map(|tool| {
        json!({
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.schema,
            "read_only": tool.read_only,
        })
    });
    line(&json!({
        "type": "turn",
        "version": VERSION,
        "id": request.turn.id.as_str(),
        "session": request.turn.session.as_str(),
        "origin": request.turn.origin.as_str(),
        "message": request.turn.message.text.as_str(),
        "system": request.system,
        "messages": messages,
        "tools": tools.collect::<Vec<_>>(),
    }))
}

/// The line that tells what came of a call.
pub(super) fn result_line(outcome: &ToolOutcome) -> String {
    line(&json!({
        "type": "tool_result",
        "id": outcome.id,
        "content": outcome.content,
        "is_error": outcome.is_error,
    }))
}

fn line(message: &Value) -> String {
    format!("{message}\n")
}

fn messages_of(message: &ModelMessage) -> Vec<Value> {
    match message {
        ModelMessage::User(text) => vec![json!({ "role": "user", "content": text })],
        ModelMessage::Assistant { text, calls } if calls.is_empty() => {
            vec![json!({ "role": "assistant", "content": text })]
        }
        ModelMessage::Assistant { text, calls } => {
            let calls = calls.iter().map(|call| {
                // What the model wrote may be no JSON; then it is passed on as the text that it is.
                let arguments: Value =
                    serde_json::from_str(&call.arguments).unwrap_or_else(|_| Value::from(call.arguments.as_str()));
                json!({ "id": call.id, "name": call.name, "arguments": arguments })
            });
            vec![json!({ "role": "assistant", "content": text, "tool_calls": calls.collect::<Vec<_>>() })]
        }
        ModelMessage::ToolResults(outcomes) => {
            let results = outcomes.iter().map(|outcome| {
                json!({
                    "role": "tool",
                    "tool_call_id": outcome.id,
                    "name": outcome.name,
                    "content": outcome.content,
                    "is_error": outcome.is_error,
                })
            });
            results.collect()
        }
    }
}
