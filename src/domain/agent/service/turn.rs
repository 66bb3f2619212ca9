//! Answering one turn.

use super::toolbox::TurnIo;
use super::{Agent, Answer, MAX_ATTEMPTS};
use crate::domain::agent::budget;
use crate::domain::agent::choice::{AgentKind, AgentSettings, TurnRules, note_on};
use crate::domain::agent::model::{AnswerEnd, ModelAnswer, ModelError, ModelMessage, ModelRequest, TokenUsage};
use crate::domain::agent::retry;
use crate::domain::agent::status::Input;
use crate::domain::agent::transcript::Transcript;
use crate::domain::agent::{AgentEvent, ClaimedTurn, NOTHING_SAID, News, Origin, Turn, TurnEnd};
use crate::domain::memory::tools::{TOLD, told};
use crate::domain::memory::{Owner, Owners};
use crate::domain::text::{PageLimit, head};
use crate::ports::agent::{AgentError, AgentIo, AgentRequest, ChatModel, OpenAgent};
use crate::ports::entropy::random;
use crate::ports::store::StoreError;
use futures_util::future::{Abortable, Either, select};
use serde_json::Value;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};

/// How many messages of a session are read, step by step until the budget is full: most turns need few, and one message may
/// hold two megabytes.
const HISTORY: [i64; 3] = [20, 100, 500];

/// How much of a message is looked up in memory, in characters.
const QUESTION_CHARS: usize = 2_000;

/// Of how many parts of the context what is remembered is one.
const SHARE_OF_MEMORY: usize = 8;

impl Agent {
    /// Runs the agent on a turn. The result is for [`Agent::finish`].
    pub async fn run(&self, claimed: &ClaimedTurn) -> Answer {
        let turn = &claimed.turn;
        let settings = self.settings.agent();
        let stop = self.running.begin(&turn.id, &turn.session, turn.origin);
        self.board.tell(turn, Input::Started { title: claimed.session.title().to_owned() });
        let opened = self.agents.open(&settings.choice);
        let agent = opened.as_ref().map_or(settings.choice.kind.as_str(), OpenAgent::name);
        let model = settings.choice.model.clone();
        self.board.publish(turn, News::Started { agent: agent.to_owned(), model: model.clone() });

        let io = TurnIo {
            agent: self,
            turn,
            toolset: self.toolset(turn.origin, &settings.rules),
            rules: &settings.rules,
            transcript: Mutex::new(transcript_of(&claimed.progress)),
            usage: Mutex::default(),
            begun: Mutex::default(),
        };
        let work = async {
            if claimed.attempt > MAX_ATTEMPTS {
                return Err(AgentError(format!(
                    "This message could not be answered: the server ended {MAX_ATTEMPTS} times while working on it."
                )));
            }
            self.answer(opened?, &settings, &io).await
        };
        let limit = settings.rules.turn_limit;
        let limited = async {
            match select(pin!(work), self.timer.sleep(limit)).await {
                Either::Left((outcome, _)) => outcome,
                Either::Right(_) => Err(AgentError(format!("The turn took longer than {} seconds.", limit.as_secs()))),
            }
        };
        let end = match Abortable::new(limited, stop).await {
            Ok(Ok(())) => TurnEnd::Answered,
            Ok(Err(AgentError(reason))) => TurnEnd::Failed(reason),
            Err(_) => TurnEnd::Stopped,
        };
        io.cut_off().await;
        if let TurnEnd::Failed(reason) = &end {
            self.board.tell(turn, Input::Failed { reason: reason.clone() });
        }
        let transcript = io.transcript();
        let usage: TokenUsage = *io.usage.lock().unwrap_or_else(PoisonError::into_inner);
        Answer { agent, model, text: text_of(&transcript, &end), transcript, end, usage }
    }

    async fn answer(&self, agent: OpenAgent, settings: &AgentSettings, io: &TurnIo<'_>) -> Result<(), AgentError> {
        let rules = &settings.rules;
        let mut system = system_prompt(rules, io.turn);
        system.push_str(&self.remembered(io.turn, settings).await);
        let fixed = budget::estimate(&system) + budget::cost_of_tools(&io.toolset.offers);
        let budget = rules.context_tokens.saturating_sub(fixed);
        let earlier = self.earlier(io.turn, budget).await;
        let earlier = earlier.map_err(|error| AgentError(format!("{error}; try again later")))?;
        let question = ModelMessage::User(io.turn.message.text.as_str().to_owned());
        match agent {
            OpenAgent::Runner(runner) => {
                // What was done before the server ended comes last, so that it is not done again.
                let mut current = vec![question];
                current.extend(io.transcript().messages());
                let messages = budget::fit(&earlier, current, budget);
                let status = self.board.snapshot();
                let tools = &io.toolset.offers;
                let request =
                    AgentRequest { turn: io.turn, status: &status, system: &system, messages: &messages, tools };
                runner.run(request, io).await
            }
            OpenAgent::Model(model) => {
                for _ in 0..rules.max_rounds {
                    let mut current = vec![question.clone()];
                    current.extend(io.transcript().messages());
                    let request = ModelRequest {
                        model: settings.choice.model.clone(),
                        system: system.clone(),
                        messages: budget::fit(&earlier, current, budget),
                        tools: io.toolset.offers.clone(),
                        max_output_tokens: settings.choice.max_output_tokens,
                    };
                    if self.round(&*model, &request, io).await? {
                        return Ok(());
                    }
                }
                Err(AgentError(format!("The agent had not come to an end after {} steps.", rules.max_rounds)))
            }
        }
    }

