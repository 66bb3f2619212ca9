//! Reading and changing settings.

use super::agents::{self, Remote};
use super::memory::{self, MemorySettings};
use super::rules::{self, Refused, Situation};
use super::{Stored, members};
use crate::domain::agent::choice::{AgentChoice, AgentKind, AgentSettings, BaseUrl};
use crate::domain::audit::Happening;
use crate::domain::audit::service::Audit;
use crate::domain::auth::Principal;
use crate::domain::auth::scope::Scope;
use crate::domain::event::Event;
use crate::ports::agent::{AgentError, Agents, OpenAgent};
use crate::ports::events::EventBus;
use crate::ports::settings::SettingsStore;
use crate::ports::store::StoreError;
use serde_json::{Map, Value};
use std::sync::{Arc, PoisonError, RwLock};
use thiserror::Error;
use url::Url;

/// Why nothing was changed.
#[derive(Debug, Error)]
pub enum ChangeRefused {
    /// It is not allowed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// What whoever changed it should know, in sentences.
    pub warnings: Vec<String>,
}

/// One of the agents there are.
#[derive(Debug, Clone)]
pub struct AgentOffer {
    /// Which one.
    pub kind: AgentKind,
    /// Whether it answers.
    pub is_active: bool,
    /// What it lacks to answer, in words for the user.
    pub lacks: Vec<String>,
}

/// Why nobody knows which models there are.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoModels {
    /// The address is none, or is neither this machine nor where the chosen model is.
    #[error(
        "Input should be an address on this machine, such as http://localhost:11434, or that of openai_compatible_base_url"
    )]
    Host,
    /// Nobody answered there.
    #[error("{0}")]
    Failed(String),
}

/// What settings are made of.
pub struct SettingsParts {
    /// What configuration says of the agent.
    pub configured: AgentSettings,
    /// What configuration says of the server, by the names of settings.
    pub server: Map<String, Value>,
    /// Where they are kept.
    pub store: Arc<dyn SettingsStore>,
    /// Who can answer.
    pub agents: Arc<dyn Agents>,
    /// Who is told.
    pub events: Arc<dyn EventBus>,
    /// Where it is noted.
    pub audit: Arc<Audit>,
}

/// What is needed to change them.
struct Keeping {
    store: Arc<dyn SettingsStore>,
    agents: Arc<dyn Agents>,
    events: Arc<dyn EventBus>,
    audit: Arc<Audit>,
}

/// What is set, and what follows from it.
struct Current {
    stored: Stored,
    agent: Arc<AgentSettings>,
    memory: Arc<MemorySettings>,
}

impl Current {
    fn of(stored: Stored, configured: &AgentSettings) -> Self {
        let agent = Arc::new(agents::agent_settings(&stored, configured));
        let memory = Arc::new(memory::memory_settings(&stored, configured));
        Self { stored, agent, memory }
    }
}

/// The settings.
pub struct Settings {
    configured: AgentSettings,
    server: Map<String, Value>,
    keeping: Option<Keeping>,
    current: RwLock<Arc<Current>>,
    /// Held while a change is made: what it is held against must still be so when it is stored.
    turn: futures_util::lock::Mutex<()>,
}

impl Settings {
    /// Settings that say what is configured, and that nobody can change.
    #[must_use]
    pub fn new(configured: AgentSettings) -> Self {
        Self::with(configured, Map::new(), None)
    }

    /// Settings over a store. They say what is configured until they are [loaded](Self::load).
    #[must_use]
    pub fn over(parts: SettingsParts) -> Self {
        let SettingsParts { configured, server, store, agents, events, audit } = parts;
        Self::with(configured, server, Some(Keeping { store, agents, events, audit }))
    }

    fn with(configured: AgentSettings, server: Map<String, Value>, keeping: Option<Keeping>) -> Self {
        let current = RwLock::new(Arc::new(Current::of(Stored::default(), &configured)));
        Self { configured, server, keeping, current, turn: futures_util::lock::Mutex::new(()) }
    }

    /// Reads what is set. To be called once before anything is answered.
    ///
    /// # Errors
    /// As the store's.
    pub async fn load(&self) -> Result<(), StoreError> {
        if let Some(keeping) = &self.keeping {
            self.take(Stored::of(keeping.store.all().await?));
        }
        Ok(())
    }

