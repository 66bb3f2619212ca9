//! The stores of memories, which fail like the others.

use super::FailingStores;
use async_trait::async_trait;
use pawport::domain::audit::AuditEntry;
use pawport::domain::memory::embedding::SpaceName;
use pawport::domain::memory::ranking::WordHit;
use pawport::domain::memory::{Memory, MemoryChange, MemoryCounts, MemoryFilter, MemoryId, Owners, TagGraph};
use pawport::domain::text::PageLimit;
use pawport::ports::memory::{MemoryStore, NewVector, StoredVector, Unembedded, VectorStore};
use pawport::ports::store::StoreError;

#[async_trait]
impl MemoryStore for FailingStores {
    async fn insert(&self, memory: &Memory, entry: &AuditEntry) -> Result<(), StoreError> {
        self.pass()?.memories.insert(memory, entry).await
    }

    async fn find(&self, id: &MemoryId) -> Result<Option<Memory>, StoreError> {
        self.pass()?.memories.find(id).await
    }

    async fn get(&self, ids: &[MemoryId], owners: &Owners) -> Result<Vec<Memory>, StoreError> {
        self.pass()?.memories.get(ids, owners).await
    }

    async fn page(&self, filter: &MemoryFilter, limit: PageLimit, offset: u64) -> Result<Vec<Memory>, StoreError> {
        self.pass()?.memories.page(filter, limit, offset).await
    }

    async fn change(&self, id: &MemoryId, change: &MemoryChange, entry: &AuditEntry) -> Result<bool, StoreError> {
        self.pass()?.memories.change(id, change, entry).await
    }

    async fn remove(&self, id: &MemoryId, entry: &AuditEntry) -> Result<bool, StoreError> {
        self.pass()?.memories.remove(id, entry).await
    }

    async fn remove_some(
        &self,
        filter: &MemoryFilter,
        limit: PageLimit,
        entry: Option<&AuditEntry>,
    ) -> Result<u64, StoreError> {
        self.pass()?.memories.remove_some(filter, limit, entry).await
    }

    async fn counts(&self) -> Result<MemoryCounts, StoreError> {
        self.pass()?.memories.counts().await
    }

    async fn search(&self, words: &[String], owners: &Owners, limit: PageLimit) -> Result<Vec<WordHit>, StoreError> {
        self.pass()?.memories.search(words, owners, limit).await
    }

    async fn graph(&self, part: Option<&str>, limit: PageLimit) -> Result<TagGraph, StoreError> {
        self.pass()?.memories.graph(part, limit).await
    }
}

#[async_trait]
impl VectorStore for FailingStores {
    async fn spaces(&self) -> Result<Vec<SpaceName>, StoreError> {
        self.pass()?.vectors.spaces().await
    }

    async fn open_space(&self, space: &SpaceName) -> Result<(), StoreError> {
        self.pass()?.vectors.open_space(space).await
    }

    async fn drop_space(&self, space: &SpaceName) -> Result<(), StoreError> {
        self.pass()?.vectors.drop_space(space).await
    }

    async fn without(&self, space: &SpaceName, after: i64, limit: PageLimit) -> Result<Vec<Unembedded>, StoreError> {
        self.pass()?.vectors.without(space, after, limit).await
    }

    async fn put(&self, space: &SpaceName, vectors: Vec<NewVector>) -> Result<u64, StoreError> {
        self.pass()?.vectors.put(space, vectors).await
    }

    async fn vectors(&self, space: &SpaceName, after: i64, limit: PageLimit) -> Result<Vec<StoredVector>, StoreError> {
        self.pass()?.vectors.vectors(space, after, limit).await
    }

    async fn vector_count(&self, space: &SpaceName) -> Result<u64, StoreError> {
        self.pass()?.vectors.vector_count(space).await
    }
}
