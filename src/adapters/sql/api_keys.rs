//! API keys.

use super::connection::AnyConnection;
use super::errors::{Failure, corrupt};
use super::grants::{self, Place};
use super::schema::api_keys;
use super::{SqlStorage, audit, auth_sessions};
use crate::domain::audit::AuditEntry;
use crate::domain::auth::api_key::{ApiKey, ApiKeyId, ApiKeyName};
use crate::domain::auth::token::TokenHash;
use crate::domain::time::Timestamp;
use crate::ports::api_keys::ApiKeyStore;
use crate::ports::store::StoreError;
use async_trait::async_trait;
use diesel::prelude::*;

#[derive(Insertable, Queryable)]
#[diesel(table_name = api_keys)]
pub(super) struct Row {
    id: String,
    hash: Vec<u8>,
    prefix: String,
    name: String,
    scopes: String,
    created: i64,
    last_used: Option<i64>,
    expires: Option<i64>,
    revoked: Option<i64>,
}

impl Row {
    pub(super) fn of(key: &ApiKey) -> Self {
        Self {
            id: key.id.as_str().to_owned(),
            hash: key.hash.0.to_vec(),
            prefix: key.prefix.clone(),
            name: key.name.as_str().to_owned(),
            scopes: grants::names(key.scopes),
            created: key.created.0,
            last_used: key.last_used.map(|at| at.0),
            expires: key.expires.map(|at| at.0),
            revoked: key.revoked.map(|at| at.0),
        }
    }
}

impl TryFrom<Row> for ApiKey {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let place = Place { table: "api_keys", key: &row.id };
        let id = ApiKeyId::parse(&row.id);
        let name = ApiKeyName::parse(&row.name);
        Ok(Self {
            id: id.ok_or_else(|| corrupt("api_keys", "id", &row.id, "not the id of a key"))?,
            hash: place.hash(row.hash)?,
            prefix: row.prefix,
            name: name.map_err(|error| corrupt("api_keys", "name", &row.id, error))?,
            scopes: place.scopes(&row.scopes)?,
            created: Timestamp(row.created),
            last_used: row.last_used.map(Timestamp),
            expires: row.expires.map(Timestamp),
            revoked: row.revoked.map(Timestamp),
        })
    }
}

/// Revokes a key, and removes what was got with it. False if there is none that could be.
pub(super) fn revoke(connection: &mut AnyConnection, id: &ApiKeyId, at: Timestamp) -> Result<bool, Failure> {
    let key = api_keys::table.find(id.as_str()).filter(api_keys::revoked.is_null());
    let revoked = diesel::update(key).set(api_keys::revoked.eq(at.0)).execute(connection)? > 0;
    if revoked {
        auth_sessions::remove_got_with(connection, id)?;
    }
    Ok(revoked)
}

#[async_trait]
impl ApiKeyStore for SqlStorage {
    async fn insert(&self, key: &ApiKey, entry: &AuditEntry) -> Result<(), StoreError> {
        let (row, entry) = (Row::of(key), entry.clone());
        let inserted = self.write("api_keys.insert", move |connection| {
            diesel::insert_into(api_keys::table).values(&row).execute(connection)?;
            audit::insert(connection, &entry)
        });
        inserted.await
    }

    async fn find(&self, id: &ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
        let id = id.as_str().to_owned();
        let row = self.read("api_keys.find", move |connection| {
            Ok(api_keys::table.find(id).first::<Row>(connection).optional()?)
        });
        row.await?.map(ApiKey::try_from).transpose()
    }

    async fn find_by_hash(&self, hash: &TokenHash) -> Result<Option<ApiKey>, StoreError> {
        let hash = hash.0.to_vec();
        let row = self.read("api_keys.find_by_hash", move |connection| {
            Ok(api_keys::table.filter(api_keys::hash.eq(hash)).first::<Row>(connection).optional()?)
        });
        row.await?.map(ApiKey::try_from).transpose()
    }

    async fn list(&self) -> Result<Vec<ApiKey>, StoreError> {
        let rows = self.read("api_keys.list", |connection| {
            Ok(api_keys::table.order((api_keys::created, api_keys::id)).load::<Row>(connection)?)
        });
        rows.await?.into_iter().map(ApiKey::try_from).collect()
    }

    async fn revoke(&self, id: &ApiKeyId, at: Timestamp, entry: &AuditEntry) -> Result<bool, StoreError> {
        let (id, entry) = (id.clone(), entry.clone());
        let revoked = self.write("api_keys.revoke", move |connection| {
            let revoked = revoke(connection, &id, at)?;
            if revoked {
                audit::insert(connection, &entry)?;
            }
            Ok(revoked)
        });
        revoked.await
    }

    async fn rotate(
        &self,
        id: &ApiKeyId,
        at: Timestamp,
        successor: &ApiKey,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let (id, row, entry) = (id.clone(), Row::of(successor), entry.clone());
        let rotated = self.write("api_keys.rotate", move |connection| {
            let rotated = revoke(connection, &id, at)?;
            if rotated {
                diesel::insert_into(api_keys::table).values(&row).execute(connection)?;
                audit::insert(connection, &entry)?;
            }
            Ok(rotated)
        });
        rotated.await
    }

    async fn touch(&self, uses: &[(ApiKeyId, Timestamp)]) -> Result<(), StoreError> {
        let uses = uses.to_vec();
        let touched = self.write("api_keys.touch", move |connection| {
            for (id, at) in uses {
                let is_later = api_keys::last_used.is_null().or(api_keys::last_used.lt(at.0));
                let key = api_keys::table.find(id.as_str()).filter(is_later);
                diesel::update(key).set(api_keys::last_used.eq(at.0)).execute(connection)?;
            }
            Ok(())
        });
        touched.await
    }
}
