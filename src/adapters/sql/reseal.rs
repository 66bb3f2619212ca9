//! The key of the sealed secrets: whether it is the right one, and how it is replaced by another.
//!
//! Every column that is sealed is in `sealed_secrets` and in `replace`.

use super::connection::{self, AnyConnection, Purpose};
use super::errors::{Failure, corrupt};
use super::schema::{kept, mcp_servers, mcp_sign_ins, settings, webhooks};
use super::{SqlStorage, audit};
use crate::domain::audit::AuditEntry;
use crate::ports::store::StoreError;
use crate::ports::vault::Vault;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use std::sync::Arc;

/// The row that a sealed value is in.
enum Row {
    Webhook(String),
    Kept(i64),
    McpServer(String),
    McpSignIn(String),
    Setting(String),
}

impl Row {
    /// The table and the key, for an error.
    fn place(&self) -> (&'static str, String) {
        match self {
            Self::Webhook(name) => ("webhooks", name.clone()),
            Self::Kept(key) => ("kept", key.to_string()),
            Self::McpServer(name) => ("mcp_servers", name.clone()),
            Self::McpSignIn(server) => ("mcp_sign_ins", server.clone()),
            Self::Setting(name) => ("settings", name.clone()),
        }
    }
}

/// Every sealed value, and which row it is in.
fn sealed_secrets(connection: &mut AnyConnection) -> QueryResult<Vec<(Row, Vec<u8>)>> {
    let webhooks: Vec<(String, Vec<u8>)> =
        webhooks::table.select((webhooks::name, webhooks::sealed_secret)).order(webhooks::name).load(connection)?;
    let kept: Vec<(i64, Option<Vec<u8>>)> = kept::table
        .filter(kept::sealed_secret.is_not_null())
        .select((kept::key, kept::sealed_secret))
        .load(connection)?;
    let servers: Vec<(String, Vec<u8>)> =
        mcp_servers::table.select((mcp_servers::name, mcp_servers::sealed_secret)).load(connection)?;
    let sign_ins: Vec<(String, Vec<u8>)> =
        mcp_sign_ins::table.select((mcp_sign_ins::server, mcp_sign_ins::sealed_secret)).load(connection)?;
    let settings: Vec<(String, Option<Vec<u8>>)> = settings::table
        .filter(settings::sealed_secret.is_not_null())
        .select((settings::name, settings::sealed_secret))
        .load(connection)?;
    let webhooks = webhooks.into_iter().map(|(name, sealed)| (Row::Webhook(name), sealed));
    let kept = kept.into_iter().filter_map(|(key, sealed)| Some((Row::Kept(key), sealed?)));
    let servers = servers.into_iter().map(|(name, sealed)| (Row::McpServer(name), sealed));
    let sign_ins = sign_ins.into_iter().map(|(server, sealed)| (Row::McpSignIn(server), sealed));
    let settings = settings.into_iter().filter_map(|(name, sealed)| Some((Row::Setting(name), sealed?)));
    Ok(webhooks.chain(kept).chain(servers).chain(sign_ins).chain(settings).collect())
}

/// Puts `sealed` in the place of a sealed value.
fn replace(connection: &mut AnyConnection, row: &Row, sealed: Vec<u8>) -> QueryResult<usize> {
    match row {
        Row::Webhook(name) => {
            let row = webhooks::table.find(name);
            diesel::update(row).set(webhooks::sealed_secret.eq(sealed)).execute(connection)
        }
        Row::Kept(key) => diesel::update(kept::table.find(key)).set(kept::sealed_secret.eq(sealed)).execute(connection),
        Row::McpServer(name) => {
            let row = mcp_servers::table.find(name);
            diesel::update(row).set(mcp_servers::sealed_secret.eq(sealed)).execute(connection)
        }
        Row::McpSignIn(server) => {
            let row = mcp_sign_ins::table.find(server);
            diesel::update(row).set(mcp_sign_ins::sealed_secret.eq(sealed)).execute(connection)
        }
        Row::Setting(name) => {
            let row = settings::table.find(name);
            diesel::update(row).set(settings::sealed_secret.eq(sealed)).execute(connection)
        }
    }
}

/// Fails if there is a secret that `vault` cannot open: its key is not the one they were sealed with.
///
/// All are tried: a database in which some are sealed with one key and some with another must not get more of either.
pub(super) fn check_key(connection: &mut AnyConnection, vault: &dyn Vault) -> Result<(), StoreError> {
    let sealed = sealed_secrets(connection).map_err(Failure::from)?;
    if sealed.iter().all(|(_, sealed)| vault.open(sealed).is_ok()) {
        return Ok(());
    }
    Err(StoreError::Failed(
        "its secrets were sealed with another key; restore the file vault.key that belongs to it from a backup, or name the file with its key in vault_key_file".into(),
    ))
}

impl SqlStorage {
    /// Seals every secret anew, with `new`, and notes it in the audit log. Gives how many there are.
    ///
    /// This storage goes on with the vault it was opened with, so it can read none of them any more: close it, and open the
    /// database with `new`. Nothing else may have it open meanwhile.
    ///
    /// # Errors
    /// `Corrupt` if a secret cannot be opened; `Unavailable`, `Failed`. Nothing was changed.
    pub async fn reseal(&self, new: &Arc<dyn Vault>, entry: &AuditEntry) -> Result<u64, StoreError> {
        let (old, new, entry) = (Arc::clone(&self.vault), Arc::clone(new), entry.clone());
        let resealed = self.write("reseal", move |connection| {
            let secrets = sealed_secrets(connection)?;
            for (row, sealed) in &secrets {
                let secret = old.open(sealed).map_err(|error| {
                    let (table, key) = row.place();
                    corrupt(table, "sealed_secret", key, error)
                })?;
                replace(connection, row, new.seal(&secret))?;
            }
            audit::insert(connection, &entry)?;
            Ok(secrets.len() as u64)
        });
        resealed.await
    }

    /// Writes an SQLite database anew, so that what was deleted or replaced is in no free page of it any more, nor in its
    /// log; of one on a PostgreSQL server the tables with secrets, whose old content stays in the server's write-ahead log
    /// until that is recycled. Takes time and room in proportion to what is written.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    pub async fn compact(&self) -> Result<(), StoreError> {
        let mut connection = connection::open(&self.url, Purpose::Maintain)?;
        let compacted = tokio::task::spawn_blocking(move || {
            // PostgreSQL takes one such statement at a time. Only the tables with secrets are worth it there.
            let statements: &[&str] = match connection {
                AnyConnection::Sqlite(_) => &["VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"],
                AnyConnection::Postgres(_) => &[
                    "VACUUM FULL webhooks",
                    "VACUUM FULL kept",
                    "VACUUM FULL mcp_servers",
                    "VACUUM FULL mcp_sign_ins",
                    "VACUUM FULL settings",
                ],
            };
            statements.iter().try_for_each(|statement| connection.batch_execute(statement)).map_err(Failure::from)
        });
        compacted.await.map_err(|error| StoreError::Failed(Box::new(error)))?.map_err(StoreError::from)
    }
}

#[cfg(test)]
mod tests;
