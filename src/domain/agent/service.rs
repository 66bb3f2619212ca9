//! Taking messages, answering them, and telling how that goes.

pub mod chat;
pub mod check;
mod commands;
mod learn;
mod running;
mod toolbox;
mod turn;

use super::model::TokenUsage;
use super::status::{AgentStatus, Input, StatusTracker};
use super::transcript::Transcript;
use super::waiting::{OnReply, Place, Waiting};
use super::{
    AgentEvent, ClaimedTurn, DeduplicationKey, News, Origin, Reply, Turn, TurnEnd, TurnId, TurnNews, TurnState,
};
use crate::domain::audit::Happening;
use crate::domain::audit::service::Audit;
use crate::domain::event::Event;
use crate::domain::id;
use crate::domain::mcp::service::McpServers;
use crate::domain::memory::service::Memories;
use crate::domain::session::{MessageText, Metadata, NewMessage, Role, SessionId};
use crate::domain::settings::service::Settings;
use crate::ports::agent::Agents;
use crate::ports::clock::Clock;
use crate::ports::entropy::{Entropy, random};
use crate::ports::events::EventBus;
use crate::ports::sessions::SessionStore;
use crate::ports::store::StoreError;
use crate::ports::timer::Timer;
use crate::ports::turns::{Enqueue, Enqueued, TurnQueue};
use check::AgentCheck;
use running::Running;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;

/// How long a claimed turn is ours before somebody else may take it, unless [`Agent::renew`] prolongs it.
pub const LEASE: Duration = Duration::from_secs(60);

/// How often a turn is tried. A turn in the middle of which the program ended that often is likely the reason.
pub const MAX_ATTEMPTS: u32 = 3;

/// For how long a repeated delivery gets the first one's answer.
pub const REPEATS_ANSWERED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the user gets to answer a question of the agent's.
pub const QUESTION_LIMIT: Duration = Duration::from_secs(300);

/// How many statuses are kept for those who follow them.
pub const STATUSES_KEPT: usize = 64;

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
    /// On whose behalf.
    pub origin: Origin,
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

/// What an agent works with.
pub struct AgentParts {
    /// The turns to answer.
    pub turns: Arc<dyn TurnQueue>,
    /// What was said before.
    pub sessions: Arc<dyn SessionStore>,
    /// Who can answer.
    pub agents: Arc<dyn Agents>,
    /// Who does, and how.
    pub settings: Arc<Settings>,
    /// The servers whose tools may be used.
    pub mcp: Arc<McpServers>,
    /// What is remembered.
    pub memories: Arc<Memories>,
    /// Who is told how it goes.
    pub events: Arc<dyn EventBus>,
    /// Where calls of tools are noted.
    pub audit: Arc<Audit>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Waits between tries, and ends what takes too long.
    pub timer: Arc<dyn Timer>,
    /// Where ids come from.
    pub entropy: Arc<dyn Entropy>,
    /// The limits.
    pub limits: AgentLimits,
}

/// The agent: a queue of turns, somebody who answers, and a status.
pub struct Agent {
    turns: Arc<dyn TurnQueue>,
    sessions: Arc<dyn SessionStore>,
    agents: Arc<dyn Agents>,
    settings: Arc<Settings>,
    mcp: Arc<McpServers>,
    memories: Arc<Memories>,
    audit: Arc<Audit>,
    board: StatusBoard,
    running: Running,
    waiting: Waiting,
    clock: Arc<dyn Clock>,
    timer: Arc<dyn Timer>,
    entropy: Arc<dyn Entropy>,
    limits: AgentLimits,
}

impl Agent {
    /// An agent that works with these.
    #[must_use]
    pub fn new(parts: AgentParts) -> Self {
        let AgentParts {
            turns,
            sessions,
            agents,
            settings,
            mcp,
            memories,
            events,
            audit,
            clock,
            timer,
            entropy,
            limits,
        } = parts;
        let tracker = StatusTracker::new(clock.now(), limits.max_concurrent);
        let shown = Mutex::new(Shown { tracker, last: VecDeque::new(), turns: HashMap::new() });
        let board = StatusBoard { shown, events, clock: Arc::clone(&clock) };
        let (running, waiting) = (Running::default(), Waiting::default());
        Self {
            turns,
            sessions,
            agents,
            settings,
            mcp,
            memories,
            audit,
            board,
            running,
            waiting,
            clock,
            timer,
            entropy,
            limits,
        }
    }

