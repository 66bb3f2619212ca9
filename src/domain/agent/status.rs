//! What the agent is doing: a state machine, inputs in, snapshots out.

use super::model::TokenUsage;
use crate::domain::session::SessionId;
use crate::domain::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a failed session stays in the status.
pub const ERROR_SHOWN_FOR: Duration = Duration::from_secs(30);

/// The agent as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GlobalState {
    /// Nothing to do.
    Idle,
    /// At least one session is being answered.
    Active,
    /// A session failed within the last [`ERROR_SHOWN_FOR`].
    Degraded,
}

impl GlobalState {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Active => "active",
            Self::Degraded => "degraded",
        }
    }
}

/// What is being done for a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// The agent works and has not said anything yet.
    Thinking,
    /// It runs the tool of that name.
    ToolRunning(String),
    /// It is writing the answer.
    Streaming,
    /// It has asked the user something.
    WaitingForUser,
    /// It failed, for that reason.
    Error(String),
}

/// One session in the status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionStatus {
    /// The session.
    pub id: SessionId,
    /// Its title.
    pub title: String,
    /// What is being done for it.
    pub state: SessionState,
    /// Since the turn began.
    pub duration: Duration,
    /// The tokens that the turn took until now; `None` while the provider has not told of any.
    pub usage: Option<TokenUsage>,
}

/// A snapshot of the status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentStatus {
    /// Counts changes; a later snapshot has a higher number. Starts anew with the server.
    pub version: u64,
    /// The agent as a whole.
    pub state: GlobalState,
    /// How many sessions are being answered; failed ones do not count.
    pub active_sessions: usize,
    /// How many can be answered at once.
    pub max_concurrent: usize,
    /// How long the server has been running.
    pub uptime: Duration,
    /// The sessions, by id.
    pub sessions: Vec<SessionStatus>,
}

impl AgentStatus {
    /// Whether a client that saw `earlier` needs to see this: the state as a whole changed, or a session came, went, changed
    /// its state or took tokens. Times passing is not a change.
    #[must_use]
    pub fn differs_from(&self, earlier: &Self) -> bool {
        let essence = |status: &Self| -> Vec<(SessionId, SessionState, Option<TokenUsage>)> {
            let of_session = |session: &SessionStatus| (session.id.clone(), session.state.clone(), session.usage);
            status.sessions.iter().map(of_session).collect()
        };
        self.state != earlier.state || essence(self) != essence(earlier)
    }
}

/// What happens to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A turn began in the session with this title.
    Started {
        /// The title.
        title: String,
    },
    /// The agent goes on thinking.
    Thinking,
    /// A tool was started.
    ToolStarted {
        /// Its name.
        name: String,
    },
    /// A piece of the answer was written.
    Streaming,
    /// The user was asked something.
    Asked,
    /// The provider counted tokens, in addition to those before.
    Used(TokenUsage),
    /// The turn ended well.
    Finished,
    /// The turn failed.
    Failed {
        /// Why, for the user to read.
        reason: String,
    },
}

struct Tracked {
    title: String,
    state: SessionState,
    since: Timestamp,
    failed_at: Option<Timestamp>,
    usage: Option<TokenUsage>,
}

/// The state machine. Knows no clock: the time comes with every input.
pub struct StatusTracker {
    started: Timestamp,
    max_concurrent: usize,
    version: u64,
    sessions: BTreeMap<SessionId, Tracked>,
}

impl StatusTracker {
    /// An idle agent.
    #[must_use]
    pub fn new(started: Timestamp, max_concurrent: usize) -> Self {
        Self { started, max_concurrent, version: 0, sessions: BTreeMap::new() }
    }

    /// Takes in what happened to `session`. True if that changed what a snapshot shows, times aside. An input for a
    /// session without a turn changes nothing.
    pub fn apply(&mut self, session: &SessionId, input: Input, now: Timestamp) -> bool {
        self.forget_old_errors(now);
        let changed = match input {
            Input::Started { title } => {
                let tracked =
                    Tracked { title, state: SessionState::Thinking, since: now, failed_at: None, usage: None };
                self.sessions.insert(session.clone(), tracked);
                true
            }
            Input::Finished => self.sessions.remove(session).is_some(),
            Input::Thinking => self.change(session, SessionState::Thinking, None),
            Input::ToolStarted { name } => self.change(session, SessionState::ToolRunning(name), None),
            Input::Streaming => self.change(session, SessionState::Streaming, None),
            Input::Asked => self.change(session, SessionState::WaitingForUser, None),
            Input::Used(usage) => {
                let tracked = self.sessions.get_mut(session);
                tracked.is_some_and(|tracked| {
                    *tracked.usage.get_or_insert_default() += usage;
                    true
                })
            }
            Input::Failed { reason } => self.change(session, SessionState::Error(reason), Some(now)),
        };
        self.version += u64::from(changed);
        changed
    }

    fn change(&mut self, session: &SessionId, state: SessionState, failed_at: Option<Timestamp>) -> bool {
        match self.sessions.get_mut(session) {
            Some(tracked) if tracked.state != state => {
                tracked.state = state;
                tracked.failed_at = failed_at;
                true
            }
            _ => false,
        }
    }

    fn forget_old_errors(&mut self, now: Timestamp) {
        let before = self.sessions.len();
        self.sessions.retain(|_, tracked| tracked.failed_at.is_none_or(|at| now.since(at) < ERROR_SHOWN_FOR));
        self.version += u64::from(self.sessions.len() != before);
    }

    /// What is true at `now`.
    pub fn snapshot(&mut self, now: Timestamp) -> AgentStatus {
        self.forget_old_errors(now);
        let failed = self.sessions.values().filter(|tracked| tracked.failed_at.is_some()).count();
        // While the answer of one is being stored, the next is begun; more than run at once are never shown.
        let active_sessions = (self.sessions.len() - failed).min(self.max_concurrent);
        let state = match (failed, active_sessions) {
            (1.., _) => GlobalState::Degraded,
            (0, 1..) => GlobalState::Active,
            (0, 0) => GlobalState::Idle,
        };
        let sessions = self.sessions.iter().map(|(id, tracked)| SessionStatus {
            id: id.clone(),
            title: tracked.title.clone(),
            state: tracked.state.clone(),
            duration: now.since(tracked.since),
            usage: tracked.usage,
        });
        AgentStatus {
            version: self.version,
            state,
            active_sessions,
            max_concurrent: self.max_concurrent,
            uptime: now.since(self.started),
            sessions: sessions.collect(),
        }
    }
}

#[cfg(test)]
mod tests;
