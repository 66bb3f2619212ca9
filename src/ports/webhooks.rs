//! Keeping webhook slots.

use super::store::StoreError;
use crate::domain::audit::AuditEntry;
use crate::domain::webhook::{Webhook, WebhookName, WebhookSecret};
use async_trait::async_trait;

/// Webhook slots.
#[async_trait]
pub trait WebhookStore: Send + Sync {
    /// Adds a slot.
    ///
    /// **Contract:** every member comes back as it was given. A conflict changes nothing and stores no entry.
    ///
    /// # Errors
    /// `Conflict` if the name is taken; `Unavailable`, `Failed`.
    async fn insert(&self, webhook: &Webhook, entry: &AuditEntry) -> Result<(), StoreError>;

    /// The slot of that name.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn find(&self, name: &WebhookName) -> Result<Option<Webhook>, StoreError>;

    /// All slots, by creation, then by name.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn list(&self) -> Result<Vec<Webhook>, StoreError>;

    /// Gives a slot another secret. False, and no entry, if there is no such slot.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn set_secret(
        &self,
        name: &WebhookName,
        secret: &WebhookSecret,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError>;

    /// Removes a slot. False, and no entry, if there is no such slot.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn remove(&self, name: &WebhookName, entry: &AuditEntry) -> Result<bool, StoreError>;
}
