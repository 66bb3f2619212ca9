//! Writing and reading the audit log.

use super::{AuditEntry, Happening};
use crate::domain::id;
use crate::domain::network::network_of;
use crate::domain::text::PageLimit;
use crate::domain::time::Timestamp;
use crate::ports::audit::AuditLog;
use crate::ports::clock::Clock;
use crate::ports::entropy::{Entropy, random};
use crate::ports::store::StoreError;
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// At most this many refusals a minute and group reach the log, so that a stranger cannot fill the disk; the next one that
/// does says how many were left out.
const REFUSALS_PER_MINUTE: u32 = 20;

/// Into how many groups refusals fall. By chance, so that nobody can hide a guess behind a noise of others.
const GROUPS: usize = 64;

/// The audit log.
pub struct Audit {
    log: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    refusals: Mutex<[PerMinute; GROUPS]>,
    /// Decides what falls into which group.
    grouping: [u8; 16],
}

impl Audit {
    /// An audit log over a store.
    #[must_use]
    pub fn new(log: Arc<dyn AuditLog>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let grouping = random(&*entropy);
        let refusals = Mutex::new(std::array::from_fn(|_| PerMinute::default()));
        Self { log, clock, entropy, refusals, grouping }
    }

    /// The entry for something that happens now, to be stored with the change it describes.
    #[must_use]
    pub fn entry(&self, happening: Happening) -> AuditEntry {
        let now = self.clock.now();
        happening.into_entry(id::time_ordered(now, random(&*self.entropy)).to_string(), now)
    }

    /// Stores an entry for something that changed nothing else.
    ///
    /// # Errors
    /// As the store's.
    pub async fn record(&self, happening: Happening) -> Result<(), StoreError> {
        self.log.record(&self.entry(happening)).await
    }

    /// Stores an entry for a refusal, unless too many of the same group were stored within a minute. `from` is whoever was
    /// refused: an address, which stands for its network, or the id of a credential.
    ///
    /// A store that fails makes no difference to who was refused: that is for the program's own log.
    pub async fn record_refusal(&self, from: &str, happening: Happening) {
        let from = from.parse().map_or_else(|_| from.to_owned(), network_of);
        let digest = Sha256::new().chain_update(self.grouping).chain_update(from).finalize();
        let group = usize::from(digest[0]) % GROUPS;
        let now = self.clock.now();
        let left_out = {
            let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            refusals[group].count(now, REFUSALS_PER_MINUTE)
        };
        let Some(left_out) = left_out else { return };
        if let Err(error) = self.record(happening.with("left_out", left_out)).await {
            tracing::error!(error = &error as &dyn std::error::Error, "a refusal could not be audited");
        }
    }

    /// The newest entries, newest first.
    ///
    /// # Errors
    /// As the store's.
    pub async fn recent(&self, limit: PageLimit) -> Result<Vec<AuditEntry>, StoreError> {
        self.log.recent(limit).await
    }
}

/// Counts what happens, so that only so much of it a minute is written down.
#[derive(Default)]
pub struct PerMinute {
    minute: Option<Timestamp>,
    in_this_minute: u32,
    left_out: u32,
}

impl PerMinute {
    /// Counts one. If it should be written down: how many before it were not.
    pub fn count(&mut self, now: Timestamp, most: u32) -> Option<u32> {
        if self.minute.is_none_or(|start| now.since(start).max(start.since(now)) >= Duration::from_secs(60)) {
            self.minute = Some(now);
            self.in_this_minute = 0;
        }
        if self.in_this_minute >= most {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.in_this_minute += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}
