//! API keys as a vector.

use super::{InMemoryStorage, State};
use crate::domain::audit::AuditEntry;
use crate::domain::auth::Grant;
use crate::domain::auth::api_key::{ApiKey, ApiKeyId};
use crate::domain::auth::token::TokenHash;
use crate::domain::time::Timestamp;
use crate::ports::api_keys::ApiKeyStore;
use crate::ports::store::StoreError;
use async_trait::async_trait;

impl State {
    /// Whether a key has the id or the hash of `key`.
    pub(super) fn is_taken(&self, key: &ApiKey) -> bool {
        self.api_keys.iter().any(|existing| existing.id == key.id || existing.hash == key.hash)
    }

    /// Which key can be revoked under that id.
    fn revocable(&self, id: &ApiKeyId) -> Option<usize> {
        self.api_keys.iter().position(|key| key.id == *id && key.revoked.is_none())
    }

    /// Revokes the key at `index` and removes what was got with it.
    pub(super) fn revoke(&mut self, index: usize, at: Timestamp) {
        let key = &mut self.api_keys[index];
        key.revoked = Some(at);
        let id = key.id.clone();
        let is_of_another = |grant: &Grant| grant.api_key.as_ref() != Some(&id);
        self.auth_sessions.retain(|session| is_of_another(&session.grant));
        self.pairings.retain(|pairing| is_of_another(&pairing.grant));
        self.tickets.retain(|ticket| is_of_another(&ticket.grant));
    }
}

#[async_trait]
impl ApiKeyStore for InMemoryStorage {
    async fn insert(&self, key: &ApiKey, entry: &AuditEntry) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.is_taken(key) {
            return Err(StoreError::Conflict);
        }
        state.api_keys.push(key.clone());
        state.audit.push(entry.clone());
        Ok(())
    }

    async fn find(&self, id: &ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
        Ok(self.state().api_keys.iter().find(|key| key.id == *id).cloned())
    }

    async fn find_by_hash(&self, hash: &TokenHash) -> Result<Option<ApiKey>, StoreError> {
        Ok(self.state().api_keys.iter().find(|key| key.hash == *hash).cloned())
    }

    async fn list(&self) -> Result<Vec<ApiKey>, StoreError> {
        let mut keys = self.state().api_keys.clone();
        keys.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        Ok(keys)
    }

    async fn revoke(&self, id: &ApiKeyId, at: Timestamp, entry: &AuditEntry) -> Result<bool, StoreError> {
        let mut state = self.state();
        let Some(index) = state.revocable(id) else { return Ok(false) };
        state.revoke(index, at);
        state.audit.push(entry.clone());
        Ok(true)
    }

    async fn rotate(
        &self,
        id: &ApiKeyId,
        at: Timestamp,
        successor: &ApiKey,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let Some(index) = state.revocable(id) else { return Ok(false) };
        if state.is_taken(successor) {
            return Err(StoreError::Conflict);
        }
        state.revoke(index, at);
        state.api_keys.push(successor.clone());
        state.audit.push(entry.clone());
        Ok(true)
    }

    async fn touch(&self, uses: &[(ApiKeyId, Timestamp)]) -> Result<(), StoreError> {
        let mut state = self.state();
        for (id, at) in uses {
            if let Some(key) = state.api_keys.iter_mut().find(|key| key.id == *id) {
                key.last_used = key.last_used.max(Some(*at));
            }
        }
        Ok(())
    }
}
