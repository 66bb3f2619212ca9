//! Keeping login sessions, and the pairing codes that become sessions.

use super::store::StoreError;
use crate::domain::audit::AuditEntry;
use crate::domain::auth::login::AuthSession;
use crate::domain::auth::pairing::Pairing;
use crate::domain::auth::token::TokenHash;
use crate::domain::text::PageLimit;
use crate::domain::time::Timestamp;
use async_trait::async_trait;

/// Login sessions and pairing codes. Whether one has ended is not the store's to say: it gives what is there.
#[async_trait]
pub trait AuthSessionStore: Send + Sync {
    /// Adds a session.
    ///
    /// **Contract:** every member comes back as it was given. A conflict changes nothing and stores no entry.
    ///
    /// # Errors
    /// `Conflict` if its id or hash is taken; `Unavailable`, `Failed`.
    async fn insert(&self, session: &AuthSession, entry: &AuditEntry) -> Result<(), StoreError>;

    /// The session whose token has that hash.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn find_by_hash(&self, hash: &TokenHash) -> Result<Option<AuthSession>, StoreError>;

    /// The newest sessions of `epoch` that have not ended at `now`, by creation, then by id, newest first.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn list(&self, epoch: &str, now: Timestamp, limit: PageLimit) -> Result<Vec<AuthSession>, StoreError>;

    /// Removes a session. False, and no entry, if there is none of that id.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn revoke(&self, id: &str, entry: &AuditEntry) -> Result<bool, StoreError>;

    /// Notes when sessions were last used, by their ids.
    ///
    /// **Contract:** a use is never moved back; ids of no session are passed over; all or none is stored.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn touch(&self, uses: &[(String, Timestamp)]) -> Result<(), StoreError>;

    /// Adds a pairing code.
    ///
    /// **Contract:** every member comes back as it was given. A conflict changes nothing and stores no entry.
    ///
    /// # Errors
    /// `Conflict` if its hash is taken; `Unavailable`, `Failed`.
    async fn insert_pairing(&self, pairing: &Pairing, entry: &AuditEntry) -> Result<(), StoreError>;

    /// The pairing code of that hash.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn find_pairing(&self, hash: &TokenHash) -> Result<Option<Pairing>, StoreError>;

    /// Removes the pairing code of that hash and adds `session`. False, and neither session nor entry, if there is no such
    /// code.
    ///
    /// **Contract:** of any number of calls with one hash, one gives true.
    ///
    /// # Errors
    /// `Conflict` if the session's id or hash is taken, and the code stays; `Unavailable`, `Failed`.
    async fn redeem(&self, hash: &TokenHash, session: &AuthSession, entry: &AuditEntry) -> Result<bool, StoreError>;

    /// Removes every session, every pairing code and every ticket. Gives the number of sessions.
    ///
    /// **Contract:** the entry is stored even if there was nothing to remove.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn end_all(&self, entry: &AuditEntry) -> Result<u64, StoreError>;

    /// Removes the sessions and pairing codes that have ended at `now`. Gives how many of both those were.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn forget_ended(&self, now: Timestamp) -> Result<u64, StoreError>;
}
