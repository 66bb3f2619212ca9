//! A model behind an address: what speaks `OpenAI`'s `/embeddings`, and Ollama.

use crate::domain::memory::embedding::{EmbedderChoice, EmbeddingApi, MAX_DIMENSIONS, SpaceName, Vector, normalized};
use crate::domain::text::head;
use crate::ports::recall::{Embedder, EmbeddingError, Purpose};
use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Response};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::time::Duration;

/// How long an answer may take; a local model may have to be loaded first.
const PATIENCE: Duration = Duration::from_secs(55);

/// The largest answer: 64 vectors of the most dimensions, as JSON.
const MAX_ANSWER: usize = 64 * MAX_DIMENSIONS * 24;

/// How much of what a provider says is shown, in characters.
const SAID_CHARS: usize = 300;

/// How much of a text is embedded, in characters. Models look at a few hundred words at most, and some refuse longer texts.
const TEXT_CHARS: usize = 6_000;

/// One model of one provider. `Debug` shows no key.
#[derive(Debug)]
pub(super) struct Remote {
    http: Client,
    api: EmbeddingApi,
    address: String,
    origin: String,
    model: String,
    headers: HeaderMap,
    key: Option<SecretString>,
    space: SpaceName,
}

impl Remote {
    pub fn new(http: Client, choice: &EmbedderChoice) -> Result<Self, EmbeddingError> {
        let EmbedderChoice::Remote { api, base_url, model, api_key } = choice else {
            return Err(EmbeddingError("There is no address to ask.".to_owned()));
        };
        let path = match api {
            EmbeddingApi::Ollama => "/api/embed",
            EmbeddingApi::OpenAi => "/embeddings",
        };
        let key = api_key.clone().filter(|key| !key.expose_secret().is_empty());
        let mut headers = HeaderMap::new();
        if let Some(key) = &key {
            let value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()));
            let mut value = value.map_err(|_| EmbeddingError("The key has characters that no key has.".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(Self {
            http,
            api: *api,
            address: format!("{}{path}", base_url.as_str()),
            origin: base_url.origin(),
            model: model.clone(),
            headers,
            key,
            space: SpaceName(choice.to_string()),
        })
    }

    /// What the model wants before a text; see <https://huggingface.co/nomic-ai/nomic-embed-text-v1.5>.
    fn prefix(&self, purpose: Purpose) -> &'static str {
        match purpose {
            Purpose::Memory if self.model.starts_with("nomic-embed-text") => "search_document: ",
            Purpose::Question if self.model.starts_with("nomic-embed-text") => "search_query: ",
            _ => "",
        }
    }

    async fn ask(&self, texts: &[String]) -> Result<Value, EmbeddingError> {
        let body = json!({ "model": self.model, "input": texts });
        let request = self.http.post(&self.address).headers(self.headers.clone()).json(&body).timeout(PATIENCE);
        let origin = &self.origin;
        let answer = request.send().await.map_err(|error| {
            let why = if error.is_timeout() { "it did not answer in time" } else { "nobody answers there" };
            EmbeddingError(format!("The model that makes vectors at {origin} cannot be reached: {why}."))
        })?;
        let status = answer.status();
        let bytes = self.read(answer).await?;
        let parsed: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() {
            return Ok(parsed);
        }
        let said = [&parsed["error"]["message"], &parsed["error"], &parsed["detail"]];
        let said = said.into_iter().find_map(Value::as_str).unwrap_or_default();
        let said = self.without_key(head(said, SAID_CHARS));
        let model = &self.model;
        Err(EmbeddingError(match (status.as_u16(), self.api) {
            (401 | 403, _) => format!("{origin} refused the key for vectors: {said}"),
            (404, EmbeddingApi::Ollama) => {
                format!("{origin} has no model {model}: fetch it with ollama pull {model}. {said}")
            }
            (404, EmbeddingApi::OpenAi) => {
                format!(
                    "{origin} has no model {model}, or no embeddings at this address; it should end before /embeddings. {said}"
                )
            }
            (status, _) => format!("{origin} gave no vectors, but the status {status}: {said}"),
        }))
    }

