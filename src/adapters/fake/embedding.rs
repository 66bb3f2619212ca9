//! A model that makes vectors from words: two texts are as like as they have words, or synonyms, in common.

use crate::domain::memory::embedding::{EmbedderChoice, SpaceName, Vector, normalized};
use crate::domain::memory::words::words;
use crate::ports::recall::{Embedder, Embedders, EmbeddingError, Purpose};
use async_trait::async_trait;
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, PoisonError};

/// How many dimensions its vectors have.
const DIMENSIONS: usize = 64;

/// What means the same to it.
const SYNONYMS: [(&str, &str); 3] = [("kitten", "cat"), ("physician", "doctor"), ("automobil", "car")];

/// Opens such models, whatever is chosen. May be told to fail, and counts what is made.
#[derive(Default)]
pub struct WordEmbedders(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    problem: Option<String>,
    made: usize,
}

impl WordEmbedders {
    /// Fails from now on, for this reason; `None`: does not.
    pub fn fail(&self, problem: Option<&str>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).problem = problem.map(str::to_owned);
    }

    /// How many vectors of memories were made.
    #[must_use]
    pub fn made(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).made
    }
}

#[async_trait]
impl Embedders for WordEmbedders {
    async fn open(&self, choice: &EmbedderChoice) -> Result<Arc<dyn Embedder>, EmbeddingError> {
        Ok(Arc::new(WordEmbedder { space: SpaceName(choice.to_string()), told: Arc::clone(&self.0) }))
    }
}

struct WordEmbedder {
    space: SpaceName,
    told: Arc<Mutex<Told>>,
}

#[async_trait]
impl Embedder for WordEmbedder {
    fn space(&self) -> SpaceName {
        self.space.clone()
    }

    async fn embed(&self, texts: &[&str], purpose: Purpose) -> Result<Vec<Vector>, EmbeddingError> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(problem) = &told.problem {
            return Err(EmbeddingError(problem.clone()));
        }
        if purpose == Purpose::Memory {
            told.made += texts.len();
        }
        let vector = |text: &&str| {
            let mut vector = vec![0.001; DIMENSIONS];
            for word in words(text) {
                let word = SYNONYMS.iter().find(|known| known.0 == word).map_or(word.as_str(), |known| known.1);
                let place = Sha256::digest(word)[0];
                vector[usize::from(place) % DIMENSIONS] += 1.0;
            }
            normalized(vector).unwrap_or_default()
        };
        Ok(texts.iter().map(vector).collect())
    }
}
