//! Webhook slots. Their secrets are sealed before they get here and opened after they leave.

use super::errors::corrupt;
use super::schema::webhooks;
use super::{SqlStorage, audit};
use crate::domain::audit::AuditEntry;
use crate::domain::time::Timestamp;
use crate::domain::webhook::{Scheme, SessionMode, SyncTimeout, Webhook, WebhookName, WebhookSecret};
use crate::ports::store::StoreError;
use crate::ports::vault::Vault;
use crate::ports::webhooks::WebhookStore;
use async_trait::async_trait;
use diesel::prelude::*;
use secrecy::SecretString;

#[derive(Insertable, Queryable)]
#[diesel(table_name = webhooks)]
pub(super) struct Row {
    name: String,
    description: String,
    sealed_secret: Vec<u8>,
    scheme: String,
    session_mode: String,
    sync_timeout: i32,
    created: i64,
}

impl Row {
    pub(super) fn of(webhook: &Webhook, vault: &dyn Vault) -> Self {
        Self {
            name: webhook.name.as_str().to_owned(),
            description: webhook.description.clone(),
            sealed_secret: vault.seal(webhook.secret.expose().as_bytes()),
            scheme: webhook.scheme.as_str().to_owned(),
            session_mode: webhook.session.as_str().to_owned(),
            sync_timeout: i32::from(webhook.sync_timeout.as_secs()),
            created: webhook.created.0,
        }
    }

    pub(super) fn open(self, vault: &dyn Vault) -> Result<Webhook, StoreError> {
        let refused = |column, why: &str| corrupt("webhooks", column, &self.name, why.to_owned());
        let secret = vault.open(&self.sealed_secret);
        let secret = secret.map_err(|error| corrupt("webhooks", "sealed_secret", &self.name, error))?;
        let secret = String::from_utf8(secret).map_err(|_| refused("sealed_secret", "not text"))?;
        let timeout = SyncTimeout::from_secs(i64::from(self.sync_timeout));
        Ok(Webhook {
            name: WebhookName::parse(&self.name).map_err(|error| corrupt("webhooks", "name", &self.name, error))?,
            secret: WebhookSecret::from_stored(SecretString::from(secret)),
            scheme: Scheme::parse(&self.scheme).ok_or_else(|| refused("scheme", "an unknown scheme"))?,
            session: SessionMode::parse(&self.session_mode)
                .ok_or_else(|| refused("session_mode", "an unknown mode"))?,
            sync_timeout: timeout.ok_or_else(|| refused("sync_timeout", "out of bounds"))?,
            created: Timestamp(self.created),
            description: self.description,
        })
    }
}

#[async_trait]
impl WebhookStore for SqlStorage {
    async fn insert(&self, webhook: &Webhook, entry: &AuditEntry) -> Result<(), StoreError> {
        let (row, entry) = (Row::of(webhook, &*self.vault), entry.clone());
        let inserted = self.write("webhooks.insert", move |connection| {
            diesel::insert_into(webhooks::table).values(&row).execute(connection)?;
            audit::insert(connection, &entry)
        });
        inserted.await
    }

    async fn find(&self, name: &WebhookName) -> Result<Option<Webhook>, StoreError> {
        let name = name.as_str().to_owned();
        let row = self.read("webhooks.find", move |connection| {
            Ok(webhooks::table.find(name).first::<Row>(connection).optional()?)
        });
        row.await?.map(|row| row.open(&*self.vault)).transpose()
    }

    async fn list(&self) -> Result<Vec<Webhook>, StoreError> {
        let rows = self.read("webhooks.list", |connection| {
            Ok(webhooks::table.order((webhooks::created, webhooks::name)).load::<Row>(connection)?)
        });
        rows.await?.into_iter().map(|row| row.open(&*self.vault)).collect()
    }

    async fn set_secret(
        &self,
        name: &WebhookName,
        secret: &WebhookSecret,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let (name, entry) = (name.as_str().to_owned(), entry.clone());
        let sealed = self.vault.seal(secret.expose().as_bytes());
        let changed = self.write("webhooks.set_secret", move |connection| {
            let row = webhooks::table.find(name);
            let changed = diesel::update(row).set(webhooks::sealed_secret.eq(sealed)).execute(connection)? > 0;
            if changed {
                audit::insert(connection, &entry)?;
            }
            Ok(changed)
        });
        changed.await
    }

    async fn remove(&self, name: &WebhookName, entry: &AuditEntry) -> Result<bool, StoreError> {
        let (name, entry) = (name.as_str().to_owned(), entry.clone());
        let removed = self.write("webhooks.remove", move |connection| {
            let removed = diesel::delete(webhooks::table.find(name)).execute(connection)? > 0;
            if removed {
                audit::insert(connection, &entry)?;
            }
            Ok(removed)
        });
        removed.await
    }
}
