//! Sessions as a vector, each with a vector of its messages.

use super::InMemoryStorage;
use crate::domain::audit::AuditEntry;
use crate::domain::session::{
    Message, NewMessage, SearchHit, SearchQuery, SessionId, SessionPage, SessionSummary, SessionTitle,
};
use crate::domain::text::{self, PageLimit};
use crate::domain::time::Timestamp;
use crate::ports::sessions::SessionStore;
use crate::ports::store::StoreError;
use async_trait::async_trait;
use std::cmp::Reverse;

/// All sessions.
#[derive(Default, Clone)]
pub(super) struct Sessions {
    in_order_of_creation: Vec<StoredSession>,
    created_so_far: u64,
}

/// One session with all that was said in it.
#[derive(Clone)]
pub(super) struct StoredSession {
    /// Tells a session from a later one of the same id. Never given twice.
    pub incarnation: u64,
    pub summary: SessionSummary,
    pub messages: Vec<Message>,
}

impl Sessions {
    pub fn find(&self, id: &SessionId) -> Option<&StoredSession> {
        self.in_order_of_creation.iter().find(|session| session.summary.id == *id)
    }

    pub fn find_mut(&mut self, id: &SessionId) -> Option<&mut StoredSession> {
        self.in_order_of_creation.iter_mut().find(|session| session.summary.id == *id)
    }

    pub fn create(&mut self, id: &SessionId, now: Timestamp) {
        self.created_so_far += 1;
        self.in_order_of_creation.push(StoredSession {
            incarnation: self.created_so_far,
            summary: SessionSummary::new(id.clone(), now),
            messages: Vec::new(),
        });
    }

    /// Adds a message to the session of that id, which is created if it is new, and gives both as they are then.
    pub fn append(&mut self, to: &SessionId, message: NewMessage) -> (&StoredSession, Message) {
        let index = self.in_order_of_creation.iter().position(|session| session.summary.id == *to);
        let index = index.unwrap_or_else(|| {
            self.create(to, message.at);
            self.in_order_of_creation.len() - 1
        });
        let session = &mut self.in_order_of_creation[index];
        let message = session.append(message);
        (session, message)
    }

    fn remove(&mut self, id: &SessionId) -> bool {
        let before = self.in_order_of_creation.len();
        self.in_order_of_creation.retain(|session| session.summary.id != *id);
        self.in_order_of_creation.len() < before
    }

    /// By last activity, newest first; where that is equal, the one created later first, since the sort is stable.
    fn newest_first(&self) -> Vec<&StoredSession> {
        let mut sessions: Vec<_> = self.in_order_of_creation.iter().rev().collect();
        sessions.sort_by_key(|session| Reverse(session.summary.last_activity));
        sessions
    }
}

impl StoredSession {
    /// Adds a message, and gives it with its number.
    pub fn append(&mut self, message: NewMessage) -> Message {
        self.summary = self.summary.clone().with(&message);
        let message = Message { content: message, number: self.summary.message_count };
        self.messages.push(message.clone());
        message
    }

    /// The first message that contains the text, as a hit.
    fn hit(&self, query: &SearchQuery) -> Option<SearchHit> {
        let contains = |message: &&Message| text::fold(message.content.text.as_str()).contains(query.folded());
        let found = &self.messages.iter().find(contains)?.content;
        Some(SearchHit {
            session: self.summary.clone(),
            excerpt: text::excerpt(found.text.as_str(), query.folded(), SearchHit::EXCERPT_CHARS),
            role: found.role,
        })
    }
}

#[async_trait]
impl SessionStore for InMemoryStorage {
    async fn create(&self, id: &SessionId, now: Timestamp, entry: &AuditEntry) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.sessions.find(id).is_some() {
            return Err(StoreError::Conflict);
        }
        state.sessions.create(id, now);
        state.audit.push(entry.clone());
        Ok(())
    }

    async fn append(&self, to: &SessionId, message: NewMessage) -> Result<Message, StoreError> {
        let (_, message) = self.state().sessions.append(to, message);
        Ok(message)
    }

    async fn find(&self, id: &SessionId) -> Result<Option<SessionSummary>, StoreError> {
        Ok(self.state().sessions.find(id).map(|session| session.summary.clone()))
    }

    async fn recent(&self, limit: PageLimit, offset: u64) -> Result<SessionPage, StoreError> {
        let state = self.state();
        let all = state.sessions.newest_first();
        let total = all.len() as u64;
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        let page = all.into_iter().skip(skipped).take(limit.get());
        Ok(SessionPage { sessions: page.map(|session| session.summary.clone()).collect(), total })
    }

    async fn history(&self, id: &SessionId, limit: PageLimit) -> Result<Vec<Message>, StoreError> {
        let state = self.state();
        let messages = state.sessions.find(id).map_or(&[][..], |session| &session.messages);
        Ok(messages[messages.len().saturating_sub(limit.get())..].to_vec())
    }

    async fn messages(&self, id: &SessionId, after: u64, limit: PageLimit) -> Result<Vec<Message>, StoreError> {
        let state = self.state();
        let messages = state.sessions.find(id).map_or(&[][..], |session| &session.messages);
        Ok(messages.iter().filter(|message| message.number > after).take(limit.get()).cloned().collect())
    }

    async fn search(&self, query: &SearchQuery, limit: PageLimit) -> Result<Vec<SearchHit>, StoreError> {
        let state = self.state();
        let sessions = state.sessions.newest_first();
        Ok(sessions.into_iter().filter_map(|session| session.hit(query)).take(limit.get()).collect())
    }

    async fn set_title(&self, id: &SessionId, title: &SessionTitle, entry: &AuditEntry) -> Result<bool, StoreError> {
        let mut state = self.state();
        let Some(session) = state.sessions.find_mut(id) else { return Ok(false) };
        session.summary.user_title = Some(title.clone());
        state.audit.push(entry.clone());
        Ok(true)
    }

    async fn remove(&self, id: &SessionId, entry: &AuditEntry) -> Result<bool, StoreError> {
        let mut state = self.state();
        let removed = state.sessions.remove(id);
        if removed {
            state.audit.push(entry.clone());
        }
        Ok(removed)
    }
}
