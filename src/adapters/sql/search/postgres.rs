//! The indexes of PostgreSQL: the extension `pg_trgm`, or arrays of trigrams where it cannot be had.
//!
//! Every query here is planned anew for its text, which diesel does with those that are given as text: a plan for any text
//! would not know how rare it is.

use super::{Hit, Hits, INDEX_HITS, Index, READ_PER_SESSION};
use crate::adapters::sql::schema::messages;
use crate::domain::text::PageLimit;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Text};
use std::collections::BTreeSet;

diesel::table! {
    search (message_key) {
        message_key -> BigInt,
        trigrams -> Array<Text>,
    }
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Bool)]
    yes: bool,
}

/// Whether there is an index made by the extension.
pub(super) fn has_pg_trgm(connection: &mut PgConnection) -> QueryResult<bool> {
    let answer = diesel::sql_query(
        "SELECT to_regclass(quote_ident(current_schema()) || '.messages_by_trigram') IS NOT NULL AS yes",
    );
    Ok(answer.get_result::<Answer>(connection)?.yes)
}

/// For each of the `sessions_read` newest sessions what [`super::first_in`] finds, until there are `limit`.
pub(super) fn first_in_newest(
    connection: &mut PgConnection,
    needle: &str,
    sessions_read: i64,
    limit: PageLimit,
) -> QueryResult<Hits> {
    let hits: Vec<Hit> = diesel::sql_query(
        "SELECT first.key AS message, newest.key AS session
         FROM (SELECT key, last_activity, message_count FROM sessions ORDER BY last_activity DESC, key DESC LIMIT $1) newest
         CROSS JOIN LATERAL (
             SELECT key FROM messages
             WHERE session_key = newest.key AND number > newest.message_count - $2 AND strpos(folded, $3) > 0
             ORDER BY number LIMIT 1
         ) first
         ORDER BY newest.last_activity DESC, newest.key DESC LIMIT $4",
    )
    .bind::<BigInt, _>(sessions_read)
    .bind::<BigInt, _>(READ_PER_SESSION)
    .bind::<Text, _>(needle)
    .bind::<BigInt, _>(limit.as_i64())
    .load(connection)?;
    Ok(hits.into_iter().map(|hit| (hit.session, hit.message)).collect())
}

/// Messages in the index that contain the text, newest first.
pub(super) fn ask_index(connection: &mut PgConnection, index: Index, needle: &str) -> QueryResult<Vec<Hit>> {
    if index == Index::PgTrgm {
        return diesel::sql_query(
            "SELECT messages.key AS message, messages.session_key AS session
             FROM messages JOIN sessions ON sessions.key = messages.session_key
             WHERE messages.folded LIKE $1
             ORDER BY messages.key DESC LIMIT $2",
        )
        .bind::<Text, _>(format!("%{}%", escaped(needle)))
        .bind::<BigInt, _>(INDEX_HITS)
        .load(connection);
    }
    diesel::sql_query(
        "SELECT messages.key AS message, messages.session_key AS session
         FROM search JOIN messages ON messages.key = search.message_key
         JOIN sessions ON sessions.key = messages.session_key
         WHERE search.trigrams @> $1 AND strpos(messages.folded, $2) > 0
         ORDER BY messages.key DESC LIMIT $3",
    )
    .bind::<Array<Text>, _>(trigrams(needle))
    .bind::<Text, _>(needle)
    .bind::<BigInt, _>(INDEX_HITS)
    .load(connection)
}

/// The text as a pattern that means nothing but itself.
fn escaped(needle: &str) -> String {
    needle.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_")
}

/// Adds these messages to the arrays of trigrams.
pub(super) fn add_to_index(connection: &mut PgConnection, keys: &[i64]) -> QueryResult<()> {
    let texts = messages::table.filter(messages::key.eq_any(keys)).select((messages::key, messages::folded));
    for (key, folded) in texts.load::<(i64, String)>(connection)? {
        let row = (search::message_key.eq(key), search::trigrams.eq(trigrams(&folded)));
        diesel::insert_into(search::table).values(row).execute(connection)?;
    }
    Ok(())
}

/// Every three characters in a row, each once.
fn trigrams(text: &str) -> Vec<&str> {
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let trigrams: BTreeSet<&str> = starts.windows(4).map(|window| &text[window[0]..window[3]]).collect();
    trigrams.into_iter().collect()
}
