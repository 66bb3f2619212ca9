//! The queue of turns.

use super::connection::AnyConnection;
use super::errors::{Failure, corrupt};
use super::schema::turns;
use super::{SqlStorage, audit, sessions};
use crate::domain::agent::{ClaimedTurn, Origin, Turn, TurnId, TurnState};
use crate::domain::session::{MessageText, Metadata, NewMessage, Role, SessionId, SessionSummary};
use crate::domain::time::Timestamp;
use crate::ports::store::StoreError;
use crate::ports::turns::{Enqueue, Enqueued, TurnQueue};
use async_trait::async_trait;
use diesel::dsl::{max, min};
use diesel::prelude::*;
use std::collections::HashMap;

/// Waits behind another turn of its session.
const BEHIND: i32 = 0;
/// Can be claimed.
const READY: i32 = 1;
/// Is claimed.
const CLAIMED: i32 = 2;
/// Is answered, and kept because the same delivery may come again.
const DONE: i32 = 3;
/// Cannot be read.
const SET_ASIDE: i32 = 4;

#[derive(Insertable)]
#[diesel(table_name = turns)]
struct NewRow<'a> {
    id: &'a str,
    session_id: &'a str,
    state: i32,
    attempts: i32,
    lease_until: i64,
    deduplication_key: Option<&'a str>,
    accepted: i64,
    message_id: &'a str,
    content: &'a str,
    metadata: &'a str,
    answer: &'a str,
    origin: &'a str,
    progress: &'a str,
}

#[derive(Queryable)]
struct Row {
    key: i64,
    id: String,
    session_id: String,
    state: i32,
    attempts: i32,
    _lease_until: i64,
    session_key: Option<i64>,
    _deduplication_key: Option<String>,
    accepted: i64,
    message_id: String,
    content: String,
    metadata: String,
    _answer: String,
    origin: String,
    progress: String,
}

impl TryFrom<Row> for Turn {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let text = MessageText::parse(row.content);
        let session = SessionId::parse(&row.session_id);
        let origin = Origin::parse(&row.origin);
        Ok(Self {
            origin: origin.ok_or_else(|| corrupt("turns", "origin", &row.id, "unknown"))?,
            session: session.map_err(|error| corrupt("turns", "session_id", &row.id, error))?,
            message: NewMessage {
                id: row.message_id,
                role: Role::User,
                text: text.map_err(|error| corrupt("turns", "content", &row.id, error))?,
                at: Timestamp(row.accepted),
                metadata: Metadata::from_stored(row.metadata),
            },
            id: TurnId::from_stored(row.id),
        })
    }
}

fn enqueue(connection: &mut AnyConnection, enqueue: &Enqueue) -> Result<Enqueued, Failure> {
    let turn = &enqueue.turn;
    if let Some(key) = &enqueue.key {
        let first: Option<String> = turns::table
            .filter(turns::deduplication_key.eq(key.as_str()))
            .select(turns::id)
            .first(connection)
            .optional()?;
        if let Some(first) = first {
            return Ok(Enqueued::Repeated(TurnId::from_stored(first)));
        }
    }
    if is_full(connection, enqueue.capacity)? {
        return Ok(Enqueued::Full);
    }
    let unfinished_of_session =
        turns::table.filter(turns::session_id.eq(turn.session.as_str())).filter(turns::state.lt(DONE));
    let is_behind = unfinished_of_session.select(turns::key).first::<i64>(connection).optional()?.is_some();
    let row = NewRow {
        id: turn.id.as_str(),
        session_id: turn.session.as_str(),
        state: if is_behind { BEHIND } else { READY },
        attempts: 0,
        lease_until: 0,
        deduplication_key: enqueue.key.as_ref().map(crate::domain::agent::DeduplicationKey::as_str),
        accepted: turn.message.at.0,
        message_id: &turn.message.id,
        content: turn.message.text.as_str(),
        metadata: turn.message.metadata.as_json(),
        answer: "",
        origin: turn.origin.as_str(),
        progress: "",
    };
    diesel::insert_into(turns::table).values(&row).execute(connection)?;
    audit::insert(connection, &enqueue.entry)?;
    Ok(Enqueued::Stored)
}

/// Whether there are `capacity` unfinished turns.
fn is_full(connection: &mut AnyConnection, capacity: u64) -> Result<bool, Failure> {
    let Some(last_place) = capacity.checked_sub(1) else { return Ok(true) };
    let oldest = |state: i32| turns::table.filter(turns::state.eq(state)).select(min(turns::key)).single_value();
    let newest = turns::table.select(max(turns::key)).single_value();
    let keys = diesel::select((oldest(BEHIND), oldest(READY), oldest(CLAIMED), newest));
    let (behind, ready, claimed, newest): (Option<i64>, Option<i64>, Option<i64>, Option<i64>) =
        keys.get_result(connection)?;
    let oldest = [behind, ready, claimed].into_iter().flatten().min();
    let (Some(oldest), Some(newest)) = (oldest, newest) else { return Ok(false) };
    // Keys are counted up, so there are no more unfinished turns than there are keys from the oldest to the newest.
    if newest.abs_diff(oldest) < last_place {
        return Ok(false);
    }
    let unfinished = turns::table.filter(turns::state.lt(DONE)).select(turns::key);
    let last_place = i64::try_from(last_place).unwrap_or(i64::MAX);
    Ok(unfinished.offset(last_place).limit(1).first::<i64>(connection).optional()?.is_some())
}

