//! By their words, with the full-text index of the store.

use crate::domain::memory::ranking::{Found, SURE};
use crate::domain::memory::{Owners, words};
use crate::domain::text::PageLimit;
use crate::ports::memory::MemoryStore;
use crate::ports::recall::{Recall, RecallError};
use async_trait::async_trait;
use std::sync::Arc;

/// Finds memories that have words of the question.
pub struct Lexical {
    store: Arc<dyn MemoryStore>,
}

impl Lexical {
    /// In that store.
    #[must_use]
    pub fn new(store: Arc<dyn MemoryStore>) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Recall for Lexical {
    async fn recall(&self, question: &str, owners: &Owners, limit: usize) -> Result<Vec<Found>, RecallError> {
        let words = words::of_question(question);
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let limit = PageLimit::clamped(i64::try_from(limit).unwrap_or(i64::MAX));
        let hits = self.store.search(&words, owners, limit).await?;
        Ok(hits.into_iter().map(|hit| Found { id: hit.id, is_weak: hit.coverage < SURE }).collect())
    }
}
