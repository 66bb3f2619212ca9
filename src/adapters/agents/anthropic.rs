//! Models behind Anthropic's Messages API. <https://docs.anthropic.com/en/api/messages-streaming>

use super::answer::{Answering, arguments_of, plain_name, schema_of};
use super::http::{Body, Fault, Problem, Provider, no_model};
use crate::domain::agent::choice::AgentChoice;
use crate::domain::agent::model::{AnswerEnd, ModelAnswer, ModelError, ModelMessage, ModelRequest};
use crate::ports::agent::{AgentError, ChatModel, ModelOutput};
use async_trait::async_trait;
use reqwest::Client;
use reqwest::header::HeaderName;
use serde_json::{Value, json};

/// The version of the API that is spoken here.
const VERSION: &str = "2023-06-01";

/// A provider that speaks the Messages API.
#[derive(Debug)]
pub struct Anthropic {
    provider: Provider,
}

impl Anthropic {
    /// Prepares to ask as the choice says. `http` must not follow redirects.
    ///
    /// # Errors
    /// If there is no key where one is needed, or it cannot be sent.
    pub fn new(http: Client, choice: &AgentChoice) -> Result<Self, AgentError> {
        let provider = Provider::new(http, choice, HeaderName::from_static("x-api-key"), "")?;
        if choice.base_url.is_none() && !provider.has_key() {
            return Err(AgentError(
                "Anthropic's models need a key. Set anthropic_api_key in the settings, or PAWPORT_MODEL_API_KEY."
                    .to_owned(),
            ));
        }
        Ok(Self { provider: provider.with_header("anthropic-version", VERSION) })
    }

    fn take(&self, event: &Value, answer: &mut Answering<'_>) -> Result<(), ModelError> {
        if let Some(fault) = event.get("error").and_then(|_| Fault::find(event)) {
            return Err(self.provider.fault(&fault, answer.has_told()));
        }
        match event["type"].as_str() {
            Some("message_start") => count(&event["message"]["usage"], answer),
            Some("content_block_start") => take_block(event["index"].as_u64(), &event["content_block"], answer)?,
            Some("content_block_delta") => {
                let delta = &event["delta"];
                let piece = |name: &str| delta[name].as_str().unwrap_or_default();
                match delta["type"].as_str() {
                    Some("text_delta") => answer.say(piece("text"))?,
                    Some("thinking_delta") => answer.think(piece("thinking"))?,
                    Some("input_json_delta") => {
                        answer.call(event["index"].as_u64(), "", "", piece("partial_json"))?;
                    }
                    _ => {}
                }
            }
            Some("message_delta") => {
                count(&event["usage"], answer);
                answer.end = end_of(&event["delta"]["stop_reason"]).or(answer.end);
            }
            // Pings, and what is added to the protocol later.
            _ => {}
        }
        Ok(())
    }

    /// Takes an answer that came at once.
    fn take_whole(&self, whole: &Value, answer: &mut Answering<'_>) -> Result<(), ModelError> {
        if let Some(fault) = whole.get("error").and_then(|_| Fault::find(whole)) {
            return Err(self.provider.fault(&fault, false));
        }
        let Some(blocks) = whole["content"].as_array() else {
            return Err(self.provider.not_understood(&whole.to_string()));
        };
        for (block, index) in blocks.iter().zip(0..) {
            take_block(Some(index), block, answer)?;
        }
        count(&whole["usage"], answer);
        answer.end = end_of(&whole["stop_reason"]);
        Ok(())
    }
}

#[async_trait]
impl ChatModel for Anthropic {
    fn name(&self) -> &'static str {
        "anthropic"
    }

    async fn answer(&self, request: &ModelRequest, output: &dyn ModelOutput) -> Result<ModelAnswer, ModelError> {
        if request.model.trim().is_empty() {
            return Err(no_model());
        }
        let mut answer = Answering::new(output);
        match self.provider.ask("/v1/messages", &body_of(request)).await {
            Ok(Body::Events(mut events)) => {
                while let Some(event) = self.provider.next(&mut events, &answer).await? {
                    if event["type"] == "message_stop" {
                        break;
                    }
                    self.take(&event, &mut answer)?;
                }
            }
            Ok(Body::Whole(whole)) => self.take_whole(&whole, &mut answer)?,
            Err(Problem::Refused(refusal)) => return Err(self.provider.explain(&refusal, Some(&request.model))),
            Err(Problem::Failed(error)) => return Err(error),
        }
        Ok(answer.finish(request))
    }

    async fn models(&self) -> Result<Vec<String>, ModelError> {
        self.provider.models("/v1/models?limit=1000").await
    }
}

