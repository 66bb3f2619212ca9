//! Memories that were imported before there was a place for them, and kept.
//!
//! Not in a migration: a backup that is older than their place may be restored at any time.

use super::{import_memory, index};
use crate::adapters::sql::connection::AnyConnection;
use crate::adapters::sql::errors::Failure;
use crate::adapters::sql::schema::kept;
use crate::domain::memory::{Author, Memory, MemoryId, MemoryKind, MemoryText, Owner, Source, Tags, credentials};
use crate::domain::time::Timestamp;
use crate::ports::store::StoreError;
use diesel::prelude::*;
use serde::Deserialize;

/// How many are moved at a time.
const PAGE: i64 = 1_000;

/// What an import kept of a memory.
#[derive(Deserialize)]
struct Body {
    scope: String,
    owner: Option<String>,
    content: String,
    #[serde(default)]
    tags: Vec<String>,
    created: i64,
    legacy_id: Option<String>,
}

/// Moves what is kept to where it belongs now, all of it or nothing. What cannot be used stays where it is.
pub(in crate::adapters::sql) fn move_kept(connection: &mut AnyConnection) -> Result<(), StoreError> {
    Ok(connection.transaction(move_all)?)
}

fn move_all(connection: &mut AnyConnection) -> Result<(), Failure> {
    let (mut after, mut moved) = (i64::MIN, 0);
    loop {
        let page = kept::table.filter(kept::kind.eq("memory")).filter(kept::key.gt(after));
        let page = page.order(kept::key).limit(PAGE).select((kept::key, kept::id, kept::body));
        let page: Vec<(i64, String, String)> = page.load(connection)?;
        let Some((last, ..)) = page.last() else { break };
        after = *last;
        let mut memories = Vec::with_capacity(page.len());
        for (key, id, body) in &page {
            match memory_of(id, body) {
                Ok(memory) => {
                    diesel::delete(kept::table.find(key)).execute(connection)?;
                    memories.push(memory);
                }
                Err(why) => tracing::info!(id, why, "a memory that an import kept stays in the table kept"),
            }
        }
        let mut new = Vec::with_capacity(memories.len());
        for memory in &memories {
            new.extend(import_memory(connection, memory)?);
        }
        index(connection, &new)?;
        moved += memories.len();
    }
    if moved > 0 {
        tracing::info!(moved, "memories that were kept by an import were moved");
    }
    Ok(())
}

fn memory_of(id: &str, body: &str) -> Result<Memory, String> {
    let body: Body = serde_json::from_str(body).map_err(|_| "it is not the JSON that it should be".to_owned())?;
    if let Some(what) = credentials::find(&body.content) {
        return Err(format!("it looks like {what}, which is not remembered"));
    }
    let kind = MemoryKind::parse(&body.scope).ok_or("it is of no known kind")?;
    let owner = body.owner.as_deref().map_or(Ok(Owner::everybody()), Owner::parse);
    let created = Timestamp(body.created);
    let tags = Tags::parse(body.tags.iter().map(String::as_str).take(Tags::MAX));
    Ok(Memory {
        id: MemoryId::parse(id).map_err(|why| format!("its id {why}"))?,
        legacy_id: body.legacy_id.as_deref().and_then(|id| MemoryId::parse(id).ok()),
        kind,
        owner: owner.map_err(|why| format!("its owner {why}"))?,
        text: MemoryText::parse(&body.content).map_err(|why| format!("its text {why}"))?,
        tags: tags?,
        created,
        changed: created,
        source: Source::by(Author::Import),
    })
}
