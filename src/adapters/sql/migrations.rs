//! Bringing the schema up to date. Forward only.

use super::connection::AnyConnection;
use super::errors::Failure;
use crate::ports::store::StoreError;
use diesel::migration::MigrationVersion;
use diesel::sqlite::Sqlite;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

const SQLITE: EmbeddedMigrations = embed_migrations!("src/adapters/sql/migrations/sqlite");

/// Runs what is pending.
pub(super) fn run(connection: &mut AnyConnection) -> Result<(), StoreError> {
    let AnyConnection::Sqlite(inner) = connection;
    let applied = inner.applied_migrations().map_err(StoreError::Failed)?;
    refuse_newer(&applied)?;
    let ran = inner.run_pending_migrations(SQLITE).map_err(StoreError::Failed)?;
    for version in ran {
        tracing::info!(migration = %version, "database schema brought up to date");
    }
    Ok(())
}

/// Fails unless the schema is the one this program knows.
pub(super) fn check(connection: &mut AnyConnection) -> Result<(), Failure> {
    use diesel::prelude::*;
    diesel::table! {
        __diesel_schema_migrations (version) {
            version -> Text,
        }
    }
    let applied: Vec<String> = __diesel_schema_migrations::table
        .select(__diesel_schema_migrations::version)
        .order(__diesel_schema_migrations::version)
        .load(connection)?;
    let known = known()?;
    if applied == known {
        return Ok(());
    }
    let text = format!("the schema has the migrations {applied:?}, this program knows {known:?}");
    Err(StoreError::Failed(text.into()).into())
}

fn refuse_newer(applied: &[MigrationVersion<'static>]) -> Result<(), StoreError> {
    let known = known()?;
    match applied.iter().find(|version| !known.contains(&version.to_string())) {
        None => Ok(()),
        Some(version) => Err(StoreError::Failed(
            format!("the database has the migration {version}, which this program does not know: it was written by a newer pawport").into(),
        )),
    }
}

fn known() -> Result<Vec<String>, StoreError> {
    use diesel::migration::MigrationSource;
    let migrations = MigrationSource::<Sqlite>::migrations(&SQLITE).map_err(StoreError::Failed)?;
    let mut versions: Vec<String> = migrations.iter().map(|migration| migration.name().version().to_string()).collect();
    versions.sort();
    Ok(versions)
}
