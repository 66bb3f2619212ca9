//! Sessions and their messages.

use super::connection::AnyConnection;
use super::errors::{Failure, corrupt};
use super::schema::{messages, removed_sessions, sessions};
use super::{SqlStorage, audit, search};
use crate::domain::audit::AuditEntry;
use crate::domain::session::{
    Message, MessageText, Metadata, NewMessage, Role, SearchHit, SearchQuery, SessionId, SessionPage, SessionSummary,
    SessionTitle,
};
use crate::domain::text::{self, PageLimit};
use crate::domain::time::Timestamp;
use crate::ports::sessions::SessionStore;
use crate::ports::store::StoreError;
use async_trait::async_trait;
use diesel::prelude::*;

#[derive(Queryable)]
pub(super) struct SessionRow {
    pub(super) key: i64,
    id: String,
    user_title: Option<String>,
    first_words: String,
    preview: String,
    created: i64,
    pub(super) last_activity: i64,
    message_count: i64,
}

impl TryFrom<SessionRow> for SessionSummary {
    type Error = StoreError;

    fn try_from(row: SessionRow) -> Result<Self, StoreError> {
        let title = row.user_title.map(|title| SessionTitle::parse(&title)).transpose();
        Ok(Self {
            user_title: title.map_err(|error| corrupt("sessions", "user_title", &row.id, error))?,
            id: SessionId::parse(&row.id).map_err(|error| corrupt("sessions", "id", &row.id, error))?,
            first_words: row.first_words,
            preview: row.preview,
            created: Timestamp(row.created),
            last_activity: Timestamp(row.last_activity),
            message_count: row.message_count.unsigned_abs(),
        })
    }
}

/// The columns of a message without the folded copy, which nobody reads back.
const MESSAGE: (messages::number, messages::id, messages::role, messages::sent, messages::metadata, messages::content) =
    (messages::number, messages::id, messages::role, messages::sent, messages::metadata, messages::content);

#[derive(Queryable)]
struct MessageRow {
    number: i64,
    id: String,
    role: String,
    sent: i64,
    metadata: String,
    content: String,
}

impl TryFrom<MessageRow> for Message {
    type Error = StoreError;

    fn try_from(row: MessageRow) -> Result<Self, StoreError> {
        let role = Role::parse(&row.role);
        let text = MessageText::parse(row.content);
        Ok(Self {
            number: row.number.unsigned_abs(),
            content: NewMessage {
                role: role.ok_or_else(|| corrupt("messages", "role", &row.id, "an unknown role"))?,
                text: text.map_err(|error| corrupt("messages", "content", &row.id, error))?,
                at: Timestamp(row.sent),
                metadata: Metadata::from_stored(row.metadata),
                id: row.id,
            },
        })
    }
}

pub(super) fn row_of(connection: &mut AnyConnection, id: &SessionId) -> QueryResult<Option<SessionRow>> {
    sessions::table.filter(sessions::id.eq(id.as_str())).first(connection).optional()
}

pub(super) fn insert_session(connection: &mut AnyConnection, session: &SessionSummary) -> QueryResult<i64> {
    let values = (
        sessions::id.eq(session.id.as_str()),
        sessions::user_title.eq(session.user_title.as_ref().map(SessionTitle::as_str)),
        sessions::first_words.eq(&session.first_words),
        sessions::preview.eq(&session.preview),
        sessions::created.eq(session.created.0),
        sessions::last_activity.eq(session.last_activity.0),
        sessions::message_count.eq(session.message_count.cast_signed()),
    );
    diesel::insert_into(sessions::table).values(values).returning(sessions::key).get_result(connection)
}

