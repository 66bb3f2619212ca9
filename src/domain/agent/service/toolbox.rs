//! The tools of one turn: which there are, and running them within limits, noted and audited.

use super::running::Told;
use super::{Agent, QUESTION_LIMIT, StatusBoard};
use crate::domain::agent::choice::TurnRules;
use crate::domain::agent::model::{Delta, MAX_ARGUMENTS, TokenUsage, ToolCall, ToolOffer, ToolOutcome};
use crate::domain::agent::tools::{ASK_USER, offered_name};
use crate::domain::agent::transcript::{Transcript, cut};
use crate::domain::agent::{AgentEvent, Origin, Question, Turn};
use crate::domain::audit::Happening;
use crate::domain::auth::{CredentialKind, Principal};
use crate::domain::mcp::status::McpState;
use crate::domain::mcp::tool::ToolResult;
use crate::domain::memory::service::{NewMemory, NotRemembered, Remembered};
use crate::domain::memory::tools::{self as memory_tools, FORGET, RECALL, RECALLED, REMEMBER};
use crate::domain::memory::{Author, MemoryText, Owner, Owners, Source, Tags};
use crate::domain::text::{fold, head};
use crate::ports::agent::{AgentIo, ModelOutput};
use async_trait::async_trait;
use futures_util::future::{Either, select};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many calls are made within a turn.
const MAX_CALLS: usize = 200;

/// How much of a question or an option is shown, in characters.
const QUESTION_CHARS: usize = 2000;

/// How much of the arguments of a call a plan shows, in characters. What is left out is counted.
const PLANNED_CHARS: usize = 1000;

/// How many options a question has.
const MAX_OPTIONS: usize = 20;

/// Where a tool is.
#[derive(Debug, Clone)]
struct Target {
    server: String,
    tool: String,
}

/// The tools of connected servers that a turn of an origin may use.
pub struct Toolset {
    /// As a model sees them, by name.
    pub offers: Arc<[ToolOffer]>,
    targets: BTreeMap<String, Target>,
}

impl Agent {
    /// The tools that a turn of `origin` may use now.
    pub(super) fn toolset(&self, origin: Origin, rules: &TurnRules) -> Toolset {
        let mut taken: BTreeSet<String> = BTreeSet::new();
        let mut offers = Vec::new();
        let mut targets = BTreeMap::new();
        if origin.can_be_asked() && rules.access.allows(origin, &ask_user()) {
            offers.push(ask_user());
        }
        for offer in memory_tools::offers() {
            taken.insert(offer.name.clone());
            // What is remembered is private: reading it is more than a tool that changes nothing.
            let asked = ToolOffer { read_only: offer.read_only && origin == Origin::Owner, ..offer.clone() };
            if rules.access.allows(origin, &asked) {
                offers.push(offer);
            }
        }
        for status in self.mcp.statuses() {
            if status.state != McpState::Connected {
                continue;
            }
            for tool in status.tools.iter() {
                let name = offered_name(status.name.as_str(), &tool.name, &taken);
                taken.insert(name.clone());
                let offer = ToolOffer {
                    name: name.clone(),
                    description: tool.description.clone(),
                    schema: tool.schema.clone(),
                    read_only: tool.read_only,
                };
                if rules.access.allows(origin, &offer) {
                    targets.insert(name, Target { server: status.name.as_str().to_owned(), tool: tool.name.clone() });
                    offers.push(offer);
                }
            }
        }
        Toolset { offers: offers.into(), targets }
    }
}

fn ask_user() -> ToolOffer {
    let schema = json!({
        "type": "object",
        "properties": {
            "question": { "type": "string", "description": "What you want to know" },
            "options": { "type": "array", "items": { "type": "string" }, "description": "Answers to choose from" },
        },
        "required": ["question"],
    });
    ToolOffer {
        name: ASK_USER.to_owned(),
        description: "Asks the user a question and waits for the answer. Only for what you cannot find out yourself."
            .to_owned(),
        schema: schema.as_object().cloned().unwrap_or_default(),
        read_only: true,
    }
}

/// One turn at work: takes what its agent reports, and runs its tools.
pub struct TurnIo<'a> {
    pub agent: &'a Agent,
    pub turn: &'a Turn,
    pub toolset: Toolset,
    pub rules: &'a TurnRules,
    pub transcript: Mutex<Transcript>,
    pub usage: Mutex<TokenUsage>,
    /// The id of the call that runs: there is one at a time.
    pub begun: Mutex<Option<String>>,
}