    async fn read(&self, mut answer: Response) -> Result<Vec<u8>, EmbeddingError> {
        let mut bytes = Vec::new();
        let lost = || EmbeddingError(format!("The answer of {} broke off.", self.origin));
        while let Some(piece) = answer.chunk().await.map_err(|_| lost())? {
            if bytes.len() + piece.len() > MAX_ANSWER {
                return Err(EmbeddingError(format!("The answer of {} is larger than is taken.", self.origin)));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// A provider may repeat what it was sent.
    fn without_key(&self, said: &str) -> String {
        match &self.key {
            Some(key) => said.replace(key.expose_secret(), "[key]"),
            None => said.to_owned(),
        }
    }
}

#[async_trait]
impl Embedder for Remote {
    fn space(&self) -> SpaceName {
        self.space.clone()
    }

    async fn embed(&self, texts: &[&str], purpose: Purpose) -> Result<Vec<Vector>, EmbeddingError> {
        let prefix = self.prefix(purpose);
        let texts: Vec<String> = texts.iter().map(|text| format!("{prefix}{}", head(text, TEXT_CHARS))).collect();
        let answer = self.ask(&texts).await?;
        let vectors = vectors_of(self.api, &answer, texts.len());
        vectors.ok_or_else(|| {
            EmbeddingError(format!(
                "{} answered, but not with a vector for each text; check that {} makes embeddings.",
                self.origin, self.model
            ))
        })
    }
}

/// The vectors in an answer, in the order of the texts.
fn vectors_of(api: EmbeddingApi, answer: &Value, count: usize) -> Option<Vec<Vector>> {
    let listed: Vec<&Value> = match api {
        EmbeddingApi::Ollama => answer["embeddings"].as_array()?.iter().collect(),
        EmbeddingApi::OpenAi => {
            let mut data: Vec<&Value> = answer["data"].as_array()?.iter().collect();
            data.sort_by_key(|one| one["index"].as_u64());
            data.into_iter().map(|one| &one["embedding"]).collect()
        }
    };
    let vectors: Option<Vec<Vector>> = listed.into_iter().map(vector_of).collect();
    let vectors = vectors?;
    let dimensions = vectors.first()?.len();
    let is_right = vectors.len() == count && vectors.iter().all(|vector| vector.len() == dimensions);
    is_right.then_some(vectors)
}

#[expect(clippy::cast_possible_truncation, reason = "vectors have the precision of f32")]
fn vector_of(value: &Value) -> Option<Vector> {
    let numbers = value.as_array().filter(|numbers| (1..=MAX_DIMENSIONS).contains(&numbers.len()))?;
    let vector: Option<Vector> = numbers.iter().map(|number| number.as_f64().map(|number| number as f32)).collect();
    normalized(vector?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_in_the_order_of_the_texts() {
        let answer = json!({ "data": [
            { "index": 1, "embedding": [0, 2] },
            { "index": 0, "embedding": [3, 0.0] },
        ] });
        assert_eq!(vectors_of(EmbeddingApi::OpenAi, &answer, 2), Some(vec![vec![1.0, 0.0], vec![0.0, 1.0]]));
        let answer = json!({ "embeddings": [[1, 0], [0, 1]] });
        assert_eq!(vectors_of(EmbeddingApi::Ollama, &answer, 2), Some(vec![vec![1.0, 0.0], vec![0.0, 1.0]]));
    }

    #[test]
    fn what_is_no_vector_for_each_text_is_refused() {
        for (answer, count) in [
            (json!({}), 1),
            (json!({ "embeddings": [] }), 1),
            (json!({ "embeddings": [[1.0]] }), 2),
            (json!({ "embeddings": [[1.0], [1.0, 2.0]] }), 2),
            (json!({ "embeddings": [["1"]] }), 1),
            (json!({ "embeddings": [[0.0, 0.0]] }), 1),
            (json!({ "embeddings": [vec![1.0; MAX_DIMENSIONS + 1]] }), 1),
        ] {
            assert_eq!(vectors_of(EmbeddingApi::Ollama, &answer, count), None);
        }
    }
}
