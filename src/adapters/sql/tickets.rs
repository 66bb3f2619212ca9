//! What native apps exchange for access tokens.

use super::auth_sessions::SessionRow;
use super::errors::corrupt;
use super::grants::{self, Place};
use super::schema::{login_sessions, oauth_tickets};
use super::{SqlStorage, audit};
use crate::domain::audit::AuditEntry;
use crate::domain::auth::login::AuthSession;
use crate::domain::auth::oauth::{Challenge, RedirectUri, Ticket, TicketKind};
use crate::domain::auth::token::TokenHash;
use crate::domain::time::Timestamp;
use crate::ports::oauth::TicketStore;
use crate::ports::store::StoreError;
use async_trait::async_trait;
use diesel::prelude::*;

const CODE: &str = "code";
const REFRESH: &str = "refresh";

#[derive(Insertable, Queryable)]
#[diesel(table_name = oauth_tickets)]
struct Row {
    hash: Vec<u8>,
    kind: String,
    redirect_uri: Option<String>,
    challenge: Option<String>,
    family: String,
    client: String,
    epoch: String,
    scopes: String,
    grant_until: Option<i64>,
    api_key: Option<String>,
    expires: i64,
    spent: bool,
}

impl Row {
    fn of(ticket: &Ticket) -> Self {
        let (kind, redirect_uri, challenge) = match &ticket.kind {
            TicketKind::Code { redirect_uri, challenge } => {
                (CODE, Some(redirect_uri.as_str()), Some(challenge.as_str()))
            }
            TicketKind::Refresh => (REFRESH, None, None),
        };
        Self {
            hash: ticket.hash.0.to_vec(),
            kind: kind.to_owned(),
            redirect_uri: redirect_uri.map(str::to_owned),
            challenge: challenge.map(str::to_owned),
            family: ticket.family.clone(),
            client: ticket.client.clone(),
            epoch: ticket.epoch.clone(),
            scopes: grants::names(ticket.grant.scopes),
            grant_until: ticket.grant.until.map(|until| until.0),
            api_key: grants::key_of(&ticket.grant),
            expires: ticket.expires.0,
            spent: ticket.spent,
        }
    }

    /// The ticket, which was looked up by `hash`.
    fn open(self, hash: TokenHash) -> Result<Ticket, StoreError> {
        let fingerprint = hash.fingerprint();
        let refused = |column, why| corrupt("oauth_tickets", column, &fingerprint, why);
        let place = Place { table: "oauth_tickets", key: &fingerprint };
        let kind = match self.kind.as_str() {
            CODE => {
                let redirect_uri = self.redirect_uri.as_deref().and_then(RedirectUri::parse);
                let challenge = self.challenge.as_deref().and_then(Challenge::parse);
                TicketKind::Code {
                    redirect_uri: redirect_uri.ok_or_else(|| refused("redirect_uri", "not an address of an app"))?,
                    challenge: challenge.ok_or_else(|| refused("challenge", "not a challenge"))?,
                }
            }
            REFRESH => TicketKind::Refresh,
            _ => return Err(refused("kind", "an unknown kind")),
        };
        Ok(Ticket {
            hash: place.hash(self.hash)?,
            kind,
            family: self.family,
            client: self.client,
            epoch: self.epoch,
            grant: place.grant(&self.scopes, self.grant_until, self.api_key)?,
            expires: Timestamp(self.expires),
            spent: self.spent,
        })
    }
}

#[async_trait]
impl TicketStore for SqlStorage {
    async fn insert(&self, ticket: &Ticket, entry: &AuditEntry) -> Result<(), StoreError> {
        let (row, entry) = (Row::of(ticket), entry.clone());
        let inserted = self.write("tickets.insert", move |connection| {
            diesel::insert_into(oauth_tickets::table).values(&row).execute(connection)?;
            audit::insert(connection, &entry)
        });
        inserted.await
    }

    async fn find(&self, hash: &TokenHash) -> Result<Option<Ticket>, StoreError> {
        let hash = *hash;
        let row = self.read("tickets.find", move |connection| {
            Ok(oauth_tickets::table.find(hash.0.to_vec()).first::<Row>(connection).optional()?)
        });
        row.await?.map(|row| row.open(hash)).transpose()
    }

    async fn exchange(
        &self,
        hash: &TokenHash,
        session: &AuthSession,
        successor: &Ticket,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let (hash, session, successor) = (hash.0.to_vec(), SessionRow::of(session), Row::of(successor));
        let entry = entry.clone();
        let exchanged = self.write("tickets.exchange", move |connection| {
            // Whoever marks the ticket has exchanged it; nobody can do that twice.
            let unspent = oauth_tickets::table.find(&hash).filter(oauth_tickets::spent.eq(false));
            let exchanged = diesel::update(unspent).set(oauth_tickets::spent.eq(true)).execute(connection)? > 0;
            if exchanged {
                let family = oauth_tickets::table.find(&hash).select(oauth_tickets::family);
                let family: String = family.first(connection)?;
                let earlier = login_sessions::table.filter(login_sessions::family.eq(family));
                diesel::delete(earlier).execute(connection)?;
                diesel::insert_into(login_sessions::table).values(&session).execute(connection)?;
                diesel::insert_into(oauth_tickets::table).values(&successor).execute(connection)?;
                audit::insert(connection, &entry)?;
            }
            Ok(exchanged)
        });
        exchanged.await
    }

    async fn end_family(&self, family: &str, entry: &AuditEntry) -> Result<bool, StoreError> {
        let (family, entry) = (family.to_owned(), entry.clone());
        let ended = self.write("tickets.end_family", move |connection| {
            let tickets = oauth_tickets::table.filter(oauth_tickets::family.eq(&family));
            let sessions = login_sessions::table.filter(login_sessions::family.eq(&family));
            let ended =
                diesel::delete(tickets).execute(connection)? + diesel::delete(sessions).execute(connection)? > 0;
            if ended {
                audit::insert(connection, &entry)?;
            }
            Ok(ended)
        });
        ended.await
    }

    async fn forget_ended(&self, now: Timestamp) -> Result<u64, StoreError> {
        let forgotten = self.write("tickets.forget_ended", move |connection| {
            let tickets = oauth_tickets::table.filter(oauth_tickets::expires.le(now.0));
            Ok(diesel::delete(tickets).execute(connection)?)
        });
        Ok(forgotten.await? as u64)
    }
}
