//! Keeping what native apps exchange for access tokens.

use super::store::StoreError;
use crate::domain::audit::AuditEntry;
use crate::domain::auth::login::AuthSession;
use crate::domain::auth::oauth::Ticket;
use crate::domain::auth::token::TokenHash;
use crate::domain::time::Timestamp;
use async_trait::async_trait;

/// Codes and refresh tokens, and the login sessions that are got with them. Whether one has ended is not the store's to say.
#[async_trait]
pub trait TicketStore: Send + Sync {
    /// Adds a ticket.
    ///
    /// **Contract:** every member comes back as it was given. A conflict changes nothing and stores no entry.
    ///
    /// # Errors
    /// `Conflict` if its hash is taken; `Unavailable`, `Failed`.
    async fn insert(&self, ticket: &Ticket, entry: &AuditEntry) -> Result<(), StoreError>;

    /// The ticket of that hash, spent or not.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn find(&self, hash: &TokenHash) -> Result<Option<Ticket>, StoreError>;

    /// Marks a ticket as spent, removes the sessions of its family, and adds `session` and `successor`. False, and nothing
    /// of all this, if there is no such ticket or it was spent before.
    ///
    /// **Contract:** of any number of calls with one hash, one gives true.
    ///
    /// # Errors
    /// `Conflict` if an id or hash is taken, and the ticket stays unspent; `Unavailable`, `Failed`.
    async fn exchange(
        &self,
        hash: &TokenHash,
        session: &AuthSession,
        successor: &Ticket,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError>;

    /// Removes the tickets and sessions of a family. False, and no entry, if there are none.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn end_family(&self, family: &str, entry: &AuditEntry) -> Result<bool, StoreError>;

    /// Removes the tickets that have ended at `now`. Gives how many those were.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn forget_ended(&self, now: Timestamp) -> Result<u64, StoreError>;
}