impl TurnIo<'_> {
    fn board(&self) -> &StatusBoard {
        &self.agent.board
    }

    /// What was done until now.
    pub fn transcript(&self) -> Transcript {
        self.transcript.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Transcript) -> T) -> T {
        change(&mut self.transcript.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Stores how far the turn has come. False if it is not ours any more, or the storage failed: then nothing more should
    /// be done that cannot be undone.
    async fn checkpoint(&self) -> bool {
        let progress = self.transcript().to_json().to_string();
        match self.agent.turns.checkpoint(&self.turn.id, &progress).await {
            Ok(ours) => ours,
            Err(error) => {
                tracing::error!(turn.id = %self.turn.id, error = &error as &dyn std::error::Error, "how far a turn has come could not be stored");
                false
            }
        }
    }

    /// Runs calls that belong together, one after the other, after the user has approved them if that is wanted. Gives what
    /// came of each.
    pub async fn call_all(&self, calls: Vec<ToolCall>) -> Vec<ToolOutcome> {
        for call in &calls {
            self.change(|transcript| transcript.call(call.clone()));
        }
        let stored = self.checkpoint().await;
        let refusal = match stored {
            true => self.approve(&calls).await.err(),
            false => Some("The call was not made, because the server could not store that it is made.".to_owned()),
        };
        let mut outcomes = Vec::with_capacity(calls.len());
        for call in calls {
            outcomes.push(self.run(call, refusal.clone()).await);
        }
        // Whoever takes the turn up again must not make them again.
        self.checkpoint().await;
        outcomes
    }

    /// Whether there were so many calls that the turn has to end.
    pub fn is_exhausted(&self) -> bool {
        self.change(|transcript| transcript.call_count()) > MAX_CALLS
    }

    /// Ends the calls that had no end when the turn was ended: those that were running, and those that were still to come.
    pub async fn cut_off(&self) {
        let begun = std::mem::take(&mut *self.begun());
        for call in self.change(|transcript| transcript.open_calls()) {
            let is_begun = begun.as_ref() == Some(&call.id);
            let content = if is_begun { "The turn was ended during this call." } else { "The turn was ended before." };
            let outcome = ToolOutcome { id: call.id, name: call.name, content: content.to_owned(), is_error: true };
            self.change(|transcript| transcript.end(outcome.clone()));
            if !is_begun {
                continue;
            }
            if let Some(target) = self.toolset.targets.get(&outcome.name) {
                self.note_end(target, true, 0).await;
            }
            if outcome.name != ASK_USER {
                self.board().report(self.turn, AgentEvent::ToolFinished(outcome));
            }
        }
    }

    fn begun(&self) -> MutexGuard<'_, Option<String>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(&self, call: ToolCall, refusal: Option<String>) -> ToolOutcome {
        let asks = call.name == ASK_USER;
        *self.begun() = Some(call.id.clone());
        if !asks {
            self.board().report(self.turn, AgentEvent::ToolStarted(call.clone()));
        }
        let result = match refusal {
            Some(refusal) => Err(refusal),
            None => self.execute(&call).await,
        };
        let is_error = result.is_err();
        let content = result.unwrap_or_else(|error| error);
        let content = cut(&content, Transcript::MAX_RESULT).unwrap_or(content);
        let outcome = ToolOutcome { id: call.id, name: call.name, content, is_error };
        self.change(|transcript| transcript.end(outcome.clone()));
        *self.begun() = None;
        if !asks {
            self.board().report(self.turn, AgentEvent::ToolFinished(outcome.clone()));
        }
        outcome
    }

    async fn execute(&self, call: &ToolCall) -> Result<String, String> {
        if self.is_exhausted() {
            return Err(too_many_calls());
        }
        let arguments = arguments_of(call)?;
        let is_offered = self.toolset.offers.iter().any(|offer| offer.name == call.name);
        if call.name == ASK_USER && is_offered {
            return self.ask_user(&arguments).await;
        }
        if is_offered && matches!(call.name.as_str(), REMEMBER | RECALL | FORGET) {
            return self.use_memory(&call.name, &arguments).await;
        }
        let Some(target) = self.toolset.targets.get(&call.name) else {
            let names: Vec<&str> = self.toolset.offers.iter().map(|offer| offer.name.as_str()).collect();
            return Err(format!("There is no tool {:?} here. There are: {}", head(&call.name, 100), names.join(", ")));
        };
        self.call_server(target, arguments).await
    }

    async fn use_memory(&self, tool: &str, arguments: &Map<String, Value>) -> Result<String, String> {
        let memories = &self.agent.memories;
        let principal = Principal::without_grant(CredentialKind::Agent, self.turn.id.as_str());
        let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
        match tool {
            REMEMBER => {
                let fact = MemoryText::parse(text("fact")).map_err(|why| format!("fact {why}"))?;
                let tags = arguments.get("tags").and_then(Value::as_array).into_iter().flatten();
                let new = NewMemory {
                    owner: Owner::me(),
                    text: fact,
                    tags: Tags::parse(tags.filter_map(Value::as_str))?,
                    source: Source::said(Author::Agent, self.turn.session.as_str(), &self.turn.message.id),
                };
                let remembered = memories.remember_once(&principal, new, None).await.map_err(|why| not_done(&why))?;
                Ok(match remembered {
                    Remembered::New(memory) => format!("Remembered as {}.", memory.id),
                    Remembered::Updated(memory) => format!("{} says this now, instead of what it said.", memory.id),
                    Remembered::Known(memory) => format!("That is remembered already, as {}.", memory.id),
                })
            }
            RECALL => {
                let owners = Owners::SeenBy(Owner::me());
                let found = memories.recall(text("query"), &owners, RECALLED).await;
                let found = found.map_err(|error| not_done(&NotRemembered::Store(error)))?;
                Ok(if found.is_empty() { "Nothing was found.".to_owned() } else { memory_tools::listed(&found) })
            }
            _ => {
                let id = memory_tools::named(text("id")).ok_or("id must be one that recall gives")?;
                let removed = memories.remove(&principal, &id).await;
                match removed.map_err(|error| not_done(&NotRemembered::Store(error)))? {
                    true => Ok("Forgotten.".to_owned()),
                    false => Err("Nothing is remembered under that id. Ask recall for the ids.".to_owned()),
                }
            }
        }
    }

    async fn call_server(&self, target: &Target, arguments: Map<String, Value>) -> Result<String, String> {
        let agent = Principal::without_grant(CredentialKind::Agent, self.turn.id.as_str());
        let began = self.agent.clock.now();
        let called = self.agent.mcp.call(&agent, &target.server, &target.tool, arguments).await;
        let result = match called {
            Ok(Ok(result)) if result.is_error => Err(text_of(&result)),
            Ok(Ok(result)) => Ok(text_of(&result)),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("The call was not made, because the server could not note it in its audit log.".to_owned()),
        };
        let took = u64::try_from(self.agent.clock.now().since(began).as_millis()).unwrap_or(u64::MAX);
        self.note_end(target, result.is_err(), took).await;
        result
    }

    /// Notes in the audit log how a call ended.
    async fn note_end(&self, target: &Target, failed: bool, took: u64) {
        let agent = Principal::without_grant(CredentialKind::Agent, self.turn.id.as_str());
        let happening = match failed {
            false => Happening::success(&agent, "mcp_tool_finished", &target.server),
            true => Happening::failed(&agent, "mcp_tool_finished", &target.server),
        };
        let happening = happening
            .with("tool", target.tool.as_str())
            .with("session", self.turn.session.as_str())
            .with("origin", self.turn.origin.as_str())
            .with("milliseconds", took);
        if let Err(error) = self.agent.audit.record(happening).await {
            tracing::error!(error = &error as &dyn std::error::Error, "how a call ended is not in the audit log");
        }
    }

    async fn ask_user(&self, arguments: &Map<String, Value>) -> Result<String, String> {
        let text = arguments.get("question").and_then(Value::as_str).unwrap_or_default();
        if text.trim().is_empty() {
            return Err("The question is empty.".to_owned());
        }
        let options = arguments.get("options").and_then(Value::as_array).into_iter().flatten();
        let options = options.filter_map(Value::as_str).take(MAX_OPTIONS);
        let question = Question {
            text: head(text, QUESTION_CHARS).to_owned(),
            options: options.map(|option| head(option, QUESTION_CHARS).to_owned()).collect(),
            is_plan: false,
        };
        self.ask(question).await.map(|told| told.text).ok_or_else(|| "The user did not answer in time.".to_owned())
    }

    /// Asks the user, and waits for the answer for [`QUESTION_LIMIT`] at most.
    async fn ask(&self, question: Question) -> Option<Told> {
        let answer = self.agent.running.ask(&self.turn.id, question.clone());
        self.board().report(self.turn, AgentEvent::Asked(question));
        let answer = match select(answer, self.agent.timer.sleep(QUESTION_LIMIT)).await {
            Either::Left((answer, _)) => answer.ok(),
            Either::Right(_) => None,
        };
        self.agent.running.ask_no_more(&self.turn.id);
        self.board().report(self.turn, AgentEvent::Answered);
        answer
    }

    /// Asks the user to approve calls that may change something, if that is wanted.
    async fn approve(&self, calls: &[ToolCall]) -> Result<(), String> {
        if !self.rules.plan_mode {
            return Ok(());
        }
        let changes = |call: &&ToolCall| {
            let offer = self.toolset.offers.iter().find(|offer| offer.name == call.name);
            offer.is_some_and(|offer| !offer.read_only)
        };
        let mut text = "The agent wants to run:".to_owned();
        let mut any = false;
        for call in calls.iter().filter(changes) {
            any = true;
            // On one line, so that no call looks like several.
            let arguments: String = call.arguments.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
            let shown = head(&arguments, PLANNED_CHARS);
            let _ = write!(text, "\n- {} {shown}", call.name);
            let left_out = arguments.chars().count() - shown.chars().count();
            if left_out > 0 {
                let _ = write!(text, "… ({left_out} more characters)");
            }
        }
        if !any {
            return Ok(());
        }
        if !self.turn.origin.can_be_asked() {
            return Err("Nobody is there who could approve this call, so it was not made.".to_owned());
        }
        let options = ["Approve", "Reject"].map(str::to_owned).to_vec();
        // Every call is in it: there are at most so many in an answer, each of them short here.
        let question = Question { text, options, is_plan: true };
        let session = self.turn.session.as_str();
        match self.ask(question).await {
            Some(told) if matches!(fold(told.text.trim()).as_str(), "approve" | "approved" | "yes") => {
                let happening = Happening::success(&told.by, "plan_approved", session);
                let happening = happening.with("request_id", self.turn.id.as_str());
                let noted = self.agent.audit.record(happening).await;
                noted.map_err(|_| "The approval could not be noted in the audit log, so nothing was run.".to_owned())
            }
            Some(told) => Err(format!("The user rejected the plan: {}", head(&told.text, QUESTION_CHARS))),
            None => Err("The user did not approve the plan in time, so the call was not made.".to_owned()),
        }
    }
}

