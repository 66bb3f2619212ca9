//! Login sessions and pairing codes.

use super::connection::AnyConnection;
use super::errors::{Failure, corrupt};
use super::grants::{self, Place};
use super::schema::{login_sessions, oauth_tickets, pairings};
use super::{SqlStorage, audit};
use crate::domain::audit::AuditEntry;
use crate::domain::auth::api_key::ApiKeyId;
use crate::domain::auth::login::{AuthSession, Device, Origin};
use crate::domain::auth::pairing::Pairing;
use crate::domain::auth::token::TokenHash;
use crate::domain::text::PageLimit;
use crate::domain::time::Timestamp;
use crate::ports::auth_sessions::AuthSessionStore;
use crate::ports::store::StoreError;
use async_trait::async_trait;
use diesel::prelude::*;

#[derive(Insertable, Queryable)]
#[diesel(table_name = login_sessions)]
pub(super) struct SessionRow {
    id: String,
    hash: Vec<u8>,
    epoch: String,
    origin: String,
    family: Option<String>,
    scopes: String,
    grant_until: Option<i64>,
    api_key: Option<String>,
    label: String,
    address: String,
    created: i64,
    last_used: i64,
    expires: i64,
}

impl SessionRow {
    pub(super) fn of(session: &AuthSession) -> Self {
        Self {
            id: session.id.clone(),
            hash: session.hash.0.to_vec(),
            epoch: session.epoch.clone(),
            origin: session.origin.as_str().to_owned(),
            family: session.family.clone(),
            scopes: grants::names(session.grant.scopes),
            grant_until: session.grant.until.map(|until| until.0),
            api_key: grants::key_of(&session.grant),
            label: session.device.label.clone(),
            address: session.device.address.clone(),
            created: session.created.0,
            last_used: session.last_used.0,
            expires: session.expires.0,
        }
    }
}

impl TryFrom<SessionRow> for AuthSession {
    type Error = StoreError;

    fn try_from(row: SessionRow) -> Result<Self, StoreError> {
        let place = Place { table: "login_sessions", key: &row.id };
        let origin = Origin::parse(&row.origin);
        Ok(Self {
            hash: place.hash(row.hash)?,
            epoch: row.epoch,
            origin: origin.ok_or_else(|| corrupt("login_sessions", "origin", &row.id, "an unknown origin"))?,
            family: row.family,
            grant: place.grant(&row.scopes, row.grant_until, row.api_key)?,
            device: Device { label: row.label, address: row.address },
            created: Timestamp(row.created),
            last_used: Timestamp(row.last_used),
            expires: Timestamp(row.expires),
            id: row.id,
        })
    }
}

#[derive(Insertable, Queryable)]
#[diesel(table_name = pairings)]
struct PairingRow {
    hash: Vec<u8>,
    epoch: String,
    scopes: String,
    grant_until: Option<i64>,
    api_key: Option<String>,
    expires: i64,
}

impl PairingRow {
    fn of(pairing: &Pairing) -> Self {
        Self {
            hash: pairing.hash.0.to_vec(),
            epoch: pairing.epoch.clone(),
            scopes: grants::names(pairing.grant.scopes),
            grant_until: pairing.grant.until.map(|until| until.0),
            api_key: grants::key_of(&pairing.grant),
            expires: pairing.expires.0,
        }
    }

    /// The pairing code, which was looked up by `hash`.
    fn open(self, hash: TokenHash) -> Result<Pairing, StoreError> {
        let fingerprint = hash.fingerprint();
        let place = Place { table: "pairings", key: &fingerprint };
        Ok(Pairing {
            hash: place.hash(self.hash)?,
            epoch: self.epoch,
            grant: place.grant(&self.scopes, self.grant_until, self.api_key)?,
            expires: Timestamp(self.expires),
        })
    }
}

/// Removes what was got with an API key; for the store of keys, in the transaction that revokes it.
pub(super) fn remove_got_with(connection: &mut AnyConnection, key: &ApiKeyId) -> Result<(), Failure> {
    let key = key.as_str();
    diesel::delete(login_sessions::table.filter(login_sessions::api_key.eq(key))).execute(connection)?;
    diesel::delete(pairings::table.filter(pairings::api_key.eq(key))).execute(connection)?;
    diesel::delete(oauth_tickets::table.filter(oauth_tickets::api_key.eq(key))).execute(connection)?;
    Ok(())
}

#[async_trait]
impl AuthSessionStore for SqlStorage {
    async fn insert(&self, session: &AuthSession, entry: &AuditEntry) -> Result<(), StoreError> {
        let (row, entry) = (SessionRow::of(session), entry.clone());
        let inserted = self.write("auth_sessions.insert", move |connection| {
            diesel::insert_into(login_sessions::table).values(&row).execute(connection)?;
            audit::insert(connection, &entry)
        });
        inserted.await
    }

