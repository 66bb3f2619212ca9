//! Learning from a turn that was answered: the model is asked once more, for facts that are worth remembering.

use super::{Agent, Answer};
use crate::domain::agent::model::Delta;
use crate::domain::agent::{ClaimedTurn, Origin, TurnEnd};
use crate::domain::auth::{CredentialKind, Principal};
use crate::domain::memory::learning::{self, Fact};
use crate::domain::memory::service::{NewMemory, NotRemembered, Remembered};
use crate::domain::memory::{Author, MemoryKind, Owner, Owners, Source};
use crate::ports::agent::{AgentError, ModelOutput, OpenAgent};
use futures_util::future::{Either, select};
use std::time::Duration;

/// How many known facts the model is shown.
const KNOWN: usize = 20;

/// How long the model may take.
const LIMIT: Duration = Duration::from_secs(120);

impl Agent {
    /// Whether something is to be learned from a turn: if the user switched that on, from what the owner said and was
    /// answered; from webhooks only if that is switched on as well; from nobody else.
    #[must_use]
    pub fn may_learn(&self, claimed: &ClaimedTurn, answer: &Answer) -> bool {
        let settings = self.settings.memory();
        let may_teach = match claimed.turn.origin {
            Origin::Owner => true,
            Origin::Webhook => settings.learns_from_webhooks,
            Origin::Client | Origin::Channel => false,
        };
        settings.learns && may_teach && answer.end == TurnEnd::Answered
    }

    /// Learns from a turn. Gives how many memories are new or say something else now.
    ///
    /// # Errors
    /// Why not, in words for the log.
    pub async fn learn(&self, claimed: &ClaimedTurn, answer: &Answer) -> Result<usize, AgentError> {
        let turn = &claimed.turn;
        let said = turn.message.text.as_str();
        let choice = &self.settings.memory().learner;
        let OpenAgent::Model(model) = self.agents.open(choice)? else {
            let kind = choice.kind.as_str();
            return Err(AgentError(format!("the agent {kind} has no model that could be asked for facts")));
        };
        let failed = |error: &dyn std::fmt::Display| AgentError(error.to_string());
        let owners = Owners::Of(Owner::me());
        let mut known = self.memories.recall(said, &owners, KNOWN).await.map_err(|error| failed(&error))?;
        known.retain(|memory| memory.kind == MemoryKind::LongTerm);
        let request = learning::request(choice, &known, said, &answer.text);
        let asked = select(Box::pin(model.answer(&request, &Nobody)), self.timer.sleep(LIMIT));
        let answered = match asked.await {
            Either::Left((answered, _)) => answered.map_err(|error| failed(&error))?,
            Either::Right(_) => return Err(AgentError(format!("the model took longer than {} s", LIMIT.as_secs()))),
        };
        let principal = Principal::without_grant(CredentialKind::Agent, turn.id.as_str());
        let mut learned = 0;
        for Fact { text, tags, replaces } in learning::facts(&answered.text, &known) {
            let source = Source::said(Author::Learned, turn.session.as_str(), &turn.message.id);
            let new = NewMemory { owner: Owner::me(), text, tags, source };
            match self.memories.remember_once(&principal, new, replaces.as_ref()).await {
                Ok(Remembered::Known(_)) => {}
                Ok(Remembered::New(_) | Remembered::Updated(_)) => learned += 1,
                Err(NotRemembered::Credential(what)) => tracing::info!(what, "a fact was not learned"),
                Err(NotRemembered::Store(error)) => return Err(failed(&error)),
            }
        }
        Ok(learned)
    }
}

/// Listens to nothing.
struct Nobody;

impl ModelOutput for Nobody {
    fn tell(&self, _delta: Delta) {}
}
