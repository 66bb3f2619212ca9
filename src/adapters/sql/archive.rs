//! Everything in the database as records, and records as everything in a database.
//!
//! What a record looks like is in `rows.rs`. Not in the records is what can be made again: folded texts, the search index
//! and how far it has come, the words and vectors of memories; and what is about to go: the messages of removed sessions.

mod hexadecimal;
mod rows;

use super::StorageUrl;
use super::connection::{self, AnyConnection, Purpose};
use super::errors::Failure;
use super::migrations;
use super::schema::{
    audit, kept, memories, memory_tags, memory_terms, memory_vectors, messages, removed_sessions, search_progress,
    sessions, turns, vector_spaces,
};
use crate::ports::archive::{Archive, ArchiveError, Record, RecordSink, Vaults};
use crate::ports::store::{Cause, StoreError};
use crate::ports::vault::Vault;
use diesel::connection::SimpleConnection;
use diesel::dsl::max;
use diesel::prelude::*;
use diesel::r2d2::R2D2Connection;
use diesel::sql_types::{Nullable, Text};
use rows::{TABLES, Table};

/// How many rows are stored with one statement. The largest has 13 columns; SQLite takes 32,766 values.
const BATCH: usize = 500;

/// How many bytes of JSON are gathered for one statement, at most: fewer rows if they are long.
const BATCH_BYTES: usize = 1024 * 1024;

/// The database at an URL, which is opened when it is first needed: to be read as it is, or to be filled.
pub struct SqlArchive {
    url: StorageUrl,
    purpose: Purpose,
    connection: Option<AnyConnection>,
}

impl SqlArchive {
    /// A database to read, beside whoever writes to it. It must be there and have the schema of this program.
    #[must_use]
    pub fn to_read(url: StorageUrl) -> Self {
        Self { url, purpose: Purpose::Read, connection: None }
    }

    /// A database to fill, which nobody else may use. An SQLite file is created, and the schema is brought up to date.
    #[must_use]
    pub fn to_fill(url: StorageUrl) -> Self {
        Self { url, purpose: Purpose::Write, connection: None }
    }

    fn connection(&mut self) -> Result<&mut AnyConnection, StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None if self.purpose == Purpose::Read => {
                let mut connection = connection::open(&self.url, Purpose::Read)?;
                migrations::check(&mut connection)?;
                connection
            }
            None => migrations::open_current(&self.url)?.0,
        };
        Ok(self.connection.insert(connection))
    }
}

impl From<diesel::result::Error> for ArchiveError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Store(Failure::from(error).into())
    }
}

fn table(record: &Record) -> Result<&'static Table, ArchiveError> {
    let known = TABLES.iter().find(|table| table.name == record.table);
    known.ok_or_else(|| ArchiveError::Refused { table: record.table.clone(), source: "there is no such table".into() })
}

impl Archive for SqlArchive {
    fn schema(&self) -> Result<Vec<String>, StoreError> {
        migrations::names()
    }

    fn count(&mut self) -> Result<u64, StoreError> {
        let connection = self.connection()?;
        let counts = TABLES.iter().map(|table| (table.count)(connection)).sum::<QueryResult<i64>>();
        Ok(counts.map_err(Failure::from)?.unsigned_abs())
    }

    fn dump(&mut self, sink: &mut RecordSink<'_>) -> Result<u64, ArchiveError> {
        let connection = self.connection()?;
        // A reading transaction sees one moment, in either database.
        connection.transaction(|connection| TABLES.iter().map(|table| (table.dump)(connection, sink)).sum())
    }

    fn check(&self, record: &Record, origin: &dyn Vault) -> Result<(), ArchiveError> {
        (table(record)?.check)(&record.row, origin)
    }

    fn fill(
        &mut self,
        records: &mut dyn Iterator<Item = Result<Record, Cause>>,
        vaults: Vaults<'_>,
        replace: bool,
    ) -> Result<(), ArchiveError> {
        let connection = self.connection()?;
        let mut is_stored = false;
        let filled = connection.transaction(|connection| {
            if let AnyConnection::Postgres(inner) = connection {
                // Nobody waits for this but the one who asked for it.
                inner.batch_execute("SET LOCAL statement_timeout = 0")?;
            }
            if replace {
                clear(connection)?;
            } else if !is_empty(connection)? {
                return Err(ArchiveError::NotEmpty);
            }
            let index = drop_index(connection)?;
            fill(connection, records, vaults)?;
            set_counters(connection)?;
            if let Some(definition) = index {
                connection.batch_execute(&definition)?;
            }
            is_stored = true;
            Ok(())
        });
        match filled {
            // It is the commit that failed; it may have come through before the connection was lost.
            Err(ArchiveError::Store(error)) if is_stored && connection.is_broken() => {
                Err(ArchiveError::Unconfirmed(error))
            }
            Err(error) => Err(error),
            Ok(()) => {
                if let AnyConnection::Postgres(inner) = connection {
                    // Otherwise the first minutes are slow, until the server does it by itself. It is no loss if it fails.
                    let _ = inner.batch_execute("SET statement_timeout = 0");
                    let _ = inner
                        .batch_execute("VACUUM (ANALYZE) sessions, messages, turns, audit, memories, memory_terms");
                }
                Ok(())
            }
        }
    }
}

