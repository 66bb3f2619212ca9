//! Models behind the chat completions API, as OpenAI began it and as most others speak it, each a little differently.

use super::answer::{Answering, arguments_of, plain_name, schema_of};
use super::http::{Body, Fault, Problem, Provider, Refusal, no_model};
use crate::domain::agent::choice::AgentChoice;
use crate::domain::agent::model::{AnswerEnd, ModelAnswer, ModelError, ModelMessage, ModelRequest, TokenUsage};
use crate::ports::agent::{AgentError, ChatModel, ModelOutput};
use async_trait::async_trait;
use reqwest::Client;
use reqwest::header::AUTHORIZATION;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A provider that speaks chat completions.
#[derive(Debug)]
pub struct OpenAiCompatible {
    provider: Provider,
    forms: Arc<Forms>,
}

/// In which form a provider is asked, since none understands all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    /// Whether it is asked to count tokens.
    counts: bool,
    /// The name of the limit of tokens.
    limit: &'static str,
}

const OLD_LIMIT: &str = "max_tokens";
const NEW_LIMIT: &str = "max_completion_tokens";

impl Form {
    /// Another form to try after this one was refused.
    fn after(self, refusal: &Refusal) -> Option<Self> {
        if !matches!(refusal.status.as_u16(), 400 | 422) {
            return None;
        }
        if self.counts && refusal.said.contains("stream_options") {
            return Some(Self { counts: false, ..self });
        }
        match self.limit {
            OLD_LIMIT if refusal.said.contains(NEW_LIMIT) => Some(Self { limit: NEW_LIMIT, ..self }),
            NEW_LIMIT if refusal.said.contains(NEW_LIMIT) => Some(Self { limit: OLD_LIMIT, ..self }),
            _ => None,
        }
    }
}

/// How many forms are kept.
const MAX_FORMS: usize = 64;

/// What those have shown to understand that refused the form in which they were asked first. It outlives the turns, so that
/// not each of them begins with a refused request. By address and model: behind one address may be many providers.
#[derive(Debug, Default)]
pub struct Forms(Mutex<HashMap<(String, String), Form>>);

impl Forms {
    fn known(&self) -> MutexGuard<'_, HashMap<(String, String), Form>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// If there are too many, all others are forgotten: they are learned again at the price of a request.
    fn learn(&self, who: (String, String), form: Form) {
        let mut known = self.known();
        if known.len() >= MAX_FORMS && !known.contains_key(&who) {
            known.clear();
        }
        known.insert(who, form);
    }
}

impl OpenAiCompatible {
    /// Prepares to ask as the choice says. `http` must not follow redirects. What is learned about the provider goes into
    /// `forms`.
    ///
    /// # Errors
    /// If the key cannot be sent.
    pub fn new(http: Client, choice: &AgentChoice, forms: Arc<Forms>) -> Result<Self, AgentError> {
        Ok(Self { provider: Provider::new(http, choice, AUTHORIZATION, "Bearer ")?, forms })
    }

    /// The form to begin with.
    fn first_form(&self, who: &(String, String)) -> Form {
        // Its newer models know only this name, and its older ones both; most others know only the old name.
        let limit = if self.provider.origin() == "https://api.openai.com" { NEW_LIMIT } else { OLD_LIMIT };
        self.forms.known().get(who).copied().unwrap_or(Form { counts: true, limit })
    }

    async fn ask(&self, request: &ModelRequest) -> Result<Body, ModelError> {
        let who = (self.provider.base().to_owned(), request.model.clone());
        let mut form = self.first_form(&who);
        let mut tried = vec![form];
        loop {
            let refusal = match self.provider.ask("/chat/completions", &body_of(request, form)).await {
                Ok(body) => {
                    if tried.len() > 1 {
                        self.forms.learn(who, form);
                    }
                    return Ok(body);
                }
                Err(Problem::Refused(refusal)) => refusal,
                Err(Problem::Failed(error)) => return Err(error),
            };
            match form.after(&refusal) {
                Some(next) if !tried.contains(&next) => form = next,
                _ => return Err(self.provider.explain(&refusal, Some(&request.model))),
            }
            tried.push(form);
        }
    }

