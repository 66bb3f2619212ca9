//! How what happens is put for each kind of client.

use super::What;
use crate::domain::agent::model::TokenUsage;
use crate::domain::agent::{AgentEvent, News, Question, TurnEnd, TurnNews};
use crate::domain::text::head;
use axum::body::Bytes;
use serde_json::{Map, Value, json};
use std::fmt::Display;

/// How much of a tool's output a chat is shown, in characters.
const OUTPUT_CHARS: usize = 200;

/// An event of an event stream. `data` is JSON as `serde_json` writes it: without line breaks.
#[must_use]
pub fn sse(event: &str, id: Option<&str>, data: &impl Display) -> Bytes {
    Bytes::from(match id {
        Some(id) => format!("event: {event}\nid: {id}\ndata: {data}\n\n"),
        None => format!("event: {event}\ndata: {data}\n\n"),
    })
}

/// The name and the data of a system event.
pub fn system_event(what: &What) -> Option<(&'static str, Value)> {
    let (event, mut data) = match what {
        What::Turn(news) => of_turn(&news.news)?,
        What::Failed(_, reason) => ("error", json!({ "message": reason })),
        What::Server { data, .. } => return Some(("mcp_status", data.clone())),
        What::SignIn { name, url } => {
            return Some(("mcp_oauth_redirect", json!({ "server": name.as_str(), "url": url })));
        }
        What::Tunnel(data) => return Some(("tunnel_status", data.clone())),
        What::Lost(missed) => return Some(("gap", json!({ "missed": missed }))),
    };
    let news = what.turn()?;
    data["session_key"] = news.session.key().into();
    data["session_id"] = news.session.as_str().into();
    data["trace_id"] = news.turn.as_str().into();
    Some((event, data))
}

fn of_turn(news: &News) -> Option<(&'static str, Value)> {
    Some(match news {
        News::Started { agent, model } => ("agent_start", json!({ "backend": agent, "model": model })),
        News::Finished { end, usage } => {
            let status = match end {
                TurnEnd::Answered => "answered",
                TurnEnd::Stopped => "stopped",
                TurnEnd::Failed(_) => "failed",
            };
            ("agent_end", json!({ "status": status, "usage": counted(*usage) }))
        }
        News::Agent(event) => match event {
            AgentEvent::Thinking(text) => ("thinking", json!({ "content": text })),
            AgentEvent::Text(text) => ("message", json!({ "content": text, "is_stream_chunk": true })),
            AgentEvent::ToolStarted(call) => {
                let params = object(&call.arguments);
                ("tool_start", json!({ "name": call.name, "params": params, "tool_call_id": call.id }))
            }
            AgentEvent::ToolFinished(outcome) => {
                let status = if outcome.is_error { "error" } else { "success" };
                (
                    "tool_result",
                    json!({
                        "name": outcome.name, "result": outcome.content, "status": status,
                        "tool_call_id": outcome.id
                    }),
                )
            }
            AgentEvent::Asked(question) => ("ask_user_question", asked(question)),
            AgentEvent::Used(used) => (
                "token_usage",
                json!({
                    "input_tokens": used.input, "output_tokens": used.output,
                    "total_tokens": used.input.saturating_add(used.output),
                    "input": used.input, "output": used.output
                }),
            ),
            // The clients know no event for it: they see it by what comes next.
            AgentEvent::Answered => return None,
        },
    })
}

/// The name and the data of an event of a chat.
pub fn chat_event(what: &What) -> Option<(&'static str, Value)> {
    let news = match what {
        What::Turn(news) => news,
        What::Failed(_, reason) => return Some(("error", json!({ "detail": reason }))),
        What::Server { .. } | What::SignIn { .. } | What::Tunnel(_) | What::Lost(_) => return None,
    };
    Some(match &news.news {
        News::Started { .. } => return None,
        News::Finished { usage, .. } => ("stream_end", chat_end(news, *usage)),
        News::Agent(event) => match event {
            AgentEvent::Thinking(text) => ("thinking", json!({ "content": text })),
            AgentEvent::Text(text) => chunk(text),
            AgentEvent::ToolStarted(call) => {
                ("tool_start", json!({ "tool": call.name, "input": object(&call.arguments) }))
            }
            AgentEvent::ToolFinished(outcome) => {
                ("tool_result", json!({ "tool": outcome.name, "output": head(&outcome.content, OUTPUT_CHARS) }))
            }
            AgentEvent::Asked(question) => ("ask_user_question", asked(question)),
            AgentEvent::Used(_) | AgentEvent::Answered => return None,
        },
    })
}

fn chat_end(news: &TurnNews, usage: TokenUsage) -> Value {
    json!({ "session_id": news.session.as_str(), "usage": counted(usage) })
}

/// A piece of an answer in a chat.
#[must_use]
pub fn chunk(text: &str) -> (&'static str, Value) {
    ("chunk", json!({ "content": text, "type": "text" }))
}

/// The tokens; empty if nothing was counted.
#[must_use]
pub fn counted(usage: TokenUsage) -> Value {
    match usage == TokenUsage::default() {
        true => json!({}),
        false => json!({ "input_tokens": usage.input, "output_tokens": usage.output }),
    }
}

/// The messages of a WebSocket. Where an answer begins and ends depends on what the client saw before, so that is not here.
pub fn messages(what: &What) -> Vec<Value> {
    match what {
        What::Turn(news) => {
            if let News::Agent(AgentEvent::Text(text)) = &news.news {
                let metadata = json!({ "trace_id": news.turn.as_str() });
                let message =
                    json!({ "type": "message", "content": text, "is_stream_chunk": true, "metadata": metadata });
                return vec![message];
            }
        }
        What::Failed(_, reason) => {
            let shown = json!({ "type": "error", "content": reason });
            return as_system_event(what).into_iter().chain([shown]).collect();
        }
        What::SignIn { name, url } => {
            return vec![json!({ "type": "mcp_oauth_redirect", "url": url, "server": name.as_str() })];
        }
        What::Server { .. } | What::Tunnel(_) => return Vec::new(),
        What::Lost(_) => {}
    }
    as_system_event(what).into_iter().collect()
}

fn as_system_event(what: &What) -> Option<Value> {
    let (event, data) = system_event(what)?;
    Some(json!({ "type": "system_event", "event_type": event, "data": data }))
}

fn asked(question: &Question) -> Value {
    json!({ "question": question.text, "options": question.options, "is_plan": question.is_plan })
}

/// What a model wrote as arguments, which need not be an object.
fn object(arguments: &str) -> Value {
    let object: Map<String, Value> = serde_json::from_str(arguments).unwrap_or_default();
    Value::Object(object)
}

/// About how long the texts of some news are.
pub fn length(news: &News) -> usize {
    match news {
        News::Started { agent, model } => agent.len() + model.len(),
        News::Finished { end: TurnEnd::Failed(reason), .. } => reason.len(),
        News::Finished { .. } => 0,
        News::Agent(event) => match event {
            AgentEvent::Thinking(text) | AgentEvent::Text(text) => text.len(),
            AgentEvent::ToolStarted(call) => call.arguments.len() + call.name.len(),
            AgentEvent::ToolFinished(outcome) => outcome.content.len() + outcome.name.len(),
            AgentEvent::Asked(question) => {
                question.text.len() + question.options.iter().map(String::len).sum::<usize>()
            }
            AgentEvent::Answered | AgentEvent::Used(_) => 0,
        },
    }
}