/// Adds a message to the session called `id`, which is created if it is new; gives its key, what it is now, and the message.
/// For every store that adds messages, in its own transaction; whoever calls it rings `SqlStorage::upkeep_due` afterwards.
pub(super) fn append(
    connection: &mut AnyConnection,
    id: &SessionId,
    message: NewMessage,
) -> Result<(i64, SessionSummary, Message), Failure> {
    let (key, session) = match row_of(connection, id)? {
        Some(row) => update_session(connection, row, &message)?,
        None => {
            let session = SessionSummary::new(id.clone(), message.at).with(&message);
            (insert_session(connection, &session)?, session)
        }
    };
    insert_message(connection, key, session.message_count, &message)?;
    let number = session.message_count;
    Ok((key, session, Message { content: message, number }))
}

/// Adds a message to the session with that key, if it is there.
pub(super) fn append_by_key(connection: &mut AnyConnection, key: i64, message: &NewMessage) -> Result<(), Failure> {
    let Some(row) = sessions::table.find(key).first(connection).optional()? else { return Ok(()) };
    let (key, session) = update_session(connection, row, message)?;
    Ok(insert_message(connection, key, session.message_count, message)?)
}

/// Brings a session up to date with a message that is about to be added; gives its key and what it is now.
fn update_session(
    connection: &mut AnyConnection,
    row: SessionRow,
    message: &NewMessage,
) -> Result<(i64, SessionSummary), Failure> {
    let key = row.key;
    let session = SessionSummary::try_from(row)?.with(message);
    let changes = (
        sessions::first_words.eq(&session.first_words),
        sessions::preview.eq(&session.preview),
        sessions::last_activity.eq(session.last_activity.0),
        sessions::message_count.eq(session.message_count.cast_signed()),
    );
    diesel::update(sessions::table.find(key)).set(changes).execute(connection)?;
    Ok((key, session))
}

fn insert_message(
    connection: &mut AnyConnection,
    session_key: i64,
    number: u64,
    message: &NewMessage,
) -> QueryResult<()> {
    let values = (
        messages::session_key.eq(session_key),
        messages::number.eq(number.cast_signed()),
        messages::id.eq(&message.id),
        messages::role.eq(message.role.as_str()),
        messages::sent.eq(message.at.0),
        messages::metadata.eq(message.metadata.as_json()),
        messages::content.eq(message.text.as_str()),
        messages::folded.eq(text::fold(message.text.as_str())),
    );
    diesel::insert_into(messages::table).values(values).execute(connection).map(drop)
}

/// The session called `id`.
pub(super) fn find(connection: &mut AnyConnection, id: &SessionId) -> Result<Option<SessionSummary>, Failure> {
    Ok(row_of(connection, id)?.map(SessionSummary::try_from).transpose()?)
}

/// The session with that key, which a session that was removed and begun anew does not have.
pub(super) fn find_by_key(connection: &mut AnyConnection, key: i64) -> Result<Option<SessionSummary>, Failure> {
    let row: Option<SessionRow> = sessions::table.find(key).first(connection).optional()?;
    Ok(row.map(SessionSummary::try_from).transpose()?)
}

/// The message with that key, for a search hit: who said it, and what.
pub(super) fn spoken(connection: &mut AnyConnection, message_key: i64) -> QueryResult<(String, String)> {
    messages::table.find(message_key).select((messages::role, messages::content)).first(connection)
}

#[async_trait]
impl SessionStore for SqlStorage {
    async fn create(&self, id: &SessionId, now: Timestamp, entry: &AuditEntry) -> Result<(), StoreError> {
        let (session, entry) = (SessionSummary::new(id.clone(), now), entry.clone());
        let created = self.write("sessions.create", move |connection| {
            insert_session(connection, &session)?;
            audit::insert(connection, &entry)
        });
        created.await
    }

    async fn append(&self, to: &SessionId, message: NewMessage) -> Result<Message, StoreError> {
        let id = to.clone();
        let appended = self.write("sessions.append", move |connection| append(connection, &id, message)).await;
        self.upkeep_due.notify_one();
        appended.map(|(_, _, message)| message)
    }

