//! Finding texts: an index of trigrams where it helps, and reading where it does not.
//!
//! A search must be quick for a word that is in every message, for one that is in none, and for a single letter. No one
//! way is, so there are two, both of bounded cost:
//!
//! 1. **Reading** the newest sessions. A word that is common is in many of them, and the page is full after a few; and
//!    since they are read newest first, it is exactly the right page.
//! 2. **The index**, for what is not common: it gives all messages that contain the text, if there are not too many.
//!
//! Which index that is depends on the database: [`Index`]. Where it is kept by a background job (`upkeep.rs`), because a
//! message would otherwise wait for it, the messages it has not come to yet are read. `docs/decisions/0007` and `0020` have
//! the numbers.

mod postgres;
mod sqlite;

use super::connection::AnyConnection;
use super::errors::{Failure, corrupt};
use super::schema::{messages, search_progress, sessions};
use super::sessions::{SessionRow, spoken};
use crate::domain::session::{Role, SearchHit, SearchQuery, SessionSummary};
use crate::domain::text::{PageLimit, excerpt};
use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use std::collections::HashMap;

/// The indexes of texts that there are. All are made of trigrams, so all find any piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Index {
    /// SQLite's FTS5 with the trigram tokenizer, kept in the background.
    Fts5,
    /// PostgreSQL's extension `pg_trgm`: an index over the messages, kept by the database.
    PgTrgm,
    /// PostgreSQL without the extension: an array of trigrams for each message, kept in the background.
    Arrays,
}

impl Index {
    /// The one that this database has.
    pub(super) fn of(connection: &mut AnyConnection) -> QueryResult<Self> {
        match connection {
            AnyConnection::Sqlite(_) => Ok(Self::Fts5),
            AnyConnection::Postgres(inner) => {
                Ok(if postgres::has_pg_trgm(inner)? { Self::PgTrgm } else { Self::Arrays })
            }
        }
    }

    /// What operators know it by.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Fts5 => "fts5",
            Self::PgTrgm => "pg_trgm",
            Self::Arrays => "trigram arrays",
        }
    }
}

diesel::define_sql_function! {
    /// Where `needle` begins in `text`, counted from 1; 0 if it is not in it.
    fn instr(text: Text, needle: Text) -> Integer;
}

/// How many of the newest sessions are read before the index is asked.
const READ_FIRST: i64 = 300;
/// How many are read if the index cannot be asked.
const READ_WITHOUT_INDEX: i64 = 3_000;
/// How much of a long session is read: its newest messages, and for the first hit its oldest.
const READ_PER_SESSION: i64 = 1_000;
/// How many hits of the index are looked at.
const INDEX_HITS: i64 = 1_000;

/// A session, and a message of it that contains the text, the first one known.
type Hits = HashMap<i64, i64>;

/// See [`crate::ports::sessions::SessionStore::search`].
pub(super) fn search(
    connection: &mut AnyConnection,
    index: Index,
    query: &SearchQuery,
    limit: PageLimit,
) -> Result<Vec<SearchHit>, Failure> {
    let needle = query.folded();
    if !index_can_help(needle) {
        let read = read(connection, needle, READ_WITHOUT_INDEX, limit)?;
        return present(connection, &read.hits, query, limit);
    }
    let Read { mut hits, all_of_it } = read(connection, needle, READ_FIRST, limit)?;
    if hits.len() < limit.get() || !all_of_it {
        for (message, session) in ask_index(connection, index, needle)? {
            hits.entry(session).and_modify(|first| *first = message.min(*first)).or_insert(message);
        }
    }
    present(connection, &hits, query, limit)
}

/// Whether the text has three characters in a row that `LIKE` does not take for a wildcard: a trigram to look up.
fn index_can_help(needle: &str) -> bool {
    needle.split(['%', '_']).any(|piece| piece.chars().nth(2).is_some())
}

/// What reading found.
struct Read {
    hits: Hits,
    /// False if a session without a hit has older messages that were not read.
    all_of_it: bool,
}

/// Reads the newest `sessions_read` sessions, until `limit` of them contain the text.
fn read(connection: &mut AnyConnection, needle: &str, sessions_read: i64, limit: PageLimit) -> Result<Read, Failure> {
    let newest: Vec<(i64, i64)> = sessions::table
        .order((sessions::last_activity.desc(), sessions::key.desc()))
        .limit(sessions_read)
        .select((sessions::key, sessions::message_count))
        .load(connection)?;
    // A query for each session is nothing for SQLite, and a way to the server and back for PostgreSQL.
    let at_once = match connection {
        AnyConnection::Sqlite(_) => None,
        AnyConnection::Postgres(inner) => Some(postgres::first_in_newest(inner, needle, sessions_read, limit)?),
    };
    let mut read = Read { hits: Hits::new(), all_of_it: true };
    for (session, message_count) in newest {
        let first = match &at_once {
            Some(hits) => hits.get(&session).copied(),
            None => first_in(connection, session, message_count, needle)?,
        };
        match first {
            Some(message) => {
                read.hits.insert(session, message);
                if read.hits.len() >= limit.get() {
                    break;
                }
            }
            None => read.all_of_it &= message_count <= READ_PER_SESSION,
        }
    }
    Ok(read)
}

