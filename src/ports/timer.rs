//! Waiting.

use async_trait::async_trait;
use std::time::Duration;

/// Lets time pass.
#[async_trait]
pub trait Timer: Send + Sync {
    /// Returns after `duration`, by a clock that never jumps.
    async fn sleep(&self, duration: Duration);
}
