//! What native apps exchange for access tokens, as a vector.

use super::InMemoryStorage;
use super::auth_sessions::is_taken;
use crate::domain::audit::AuditEntry;
use crate::domain::auth::login::AuthSession;
use crate::domain::auth::oauth::Ticket;
use crate::domain::auth::token::TokenHash;
use crate::domain::time::Timestamp;
use crate::ports::oauth::TicketStore;
use crate::ports::store::StoreError;
use async_trait::async_trait;

#[async_trait]
impl TicketStore for InMemoryStorage {
    async fn insert(&self, ticket: &Ticket, entry: &AuditEntry) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.tickets.iter().any(|existing| existing.hash == ticket.hash) {
            return Err(StoreError::Conflict);
        }
        state.tickets.push(ticket.clone());
        state.audit.push(entry.clone());
        Ok(())
    }

    async fn find(&self, hash: &TokenHash) -> Result<Option<Ticket>, StoreError> {
        Ok(self.state().tickets.iter().find(|ticket| ticket.hash == *hash).cloned())
    }

    async fn exchange(
        &self,
        hash: &TokenHash,
        session: &AuthSession,
        successor: &Ticket,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let Some(index) = state.tickets.iter().position(|ticket| ticket.hash == *hash && !ticket.spent) else {
            return Ok(false);
        };
        let family = state.tickets[index].family.clone();
        let is_of_another = |session: &AuthSession| session.family.as_ref() != Some(&family);
        // Those that go are in nobody's way.
        let mut sessions = state.auth_sessions.clone();
        sessions.retain(is_of_another);
        let is_refused = state.tickets.iter().any(|existing| existing.hash == successor.hash);
        if is_refused || is_taken(&sessions, session) {
            return Err(StoreError::Conflict);
        }
        sessions.push(session.clone());
        state.auth_sessions = sessions;
        state.tickets[index].spent = true;
        state.tickets.push(successor.clone());
        state.audit.push(entry.clone());
        Ok(true)
    }

    async fn end_family(&self, family: &str, entry: &AuditEntry) -> Result<bool, StoreError> {
        let mut state = self.state();
        let before = state.tickets.len() + state.auth_sessions.len();
        state.tickets.retain(|ticket| ticket.family != family);
        state.auth_sessions.retain(|session| session.family.as_deref() != Some(family));
        let has_ended = state.tickets.len() + state.auth_sessions.len() < before;
        if has_ended {
            state.audit.push(entry.clone());
        }
        Ok(has_ended)
    }

    async fn forget_ended(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut state = self.state();
        let before = state.tickets.len();
        state.tickets.retain(|ticket| ticket.expires > now);
        Ok((before - state.tickets.len()) as u64)
    }
}
