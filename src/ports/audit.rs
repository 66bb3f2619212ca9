//! Keeping the audit log.

use super::store::StoreError;
use crate::domain::audit::AuditEntry;
use crate::domain::text::PageLimit;
use async_trait::async_trait;

/// The audit log.
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// Adds an entry.
    ///
    /// **Contract:** every member comes back as it was given.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn record(&self, entry: &AuditEntry) -> Result<(), StoreError>;

    /// The newest entries in the order in which they were stored, newest first.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn recent(&self, limit: PageLimit) -> Result<Vec<AuditEntry>, StoreError>;
}
