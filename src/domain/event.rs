//! What an observer may hear. Nothing depends on an event being heard: whoever owns a state answers for it, and an event only
//! says that it is worth asking.

use super::mcp::McpServerName;

/// Something changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "so far all that happens are changes")]
pub enum Event {
    /// What the agent is doing: see [`crate::domain::agent::service::Agent::status`].
    AgentStatusChanged,
    /// A credential may have been revoked: see [`crate::domain::auth::service::Tokens::still_holds`].
    CredentialsChanged,
    /// A server's state or tools: see [`crate::domain::mcp::service::McpServers::status`].
    McpServerChanged(McpServerName),
}
