//! What is imported: among everything else, and kept records in a table of their own.

use super::connection::AnyConnection;
use super::errors::{Failure, corrupt};
use super::schema::{api_keys, audit as audit_table, kept, messages, sessions, webhooks};
use super::{
    SqlStorage, api_keys as keys, audit, mcp_servers, memories, sessions as session_rows, settings, webhooks as slots,
};
use crate::domain::audit::AuditEntry;
use crate::domain::auth::api_key::ApiKey;
use crate::domain::import::{Item, Kept, Outcome, SessionPart};
use crate::domain::session::{NewMessage, SessionId, SessionSummary, SessionTitle};
use crate::domain::text;
use crate::domain::webhook::Webhook;
use crate::ports::imports::ImportStore;
use crate::ports::store::{Cause, StoreError};
use crate::ports::vault::Vault;
use async_trait::async_trait;
use diesel::prelude::*;
use secrecy::{ExposeSecret, SecretString};
use std::collections::HashSet;
use std::sync::Arc;

/// How many messages are in one statement. Databases allow 32,766 (SQLite) and 65,535 (PostgreSQL) values in one.
const ROWS: usize = 250;

/// The key of the first entry that was imported. Half of the keys below zero are more than enough.
const FIRST_IMPORTED: i64 = i64::MIN / 2;

/// `None` is stored as such, so that rows can be in one statement.
#[derive(Insertable)]
#[diesel(table_name = messages, treat_none_as_default_value = false)]
struct NewMessageRow<'a> {
    session_key: i64,
    number: i64,
    id: &'a str,
    role: &'a str,
    sent: i64,
    metadata: &'a str,
    content: &'a str,
    folded: String,
}

#[derive(Queryable)]
pub(super) struct KeptRow {
    pub(super) key: i64,
    kind: String,
    id: String,
    body: String,
    sealed_secret: Option<Vec<u8>>,
}

impl KeptRow {
    pub(super) fn open(self, vault: &dyn Vault) -> Result<Kept, StoreError> {
        let opened = self.sealed_secret.map(|sealed| {
            let refused = |why: Cause| corrupt("kept", "sealed_secret", self.key.to_string(), why);
            let secret = vault.open(&sealed).map_err(|error| refused(Box::new(error)))?;
            String::from_utf8(secret).map(SecretString::from).map_err(|_| refused("not text".into()))
        });
        Ok(Kept { kind: self.kind, id: self.id, body: self.body, secret: opened.transpose()?, replaces: false })
    }
}

fn import(connection: &mut AnyConnection, vault: &dyn Vault, batch: &[Item]) -> Result<Vec<Outcome>, Failure> {
    // The one writer holds a transaction, so nothing comes between.
    let newest: Option<i64> = audit_table::table
        .filter(audit_table::key.lt(0))
        .order(audit_table::key.desc())
        .select(audit_table::key)
        .first(connection)
        .optional()?;
    let mut entry_key = newest.map_or(FIRST_IMPORTED, |key| key + 1);
    let mut outcomes = Vec::with_capacity(batch.len());
    let mut to_index = Vec::new();
    for item in batch {
        outcomes.push(match item {
            Item::Session(part) => import_session(connection, part)?,
            Item::Webhook(webhook) => import_webhook(connection, vault, webhook)?,
            Item::McpServer(server) => mcp_servers::import_server(connection, vault, server)?,
            Item::McpSignIn(sign_in) => mcp_servers::import_sign_in(connection, vault, sign_in)?,
            Item::Setting(setting) => settings::import_setting(connection, vault, setting)?,
            Item::Memory(memory) => match memories::import_memory(connection, memory)? {
                None => Outcome::AlreadyThere,
                Some(new) => {
                    to_index.push(new);
                    Outcome::Imported
                }
            },
            Item::ApiKey(key) => import_api_key(connection, key)?,
            Item::Audit(entry) => {
                let is_there = audit::is_there(connection, &entry.id)?;
                if is_there {
                    Outcome::AlreadyThere
                } else {
                    audit::insert_at(connection, entry_key, entry)?;
                    entry_key += 1;
                    Outcome::Imported
                }
            }
            Item::Kept(kept) => import_kept(connection, vault, kept)?,
        });
    }
    memories::index(connection, &to_index)?;
    Ok(outcomes)
}

