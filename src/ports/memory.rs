//! Keeping memories, and the vectors made of them.

use super::store::StoreError;
use crate::domain::audit::AuditEntry;
use crate::domain::memory::embedding::{SpaceName, Vector};
use crate::domain::memory::ranking::WordHit;
use crate::domain::memory::{
    Memory, MemoryChange, MemoryCounts, MemoryFilter, MemoryId, MemoryText, Owner, Owners, TagGraph,
};
use crate::domain::text::PageLimit;
use async_trait::async_trait;

/// Memories.
///
/// A memory is named by its id or by its legacy id; if one memory has it as its id and another as its legacy id, the former is
/// meant.
#[async_trait]
pub trait MemoryStore: Send + Sync {
    /// Adds a memory. It is found by its words as soon as this returns.
    ///
    /// **Contract:** every member comes back as it was given.
    ///
    /// # Errors
    /// `Conflict` if a memory has its id; `Unavailable`, `Failed`.
    async fn insert(&self, memory: &Memory, entry: &AuditEntry) -> Result<(), StoreError>;

    /// The memory of that name.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn find(&self, id: &MemoryId) -> Result<Option<Memory>, StoreError>;

    /// Those of `ids` that are there and belong to `owners`, in the order of `ids`, which are no legacy ids.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn get(&self, ids: &[MemoryId], owners: &Owners) -> Result<Vec<Memory>, StoreError>;

    /// The memories that the filter takes, newest first, after leaving out the first `offset`. Where the time of creation is
    /// equal, the one that was stored later comes first.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn page(&self, filter: &MemoryFilter, limit: PageLimit, offset: u64) -> Result<Vec<Memory>, StoreError>;

    /// Changes a memory. False, and no entry, if there is none of that name.
    ///
    /// **Contract:** its id, owner, kind and time of creation stay. If its text is another than before, all vectors made of it
    /// are gone with the change. No other memory changes.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn change(&self, id: &MemoryId, change: &MemoryChange, entry: &AuditEntry) -> Result<bool, StoreError>;

    /// Removes a memory with everything that was made of it: words and vectors. False, and no entry, if there is none of that
    /// name.
    ///
    /// **Contract:** no other memory changes.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn remove(&self, id: &MemoryId, entry: &AuditEntry) -> Result<bool, StoreError>;

    /// Removes up to `limit` of the memories that the filter takes, the oldest first, with everything that was made of them;
    /// gives how many. The entry is stored if that is at least one.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`. Nothing was removed.
    async fn remove_some(
        &self,
        filter: &MemoryFilter,
        limit: PageLimit,
        entry: Option<&AuditEntry>,
    ) -> Result<u64, StoreError>;

    /// How many there are.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn counts(&self) -> Result<MemoryCounts, StoreError>;

    /// The memories of `owners` that have at least one of the `words`, which are as [`crate::domain::memory::words`] makes
    /// them and differ from each other: the best first, by the sum of [`crate::domain::memory::ranking::bm25`] over the
    /// words; where that is equal, the one that was stored later.
    ///
    /// **Contract:** the order is exact while at most 250 memories of `owners` have any of the words. Beyond that a storage
    /// may look at those only that have the rarest of the words, and of these at the 250 that were stored last.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn search(&self, words: &[String], owners: &Owners, limit: PageLimit) -> Result<Vec<WordHit>, StoreError>;

    /// The most frequent tags of all memories, or of those that contain `part` in folded form, and the most frequent pairs of
    /// them, at most `limit` of each.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn graph(&self, part: Option<&str>, limit: PageLimit) -> Result<TagGraph, StoreError>;
}

/// A memory that has no vector yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unembedded {
    /// Where it stands in the order of storing.
    pub place: i64,
    /// The memory.
    pub id: MemoryId,
    /// Which text it has: another number after each change.
    pub revision: i64,
    /// The text.
    pub text: MemoryText,
}

/// A vector to store.
#[derive(Debug, Clone, PartialEq)]
pub struct NewVector {
    /// Of which memory.
    pub id: MemoryId,
    /// Of which text of it.
    pub revision: i64,
    /// The vector.
    pub vector: Vector,
}

/// A vector that is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredVector {
    /// Where it stands in the order of storing; greater for each that is stored later, also if it replaces one.
    pub place: i64,
    /// Of which memory.
    pub id: MemoryId,
    /// Whose that is.
    pub owner: Owner,
    /// The vector.
    pub vector: Vector,
}

/// The vectors of memories, by the space that they are in. A memory has at most one in each space.
#[async_trait]
pub trait VectorStore: Send + Sync {
    /// All spaces, in the order in which they were opened.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn spaces(&self) -> Result<Vec<SpaceName>, StoreError>;

    /// Makes a space, without vectors, the last in the order; one that is there stays as it is.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn open_space(&self, space: &SpaceName) -> Result<(), StoreError>;

    /// Removes a space with its vectors. Nothing happens if there is none of that name.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn drop_space(&self, space: &SpaceName) -> Result<(), StoreError>;

    /// Memories that have no vector in the space and stand after `after`, in the order of storing. None if there is no such
    /// space.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn without(&self, space: &SpaceName, after: i64, limit: PageLimit) -> Result<Vec<Unembedded>, StoreError>;

    /// Stores vectors, in the place of those that their memories have in the space; gives how many. Not stored is what was
    /// made of a text that its memory does not have any more, and anything at all if there is no such space.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn put(&self, space: &SpaceName, vectors: Vec<NewVector>) -> Result<u64, StoreError>;

    /// The vectors of the space that stand after `after`, in the order of storing.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Failed`.
    async fn vectors(&self, space: &SpaceName, after: i64, limit: PageLimit) -> Result<Vec<StoredVector>, StoreError>;

    /// How many vectors the space has.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    async fn vector_count(&self, space: &SpaceName) -> Result<u64, StoreError>;
}