fn is_empty(connection: &mut AnyConnection) -> QueryResult<bool> {
    for table in &TABLES {
        if (table.count)(connection)? > 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes everything. The index goes first, so that it is not told of every message.
fn clear(connection: &mut AnyConnection) -> QueryResult<()> {
    match connection {
        AnyConnection::Sqlite(inner) => inner.batch_execute("INSERT INTO search (search) VALUES ('delete-all')")?,
        AnyConnection::Postgres(inner) => inner.batch_execute("DELETE FROM search")?,
    }
    diesel::update(search_progress::table).set(search_progress::through.eq(0)).execute(connection)?;
    diesel::delete(messages::table).execute(connection)?;
    diesel::delete(removed_sessions::table).execute(connection)?;
    diesel::delete(memory_terms::table).execute(connection)?;
    diesel::delete(memory_tags::table).execute(connection)?;
    diesel::delete(memory_vectors::table).execute(connection)?;
    diesel::delete(vector_spaces::table).execute(connection)?;
    TABLES.iter().try_for_each(|table| (table.clear)(connection))
}

/// PostgreSQL makes its index of texts several times faster in one go than message by message. Gives the statement that
/// makes it again, if there is one; in the same transaction, so that it is never missing for others.
fn drop_index(connection: &mut AnyConnection) -> QueryResult<Option<String>> {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = Nullable<Text>)]
        definition: Option<String>,
    }
    let AnyConnection::Postgres(inner) = connection else { return Ok(None) };
    let found = diesel::sql_query("SELECT pg_get_indexdef(to_regclass('messages_by_trigram')) AS definition");
    let Found { definition } = found.get_result(inner)?;
    inner.batch_execute("DROP INDEX IF EXISTS messages_by_trigram")?;
    Ok(definition)
}

/// Stores the records, many at a time.
fn fill(
    connection: &mut AnyConnection,
    records: &mut dyn Iterator<Item = Result<Record, Cause>>,
    vaults: Vaults<'_>,
) -> Result<(), ArchiveError> {
    let mut batch: Vec<Record> = Vec::with_capacity(BATCH);
    let mut bytes = 0;
    for record in records {
        let record = record.map_err(ArchiveError::Records)?;
        let is_full = batch.len() == BATCH || bytes + record.row.len() > BATCH_BYTES;
        if is_full || batch.last().is_some_and(|last| last.table != record.table) {
            store(connection, &batch, vaults)?;
            batch.clear();
            bytes = 0;
        }
        bytes += record.row.len();
        batch.push(record);
    }
    store(connection, &batch, vaults)
}

/// Stores records of one table.
fn store(connection: &mut AnyConnection, batch: &[Record], vaults: Vaults<'_>) -> Result<(), ArchiveError> {
    match batch.first() {
        Some(first) => (table(first)?.fill)(connection, batch, vaults),
        None => Ok(()),
    }
}

/// Makes the database count up from the highest key there is. A turn may know the key of a session that was removed: it
/// must not become that of another.
///
/// Not with `setval`, which is not undone if the restore fails after all: what there was before would get keys again that it
/// has.
fn set_counters(connection: &mut AnyConnection) -> QueryResult<()> {
    match connection {
        AnyConnection::Sqlite(inner) => inner.batch_execute(
            "DELETE FROM sqlite_sequence WHERE name = 'sessions';
             INSERT INTO sqlite_sequence (name, seq) SELECT 'sessions', max(
                 coalesce((SELECT max(key) FROM sessions), 0), coalesce((SELECT max(session_key) FROM turns), 0));",
        ),
        AnyConnection::Postgres(inner) => {
            let of_session: Option<i64> = sessions::table.select(max(sessions::key)).get_result(inner)?;
            let of_turn = turns::table.select(max(turns::session_key)).get_result(inner)?;
            for (table, highest) in [
                ("sessions", of_session.max(of_turn)),
                ("messages", messages::table.select(max(messages::key)).get_result(inner)?),
                ("turns", turns::table.select(max(turns::key)).get_result(inner)?),
                ("audit", audit::table.select(max(audit::key)).get_result(inner)?),
                ("memories", memories::table.select(max(memories::key)).get_result(inner)?),
                ("kept", kept::table.select(max(kept::key)).get_result(inner)?),
            ] {
                let next = highest.map_or(1, |highest: i64| highest.max(0).saturating_add(1));
                inner.batch_execute(&format!("ALTER TABLE {table} ALTER COLUMN key RESTART WITH {next}"))?;
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
