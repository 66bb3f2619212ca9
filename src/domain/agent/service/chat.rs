//! What people say in a chat: for the agent, for an agent that waits for an answer, or for the server itself.

use super::running::Told;
use super::{Agent, Submission, SubmitError};
use crate::domain::agent::command::Command;
use crate::domain::agent::waiting::OnReply;
use crate::domain::agent::{Origin, TurnId};
use crate::domain::audit::Happening;
use crate::domain::auth::Principal;
use crate::domain::auth::scope::Scope;
use crate::domain::session::service::Sessions;
use crate::domain::session::{MessageText, Metadata, SessionId};
use crate::domain::settings::service::Settings;
use crate::ports::entropy::{Entropy, random};
use crate::ports::store::StoreError;
use serde_json::{Map, Value};
use std::sync::Arc;
use thiserror::Error;

/// Something that somebody says.
#[derive(Debug)]
pub struct Saying {
    /// Where; `None` begins a new session.
    pub session: Option<SessionId>,
    /// What.
    pub text: MessageText,
    /// What the user is looking at, for the agent to know.
    pub file_context: Option<Map<String, Value>>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It was a command, and this is the answer. Nothing of it is stored.
    Command {
        /// The answer.
        text: String,
        /// Where the conversation goes on: the session it was said in, or another.
        session: SessionId,
    },
    /// It is stored, and will be answered: what happens is told as news of this turn.
    Turn {
        /// The turn.
        turn: TurnId,
        /// The session.
        session: SessionId,
    },
    /// It answers the question of a turn that waits, which goes on now.
    Reply {
        /// The turn.
        turn: TurnId,
        /// The session.
        session: SessionId,
    },
}

/// Why nothing was said.
#[derive(Debug, Error)]
pub enum SayError {
    /// Too many turns are unfinished.
    #[error("Too many messages wait for an answer; try again later")]
    QueueFull,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The chats.
pub struct Chats {
    pub(super) agent: Arc<Agent>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) settings: Arc<Settings>,
    entropy: Arc<dyn Entropy>,
}

impl Chats {
    /// Chats with `agent`.
    #[must_use]
    pub fn new(agent: Arc<Agent>, sessions: Arc<Sessions>, settings: Arc<Settings>, entropy: Arc<dyn Entropy>) -> Self {
        Self { agent, sessions, settings, entropy }
    }

    /// The id of a session to come. Nothing is stored until something is said in it.
    #[must_use]
    pub fn new_session(&self) -> SessionId {
        SessionId::new_chat(random(&*self.entropy))
    }

    /// Takes what somebody says. When this returns, it is stored, or was a command that is done. `on_reply`, if given, is
    /// called with the answer of the turn that this begins.
    ///
    /// # Errors
    /// [`SayError`]; nothing was stored then.
    pub async fn say(
        &self,
        principal: &Principal,
        saying: Saying,
        on_reply: Option<OnReply>,
    ) -> Result<Said, SayError> {
        let session = saying.session.unwrap_or_else(|| self.new_session());
        if let Some(command) = Command::parse(saying.text.as_str()) {
            let (text, session) = self.obey(principal, command, session).await?;
            return Ok(Said::Command { text, session });
        }
        let told = Told { text: saying.text.as_str().to_owned(), by: principal.clone() };
        if let Some(turn) = self.agent.running.reply(&session, origin_of(principal), told) {
            return Ok(Said::Reply { turn, session });
        }
        let id = self.agent.new_turn_id();
        let mut metadata = Map::new();
        metadata.insert("source".to_owned(), "chat".into());
        if let Some(context) = saying.file_context {
            metadata.insert("file_context".to_owned(), context.into());
        }
        let submission = Submission {
            id: id.clone(),
            session: session.clone(),
            text: saying.text,
            metadata: Metadata::of(&metadata),
            key: None,
            happening: Happening::success(principal, "message_sent", session.as_str()).with("request_id", id.as_str()),
            origin: origin_of(principal),
        };
        match self.agent.submit(submission, on_reply).await {
            Ok(turn) => Ok(Said::Turn { turn, session }),
            Err(SubmitError::QueueFull) => Err(SayError::QueueFull),
            Err(SubmitError::Store(error)) => Err(SayError::Store(error)),
        }
    }

    /// Stops what the agent does in a session. False if it does nothing there that somebody with this credential may stop:
    /// nobody but the owner stops what it does for the owner.
    #[must_use]
    pub fn stop(&self, principal: &Principal, session: &SessionId) -> bool {
        self.agent.running.stop(origin_of(principal), |_, of| of == session)
    }

    /// The same, but for one turn of the session.
    pub fn stop_others(&self, principal: &Principal, session: &SessionId, turn: &TurnId) {
        self.agent.running.stop(origin_of(principal), |id, of| of == session && id != turn);
    }

    /// Approves or rejects the plan that waits in a session; without one, the only plan that waits. Gives its session;
    /// `None` if none waits there, or several do. Nobody but the owner decides on a plan of the owner's.
    #[must_use]
    pub fn decide(&self, principal: &Principal, session: Option<&SessionId>, approved: bool) -> Option<SessionId> {
        let text = if approved { "approve" } else { "reject" };
        let told = Told { text: text.to_owned(), by: principal.clone() };
        self.agent.running.decide(session, origin_of(principal), told)
    }

    /// Stops everything that the agent does anywhere, for the owner. False if it does nothing.
    #[must_use]
    pub fn stop_all(&self) -> bool {
        self.agent.running.stop(Origin::Owner, |_, _| true)
    }
}

/// On whose behalf the agent works for somebody with this credential.
#[must_use]
pub fn origin_of(principal: &Principal) -> Origin {
    if principal.grant.scopes.allows(Scope::Admin) { Origin::Owner } else { Origin::Client }
}