#[async_trait]
impl AgentIo for TurnIo<'_> {
    fn emit(&self, event: AgentEvent) {
        let event = match event {
            AgentEvent::Text(piece) if piece.is_empty() => return,
            AgentEvent::Text(piece) => AgentEvent::Text(self.change(|transcript| transcript.say(&piece))),
            AgentEvent::Used(usage) => {
                *self.usage.lock().unwrap_or_else(PoisonError::into_inner) += usage;
                AgentEvent::Used(usage)
            }
            other => other,
        };
        self.board().report(self.turn, event);
    }

    async fn call(&self, call: ToolCall) -> ToolOutcome {
        if self.is_exhausted() {
            // Not even noted: a program that goes on and on must not fill the memory.
            return ToolOutcome { id: call.id, name: call.name, content: too_many_calls(), is_error: true };
        }
        let (id, name) = (call.id.clone(), call.name.clone());
        let outcome = self.call_all(vec![call]).await.pop();
        // There is one for each call.
        outcome.unwrap_or_else(|| ToolOutcome { id, name, content: String::new(), is_error: true })
    }
}

impl ModelOutput for TurnIo<'_> {
    fn tell(&self, delta: Delta) {
        self.emit(match delta {
            Delta::Text(piece) => AgentEvent::Text(piece),
            Delta::Thinking(piece) => AgentEvent::Thinking(piece),
        });
    }
}

