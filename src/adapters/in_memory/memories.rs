//! Memories as a vector, and their vectors as another.

use super::{InMemoryStorage, State};
use crate::domain::audit::AuditEntry;
use crate::domain::import::Outcome;
use crate::domain::memory::embedding::SpaceName;
use crate::domain::memory::ranking::{WordHit, bm25, rarity};
use crate::domain::memory::{Memory, MemoryChange, MemoryCounts, MemoryFilter, MemoryId, MemoryKind, Owners, TagGraph};
use crate::domain::text::{PageLimit, fold};
use crate::ports::memory::{MemoryStore, NewVector, StoredVector, Unembedded, VectorStore};
use crate::ports::store::StoreError;
use async_trait::async_trait;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// A memory where it stands in the order of storing.
#[derive(Clone)]
pub(super) struct StoredMemory {
    place: i64,
    revision: i64,
    memory: Memory,
}

/// A space with its vectors, in the order of storing.
#[derive(Clone)]
pub(super) struct Space {
    name: SpaceName,
    vectors: Vec<StoredVector>,
}

impl State {
    fn index_of(&self, id: &MemoryId) -> Option<usize> {
        let by_id = self.memories.iter().position(|it| it.memory.id == *id);
        by_id.or_else(|| self.memories.iter().position(|it| it.memory.legacy_id.as_ref() == Some(id)))
    }

    fn next_place(&mut self) -> i64 {
        self.places_given += 1;
        self.places_given
    }

    fn push_memory(&mut self, memory: Memory) {
        let place = self.next_place();
        self.memories.push(StoredMemory { place, revision: 0, memory });
    }

    fn drop_vectors(&mut self, id: &MemoryId) {
        for space in &mut self.vector_spaces {
            space.vectors.retain(|vector| vector.id != *id);
        }
    }

    fn remove_memory(&mut self, index: usize) {
        let removed = self.memories.remove(index);
        self.drop_vectors(&removed.memory.id);
    }

    pub(super) fn import_memory(&mut self, memory: Memory) -> Outcome {
        if self.memories.iter().any(|existing| existing.memory.id == memory.id) {
            return Outcome::AlreadyThere;
        }
        self.push_memory(memory);
        Outcome::Imported
    }

    fn space(&self, name: &SpaceName) -> Option<&Space> {
        self.vector_spaces.iter().find(|space| space.name == *name)
    }
}

fn times(word: &String, words: &[String]) -> u32 {
    u32::try_from(words.iter().filter(|it| *it == word).count()).unwrap_or(u32::MAX)
}

