//! The audit log as a vector.

use super::InMemoryStorage;
use crate::domain::audit::AuditEntry;
use crate::domain::text::PageLimit;
use crate::ports::audit::AuditLog;
use crate::ports::store::StoreError;
use async_trait::async_trait;

#[async_trait]
impl AuditLog for InMemoryStorage {
    async fn record(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.state().audit.push(entry.clone());
        Ok(())
    }

    async fn recent(&self, limit: PageLimit) -> Result<Vec<AuditEntry>, StoreError> {
        Ok(self.state().audit.iter().rev().take(limit.get()).cloned().collect())
    }
}
