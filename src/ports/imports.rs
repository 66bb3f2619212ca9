//! Taking over what another program kept.

use super::store::StoreError;
use crate::domain::audit::AuditEntry;
use crate::domain::import::{Item, Kept, Outcome};
use crate::domain::session::SessionId;
use async_trait::async_trait;
use std::collections::HashSet;

/// Takes over what another program kept.
///
/// Everything has a natural key, so that what was taken over once is found to be there the second time: a slot its name, an
/// API key its id, an audit entry its id, a memory its id, a kept record its kind and id. A message has its id within its session, but there
/// may be so many that the caller asks once for all of them and leaves out what is there: see [`ImportStore::message_ids`].
#[async_trait]
pub trait ImportStore: Send + Sync {
    /// Stores what is not there yet, in the order of `batch`, and says of each item what became of it. If anything was
    /// stored, so is `entry`, unless an entry of its id is there already.
    ///
    /// **Contract:**
    /// - All of it is stored, or nothing.
    /// - Every message of a part is stored, whatever its id.
    /// - Messages come after those that the session has, in their order and numbered without gaps; the summary changes as
    ///   [`crate::domain::session::SessionSummary::with`] says, beginning with what
    ///   [`crate::domain::import::SessionPart::summary`] says: a session gets older, never younger, and keeps a title that
    ///   the user gave it here.
    /// - A key that is there and good is revoked if the one in `batch` is, and what was got with it is removed.
    /// - Audit entries stand before everything that happened here, after those that were imported earlier; `entry` stands
    ///   among what happened here.
    /// - Every member comes back as it was given, secrets included.
    /// - What was stored is found by searches as soon as what was appended is.
    ///
    /// A batch should hold about 1,000 items and messages: others wait until it is written.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`. Nothing was changed.
    async fn import(&self, batch: Vec<Item>, entry: &AuditEntry) -> Result<Vec<Outcome>, StoreError>;

    /// What [`ImportStore::import`] would say of `batch`. Changes nothing.
    ///
    /// # Errors
    /// As there.
    async fn preview(&self, batch: Vec<Item>) -> Result<Vec<Outcome>, StoreError>;

    /// The ids of all messages of a session, in no order. None if there is no such session.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn message_ids(&self, session: &SessionId) -> Result<HashSet<String>, StoreError>;

    /// All kept records of a kind, in the order in which they were stored first.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn kept(&self, kind: &str) -> Result<Vec<Kept>, StoreError>;
}