/// Why nothing was remembered, for the model.
fn not_done(why: &NotRemembered) -> String {
    if let NotRemembered::Store(error) = why {
        tracing::error!(error = error as &dyn std::error::Error, "the memory could not be used");
    }
    why.to_string()
}

fn too_many_calls() -> String {
    format!("There were more than {MAX_CALLS} calls in this turn. Answer with what you have.")
}

/// The arguments that a model wrote; it is told what is wrong with them.
fn arguments_of(call: &ToolCall) -> Result<Map<String, Value>, String> {
    if call.arguments.len() > MAX_ARGUMENTS {
        return Err(format!("The arguments have more than {MAX_ARGUMENTS} bytes."));
    }
    if call.arguments.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(&call.arguments) {
        Ok(Value::Object(arguments)) => Ok(arguments),
        Ok(_) => Err("The arguments must be a JSON object.".to_owned()),
        Err(error) => Err(format!("The arguments are not JSON: {error}. Write them again.")),
    }
}

/// What a tool gave, as text: a model that reads pictures would need them otherwise.
fn text_of(result: &ToolResult) -> String {
    let mut text = String::new();
    for block in &result.content {
        if !text.is_empty() {
            text.push('\n');
        }
        match (block["type"].as_str(), block["text"].as_str(), block["resource"]["text"].as_str()) {
            (Some("text"), Some(piece), _) | (Some("resource"), _, Some(piece)) => text.push_str(piece),
            (kind, ..) => {
                let _ = write!(text, "[{} that cannot be shown as text]", kind.unwrap_or("something"));
            }
        }
    }
    match &result.structured {
        Some(structured) if text.is_empty() => structured.to_string(),
        _ => text,
    }
}
