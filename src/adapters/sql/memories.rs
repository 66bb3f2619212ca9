//! Memories: their rows, their words and their tags.

mod graph;
mod moving;
mod search;
mod vectors;

pub(super) use moving::move_kept;

use super::connection::AnyConnection;
use super::errors::corrupt;
use super::schema::{memories, memory_tags, memory_terms, memory_vectors};
use super::{SqlStorage, audit};
use crate::domain::audit::AuditEntry;
use crate::domain::memory::ranking::WordHit;
use crate::domain::memory::{
    Author, Memory, MemoryChange, MemoryCounts, MemoryFilter, MemoryId, MemoryKind, MemoryText, Owner, Owners, Source,
    TagGraph, Tags, words,
};
use crate::domain::text::{PageLimit, fold};
use crate::domain::time::Timestamp;
use crate::ports::memory::MemoryStore;
use crate::ports::store::StoreError;
use async_trait::async_trait;
use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::sql_types::Text;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

diesel::define_sql_function! {
    /// Where `needle` begins in `text`, counted from 1; 0 if it is not in it.
    fn instr(text: Text, needle: Text) -> Integer;
}

/// A memory without the folded copy, which nobody reads back.
#[derive(Queryable, Selectable)]
#[diesel(table_name = memories)]
struct Row {
    id: String,
    legacy_id: Option<String>,
    kind: String,
    owner: String,
    created: i64,
    changed: i64,
    tags: String,
    author: String,
    session: Option<String>,
    message: Option<String>,
    content: String,
}

impl TryFrom<Row> for Memory {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let id = &row.id;
        let legacy_id = row.legacy_id.as_deref().map(MemoryId::parse).transpose();
        let tags: Vec<String> =
            serde_json::from_str(&row.tags).map_err(|error| corrupt("memories", "tags", id, error))?;
        let tags = Tags::parse(tags.iter().map(String::as_str));
        let kind = MemoryKind::parse(&row.kind);
        let author = Author::parse(&row.author);
        Ok(Self {
            legacy_id: legacy_id.map_err(|error| corrupt("memories", "legacy_id", id, error))?,
            kind: kind.ok_or_else(|| corrupt("memories", "kind", id, "an unknown kind"))?,
            owner: Owner::parse(&row.owner).map_err(|error| corrupt("memories", "owner", id, error))?,
            text: MemoryText::parse(&row.content).map_err(|error| corrupt("memories", "content", id, error))?,
            tags: tags.map_err(|error| corrupt("memories", "tags", id, error))?,
            created: Timestamp(row.created),
            changed: Timestamp(row.changed),
            source: Source {
                author: author.ok_or_else(|| corrupt("memories", "author", id, "an unknown author"))?,
                session: row.session,
                message: row.message,
            },
            id: MemoryId::parse(id).map_err(|error| corrupt("memories", "id", id, error))?,
        })
    }
}

#[derive(Insertable)]
#[diesel(table_name = memory_terms)]
struct TermRow {
    term: String,
    memory_key: i64,
    frequency: i32,
    length: i32,
}

#[derive(Insertable)]
#[diesel(table_name = memory_tags)]
struct TagRow<'a> {
    tag: &'a str,
    memory_key: i64,
    folded: String,
}

fn json_of(tags: &[String]) -> String {
    Value::from(tags).to_string()
}

/// Adds the row of a memory, and gives its key, for [`index`].
fn insert(connection: &mut AnyConnection, memory: &Memory) -> QueryResult<i64> {
    let values = (
        memories::id.eq(memory.id.as_str()),
        memories::legacy_id.eq(memory.legacy_id.as_ref().map(MemoryId::as_str)),
        memories::kind.eq(memory.kind.as_str()),
        memories::owner.eq(memory.owner.as_str()),
        memories::created.eq(memory.created.0),
        memories::changed.eq(memory.changed.0),
        memories::revision.eq(0),
        memories::tags.eq(json_of(memory.tags.as_slice())),
        memories::author.eq(memory.source.author.as_str()),
        memories::session.eq(&memory.source.session),
        memories::message.eq(&memory.source.message),
        memories::content.eq(memory.text.as_str()),
        memories::folded.eq(fold(memory.text.as_str())),
    );
    diesel::insert_into(memories::table).values(values).returning(memories::key).get_result(connection)
}

/// A memory by its key, its text and its tags.
pub(super) type ToIndex<'a> = (i64, &'a str, &'a [String]);

