//! The queue of turns as a vector.

use super::sessions::Sessions;
use super::{InMemoryStorage, State};
use crate::domain::agent::{ClaimedTurn, DeduplicationKey, Turn, TurnId, TurnState};
use crate::domain::session::{NewMessage, SessionId, SessionSummary};
use crate::domain::time::Timestamp;
use crate::ports::store::StoreError;
use crate::ports::turns::{Enqueue, Enqueued, TurnQueue};
use async_trait::async_trait;
use std::collections::HashSet;

/// A turn that is waiting or being answered, or whose answer is kept.
#[derive(Clone)]
pub(super) struct StoredTurn {
    turn: Turn,
    key: Option<DeduplicationKey>,
    attempts: u32,
    /// Set while somebody holds the turn, and after a holder let the time pass.
    lease_until: Option<Timestamp>,
    /// The incarnation of the session in which the message was stored.
    asked_in: Option<u64>,
    /// What was stored by checkpoint.
    progress: String,
    /// Set once the turn is finished.
    answer: Option<String>,
}

impl StoredTurn {
    fn is_unfinished(&self) -> bool {
        self.answer.is_none()
    }

    fn is_claimed(&self) -> bool {
        self.is_unfinished() && self.lease_until.is_some()
    }

    /// Whether nobody holds the turn, or whoever does had time enough.
    fn is_free(&self, now: Timestamp) -> bool {
        self.lease_until.is_none_or(|until| until < now)
    }

    /// Gives the turn to somebody. Its message is stored the first time only; if the session was removed since, the turn
    /// is answered for the sake of whoever waits for it, and the session is shown as if nothing had been said in it.
    fn claim(&mut self, sessions: &mut Sessions, lease_until: Timestamp) -> ClaimedTurn {
        let Turn { session: id, message, .. } = &self.turn;
        let asked_in = *self.asked_in.get_or_insert_with(|| sessions.append(id, message.clone()).0.incarnation);
        self.attempts += 1;
        self.lease_until = Some(lease_until);
        let session = sessions.find(id).filter(|session| session.incarnation == asked_in);
        let session = session.map(|session| session.summary.clone());
        ClaimedTurn {
            turn: self.turn.clone(),
            session: session.unwrap_or_else(|| SessionSummary::new(id.clone(), message.at)),
            attempt: self.attempts,
            progress: self.progress.clone(),
        }
    }
}

impl State {
    fn unfinished(&self) -> u64 {
        self.turns.iter().filter(|stored| stored.is_unfinished()).count() as u64
    }

    fn enqueue(&mut self, Enqueue { turn, key, capacity, entry }: Enqueue) -> Result<Enqueued, StoreError> {
        let same = |stored: &&StoredTurn| key.is_some() && stored.key == key;
        if let Some(earlier) = self.turns.iter().find(same) {
            return Ok(Enqueued::Repeated(earlier.turn.id.clone()));
        }
        if self.unfinished() >= capacity {
            return Ok(Enqueued::Full);
        }
        if self.turns.iter().any(|stored| stored.turn.id == turn.id) {
            return Err(StoreError::Conflict);
        }
        let progress = String::new();
        self.turns.push(StoredTurn {
            turn,
            key,
            attempts: 0,
            lease_until: None,
            asked_in: None,
            progress,
            answer: None,
        });
        self.audit.push(entry);
        Ok(Enqueued::Stored)
    }

    fn claim(&mut self, limit: usize, now: Timestamp, lease_until: Timestamp) -> Vec<ClaimedTurn> {
        let mut sessions_seen: HashSet<SessionId> = HashSet::new();
        let mut claimed = Vec::new();
        // Of the turns that were claimed before, one is worked on at a time.
        let is_held_again = |stored: &StoredTurn| stored.is_claimed() && !stored.is_free(now) && stored.attempts > 1;
        let mut may_take_again = !self.turns.iter().any(is_held_again);
        for stored in self.turns.iter_mut().filter(|stored| stored.is_unfinished()) {
            if claimed.len() == limit {
                break;
            }
            let is_first_of_its_session = sessions_seen.insert(stored.turn.session.clone());
            let is_again = stored.attempts > 0;
            if is_first_of_its_session && stored.is_free(now) && (!is_again || may_take_again) {
                may_take_again &= !is_again;
                claimed.push(stored.claim(&mut self.sessions, lease_until));
            }
        }
        claimed
    }

    fn finish(&mut self, id: &TurnId, answer: &NewMessage) -> bool {
        let Some(index) = self.turns.iter().position(|stored| stored.turn.id == *id && stored.is_claimed()) else {
            return false;
        };
        let stored = &mut self.turns[index];
        // Not in a session of the same id that began anew: the question is not in there.
        let session = self.sessions.find(&stored.turn.session);
        if session.is_some_and(|session| stored.asked_in == Some(session.incarnation)) {
            self.sessions.append(&stored.turn.session, answer.clone());
        }
        if stored.key.is_some() {
            stored.answer = Some(answer.text.as_str().to_owned());
        } else {
            self.turns.remove(index);
        }
        true
    }
}

#[async_trait]
impl TurnQueue for InMemoryStorage {
    async fn enqueue(&self, enqueue: Enqueue) -> Result<Enqueued, StoreError> {
        let enqueued = self.state().enqueue(enqueue)?;
        if enqueued == Enqueued::Stored {
            self.turns_changed.notify_one();
        }
        Ok(enqueued)
    }

    async fn ready(&self) {
        // A notification that nobody waits for is kept, so none is lost between two calls.
        self.turns_changed.notified().await;
    }

    async fn claim(
        &self,
        limit: usize,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Vec<ClaimedTurn>, StoreError> {
        Ok(self.state().claim(limit, now, lease_until))
    }

    async fn extend(&self, turns: &[TurnId], lease_until: Timestamp) -> Result<(), StoreError> {
        let mut state = self.state();
        let claimed = state.turns.iter_mut().filter(|stored| stored.is_claimed());
        for stored in claimed.filter(|stored| turns.contains(&stored.turn.id)) {
            stored.lease_until = Some(lease_until);
        }
        Ok(())
    }

    async fn checkpoint(&self, turn: &TurnId, progress: &str) -> Result<bool, StoreError> {
        let mut state = self.state();
        let stored = state.turns.iter_mut().find(|stored| stored.turn.id == *turn && stored.is_claimed());
        Ok(stored.map(|stored| progress.clone_into(&mut stored.progress)).is_some())
    }

    async fn finish(&self, turn: &TurnId, answer: NewMessage) -> Result<bool, StoreError> {
        let finished = self.state().finish(turn, &answer);
        if finished {
            self.turns_changed.notify_one();
        }
        Ok(finished)
    }

    async fn state(&self, turn: &TurnId) -> Result<Option<TurnState>, StoreError> {
        let state = self.state();
        let stored = state.turns.iter().find(|stored| stored.turn.id == *turn);
        Ok(stored.map(|stored| match &stored.answer {
            Some(answer) => TurnState::Done(answer.clone()),
            None => TurnState::Pending,
        }))
    }

    async fn release_all(&self) -> Result<u64, StoreError> {
        let mut released = 0;
        for stored in self.state().turns.iter_mut().filter(|stored| stored.is_claimed()) {
            stored.lease_until = None;
            released += 1;
        }
        self.turns_changed.notify_one();
        Ok(released)
    }

    async fn forget(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut state = self.state();
        let stored_before = state.turns.len();
        state.turns.retain(|stored| stored.is_unfinished() || stored.turn.message.at >= before);
        Ok((stored_before - state.turns.len()) as u64)
    }
}
