//! Taking messages, answering them, and telling how that goes.

use super::status::{AgentStatus, Input, StatusTracker};
use super::waiting::{OnReply, Place, Waiting};
use super::{AgentEvent, ClaimedTurn, DeduplicationKey, Turn, TurnId, TurnState};
use crate::domain::audit::Happening;
use crate::domain::audit::service::Audit;
use crate::domain::event::Event;
use crate::domain::id;
use crate::domain::session::{MessageText, Metadata, NewMessage, Role, SessionId};
use crate::ports::agent::{AgentOutput, AgentRequest, AgentRunner};
use crate::ports::clock::Clock;
use crate::ports::entropy::{Entropy, random};
use crate::ports::events::EventBus;
use crate::ports::store::StoreError;
use crate::ports::turns::{Enqueue, Enqueued, TurnQueue};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use thiserror::Error;

/// How long a claimed turn is ours before somebody else may take it, unless [`Agent::renew`] prolongs it.
pub const LEASE: Duration = Duration::from_secs(60);

/// How often a turn is tried. A turn in the middle of which the program ended that often is likely the reason.
pub const MAX_ATTEMPTS: u32 = 3;

/// For how long a repeated delivery gets the first one's answer.
pub const REPEATS_ANSWERED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The limits an agent works under.
#[derive(Debug, Clone, Copy)]
pub struct AgentLimits {
    /// How many sessions are answered at once.
    pub max_concurrent: usize,
    /// How many unfinished turns there may be.
    pub queue_capacity: u64,
}

/// A message for the agent.
#[derive(Debug)]
pub struct Submission {
    /// The id of the turn, from [`Agent::new_turn_id`].
    pub id: TurnId,
    /// Where message and answer go.
    pub session: SessionId,
    /// What is asked.
    pub text: MessageText,
    /// Stored with the message.
    pub metadata: Metadata,
    /// Set if the same message may come again.
    pub key: Option<DeduplicationKey>,
    /// For the audit log.
    pub happening: Happening,
}

/// Why a message was not taken.
#[derive(Debug, Error)]
pub enum SubmitError {
    /// Too many turns are unfinished.
    #[error("too many messages wait for an answer")]
    QueueFull,
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

/// The agent: a queue of turns, somebody who answers, and a status.
pub struct Agent {
    turns: Arc<dyn TurnQueue>,
    runner: Arc<dyn AgentRunner>,
    audit: Arc<Audit>,
    status: StatusBoard,
    waiting: Waiting,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    limits: AgentLimits,
}

impl Agent {
    /// An agent over a queue, answering through `runner`, telling `events` what changes.
    #[must_use]
    pub fn new(
        turns: Arc<dyn TurnQueue>,
        runner: Arc<dyn AgentRunner>,
        events: Arc<dyn EventBus>,
        audit: Arc<Audit>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        limits: AgentLimits,
    ) -> Self {
        let tracker = Mutex::new(StatusTracker::new(clock.now(), limits.max_concurrent));
        let status = StatusBoard { tracker, events, clock: Arc::clone(&clock) };
        Self { turns, runner, audit, status, waiting: Waiting::default(), clock, entropy, limits }
    }

    /// The kind of agent that answers.
    #[must_use]
    pub fn runner_name(&self) -> &'static str {
        self.runner.name()
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> AgentLimits {
        self.limits
    }

    /// What the agent is doing.
    #[must_use]
    pub fn status(&self) -> AgentStatus {
        self.status.snapshot()
    }

    /// An id for a turn to come.
    #[must_use]
    pub fn new_turn_id(&self) -> TurnId {
        TurnId::new(id::time_ordered(self.clock.now(), random(&*self.entropy)))
    }

    /// Takes a message: when this returns, it is stored and will be answered. Gives the id of its turn, which for a
    /// repeated message is that of the first. `on_reply`, if given, is called once with the answer, unless the program
    /// ends before.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was stored then.
    pub async fn submit(&self, submission: Submission, on_reply: Option<OnReply>) -> Result<TurnId, SubmitError> {
        let id = submission.id;
        let message = NewMessage {
            id: id.as_str().to_owned(),
            role: Role::User,
            text: submission.text,
            at: self.clock.now(),
            metadata: submission.metadata,
        };
        // Whoever waits takes a place first: the answer may be there before `enqueue` has returned.
        let place = on_reply.map(|on_reply| self.waiting.wait(id.clone(), on_reply));
        let enqueue = Enqueue {
            turn: Turn { id: id.clone(), session: submission.session, message },
            key: submission.key,
            capacity: self.limits.queue_capacity,
            entry: self.audit.entry(submission.happening),
        };
        match self.turns.enqueue(enqueue).await.map_err(SubmitError::Store)? {
            Enqueued::Stored => {
                if let Some(place) = place {
                    place.keep();
                }
                Ok(id)
            }
            Enqueued::Repeated(first) => {
                if let Some(place) = place {
                    self.wait_for_first(place, &first).await.map_err(SubmitError::Store)?;
                }
                Ok(first)
            }
            Enqueued::Full => Err(SubmitError::QueueFull),
        }
    }

    /// Waits for `first` instead, whose answer may be there already.
    async fn wait_for_first(&self, mut place: Place<'_>, first: &TurnId) -> Result<(), StoreError> {
        place.move_to(first);
        match self.turns.state(first).await? {
            Some(TurnState::Pending) => place.keep(),
            Some(TurnState::Done(text)) => self.waiting.answer(first, &text),
            // Forgotten since: nobody will answer any more, and the place is given up.
            None => {}
        }
        Ok(())
    }