    async fn find_by_hash(&self, hash: &TokenHash) -> Result<Option<AuthSession>, StoreError> {
        let hash = hash.0.to_vec();
        let row = self.read("auth_sessions.find_by_hash", move |connection| {
            let session = login_sessions::table.filter(login_sessions::hash.eq(hash));
            Ok(session.first::<SessionRow>(connection).optional()?)
        });
        row.await?.map(AuthSession::try_from).transpose()
    }

    async fn list(&self, epoch: &str, now: Timestamp, limit: PageLimit) -> Result<Vec<AuthSession>, StoreError> {
        let epoch = epoch.to_owned();
        let rows = self.read("auth_sessions.list", move |connection| {
            let until = login_sessions::grant_until;
            let sessions = login_sessions::table
                .filter(login_sessions::epoch.eq(epoch))
                .filter(login_sessions::expires.gt(now.0))
                .filter(until.is_null().or(until.gt(now.0)))
                .order((login_sessions::created.desc(), login_sessions::id.desc()));
            Ok(sessions.limit(limit.as_i64()).load::<SessionRow>(connection)?)
        });
        rows.await?.into_iter().map(AuthSession::try_from).collect()
    }

    async fn revoke(&self, id: &str, entry: &AuditEntry) -> Result<bool, StoreError> {
        // Not every database takes a NUL, and no id has one.
        if id.contains('\0') {
            return Ok(false);
        }
        let (id, entry) = (id.to_owned(), entry.clone());
        let revoked = self.write("auth_sessions.revoke", move |connection| {
            let revoked = diesel::delete(login_sessions::table.find(id)).execute(connection)? > 0;
            if revoked {
                audit::insert(connection, &entry)?;
            }
            Ok(revoked)
        });
        revoked.await
    }

    async fn touch(&self, uses: &[(String, Timestamp)]) -> Result<(), StoreError> {
        let uses = uses.to_vec();
        let touched = self.write("auth_sessions.touch", move |connection| {
            for (id, at) in uses {
                let used_earlier = login_sessions::table.find(id).filter(login_sessions::last_used.lt(at.0));
                diesel::update(used_earlier).set(login_sessions::last_used.eq(at.0)).execute(connection)?;
            }
            Ok(())
        });
        touched.await
    }

    async fn insert_pairing(&self, pairing: &Pairing, entry: &AuditEntry) -> Result<(), StoreError> {
        let (row, entry) = (PairingRow::of(pairing), entry.clone());
        let inserted = self.write("auth_sessions.insert_pairing", move |connection| {
            diesel::insert_into(pairings::table).values(&row).execute(connection)?;
            audit::insert(connection, &entry)
        });
        inserted.await
    }

    async fn find_pairing(&self, hash: &TokenHash) -> Result<Option<Pairing>, StoreError> {
        let hash = *hash;
        let row = self.read("auth_sessions.find_pairing", move |connection| {
            Ok(pairings::table.find(hash.0.to_vec()).first::<PairingRow>(connection).optional()?)
        });
        row.await?.map(|row| row.open(hash)).transpose()
    }

    async fn redeem(&self, hash: &TokenHash, session: &AuthSession, entry: &AuditEntry) -> Result<bool, StoreError> {
        let (hash, row, entry) = (hash.0.to_vec(), SessionRow::of(session), entry.clone());
        let redeemed = self.write("auth_sessions.redeem", move |connection| {
            // Whoever deletes the code has redeemed it; nobody can do that twice.
            let redeemed = diesel::delete(pairings::table.find(hash)).execute(connection)? > 0;
            if redeemed {
                diesel::insert_into(login_sessions::table).values(&row).execute(connection)?;
                audit::insert(connection, &entry)?;
            }
            Ok(redeemed)
        });
        redeemed.await
    }

    async fn end_all(&self, entry: &AuditEntry) -> Result<u64, StoreError> {
        let entry = entry.clone();
        let ended = self.write("auth_sessions.end_all", move |connection| {
            let sessions = diesel::delete(login_sessions::table).execute(connection)?;
            diesel::delete(pairings::table).execute(connection)?;
            diesel::delete(oauth_tickets::table).execute(connection)?;
            audit::insert(connection, &entry)?;
            Ok(sessions)
        });
        Ok(ended.await? as u64)
    }

    async fn forget_ended(&self, now: Timestamp) -> Result<u64, StoreError> {
        let forgotten = self.write("auth_sessions.forget_ended", move |connection| {
            let sessions = login_sessions::table.filter(login_sessions::expires.le(now.0));
            let codes = pairings::table.filter(pairings::expires.le(now.0));
            Ok(diesel::delete(sessions).execute(connection)? + diesel::delete(codes).execute(connection)?)
        });
        Ok(forgotten.await? as u64)
    }
}
