//! What the meaning of texts is made with.

use crate::domain::agent::choice::BaseUrl;
use secrecy::SecretString;
use std::fmt;

/// The meaning of a text: a direction in a space that belongs to one model. Those of different models cannot be compared.
pub type Vector = Vec<f32>;

/// The most dimensions of a vector.
pub const MAX_DIMENSIONS: usize = 8_192;

/// The API that an embedding model is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmbeddingApi {
    /// `POST {base}/api/embed` (<https://docs.ollama.com/api/embed>).
    Ollama,
    /// `POST {base}/embeddings` (<https://platform.openai.com/docs/api-reference/embeddings>).
    OpenAi,
}

impl EmbeddingApi {
    /// The name in stores.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ollama => "ollama",
            Self::OpenAi => "openai",
        }
    }
}

/// Which model makes the vectors.
#[derive(Debug, Clone)]
pub enum EmbedderChoice {
    /// The one in the folder that is configured, in this process.
    Folder,
    /// One behind an address.
    Remote {
        /// How it is asked.
        api: EmbeddingApi,
        /// Where it is; for [`EmbeddingApi::OpenAi`] with the `/v1`.
        base_url: BaseUrl,
        /// The model, as its provider calls it.
        model: String,
        /// What opens it. Sent to that address and to no other.
        api_key: Option<SecretString>,
    },
}

impl PartialEq for EmbedderChoice {
    /// Whether they make the same vectors; the key does not count.
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl fmt::Display for EmbedderChoice {
    /// Without the key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder => formatter.write_str("folder"),
            Self::Remote { api, base_url, model, .. } => {
                write!(formatter, "{} {} {model}", api.as_str(), base_url.as_str())
            }
        }
    }
}

/// A space that vectors are in: the model that made them, as text; two with the same text can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SpaceName(pub String);

impl SpaceName {
    /// The remote model that makes vectors of this space; without a key. `None` if it was a folder.
    #[must_use]
    pub fn remote(&self) -> Option<EmbedderChoice> {
        let mut parts = self.0.splitn(3, ' ');
        let api = match parts.next()? {
            "ollama" => EmbeddingApi::Ollama,
            "openai" => EmbeddingApi::OpenAi,
            _ => return None,
        };
        let base_url = BaseUrl::parse(parts.next()?).ok()?;
        Some(EmbedderChoice::Remote { api, base_url, model: parts.next()?.to_owned(), api_key: None })
    }
}

/// How far making vectors has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EmbeddingProgress {
    /// The model that is wanted, without its key; `None` if memories are found by their words only.
    pub model: Option<String>,
    /// How many memories have a vector of that model.
    pub done: u64,
    /// How many there are.
    pub total: u64,
    /// Whether memories are found by meaning now, if need be with the vectors of the model before.
    pub is_usable: bool,
    /// Why it does not go on, if it does not; in words for the user, without any key.
    pub problem: Option<String>,
}

/// The vector as a direction: of length 1, so that the product of two says how like they are, from -1 to 1. `None` for what
/// has no direction: all zeros, or something that is no number.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "vectors have the precision of f32")]
pub fn normalized(mut vector: Vector) -> Option<Vector> {
    let length = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if !length.is_finite() || length <= f64::EPSILON {
        return None;
    }
    for value in &mut vector {
        *value = (f64::from(*value) / length) as f32;
    }
    Some(vector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direction_has_the_length_one() {
        assert_eq!(normalized(vec![3.0, 4.0]), Some(vec![0.6, 0.8]));
        assert_eq!(normalized(vec![0.0, 0.0]), None);
        assert_eq!(normalized(vec![f32::NAN, 1.0]), None);
    }

    #[test]
    fn a_space_names_its_model_and_no_key() {
        let choice = EmbedderChoice::Remote {
            api: EmbeddingApi::Ollama,
            base_url: BaseUrl::parse("http://127.0.0.1:11434").unwrap(),
            model: "nomic embed".to_owned(),
            api_key: Some(SecretString::from("hunter2")),
        };
        let name = SpaceName(choice.to_string());
        assert_eq!(name.0, "ollama http://127.0.0.1:11434 nomic embed");
        assert_eq!(name.remote(), Some(choice));
        assert_eq!(SpaceName("folder x".to_owned()).remote(), None);
    }
}
