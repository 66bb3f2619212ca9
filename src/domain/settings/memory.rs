//! What settings say of memory: how it is found, and whether the agent learns by itself.
//!
//! The names and values are those that clients know. `docs/memory.md` has what each of them means here.

use super::agents::{Remote, choice_of};
use super::{Stored, members};
use crate::domain::agent::choice::{AgentChoice, AgentKind, AgentSettings, BaseUrl};
use crate::domain::memory::embedding::{EmbedderChoice, EmbeddingApi};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

/// The values of `memory_backend`.
pub const BACKENDS: [&str; 2] = ["file", "mem0"];

/// Who can make vectors: the values of `embedding_provider` and `mem0_embedder_provider`. `local` and `huggingface` are the
/// model in the folder that is configured.
pub const EMBEDDERS: [&str; 5] = ["ollama", "openai", "openai_compatible", "local", "huggingface"];

/// Whose models can learn facts: the values of `mem0_llm_provider`. `agent` is whichever answers.
pub const LEARNERS: [&str; 5] = ["anthropic", "openai", "ollama", "openai_compatible", "agent"];

/// Where `OpenAI` itself is.
const OPENAI: &str = "https://api.openai.com/v1";

/// The settings of memory that are shown with it, by name.
pub const SHOWN: [&str; 9] = [
    "memory_backend",
    "memory_use_inference",
    "mem0_llm_provider",
    "mem0_llm_model",
    "mem0_embedder_provider",
    "mem0_embedder_model",
    "mem0_vector_store",
    "mem0_ollama_base_url",
    "mem0_auto_learn",
];

/// Those that are changed with it besides.
pub const CHANGEABLE_BESIDES: [&str; 7] = [
    "file_vector_enabled",
    "file_auto_learn",
    "vector_store",
    "embedding_provider",
    "embedding_model",
    "embedding_base_url",
    "memory_learn_from_webhooks",
];

/// What holds for memory.
#[derive(Debug, Clone)]
pub struct MemorySettings {
    /// The value of `memory_backend`.
    pub backend: String,
    /// The value of the setting that names the store of vectors.
    pub vector_store: String,
    /// What makes vectors; `None` if memories are found by their words only.
    pub embedder: Option<EmbedderChoice>,
    /// What is wrong with the choice of it, in words for the user.
    pub problem: Option<String>,
    /// Whether facts are learned after a turn.
    pub learns: bool,
    /// Whether also after turns of webhooks.
    pub learns_from_webhooks: bool,
    /// The model that learns them.
    pub learner: AgentChoice,
}

/// What holds for memory.
#[must_use]
pub fn memory_settings(stored: &Stored, configured: &AgentSettings) -> MemorySettings {
    let reader = Reader { stored, configured };
    let backend = reader.text("memory_backend");
    let is_mem0 = backend == "mem0";
    let is_semantic = is_mem0 || reader.switch("file_vector_enabled");
    let learns = reader.switch(if is_mem0 { "mem0_auto_learn" } else { "file_auto_learn" });
    let embedder = if !is_semantic {
        Ok(None)
    } else if is_mem0 {
        reader.embedder("mem0_embedder_provider", "mem0_embedder_model", "mem0_ollama_base_url").map(Some)
    } else {
        reader.embedder("embedding_provider", "embedding_model", "embedding_base_url").map(Some)
    };
    let (embedder, problem) = match embedder {
        Ok(embedder) => (embedder, None),
        Err(problem) => (None, Some(problem)),
    };
    MemorySettings {
        vector_store: reader.text(if is_mem0 { "mem0_vector_store" } else { "vector_store" }),
        backend,
        embedder,
        problem,
        learns,
        learns_from_webhooks: reader.switch("memory_learn_from_webhooks"),
        learner: reader.learner(is_mem0),
    }
}

/// The settings of memory, as they are shown with it.
#[must_use]
pub fn shown(view: &Map<String, Value>) -> Map<String, Value> {
    SHOWN.iter().map(|name| ((*name).to_owned(), view.get(*name).cloned().unwrap_or_default())).collect()
}

struct Reader<'a> {
    stored: &'a Stored,
    configured: &'a AgentSettings,
}

