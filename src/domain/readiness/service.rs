//! Asking the storage.

use crate::ports::store::{Condition, StoreError, StoreProbe};
use std::sync::Arc;

/// Knows whether the server is ready.
pub struct Readiness {
    probe: Arc<dyn StoreProbe>,
}

impl Readiness {
    /// Ready when the storage behind `probe` is.
    #[must_use]
    pub fn new(probe: Arc<dyn StoreProbe>) -> Self {
        Self { probe }
    }

    /// What the storage says of itself, if it answers and has the schema this program knows.
    ///
    /// # Errors
    /// The reason why it is not ready.
    pub async fn check(&self) -> Result<Condition, StoreError> {
        self.probe.check().await
    }
}