#[async_trait]
impl MemoryStore for InMemoryStorage {
    async fn insert(&self, memory: &Memory, entry: &AuditEntry) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.memories.iter().any(|existing| existing.memory.id == memory.id) {
            return Err(StoreError::Conflict);
        }
        state.push_memory(memory.clone());
        state.audit.push(entry.clone());
        Ok(())
    }

    async fn find(&self, id: &MemoryId) -> Result<Option<Memory>, StoreError> {
        let state = self.state();
        Ok(state.index_of(id).map(|index| state.memories[index].memory.clone()))
    }

    async fn get(&self, ids: &[MemoryId], owners: &Owners) -> Result<Vec<Memory>, StoreError> {
        let state = self.state();
        let find = |id: &MemoryId| state.memories.iter().find(|it| it.memory.id == *id).map(|it| it.memory.clone());
        Ok(ids.iter().filter_map(find).filter(|memory| owners.include(&memory.owner)).collect())
    }

    async fn page(&self, filter: &MemoryFilter, limit: PageLimit, offset: u64) -> Result<Vec<Memory>, StoreError> {
        let state = self.state();
        let mut taken: Vec<&StoredMemory> = state.memories.iter().filter(|it| filter.takes(&it.memory)).collect();
        taken.sort_by_key(|it| Reverse((it.memory.created, it.place)));
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        Ok(taken.into_iter().skip(skipped).take(limit.get()).map(|it| it.memory.clone()).collect())
    }

    async fn change(&self, id: &MemoryId, change: &MemoryChange, entry: &AuditEntry) -> Result<bool, StoreError> {
        let mut state = self.state();
        let Some(index) = state.index_of(id) else { return Ok(false) };
        let stored = &mut state.memories[index];
        stored.memory.changed = change.at;
        let id = stored.memory.id.clone();
        let mut is_other = false;
        if let Some((text, source)) = &change.text {
            is_other = stored.memory.text != *text;
            (stored.memory.text, stored.memory.source) = (text.clone(), source.clone());
            stored.revision += i64::from(is_other);
        }
        if let Some(tags) = &change.tags {
            stored.memory.tags = tags.clone();
        }
        if is_other {
            state.drop_vectors(&id);
        }
        state.audit.push(entry.clone());
        Ok(true)
    }

    async fn remove(&self, id: &MemoryId, entry: &AuditEntry) -> Result<bool, StoreError> {
        let mut state = self.state();
        let Some(index) = state.index_of(id) else { return Ok(false) };
        state.remove_memory(index);
        state.audit.push(entry.clone());
        Ok(true)
    }

    async fn remove_some(
        &self,
        filter: &MemoryFilter,
        limit: PageLimit,
        entry: Option<&AuditEntry>,
    ) -> Result<u64, StoreError> {
        let mut state = self.state();
        let mut taken: Vec<&StoredMemory> = state.memories.iter().filter(|it| filter.takes(&it.memory)).collect();
        taken.sort_by_key(|it| (it.memory.created, it.place));
        let ids: Vec<MemoryId> = taken.into_iter().take(limit.get()).map(|it| it.memory.id.clone()).collect();
        for id in &ids {
            if let Some(index) = state.memories.iter().position(|it| it.memory.id == *id) {
                state.remove_memory(index);
            }
        }
        if !ids.is_empty() {
            state.audit.extend(entry.cloned());
        }
        Ok(ids.len() as u64)
    }

    async fn counts(&self) -> Result<MemoryCounts, StoreError> {
        let state = self.state();
        let count = |kind| state.memories.iter().filter(|it| it.memory.kind == kind).count() as u64;
        Ok(MemoryCounts { long_term: count(MemoryKind::LongTerm), daily: count(MemoryKind::Daily) })
    }

    async fn search(&self, words: &[String], owners: &Owners, limit: PageLimit) -> Result<Vec<WordHit>, StoreError> {
        let state = self.state();
        let texts: Vec<(&StoredMemory, Vec<String>)> =
            state.memories.iter().map(|it| (it, it.memory.words())).collect();
        let all = texts.len() as u64;
        let having: Vec<u64> =
            words.iter().map(|word| texts.iter().filter(|(_, text)| text.contains(word)).count() as u64).collect();
        let total: f64 = having.iter().map(|having| rarity(*having, all)).sum();
        let mut hits: Vec<(f64, i64, WordHit)> = Vec::new();
        for (stored, text) in texts.iter().filter(|(stored, _)| owners.include(&stored.memory.owner)) {
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            let worth = words.iter().zip(&having).map(|(word, having)| match times(word, text) {
                0 => 0.0,
                times => bm25(times, length, *having, all),
            });
            let worth: f64 = worth.sum();
            let had = words.iter().zip(&having).filter(|(word, _)| text.contains(word));
            let coverage: f64 = had.map(|(_, having)| rarity(*having, all) / total).sum();
            if words.iter().any(|word| text.contains(word)) {
                hits.push((worth, stored.place, WordHit { id: stored.memory.id.clone(), coverage }));
            }
        }
        hits.sort_by(|one, other| other.0.total_cmp(&one.0).then(other.1.cmp(&one.1)));
        Ok(hits.into_iter().take(limit.get()).map(|(_, _, hit)| hit).collect())
    }

    async fn graph(&self, part: Option<&str>, limit: PageLimit) -> Result<TagGraph, StoreError> {
        let state = self.state();
        let mut tags: BTreeMap<&String, u64> = BTreeMap::new();
        for tag in state.memories.iter().flat_map(|it| it.memory.tags.as_slice()) {
            if part.is_none_or(|part| fold(tag).contains(part)) {
                *tags.entry(tag).or_default() += 1;
            }
        }
        let mut tags: Vec<(String, u64)> = tags.into_iter().map(|(tag, count)| (tag.clone(), count)).collect();
        tags.sort_by_key(|(_, count)| Reverse(*count));
        tags.truncate(limit.get());
        let known: BTreeSet<&String> = tags.iter().map(|(tag, _)| tag).collect();
        let mut pairs: BTreeMap<(&String, &String), u64> = BTreeMap::new();
        for stored in &state.memories {
            let of_this: BTreeSet<&String> =
                stored.memory.tags.as_slice().iter().filter(|tag| known.contains(tag)).collect();
            for one in &of_this {
                for other in of_this.iter().filter(|other| *other > one) {
                    *pairs.entry((*one, *other)).or_default() += 1;
                }
            }
        }
        let mut pairs: Vec<(String, String, u64)> =
            pairs.into_iter().map(|((one, other), count)| (one.clone(), other.clone(), count)).collect();
        pairs.sort_by_key(|(_, _, count)| Reverse(*count));
        pairs.truncate(limit.get());
        Ok(TagGraph { tags, pairs })
    }
}

