//! Writing and reading the audit log.

use super::{AuditEntry, Happening};
use crate::domain::id;
use crate::domain::text::PageLimit;
use crate::ports::audit::AuditLog;
use crate::ports::clock::Clock;
use crate::ports::entropy::{Entropy, random};
use crate::ports::store::StoreError;
use std::sync::Arc;

/// The audit log.
pub struct Audit {
    log: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Audit {
    /// An audit log over a store.
    #[must_use]
    pub fn new(log: Arc<dyn AuditLog>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { log, clock, entropy }
    }

    /// The entry for something that happens now, to be stored with the change it describes.
    #[must_use]
    pub fn entry(&self, happening: Happening) -> AuditEntry {
        let now = self.clock.now();
        happening.into_entry(id::time_ordered(now, random(&*self.entropy)).to_string(), now)
    }

    /// Stores an entry for something that changed nothing else, such as a refusal.
    ///
    /// # Errors
    /// As the store's.
    pub async fn record(&self, happening: Happening) -> Result<(), StoreError> {
        self.log.record(&self.entry(happening)).await
    }

    /// The newest entries, newest first.
    ///
    /// # Errors
    /// As the store's.
    pub async fn recent(&self, limit: PageLimit) -> Result<Vec<AuditEntry>, StoreError> {
        self.log.recent(limit).await
    }
}