/// Adds the words and tags of memories to what they are found by.
pub(super) fn index(connection: &mut AnyConnection, new: &[ToIndex<'_>]) -> QueryResult<()> {
    let (mut terms, mut tags) = (Vec::new(), Vec::new());
    for (key, text, tags_of) in new {
        let words = words::of_memory(text, tags_of);
        let length = i32::try_from(words.len()).unwrap_or(i32::MAX);
        let mut frequencies: BTreeMap<String, i32> = BTreeMap::new();
        for word in words {
            *frequencies.entry(word).or_default() += 1;
        }
        let rows = frequencies.into_iter();
        terms.extend(rows.map(|(term, frequency)| TermRow { term, memory_key: *key, frequency, length }));
        tags.extend(tags_of.iter().map(|tag| TagRow { tag, memory_key: *key, folded: fold(tag) }));
    }
    // In the order of the table: many of them at once touch each of its pages once.
    terms.sort_unstable_by(|one, other| (&one.term, one.memory_key).cmp(&(&other.term, other.memory_key)));
    for rows in terms.chunks(1_000) {
        let insert = diesel::insert_into(memory_terms::table).values(rows);
        match connection {
            AnyConnection::Sqlite(inner) => insert.execute(inner)?,
            AnyConnection::Postgres(inner) => insert.execute(inner)?,
        };
    }
    for rows in tags.chunks(1_000) {
        let insert = diesel::insert_into(memory_tags::table).values(rows);
        match connection {
            AnyConnection::Sqlite(inner) => insert.execute(inner)?,
            AnyConnection::Postgres(inner) => insert.execute(inner)?,
        };
    }
    Ok(())
}

/// Takes memories out of what they are found by.
fn unindex(connection: &mut AnyConnection, keys: &[i64]) -> QueryResult<()> {
    diesel::delete(memory_terms::table.filter(memory_terms::memory_key.eq_any(keys))).execute(connection)?;
    diesel::delete(memory_tags::table.filter(memory_tags::memory_key.eq_any(keys))).execute(connection)?;
    Ok(())
}

fn remove(connection: &mut AnyConnection, keys: &[i64]) -> QueryResult<()> {
    unindex(connection, keys)?;
    diesel::delete(memory_vectors::table.filter(memory_vectors::memory_key.eq_any(keys))).execute(connection)?;
    diesel::delete(memories::table.filter(memories::key.eq_any(keys))).execute(connection)?;
    Ok(())
}

/// The key of the memory that has this name.
fn key_of(connection: &mut AnyConnection, id: &MemoryId) -> QueryResult<Option<i64>> {
    let by_id = memories::table.filter(memories::id.eq(id.as_str())).select(memories::key);
    if let Some(key) = by_id.first(connection).optional()? {
        return Ok(Some(key));
    }
    let by_legacy_id = memories::table.filter(memories::legacy_id.eq(id.as_str())).order(memories::key);
    by_legacy_id.select(memories::key).first(connection).optional()
}

/// Stores a memory unless one has its id, for many at once: what this gives, if anything, is for [`index`].
pub(super) fn import_memory<'a>(
    connection: &mut AnyConnection,
    memory: &'a Memory,
) -> QueryResult<Option<ToIndex<'a>>> {
    let existing = memories::table.filter(memories::id.eq(memory.id.as_str())).select(memories::key);
    if existing.first::<i64>(connection).optional()?.is_some() {
        return Ok(None);
    }
    let key = insert(connection, memory)?;
    Ok(Some((key, memory.text.as_str(), memory.tags.as_slice())))
}

/// The keys or rows that a filter takes, without an order.
macro_rules! filtered {
    ($filter:expr) => {{
        let MemoryFilter { owners, kind, tag, text, created_before } = $filter;
        let mut query = memories::table.into_boxed();
        if let Some(names) = owners.names() {
            query = query.filter(memories::owner.eq_any(names));
        }
        if let Some(kind) = kind {
            query = query.filter(memories::kind.eq(kind.as_str()));
        }
        if let Some(tag) = tag {
            let of_memory = memory_tags::table.filter(memory_tags::memory_key.eq(memories::key));
            query = query.filter(exists(of_memory.filter(memory_tags::tag.eq(tag))));
        }
        if let Some(text) = text {
            query = query.filter(instr(memories::folded, text).gt(0));
        }
        if let Some(before) = created_before {
            query = query.filter(memories::created.lt(before.0));
        }
        query
    }};
}

#[async_trait]
impl MemoryStore for SqlStorage {
    async fn insert(&self, memory: &Memory, entry: &AuditEntry) -> Result<(), StoreError> {
        let (memory, entry) = (memory.clone(), entry.clone());
        let inserted = self.write("memories.insert", move |connection| {
            let key = insert(connection, &memory)?;
            index(connection, &[(key, memory.text.as_str(), memory.tags.as_slice())])?;
            audit::insert(connection, &entry)
        });
        inserted.await
    }

    async fn find(&self, id: &MemoryId) -> Result<Option<Memory>, StoreError> {
        let id = id.clone();
        let found = self.read("memories.find", move |connection| {
            let Some(key) = key_of(connection, &id)? else { return Ok(None) };
            Ok(memories::table.find(key).select(Row::as_select()).first(connection).optional()?)
        });
        found.await?.map(Memory::try_from).transpose()
    }

