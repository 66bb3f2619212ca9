//! Models over HTTP, against servers that speak the protocols of providers byte by byte, and agents that are programs.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod anthropic;
mod chat_completions;
mod command;
mod failures;

use crate::support::model_server::{Answer, ModelServer};
use crate::support::soon;
use pawport::adapters::agents::{AllAgents, http_client};
use pawport::adapters::process::Processes;
use pawport::domain::agent::choice::{AgentChoice, AgentKind, BaseUrl};
use pawport::domain::agent::model::{
    Delta, ModelAnswer, ModelError, ModelMessage, ModelRequest, ToolCall, ToolOffer, ToolOutcome,
};
use pawport::ports::agent::{Agents, ChatModel, ModelOutput, OpenAgent};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

const KEY: &str = "sk-test-0123456789abcdef";

/// All agents, and where their programs are noted.
struct Lab {
    agents: AllAgents,
    folder: TempDir,
}

impl Lab {
    #[expect(clippy::disallowed_methods, reason = "programs are looked for where the tests' own are")]
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path: OsString = std::env::var_os("PATH").unwrap();
        let processes = Processes::new(folder.path().join("children"), vec![("PATH".to_owned(), path)]).unwrap();
        Self { agents: AllAgents::new(http_client().unwrap(), processes), folder }
    }
}

fn choice(kind: AgentKind, url: &str) -> AgentChoice {
    AgentChoice {
        kind,
        model: "m".to_owned(),
        base_url: Some(BaseUrl::parse(url).unwrap()),
        api_key: Some(SecretString::from(KEY)),
        ..AgentChoice::builtin()
    }
}

fn open(choice: &AgentChoice) -> Arc<dyn ChatModel> {
    open_with(&Lab::new().agents, choice)
}

fn open_with(agents: &AllAgents, choice: &AgentChoice) -> Arc<dyn ChatModel> {
    match agents.open(choice).unwrap() {
        OpenAgent::Model(model) => model,
        OpenAgent::Runner(_) => panic!("this is no model"),
    }
}

/// Keeps what a model says.
#[derive(Default)]
struct Told(Mutex<Vec<Delta>>);

impl ModelOutput for Told {
    fn tell(&self, delta: Delta) {
        self.0.lock().unwrap().push(delta);
    }
}

impl Told {
    fn text(&self) -> String {
        let deltas = self.0.lock().unwrap();
        deltas.iter().filter_map(|it| if let Delta::Text(piece) = it { Some(piece.as_str()) } else { None }).collect()
    }

    fn thoughts(&self) -> String {
        let deltas = self.0.lock().unwrap();
        deltas
            .iter()
            .filter_map(|it| if let Delta::Thinking(piece) = it { Some(piece.as_str()) } else { None })
            .collect()
    }

    fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}

/// What came of asking once. What every failure must keep to is checked here.
async fn ask(model: &dyn ChatModel, request: &ModelRequest) -> (Result<ModelAnswer, ModelError>, Told) {
    let told = Told::default();
    let result = soon(model.answer(request, &told)).await;
    match &result {
        Ok(answer) => assert_eq!(answer.text, told.text()),
        Err(error) => {
            assert!(!format!("{error} {error:?}").contains(KEY), "the key is in {error}");
            assert!(!error.to_string().contains(char::is_control), "{error:?}");
            assert!(!error.may_pass() || told.is_empty(), "{error:?} after something was told");
        }
    }
    (result, told)
}

/// Asks a provider of that kind that answers so.
async fn ask_kind(kind: AgentKind, answer: Answer) -> (Result<ModelAnswer, ModelError>, Told) {
    let server = ModelServer::start([answer]).await;
    let url = if kind == AgentKind::Anthropic { server.origin() } else { server.base_url() };
    ask(&*open(&choice(kind, &url)), &question()).await
}

/// A question without tools.
fn question() -> ModelRequest {
    ModelRequest {
        model: "m".to_owned(),
        system: "Be brief.".to_owned(),
        messages: vec![ModelMessage::User("Hi".to_owned())],
        tools: Arc::new([]),
        max_output_tokens: 100,
    }
}

/// A conversation in the middle of a turn, in which one call went wrong.
fn conversation() -> ModelRequest {
    let call = |id: &str, arguments: &str| ToolCall {
        id: id.to_owned(),
        name: "mcp_home__lamp".to_owned(),
        arguments: arguments.to_owned(),
    };
    let outcome = |id: &str, content: &str, is_error| ToolOutcome {
        id: id.to_owned(),
        name: "mcp_home__lamp".to_owned(),
        content: content.to_owned(),
        is_error,
    };
    let tool = ToolOffer {
        name: "mcp_home__lamp".to_owned(),
        description: "Switches a lamp".to_owned(),
        schema: json!({ "properties": { "on": { "type": "boolean" } } }).as_object().cloned().unwrap(),
        read_only: false,
    };
    ModelRequest {
        messages: vec![
            ModelMessage::User("Light!".to_owned()),
            ModelMessage::Assistant {
                text: String::new(),
                calls: vec![call("call_0", "{\"on\":true}"), call("call_1", "{\"on\":")],
            },
            ModelMessage::ToolResults(vec![outcome("call_0", "on", false), outcome("call_1", "no JSON", true)]),
            ModelMessage::Assistant { text: "It is on.".to_owned(), calls: Vec::new() },
            ModelMessage::User("Thanks".to_owned()),
        ],
        tools: Arc::new([tool]),
        ..question()
    }
}

fn refused(result: Result<ModelAnswer, ModelError>) -> String {
    match result {
        Err(ModelError::Refused(message)) => message,
        other => panic!("not refused: {other:?}"),
    }
}

fn is_unreachable(result: &Result<ModelAnswer, ModelError>) -> bool {
    matches!(result, Err(ModelError::Unreachable { .. }))
}
