//! What an agent did in a turn, step by step: what is stored with its answer, and what a turn that was interrupted goes on
//! from.

use super::model::{ModelMessage, ToolCall, ToolOutcome};
use crate::domain::text::head;
use serde_json::{Value, json};

/// The steps of a turn: what the agent said, then the tools that it had run, again and again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transcript {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Step {
    text: String,
    calls: Vec<Called>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Called {
    call: ToolCall,
    /// `None` while it runs.
    outcome: Option<ToolOutcome>,
}

/// What a model is told of a call during which the server ended.
pub const INTERRUPTED: &str =
    "The server ended during this call. It is not known whether the tool did its work; look before you call it again.";

/// To how many characters older results are cut if there are too many.
const CUT_RESULT: usize = 1000;

/// What stands at the end of a text that was cut.
const CUT_MARK: &str = "\n[cut]";

impl Transcript {
    /// The longest JSON text of a transcript, in bytes.
    pub const MAX_JSON: usize = 1024 * 1024;

    /// The longest result of a tool, in characters; the rest is cut off, and the model is told so.
    pub const MAX_RESULT: usize = 32 * 1024;

    /// Whether nothing happened yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Takes a piece of text. Gives what is told of it: the piece, after a blank line if it begins a new step after other
    /// text.
    pub fn say(&mut self, piece: &str) -> String {
        let begins = self.steps.last().is_none_or(|step| !step.calls.is_empty());
        if !begins {
            if let Some(step) = self.steps.last_mut() {
                step.text.push_str(piece);
            }
            return piece.to_owned();
        }
        let follows_text = self.steps.iter().any(|step| !step.text.is_empty());
        let told = if follows_text { format!("\n\n{piece}") } else { piece.to_owned() };
        self.steps.push(Step { text: told.clone(), calls: Vec::new() });
        told
    }

    /// Begins a step of calls: what the model says next is a new step.
    pub fn call(&mut self, call: ToolCall) {
        let called = Called { call, outcome: None };
        match self.steps.last_mut() {
            Some(step) if step.calls.iter().all(|called| called.outcome.is_none()) => step.calls.push(called),
            _ => self.steps.push(Step { text: String::new(), calls: vec![called] }),
        }
    }

    /// Ends the last call of that id that runs.
    pub fn end(&mut self, outcome: ToolOutcome) {
        let calls = self.steps.iter_mut().rev().flat_map(|step| step.calls.iter_mut().rev());
        if let Some(called) = calls.into_iter().find(|called| called.call.id == outcome.id && called.outcome.is_none())
        {
            called.outcome = Some(outcome);
        }
    }

    /// Ends the calls that were running when the server ended: each was [`INTERRUPTED`].
    pub fn interrupt(&mut self) {
        for called in self.steps.iter_mut().flat_map(|step| &mut step.calls) {
            called.outcome = Some(called.outcome_or_interrupted());
        }
    }

    /// The calls that were begun and have no outcome.
    #[must_use]
    pub fn open_calls(&self) -> Vec<ToolCall> {
        let calls = self.steps.iter().flat_map(|step| &step.calls);
        calls.filter(|called| called.outcome.is_none()).map(|called| called.call.clone()).collect()
    }

    /// How many calls were made.
    #[must_use]
    pub fn call_count(&self) -> usize {
        self.steps.iter().map(|step| step.calls.len()).sum()
    }

    /// Everything that was said: the answer.
    #[must_use]
    pub fn text(&self) -> String {
        self.steps.iter().map(|step| step.text.as_str()).collect()
    }

    /// The part of a conversation that this is. A call without an outcome was [`INTERRUPTED`].
    #[must_use]
    pub fn messages(&self) -> Vec<ModelMessage> {
        let mut messages = Vec::new();
        for step in &self.steps {
            let calls: Vec<ToolCall> = step.calls.iter().map(|called| called.call.clone()).collect();
            let outcomes = step.calls.iter().map(Called::outcome_or_interrupted);
            let outcomes: Vec<ToolOutcome> = outcomes.collect();
            let text = step.text.trim().to_owned();
            if text.is_empty() && calls.is_empty() {
                continue;
            }
            messages.push(ModelMessage::Assistant { text, calls });
            if !outcomes.is_empty() {
                messages.push(ModelMessage::ToolResults(outcomes));
            }
        }
        messages
    }

    /// The steps as JSON, for [`Transcript::from_json`]. At most [`Transcript::MAX_JSON`] bytes: of more, results are cut,
    /// the oldest first, and if that is not enough, the oldest steps are left out.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut steps: Vec<Value> = self.steps.iter().map(Step::to_json).collect();
        let mut len: usize = steps.iter().map(|step| step.to_string().len() + 1).sum();
        for step in &mut steps {
            if len <= Self::MAX_JSON {
                break;
            }
            let before = step.to_string().len();
            cut_results(step);
            len -= before - step.to_string().len();
        }
        while len > Self::MAX_JSON && !steps.is_empty() {
            len -= steps.remove(0).to_string().len() + 1;
        }
        Value::Array(steps)
    }

    /// What [`Transcript::to_json`] gave. `None` if it is something else.
    #[must_use]
    pub fn from_json(json: &Value) -> Option<Self> {
        let steps = json.as_array()?.iter().map(Step::from_json).collect::<Option<_>>()?;
        Some(Self { steps })
    }
}

impl Called {
    fn outcome_or_interrupted(&self) -> ToolOutcome {
        self.outcome.clone().unwrap_or_else(|| ToolOutcome {
            id: self.call.id.clone(),
            name: self.call.name.clone(),
            content: INTERRUPTED.to_owned(),
            is_error: true,
        })
    }
}

impl Step {
    fn to_json(&self) -> Value {
        let call = |Called { call, outcome }: &Called| {
            let mut json = json!({ "id": call.id, "name": call.name, "arguments": call.arguments });
            if let Some(outcome) = outcome {
                json["result"] = outcome.content.as_str().into();
                json["is_error"] = outcome.is_error.into();
            }
            json
        };
        json!({ "text": self.text, "calls": self.calls.iter().map(call).collect::<Vec<_>>() })
    }

    fn from_json(json: &Value) -> Option<Self> {
        let call = |json: &Value| {
            let text = |member: &str| json[member].as_str().map(str::to_owned);
            let call = ToolCall { id: text("id")?, name: text("name")?, arguments: text("arguments")? };
            let outcome = text("result").map(|content| ToolOutcome {
                id: call.id.clone(),
                name: call.name.clone(),
                content,
                is_error: json["is_error"] == true,
            });
            Some(Called { call, outcome })
        };
        let calls = json["calls"].as_array()?.iter().map(call).collect::<Option<_>>()?;
        Some(Self { text: json["text"].as_str()?.to_owned(), calls })
    }
}

fn cut_results(step: &mut Value) {
    for call in step["calls"].as_array_mut().into_iter().flatten() {
        for member in ["result", "arguments"] {
            if let Some(cut) = call[member].as_str().and_then(|text| cut(text, CUT_RESULT)) {
                call[member] = cut.into();
            }
        }
    }
}

/// `text` without what is beyond so many characters, and a mark that something is missing. `None` if nothing is.
#[must_use]
pub fn cut(text: &str, max_chars: usize) -> Option<String> {
    let kept = head(text, max_chars);
    (kept.len() < text.len()).then(|| format!("{kept}{CUT_MARK}"))
}

#[cfg(test)]
mod tests;