/// Sets the next turn of a session free, once the one before it has ended.
fn set_next_free(connection: &mut AnyConnection, session: &str) -> QueryResult<()> {
    let behind = turns::table.filter(turns::session_id.eq(session)).filter(turns::state.eq(BEHIND));
    let next: Option<i64> = behind.order(turns::key).select(turns::key).first(connection).optional()?;
    if let Some(next) = next {
        diesel::update(turns::table.find(next)).set(turns::state.eq(READY)).execute(connection)?;
    }
    Ok(())
}

fn claim(
    connection: &mut AnyConnection,
    limit: usize,
    now: Timestamp,
    lease_until: Timestamp,
) -> Result<Vec<ClaimedTurn>, Failure> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let fresh = turns::table.filter(turns::state.eq(READY)).filter(turns::attempts.eq(0));
    let mut rows: Vec<Row> = fresh.order(turns::key).limit(limit).load(connection)?;
    rows.extend(interrupted(connection, now)?);
    rows.sort_unstable_by_key(|row| row.key);
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let rows = lock(connection, rows)?;
    let mut claimed = Vec::with_capacity(rows.len());
    for row in rows {
        let (key, session) = (row.key, row.session_id.clone());
        match claim_one(connection, row, lease_until) {
            Ok(turn) => claimed.push(turn),
            // One turn that nobody can answer must not keep all others from being answered.
            Err(Failure::Store(error @ StoreError::Corrupt { .. })) => {
                tracing::error!(turn.key = key, error = &error as &dyn std::error::Error, "a turn is set aside");
                diesel::update(turns::table.find(key)).set(turns::state.eq(SET_ASIDE)).execute(connection)?;
                set_next_free(connection, &session)?;
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(claimed)
}

/// Those of the turns that are still as they were read and that nobody else is about to claim; until the transaction ends
/// they are ours. An SQLite transaction is the only one that writes, so there all are.
fn lock(connection: &mut AnyConnection, mut rows: Vec<Row>) -> QueryResult<Vec<Row>> {
    let AnyConnection::Postgres(inner) = connection else { return Ok(rows) };
    let keys: Vec<i64> = rows.iter().map(|row| row.key).collect();
    let ours = turns::table.filter(turns::key.eq_any(keys)).for_update().skip_locked();
    let ours: HashMap<i64, (i32, i32)> =
        ours.select((turns::key, (turns::state, turns::attempts))).load(inner)?.into_iter().collect();
    rows.retain(|row| ours.get(&row.key) == Some(&(row.state, row.attempts)));
    Ok(rows)
}

/// The oldest turn that was claimed before and is free again, unless another such turn is being worked on.
fn interrupted(connection: &mut AnyConnection, now: Timestamp) -> Result<Option<Row>, Failure> {
    let held = turns::table.filter(turns::state.eq(CLAIMED)).filter(turns::lease_until.ge(now.0));
    let held_again = held.filter(turns::attempts.gt(1)).select(turns::key);
    if held_again.first::<i64>(connection).optional()?.is_some() {
        return Ok(None);
    }
    let released = turns::table.filter(turns::state.eq(READY)).filter(turns::attempts.gt(0));
    let released: Option<Row> = released.order(turns::key).first(connection).optional()?;
    let expired = turns::table.filter(turns::state.eq(CLAIMED)).filter(turns::lease_until.lt(now.0));
    let expired: Option<Row> = expired.order(turns::key).first(connection).optional()?;
    Ok(released.into_iter().chain(expired).min_by_key(|row| row.key))
}

fn claim_one(connection: &mut AnyConnection, row: Row, lease_until: Timestamp) -> Result<ClaimedTurn, Failure> {
    let (key, stored_in, attempt) = (row.key, row.session_key, row.attempts + 1);
    let progress = row.progress.clone();
    let turn = Turn::try_from(row)?;
    let (session_key, session) = match stored_in {
        None => {
            let (session_key, session, _) = sessions::append(connection, &turn.session, turn.message.clone())?;
            (session_key, session)
        }
        Some(session_key) => {
            // The user may have removed the session since; then the turn ends without it.
            let session = sessions::find_by_key(connection, session_key)?;
            (session_key, session.unwrap_or_else(|| SessionSummary::new(turn.session.clone(), turn.message.at)))
        }
    };
    let changes = (
        turns::state.eq(CLAIMED),
        turns::attempts.eq(attempt),
        turns::lease_until.eq(lease_until.0),
        turns::session_key.eq(session_key),
    );
    diesel::update(turns::table.find(key)).set(changes).execute(connection)?;
    Ok(ClaimedTurn { turn, session, attempt: attempt.unsigned_abs(), progress })
}

fn finish(connection: &mut AnyConnection, turn: &TurnId, answer: &NewMessage) -> Result<bool, Failure> {
    let claimed = || turns::table.filter(turns::id.eq(turn.as_str())).filter(turns::state.eq(CLAIMED));
    let place = (turns::session_id, turns::session_key);
    // What was asked is in the session; only the answer may be asked for again, and only if there is a key to ask with.
    let kept = (
        turns::state.eq(DONE),
        turns::answer.eq(answer.text.as_str()),
        turns::content.eq(""),
        turns::metadata.eq(""),
        turns::progress.eq(""),
    );
    let ended: Option<(String, Option<i64>)> = diesel::update(claimed().filter(turns::deduplication_key.is_not_null()))
        .set(kept)
        .returning(place)
        .get_result(connection)
        .optional()?;
    let ended = match ended {
        Some(ended) => Some(ended),
        None => diesel::delete(claimed()).returning(place).get_result(connection).optional()?,
    };
    let Some((session_id, session_key)) = ended else { return Ok(false) };
    if let Some(session_key) = session_key {
        sessions::append_by_key(connection, session_key, answer)?;
    }
    set_next_free(connection, &session_id)?;
    Ok(true)
}

#[async_trait]
impl TurnQueue for SqlStorage {
    async fn enqueue(&self, turn: Enqueue) -> Result<Enqueued, StoreError> {
        let enqueued = self.write("turns.enqueue", move |connection| enqueue(connection, &turn)).await;
        self.turn_ready.notify_one();
        enqueued
    }

    async fn ready(&self) {
        self.turn_ready.notified().await;
    }

    async fn claim(
        &self,
        limit: usize,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Vec<ClaimedTurn>, StoreError> {
        let claimed = self.write("turns.claim", move |connection| claim(connection, limit, now, lease_until)).await;
        self.upkeep_due.notify_one();
        claimed
    }

    async fn extend(&self, turns: &[TurnId], lease_until: Timestamp) -> Result<(), StoreError> {
        let ids: Vec<String> = turns.iter().map(|turn| turn.as_str().to_owned()).collect();
        let extended = self.write("turns.extend", move |connection| {
            for id in ids {
                let claimed = turns::table.filter(turns::id.eq(id)).filter(turns::state.eq(CLAIMED));
                diesel::update(claimed).set(turns::lease_until.eq(lease_until.0)).execute(connection)?;
            }
            Ok(())
        });
        extended.await
    }

    async fn checkpoint(&self, turn: &TurnId, progress: &str) -> Result<bool, StoreError> {
        let (id, progress) = (turn.as_str().to_owned(), progress.to_owned());
        let stored = self.write("turns.checkpoint", move |connection| {
            let claimed = turns::table.filter(turns::id.eq(id)).filter(turns::state.eq(CLAIMED));
            Ok(diesel::update(claimed).set(turns::progress.eq(progress)).execute(connection)?)
        });
        Ok(stored.await? > 0)
    }

    async fn finish(&self, turn: &TurnId, answer: NewMessage) -> Result<bool, StoreError> {
        let turn = turn.clone();
        let finished = self.write("turns.finish", move |connection| finish(connection, &turn, &answer)).await;
        self.turn_ready.notify_one();
        self.upkeep_due.notify_one();
        finished
    }

    async fn state(&self, turn: &TurnId) -> Result<Option<TurnState>, StoreError> {
        let id = turn.as_str().to_owned();
        let row = self.read("turns.state", move |connection| {
            let turn = turns::table.filter(turns::id.eq(id)).select((turns::state, turns::answer));
            Ok(turn.first::<(i32, String)>(connection).optional()?)
        });
        Ok(row.await?.map(|(state, answer)| if state == DONE { TurnState::Done(answer) } else { TurnState::Pending }))
    }

    async fn release_all(&self) -> Result<u64, StoreError> {
        let released = self.write("turns.release_all", |connection| {
            let claimed = turns::table.filter(turns::state.eq(CLAIMED));
            Ok(diesel::update(claimed).set(turns::state.eq(READY)).execute(connection)?)
        });
        let released = released.await?;
        self.turn_ready.notify_one();
        Ok(released as u64)
    }

    async fn forget(&self, before: Timestamp) -> Result<u64, StoreError> {
        let forgotten = self.write("turns.forget", move |connection| {
            let old = turns::table.filter(turns::state.eq(DONE)).filter(turns::accepted.lt(before.0));
            Ok(diesel::delete(old).execute(connection)?)
        });
        Ok(forgotten.await? as u64)
    }
}