#[async_trait]
impl VectorStore for InMemoryStorage {
    async fn spaces(&self) -> Result<Vec<SpaceName>, StoreError> {
        Ok(self.state().vector_spaces.iter().map(|space| space.name.clone()).collect())
    }

    async fn open_space(&self, space: &SpaceName) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.space(space).is_none() {
            state.vector_spaces.push(Space { name: space.clone(), vectors: Vec::new() });
        }
        Ok(())
    }

    async fn drop_space(&self, space: &SpaceName) -> Result<(), StoreError> {
        self.state().vector_spaces.retain(|existing| existing.name != *space);
        Ok(())
    }

    async fn without(&self, space: &SpaceName, after: i64, limit: PageLimit) -> Result<Vec<Unembedded>, StoreError> {
        let state = self.state();
        let Some(space) = state.space(space) else { return Ok(Vec::new()) };
        let has_none = |it: &&StoredMemory| !space.vectors.iter().any(|vector| vector.id == it.memory.id);
        let memories = state.memories.iter().filter(|it| it.place > after).filter(has_none).take(limit.get());
        let memories = memories.map(|it| Unembedded {
            place: it.place,
            id: it.memory.id.clone(),
            revision: it.revision,
            text: it.memory.text.clone(),
        });
        Ok(memories.collect())
    }

    async fn put(&self, space: &SpaceName, vectors: Vec<NewVector>) -> Result<u64, StoreError> {
        let state = &mut *self.state();
        let mut stored = 0;
        for new in vectors {
            let is_meant = |it: &&StoredMemory| it.memory.id == new.id && it.revision == new.revision;
            let Some(owner) = state.memories.iter().find(is_meant).map(|it| it.memory.owner.clone()) else { continue };
            let place = state.next_place();
            let Some(space) = state.vector_spaces.iter_mut().find(|existing| existing.name == *space) else { continue };
            space.vectors.retain(|vector| vector.id != new.id);
            space.vectors.push(StoredVector { place, id: new.id, owner, vector: new.vector });
            stored += 1;
        }
        Ok(stored)
    }

    async fn vectors(&self, space: &SpaceName, after: i64, limit: PageLimit) -> Result<Vec<StoredVector>, StoreError> {
        let state = self.state();
        let vectors = state.space(space).into_iter().flat_map(|space| &space.vectors);
        Ok(vectors.filter(|vector| vector.place > after).take(limit.get()).cloned().collect())
    }

    async fn vector_count(&self, space: &SpaceName) -> Result<u64, StoreError> {
        Ok(self.state().space(space).map_or(0, |space| space.vectors.len() as u64))
    }
}
