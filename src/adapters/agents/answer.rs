//! An answer while it comes in: what was told, what is kept, and the limits of both.

use crate::domain::agent::model::{
    AnswerEnd, Delta, MAX_ANSWER, MAX_ARGUMENTS, MAX_CALLS, ModelAnswer, ModelError, ModelMessage, ModelRequest,
    TokenUsage, ToolCall,
};
use crate::ports::agent::ModelOutput;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The longest id or name of a call that is kept, in bytes.
const MAX_NAME: usize = 512;

/// A call while it comes in.
#[derive(Debug, Default)]
pub(super) struct Call {
    /// Its number, as the provider gives it.
    pub index: Option<u64>,
    pub id: String,
    pub name: String,
    pub arguments: String,
}

/// An answer while it comes in.
pub(super) struct Answering<'a> {
    output: &'a dyn ModelOutput,
    text: String,
    /// How many bytes of thoughts were told.
    thought: usize,
    calls: Vec<Call>,
    pub usage: Option<TokenUsage>,
    /// Why the model stopped, once it has.
    pub end: Option<AnswerEnd>,
}

impl<'a> Answering<'a> {
    pub fn new(output: &'a dyn ModelOutput) -> Self {
        Self { output, text: String::new(), thought: 0, calls: Vec::new(), usage: None, end: None }
    }

    /// A piece of the answer.
    pub fn say(&mut self, piece: &str) -> Result<(), ModelError> {
        let taken = within(piece, MAX_ANSWER - self.text.len());
        if !taken.is_empty() {
            self.text.push_str(taken);
            self.output.tell(Delta::Text(taken.to_owned()));
        }
        if taken.len() < piece.len() { Err(ModelError::TooLarge) } else { Ok(()) }
    }

    /// A piece of what it thinks aloud, of which no more is told than of the answer.
    pub fn think(&mut self, piece: &str) -> Result<(), ModelError> {
        let taken = within(piece, MAX_ANSWER - self.thought);
        if !taken.is_empty() {
            self.thought += taken.len();
            self.output.tell(Delta::Thinking(taken.to_owned()));
        }
        if taken.len() < piece.len() { Err(ModelError::TooLarge) } else { Ok(()) }
    }

    /// A piece of a call. Empty texts say nothing new.
    ///
    /// Providers number the calls, except some that do not, and some that give every call the number 0; what tells them
    /// apart then are the ids, or that a name begins a call.
    pub fn call(&mut self, index: Option<u64>, id: &str, name: &str, arguments: &str) -> Result<(), ModelError> {
        let is_other = |call: &Call| match (id.is_empty(), call.id.is_empty()) {
            (false, false) => call.id != id,
            // A second whole call under the same number.
            (true, true) => !name.is_empty() && !arguments.is_empty() && as_object(&call.arguments).is_some(),
            _ => false,
        };
        let position = match index {
            Some(_) => self.calls.iter().rposition(|call| call.index == index).filter(|&at| !is_other(&self.calls[at])),
            None if !id.is_empty() => self.calls.iter().rposition(|call| call.id == id),
            None if !name.is_empty() => None,
            None => self.calls.len().checked_sub(1),
        };
        let call = match position {
            Some(at) => &mut self.calls[at],
            None if self.calls.len() >= MAX_CALLS => return Err(ModelError::TooLarge),
            None => self.calls.push_mut(Call { index, ..Call::default() }),
        };
        if call.id.is_empty() {
            id.clone_into(&mut call.id);
        }
        // Most send the name once, some with every piece, and a few in pieces.
        if call.name != name {
            call.name.push_str(name);
        }
        call.arguments.push_str(arguments);
        let is_large = call.arguments.len() > MAX_ARGUMENTS || call.name.len() > MAX_NAME || call.id.len() > MAX_NAME;
        if is_large { Err(ModelError::TooLarge) } else { Ok(()) }
    }

    /// What it means that the connection is lost now.
    pub fn lost(&self, origin: &str, why: &str) -> ModelError {
        if self.has_told() {
            ModelError::BrokeOff(why.to_owned())
        } else {
            ModelError::Unreachable { address: origin.to_owned(), why: why.to_owned() }
        }
    }

    /// Whether anything was told.
    pub fn has_told(&self) -> bool {
        self.thought > 0 || !self.text.is_empty()
    }

    /// The whole answer. The calls get ids that no other call in `request` has.
    pub fn finish(mut self, request: &ModelRequest) -> ModelAnswer {
        let end = self.end.unwrap_or(AnswerEnd::Done);
        match end {
            // It was stopped in the middle of a call, whose arguments are not those it wanted to give.
            AnswerEnd::Length => {
                self.calls.pop_if(|call| as_object(&call.arguments).is_none());
            }
            AnswerEnd::Filtered => self.calls.clear(),
            AnswerEnd::Done | AnswerEnd::Calls => {}
        }
        let end = match end {
            AnswerEnd::Done | AnswerEnd::Calls if self.calls.is_empty() => AnswerEnd::Done,
            AnswerEnd::Done | AnswerEnd::Calls => AnswerEnd::Calls,
            other => other,
        };
        let mut taken = ids_in(request);
        let calls = self.calls.into_iter().enumerate();
        let calls = calls.map(|(at, call)| ToolCall {
            id: unique(call.id, at, &mut taken),
            name: call.name,
            arguments: call.arguments,
        });
        ModelAnswer { calls: calls.collect(), text: self.text, end, usage: self.usage }
    }
}

/// The beginning of `piece` that has room.
fn within(piece: &str, room: usize) -> &str {
    &piece[..piece.floor_char_boundary(room)]
}

/// An id that is not taken: the given one if possible, else `call_` with the first free number from `at` on.
fn unique(id: String, at: usize, taken: &mut BTreeSet<String>) -> String {
    let mut id = id;
    let mut number = at;
    while id.is_empty() || taken.contains(&id) {
        id = format!("call_{number}");
        number += 1;
    }
    taken.insert(id.clone());
    id
}

fn ids_in(request: &ModelRequest) -> BTreeSet<String> {
    let calls = request.messages.iter().filter_map(|message| match message {
        ModelMessage::Assistant { calls, .. } => Some(calls),
        ModelMessage::User(_) | ModelMessage::ToolResults(_) => None,
    });
    calls.flatten().map(|call| call.id.clone()).collect()
}

/// The arguments of a call, if they are a JSON object.
fn as_object(arguments: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(arguments).ok()
}

/// The arguments of an earlier call as an object: providers read them, and refuse a conversation in which they are none.
pub(super) fn arguments_of(call: &ToolCall) -> Map<String, Value> {
    let empty = call.arguments.trim().is_empty();
    as_object(&call.arguments).unwrap_or_else(|| match empty {
        true => Map::new(),
        false => Map::from_iter([("not_json".to_owned(), Value::String(call.arguments.clone()))]),
    })
}

/// A name or id of an earlier call in characters that every provider takes, since another model may have made it up.
pub(super) fn plain_name(name: &str) -> String {
    let is_allowed = |it: char| it.is_ascii_alphanumeric() || matches!(it, '_' | '-');
    let name: String = name.chars().take(64).map(|it| if is_allowed(it) { it } else { '_' }).collect();
    if name.is_empty() { "unnamed".to_owned() } else { name }
}

/// The schema of a tool; providers want it to say that it is one of an object.
pub(super) fn schema_of(schema: &Map<String, Value>) -> Value {
    let mut schema = schema.clone();
    schema.insert("type".to_owned(), Value::from("object"));
    schema.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    Value::Object(schema)
}
