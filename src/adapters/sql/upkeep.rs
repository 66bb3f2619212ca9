//! What is done after the answer, a little at a time: messages go into the search index, and those of removed sessions go.
//!
//! Both would make a request wait, the one for the index, the other for every message of a long session. Both are written
//! down in tables, so nothing is forgotten when the program ends.

use super::SqlStorage;
use super::connection::AnyConnection;
use super::errors::Failure;
use super::schema::{messages, removed_sessions};
use super::search::{Index, add_to_index, through};
use crate::ports::store::StoreError;
use diesel::prelude::*;
use diesel::sql_types::Text;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How many messages are worked on in one transaction, which others wait for.
const BATCH: i64 = 200;

/// How many bytes of text are, at most: fewer messages if they are long. A longer message is one batch alone.
const BATCH_BYTES: i64 = 256 * 1024;

/// How long work is left to gather.
const PAUSE: Duration = Duration::from_millis(200);

/// How long to wait after the storage failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(10);

diesel::define_sql_function! {
    /// How many characters `text` has.
    fn length(text: Text) -> Integer;
}

/// The keys at the beginning of a list of keys and lengths that are a batch together.
fn batch(rows: &[(i64, i32)]) -> Vec<i64> {
    let mut bytes = 0;
    let fits = |(index, (_, length)): &(usize, &(i64, i32))| {
        bytes += i64::from(*length);
        *index == 0 || bytes <= BATCH_BYTES
    };
    rows.iter().enumerate().take_while(fits).map(|(_, (key, _))| *key).collect()
}

/// Indexes the next messages; gives how many those were.
fn index_batch(connection: &mut AnyConnection) -> Result<u64, Failure> {
    let done = through(connection)?;
    let rows: Vec<(i64, i32)> = messages::table
        .filter(messages::key.gt(done))
        .order(messages::key)
        .limit(BATCH)
        .select((messages::key, length(messages::folded)))
        .load(connection)?;
    let keys = batch(&rows);
    add_to_index(connection, done, &keys)?;
    Ok(keys.len() as u64)
}

/// Deletes the next messages of removed sessions; gives how many steps that was, 0 if there was nothing to do. The index is
/// told by a trigger.
fn purge_batch(connection: &mut AnyConnection) -> Result<u64, Failure> {
    let session = removed_sessions::table.select(removed_sessions::session_key).first::<i64>(connection).optional()?;
    let Some(session) = session else { return Ok(0) };
    let of_session = messages::table.filter(messages::session_key.eq(session)).limit(BATCH);
    let keys = batch(&of_session.select((messages::key, length(messages::folded))).load(connection)?);
    diesel::delete(messages::table.filter(messages::key.eq_any(&keys))).execute(connection)?;
    if keys.is_empty() {
        diesel::delete(removed_sessions::table.find(session)).execute(connection)?;
    }
    Ok(1.max(keys.len() as u64))
}

impl SqlStorage {
    /// Does all upkeep that is due; gives how much that was.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`; what was done until then stays done.
    pub async fn upkeep(&self) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            let indexed = match self.index {
                Index::Fts5 | Index::Arrays => self.write("upkeep.index", index_batch).await?,
                Index::PgTrgm => 0,
            };
            let done = indexed + self.write("upkeep.purge", purge_batch).await?;
            if done == 0 {
                return Ok(total);
            }
            total += done;
        }
    }

    /// Does what upkeep becomes due, until `stop`.
    pub async fn keep_up(&self, stop: CancellationToken) {
        let keep_up = async {
            loop {
                if let Err(error) = self.upkeep().await {
                    tracing::error!(error = &error as &dyn std::error::Error, "upkeep of the database failed");
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                    continue;
                }
                self.upkeep_due.notified().await;
                tokio::time::sleep(PAUSE).await;
            }
        };
        stop.run_until_cancelled(keep_up).await;
    }
}