    /// The kind of agent that answers the next turn.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.settings.agent().choice.kind.as_str()
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> AgentLimits {
        self.limits
    }

    /// What the agent is doing.
    #[must_use]
    pub fn status(&self) -> AgentStatus {
        self.board.snapshot()
    }

    /// What the agent was doing after the status with this version, oldest first, up to now: of quick changes none is left
    /// out, unless there were more than [`STATUSES_KEPT`].
    #[must_use]
    pub fn statuses_after(&self, version: u64) -> Vec<AgentStatus> {
        self.board.after(version)
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
        // Where the conversation goes on for somebody else, it has to be known who said this.
        let metadata = match submission.origin {
            Origin::Owner => submission.metadata,
            stranger => submission.metadata.with("origin", stranger.as_str()),
        };
        let message = NewMessage {
            id: id.as_str().to_owned(),
            role: Role::User,
            text: submission.text,
            at: self.clock.now(),
            metadata,
        };
        // Known before it is stored, so that it can be stopped from then on.
        let queued = self.running.queue(&id, &submission.session, submission.origin);
        // Whoever waits takes a place first: the answer may be there before `enqueue` has returned.
        let place = on_reply.map(|on_reply| self.waiting.wait(id.clone(), on_reply));
        let enqueue = Enqueue {
            turn: Turn { id: id.clone(), session: submission.session, message, origin: submission.origin },
            key: submission.key,
            capacity: self.limits.queue_capacity,
            entry: self.audit.entry(submission.happening),
        };
        match self.turns.enqueue(enqueue).await.map_err(SubmitError::Store)? {
            Enqueued::Stored => {
                queued.keep();
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
            Some(TurnState::Done(text)) => {
                self.waiting.answer(first, &Reply { text, usage: TokenUsage::default() });
            }
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

    /// Whether the agent that answers the next turn would do so. Asks its model, which takes some tokens.
    pub async fn check(&self) -> AgentCheck {
        check::check(&*self.agents, &*self.timer, &self.settings.agent().choice).await
    }

    /// Waits until a claimed turn that has not begun is stopped: then [`Agent::run`] ends it at once.
    pub async fn stopped(&self, claimed: &ClaimedTurn) {
        let Turn { id, session, origin, .. } = &claimed.turn;
        let _ = self.running.stopped(id, session, *origin).await;
    }

    /// Whether a turn waits or is being answered here.
    #[must_use]
    pub fn is_open(&self, turn: &TurnId) -> bool {
        self.running.contains(turn)
    }

    /// Stores the answer of a turn, then tells whoever waits for it.
    ///
    /// # Errors
    /// As the store's. The turn is then still claimed, and can be finished later.
    pub async fn finish(&self, claimed: &ClaimedTurn, answer: &Answer) -> Result<(), StoreError> {
        let turn = &claimed.turn;
        let now = self.clock.now();
        let text = MessageText::lossy(&answer.text);
        let message = NewMessage {
            id: id::time_ordered(now, random(&*self.entropy)).to_string(),
            role: Role::Assistant,
            text: text.clone(),
            at: now,
            metadata: answer.metadata(turn),
        };
        let ours = self.turns.finish(&turn.id, message).await?;
        self.running.end(&turn.id);
        if !matches!(answer.end, TurnEnd::Failed(_)) {
            self.board.tell(turn, Input::Finished);
        }
        self.board.publish(turn, News::Finished { end: answer.end.clone(), usage: answer.usage });
        if ours {
            self.waiting.answer(&turn.id, &Reply { text: text.as_str().to_owned(), usage: answer.usage });
        } else {
            tracing::warn!(turn.id = %turn.id, "a turn was finished already: after its lease had ended, or in a try that seemed to have failed");
            if let Some(TurnState::Done(text)) = self.turns.state(&turn.id).await? {
                self.waiting.answer(&turn.id, &Reply { text, usage: answer.usage });
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
    agent: &'static str,
    model: String,
    text: String,
    transcript: Transcript,
    end: TurnEnd,
    usage: TokenUsage,
}

impl Answer {
    /// What is stored with the text.
    fn metadata(&self, turn: &Turn) -> Metadata {
        let mut metadata = serde_json::Map::new();
        metadata.insert("agent".to_owned(), self.agent.into());
        metadata.insert("request_id".to_owned(), turn.id.as_str().into());
        if !self.model.is_empty() {
            metadata.insert("model".to_owned(), self.model.as_str().into());
        }
        if self.usage != TokenUsage::default() {
            let usage = serde_json::json!({ "input_tokens": self.usage.input, "output_tokens": self.usage.output });
            metadata.insert("usage".to_owned(), usage);
        }
        if self.transcript.call_count() > 0 {
            metadata.insert("steps".to_owned(), self.transcript.to_json());
        }
        match &self.end {
            TurnEnd::Answered => {}
            TurnEnd::Stopped => {
                metadata.insert("stopped".to_owned(), true.into());
                metadata.insert("incomplete".to_owned(), true.into());
            }
            TurnEnd::Failed(_) => {
                metadata.insert("error".to_owned(), true.into());
                if !self.transcript.is_empty() {
                    metadata.insert("incomplete".to_owned(), true.into());
                }
            }
        }
        Metadata::of(&metadata)
    }
}

/// The status as it is and was.
struct Shown {
    tracker: StatusTracker,
    /// What it showed after its last changes.
    last: VecDeque<AgentStatus>,
    /// The turn that is shown of each session: of another, which may still be ending, nothing is.
    turns: HashMap<SessionId, TurnId>,
}

/// The status, and who is told when it changes.
struct StatusBoard {
    shown: Mutex<Shown>,
    events: Arc<dyn EventBus>,
    clock: Arc<dyn Clock>,
}

impl StatusBoard {
    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, turn: &Turn, input: Input) {
        let now = self.clock.now();
        let changed = {
            let shown = &mut *self.shown();
            match &input {
                Input::Started { .. } => drop(shown.turns.insert(turn.session.clone(), turn.id.clone())),
                _ if shown.turns.get(&turn.session) != Some(&turn.id) => return,
                Input::Finished | Input::Failed { .. } => drop(shown.turns.remove(&turn.session)),
                _ => {}
            }
            let changed = shown.tracker.apply(&turn.session, input, now);
            if changed {
                if shown.last.len() == STATUSES_KEPT {
                    shown.last.pop_front();
                }
                shown.last.push_back(shown.tracker.snapshot(now));
            }
            changed
        };
        if changed {
            self.events.publish(Event::AgentStatusChanged);
        }
    }

    fn publish(&self, turn: &Turn, news: News) {
        let news = TurnNews { session: turn.session.clone(), turn: turn.id.clone(), news };
        self.events.publish(Event::Turn(Arc::new(news)));
    }

    /// Takes in what an agent reports.
    fn report(&self, turn: &Turn, event: AgentEvent) {
        let input = match &event {
            AgentEvent::Text(_) => Input::Streaming,
            AgentEvent::ToolStarted(call) => Input::ToolStarted { name: call.name.clone() },
            AgentEvent::Thinking(_) | AgentEvent::ToolFinished(_) | AgentEvent::Answered => Input::Thinking,
            AgentEvent::Asked(_) => Input::Asked,
            AgentEvent::Used(usage) => Input::Used(*usage),
        };
        self.tell(turn, input);
        self.publish(turn, News::Agent(event));
    }

    fn snapshot(&self) -> AgentStatus {
        let now = self.clock.now();
        self.shown().tracker.snapshot(now)
    }

    fn after(&self, version: u64) -> Vec<AgentStatus> {
        let now = self.clock.now();
        let shown = &mut *self.shown();
        let current = shown.tracker.snapshot(now);
        let mut statuses: Vec<AgentStatus> =
            shown.last.iter().filter(|status| status.version > version).cloned().collect();
        // An old error vanishes by itself.
        if statuses.last().map_or(version, |status| status.version) < current.version {
            statuses.push(current);
        }
        statuses
    }
}

#[cfg(test)]
mod tests;
