//! Whether the agent that was chosen would answer.

use crate::domain::agent::choice::AgentChoice;
use crate::domain::agent::model::{Delta, ModelError, ModelMessage, ModelRequest, ToolOffer};
use crate::ports::agent::{Agents, ChatModel, ModelOutput, OpenAgent};
use crate::ports::timer::Timer;
use futures_util::future::{Either, select};
use serde_json::json;
use std::time::Duration;

/// How long a model gets to answer a word. One on this machine may have to be loaded first.
const PATIENCE: Duration = Duration::from_secs(120);

/// How many tokens the answer may have.
const MAX_TOKENS: u32 = 200;

/// The tool that the model is asked to call.
const TOOL: &str = "say_ok";

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentCheck {
    /// The kind of agent.
    pub agent: &'static str,
    /// Its model; empty if it has none.
    pub model: String,
    /// What is wrong, and what to do about it. `None` if it would answer.
    pub problem: Option<String>,
    /// Whether the model called a tool when it was asked to; `None` if that was not tried, or there is no model.
    pub calls_tools: Option<bool>,
}

/// Opens the agent that was chosen and, if it is a model, asks it for a word and to call a tool. That takes some tokens.
pub async fn check(agents: &dyn Agents, timer: &dyn Timer, choice: &AgentChoice) -> AgentCheck {
    let mut checked =
        AgentCheck { agent: choice.kind.as_str(), model: choice.model.clone(), problem: None, calls_tools: None };
    match agents.open(choice) {
        Err(error) => checked.problem = Some(error.0),
        Ok(OpenAgent::Runner(_)) => {}
        Ok(OpenAgent::Model(model)) => match select(Box::pin(ask(&*model, choice)), timer.sleep(PATIENCE)).await {
            Either::Left((Ok(called), _)) => checked.calls_tools = Some(called),
            Either::Left((Err(error), _)) => checked.problem = Some(error.to_string()),
            Either::Right(_) => {
                checked.problem = Some(format!("the model did not answer within {} seconds", PATIENCE.as_secs()));
            }
        },
    }
    checked
}

/// Whether the model calls the tool. A model that refuses tools may still answer without.
async fn ask(model: &dyn ChatModel, choice: &AgentChoice) -> Result<bool, ModelError> {
    let schema = json!({ "type": "object", "properties": {} });
    let tool = ToolOffer {
        name: TOOL.to_owned(),
        description: "Says OK to the user. Call it when the user asks for it.".to_owned(),
        schema: schema.as_object().cloned().unwrap_or_default(),
        read_only: true,
    };
    let request = |text: &str, tools: Vec<ToolOffer>| ModelRequest {
        model: choice.model.clone(),
        system: String::new(),
        messages: vec![ModelMessage::User(text.to_owned())],
        tools: tools.into(),
        max_output_tokens: MAX_TOKENS.min(choice.max_output_tokens),
    };
    match model.answer(&request("Call the tool say_ok now.", vec![tool]), &Nobody).await {
        Ok(answer) => Ok(answer.calls.iter().any(|call| call.name == TOOL)),
        Err(ModelError::Refused(_)) => {
            model.answer(&request("Say OK.", Vec::new()), &Nobody).await?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Listens to nothing.
struct Nobody;

impl ModelOutput for Nobody {
    fn tell(&self, _delta: Delta) {}
}
