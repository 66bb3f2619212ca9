//! The audit log.

use super::SqlStorage;
use super::connection::AnyConnection;
use super::errors::{Failure, corrupt};
use super::schema::audit;
use crate::domain::audit::{AuditEntry, Severity};
use crate::domain::text::PageLimit;
use crate::domain::time::Timestamp;
use crate::ports::audit::AuditLog;
use crate::ports::store::StoreError;
use async_trait::async_trait;
use diesel::prelude::*;

#[derive(Insertable)]
#[diesel(table_name = audit)]
struct NewRow<'a> {
    id: &'a str,
    happened: i64,
    severity: &'a str,
    actor: &'a str,
    action: &'a str,
    target: &'a str,
    status: &'a str,
    context: String,
}

#[derive(Queryable)]
struct Row {
    id: String,
    happened: i64,
    severity: String,
    actor: String,
    action: String,
    target: String,
    status: String,
    context: String,
}

impl TryFrom<Row> for AuditEntry {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let severity = Severity::parse(&row.severity);
        let severity = severity.ok_or_else(|| corrupt("audit", "severity", &row.id, "an unknown severity"))?;
        let context = serde_json::from_str(&row.context);
        let context = context.map_err(|error| corrupt("audit", "context", &row.id, error))?;
        Ok(Self {
            id: row.id,
            at: Timestamp(row.happened),
            severity,
            actor: row.actor,
            action: row.action,
            target: row.target,
            status: row.status,
            context,
        })
    }
}

impl<'a> NewRow<'a> {
    fn of(entry: &'a AuditEntry) -> Result<Self, StoreError> {
        Ok(Self {
            id: &entry.id,
            happened: entry.at.0,
            severity: entry.severity.as_str(),
            actor: &entry.actor,
            action: &entry.action,
            target: &entry.target,
            status: &entry.status,
            context: serde_json::to_string(&entry.context).map_err(|error| StoreError::Failed(Box::new(error)))?,
        })
    }
}

/// Adds an entry; for the stores, in the transaction of the change it describes.
pub(super) fn insert(connection: &mut AnyConnection, entry: &AuditEntry) -> Result<(), Failure> {
    diesel::insert_into(audit::table).values(&NewRow::of(entry)?).execute(connection)?;
    Ok(())
}

/// Adds an entry at a place of its own.
pub(super) fn insert_at(connection: &mut AnyConnection, key: i64, entry: &AuditEntry) -> Result<(), Failure> {
    diesel::insert_into(audit::table).values((audit::key.eq(key), &NewRow::of(entry)?)).execute(connection)?;
    Ok(())
}

/// Whether there is an entry of that id.
pub(super) fn is_there(connection: &mut AnyConnection, id: &str) -> QueryResult<bool> {
    let key = audit::table.filter(audit::id.eq(id)).select(audit::key).first::<i64>(connection).optional()?;
    Ok(key.is_some())
}

#[async_trait]
impl AuditLog for SqlStorage {
    async fn record(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let entry = entry.clone();
        self.write("audit.record", move |connection| insert(connection, &entry)).await
    }

    async fn recent(&self, limit: PageLimit) -> Result<Vec<AuditEntry>, StoreError> {
        let rows = self.read("audit.recent", move |connection| {
            let columns = (
                audit::id,
                audit::happened,
                audit::severity,
                audit::actor,
                audit::action,
                audit::target,
                audit::status,
                audit::context,
            );
            let rows = audit::table.select(columns).order(audit::key.desc()).limit(limit.as_i64());
            Ok(rows.load::<Row>(connection)?)
        });
        rows.await?.into_iter().map(AuditEntry::try_from).collect()
    }
}