    /// Takes a piece of an answer, or a whole one, which differs in little.
    fn take(&self, chunk: &Value, answer: &mut Answering<'_>) -> Result<(), ModelError> {
        let is_fault = chunk["choices"].is_null() || !chunk["error"].is_null();
        if let Some(fault) = Fault::find(chunk).filter(|_| is_fault) {
            return Err(self.provider.fault(&fault, answer.has_told()));
        }
        if let Some(usage) = usage_of(&chunk["usage"]) {
            answer.usage = Some(usage);
        }
        let choice = &chunk["choices"][0];
        let delta = if choice["delta"].is_object() { &choice["delta"] } else { &choice["message"] };
        // Some send the same thoughts under both names.
        let thoughts = [&delta["reasoning_content"], &delta["reasoning"]].into_iter().filter_map(Value::as_str);
        if let Some(thought) = thoughts.into_iter().find(|thought| !thought.is_empty()) {
            answer.think(thought)?;
        }
        match &delta["content"] {
            Value::String(piece) => answer.say(piece)?,
            Value::Array(parts) => {
                for piece in parts.iter().filter_map(|part| part["text"].as_str()) {
                    answer.say(piece)?;
                }
            }
            _ => {}
        }
        // Refusing is what the model says, too.
        if let Some(piece) = delta["refusal"].as_str() {
            answer.say(piece)?;
        }
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let function = &call["function"];
            let arguments = match &function["arguments"] {
                Value::String(piece) => piece.clone(),
                Value::Null => String::new(),
                // What should be text comes as an object from a few.
                other => other.to_string(),
            };
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            answer.call(call["index"].as_u64(), &text(&call["id"]), &text(&function["name"]), &arguments)?;
        }
        match choice["finish_reason"].as_str() {
            None | Some("") => {}
            Some("length" | "max_tokens") => answer.end = Some(AnswerEnd::Length),
            Some("content_filter") => answer.end = Some(AnswerEnd::Filtered),
            Some("tool_calls" | "function_call") => answer.end = Some(AnswerEnd::Calls),
            // OpenRouter reports in this way that the provider behind it failed.
            Some("error") => {
                let fault = Fault::find(choice).or_else(|| Fault::find(&json!({ "error": "the provider failed" })));
                return fault.map_or(Ok(()), |fault| Err(self.provider.fault(&fault, answer.has_told())));
            }
            Some(_) => answer.end = Some(AnswerEnd::Done),
        }
        Ok(())
    }
}

#[async_trait]
impl ChatModel for OpenAiCompatible {
    fn name(&self) -> &'static str {
        "openai_compatible"
    }

    async fn answer(&self, request: &ModelRequest, output: &dyn ModelOutput) -> Result<ModelAnswer, ModelError> {
        if request.model.trim().is_empty() {
            return Err(no_model());
        }
        let mut answer = Answering::new(output);
        match self.ask(request).await? {
            Body::Events(mut events) => {
                while let Some(chunk) = self.provider.next(&mut events, &answer).await? {
                    self.take(&chunk, &mut answer)?;
                }
            }
            Body::Whole(whole) if whole["choices"][0].is_object() || Fault::find(&whole).is_some() => {
                self.take(&whole, &mut answer)?;
            }
            Body::Whole(whole) => return Err(self.provider.not_understood(&whole.to_string())),
        }
        Ok(answer.finish(request))
    }

    async fn models(&self) -> Result<Vec<String>, ModelError> {
        self.provider.models("/models").await
    }
}

fn usage_of(usage: &Value) -> Option<TokenUsage> {
    let usage = usage.as_object()?;
    let count = |name: &str| usage.get(name).and_then(Value::as_u64).unwrap_or(0);
    Some(TokenUsage { input: count("prompt_tokens"), output: count("completion_tokens") })
}

/// What is sent.
fn body_of(request: &ModelRequest, form: Form) -> Value {
    let mut messages = Vec::new();
    if !request.system.is_empty() {
        messages.push(json!({ "role": "system", "content": request.system }));
    }
    for message in &request.messages {
        push(&mut messages, message);
    }
    let mut body = json!({ "model": request.model, "messages": messages, "stream": true });
    body[form.limit] = Value::from(request.max_output_tokens);
    if form.counts {
        body["stream_options"] = json!({ "include_usage": true });
    }
    // Some refuse an empty list.
    if !request.tools.is_empty() {
        let tools = request.tools.iter().map(|tool| {
            let function = json!({
                "name": tool.name,
                "description": tool.description,
                "parameters": schema_of(&tool.schema),
            });
            json!({ "type": "function", "function": function })
        });
        body["tools"] = tools.collect();
    }
    body
}

fn push(messages: &mut Vec<Value>, message: &ModelMessage) {
    match message {
        ModelMessage::User(text) => messages.push(json!({ "role": "user", "content": text })),
        ModelMessage::Assistant { text, calls } if calls.is_empty() => {
            if !text.is_empty() {
                messages.push(json!({ "role": "assistant", "content": text }));
            }
        }
        ModelMessage::Assistant { text, calls } => {
            let calls: Value = calls
                .iter()
                .map(|call| {
                    let arguments = Value::Object(arguments_of(call)).to_string();
                    let function = json!({ "name": plain_name(&call.name), "arguments": arguments });
                    json!({ "id": call.id, "type": "function", "function": function })
                })
                .collect();
            let content = if text.is_empty() { Value::Null } else { Value::from(text.as_str()) };
            messages.push(json!({ "role": "assistant", "content": content, "tool_calls": calls }));
        }
        ModelMessage::ToolResults(outcomes) => {
            messages.extend(outcomes.iter().map(|outcome| {
                // There is no other place to say that it failed.
                let content =
                    if outcome.is_error { format!("Error: {}", outcome.content) } else { outcome.content.clone() };
                json!({ "role": "tool", "tool_call_id": outcome.id, "content": content })
            }));
        }
    }
}

#[cfg(test)]
mod tests;