    async fn get(&self, ids: &[MemoryId], owners: &Owners) -> Result<Vec<Memory>, StoreError> {
        let names: Vec<String> = ids.iter().map(|id| id.as_str().to_owned()).collect();
        let rows = self.read("memories.get", move |connection| {
            let rows = memories::table.filter(memories::id.eq_any(names)).select(Row::as_select());
            Ok(rows.load(connection)?)
        });
        let mut by_id: HashMap<String, Row> = rows.await?.into_iter().map(|row| (row.id.clone(), row)).collect();
        let memories = ids.iter().filter_map(|id| by_id.remove(id.as_str())).map(Memory::try_from);
        let memories: Vec<Memory> = memories.collect::<Result<_, _>>()?;
        Ok(memories.into_iter().filter(|memory| owners.include(&memory.owner)).collect())
    }

    async fn page(&self, filter: &MemoryFilter, limit: PageLimit, offset: u64) -> Result<Vec<Memory>, StoreError> {
        let filter = filter.clone();
        let rows = self.read("memories.page", move |connection| {
            let rows = filtered!(&filter)
                .order((memories::created.desc(), memories::key.desc()))
                .limit(limit.as_i64())
                .offset(i64::try_from(offset).unwrap_or(i64::MAX))
                .select(Row::as_select());
            Ok(rows.load(connection)?)
        });
        rows.await?.into_iter().map(Memory::try_from).collect()
    }

    async fn change(&self, id: &MemoryId, change: &MemoryChange, entry: &AuditEntry) -> Result<bool, StoreError> {
        let (id, change, entry) = (id.clone(), change.clone(), entry.clone());
        let changed = self.write("memories.change", move |connection| {
            let Some(key) = key_of(connection, &id)? else { return Ok(false) };
            let row = memories::table.find(key);
            diesel::update(row).set(memories::changed.eq(change.at.0)).execute(connection)?;
            if let Some((text, source)) = &change.text {
                let before: String = row.select(memories::content).first(connection)?;
                let values = (
                    memories::author.eq(source.author.as_str()),
                    memories::session.eq(&source.session),
                    memories::message.eq(&source.message),
                );
                diesel::update(row).set(values).execute(connection)?;
                if before != text.as_str() {
                    let values = (
                        memories::content.eq(text.as_str()),
                        memories::folded.eq(fold(text.as_str())),
                        memories::revision.eq(memories::revision + 1),
                    );
                    diesel::update(row).set(values).execute(connection)?;
                    diesel::delete(memory_vectors::table.filter(memory_vectors::memory_key.eq(key)))
                        .execute(connection)?;
                }
            }
            if let Some(tags) = &change.tags {
                diesel::update(row).set(memories::tags.eq(json_of(tags.as_slice()))).execute(connection)?;
            }
            let memory = Memory::try_from(row.select(Row::as_select()).first(connection)?)?;
            unindex(connection, &[key])?;
            index(connection, &[(key, memory.text.as_str(), memory.tags.as_slice())])?;
            audit::insert(connection, &entry)?;
            Ok(true)
        });
        changed.await
    }

    async fn remove(&self, id: &MemoryId, entry: &AuditEntry) -> Result<bool, StoreError> {
        let (id, entry) = (id.clone(), entry.clone());
        let removed = self.write("memories.remove", move |connection| {
            let Some(key) = key_of(connection, &id)? else { return Ok(false) };
            remove(connection, &[key])?;
            audit::insert(connection, &entry)?;
            Ok(true)
        });
        removed.await
    }

    async fn remove_some(
        &self,
        filter: &MemoryFilter,
        limit: PageLimit,
        entry: Option<&AuditEntry>,
    ) -> Result<u64, StoreError> {
        let (filter, entry) = (filter.clone(), entry.cloned());
        let removed = self.write("memories.remove_some", move |connection| {
            let keys = filtered!(&filter).order((memories::created, memories::key)).limit(limit.as_i64());
            let keys: Vec<i64> = keys.select(memories::key).load(connection)?;
            remove(connection, &keys)?;
            if let Some(entry) = entry.filter(|_| !keys.is_empty()) {
                audit::insert(connection, &entry)?;
            }
            Ok(keys.len() as u64)
        });
        removed.await
    }

    async fn counts(&self) -> Result<MemoryCounts, StoreError> {
        let counts = self.read("memories.counts", |connection| {
            let mut count = |kind: MemoryKind| -> QueryResult<i64> {
                memories::table.filter(memories::kind.eq(kind.as_str())).count().get_result(connection)
            };
            Ok((count(MemoryKind::LongTerm)?, count(MemoryKind::Daily)?))
        });
        let (long_term, daily) = counts.await?;
        Ok(MemoryCounts { long_term: long_term.unsigned_abs(), daily: daily.unsigned_abs() })
    }

    async fn search(&self, words: &[String], owners: &Owners, limit: PageLimit) -> Result<Vec<WordHit>, StoreError> {
        let (words, owners) = (words.to_vec(), owners.clone());
        self.read("memories.search", move |connection| search::search(connection, &words, &owners, limit)).await
    }

    async fn graph(&self, part: Option<&str>, limit: PageLimit) -> Result<TagGraph, StoreError> {
        let part = part.map(str::to_owned);
        self.read("memories.graph", move |connection| Ok(graph::graph(connection, part.as_deref(), limit)?)).await
    }
}

#[cfg(test)]
mod tests;