    /// What is remembered that may have to do with the turn, for the end of the system prompt. For the owner only: others
    /// could ask the agent to repeat it.
    async fn remembered(&self, turn: &Turn, settings: &AgentSettings) -> String {
        if turn.origin != Origin::Owner || settings.choice.kind == AgentKind::Builtin {
            return String::new();
        }
        let question = head(turn.message.text.as_str(), QUESTION_CHARS);
        let found = self.memories.recall(question, &Owners::SeenBy(Owner::me()), TOLD).await;
        let found = found.unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "a turn is answered without what is remembered");
            Vec::new()
        });
        let told = told(&found, settings.rules.context_tokens / SHARE_OF_MEMORY);
        if told.is_empty() { told } else { format!("\n\n{told}") }
    }

    /// What was said in the session before the turn, or as much of it as fills `budget`.
    async fn earlier(&self, turn: &Turn, budget: usize) -> Result<Vec<Vec<ModelMessage>>, StoreError> {
        let mut groups = Vec::new();
        for limit in HISTORY.map(PageLimit::clamped) {
            let mut history = self.sessions.history(&turn.session, limit).await?;
            let is_all = history.len() < limit.get();
            let this = history.iter().position(|message| message.content.id == turn.message.id);
            history.truncate(this.unwrap_or(history.len()));
            groups = budget::groups(&history);
            let cost: usize = groups.iter().map(|group| budget::cost_of(group)).sum();
            if is_all || cost >= budget {
                break;
            }
        }
        Ok(groups)
    }

    /// Asks the model once, and runs what it wants to be run. True if the answer is complete.
    async fn round(&self, model: &dyn ChatModel, request: &ModelRequest, io: &TurnIo<'_>) -> Result<bool, AgentError> {
        let answer = self.ask(model, request, io).await.map_err(|error| AgentError(error.to_string()))?;
        if let Some(usage) = answer.usage {
            io.emit(AgentEvent::Used(usage));
        }
        if !answer.calls.is_empty() {
            io.call_all(answer.calls).await;
            return match io.is_exhausted() {
                false => Ok(false),
                true => Err(AgentError("The agent wanted too many tools to be run.".to_owned())),
            };
        }
        match answer.end {
            AnswerEnd::Length => Err(AgentError(format!(
                "The answer was cut off: it had reached the {} tokens that the model may write.",
                request.max_output_tokens
            ))),
            AnswerEnd::Filtered => Err(AgentError("The provider stopped the answer.".to_owned())),
            AnswerEnd::Done | AnswerEnd::Calls if io.transcript().text().trim().is_empty() => {
                Err(AgentError("The model gave an empty answer.".to_owned()))
            }
            AnswerEnd::Done | AnswerEnd::Calls => Ok(true),
        }
    }

    /// Asks again where that may help, after a pause.
    async fn ask(
        &self,
        model: &dyn ChatModel,
        request: &ModelRequest,
        io: &TurnIo<'_>,
    ) -> Result<ModelAnswer, ModelError> {
        let mut tried = 0;
        loop {
            tried += 1;
            let error = match model.answer(request, io).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let spread = u32::from_le_bytes(random(&*self.entropy));
            let Some(pause) = retry::pause(tried, &error, spread) else { return Err(error) };
            tracing::warn!(%error, tried, pause_ms = pause.as_millis(), "the model gave no answer; asking again");
            self.timer.sleep(pause).await;
        }
    }
}

/// How far a turn had come. What cannot be read is no reason not to answer.
fn transcript_of(progress: &str) -> Transcript {
    let json: Option<Value> = serde_json::from_str(progress).ok();
    let mut transcript = json.as_ref().and_then(Transcript::from_json).unwrap_or_default();
    transcript.interrupt();
    transcript
}

/// The answer as it is stored: what was said, and if there was an end to it, why.
fn text_of(transcript: &Transcript, end: &TurnEnd) -> String {
    let said = transcript.text();
    match end {
        TurnEnd::Stopped if said.trim().is_empty() => NOTHING_SAID.to_owned(),
        TurnEnd::Answered | TurnEnd::Stopped => said,
        TurnEnd::Failed(reason) if said.trim().is_empty() => reason.clone(),
        TurnEnd::Failed(reason) => format!("{said}\n\n{reason}"),
    }
}

/// How the agent is to behave in this turn, and what the user is looking at.
fn system_prompt(rules: &TurnRules, turn: &Turn) -> String {
    let mut prompt = rules.system_prompt.clone();
    if let Some(note) = note_on(turn.origin) {
        prompt.push_str("\n\n");
        prompt.push_str(note);
    }
    let metadata: Value = serde_json::from_str(turn.message.metadata.as_json()).unwrap_or_default();
    if let Some(context) = metadata["file_context"].as_object() {
        prompt.push_str("\n\nThe user is looking at these files: ");
        prompt.push_str(&Value::Object(context.clone()).to_string());
    }
    prompt
}

#[cfg(test)]
mod tests;
