//! A storage that forgets everything when it is dropped: for tests, and for trying Pawport without a trace.
//!
//! It is not a mock but the executable definition of the storage ports. One mutex guards everything, so each method is
//! atomic by construction; everything else is a linear scan that can be read next to the port's documentation. It must
//! never grow an index, a cache or a second lock: whatever makes it faster makes it a worse definition.

mod api_keys;
mod audit;
mod auth_sessions;
mod credentials;
mod imports;
mod mcp_servers;
mod memories;
mod sessions;
mod settings;
mod tickets;
mod turns;
mod webhooks;

pub use credentials::InMemoryCredentials;

use crate::domain::audit::AuditEntry;
use crate::domain::auth::api_key::ApiKey;
use crate::domain::auth::login::AuthSession;
use crate::domain::auth::oauth::Ticket;
use crate::domain::auth::pairing::Pairing;
use crate::domain::import::Kept;
use crate::domain::mcp::{McpServer, McpServerName};
use crate::domain::settings::StoredSetting;
use crate::domain::webhook::Webhook;
use crate::ports::store::{Condition, StoreError, StoreProbe};
use async_trait::async_trait;
use memories::{Space, StoredMemory};
use secrecy::SecretString;
use sessions::Sessions;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use turns::StoredTurn;

/// Implements every store port over plain vectors.
#[derive(Default)]
pub struct InMemoryStorage {
    state: Mutex<State>,
    turns_changed: Notify,
}

/// Everything that is stored. All vectors are in the order of storing.
#[derive(Default, Clone)]
struct State {
    sessions: Sessions,
    webhooks: Vec<Webhook>,
    turns: Vec<StoredTurn>,
    auth_sessions: Vec<AuthSession>,
    pairings: Vec<Pairing>,
    api_keys: Vec<ApiKey>,
    tickets: Vec<Ticket>,
    audit: Vec<AuditEntry>,
    /// How many entries at the beginning of `audit` were imported.
    imported_entries: usize,
    kept: Vec<Kept>,
    mcp_servers: Vec<McpServer>,
    /// Of each server at most one.
    mcp_sign_ins: Vec<(McpServerName, SecretString)>,
    settings: Vec<StoredSetting>,
    memories: Vec<StoredMemory>,
    /// In the order in which they were opened.
    vector_spaces: Vec<Space>,
    /// How many memories and vectors were ever stored.
    places_given: i64,
}

impl InMemoryStorage {
    /// An empty storage.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The guard is not `Send`, so the compiler refuses to hold it over an await.
    ///
    /// A poisoned mutex is taken as it is: every method checks first and changes afterwards, and none of the changes can
    /// panic halfway.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl StoreProbe for InMemoryStorage {
    async fn check(&self) -> Result<Condition, StoreError> {
        Ok(Condition { storage: "memory", search: "scan" })
    }
}
