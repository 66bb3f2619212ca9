//! The vectors of memories, as blobs.

use crate::adapters::sql::SqlStorage;
use crate::adapters::sql::connection::AnyConnection;
use crate::adapters::sql::errors::{Failure, corrupt};
use crate::adapters::sql::schema::{memories, memory_vectors, vector_spaces};
use crate::domain::memory::embedding::{SpaceName, Vector};
use crate::domain::memory::{MemoryId, MemoryText, Owner};
use crate::domain::text::PageLimit;
use crate::ports::memory::{NewVector, StoredVector, Unembedded, VectorStore};
use crate::ports::store::StoreError;
use async_trait::async_trait;
use diesel::dsl::{exists, not};
use diesel::prelude::*;

fn blob_of(vector: &Vector) -> Vec<u8> {
    vector.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn vector_of(blob: &[u8]) -> Option<Vector> {
    let (values, rest) = blob.as_chunks::<4>();
    rest.is_empty().then(|| values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

fn key_of(connection: &mut AnyConnection, space: &SpaceName) -> QueryResult<Option<i64>> {
    let found = vector_spaces::table.filter(vector_spaces::name.eq(&space.0)).select(vector_spaces::key);
    found.first(connection).optional()
}

fn put(connection: &mut AnyConnection, space: &SpaceName, vectors: &[NewVector]) -> Result<u64, Failure> {
    let Some(space_key) = key_of(connection, space)? else { return Ok(0) };
    let mut stored = 0;
    for new in vectors {
        let memory = memories::table.filter(memories::id.eq(new.id.as_str()));
        let memory = memory.filter(memories::revision.eq(new.revision)).select(memories::key);
        let Some(memory_key) = memory.first::<i64>(connection).optional()? else { continue };
        let of_memory = memory_vectors::memory_key.eq(memory_key).and(memory_vectors::space_key.eq(space_key));
        diesel::delete(memory_vectors::table.filter(of_memory)).execute(connection)?;
        let values = (
            memory_vectors::space_key.eq(space_key),
            memory_vectors::memory_key.eq(memory_key),
            memory_vectors::vector.eq(blob_of(&new.vector)),
        );
        diesel::insert_into(memory_vectors::table).values(values).execute(connection)?;
        stored += 1;
    }
    Ok(stored)
}

#[async_trait]
impl VectorStore for SqlStorage {
    async fn spaces(&self) -> Result<Vec<SpaceName>, StoreError> {
        let names = self.read("vectors.spaces", |connection| {
            let names = vector_spaces::table.order(vector_spaces::key).select(vector_spaces::name);
            Ok(names.load::<String>(connection)?)
        });
        Ok(names.await?.into_iter().map(SpaceName).collect())
    }

    async fn open_space(&self, space: &SpaceName) -> Result<(), StoreError> {
        let space = space.clone();
        let opened = self.write("vectors.open_space", move |connection| {
            if key_of(connection, &space)?.is_none() {
                diesel::insert_into(vector_spaces::table)
                    .values(vector_spaces::name.eq(&space.0))
                    .execute(connection)?;
            }
            Ok(())
        });
        opened.await
    }

    async fn drop_space(&self, space: &SpaceName) -> Result<(), StoreError> {
        let space = space.clone();
        let dropped = self.write("vectors.drop_space", move |connection| {
            let Some(key) = key_of(connection, &space)? else { return Ok(()) };
            diesel::delete(memory_vectors::table.filter(memory_vectors::space_key.eq(key))).execute(connection)?;
            diesel::delete(vector_spaces::table.find(key)).execute(connection)?;
            Ok(())
        });
        dropped.await
    }

    async fn without(&self, space: &SpaceName, after: i64, limit: PageLimit) -> Result<Vec<Unembedded>, StoreError> {
        let space = space.clone();
        let rows = self.read("vectors.without", move |connection| {
            let Some(space_key) = key_of(connection, &space)? else { return Ok(Vec::new()) };
            let of_memory = memory_vectors::table.filter(memory_vectors::memory_key.eq(memories::key));
            let of_memory = of_memory.filter(memory_vectors::space_key.eq(space_key));
            let rows = memories::table
                .filter(memories::key.gt(after))
                .filter(not(exists(of_memory)))
                .order(memories::key)
                .limit(limit.as_i64())
                .select((memories::key, memories::id, memories::revision, memories::content));
            Ok(rows.load::<(i64, String, i64, String)>(connection)?)
        });
        let unembedded = rows.await?.into_iter().map(|(place, id, revision, text)| {
            Ok(Unembedded {
                place,
                text: MemoryText::parse(&text).map_err(|error| corrupt("memories", "content", &id, error))?,
                id: MemoryId::parse(&id).map_err(|error| corrupt("memories", "id", &id, error))?,
                revision,
            })
        });
        unembedded.collect()
    }

    async fn put(&self, space: &SpaceName, vectors: Vec<NewVector>) -> Result<u64, StoreError> {
        let space = space.clone();
        self.write("vectors.put", move |connection| put(connection, &space, &vectors)).await
    }

    async fn vectors(&self, space: &SpaceName, after: i64, limit: PageLimit) -> Result<Vec<StoredVector>, StoreError> {
        let space = space.clone();
        let rows = self.read("vectors.vectors", move |connection| {
            let Some(space_key) = key_of(connection, &space)? else { return Ok(Vec::new()) };
            let rows = memory_vectors::table
                .inner_join(memories::table.on(memories::key.eq(memory_vectors::memory_key)))
                .filter(memory_vectors::space_key.eq(space_key))
                .filter(memory_vectors::key.gt(after))
                .order(memory_vectors::key)
                .limit(limit.as_i64())
                .select((memory_vectors::key, memories::id, memories::owner, memory_vectors::vector));
            Ok(rows.load::<(i64, String, String, Vec<u8>)>(connection)?)
        });
        let stored = rows.await?.into_iter().map(|(place, id, owner, blob)| {
            let vector = vector_of(&blob);
            Ok(StoredVector {
                place,
                owner: Owner::parse(&owner).map_err(|error| corrupt("memories", "owner", &id, error))?,
                vector: vector.ok_or_else(|| corrupt("memory_vectors", "vector", &id, "not a list of numbers"))?,
                id: MemoryId::parse(&id).map_err(|error| corrupt("memories", "id", &id, error))?,
            })
        });
        stored.collect()
    }

    async fn vector_count(&self, space: &SpaceName) -> Result<u64, StoreError> {
        let space = space.clone();
        let count = self.read("vectors.count", move |connection| {
            let Some(space_key) = key_of(connection, &space)? else { return Ok(0) };
            let of_space = memory_vectors::table.filter(memory_vectors::space_key.eq(space_key));
            Ok(of_space.count().get_result::<i64>(connection)?)
        });
        Ok(count.await?.unsigned_abs())
    }
}
