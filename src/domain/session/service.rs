//! Listing, searching, renaming and removing sessions.

use super::export::ExportHead;
use super::{Message, SearchHit, SearchQuery, SessionId, SessionPage, SessionSummary, SessionTitle};
use crate::domain::audit::Happening;
use crate::domain::audit::service::Audit;
use crate::domain::auth::Principal;
use crate::domain::text::PageLimit;
use crate::ports::clock::Clock;
use crate::ports::entropy::{Entropy, random};
use crate::ports::sessions::SessionStore;
use crate::ports::store::StoreError;
use std::sync::Arc;

/// The sessions.
pub struct Sessions {
    store: Arc<dyn SessionStore>,
    audit: Arc<Audit>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Sessions {
    /// Sessions over a store.
    #[must_use]
    pub fn new(
        store: Arc<dyn SessionStore>,
        audit: Arc<Audit>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { store, audit, clock, entropy }
    }

    /// A new chat of the dashboard, stored, so that it is listed and can be renamed before anything is said.
    ///
    /// # Errors
    /// As the store's.
    pub async fn create(&self, principal: &Principal) -> Result<SessionSummary, StoreError> {
        let now = self.clock.now();
        loop {
            let id = SessionId::new_chat(random(&*self.entropy));
            let entry = self.audit.entry(Happening::success(principal, "session_created", id.as_str()));
            match self.store.create(&id, now, &entry).await {
                Ok(()) => return Ok(SessionSummary::new(id, now)),
                // 48 random bits repeat once in a long life; the next ones will do.
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A page of sessions, newest activity first.
    ///
    /// # Errors
    /// As the store's.
    pub async fn recent(&self, limit: PageLimit, offset: u64) -> Result<SessionPage, StoreError> {
        self.store.recent(limit, offset).await
    }

    /// The last `limit` messages of a session, oldest first.
    ///
    /// # Errors
    /// As the store's.
    pub async fn history(&self, id: &SessionId, limit: PageLimit) -> Result<Vec<Message>, StoreError> {
        self.store.history(id, limit).await
    }

    /// Sessions that contain the text.
    ///
    /// # Errors
    /// As the store's.
    pub async fn search(&self, query: &SearchQuery, limit: PageLimit) -> Result<Vec<SearchHit>, StoreError> {
        self.store.search(query, limit).await
    }

    /// Gives a session a title. False if there is no such session.
    ///
    /// # Errors
    /// As the store's.
    pub async fn rename(
        &self,
        principal: &Principal,
        id: &SessionId,
        title: &SessionTitle,
    ) -> Result<bool, StoreError> {
        let entry = self.audit.entry(Happening::success(principal, "session_renamed", id.as_str()));
        self.store.set_title(id, title, &entry).await
    }

    /// Removes a session with its messages. False if there is no such session.
    ///
    /// # Errors
    /// As the store's.
    pub async fn remove(&self, principal: &Principal, id: &SessionId) -> Result<bool, StoreError> {
        let entry = self.audit.entry(Happening::success(principal, "session_removed", id.as_str()));
        self.store.remove(id, &entry).await
    }

    /// Begins an export: what stands before the messages, which [`Sessions::export_page`] then gives.
    ///
    /// # Errors
    /// As the store's.
    pub async fn export(&self, id: &SessionId) -> Result<Option<ExportHead>, StoreError> {
        let session = self.store.find(id).await?;
        Ok(session.map(|session| ExportHead {
            id: session.id,
            message_count: session.message_count,
            at: self.clock.now(),
        }))
    }

    /// The next messages of an export after the one with the number `after`; empty at its end.
    ///
    /// # Errors
    /// As the store's.
    pub async fn export_page(&self, head: &ExportHead, after: u64) -> Result<Vec<Message>, StoreError> {
        let mut page = self.store.messages(&head.id, after, PageLimit::clamped(20)).await?;
        page.retain(|message| message.number <= head.message_count);
        Ok(page)
    }
}
