//! Models that make vectors: behind an address, or in a folder of this machine.

#[cfg(feature = "local-embeddings")]
mod folder;
mod remote;

use crate::domain::memory::embedding::EmbedderChoice;
use crate::ports::recall::{Embedder, Embedders, EmbeddingError};
use async_trait::async_trait;
use remote::Remote;
use reqwest::Client;
use std::path::PathBuf;
use std::sync::Arc;

/// Opens models of every kind.
pub struct AllEmbedders {
    http: Client,
    folder: Option<PathBuf>,
}

impl AllEmbedders {
    /// `http` must not follow redirects, since the key is for the configured address alone. `folder` holds the model that
    /// needs no network.
    #[must_use]
    pub fn new(http: Client, folder: Option<PathBuf>) -> Self {
        Self { http, folder }
    }
}

#[async_trait]
impl Embedders for AllEmbedders {
    async fn open(&self, choice: &EmbedderChoice) -> Result<Arc<dyn Embedder>, EmbeddingError> {
        match choice {
            EmbedderChoice::Remote { .. } => Ok(Arc::new(Remote::new(self.http.clone(), choice)?)),
            EmbedderChoice::Folder => match &self.folder {
                Some(folder) => open_folder(folder.clone()).await,
                None => Err(EmbeddingError(
                    "There is no model on this machine: name a folder with one in PAWPORT_EMBEDDING_MODEL_DIR or \
                     --embedding-model-dir, and start the server again."
                        .to_owned(),
                )),
            },
        }
    }
}

#[cfg(feature = "local-embeddings")]
async fn open_folder(folder: PathBuf) -> Result<Arc<dyn Embedder>, EmbeddingError> {
    let opened = tokio::task::spawn_blocking(move || folder::Folder::open(&folder)).await;
    let opened = opened.map_err(|_| EmbeddingError("The model could not be read; see the log.".to_owned()))?;
    Ok(Arc::new(opened?))
}

#[cfg(not(feature = "local-embeddings"))]
#[expect(clippy::unused_async, reason = "called like the one that reads a folder")]
async fn open_folder(_folder: PathBuf) -> Result<Arc<dyn Embedder>, EmbeddingError> {
    Err(EmbeddingError(
        "This program was built without the feature local-embeddings, so it cannot use the model in the folder; choose \
         ollama or another provider."
            .to_owned(),
    ))
}