fn import_session(connection: &mut AnyConnection, part: &SessionPart) -> Result<Outcome, Failure> {
    let row = session_rows::row_of(connection, &part.id)?;
    let Some(row) = row else {
        let session = part.messages.iter().fold(part.summary(None), SessionSummary::with);
        let key = session_rows::insert_session(connection, &session)?;
        insert_messages(connection, key, 1, &part.messages)?;
        return Ok(Outcome::Session { is_new: true, added: part.messages.len() as u64 });
    };
    let key = row.key;
    let before = SessionSummary::try_from(row)?;
    let session = part.messages.iter().fold(part.summary(Some(before.clone())), SessionSummary::with);
    if session != before {
        let changes = (
            sessions::user_title.eq(session.user_title.as_ref().map(SessionTitle::as_str)),
            sessions::first_words.eq(&session.first_words),
            sessions::preview.eq(&session.preview),
            sessions::created.eq(session.created.0),
            sessions::last_activity.eq(session.last_activity.0),
            sessions::message_count.eq(session.message_count.cast_signed()),
        );
        diesel::update(sessions::table.find(key)).set(changes).execute(connection)?;
    }
    insert_messages(connection, key, before.message_count.cast_signed() + 1, &part.messages)?;
    Ok(Outcome::Session { is_new: false, added: part.messages.len() as u64 })
}

/// Adds messages, the first of which gets the number `first`.
fn insert_messages(
    connection: &mut AnyConnection,
    session_key: i64,
    first: i64,
    new: &[NewMessage],
) -> Result<(), Failure> {
    let rows: Vec<NewMessageRow<'_>> = (first..)
        .zip(new)
        .map(|(number, message)| NewMessageRow {
            session_key,
            number,
            id: &message.id,
            role: message.role.as_str(),
            sent: message.at.0,
            metadata: message.metadata.as_json(),
            content: message.text.as_str(),
            folded: text::fold(message.text.as_str()),
        })
        .collect();
    for rows in rows.chunks(ROWS) {
        let insert = diesel::insert_into(messages::table).values(rows);
        match connection {
            AnyConnection::Sqlite(inner) => insert.execute(inner)?,
            AnyConnection::Postgres(inner) => insert.execute(inner)?,
        };
    }
    Ok(())
}

fn import_webhook(connection: &mut AnyConnection, vault: &dyn Vault, webhook: &Webhook) -> Result<Outcome, Failure> {
    let existing: Option<slots::Row> = webhooks::table.find(webhook.name.as_str()).first(connection).optional()?;
    if let Some(existing) = existing {
        let is_the_same = existing.open(vault)?.secret.expose() == webhook.secret.expose();
        return Ok(if is_the_same { Outcome::AlreadyThere } else { Outcome::Conflict });
    }
    diesel::insert_into(webhooks::table).values(&slots::Row::of(webhook, vault)).execute(connection)?;
    Ok(Outcome::Imported)
}

fn import_api_key(connection: &mut AnyConnection, key: &ApiKey) -> Result<Outcome, Failure> {
    let hash = key.hash.0.to_vec();
    let same = api_keys::id.eq(key.id.as_str()).or(api_keys::hash.eq(&hash));
    let there: Vec<(String, Vec<u8>)> =
        api_keys::table.filter(same).select((api_keys::id, api_keys::hash)).load(connection)?;
    if there.iter().any(|existing| existing.0 == key.id.as_str() && existing.1 == hash) {
        // What was revoked there must not open anything here.
        let is_revoked = match key.revoked {
            Some(at) => keys::revoke(connection, &key.id, at)?,
            None => false,
        };
        return Ok(if is_revoked { Outcome::Imported } else { Outcome::AlreadyThere });
    }
    if !there.is_empty() {
        return Ok(Outcome::Conflict);
    }
    diesel::insert_into(api_keys::table).values(&keys::Row::of(key)).execute(connection)?;
    Ok(Outcome::Imported)
}