    async fn find(&self, id: &SessionId) -> Result<Option<SessionSummary>, StoreError> {
        let id = id.clone();
        self.read("sessions.find", move |connection| find(connection, &id)).await
    }

    async fn recent(&self, limit: PageLimit, offset: u64) -> Result<SessionPage, StoreError> {
        let page = self.read("sessions.recent", move |connection| {
            connection.transaction(|connection| {
                let rows: Vec<SessionRow> = sessions::table
                    .order((sessions::last_activity.desc(), sessions::key.desc()))
                    .limit(limit.as_i64())
                    .offset(i64::try_from(offset).unwrap_or(i64::MAX))
                    .load(connection)?;
                let total: i64 = sessions::table.count().get_result(connection)?;
                Ok((rows, total))
            })
        });
        let (rows, total) = page.await?;
        let sessions = rows.into_iter().map(SessionSummary::try_from).collect::<Result<_, _>>()?;
        Ok(SessionPage { sessions, total: total.unsigned_abs() })
    }

    async fn history(&self, id: &SessionId, limit: PageLimit) -> Result<Vec<Message>, StoreError> {
        let id = id.clone();
        let rows = self.read("sessions.history", move |connection| {
            let Some(session) = row_of(connection, &id)? else { return Ok(Vec::new()) };
            let newest_first = messages::table
                .filter(messages::session_key.eq(session.key))
                .order(messages::number.desc())
                .limit(limit.as_i64());
            Ok(newest_first.select(MESSAGE).load::<MessageRow>(connection)?)
        });
        rows.await?.into_iter().rev().map(Message::try_from).collect()
    }

    async fn messages(&self, id: &SessionId, after: u64, limit: PageLimit) -> Result<Vec<Message>, StoreError> {
        let id = id.clone();
        let rows = self.read("sessions.messages", move |connection| {
            let Some(session) = row_of(connection, &id)? else { return Ok(Vec::new()) };
            let following = messages::table
                .filter(messages::session_key.eq(session.key))
                .filter(messages::number.gt(i64::try_from(after).unwrap_or(i64::MAX)))
                .order(messages::number)
                .limit(limit.as_i64());
            Ok(following.select(MESSAGE).load::<MessageRow>(connection)?)
        });
        rows.await?.into_iter().map(Message::try_from).collect()
    }

    async fn search(&self, query: &SearchQuery, limit: PageLimit) -> Result<Vec<SearchHit>, StoreError> {
        let (index, query) = (self.index, query.clone());
        let hits = self.read("sessions.search", move |connection| {
            // One transaction, so that all steps see the same sessions.
            connection.transaction(|connection| search::search(connection, index, &query, limit))
        });
        hits.await
    }

    async fn set_title(&self, id: &SessionId, title: &SessionTitle, entry: &AuditEntry) -> Result<bool, StoreError> {
        let (id, title, entry) = (id.clone(), title.clone(), entry.clone());
        let changed = self.write("sessions.set_title", move |connection| {
            let session = sessions::table.filter(sessions::id.eq(id.as_str()));
            let changed = diesel::update(session).set(sessions::user_title.eq(title.as_str())).execute(connection)? > 0;
            if changed {
                audit::insert(connection, &entry)?;
            }
            Ok(changed)
        });
        changed.await
    }

    async fn remove(&self, id: &SessionId, entry: &AuditEntry) -> Result<bool, StoreError> {
        let (id, entry) = (id.clone(), entry.clone());
        let removed = self.write("sessions.remove", move |connection| {
            let Some(session) = row_of(connection, &id)? else { return Ok(false) };
            diesel::delete(sessions::table.find(session.key)).execute(connection)?;
            let key = removed_sessions::session_key.eq(session.key);
            diesel::insert_into(removed_sessions::table).values(key).execute(connection)?;
            audit::insert(connection, &entry)?;
            Ok(true)
        });
        let removed = removed.await;
        self.upkeep_due.notify_one();
        removed
    }
}
