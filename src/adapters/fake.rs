//! Stand-ins for the outside world that do exactly what a test tells them: a clock that is moved by hand, randomness that
//! repeats itself, a vault without a key, agents and models that follow a script, and MCP servers and tunnels that are not there.
//!
//! Nothing here is fit for anything but tests.

mod agent;
mod embedding;
mod mcp;
mod model;
mod tools;
mod tunnel;

pub use agent::{FixedAgent, Script, ScriptedAgent};
pub use embedding::WordEmbedders;
pub use mcp::FakeMcp;
pub use model::{ModelScript, ScriptedModel};
pub use tools::FakeTools;
pub use tunnel::FakeTunnels;

use crate::domain::time::Timestamp;
use crate::ports::clock::Clock;
use crate::ports::entropy::Entropy;
use crate::ports::vault::{NotOurs, Vault};
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// A clock that stands still until it is moved.
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.0))
    }

    /// Shows `now` from now on, which may be earlier than before.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }

    /// Moves on by `duration`.
    pub fn advance(&self, duration: Duration) {
        self.0.update(Ordering::SeqCst, Ordering::SeqCst, |now| Timestamp(now).plus(duration).0);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// Bytes that look random and are the same in every run.
pub struct SeededEntropy {
    seed: u64,
    blocks: AtomicU64,
}

impl SeededEntropy {
    /// Another seed gives other bytes.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, blocks: AtomicU64::new(0) }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let block = self.blocks.fetch_add(1, Ordering::SeqCst);
            let digest =
                Sha256::new().chain_update(self.seed.to_be_bytes()).chain_update(block.to_be_bytes()).finalize();
            chunk.copy_from_slice(&digest[..chunk.len()]);
        }
    }
}

/// A vault that hides nothing from who wants to know, but whose output does not contain the secret as it is, differs from
/// seal to seal, and does not open once a byte was changed.
#[derive(Default)]
pub struct FixedVault {
    seals: AtomicU64,
}

impl FixedVault {
    const COUNTER_LEN: usize = 8;
    const CHECK_LEN: usize = 32;
    const MASK: u8 = 0x5a;

    /// All of them open what any of them has sealed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn masked(bytes: &[u8]) -> impl Iterator<Item = u8> {
        bytes.iter().map(|byte| byte ^ Self::MASK)
    }
}

impl Vault for FixedVault {
    fn seal(&self, secret: &[u8]) -> Vec<u8> {
        let mut sealed = self.seals.fetch_add(1, Ordering::SeqCst).to_be_bytes().to_vec();
        sealed.extend(Self::masked(secret));
        let check = Sha256::digest(&sealed);
        sealed.extend_from_slice(&check);
        sealed
    }

    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, NotOurs> {
        let end = sealed.len().checked_sub(Self::CHECK_LEN).ok_or(NotOurs)?;
        let (framed, check) = sealed.split_at(end);
        if Sha256::digest(framed)[..] != *check {
            return Err(NotOurs);
        }
        let masked = framed.get(Self::COUNTER_LEN..).ok_or(NotOurs)?;
        Ok(Self::masked(masked).collect())
    }
}

#[cfg(test)]
mod tests;
