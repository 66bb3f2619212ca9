//! The index of SQLite: FTS5 with the trigram tokenizer.

use super::{Hit, INDEX_HITS};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

/// Messages in the index that contain the text, newest first.
pub(super) fn ask_index(connection: &mut SqliteConnection, needle: &str) -> QueryResult<Vec<Hit>> {
    // `LIKE` narrows by the index, where `%` and `_` in the text let too much through; `instr` takes it literally. With
    // `ESCAPE` the index would not be used.
    diesel::sql_query(
        "SELECT messages.key AS message, messages.session_key AS session
         FROM search JOIN messages ON messages.key = search.rowid
         JOIN sessions ON sessions.key = messages.session_key
         WHERE search.folded LIKE ? AND instr(search.folded, ?) > 0
         ORDER BY search.rowid DESC LIMIT ?",
    )
    .bind::<Text, _>(format!("%{needle}%"))
    .bind::<Text, _>(needle)
    .bind::<BigInt, _>(INDEX_HITS)
    .load(connection)
}

/// Adds the messages after `after`, up to and including `last`.
pub(super) fn add_to_index(connection: &mut SqliteConnection, after: i64, last: i64) -> QueryResult<()> {
    diesel::sql_query("INSERT INTO search (rowid, folded) SELECT key, folded FROM messages WHERE key > ? AND key <= ?")
        .bind::<BigInt, _>(after)
        .bind::<BigInt, _>(last)
        .execute(connection)
        .map(drop)
}
