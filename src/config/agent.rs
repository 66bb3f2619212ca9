//! Who answers, as far as configuration says.

use super::keys::{self, Key};
use super::{ConfigError, Given, values};
use crate::domain::agent::choice::{AgentKind, AgentSettings, BaseUrl};
use secrecy::SecretString;

/// Who answers. What is not given is for the settings to say, and else has its default.
#[derive(Clone, Default)]
pub struct AgentConfig {
    /// The kind of agent.
    pub kind: Option<AgentKind>,
    /// Its model, for a kind that has one.
    pub model: Option<String>,
    /// Where the model is.
    pub base_url: Option<BaseUrl>,
    /// What opens it.
    pub api_key: Option<SecretString>,
    /// Program and arguments of [`AgentKind::Command`]; empty if there are none.
    pub command: Vec<String>,
    /// How the agent is to behave.
    pub system_prompt: Option<String>,
}

impl std::fmt::Debug for AgentConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Arguments may be secrets.
        formatter
            .debug_struct("AgentConfig")
            .field("kind", &self.kind)
            .field("model", &self.model)
            .field("base_url", &self.base_url)
            .field("api_key", &self.api_key)
            .field("command", &self.command.first())
            .finish_non_exhaustive()
    }
}

impl AgentConfig {
    /// Takes what is given. The files are only noted.
    pub(super) fn resolve(given: &mut Given<'_>) -> Result<Self, ConfigError> {
        let agent = Self {
            kind: given.optional(&keys::AGENT, AgentKind::parse)?,
            model: given.optional(&keys::MODEL, values::model)?,
            base_url: given.optional(&keys::MODEL_BASE_URL, |text| BaseUrl::parse(text).ok())?,
            api_key: given.secret(&keys::MODEL_API_KEY, &keys::MODEL_API_KEY_FILE, values::provider_key)?,
            command: given.optional(&keys::AGENT_COMMAND, values::command)?.unwrap_or_default(),
            system_prompt: None,
        };
        given.optional(&keys::SYSTEM_PROMPT_FILE, values::path)?;
        if let Some(url) = &agent.base_url {
            given.show_as(&keys::MODEL_BASE_URL, url.as_str().to_owned());
        }
        agent.check(given)?;
        Ok(agent)
    }

    /// Whether the parts fit each other. Better now than with the first message.
    fn check(&self, given: &Given<'_>) -> Result<(), ConfigError> {
        let from = |key: &Key| given.find(key).map(|(_, source)| format!(" (from {source})")).unwrap_or_default();
        let lacks = |missing: &Key| {
            let (kind, variable) = (self.kind.map_or("", AgentKind::as_str), missing.variable);
            let agent = from(&keys::AGENT);
            let flag = missing.flag.map(|flag| format!("--{flag} or ")).unwrap_or_default();
            ConfigError(format!("agent {kind}{agent} needs {}: give {flag}{variable}", missing.name))
        };
        match self.kind {
            Some(AgentKind::OpenAiCompatible) if self.model.is_none() => Err(lacks(&keys::MODEL)),
            Some(AgentKind::Command) if self.command.is_empty() => Err(lacks(&keys::AGENT_COMMAND)),
            Some(AgentKind::OpenAiCompatible | AgentKind::Anthropic) => Ok(()),
            None | Some(AgentKind::Builtin | AgentKind::Command) => {
                let of_a_model = [&keys::MODEL, &keys::MODEL_BASE_URL, &keys::MODEL_API_KEY, &keys::MODEL_API_KEY_FILE];
                match of_a_model.into_iter().find(|key| given.find(key).is_some()) {
                    None => Ok(()),
                    Some(key) => Err(ConfigError(format!(
                        "{}{} is given, but no agent that has a model: set agent to openai_compatible or anthropic",
                        key.name,
                        from(key)
                    ))),
                }
            }
        }
    }

    /// What holds unless the settings say otherwise.
    #[must_use]
    pub fn settings(&self) -> AgentSettings {
        let mut settings = AgentSettings::builtin();
        settings.choice.kind = self.kind.unwrap_or(AgentKind::Builtin);
        settings.choice.model = self.model.clone().unwrap_or_default();
        settings.choice.base_url.clone_from(&self.base_url);
        settings.choice.api_key.clone_from(&self.api_key);
        // Also if another agent is configured: the settings may choose this one.
        settings.choice.command.clone_from(&self.command);
        if let Some(prompt) = &self.system_prompt {
            settings.rules.system_prompt.clone_from(prompt);
        }
        settings
    }
}

#[cfg(test)]
mod tests;
