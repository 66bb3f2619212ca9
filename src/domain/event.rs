//! What an observer may hear. Nothing depends on an event being heard: whoever owns a state answers for it, and an event only
//! says that it is worth asking.

use super::agent::TurnNews;
use super::mcp::McpServerName;
use std::sync::Arc;

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// What the agent is doing: see [`crate::domain::agent::service::Agent::status`].
    AgentStatusChanged,
    /// A credential may have been revoked: see [`crate::domain::auth::service::Tokens::still_holds`].
    CredentialsChanged,
    /// A server's state or tools: see [`crate::domain::mcp::service::McpServers::status`].
    McpServerChanged(McpServerName),
    /// What the user chose: see [`crate::domain::settings::service::Settings::view`].
    SettingsChanged,
    /// What the tunnel is doing: see [`crate::domain::tunnel::service::Tunnel::status`].
    TunnelChanged,
    /// A turn got on. Shared, since many may hear it.
    Turn(Arc<TurnNews>),
}
