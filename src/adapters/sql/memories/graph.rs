//! Tags, and which of them stand together.

use super::instr;
use crate::adapters::sql::connection::AnyConnection;
use crate::adapters::sql::schema::memory_tags;
use crate::domain::memory::TagGraph;
use crate::domain::text::PageLimit;
use diesel::dsl::count_star;
use diesel::prelude::*;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// How many tags of memories are looked at for pairs, the newest ones.
const LOOKED_AT: i64 = 500_000;

/// See [`crate::ports::memory::MemoryStore::graph`].
pub(super) fn graph(connection: &mut AnyConnection, part: Option<&str>, limit: PageLimit) -> QueryResult<TagGraph> {
    let counted = memory_tags::table.group_by(memory_tags::tag).select((memory_tags::tag, count_star()));
    let counted = counted.order((count_star().desc(), memory_tags::tag)).limit(limit.as_i64());
    let tags: Vec<(String, i64)> = match part {
        Some(part) => counted.filter(instr(memory_tags::folded, part).gt(0)).load(connection)?,
        None => counted.load(connection)?,
    };
    let names: Vec<&String> = tags.iter().map(|(tag, _)| tag).collect();
    let rows: Vec<(i64, String)> = memory_tags::table
        .filter(memory_tags::tag.eq_any(&names))
        .order((memory_tags::memory_key.desc(), memory_tags::tag))
        .limit(LOOKED_AT)
        .select((memory_tags::memory_key, memory_tags::tag))
        .load(connection)?;
    let mut pairs: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for of_memory in rows.chunk_by(|one, other| one.0 == other.0) {
        for (place, (_, one)) in of_memory.iter().enumerate() {
            for (_, other) in &of_memory[place + 1..] {
                *pairs.entry((one, other)).or_default() += 1;
            }
        }
    }
    let pairs = pairs.into_iter().map(|((one, other), count)| (one.to_owned(), other.to_owned(), count));
    let mut pairs: Vec<(String, String, u64)> = pairs.collect();
    pairs.sort_by_key(|(_, _, count)| Reverse(*count));
    pairs.truncate(limit.get());
    Ok(TagGraph { tags: tags.into_iter().map(|(tag, count)| (tag, count.unsigned_abs())).collect(), pairs })
}
