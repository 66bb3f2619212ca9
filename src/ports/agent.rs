//! Who answers.

use crate::domain::agent::choice::AgentChoice;
use crate::domain::agent::model::{
    Delta, ModelAnswer, ModelError, ModelMessage, ModelRequest, ToolCall, ToolOffer, ToolOutcome,
};
use crate::domain::agent::status::AgentStatus;
use crate::domain::agent::{AgentEvent, Turn};
use async_trait::async_trait;
use std::sync::Arc;
use thiserror::Error;

/// What an agent is told.
#[derive(Debug)]
pub struct AgentRequest<'a> {
    /// The turn to answer.
    pub turn: &'a Turn,
    /// What the agent as a whole is doing, this turn included.
    pub status: &'a AgentStatus,
    /// How it is to behave.
    pub system: &'a str,
    /// The conversation, the turn's message at its end, cut to the budget. Never empty.
    pub messages: &'a [ModelMessage],
    /// The tools that may be used for this turn, by [`AgentIo::call`].
    pub tools: &'a [ToolOffer],
}

/// The agent could not answer. The text is fit for the user who asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct AgentError(pub String);

/// Takes what an agent reports, and does what it cannot do itself.
#[async_trait]
pub trait AgentIo: Send + Sync {
    /// Takes the next event. Never waits.
    fn emit(&self, event: AgentEvent);

    /// Runs one of the request's tools. What comes of it was reported when this returns, whether it went well or not.
    async fn call(&self, call: ToolCall) -> ToolOutcome;
}

/// An agent that works on its own: it is given the whole turn.
#[async_trait]
pub trait AgentRunner: Send + Sync {
    /// The name of the kind, as it is stored with an answer.
    fn name(&self) -> &'static str;

    /// Works on a turn and reports into `io`. When it returns, all was reported. If it is dropped, it ends at once, and so
    /// does every program that it started.
    ///
    /// **Contract:** may be called again for the same turn if the program ended before the answer was stored.
    ///
    /// # Errors
    /// [`AgentError`] if there is no answer, or only a part of one.
    async fn run(&self, request: AgentRequest<'_>, io: &dyn AgentIo) -> Result<(), AgentError>;
}

/// Takes what a model says while it answers.
pub trait ModelOutput: Send + Sync {
    /// Takes the next piece. Never waits.
    fn tell(&self, delta: Delta);
}

/// A language model: asked once, it answers once, and keeps nothing in mind.
#[async_trait]
pub trait ChatModel: Send + Sync {
    /// The name of the kind, as it is stored with an answer.
    fn name(&self) -> &'static str;

    /// Asks, and tells `output` every piece as it comes. If it is dropped, the provider is told by the end of the connection.
    ///
    /// **Contract:** nothing was told if the error [may pass](ModelError::may_pass). Waits as long as the provider takes for
    /// its first word (a local model may have to be loaded), but not for ever: at most five minutes between two pieces. No
    /// more than [`crate::domain::agent::model::MAX_ANSWER`] bytes of text are told, and no more of anything else kept.
    ///
    /// # Errors
    /// [`ModelError`]
    async fn answer(&self, request: &ModelRequest, output: &dyn ModelOutput) -> Result<ModelAnswer, ModelError>;

    /// The models that the provider has, by name, at most 1,000.
    ///
    /// # Errors
    /// [`ModelError`]; [`ModelError::Refused`] also if the provider cannot tell.
    async fn models(&self) -> Result<Vec<String>, ModelError>;
}

/// An agent that is ready to work.
#[derive(Clone)]
pub enum OpenAgent {
    /// One that works on its own.
    Runner(Arc<dyn AgentRunner>),
    /// A model, for which we do the rest: its tools, its limits, its history.
    Model(Arc<dyn ChatModel>),
}

impl OpenAgent {
    /// The name of the kind.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Runner(runner) => runner.name(),
            Self::Model(model) => model.name(),
        }
    }
}

/// Makes agents.
pub trait Agents: Send + Sync {
    /// The agent that was chosen. Quick, and reaches nobody.
    ///
    /// # Errors
    /// [`AgentError`] says what is missing, and where to say it.
    fn open(&self, choice: &AgentChoice) -> Result<OpenAgent, AgentError>;
}
