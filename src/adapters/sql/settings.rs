//! Settings. Secrets are sealed before they get here and opened after they leave.

mod moving;

pub(super) use moving::move_kept;

use super::connection::AnyConnection;
use super::errors::{Failure, corrupt};
use super::schema::settings;
use super::{SqlStorage, audit};
use crate::domain::audit::AuditEntry;
use crate::domain::import::Outcome;
use crate::domain::settings::{SettingChange, StoredSetting, StoredValue};
use crate::ports::settings::SettingsStore;
use crate::ports::store::{Cause, StoreError};
use crate::ports::vault::Vault;
use async_trait::async_trait;
use diesel::prelude::*;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;

#[derive(Insertable, Queryable)]
#[diesel(table_name = settings)]
struct Row {
    name: String,
    body: String,
    sealed_secret: Option<Vec<u8>>,
}

impl Row {
    fn of(name: &str, value: &StoredValue, vault: &dyn Vault) -> Self {
        let (body, sealed_secret) = match value {
            StoredValue::Plain(value) => (value.to_string(), None),
            StoredValue::Secret { text, address } => {
                let sealed = vault.seal(text.expose_secret().as_bytes());
                (serde_json::Value::from(address.as_deref()).to_string(), Some(sealed))
            }
        };
        Self { name: name.to_owned(), body, sealed_secret }
    }

    fn open(self, vault: &dyn Vault) -> Result<StoredSetting, StoreError> {
        let refused = |column, why: Cause| corrupt("settings", column, &self.name, why);
        let odd = || refused("body", "not the JSON that it should be".into());
        let value = match &self.sealed_secret {
            None => StoredValue::Plain(serde_json::from_str(&self.body).map_err(|_| odd())?),
            Some(sealed) => {
                let text = vault.open(sealed).map_err(|error| refused("sealed_secret", error.into()))?;
                let text = String::from_utf8(text).map_err(|_| refused("sealed_secret", "not text".into()))?;
                let address = serde_json::from_str(&self.body).map_err(|_| odd())?;
                StoredValue::Secret { text: SecretString::from(text), address }
            }
        };
        Ok(StoredSetting { name: self.name, value })
    }
}

pub(super) fn import_setting(
    connection: &mut AnyConnection,
    vault: &dyn Vault,
    setting: &StoredSetting,
) -> Result<Outcome, Failure> {
    let existing: Option<Row> = settings::table.find(&setting.name).first(connection).optional()?;
    if let Some(existing) = existing {
        let is_the_same = existing.open(vault)?.value.says_the_same_as(&setting.value);
        return Ok(if is_the_same { Outcome::AlreadyThere } else { Outcome::Conflict });
    }
    let row = Row::of(&setting.name, &setting.value, vault);
    diesel::insert_into(settings::table).values(&row).execute(connection)?;
    Ok(Outcome::Imported)
}

#[async_trait]
impl SettingsStore for SqlStorage {
    async fn all(&self) -> Result<Vec<StoredSetting>, StoreError> {
        let rows = self
            .read("settings.all", |connection| Ok(settings::table.order(settings::name).load::<Row>(connection)?));
        let all = rows.await?.into_iter().filter_map(|row| {
            let setting = row.open(&*self.vault);
            setting.inspect_err(|error| tracing::error!(%error, "a setting cannot be read; set it again")).ok()
        });
        Ok(all.collect())
    }

    async fn merge(&self, changes: &[SettingChange], entry: &AuditEntry) -> Result<(), StoreError> {
        let (changes, vault, entry) = (changes.to_vec(), Arc::clone(&self.vault), entry.clone());
        let merged = self.write("settings.merge", move |connection| {
            for SettingChange { name, value } in &changes {
                diesel::delete(settings::table.find(name)).execute(connection)?;
                if let Some(value) = value {
                    let row = Row::of(name, value, &*vault);
                    diesel::insert_into(settings::table).values(&row).execute(connection)?;
                }
            }
            audit::insert(connection, &entry)
        });
        merged.await
    }
}

#[cfg(test)]
mod tests;
