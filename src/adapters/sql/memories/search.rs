//! The full-text index of memories, asked with BM25.
//!
//! An index of our own, a table of words, and not that of the database: SQLite's has BM25 and PostgreSQL's has not, and what is
//! found should not depend on where it is kept. See `docs/decisions/0030-memory.md`.

use crate::adapters::sql::connection::AnyConnection;
use crate::adapters::sql::errors::{Failure, corrupt};
use crate::adapters::sql::schema::{memories, memory_terms};
use crate::domain::memory::ranking::{WordHit, bm25, rarity};
use crate::domain::memory::{MemoryId, Owners};
use crate::domain::text::PageLimit;
use diesel::prelude::*;
use std::collections::HashMap;

/// How many memories are looked at closely, if no more are asked for: five times what recall asks for.
const CANDIDATES: usize = 250;

/// See [`crate::ports::memory::MemoryStore::search`].
pub(super) fn search(
    connection: &mut AnyConnection,
    words: &[String],
    owners: &Owners,
    limit: PageLimit,
) -> Result<Vec<WordHit>, Failure> {
    let all: i64 = memories::table.count().get_result(connection)?;
    let mut having: Vec<u64> = Vec::with_capacity(words.len());
    for word in words {
        let count: i64 = memory_terms::table.filter(memory_terms::term.eq(word)).count().get_result(connection)?;
        having.push(count.unsigned_abs());
    }
    let keys = candidates(connection, words, &having, owners, limit.get().max(CANDIDATES))?;
    // What each is worth, and how much of the question it has.
    let mut worth: HashMap<i64, (f64, f64)> = keys.iter().map(|key| (*key, (0.0, 0.0))).collect();
    let all = all.unsigned_abs();
    let total: f64 = having.iter().map(|having| rarity(*having, all)).sum();
    for (word, having) in words.iter().zip(&having).filter(|(_, having)| **having > 0) {
        let of_word = memory_terms::table.filter(memory_terms::term.eq(word));
        let rows: Vec<(i64, i32, i32)> = of_word
            .filter(memory_terms::memory_key.eq_any(&keys))
            .select((memory_terms::memory_key, memory_terms::frequency, memory_terms::length))
            .load(connection)?;
        for (key, times, length) in rows {
            let (value, share) = worth.entry(key).or_default();
            *value += bm25(times.unsigned_abs(), length.unsigned_abs(), *having, all);
            *share += rarity(*having, all) / total;
        }
    }
    let mut hits: Vec<(i64, (f64, f64))> = worth.into_iter().collect();
    hits.sort_by(|one, other| other.1.0.total_cmp(&one.1.0).then(other.0.cmp(&one.0)));
    hits.truncate(limit.get());
    let keys: Vec<i64> = hits.iter().map(|(key, _)| *key).collect();
    let ids = memories::table.filter(memories::key.eq_any(&keys)).select((memories::key, memories::id));
    let ids: HashMap<i64, String> = ids.load::<(i64, String)>(connection)?.into_iter().collect();
    let mut found = Vec::with_capacity(hits.len());
    for (key, (_, coverage)) in hits {
        let Some(id) = ids.get(&key) else { continue };
        let id = MemoryId::parse(id).map_err(|error| corrupt("memories", "id", id, error))?;
        found.push(WordHit { id, coverage });
    }
    Ok(found)
}

/// Memories that have the rarest of the words, until there are enough.
fn candidates(
    connection: &mut AnyConnection,
    words: &[String],
    having: &[u64],
    owners: &Owners,
    enough: usize,
) -> Result<Vec<i64>, Failure> {
    let mut by_rarity: Vec<(u64, &String)> =
        having.iter().copied().zip(words).filter(|(count, _)| *count > 0).collect();
    by_rarity.sort_by_key(|(count, _)| *count);
    let names = owners.names();
    let mut keys: Vec<i64> = Vec::new();
    for (_, word) in by_rarity {
        if keys.len() >= enough {
            break;
        }
        let newest = i64::try_from(enough).unwrap_or(i64::MAX);
        let of_word = memory_terms::table.filter(memory_terms::term.eq(word)).select(memory_terms::memory_key);
        let of_word = of_word.order(memory_terms::memory_key.desc()).limit(newest).into_boxed();
        let found: Vec<i64> = match &names {
            None => of_word.load(connection)?,
            Some(names) => {
                let of_owner = memories::table.filter(memories::key.eq(memory_terms::memory_key));
                let of_owner = of_owner.filter(memories::owner.eq_any(names.clone()));
                of_word.filter(diesel::dsl::exists(of_owner)).load(connection)?
            }
        };
        keys.extend(found);
        keys.sort_unstable();
        keys.dedup();
    }
    Ok(keys)
}
