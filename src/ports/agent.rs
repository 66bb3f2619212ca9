//! Who answers.

use crate::domain::agent::status::AgentStatus;
use crate::domain::agent::{AgentEvent, Turn};
use async_trait::async_trait;
use thiserror::Error;

/// What an agent is told.
#[derive(Debug)]
pub struct AgentRequest<'a> {
    /// The turn to answer.
    pub turn: &'a Turn,
    /// What the agent as a whole is doing, this turn included.
    pub status: &'a AgentStatus,
}

/// The agent could not answer. The text is fit for the user who asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct AgentError(pub String);

/// Takes what an agent reports.
pub trait AgentOutput: Send + Sync {
    /// Takes the next event. Never waits.
    fn emit(&self, event: AgentEvent);
}

/// An agent.
#[async_trait]
pub trait AgentRunner: Send + Sync {
    /// The name of the kind, as the version route shows it.
    fn name(&self) -> &'static str;

    /// Works on a turn and reports into `output`. When it returns, all was reported.
    ///
    /// **Contract:** may be called again for the same turn if the program ended before the answer was stored.
    ///
    /// # Errors
    /// [`AgentError`] if there is no answer, or only a part of one.
    async fn run(&self, request: AgentRequest<'_>, output: &dyn AgentOutput) -> Result<(), AgentError>;
}
