//! The key of the sealed secrets: whether it is the right one, and how it is replaced by another.
//!
//! Both have to know every column that is sealed. A further one is added to both functions.

use super::connection::{self, AnyConnection, Purpose};
use super::errors::{Failure, corrupt};
use super::schema::webhooks;
use super::{SqlStorage, audit};
use crate::domain::audit::AuditEntry;
use crate::ports::store::StoreError;
use crate::ports::vault::Vault;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use std::sync::Arc;

/// Every sealed value, and which row it is in.
fn sealed_secrets(connection: &mut AnyConnection) -> QueryResult<Vec<(String, Vec<u8>)>> {
    webhooks::table.select((webhooks::name, webhooks::sealed_secret)).order(webhooks::name).load(connection)
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
            for (name, sealed) in &secrets {
                let secret = old.open(sealed).map_err(|error| corrupt("webhooks", "sealed_secret", name, error))?;
                let sealed = webhooks::sealed_secret.eq(new.seal(&secret));
                diesel::update(webhooks::table.find(name)).set(sealed).execute(connection)?;
            }
            audit::insert(connection, &entry)?;
            Ok(secrets.len() as u64)
        });
        resealed.await
    }

    /// Writes the database anew, so that what was deleted or replaced is in no free page of it any more, nor in its log.
    /// Takes time and room in proportion to what is stored.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    pub async fn compact(&self) -> Result<(), StoreError> {
        let mut connection = connection::open(&self.url, Purpose::Write)?;
        let compacted = tokio::task::spawn_blocking(move || {
            let AnyConnection::Sqlite(inner) = &mut connection;
            inner.batch_execute("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);").map_err(Failure::from)
        });
        compacted.await.map_err(|error| StoreError::Failed(Box::new(error)))?.map_err(StoreError::from)
    }
}

#[cfg(test)]
mod tests;