fn import_kept(connection: &mut AnyConnection, vault: &dyn Vault, given: &Kept) -> Result<Outcome, Failure> {
    let name = kept::kind.eq(&given.kind).and(kept::id.eq(&given.id));
    let existing: Option<KeptRow> = kept::table.filter(name).first(connection).optional()?;
    let sealed = given.secret.as_ref().map(|secret| vault.seal(secret.expose_secret().as_bytes()));
    let content = (kept::body.eq(&given.body), kept::sealed_secret.eq(sealed));
    match existing {
        Some(existing) => {
            let key = existing.key;
            if !given.replaces || existing.open(vault)?.says_the_same_as(given) {
                return Ok(Outcome::AlreadyThere);
            }
            diesel::update(kept::table.find(key)).set(content).execute(connection)?;
        }
        None => {
            let name = (kept::kind.eq(&given.kind), kept::id.eq(&given.id));
            diesel::insert_into(kept::table).values((name, content)).execute(connection)?;
        }
    }
    Ok(Outcome::Imported)
}

#[async_trait]
impl ImportStore for SqlStorage {
    async fn import(&self, batch: Vec<Item>, entry: &AuditEntry) -> Result<Vec<Outcome>, StoreError> {
        let (vault, entry) = (Arc::clone(&self.vault), entry.clone());
        let imported = self.write("imports.import", move |connection| {
            // Before what is imported: the keys of a table in which all are below zero would go on below zero.
            let is_known = audit::is_there(connection, &entry.id)?;
            if !is_known {
                audit::insert(connection, &entry)?;
            }
            let outcomes = import(connection, &*vault, &batch)?;
            if !is_known && !outcomes.iter().any(|outcome| outcome.changed_something()) {
                diesel::delete(audit_table::table.filter(audit_table::id.eq(&entry.id))).execute(connection)?;
            }
            Ok(outcomes)
        });
        let imported = imported.await;
        self.upkeep_due.notify_one();
        imported
    }

    async fn preview(&self, batch: Vec<Item>) -> Result<Vec<Outcome>, StoreError> {
        let vault = Arc::clone(&self.vault);
        let previewed = self.write("imports.preview", move |connection| {
            let mut outcomes = Vec::new();
            let undone = connection.transaction(|connection| {
                outcomes = import(connection, &*vault, &batch)?;
                Err::<(), Failure>(diesel::result::Error::RollbackTransaction.into())
            });
            match undone {
                Err(Failure::Database(diesel::result::Error::RollbackTransaction)) => Ok(outcomes),
                other => other.map(|()| outcomes),
            }
        });
        previewed.await
    }

    async fn message_ids(&self, session: &SessionId) -> Result<HashSet<String>, StoreError> {
        let session = session.clone();
        let ids = self.read("imports.message_ids", move |connection| {
            let Some(row) = session_rows::row_of(connection, &session)? else { return Ok(Vec::new()) };
            let of_session = messages::table.filter(messages::session_key.eq(row.key)).select(messages::id);
            Ok(of_session.load::<String>(connection)?)
        });
        Ok(ids.await?.into_iter().collect())
    }

    async fn kept(&self, kind: &str) -> Result<Vec<Kept>, StoreError> {
        let kind = kind.to_owned();
        let rows = self.read("imports.kept", move |connection| {
            Ok(kept::table.filter(kept::kind.eq(kind)).order(kept::key).load::<KeptRow>(connection)?)
        });
        rows.await?.into_iter().map(|row| row.open(&*self.vault)).collect()
    }
}
