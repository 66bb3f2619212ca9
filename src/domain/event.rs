//! What an observer may hear. Nothing depends on an event being heard: whoever owns a state answers for it.

use super::agent::status::AgentStatus;
use std::sync::Arc;

/// Something changed.
#[derive(Debug, Clone)]
pub enum Event {
    /// The agent's status, as it was right after the change.
    AgentStatusChanged(Arc<AgentStatus>),
}