/// The first of the newest [`READ_PER_SESSION`] messages of a session that contains the text.
fn first_in(
    connection: &mut AnyConnection,
    session: i64,
    message_count: i64,
    needle: &str,
) -> QueryResult<Option<i64>> {
    messages::table
        .filter(messages::session_key.eq(session))
        .filter(messages::number.gt(message_count - READ_PER_SESSION))
        .filter(instr(messages::folded, needle).gt(0))
        .order(messages::number)
        .select(messages::key)
        .first(connection)
        .optional()
}

/// A message that contains the text, with its session.
#[derive(QueryableByName)]
struct Hit {
    #[diesel(sql_type = BigInt)]
    message: i64,
    #[diesel(sql_type = BigInt)]
    session: i64,
}

/// Messages that contain the text, newest first, with their sessions: at most [`INDEX_HITS`] from the index, and as many of
/// those that are not indexed yet, which after a restore is all of them.
fn ask_index(connection: &mut AnyConnection, index: Index, needle: &str) -> Result<Vec<(i64, i64)>, Failure> {
    let indexed = match connection {
        AnyConnection::Sqlite(inner) => sqlite::ask_index(inner, needle)?,
        AnyConnection::Postgres(inner) => postgres::ask_index(inner, index, needle)?,
    };
    let mut hits: Vec<(i64, i64)> = if index == Index::PgTrgm {
        Vec::new()
    } else {
        messages::table
            .filter(messages::key.gt(through(connection)?))
            .filter(instr(messages::folded, needle).gt(0))
            .filter(exists(sessions::table.filter(sessions::key.eq(messages::session_key))))
            .order(messages::key.desc())
            .limit(INDEX_HITS)
            .select((messages::key, messages::session_key))
            .load(connection)?
    };
    hits.extend(indexed.into_iter().map(|hit| (hit.message, hit.session)));
    Ok(hits)
}

/// The hits as the client sees them: the newest sessions first, no more than `limit`.
fn present(
    connection: &mut AnyConnection,
    hits: &Hits,
    query: &SearchQuery,
    limit: PageLimit,
) -> Result<Vec<SearchHit>, Failure> {
    let mut found: Vec<SessionRow> = sessions::table.filter(sessions::key.eq_any(hits.keys())).load(connection)?;
    found.sort_unstable_by_key(|session| std::cmp::Reverse((session.last_activity, session.key)));
    found.truncate(limit.get());
    let hit = |session: SessionRow| {
        let message = first_hit(connection, session.key, hits[&session.key], query.folded())?;
        let (role, content) = spoken(connection, message)?;
        let session = SessionSummary::try_from(session)?;
        let role = Role::parse(&role);
        Ok(SearchHit {
            role: role.ok_or_else(|| corrupt("messages", "role", session.id.as_str(), "an unknown role"))?,
            excerpt: excerpt(&content, query.folded(), SearchHit::EXCERPT_CHARS),
            session,
        })
    };
    found.into_iter().map(hit).collect()
}

/// The first message of the session that contains the text, if that is among its first [`READ_PER_SESSION`]; else `known`.
fn first_hit(connection: &mut AnyConnection, session: i64, known: i64, needle: &str) -> Result<i64, Failure> {
    let earlier: Option<i64> = messages::table
        .filter(messages::session_key.eq(session))
        .filter(messages::number.le(READ_PER_SESSION))
        .filter(messages::key.lt(known))
        .filter(instr(messages::folded, needle).gt(0))
        .order(messages::number)
        .select(messages::key)
        .first(connection)
        .optional()?;
    Ok(earlier.unwrap_or(known))
}

/// The key of the last message that is indexed.
pub(super) fn through(connection: &mut AnyConnection) -> QueryResult<i64> {
    search_progress::table.find("messages").select(search_progress::through).first(connection)
}

/// Adds the messages with these keys, of which `after` is the one before the first, to an index that is kept in the
/// background, and notes how far that is.
pub(super) fn add_to_index(connection: &mut AnyConnection, after: i64, keys: &[i64]) -> Result<(), Failure> {
    let Some(last) = keys.last() else { return Ok(()) };
    match connection {
        AnyConnection::Sqlite(inner) => sqlite::add_to_index(inner, after, *last)?,
        AnyConnection::Postgres(inner) => postgres::add_to_index(inner, keys)?,
    }
    let progress = search_progress::table.find("messages");
    diesel::update(progress).set(search_progress::through.eq(last)).execute(connection)?;
    Ok(())
}

#[cfg(test)]
mod tests;