/// Takes a block of content: the beginning of one in a stream, else a whole one.
fn take_block(index: Option<u64>, block: &Value, answer: &mut Answering<'_>) -> Result<(), ModelError> {
    let text = |name: &str| block[name].as_str().unwrap_or_default();
    match block["type"].as_str() {
        Some("text") => answer.say(text("text")),
        Some("thinking") => answer.think(text("thinking")),
        Some("tool_use") => {
            // In a stream it is empty here, and comes in pieces later.
            let input = block["input"].as_object().filter(|input| !input.is_empty());
            let input = input.map(|_| block["input"].to_string()).unwrap_or_default();
            answer.call(index, text("id"), text("name"), &input)
        }
        _ => Ok(()),
    }
}

/// Later counts are of everything until then. What was read from or written to a cache was read, too.
fn count(usage: &Value, answer: &mut Answering<'_>) {
    let number = |name: &str| usage[name].as_u64();
    let mut counted = answer.usage.unwrap_or_default();
    if let Some(input) = number("input_tokens") {
        let cached = ["cache_creation_input_tokens", "cache_read_input_tokens"].into_iter().filter_map(number);
        counted.input = cached.fold(input, u64::saturating_add);
    }
    counted.output = number("output_tokens").unwrap_or(counted.output);
    if usage.is_object() {
        answer.usage = Some(counted);
    }
}

fn end_of(reason: &Value) -> Option<AnswerEnd> {
    Some(match reason.as_str()? {
        "tool_use" => AnswerEnd::Calls,
        "max_tokens" | "model_context_window_exceeded" => AnswerEnd::Length,
        "refusal" => AnswerEnd::Filtered,
        _ => AnswerEnd::Done,
    })
}

/// What is sent.
fn body_of(request: &ModelRequest) -> Value {
    let mut messages: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in &request.messages {
        let (role, blocks) = blocks_of(message);
        // The results of all calls must be in the message after them, and an empty message is refused.
        match messages.last_mut() {
            _ if blocks.is_empty() => {}
            Some((last, before)) if *last == role => before.extend(blocks),
            _ => messages.push((role, blocks)),
        }
    }
    let messages: Value =
        messages.into_iter().map(|(role, blocks)| json!({ "role": role, "content": blocks })).collect();
    let mut body = json!({
        "model": request.model,
        "max_tokens": request.max_output_tokens,
        "messages": messages,
        "stream": true,
    });
    if !request.system.trim().is_empty() {
        body["system"] = Value::from(request.system.as_str());
    }
    if !request.tools.is_empty() {
        let tools = request.tools.iter();
        let tools = tools.map(|tool| {
            json!({ "name": tool.name, "description": tool.description, "input_schema": schema_of(&tool.schema) })
        });
        body["tools"] = tools.collect();
    }
    body
}

fn blocks_of(message: &ModelMessage) -> (&'static str, Vec<Value>) {
    // A block of white space is refused.
    let text_block = |text: &str| (!text.trim().is_empty()).then(|| json!({ "type": "text", "text": text }));
    match message {
        ModelMessage::User(text) => ("user", text_block(text).into_iter().collect()),
        ModelMessage::Assistant { text, calls } => {
            let calls = calls.iter().map(|call| {
                json!({
                    "type": "tool_use",
                    "id": plain_name(&call.id),
                    "name": plain_name(&call.name),
                    "input": arguments_of(call),
                })
            });
            ("assistant", text_block(text).into_iter().chain(calls).collect())
        }
        ModelMessage::ToolResults(outcomes) => {
            let results = outcomes.iter().map(|outcome| {
                json!({
                    "type": "tool_result",
                    "tool_use_id": plain_name(&outcome.id),
                    "content": outcome.content,
                    "is_error": outcome.is_error,
                })
            });
            ("user", results.collect())
        }
    }
}
