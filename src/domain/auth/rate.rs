//! How often clients may ask.

use std::num::NonZeroU32;
use std::time::Duration;

/// A limit for one client: so many requests a second in the long run, and `burst` of them at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// The time after which one more is allowed: 10 microseconds to 100 seconds.
    pub interval: Duration,
    /// How many are allowed at once: 1 to 100,000.
    pub burst: NonZeroU32,
}

impl RateLimit {
    /// The limit of that many requests a second, 0.01 to 100,000. `None` if either number is out of bounds.
    #[must_use]
    pub fn new(per_second: f64, burst: u32) -> Option<Self> {
        let is_allowed = (0.01..=100_000.0).contains(&per_second) && burst <= 100_000;
        let burst = NonZeroU32::new(burst).filter(|_| is_allowed)?;
        Some(Self { interval: Duration::from_secs_f64(per_second.recip()), burst })
    }
}

/// The limits there are. `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// Requests, per credential.
    pub api: Option<RateLimit>,
    /// Sign-ins, pairing codes and failed proofs, per address.
    pub auth: Option<RateLimit>,
    /// New connections that stay open: event streams and each `WebSocket`, per credential.
    pub ws: Option<RateLimit>,
    /// Requests of one API key.
    pub key: Option<RateLimit>,
}

#[cfg(test)]
mod tests;