impl Reader<'_> {
    fn value(&self, name: &str) -> Value {
        let default = || members::find(name).map(members::Member::default).unwrap_or_default();
        self.stored.plain(name).cloned().unwrap_or_else(default)
    }

    fn text(&self, name: &str) -> String {
        self.value(name).as_str().unwrap_or_default().trim().to_owned()
    }

    fn switch(&self, name: &str) -> bool {
        self.value(name).as_bool().unwrap_or_default()
    }

    fn embedder(&self, provider: &str, model: &str, address: &str) -> Result<EmbedderChoice, String> {
        let named = self.text(provider);
        let api = match named.as_str() {
            "local" | "huggingface" => return Ok(EmbedderChoice::Folder),
            "ollama" => EmbeddingApi::Ollama,
            "openai" | "openai_compatible" => EmbeddingApi::OpenAi,
            // An import may have brought anything.
            other => return Err(format!("{provider} is {other:?}, which is none of: {}", EMBEDDERS.join(", "))),
        };
        let base_url = match named.as_str() {
            "openai" => OPENAI.to_owned(),
            // The other setting has an address of Ollama's only.
            "openai_compatible" if address == "mem0_ollama_base_url" => {
                let remote = Remote::of(AgentKind::OpenAiCompatible);
                let url = remote.and_then(|remote| remote.base_url(self.stored, self.configured));
                url.map_or_else(|| OPENAI.to_owned(), |url| url.as_str().to_owned())
            }
            _ => self.text(address),
        };
        let base_url = BaseUrl::parse(&base_url).map_err(|_| format!("{address} is not an address"))?;
        let name = self.text(model);
        if name.is_empty() {
            return Err(format!("{model} is empty: it should name the model that makes vectors"));
        }
        let api_key = (api == EmbeddingApi::OpenAi).then(|| self.key_for(&base_url)).flatten();
        if named == "openai" && api_key.is_none() {
            return Err(format!("{provider} is openai, which needs a key: set openai_api_key"));
        }
        Ok(EmbedderChoice::Remote { api, base_url, model: name, api_key })
    }

    /// The key that opens an address, if one was given for it.
    fn key_for(&self, address: &BaseUrl) -> Option<SecretString> {
        let compatible = choice_of(AgentKind::OpenAiCompatible, self.stored, self.configured);
        let at = compatible.base_url.as_ref().map_or(OPENAI, BaseUrl::as_str);
        if at == address.as_str() && has(compatible.api_key.as_ref()) {
            return compatible.api_key;
        }
        let openai = self.stored.secret("openai_api_key").map(|(key, _)| key.clone());
        openai.filter(|key| address.as_str() == OPENAI && has(Some(key)))
    }

    /// The model that learns: the one that `mem0` names if it can be asked, else the one that answers.
    fn learner(&self, is_mem0: bool) -> AgentChoice {
        let agent = super::agents::agent_settings(self.stored, self.configured).choice;
        let model = self.text("mem0_llm_model");
        if !is_mem0 || model.is_empty() {
            return agent;
        }
        let compatible = |base_url: Option<BaseUrl>, api_key| AgentChoice {
            kind: AgentKind::OpenAiCompatible,
            model: model.clone(),
            base_url,
            api_key,
            ..AgentChoice::builtin()
        };
        let named = match self.text("mem0_llm_provider").as_str() {
            "anthropic" => {
                let choice = choice_of(AgentKind::Anthropic, self.stored, self.configured);
                has(choice.api_key.as_ref()).then(|| AgentChoice { model: model.clone(), ..choice })
            }
            "openai" => BaseUrl::parse(OPENAI).ok().and_then(|url| {
                let key = self.key_for(&url)?;
                Some(compatible(Some(url), Some(key)))
            }),
            "ollama" => BaseUrl::parse(&format!("{}/v1", self.text("mem0_ollama_base_url")))
                .ok()
                .map(|url| compatible(Some(url), None)),
            "openai_compatible" => {
                let choice = choice_of(AgentKind::OpenAiCompatible, self.stored, self.configured);
                choice.base_url.is_some().then(|| AgentChoice { model: model.clone(), ..choice })
            }
            _ => None,
        };
        named.unwrap_or(agent)
    }
}

fn has(key: Option<&SecretString>) -> bool {
    key.is_some_and(|key| !key.expose_secret().is_empty())
}

#[cfg(test)]
mod tests;
