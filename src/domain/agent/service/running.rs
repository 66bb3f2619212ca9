//! The turns that wait or are being answered in this process: how to stop them, and what they want to know.

use crate::domain::agent::{Origin, Question, TurnId};
use crate::domain::auth::Principal;
use crate::domain::session::SessionId;
use futures_channel::oneshot;
use futures_util::future::{AbortHandle, AbortRegistration};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The turns.
#[derive(Default)]
pub struct Running(Mutex<State>);

#[derive(Default)]
struct State {
    entries: HashMap<TurnId, Entry>,
    /// Those who wait until nothing is open in a session.
    waiting: Vec<(SessionId, oneshot::Sender<()>)>,
}

struct Entry {
    session: SessionId,
    origin: Origin,
    abort: AbortHandle,
    /// Until the turn begins.
    registration: Option<AbortRegistration>,
    asked: Option<(Question, oneshot::Sender<Told>)>,
    /// Whoever has to know when it is stopped before it begins.
    on_stop: Option<oneshot::Sender<()>>,
}

/// What a turn was told that had asked.
#[derive(Debug, Clone)]
pub struct Told {
    /// The answer.
    pub text: String,
    /// By whom.
    pub by: Principal,
}

impl Entry {
    fn new(session: &SessionId, origin: Origin) -> Self {
        let (abort, registration) = AbortHandle::new_pair();
        Self { session: session.clone(), origin, abort, registration: Some(registration), asked: None, on_stop: None }
    }

    /// Whether somebody of `origin` may stop the turn, and answer what it asks: nobody speaks for the owner.
    fn listens_to(&self, origin: Origin) -> bool {
        origin == Origin::Owner || origin == self.origin
    }
}

impl State {
    fn is_open(&self, session: &SessionId) -> bool {
        self.entries.values().any(|entry| entry.session == *session)
    }
}

impl Running {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a turn that is about to be stored. It is forgotten again unless that is [kept](Queued::keep).
    pub fn queue(&self, turn: &TurnId, session: &SessionId, origin: Origin) -> Queued<'_> {
        self.state().entries.insert(turn.clone(), Entry::new(session, origin));
        Queued { running: self, turn: Some(turn.clone()) }
    }

    /// A turn begins. What is given ends its work when it is stopped, which may have happened already.
    pub fn begin(&self, turn: &TurnId, session: &SessionId, origin: Origin) -> AbortRegistration {
        let mut state = self.state();
        let entry = state.entries.entry(turn.clone()).or_insert_with(|| Entry::new(session, origin));
        match entry.registration.take() {
            Some(registration) => registration,
            // It was begun before, and its storage failed at the end.
            None => {
                *entry = Entry::new(session, origin);
                entry.registration.take().unwrap_or_else(|| AbortHandle::new_pair().1)
            }
        }
    }

    /// Waits until a turn that has not begun is stopped. It may come from an earlier run of the program, and is known from
    /// now on.
    pub fn stopped(&self, turn: &TurnId, session: &SessionId, origin: Origin) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state();
        let entry = state.entries.entry(turn.clone()).or_insert_with(|| Entry::new(session, origin));
        // A sender that is dropped is as good as one that sends.
        entry.on_stop = (!entry.abort.is_aborted()).then_some(sender);
        receiver
    }

    /// Waits until no turn of the session is open.
    pub fn emptied(&self, session: &SessionId) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state();
        if state.is_open(session) {
            state.waiting.push((session.clone(), sender));
        }
        receiver
    }

    /// A turn has ended.
    pub fn end(&self, turn: &TurnId) {
        let mut state = self.state();
        let Some(Entry { session, .. }) = state.entries.remove(turn) else { return };
        if !state.is_open(&session) {
            state.waiting.retain(|(of, sender)| *of != session && !sender.is_canceled());
        }
    }

    /// Whether the turn waits or is being answered.
    pub fn contains(&self, turn: &TurnId) -> bool {
        self.state().entries.contains_key(turn)
    }

    /// Stops the turns that fit, by their ids and sessions, and that somebody of `origin` may stop. False if there are none.
    pub fn stop(&self, origin: Origin, fits: impl Fn(&TurnId, &SessionId) -> bool) -> bool {
        let mut stopped = false;
        let may = |turn: &TurnId, entry: &Entry| entry.listens_to(origin) && fits(turn, &entry.session);
        for (_, entry) in self.state().entries.iter_mut().filter(|(turn, entry)| may(turn, entry)) {
            entry.abort.abort();
            entry.asked = None;
            entry.on_stop = None;
            stopped = true;
        }
        stopped
    }

    /// A turn waits to be told something. What is given is an error if it was stopped.
    pub fn ask(&self, turn: &TurnId, question: Question) -> oneshot::Receiver<Told> {
        let (sender, receiver) = oneshot::channel();
        if let Some(entry) = self.state().entries.get_mut(turn) {
            entry.asked = Some((question, sender));
        }
        receiver
    }

    /// The turn does not wait any more.
    pub fn ask_no_more(&self, turn: &TurnId) {
        if let Some(entry) = self.state().entries.get_mut(turn) {
            entry.asked = None;
        }
    }

    /// Tells a waiting turn of the session what it waits for. Gives the turn; `None` if none waits for somebody of `origin`.
    pub fn reply(&self, session: &SessionId, origin: Origin, told: Told) -> Option<TurnId> {
        self.tell(told, |entry, _| entry.session == *session && entry.listens_to(origin)).map(|(turn, _)| turn)
    }

    /// Decides on the plan that waits in a session; without one, on the only plan that waits for somebody of `origin`. Gives
    /// its session; `None` if none waits there, or several do.
    pub fn decide(&self, session: Option<&SessionId>, origin: Origin, told: Told) -> Option<SessionId> {
        let fits = |entry: &Entry, question: &Question| {
            question.is_plan && entry.listens_to(origin) && session.is_none_or(|session| entry.session == *session)
        };
        self.tell(told, fits).map(|(_, session)| session)
    }

    /// Tells the one turn that fits what it waits for.
    fn tell(&self, told: Told, fits: impl Fn(&Entry, &Question) -> bool) -> Option<(TurnId, SessionId)> {
        let mut state = self.state();
        let waits = |entry: &Entry| entry.asked.as_ref().is_some_and(|(question, _)| fits(entry, question));
        let mut waiting = state.entries.iter_mut().filter(|(_, entry)| waits(entry));
        let (Some((turn, entry)), None) = (waiting.next(), waiting.next()) else { return None };
        let (_, sender) = entry.asked.take()?;
        sender.send(told).ok()?;
        Some((turn.clone(), entry.session.clone()))
    }
}

/// A turn on its way into the queue. Dropped, it is forgotten.
pub struct Queued<'a> {
    running: &'a Running,
    /// `None` once it is kept.
    turn: Option<TurnId>,
}

impl Queued<'_> {
    /// It is in the queue.
    pub fn keep(mut self) {
        self.turn = None;
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        if let Some(turn) = &self.turn {
            self.running.end(turn);
        }
    }
}
