//! Finding memories again, and what the meaning of texts is made with.

use super::store::StoreError;
use crate::domain::memory::embedding::{EmbedderChoice, EmbeddingProgress, SpaceName, Vector};
use crate::domain::memory::ranking::Found;
use crate::domain::memory::{MemoryId, Owners};
use async_trait::async_trait;
use std::sync::Arc;
use thiserror::Error;

/// Why nothing is found.
#[derive(Debug, Error)]
pub enum RecallError {
    /// It cannot be looked for in this way now. In words for the user, without any key.
    #[error("{0}")]
    NotNow(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A way of finding memories.
#[async_trait]
pub trait Recall: Send + Sync {
    /// At most `limit` memories of `owners` that a question may be about, the best first. None for a question without a word.
    ///
    /// # Errors
    /// [`RecallError`]
    async fn recall(&self, question: &str, owners: &Owners, limit: usize) -> Result<Vec<Found>, RecallError>;
}

/// Finding memories by their meaning, with vectors that are made in the background.
#[async_trait]
pub trait SemanticRecall: Recall {
    /// Makes vectors with that model from now on, or none at all. Quick. Until all are made, memories are found with those of
    /// the model before.
    fn choose(&self, choice: Option<EmbedderChoice>);

    /// To be told when a memory was put down or changed: its vector is made soon.
    fn changed(&self, id: &MemoryId);

    /// To be told when memories were removed: they are not found any more when this returns. `None`: many, nobody knows which.
    fn removed(&self, id: Option<&MemoryId>);

    /// How far it has come.
    ///
    /// # Errors
    /// As the store's.
    async fn progress(&self) -> Result<EmbeddingProgress, StoreError>;
}

/// What a text is to its model. Some make other vectors of questions than of what answers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Something to be found.
    Memory,
    /// Something that is asked.
    Question,
}

/// There are no vectors. In words for the user, without any key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct EmbeddingError(pub String);

/// A model that makes vectors.
#[async_trait]
pub trait Embedder: Send + Sync {
    /// The space that its vectors are in.
    fn space(&self) -> SpaceName;

    /// A vector for each text, all of the same number of dimensions, each of length 1. At most 64 texts.
    ///
    /// **Contract:** ends within a minute.
    ///
    /// # Errors
    /// [`EmbeddingError`]
    async fn embed(&self, texts: &[&str], purpose: Purpose) -> Result<Vec<Vector>, EmbeddingError>;
}

/// Opens models.
#[async_trait]
pub trait Embedders: Send + Sync {
    /// The model that was chosen. Reads what it needs from this machine, and reaches nobody.
    ///
    /// # Errors
    /// [`EmbeddingError`] says what is missing, and where to say it.
    async fn open(&self, choice: &EmbedderChoice) -> Result<Arc<dyn Embedder>, EmbeddingError>;
}
