//! By their meaning: vectors in the store, a copy of them in memory, and a worker that makes those that are missing.
//!
//! A space of vectors belongs to a model. When another model is chosen, a second space is opened and filled in the background,
//! while memories are found in the first; once the second is complete, the first is dropped. What is there, and what is
//! missing, stands in the store, so a restart goes on where the end of the program came.

use super::matrix::Matrix;
use crate::domain::memory::embedding::{EmbedderChoice, EmbeddingProgress, SpaceName};
use crate::domain::memory::ranking::Found;
use crate::domain::memory::{MemoryId, Owners};
use crate::domain::text::PageLimit;
use crate::ports::memory::{MemoryStore, NewVector, VectorStore};
use crate::ports::recall::{Embedder, Embedders, EmbeddingError, Purpose, Recall, RecallError, SemanticRecall};
use crate::ports::store::StoreError;
use async_trait::async_trait;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio_util::sync::CancellationToken;

/// How many texts a model gets at once.
const BATCH: i64 = 32;

/// How many vectors are read at once.
const PAGE: i64 = 1_000;

/// How long to wait after a model or the store failed: twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(300);

/// How often it is looked whether something is missing although nobody said so, as after an import by another process.
const LOOK: Duration = Duration::from_secs(60);

/// A model that is open, and the space of its vectors.
#[derive(Clone)]
struct Opened {
    embedder: Arc<dyn Embedder>,
    space: SpaceName,
}

impl Opened {
    fn of(embedder: Arc<dyn Embedder>) -> Self {
        Self { space: embedder.space(), embedder }
    }
}

#[derive(Default)]
struct State {
    choice: Option<EmbedderChoice>,
    /// The model that was chosen.
    wanted: Option<Opened>,
    /// The one whose vectors are complete, or were; what memories are found with.
    active: Option<Opened>,
    problem: Option<String>,
}

/// The vectors of the active space, as far as they are read.
#[derive(Default)]
struct Cache {
    space: Option<SpaceName>,
    through: i64,
    matrix: Matrix,
}

/// Finds memories by their meaning.
pub struct Semantic {
    memories: Arc<dyn MemoryStore>,
    vectors: Arc<dyn VectorStore>,
    embedders: Arc<dyn Embedders>,
    state: Mutex<State>,
    cache: Arc<RwLock<Cache>>,
    /// Held while vectors are read into the cache.
    reading: AsyncMutex<()>,
    /// Rung when there may be something to do.
    due: Notify,
}

