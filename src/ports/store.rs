//! What all stores have in common.

use super::api_keys::ApiKeyStore;
use super::audit::AuditLog;
use super::auth_sessions::AuthSessionStore;
use super::imports::ImportStore;
use super::mcp::McpServerStore;
use super::memory::{MemoryStore, VectorStore};
use super::oauth::TicketStore;
use super::sessions::SessionStore;
use super::settings::SettingsStore;
use super::turns::TurnQueue;
use super::webhooks::WebhookStore;
use async_trait::async_trait;
use std::sync::Arc;
use thiserror::Error;

/// The cause of a store error, for the log.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What a caller can act on when a store fails. `Display` never contains the cause.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The key exists.
    #[error("there is one of that name already")]
    Conflict,
    /// The storage cannot be reached or is too busy; the same call may work later. Nothing was changed, unless the connection
    /// to a server was lost in the very moment of the commit: then nobody knows, and who tries again may find it done.
    #[error("the storage cannot be reached at the moment")]
    Unavailable(#[source] Cause),
    /// A row holds something that the domain refuses.
    #[error("the storage holds a value that cannot be read: {table}.{column} of {key}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// Which row.
        key: String,
        /// Why it was refused.
        #[source]
        source: Cause,
    },
    /// Anything else. Nothing was changed.
    #[error("the storage failed")]
    Failed(#[source] Cause),
}

/// What a storage says of itself, for the one who runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Which storage it is: `sqlite`, `postgresql`, `memory` ….
    pub storage: &'static str,
    /// How it searches texts: the name of the index, or `scan` if there is none.
    pub search: &'static str,
}

/// Whether a storage can serve.
#[async_trait]
pub trait StoreProbe: Send + Sync {
    /// Asks the storage for something small.
    ///
    /// # Errors
    /// If it does not answer, or does not have the schema that this program knows.
    async fn check(&self) -> Result<Condition, StoreError>;
}

/// All stores of one storage. They travel together.
#[derive(Clone)]
pub struct Stores {
    /// Sessions and messages.
    pub sessions: Arc<dyn SessionStore>,
    /// Webhook slots.
    pub webhooks: Arc<dyn WebhookStore>,
    /// Turns to answer.
    pub turns: Arc<dyn TurnQueue>,
    /// Login sessions and pairing codes.
    pub auth_sessions: Arc<dyn AuthSessionStore>,
    /// API keys.
    pub api_keys: Arc<dyn ApiKeyStore>,
    /// What native apps exchange for access tokens.
    pub tickets: Arc<dyn TicketStore>,
    /// MCP servers, and what signing in to them gave.
    pub mcp_servers: Arc<dyn McpServerStore>,
    /// What the user chose.
    pub settings: Arc<dyn SettingsStore>,
    /// Memories.
    pub memories: Arc<dyn MemoryStore>,
    /// The vectors of memories.
    pub vectors: Arc<dyn VectorStore>,
    /// The audit log.
    pub audit: Arc<dyn AuditLog>,
    /// What comes from another program.
    pub imports: Arc<dyn ImportStore>,
    /// Whether all of it can serve.
    pub probe: Arc<dyn StoreProbe>,
}

impl Stores {
    /// Fans a storage out into its ports.
    #[must_use]
    pub fn of<S>(storage: &Arc<S>) -> Self
    where
        S: SessionStore + WebhookStore + TurnQueue + AuthSessionStore + ApiKeyStore + TicketStore,
        S: McpServerStore + SettingsStore + MemoryStore + VectorStore + AuditLog + ImportStore + StoreProbe + 'static,
    {
        Self {
            sessions: Arc::clone(storage) as _,
            webhooks: Arc::clone(storage) as _,
            turns: Arc::clone(storage) as _,
            auth_sessions: Arc::clone(storage) as _,
            api_keys: Arc::clone(storage) as _,
            tickets: Arc::clone(storage) as _,
            mcp_servers: Arc::clone(storage) as _,
            settings: Arc::clone(storage) as _,
            memories: Arc::clone(storage) as _,
            vectors: Arc::clone(storage) as _,
            audit: Arc::clone(storage) as _,
            imports: Arc::clone(storage) as _,
            probe: Arc::clone(storage) as _,
        }
    }
}
