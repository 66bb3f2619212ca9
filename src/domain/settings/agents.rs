//! What settings and configuration say of the agents: who answers, how, and what each of them lacks.

use super::Stored;
use super::members;
use crate::domain::agent::choice::{AgentChoice, AgentKind, AgentSettings, BaseUrl, TurnRules};
use crate::domain::agent::tools::{Allowance, Pattern, ToolAccess};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The settings of an agent whose model is behind an address.
#[derive(Debug, Clone, Copy)]
pub struct Remote {
    /// Which agent.
    pub kind: AgentKind,
    /// The setting with the address.
    pub base_url: &'static str,
    /// The setting with the model.
    pub model: &'static str,
    /// The setting with the key. It is sent to that address and to no other.
    pub api_key: &'static str,
}

/// All of them.
pub const REMOTES: [Remote; 2] = [
    Remote {
        kind: AgentKind::OpenAiCompatible,
        base_url: "openai_compatible_base_url",
        model: "openai_compatible_model",
        api_key: "openai_compatible_api_key",
    },
    Remote {
        kind: AgentKind::Anthropic,
        base_url: "anthropic_base_url",
        model: "anthropic_model",
        api_key: "anthropic_api_key",
    },
];

impl Remote {
    /// Of that agent. `None` if it has no address.
    #[must_use]
    pub fn of(kind: AgentKind) -> Option<&'static Self> {
        REMOTES.iter().find(|remote| remote.kind == kind)
    }

    /// The address that its key is sent to, if `given` is the address that somebody gave.
    #[must_use]
    pub fn address(&self, given: Option<&BaseUrl>) -> String {
        given.map_or_else(|| self.kind.default_base_url().unwrap_or_default().to_owned(), |url| url.as_str().to_owned())
    }

    /// The address that somebody gave: by a setting, else by configuration.
    #[must_use]
    pub fn base_url(&self, stored: &Stored, configured: &AgentSettings) -> Option<BaseUrl> {
        let text = stored.plain(self.base_url).and_then(Value::as_str);
        let by_setting = text.and_then(|text| BaseUrl::parse(text).ok());
        by_setting.or_else(|| self.configured(configured)?.base_url.clone())
    }

    fn configured<'a>(&self, configured: &'a AgentSettings) -> Option<&'a AgentChoice> {
        Some(&configured.choice).filter(|choice| choice.kind == self.kind)
    }

    fn model(&self, stored: &Stored, configured: &AgentSettings) -> String {
        let by_setting = stored.plain(self.model).and_then(Value::as_str).map(str::trim);
        let given = |model: &&str| !model.is_empty();
        let configured = || self.configured(configured).map(|choice| choice.model.as_str());
        if let Some(model) = by_setting.filter(given).or_else(|| configured().filter(given)) {
            return model.to_owned();
        }
        let default = members::find(self.model).map(members::Member::default);
        default.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// The key that opens the address in force. One that was given for another address is not for this one.
    fn api_key(&self, stored: &Stored, configured: &AgentSettings) -> Option<SecretString> {
        let address = self.address(self.base_url(stored, configured).as_ref());
        if let Some((key, for_address)) = stored.secret(self.api_key) {
            return (for_address == Some(address.as_str())).then(|| key.clone());
        }
        let choice = self.configured(configured)?;
        let is_there = self.address(choice.base_url.as_ref()) == address;
        choice.api_key.clone().filter(|_| is_there)
    }
}

/// What holds for the next turn.
#[must_use]
pub fn agent_settings(stored: &Stored, configured: &AgentSettings) -> AgentSettings {
    let chosen = stored.plain("agent_backend").and_then(Value::as_str).and_then(AgentKind::parse);
    AgentSettings {
        choice: choice_of(chosen.unwrap_or(configured.choice.kind), stored, configured),
        rules: rules(stored, &configured.rules),
    }
}

/// What an agent is told, whether it is the one that answers or not.
#[must_use]
pub fn choice_of(kind: AgentKind, stored: &Stored, configured: &AgentSettings) -> AgentChoice {
    let max_tokens = stored.plain("openai_compatible_max_tokens").and_then(Value::as_u64);
    // Zero is how clients say that nobody said anything.
    let max_tokens = max_tokens.and_then(|most| u32::try_from(most).ok()).filter(|most| *most > 0);
    let max_tokens = max_tokens.filter(|_| kind == AgentKind::OpenAiCompatible);
    let remote = Remote::of(kind);
    AgentChoice {
        kind,
        model: remote.map(|remote| remote.model(stored, configured)).unwrap_or_default(),
        base_url: remote.and_then(|remote| remote.base_url(stored, configured)),
        api_key: remote.and_then(|remote| remote.api_key(stored, configured)),
        command: if kind == AgentKind::Command { configured.choice.command.clone() } else { Vec::new() },
        max_output_tokens: max_tokens.unwrap_or(configured.choice.max_output_tokens),
    }
}