impl Semantic {
    /// Over these stores. Nothing happens until a model is [chosen](SemanticRecall::choose), and no vector is made but by
    /// [`Self::keep_up`].
    #[must_use]
    pub fn new(memories: Arc<dyn MemoryStore>, vectors: Arc<dyn VectorStore>, embedders: Arc<dyn Embedders>) -> Self {
        Self {
            memories,
            vectors,
            embedders,
            state: Mutex::default(),
            cache: Arc::default(),
            reading: AsyncMutex::default(),
            due: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the vectors that are missing, now and whenever there are new ones to make, until `stop`.
    pub async fn keep_up(&self, stop: CancellationToken) {
        let keep_up = async {
            let mut pause = FIRST_PAUSE;
            loop {
                match self.catch_up().await {
                    Ok(()) => {
                        pause = FIRST_PAUSE;
                        // Either is a reason to look; which it was does not matter.
                        let _ = tokio::time::timeout(LOOK, self.due.notified()).await;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "vectors of memories could not be made; trying again later");
                        self.state().problem = Some(error.to_string());
                        let _ = tokio::time::timeout(pause, self.due.notified()).await;
                        pause = (pause * 2).min(LAST_PAUSE);
                    }
                }
            }
        };
        stop.run_until_cancelled(keep_up).await;
    }

    /// Makes all vectors that are missing.
    ///
    /// # Errors
    /// If the model or the store fails; what was made until then is stored.
    pub async fn catch_up(&self) -> Result<(), RecallError> {
        let Some(choice) = self.state().choice.clone() else {
            self.state().active = None;
            return Ok(());
        };
        let wanted = self.open_wanted(&choice).await?;
        self.vectors.open_space(&wanted.space).await?;
        self.open_earlier(&wanted, &choice).await?;
        let mut made = 0_u64;
        loop {
            let new = self.fill(&wanted, &choice).await?;
            if !self.is_chosen(&choice) {
                return Ok(());
            }
            made += new;
            if new == 0 {
                break;
            }
        }
        if made > 0 {
            tracing::info!(made, model = %choice, "vectors of memories were made");
        }
        {
            let state = &mut *self.state();
            state.problem = None;
            if state.choice.as_ref() == Some(&choice) {
                state.active = Some(wanted.clone());
            }
        }
        for space in self.vectors.spaces().await? {
            if space != wanted.space {
                self.vectors.drop_space(&space).await?;
            }
        }
        Ok(())
    }

    fn is_chosen(&self, choice: &EmbedderChoice) -> bool {
        self.state().choice.as_ref() == Some(choice)
    }

    async fn open_wanted(&self, choice: &EmbedderChoice) -> Result<Opened, RecallError> {
        let known = self.state().wanted.clone();
        if let Some(opened) = known {
            return Ok(opened);
        }
        let opened = Opened::of(self.embedders.open(choice).await.map_err(not_now)?);
        let state = &mut *self.state();
        if state.choice.as_ref() == Some(choice) {
            state.wanted = Some(opened.clone());
        }
        Ok(opened)
    }

    /// After a start: opens the model of the oldest space, in which memories are found until the wanted one is complete.
    async fn open_earlier(&self, wanted: &Opened, choice: &EmbedderChoice) -> Result<(), RecallError> {
        if self.state().active.is_some() {
            return Ok(());
        }
        let Some(first) = self.vectors.spaces().await?.into_iter().next() else { return Ok(()) };
        if first == wanted.space {
            // What is there of it is better than nothing.
            self.state().active = Some(wanted.clone());
            return Ok(());
        }
        let Some(earlier) = with_key_of(first.remote(), choice) else { return Ok(()) };
        if let Ok(embedder) = self.embedders.open(&earlier).await {
            self.state().active = Some(Opened { embedder, space: first });
        }
        Ok(())
    }

    /// Goes through all memories once; gives how many vectors were stored.
    async fn fill(&self, wanted: &Opened, choice: &EmbedderChoice) -> Result<u64, RecallError> {
        let (mut after, mut made) = (i64::MIN, 0);
        loop {
            let batch = self.vectors.without(&wanted.space, after, PageLimit::clamped(BATCH)).await?;
            let Some(last) = batch.last() else { return Ok(made) };
            after = last.place;
            let texts: Vec<&str> = batch.iter().map(|it| it.text.as_str()).collect();
            let vectors = wanted.embedder.embed(&texts, Purpose::Memory).await.map_err(not_now)?;
            let new = batch.into_iter().zip(vectors);
            let new = new.map(|(it, vector)| NewVector { id: it.id, revision: it.revision, vector });
            made += self.vectors.put(&wanted.space, new.collect()).await?;
            if !self.is_chosen(choice) {
                return Ok(made);
            }
        }
    }

    /// Reads the vectors that are not in the cache yet.
    async fn refresh(&self, space: &SpaceName) -> Result<(), StoreError> {
        let _reading = self.reading.lock().await;
        if self.cache().space.as_ref() != Some(space) {
            *self.cache_mut() = Cache { space: Some(space.clone()), through: i64::MIN, matrix: Matrix::default() };
        }
        loop {
            let through = self.cache().through;
            let page = self.vectors.vectors(space, through, PageLimit::clamped(PAGE)).await?;
            let Some(last) = page.last() else { return Ok(()) };
            let cache = &mut *self.cache_mut();
            cache.through = last.place;
            for stored in &page {
                cache.matrix.put(&stored.id, &stored.owner, &stored.vector);
            }
        }
    }

    fn cache(&self) -> std::sync::RwLockReadGuard<'_, Cache> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn cache_mut(&self) -> std::sync::RwLockWriteGuard<'_, Cache> {
        self.cache.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_now(EmbeddingError(why): EmbeddingError) -> RecallError {
    RecallError::NotNow(why)
}

/// The same model, opened with the key of `choice` if that is for the same address.
fn with_key_of(earlier: Option<EmbedderChoice>, choice: &EmbedderChoice) -> Option<EmbedderChoice> {
    let mut earlier = earlier?;
    if let EmbedderChoice::Remote { base_url, api_key, .. } = &mut earlier
        && let EmbedderChoice::Remote { base_url: current, api_key: key, .. } = choice
        && base_url == current
    {
        api_key.clone_from(key);
    }
    Some(earlier)
}

#[async_trait]
impl Recall for Semantic {
    async fn recall(&self, question: &str, owners: &Owners, limit: usize) -> Result<Vec<Found>, RecallError> {
        if question.trim().is_empty() {
            return Ok(Vec::new());
        }
        let active = self.state().active.clone();
        let Some(active) = active else {
            return Err(RecallError::NotNow("no memory can be found by its meaning yet".to_owned()));
        };
        let mut vectors = active.embedder.embed(&[question], Purpose::Question).await.map_err(not_now)?;
        let vector = vectors.pop().unwrap_or_default();
        self.refresh(&active.space).await?;
        let (cache, owners) = (Arc::clone(&self.cache), owners.clone());
        let nearest = tokio::task::spawn_blocking(move || {
            let cache = cache.read().unwrap_or_else(PoisonError::into_inner);
            cache.matrix.nearest(&vector, &owners, limit)
        });
        let nearest = nearest.await.map_err(|error| RecallError::Store(StoreError::Failed(Box::new(error))))?;
        Ok(nearest.into_iter().map(|id| Found { id, is_weak: false }).collect())
    }
}

#[async_trait]
impl SemanticRecall for Semantic {
    fn choose(&self, choice: Option<EmbedderChoice>) {
        let state = &mut *self.state();
        let has_changed = match (&state.choice, &choice) {
            // A key that was given since may be what was missing.
            (Some(EmbedderChoice::Remote { .. }), Some(EmbedderChoice::Remote { .. })) if state.problem.is_some() => {
                true
            }
            (before, after) => before != after,
        };
        if has_changed {
            if choice.is_none() {
                state.active = None;
            }
            (state.wanted, state.problem) = (None, None);
        }
        state.choice = choice;
        if has_changed {
            self.due.notify_one();
        }
    }

    fn changed(&self, id: &MemoryId) {
        self.removed(Some(id));
        self.due.notify_one();
    }

    fn removed(&self, id: Option<&MemoryId>) {
        let cache = &mut *self.cache_mut();
        match id {
            Some(id) => cache.matrix.remove(id),
            None => *cache = Cache::default(),
        }
    }

    async fn progress(&self) -> Result<EmbeddingProgress, StoreError> {
        let (choice, wanted, is_usable, problem) = {
            let state = self.state();
            (state.choice.clone(), state.wanted.clone(), state.active.is_some(), state.problem.clone())
        };
        let counts = self.memories.counts().await?;
        let done = match &wanted {
            Some(wanted) => self.vectors.vector_count(&wanted.space).await?,
            None => 0,
        };
        let model = choice.map(|choice| choice.to_string());
        Ok(EmbeddingProgress { model, done, total: counts.long_term + counts.daily, is_usable, problem })
    }
}

#[cfg(test)]
mod tests;
