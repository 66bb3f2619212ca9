//! Who can answer.

mod answer;
pub mod anthropic;
pub mod builtin;
pub mod command;
mod http;
pub mod openai_compatible;
mod stream;

use crate::adapters::process::Processes;
use crate::domain::agent::choice::{AgentChoice, AgentKind};
use crate::ports::agent::{AgentError, Agents, OpenAgent};
use anthropic::Anthropic;
use builtin::BuiltinAgent;
use command::CommandAgent;
use openai_compatible::{Forms, OpenAiCompatible};
use reqwest::Client;
use reqwest::redirect::Policy;
use std::sync::Arc;
use std::time::Duration;

/// How long finding out that nobody is there may take.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a connection may be silent before the other side is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// The client of all model providers. It has no time limit for answers, since a model may think for long; those who read
/// them have. It follows no redirect, since the key is for the configured address alone.
///
/// # Errors
/// If the system gives no random numbers, or TLS cannot be set up.
pub fn http_client() -> reqwest::Result<Client> {
    Client::builder()
        .user_agent(concat!("pawport/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .tcp_keepalive(KEEPALIVE)
        .redirect(Policy::none())
        .build()
}

/// Makes agents of every kind. Clones share what was learned about providers.
#[derive(Debug, Clone)]
pub struct AllAgents {
    http: Client,
    forms: Arc<Forms>,
    processes: Processes,
}

impl AllAgents {
    /// `http` is as [`http_client`] makes it: it must not follow redirects.
    #[must_use]
    pub fn new(http: Client, processes: Processes) -> Self {
        Self { http, forms: Arc::default(), processes }
    }
}

impl Agents for AllAgents {
    fn open(&self, choice: &AgentChoice) -> Result<OpenAgent, AgentError> {
        match choice.kind {
            AgentKind::Builtin => Ok(OpenAgent::Runner(Arc::new(BuiltinAgent))),
            AgentKind::OpenAiCompatible => {
                let model = OpenAiCompatible::new(self.http.clone(), choice, Arc::clone(&self.forms));
                model.map(|model| OpenAgent::Model(Arc::new(model)))
            }
            AgentKind::Anthropic => {
                Anthropic::new(self.http.clone(), choice).map(|model| OpenAgent::Model(Arc::new(model)))
            }
            AgentKind::Command => {
                CommandAgent::new(self.processes.clone(), choice).map(|agent| OpenAgent::Runner(Arc::new(agent)))
            }
        }
    }
}
