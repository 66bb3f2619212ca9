//! The queue of turns to answer. What is in it survives the program.

use super::store::StoreError;
use crate::domain::agent::{ClaimedTurn, DeduplicationKey, Turn, TurnId, TurnState};
use crate::domain::audit::AuditEntry;
use crate::domain::session::NewMessage;
use crate::domain::time::Timestamp;
use async_trait::async_trait;

/// A turn on its way into the queue.
#[derive(Debug, Clone)]
pub struct Enqueue {
    /// The turn; its message's time is when it was accepted.
    pub turn: Turn,
    /// Set if the same delivery may come again.
    pub key: Option<DeduplicationKey>,
    /// How many unfinished turns there may be, this one included.
    pub capacity: u64,
    /// Stored with the turn.
    pub entry: AuditEntry,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enqueued {
    /// It is stored.
    Stored,
    /// A turn with this key is in the queue or was answered; this is its id. Nothing was stored.
    Repeated(TurnId),
    /// There are too many unfinished turns. Nothing was stored.
    Full,
}

/// Turns waiting for their answer, and those whose answer is kept because the question may be repeated.
///
/// Turns of one session are answered in the order in which they were stored, one after the other.
#[async_trait]
pub trait TurnQueue: Send + Sync {
    /// Stores a turn.
    ///
    /// **Contract:** once this returned `Stored`, the turn is answered some day, whatever happens to the program. A repeated
    /// delivery is `Repeated` even if the queue is full.
    ///
    /// # Errors
    /// `Conflict` if there is a turn of that id; `Unavailable`, `Failed`.
    async fn enqueue(&self, enqueue: Enqueue) -> Result<Enqueued, StoreError>;

    /// Waits until there may be something to claim. May return without reason; returns at once if something was stored or
    /// finished since the last call returned.
    async fn ready(&self);

    /// Takes up to `limit` turns, oldest first, for us alone up to and including `lease_until`: those that wait and have no
    /// unfinished turn of their session before them, and those whose lease ended before `now`. Stores the message of each
    /// in its session, which is created if it is new. A turn whose session was removed after its message was stored comes
    /// with an empty summary, and the session is not created again.
    ///
    /// **Contract:** no turn is held by two. The message of a turn is stored once, however often the turn is claimed. Turns
    /// that were claimed before are given out one at a time: none while the lease of another that was claimed again runs,
    /// so that a turn in which the program ends is not counted against those that were only claimed with it. A turn that
    /// cannot be read is set aside, and the next of its session takes its place.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`; then nothing was taken.
    async fn claim(&self, limit: usize, now: Timestamp, lease_until: Timestamp)
    -> Result<Vec<ClaimedTurn>, StoreError>;

    /// Prolongs the lease of claimed turns. Those that are not claimed are left alone.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn extend(&self, turns: &[TurnId], lease_until: Timestamp) -> Result<(), StoreError>;

    /// Stores how far a claimed turn has come; whoever claims it again gets it. False, and nothing is stored, if the turn is
    /// not claimed. At most [`crate::domain::agent::transcript::Transcript::MAX_JSON`] bytes.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn checkpoint(&self, turn: &TurnId, progress: &str) -> Result<bool, StoreError>;

    /// Stores the answer of a claimed turn in its session and ends the turn, both or neither. False, and nothing is
    /// stored, if the turn is not claimed (somebody else finished it). If the session was removed in the meantime, even if
    /// one of the same id began since, the turn ends without a message; the answer of a turn with a key is still kept for
    /// who asks again.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn finish(&self, turn: &TurnId, answer: NewMessage) -> Result<bool, StoreError>;

    /// Where a turn stands; `None` if it is unknown, or was answered and its answer is not kept: answers are kept only of
    /// turns with a key, until [`TurnQueue::forget`].
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn state(&self, turn: &TurnId) -> Result<Option<TurnState>, StoreError>;

    /// Makes every claimed turn claimable again, whatever its lease, and says how many those were. For the start of the only program that
    /// uses this storage: whoever held them is gone.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn release_all(&self) -> Result<u64, StoreError>;

    /// Drops the kept answers of turns accepted before `before`, and with them their keys. Unfinished turns stay.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn forget(&self, before: Timestamp) -> Result<u64, StoreError>;
}
