//! Keeping API keys.

use super::store::StoreError;
use crate::domain::audit::AuditEntry;
use crate::domain::auth::api_key::{ApiKey, ApiKeyId};
use crate::domain::auth::token::TokenHash;
use crate::domain::time::Timestamp;
use async_trait::async_trait;

/// API keys. A revoked key stays, so that the list tells what there was; what was got with it does not.
#[async_trait]
pub trait ApiKeyStore: Send + Sync {
    /// Adds a key.
    ///
    /// **Contract:** every member comes back as it was given. A conflict changes nothing and stores no entry.
    ///
    /// # Errors
    /// `Conflict` if its id or hash is taken; `Unavailable`, `Failed`.
    async fn insert(&self, key: &ApiKey, entry: &AuditEntry) -> Result<(), StoreError>;

    /// The key of that id, revoked or not.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn find(&self, id: &ApiKeyId) -> Result<Option<ApiKey>, StoreError>;

    /// The key of that hash, revoked or not.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn find_by_hash(&self, hash: &TokenHash) -> Result<Option<ApiKey>, StoreError>;

    /// All keys, revoked ones too, by creation, then by id, oldest first.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn list(&self) -> Result<Vec<ApiKey>, StoreError>;

    /// Revokes a key, and removes the sessions, pairing codes and tickets that were got with it. False, and no entry, if
    /// there is no such key or it was revoked before.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn revoke(&self, id: &ApiKeyId, at: Timestamp, entry: &AuditEntry) -> Result<bool, StoreError>;

    /// Revokes a key as [`ApiKeyStore::revoke`] does and adds `successor`. False, and neither a new key nor an entry, if
    /// there is no such key or it was revoked before.
    ///
    /// # Errors
    /// `Conflict` if the successor's id or hash is taken, and the old key stays; `Unavailable`, `Failed`.
    async fn rotate(
        &self,
        id: &ApiKeyId,
        at: Timestamp,
        successor: &ApiKey,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError>;

    /// Notes when keys were last used.
    ///
    /// **Contract:** a use is never moved back; ids of no key are passed over; all or none is stored.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn touch(&self, uses: &[(ApiKeyId, Timestamp)]) -> Result<(), StoreError>;
}