fn rules(stored: &Stored, configured: &TurnRules) -> TurnRules {
    let text = |name| stored.plain(name).and_then(Value::as_str);
    let number = |name| stored.plain(name).and_then(Value::as_u64);
    let allowance = |name, configured: &Allowance| {
        text(name).and_then(|text| Allowance::parse(text).ok()).unwrap_or_else(|| configured.clone())
    };
    let patterns = |name, configured: &[Pattern]| {
        let list = stored.plain(name).and_then(Value::as_array);
        list.map_or_else(
            || configured.to_vec(),
            |list| list.iter().filter_map(|it| Pattern::parse(it.as_str()?)).collect(),
        )
    };
    let access = &configured.access;
    TurnRules {
        system_prompt: text("system_prompt")
            .filter(|text| !text.trim().is_empty())
            .map_or_else(|| configured.system_prompt.clone(), str::to_owned),
        context_tokens: number("agent_context_tokens")
            .and_then(|tokens| usize::try_from(tokens).ok())
            .unwrap_or(configured.context_tokens),
        max_rounds: number("agent_max_rounds")
            .and_then(|rounds| u32::try_from(rounds).ok())
            .unwrap_or(configured.max_rounds),
        turn_limit: number("agent_turn_seconds").map_or(configured.turn_limit, Duration::from_secs),
        access: ToolAccess {
            owner: allowance("tools_owner", &access.owner),
            client: allowance("tools_clients", &access.client),
            webhook: allowance("tools_webhooks", &access.webhook),
            channel: allowance("tools_channels", &access.channel),
            allowed: patterns("tools_allow", &access.allowed),
            denied: patterns("tools_deny", &access.denied),
        },
        plan_mode: stored.plain("plan_mode").and_then(Value::as_bool).unwrap_or(configured.plan_mode),
    }
}

/// What the settings that matter to the agents are, as they are shown: see [`super::members`] for their names.
#[must_use]
pub fn shown(stored: &Stored, configured: &AgentSettings) -> Map<String, Value> {
    let settings = agent_settings(stored, configured);
    let TurnRules { system_prompt, context_tokens, max_rounds, turn_limit, access, plan_mode } = &settings.rules;
    let texts = |patterns: &[Pattern]| patterns.iter().map(|it| Value::from(it.as_str())).collect::<Vec<_>>();
    let mut shown = Map::new();
    let mut show = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
    show("agent_backend", settings.choice.kind.as_str().into());
    // Arguments may be secrets.
    show("agent_command", configured.choice.command.first().map_or("", String::as_str).into());
    show("system_prompt", system_prompt.as_str().into());
    show("agent_context_tokens", json!(context_tokens));
    show("agent_max_rounds", json!(max_rounds));
    show("agent_turn_seconds", json!(turn_limit.as_secs()));
    show("tools_owner", access.owner.to_text().into());
    show("tools_clients", access.client.to_text().into());
    show("tools_webhooks", access.webhook.to_text().into());
    show("tools_channels", access.channel.to_text().into());
    show("tools_allow", texts(&access.allowed).into());
    show("tools_deny", texts(&access.denied).into());
    show("plan_mode", (*plan_mode).into());
    for remote in REMOTES {
        let url = remote.base_url(stored, configured);
        show(remote.base_url, url.as_ref().map_or("", BaseUrl::as_str).into());
        show(remote.model, remote.model(stored, configured).into());
    }
    shown
}

/// What an agent lacks to answer, in words for the user.
#[must_use]
pub fn lacks(choice: &AgentChoice) -> Vec<String> {
    let has_key = choice.api_key.as_ref().is_some_and(|key| !key.expose_secret().is_empty());
    let mut lacks = Vec::new();
    match choice.kind {
        AgentKind::Command if choice.command.is_empty() => lacks.push(
            "a command: start the server with --agent-command, or the environment variable PAWPORT_AGENT_COMMAND"
                .to_owned(),
        ),
        AgentKind::Builtin | AgentKind::Command => {}
        AgentKind::OpenAiCompatible | AgentKind::Anthropic => {
            let Some(remote) = Remote::of(choice.kind) else { return lacks };
            if choice.model.is_empty() {
                lacks.push(format!("a model: set {}", remote.model));
            }
            // Local models need none; who does says so when it is asked.
            if choice.kind == AgentKind::Anthropic && !has_key {
                lacks.push(format!("a key: set {}", remote.api_key));
            }
        }
    }
    lacks
}
