//! Keeping sessions and their messages.

use super::store::StoreError;
use crate::domain::audit::AuditEntry;
use crate::domain::session::{
    Message, NewMessage, SearchHit, SearchQuery, SessionId, SessionPage, SessionSummary, SessionTitle,
};
use crate::domain::text::PageLimit;
use crate::domain::time::Timestamp;
use async_trait::async_trait;

/// Sessions.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Adds a session without messages, created at `now`.
    ///
    /// # Errors
    /// `Conflict` if the id is taken; `Unavailable`, `Failed`.
    async fn create(&self, id: &SessionId, now: Timestamp, entry: &AuditEntry) -> Result<(), StoreError>;

    /// Adds a message at the end of a session, creating the session if it is new.
    ///
    /// **Contract:** numbers are 1, 2, 3 … per session without gaps, however many append at once. The summary changes with
    /// the message, as [`SessionSummary::with`] says. Every member comes back as it was given.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn append(&self, to: &SessionId, message: NewMessage) -> Result<Message, StoreError>;

    /// The session of that id.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn find(&self, id: &SessionId) -> Result<Option<SessionSummary>, StoreError>;

    /// Sessions by last activity, newest first, after leaving out the first `offset`; and how many there are in all. Where
    /// the activity is equal, the session that was stored later comes first, whatever the time of its creation.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn recent(&self, limit: PageLimit, offset: u64) -> Result<SessionPage, StoreError>;

    /// The last `limit` messages, oldest first. Empty if there is no such session.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn history(&self, id: &SessionId, limit: PageLimit) -> Result<Vec<Message>, StoreError>;

    /// The first `limit` messages whose number is greater than `after`, oldest first.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn messages(&self, id: &SessionId, after: u64, limit: PageLimit) -> Result<Vec<Message>, StoreError>;

    /// Sessions with a message that contains the text, compared in folded form and taken literally; the one with the
    /// newest activity first. One hit a session: its first.
    ///
    /// **Contract:** a message is found as soon as it is stored, and every hit does contain the text. The answer is
    /// complete and its order exact while at most 1,000 messages contain the text, or while `limit` of the 300 newest
    /// sessions do; beyond that a storage may leave out sessions whose hits are older than the newest 1,000. A text without
    /// three characters in a row other than `%` and `_` may be looked for in the newest 1,000 messages of the newest 3,000
    /// sessions only. In a session of more than 1,000 messages the hit may be another than the first.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn search(&self, query: &SearchQuery, limit: PageLimit) -> Result<Vec<SearchHit>, StoreError>;

    /// Gives a session a title of the user's. False, and no entry, if there is no such session.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn set_title(&self, id: &SessionId, title: &SessionTitle, entry: &AuditEntry) -> Result<bool, StoreError>;

    /// Removes a session with its messages. False, and no entry, if there is no such session.
    ///
    /// **Contract:** its messages are not found any more, and a session of the same id begins anew.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn remove(&self, id: &SessionId, entry: &AuditEntry) -> Result<bool, StoreError>;
}
