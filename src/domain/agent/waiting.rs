//! Those who wait for an answer within this process.
//!
//! An entry is here only as long as somebody waits: it goes with the answer, with the one who waits, or with the program.

use super::{Reply, TurnId};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Called once with the answer of a turn. Must not block.
pub type OnReply = Box<dyn FnOnce(Reply) + Send>;

/// Those who wait, by turn.
pub struct Waiting(Mutex<State>);

struct State {
    /// Tells places apart.
    last_number: u64,
    /// `None` once nobody may wait any more.
    places: Option<HashMap<TurnId, Vec<(u64, OnReply)>>>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self(Mutex::new(State { last_number: 0, places: Some(HashMap::new()) }))
    }
}

impl Waiting {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `turn`, until the place is dropped or kept. At the end of the program nobody waits: `on_reply` is dropped.
    pub fn wait(&self, turn: TurnId, on_reply: OnReply) -> Place<'_> {
        let mut state = self.state();
        state.last_number += 1;
        let number = state.last_number;
        if let Some(places) = &mut state.places {
            places.entry(turn.clone()).or_default().push((number, on_reply));
        }
        Place { waiting: self, turn: Some(turn), number }
    }

    /// Gives the answer of `turn` to those who wait for it.
    pub fn answer(&self, turn: &TurnId, reply: &Reply) {
        let places = self.state().places.as_mut().and_then(|places| places.remove(turn));
        for (_, on_reply) in places.unwrap_or_default() {
            on_reply(reply.clone());
        }
    }

    /// Lets go of everybody, those who come later included.
    pub fn close(&self) {
        self.state().places = None;
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.state().places.as_ref().is_none_or(HashMap::is_empty)
    }
}

/// The place of one who waits. Dropped, it is given up: a request may be cancelled at any moment.
pub struct Place<'a> {
    waiting: &'a Waiting,
    /// `None` once the place is kept.
    turn: Option<TurnId>,
    number: u64,
}

impl Place<'_> {
    /// Keeps the place until the answer comes, because it will.
    pub fn keep(mut self) {
        self.turn = None;
    }

    /// Waits for another turn instead.
    pub fn move_to(&mut self, turn: &TurnId) {
        let on_reply = self.take();
        if let (Some(on_reply), Some(places)) = (on_reply, &mut self.waiting.state().places) {
            places.entry(turn.clone()).or_default().push((self.number, on_reply));
        }
        self.turn = Some(turn.clone());
    }

    fn take(&mut self) -> Option<OnReply> {
        let turn = self.turn.take()?;
        let mut state = self.waiting.state();
        let places = state.places.as_mut()?;
        let of_turn = places.get_mut(&turn)?;
        let index = of_turn.iter().position(|(number, _)| *number == self.number)?;
        let (_, on_reply) = of_turn.swap_remove(index);
        if of_turn.is_empty() {
            places.remove(&turn);
        }
        Some(on_reply)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.take();
    }
}
