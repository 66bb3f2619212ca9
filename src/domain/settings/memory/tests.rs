use super::*;
use crate::domain::settings::{StoredSetting, StoredValue};
use serde_json::json;

fn plain(name: &str, value: Value) -> StoredSetting {
    StoredSetting { name: name.to_owned(), value: StoredValue::Plain(value) }
}

fn secret(name: &str, text: &str, address: Option<&str>) -> StoredSetting {
    let value = StoredValue::Secret { text: text.into(), address: address.map(str::to_owned) };
    StoredSetting { name: name.to_owned(), value }
}

fn settings(stored: Vec<StoredSetting>) -> MemorySettings {
    memory_settings(&Stored::of(stored), &AgentSettings::builtin())
}

fn embedder(stored: Vec<StoredSetting>) -> String {
    let settings = settings(stored);
    match (settings.embedder, settings.problem) {
        (Some(choice), None) => choice.to_string(),
        (None, problem) => problem.unwrap_or_default(),
        (Some(_), Some(_)) => unreachable!("a choice with a problem"),
    }
}

#[test]
fn in_the_beginning_memories_are_found_by_words_and_nothing_is_learned() {
    let settings = settings(Vec::new());
    assert_eq!(settings.backend, "file");
    assert!(settings.embedder.is_none() && settings.problem.is_none());
    assert!(!settings.learns && !settings.learns_from_webhooks);
}

#[test]
fn file_has_vectors_if_that_is_switched_on() {
    let on = plain("file_vector_enabled", json!(true));
    assert_eq!(embedder(vec![on.clone()]), "ollama http://localhost:11434 nomic-embed-text");
    let local = plain("embedding_provider", json!("local"));
    assert_eq!(embedder(vec![on.clone(), local]), "folder");
    let compatible = [
        plain("embedding_provider", json!("openai_compatible")),
        plain("embedding_base_url", json!("http://127.0.0.1:9/v1")),
        plain("embedding_model", json!("bge")),
    ];
    let stored = [vec![on.clone()], compatible.to_vec()].concat();
    assert_eq!(embedder(stored.clone()), "openai http://127.0.0.1:9/v1 bge");
    assert!(!settings(stored).learns);
    assert!(settings(vec![plain("file_auto_learn", json!(true))]).learns);
    assert!(embedder(vec![on.clone(), plain("embedding_model", json!(" "))]).contains("embedding_model is empty"));
    assert!(embedder(vec![on, plain("embedding_provider", json!("cohere"))]).contains("cohere"));
}

#[test]
fn mem0_has_vectors_and_learns() {
    let mem0 = plain("memory_backend", json!("mem0"));
    let lacking = settings(vec![mem0.clone()]);
    assert!(lacking.learns && lacking.embedder.is_none());
    assert!(lacking.problem.unwrap().contains("openai_api_key"));
    let with_key = vec![mem0.clone(), secret("openai_api_key", "sk-x", None)];
    assert_eq!(embedder(with_key), "openai https://api.openai.com/v1 text-embedding-3-small");
    let ollama = plain("mem0_embedder_provider", json!("ollama"));
    assert_eq!(embedder(vec![mem0.clone(), ollama]), "ollama http://localhost:11434 text-embedding-3-small");
    assert_eq!(embedder(vec![mem0.clone(), plain("mem0_embedder_provider", json!("huggingface"))]), "folder");
    assert!(!settings(vec![mem0, plain("mem0_auto_learn", json!(false))]).learns);
}

#[test]
fn a_key_goes_to_the_address_that_it_was_given_for_and_to_no_other() {
    let at = |url: &str| {
        vec![
            plain("file_vector_enabled", json!(true)),
            plain("embedding_provider", json!("openai_compatible")),
            plain("embedding_base_url", json!(url)),
            plain("openai_compatible_base_url", json!("http://a:1/v1")),
            secret("openai_compatible_api_key", "for a", Some("http://a:1/v1")),
            secret("openai_api_key", "sk-x", None),
        ]
    };
    let key = |url| match settings(at(url)).embedder {
        Some(EmbedderChoice::Remote { api_key, .. }) => api_key.map(|key| key.expose_secret().to_owned()),
        _ => None,
    };
    assert_eq!(key("http://a:1/v1").as_deref(), Some("for a"));
    assert_eq!(key("https://api.openai.com/v1").as_deref(), Some("sk-x"));
    assert_eq!(key("http://b:1/v1"), None);
}

#[test]
fn the_model_that_learns_is_the_one_that_mem0_names_if_it_can_be_asked() {
    let mem0 = plain("memory_backend", json!("mem0"));
    assert_eq!(settings(vec![mem0.clone()]).learner.kind, AgentKind::Builtin);
    let anthropic = secret("anthropic_api_key", "sk-ant-x", Some("https://api.anthropic.com"));
    let learner = settings(vec![mem0.clone(), anthropic]).learner;
    assert_eq!((learner.kind, learner.model.as_str()), (AgentKind::Anthropic, "claude-haiku-4-5-20251001"));
    let ollama = [plain("mem0_llm_provider", json!("ollama")), plain("mem0_llm_model", json!("llama3.2"))];
    let learner = settings([vec![mem0], ollama.to_vec()].concat()).learner;
    assert_eq!(learner.base_url.unwrap().as_str(), "http://localhost:11434/v1");
}
