//! Login sessions and pairing codes as vectors.

use super::InMemoryStorage;
use crate::domain::audit::AuditEntry;
use crate::domain::auth::login::AuthSession;
use crate::domain::auth::pairing::Pairing;
use crate::domain::auth::token::TokenHash;
use crate::domain::text::PageLimit;
use crate::domain::time::Timestamp;
use crate::ports::auth_sessions::AuthSessionStore;
use crate::ports::store::StoreError;
use async_trait::async_trait;
use std::cmp::Reverse;

/// Whether one of `sessions` has the id or the hash of `session`.
pub(super) fn is_taken(sessions: &[AuthSession], session: &AuthSession) -> bool {
    sessions.iter().any(|existing| existing.id == session.id || existing.hash == session.hash)
}

#[async_trait]
impl AuthSessionStore for InMemoryStorage {
    async fn insert(&self, session: &AuthSession, entry: &AuditEntry) -> Result<(), StoreError> {
        let mut state = self.state();
        if is_taken(&state.auth_sessions, session) {
            return Err(StoreError::Conflict);
        }
        state.auth_sessions.push(session.clone());
        state.audit.push(entry.clone());
        Ok(())
    }

    async fn find_by_hash(&self, hash: &TokenHash) -> Result<Option<AuthSession>, StoreError> {
        Ok(self.state().auth_sessions.iter().find(|session| session.hash == *hash).cloned())
    }

    async fn list(&self, epoch: &str, now: Timestamp, limit: PageLimit) -> Result<Vec<AuthSession>, StoreError> {
        let is_listed =
            |session: &&AuthSession| session.epoch == epoch && session.expires > now && !session.grant.has_ended(now);
        let mut sessions: Vec<AuthSession> = self.state().auth_sessions.iter().filter(is_listed).cloned().collect();
        sessions.sort_by(|a, b| Reverse((a.created, &a.id)).cmp(&Reverse((b.created, &b.id))));
        sessions.truncate(limit.get());
        Ok(sessions)
    }

    async fn revoke(&self, id: &str, entry: &AuditEntry) -> Result<bool, StoreError> {
        let mut state = self.state();
        let Some(index) = state.auth_sessions.iter().position(|session| session.id == id) else {
            return Ok(false);
        };
        state.auth_sessions.remove(index);
        state.audit.push(entry.clone());
        Ok(true)
    }

    async fn touch(&self, uses: &[(String, Timestamp)]) -> Result<(), StoreError> {
        let mut state = self.state();
        for (id, at) in uses {
            if let Some(session) = state.auth_sessions.iter_mut().find(|session| session.id == *id) {
                session.last_used = session.last_used.max(*at);
            }
        }
        Ok(())
    }

    async fn insert_pairing(&self, pairing: &Pairing, entry: &AuditEntry) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.pairings.iter().any(|existing| existing.hash == pairing.hash) {
            return Err(StoreError::Conflict);
        }
        state.pairings.push(pairing.clone());
        state.audit.push(entry.clone());
        Ok(())
    }

    async fn find_pairing(&self, hash: &TokenHash) -> Result<Option<Pairing>, StoreError> {
        Ok(self.state().pairings.iter().find(|pairing| pairing.hash == *hash).cloned())
    }

    async fn redeem(&self, hash: &TokenHash, session: &AuthSession, entry: &AuditEntry) -> Result<bool, StoreError> {
        let mut state = self.state();
        let Some(index) = state.pairings.iter().position(|pairing| pairing.hash == *hash) else {
            return Ok(false);
        };
        if is_taken(&state.auth_sessions, session) {
            return Err(StoreError::Conflict);
        }
        state.pairings.remove(index);
        state.auth_sessions.push(session.clone());
        state.audit.push(entry.clone());
        Ok(true)
    }

    async fn end_all(&self, entry: &AuditEntry) -> Result<u64, StoreError> {
        let mut state = self.state();
        let sessions = state.auth_sessions.len() as u64;
        state.auth_sessions.clear();
        state.pairings.clear();
        state.tickets.clear();
        state.audit.push(entry.clone());
        Ok(sessions)
    }

    async fn forget_ended(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut state = self.state();
        let before = state.auth_sessions.len() + state.pairings.len();
        state.auth_sessions.retain(|session| session.expires > now);
        state.pairings.retain(|pairing| pairing.expires > now);
        Ok((before - state.auth_sessions.len() - state.pairings.len()) as u64)
    }
}