    fn take(&self, stored: Stored) {
        let current = Arc::new(Current::of(stored, &self.configured));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What holds for the next turn. Quick.
    #[must_use]
    pub fn agent(&self) -> Arc<AgentSettings> {
        Arc::clone(&self.current().agent)
    }

    /// What holds for memory. Quick.
    #[must_use]
    pub fn memory(&self) -> Arc<MemorySettings> {
        Arc::clone(&self.current().memory)
    }

    /// All settings that are no secrets, by name, with their defaults. The list of webhook slots is empty: they are kept
    /// elsewhere.
    #[must_use]
    pub fn view(&self) -> Map<String, Value> {
        rules::view(&self.current().stored, &self.configured, &self.server)
    }

    /// Whether there is a secret of that name: one that was set, or one of the configured agent.
    #[must_use]
    pub fn has_secret(&self, name: &str) -> bool {
        let current = self.current();
        let choice = agents::REMOTES
            .iter()
            .find(|remote| remote.api_key == name)
            .map(|remote| agents::choice_of(remote.kind, &current.stored, &self.configured));
        choice.map_or_else(|| current.stored.secret(name).is_some(), |choice| choice.api_key.is_some())
    }

    /// Every kind of agent, and what it lacks.
    #[must_use]
    pub fn agents(&self) -> Vec<AgentOffer> {
        let current = self.current();
        let offer = |kind| AgentOffer {
            kind,
            is_active: current.agent.choice.kind == kind,
            lacks: agents::lacks(&agents::choice_of(kind, &current.stored, &self.configured)),
        };
        AgentKind::ALL.map(offer).into()
    }

    /// Changes settings, all of those that are named or none; null means the default. Holds from the next turn on. Changes
    /// come one after the other. Should be run to its end even if nobody waits for it any more: what is stored holds only
    /// after the end, or after the next change.
    ///
    /// # Errors
    /// [`ChangeRefused`]; nothing was changed then.
    pub async fn change(&self, principal: &Principal, wanted: &Map<String, Value>) -> Result<Changed, ChangeRefused> {
        let Some(keeping) = &self.keeping else {
            return Err(Refused::Protected(wanted.keys().cloned().collect()).into());
        };
        let _turn = self.turn.lock().await;
        let stored = Stored::of(keeping.store.all().await?);
        let situation = Situation {
            stored: &stored,
            configured: &self.configured,
            server: &self.server,
            is_admin: principal.grant.scopes.allows(Scope::Admin),
        };
        let planned = rules::plan(wanted, &situation)?;
        if !planned.changes.is_empty() {
            let names: Vec<&str> = planned.changes.iter().map(|change| change.name.as_str()).collect();
            let happening = Happening::success(principal, "settings_changed", "settings").with("members", names);
            keeping.store.merge(&planned.changes, &keeping.audit.entry(happening)).await?;
            self.take(stored.with(&planned.changes));
            keeping.events.publish(Event::SettingsChanged);
        }
        Ok(Changed { warnings: planned.warnings })
    }

    /// Chooses another model for the agent that answers. Holds from the next turn on.
    ///
    /// # Errors
    /// Why not, in words for the user.
    pub async fn choose_model(&self, principal: &Principal, model: &str) -> Result<(), String> {
        if !principal.grant.scopes.allows(Scope::SettingsWrite) {
            return Err("Only who may change settings may choose the model.".to_owned());
        }
        let kind = self.agent().choice.kind;
        let Some(remote) = Remote::of(kind) else {
            return Err(format!("The agent {} has no model to choose.", kind.as_str()));
        };
        let model = model.trim();
        if model.is_empty() || model.chars().count() > 200 || model.chars().any(char::is_control) {
            return Err("The name of a model has 1 to 200 characters.".to_owned());
        }
        let wanted = Map::from_iter([(remote.model.to_owned(), Value::from(model))]);
        match self.change(principal, &wanted).await {
            Ok(_) => Ok(()),
            Err(ChangeRefused::Refused(refused)) => Err(format!("{refused}.")),
            Err(ChangeRefused::Store(error)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the model could not be changed");
                Err("The model could not be changed; the log of the server has the reason.".to_owned())
            }
        }
    }

    /// The models that somebody has who speaks the API of `OpenAI` at `host`, an address without `/v1`. If none is given, where
    /// the setting `ollama_host` says. Sends no key.
    ///
    /// # Errors
    /// [`NoModels`]
    pub async fn models_at(&self, host: Option<&str>) -> Result<Vec<String>, NoModels> {
        let view = self.view();
        let text = host.or_else(|| view["ollama_host"].as_str()).unwrap_or_default().trim();
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = BaseUrl::parse(&text).map_err(|_| NoModels::Host)?;
        let known = view["openai_compatible_base_url"].as_str().and_then(|known| BaseUrl::parse(known).ok());
        let is_known = known.is_some_and(|known| known.origin() == url.origin());
        if !is_known && !is_on_this_machine(&url) {
            // Nobody asked for that one: a setting of the past names it.
            return if host.is_some() { Err(NoModels::Host) } else { Ok(Vec::new()) };
        }
        let text = if url.as_str().ends_with("/v1") { url.as_str().to_owned() } else { format!("{}/v1", url.as_str()) };
        let choice = AgentChoice {
            kind: AgentKind::OpenAiCompatible,
            base_url: Some(BaseUrl::parse(&text).map_err(|_| NoModels::Host)?),
            ..AgentChoice::builtin()
        };
        let Some(keeping) = &self.keeping else { return Ok(Vec::new()) };
        let failed = |AgentError(why)| NoModels::Failed(why);
        match keeping.agents.open(&choice).map_err(failed)? {
            OpenAgent::Model(model) => model.models().await.map_err(|error| NoModels::Failed(error.to_string())),
            OpenAgent::Runner(_) => Ok(Vec::new()),
        }
    }

    /// Whether neither configuration nor anybody else has chosen an agent.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        let current = self.current();
        self.configured.choice.kind == AgentKind::Builtin && current.stored.plain("agent_backend").is_none()
    }
}

/// The settings that are secrets.
pub fn secret_names() -> impl Iterator<Item = &'static str> {
    members::all().iter().filter(|member| member.is_secret()).map(|member| member.name)
}

fn is_on_this_machine(url: &BaseUrl) -> bool {
    match Url::parse(url.as_str()).ok().and_then(|url| url.host().map(|host| host.to_owned())) {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests;
