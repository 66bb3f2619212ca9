//! How a message is answered: turns, what the agent reports while it works, and the reply.

pub mod budget;
pub mod choice;
pub mod command;
pub mod model;
pub mod retry;
pub mod service;
pub mod status;
pub mod tools;
pub mod transcript;
pub mod waiting;

use super::session::{NewMessage, SessionId, SessionSummary};
use super::text::{self, TextRejected};
use model::{TokenUsage, ToolCall, ToolOutcome};
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
    /// Who asked, which decides what the agent may do about it.
    pub origin: Origin,
}

/// On whose behalf an agent works. Tools are allowed by origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Somebody with the scope `admin`: the owner.
    Owner,
    /// Somebody with another credential, such as an API key that is for chatting only.
    Client,
    /// Whoever knows the secret of a webhook slot. Its text may come from anybody at all.
    Webhook,
    /// Somebody in a channel such as Telegram.
    Channel,
}

impl Origin {
    /// Every origin.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Client, Self::Webhook, Self::Channel];

    /// The name in stores.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Client => "client",
            Self::Webhook => "webhook",
            Self::Channel => "channel",
        }
    }

    /// The origin of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|origin| origin.as_str() == name)
    }

    /// Whether there is a person who can be asked something in the middle of a turn.
    #[must_use]
    pub fn can_be_asked(self) -> bool {
        matches!(self, Self::Owner | Self::Client)
    }
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
    /// How far it had come then: see [`transcript`]. Empty if nothing was stored.
    pub progress: String,
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
    /// A piece of what the model thinks aloud. Not part of the answer, and not stored.
    Thinking(String),
    /// A piece of the answer; the pieces in order are the answer.
    Text(String),
    /// A tool is being run.
    ToolStarted(ToolCall),
    /// The tool has ended and the agent goes on.
    ToolFinished(ToolOutcome),
    /// The user is asked something, and the agent waits.
    Asked(Question),
    /// The agent waits no longer: the user has answered, or took too long.
    Answered,
    /// The provider counted these tokens, in addition to those it told of before.
    Used(TokenUsage),
}

/// What the agent wants to know from the user in the middle of a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The question.
    pub text: String,
    /// Answers to choose from; any other text is an answer, too.
    pub options: Vec<String>,
    /// Whether it asks to approve a plan: the calls that the agent wants to make.
    pub is_plan: bool,
}

/// What a turn came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The answer as it was stored.
    pub text: String,
    /// The tokens it took, as far as the provider said. Zero for an answer that is repeated.
    pub usage: TokenUsage,
}

/// Something that happened to a turn, for whoever follows its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnNews {
    /// The session.
    pub session: SessionId,
    /// The turn.
    pub turn: TurnId,
    /// What happened.
    pub news: News,
}

/// What can happen to a turn. `Started` comes first and `Finished` last, once each; a turn that is taken up again after the
/// server ended starts again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// An agent begins.
    Started {
        /// The kind of agent.
        agent: String,
        /// The model it asks; empty if it has none.
        model: String,
    },
    /// The agent reports.
    Agent(AgentEvent),
    /// The answer is stored.
    Finished {
        /// How it ended.
        end: TurnEnd,
        /// The tokens it took.
        usage: TokenUsage,
    },
}

/// What is stored as the answer of a turn that was stopped before anything was said.
pub const NOTHING_SAID: &str = "Stopped before anything was said.";

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnEnd {
    /// With an answer.
    Answered,
    /// The user stopped it; what had been said is stored.
    Stopped,
    /// It failed, for this reason; what had been said is stored.
    Failed(String),
}
