//! Pairing codes: what a phone scans to be let in.

use super::Grant;
use super::token::TokenHash;
use crate::domain::time::Timestamp;
use std::time::Duration;

/// How long a code can be redeemed.
pub const LIFETIME: Duration = Duration::from_secs(60);

/// A code that waits to be redeemed, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairing {
    /// What is kept of the code.
    pub hash: TokenHash,
    /// The fingerprint of the master token under which it was made. With another master token the code is worth nothing.
    pub epoch: String,
    /// What whoever redeems it gets, at most: what the one who made it has.
    pub grant: Grant,
    /// When it ends.
    pub expires: Timestamp,
}

impl Pairing {
    /// Whether the code can be redeemed at `now`.
    #[must_use]
    pub fn is_good(&self, epoch: &str, now: Timestamp) -> bool {
        self.epoch == epoch && now < self.expires && !self.grant.has_ended(now)
    }
}