    /// Makes what a program that ended had claimed claimable again, and says how much that was. For the start.
    ///
    /// # Errors
    /// As the store's.
    pub async fn recover(&self) -> Result<u64, StoreError> {
        self.turns.release_all().await
    }

    /// Waits until there may be something to claim.
    pub async fn ready(&self) {
        self.turns.ready().await;
    }

    /// Takes up to `limit` turns, to be given to [`Agent::run`].
    ///
    /// # Errors
    /// As the store's.
    pub async fn claim(&self, limit: usize) -> Result<Vec<ClaimedTurn>, StoreError> {
        let now = self.clock.now();
        self.turns.claim(limit, now, now.plus(LEASE)).await
    }

    /// Keeps claimed turns ours for another [`LEASE`].
    ///
    /// # Errors
    /// As the store's.
    pub async fn renew(&self, turns: &[TurnId]) -> Result<(), StoreError> {
        self.turns.extend(turns, self.clock.now().plus(LEASE)).await
    }

    /// Forgets answers that nobody can ask for any more.
    ///
    /// # Errors
    /// As the store's.
    pub async fn forget_old_answers(&self) -> Result<u64, StoreError> {
        self.turns.forget(self.clock.now().minus(REPEATS_ANSWERED_FOR)).await
    }

    /// Runs the agent on a turn. The result is for [`Agent::finish`].
    pub async fn run(&self, claimed: &ClaimedTurn) -> Answer {
        let turn = &claimed.turn;
        self.status.tell(&turn.session, Input::Started { title: claimed.session.title().to_owned() });
        if claimed.attempt > MAX_ATTEMPTS {
            let reason = format!(
                "This message could not be answered: the server ended {MAX_ATTEMPTS} times while working on it."
            );
            return self.failed(turn, "", reason);
        }
        let recorder = Recorder { board: &self.status, session: &turn.session, text: Mutex::default() };
        let status = self.status.snapshot();
        let outcome = self.runner.run(AgentRequest { turn, status: &status }, &recorder).await;
        let text = recorder.text.into_inner().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => Answer { text, failed: false },
            Err(error) => self.failed(turn, &text, error.to_string()),
        }
    }

    /// What is left of an answer when the agent failed: what it had said, and why it stopped.
    fn failed(&self, turn: &Turn, said: &str, reason: String) -> Answer {
        let text = if said.is_empty() { reason.clone() } else { format!("{said}\n\n{reason}") };
        self.status.tell(&turn.session, Input::Failed { reason });
        Answer { text, failed: true }
    }

    /// Stores the answer of a turn, then tells whoever waits for it.
    ///
    /// # Errors
    /// As the store's. The turn is then still claimed, and can be finished later.
    pub async fn finish(&self, claimed: &ClaimedTurn, answer: &Answer) -> Result<(), StoreError> {
        let turn = &claimed.turn;
        let now = self.clock.now();
        let text = MessageText::lossy(&answer.text);
        let mut metadata = serde_json::Map::new();
        metadata.insert("agent".to_owned(), self.runner.name().into());
        metadata.insert("request_id".to_owned(), turn.id.as_str().into());
        if answer.failed {
            metadata.insert("error".to_owned(), true.into());
        }
        let message = NewMessage {
            id: id::time_ordered(now, random(&*self.entropy)).to_string(),
            role: Role::Assistant,
            text: text.clone(),
            at: now,
            metadata: Metadata::of(&metadata),
        };
        let ours = self.turns.finish(&turn.id, message).await?;
        if !answer.failed {
            self.status.tell(&turn.session, Input::Finished);
        }
        if ours {
            self.waiting.answer(&turn.id, text.as_str());
        } else {
            tracing::warn!(turn.id = %turn.id, "a turn was finished already: after its lease had ended, or in a try that seemed to have failed");
            if let Some(TurnState::Done(text)) = self.turns.state(&turn.id).await? {
                self.waiting.answer(&turn.id, &text);
            }
        }
        Ok(())
    }

    /// Lets go of everybody who waits for an answer, and of those who come later. For the end of the program.
    pub fn stop_waiting(&self) {
        self.waiting.close();
    }
}

/// What the agent made of a turn, not stored yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    text: String,
    failed: bool,
}

/// The status, and who is told when it changes.
struct StatusBoard {
    tracker: Mutex<StatusTracker>,
    events: Arc<dyn EventBus>,
    clock: Arc<dyn Clock>,
}

impl StatusBoard {
    fn tell(&self, session: &SessionId, input: Input) {
        let now = self.clock.now();
        let changed = self.tracker.lock().unwrap_or_else(PoisonError::into_inner).apply(session, input, now);
        if changed {
            self.events.publish(Event::AgentStatusChanged);
        }
    }

    fn snapshot(&self) -> AgentStatus {
        let now = self.clock.now();
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner).snapshot(now)
    }
}

/// Collects the answer and moves the status along.
struct Recorder<'a> {
    board: &'a StatusBoard,
    session: &'a SessionId,
    text: Mutex<String>,
}

impl AgentOutput for Recorder<'_> {
    fn emit(&self, event: AgentEvent) {
        let input = match event {
            AgentEvent::Text(piece) => {
                self.text.lock().unwrap_or_else(PoisonError::into_inner).push_str(&piece);
                Input::Streaming
            }
            AgentEvent::ToolStarted { name } => Input::ToolStarted { name },
            AgentEvent::ToolFinished => Input::Thinking,
        };
        self.board.tell(self.session, input);
    }
}

#[cfg(test)]
mod tests;
