//! An agent that follows a script and can be held at any point of it.

use crate::domain::agent::choice::AgentChoice;
use crate::domain::agent::model::{ToolCall, ToolOutcome};
use crate::domain::agent::{AgentEvent, Turn};
use crate::ports::agent::{AgentError, AgentIo, AgentRequest, AgentRunner, Agents, ChatModel, OpenAgent};
use async_trait::async_trait;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// What the agent does with one turn, step by step.
#[derive(Debug, Clone)]
pub struct Script {
    steps: Vec<Step>,
    outcome: Result<(), AgentError>,
}

#[derive(Debug, Clone)]
enum Step {
    Emit(AgentEvent),
    Call(ToolCall),
    Pause,
}

impl Script {
    /// Says nothing and succeeds, unless more is added.
    #[must_use]
    pub fn new() -> Self {
        Self { steps: Vec::new(), outcome: Ok(()) }
    }

    /// Says `text` in one piece and succeeds.
    #[must_use]
    pub fn answer(text: &str) -> Self {
        Self::new().text(text)
    }

    /// Then reports `event`.
    #[must_use]
    pub fn event(mut self, event: AgentEvent) -> Self {
        self.steps.push(Step::Emit(event));
        self
    }

    /// Then says `text`.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.event(AgentEvent::Text(text.to_owned()))
    }

    /// Then starts the tool `name`.
    #[must_use]
    pub fn tool_started(self, name: &str) -> Self {
        let call = ToolCall { id: "1".to_owned(), name: name.to_owned(), arguments: "{}".to_owned() };
        self.event(AgentEvent::ToolStarted(call))
    }

    /// Then ends the tool `name` with `content`.
    #[must_use]
    pub fn tool_finished(self, name: &str, content: &str) -> Self {
        let (id, name, content) = ("1".to_owned(), name.to_owned(), content.to_owned());
        self.event(AgentEvent::ToolFinished(ToolOutcome { id, name, content, is_error: false }))
    }

    /// Then has the tool `name` really run, with the JSON text `arguments`.
    #[must_use]
    pub fn call(mut self, name: &str, arguments: &str) -> Self {
        let (id, name, arguments) = (self.steps.len().to_string(), name.to_owned(), arguments.to_owned());
        self.steps.push(Step::Call(ToolCall { id, name, arguments }));
        self
    }

    /// Then waits for [`ScriptedAgent::resume`].
    #[must_use]
    pub fn pause(mut self) -> Self {
        self.steps.push(Step::Pause);
        self
    }

    /// Fails in the end.
    #[must_use]
    pub fn fail(mut self, reason: &str) -> Self {
        self.outcome = Err(AgentError(reason.to_owned()));
        self
    }
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

type Author = Box<dyn Fn(&AgentRequest<'_>) -> Script + Send + Sync>;

/// Follows the scripts it was given and remembers what it was asked.
pub struct ScriptedAgent {
    author: Author,
    asked: Mutex<Vec<Turn>>,
    /// One permit for each pause that was reached and not yet seen by [`ScriptedAgent::paused`].
    reached: Semaphore,
    /// One permit for each pause that may end.
    resumed: Semaphore,
}

impl ScriptedAgent {
    /// Does for every request what `author` writes.
    #[must_use]
    pub fn new(author: impl Fn(&AgentRequest<'_>) -> Script + Send + Sync + 'static) -> Self {
        Self {
            author: Box::new(author),
            asked: Mutex::default(),
            reached: Semaphore::new(0),
            resumed: Semaphore::new(0),
        }
    }

    /// Follows one script after the other, in the order of the requests, and fails when none is left.
    #[must_use]
    pub fn following(scripts: impl IntoIterator<Item = Script>) -> Self {
        let scripts: Mutex<VecDeque<Script>> = Mutex::new(scripts.into_iter().collect());
        Self::new(move |_| {
            let next = scripts.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            next.unwrap_or_else(|| Script::new().fail("the scripted agent has no script left"))
        })
    }

    /// Answers every request with `text`.
    #[must_use]
    pub fn answering(text: &str) -> Self {
        let script = Script::answer(text);
        Self::new(move |_| script.clone())
    }

    /// Returns once a script has reached a pause that no earlier call has returned for.
    pub async fn paused(&self) {
        take_one(&self.reached).await;
    }

    /// Lets one pause end: one that was reached, or else the next.
    pub fn resume(&self) {
        self.resumed.add_permits(1);
    }

    /// The turns it was asked to answer, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<Turn> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn take_one(semaphore: &Semaphore) {
    // A semaphore that is never closed always gives a permit in the end.
    if let Ok(permit) = semaphore.acquire().await {
        permit.forget();
    }
}

#[async_trait]
impl AgentRunner for ScriptedAgent {
    fn name(&self) -> &'static str {
        "scripted"
    }

    async fn run(&self, request: AgentRequest<'_>, io: &dyn AgentIo) -> Result<(), AgentError> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(request.turn.clone());
        let script = (self.author)(&request);
        for step in script.steps {
            match step {
                Step::Emit(event) => io.emit(event),
                Step::Call(call) => drop(io.call(call).await),
                Step::Pause => {
                    self.reached.add_permits(1);
                    take_one(&self.resumed).await;
                }
            }
        }
        script.outcome
    }
}

/// Gives the same agent, whatever was chosen.
#[derive(Clone)]
pub struct FixedAgent(pub OpenAgent);

impl FixedAgent {
    /// Gives this one, which works on its own.
    #[must_use]
    pub fn runner(runner: Arc<dyn AgentRunner>) -> Self {
        Self(OpenAgent::Runner(runner))
    }

    /// Gives this model.
    #[must_use]
    pub fn model(model: Arc<dyn ChatModel>) -> Self {
        Self(OpenAgent::Model(model))
    }
}

impl Agents for FixedAgent {
    fn open(&self, _choice: &AgentChoice) -> Result<OpenAgent, AgentError> {
        Ok(self.0.clone())
    }
}
