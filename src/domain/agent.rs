//! How a message is answered: turns, what the agent reports while it works, and the reply.

pub mod service;
pub mod status;
pub mod waiting;

use super::session::{NewMessage, SessionId, SessionSummary};
use super::text::{self, TextRejected};
use std::fmt;

/// Names a turn; clients know it as the request id. A version 7 UUID in text form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TurnId(String);

impl TurnId {
    /// The id of a new turn.
    #[must_use]
    pub fn new(id: uuid::Uuid) -> Self {
        Self(id.to_string())
    }

    /// An id that a store kept.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TurnId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Two deliveries with the same key are the same delivery: at most [`DeduplicationKey::MAX_CHARS`] characters, no NUL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeduplicationKey(String);

impl DeduplicationKey {
    /// The longest key, in characters.
    pub const MAX_CHARS: usize = 400;

    /// A key for `id` as used by `source`.
    ///
    /// # Errors
    /// If the two together break a rule of texts.
    pub fn new(source: &str, id: &str) -> Result<Self, TextRejected> {
        text::bounded(&format!("{source}/{id}"), Self::MAX_CHARS).map(Self)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One message to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Unique.
    pub id: TurnId,
    /// Where message and answer go.
    pub session: SessionId,
    /// What was asked; its role is the user's.
    pub message: NewMessage,
}

/// A turn that is now ours to answer, and the session in which its message was just stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedTurn {
    /// The turn.
    pub turn: Turn,
    /// The session with the message.
    pub session: SessionSummary,
    /// 1 the first time; more if whoever had it before did not finish.
    pub attempt: u32,
}

/// Where a turn stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnState {
    /// Waiting or being answered.
    Pending,
    /// Answered with this text.
    Done(String),
}

/// What an agent reports while it works on a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentEvent {
    /// A piece of the answer; the pieces in order are the answer.
    Text(String),
    /// A tool is being run.
    ToolStarted {
        /// The tool's name.
        name: String,
    },
    /// The tool has ended and the agent goes on.
    ToolFinished,
}

/// What a turn came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The answer as it was stored.
    pub text: String,
}
