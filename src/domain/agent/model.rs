//! Talking to a language model: what is asked, and what comes back. No provider's form is in here.

use serde_json::{Map, Value};
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// The largest answer that is taken from a model, in bytes of text; as much as a message can hold.
pub const MAX_ANSWER: usize = 1024 * 1024;

/// The most calls that are taken from one answer.
pub const MAX_CALLS: usize = 64;

/// The largest arguments that are taken from a model for one call, in bytes.
pub const MAX_ARGUMENTS: usize = 256 * 1024;

/// One question to a model: it keeps nothing in mind, so everything it has to know is in here.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRequest {
    /// Which model.
    pub model: String,
    /// How it is to behave. May be empty.
    pub system: String,
    /// The conversation, oldest first. Begins with a message of the user.
    pub messages: Vec<ModelMessage>,
    /// The tools that it may call.
    pub tools: Arc<[ToolOffer]>,
    /// How many tokens it may write.
    pub max_output_tokens: u32,
}

/// A part of the conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelMessage {
    /// What the user said.
    User(String),
    /// What the model said and wanted done. One of the two may be empty.
    Assistant {
        /// Its words.
        text: String,
        /// The tools that it wanted to be run.
        calls: Vec<ToolCall>,
    },
    /// What came of the calls of the message before: one for each, in their order.
    ToolResults(Vec<ToolOutcome>),
}

/// A tool that a model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolOffer {
    /// Its name: 1 to 64 letters, digits, underscores and hyphens, as providers want it.
    pub name: String,
    /// What it does.
    pub description: String,
    /// The JSON schema of its arguments.
    pub schema: Map<String, Value>,
    /// Whether it says of itself that it changes nothing.
    pub read_only: bool,
}

/// A call that a model wants to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// Names the call among those of its turn.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// The arguments as the model wrote them: JSON text of an object, if it did well.
    pub arguments: String,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolOutcome {
    /// The call's.
    pub id: String,
    /// The tool.
    pub name: String,
    /// What it gave, as text; if it failed, why.
    pub content: String,
    /// Whether it failed.
    pub is_error: bool,
}

/// What a model says while it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    /// A piece of the answer.
    Text(String),
    /// A piece of what it thinks aloud.
    Thinking(String),
}

/// What a model answered. Its text was told piece by piece before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelAnswer {
    /// All pieces of text together.
    pub text: String,
    /// The calls it wants to be made, in its order; at most [`MAX_CALLS`].
    pub calls: Vec<ToolCall>,
    /// Why it ended.
    pub end: AnswerEnd,
    /// The tokens it took; `None` if the provider does not say.
    pub usage: Option<TokenUsage>,
}

/// Why a model stopped writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerEnd {
    /// It had said everything.
    Done,
    /// It wants tools to be run.
    Calls,
    /// It had written as many tokens as it may.
    Length,
    /// The provider stopped it, because of what it said or was asked.
    Filtered,
}

/// Tokens as a provider counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenUsage {
    /// What was read.
    pub input: u64,
    /// What was written.
    pub output: u64,
}

impl AddAssign for TokenUsage {
    fn add_assign(&mut self, more: Self) {
        self.input = self.input.saturating_add(more.input);
        self.output = self.output.saturating_add(more.output);
    }
}

/// Why a model gave no answer, or only a part of one. The text is for the user, and holds no key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ModelError {
    /// The provider has too much to do, or the user asked too often: status 408, 409, 429 or 5xx, before anything was said.
    #[error("{message}")]
    Busy {
        /// What it said.
        message: String,
        /// When to try again, if it said so.
        retry_after: Option<Duration>,
    },
    /// There was no answer at all: the address cannot be reached, or the connection was lost before anything was said.
    #[error("the model at {address} cannot be reached: {why}")]
    Unreachable {
        /// Scheme, host and port.
        address: String,
        /// Why.
        why: String,
    },
    /// The provider refused: a bad key, an unknown model, a request that it does not understand.
    #[error("{0}")]
    Refused(String),
    /// The answer broke off or was not understood after a part of it was told. That part stands.
    #[error("the answer of the model broke off: {0}")]
    BrokeOff(String),
    /// The answer is larger than is taken. What was told stands.
    #[error("the model wrote more than is taken, and was stopped")]
    TooLarge,
}

impl ModelError {
    /// Whether asking again may help: nothing was said, and the cause may pass.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Unreachable { .. })
    }
}
