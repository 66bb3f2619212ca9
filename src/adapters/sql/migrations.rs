//! Bringing the schema up to date. Forward only.

use super::StorageUrl;
use super::connection::{self, AnyConnection, Purpose};
use super::errors::Failure;
use crate::ports::store::StoreError;
use diesel::connection::SimpleConnection;
use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use std::collections::BTreeSet;

const SQLITE: EmbeddedMigrations = embed_migrations!("src/adapters/sql/migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("src/adapters/sql/migrations/postgres");

diesel::table! {
    __diesel_schema_migrations (version) {
        version -> Text,
    }
}

/// Opens the database to write to it, with the schema of this program; gives the names of the migrations that were run for
/// that. An SQLite file is created if it is not there.
pub(super) fn open_current(url: &StorageUrl) -> Result<(AnyConnection, Vec<String>), StoreError> {
    connection::create_private(url).map_err(|error| StoreError::Unavailable(Box::new(error)))?;
    // Not from a pool, which would try again and again and then say only that it took too long.
    let mut connection = connection::open(url, Purpose::Write)?;
    let ran = run(&mut connection)?;
    Ok((connection, ran))
}

/// Brings the schema of the database up to date, and creates an SQLite file that is not there. Gives the names of the
/// migrations that were run, in order.
///
/// # Errors
/// `Unavailable` if it cannot be opened, or another program writes to it; `Failed` if it was made by a newer program, or a
/// migration failed; those before it have been run.
pub async fn migrate(url: StorageUrl) -> Result<Vec<String>, StoreError> {
    let ran = tokio::task::spawn_blocking(move || open_current(&url).map(|(_, ran)| ran));
    ran.await.map_err(|error| StoreError::Failed(Box::new(error)))?
}

/// The names of the migrations that [`migrate`] would run, in order. Changes nothing, and makes no database.
///
/// # Errors
/// `Unavailable` if a database that is there cannot be opened; `Failed` if it was made by a newer program.
pub async fn pending_migrations(url: StorageUrl) -> Result<Vec<String>, StoreError> {
    let found = tokio::task::spawn_blocking(move || match &url {
        StorageUrl::Sqlite(path) if !path.exists() => {
            Ok(known_in::<Sqlite>(SQLITE.migrations())?.into_iter().map(|known| known.name).collect())
        }
        _ => pending(&mut connection::open(&url, Purpose::Read)?),
    });
    found.await.map_err(|error| StoreError::Failed(Box::new(error)))?
}

/// Runs what is pending; gives the names of what that was.
pub(super) fn run(connection: &mut AnyConnection) -> Result<Vec<String>, StoreError> {
    let pending = pending(connection)?;
    let ran = match connection {
        AnyConnection::Sqlite(inner) => inner.run_pending_migrations(SQLITE).map(drop),
        AnyConnection::Postgres(inner) => {
            // Making an index over everything takes as long as it takes.
            inner.batch_execute("SET statement_timeout = 0").map_err(Failure::from)?;
            inner.run_pending_migrations(POSTGRES).map(drop)
        }
    };
    ran.map_err(StoreError::Failed)?;
    for migration in &pending {
        tracing::info!(migration, "database schema brought up to date");
    }
    Ok(pending)
}

/// The names of the migrations that the database does not have yet, in order. Changes nothing.
///
/// # Errors
/// `Failed` if it has one that this program does not know.
pub(super) fn pending(connection: &mut AnyConnection) -> Result<Vec<String>, StoreError> {
    let applied = applied(connection).map_err(Failure::from)?;
    let known = known(connection)?;
    if let Some(unknown) = applied.iter().find(|version| !known.iter().any(|known| known.version == **version)) {
        let text = format!(
            "the database has the migration {unknown}, which this program does not know: it was written by a newer pawport; use that one"
        );
        return Err(StoreError::Failed(text.into()));
    }
    Ok(known.into_iter().filter(|known| !applied.contains(&known.version)).map(|known| known.name).collect())
}

/// Fails unless the schema is the one this program knows.
pub(super) fn check(connection: &mut AnyConnection) -> Result<(), Failure> {
    let pending = pending(connection)?;
    if pending.is_empty() {
        return Ok(());
    }
    let text = format!("the schema lacks the migrations {}; run pawport migrate", pending.join(", "));
    Err(StoreError::Failed(text.into()).into())
}

struct Known {
    version: String,
    name: String,
}

/// The migrations that this program knows for this database, in order.
fn known(connection: &AnyConnection) -> Result<Vec<Known>, StoreError> {
    match connection {
        AnyConnection::Sqlite(_) => known_in::<Sqlite>(SQLITE.migrations()),
        AnyConnection::Postgres(_) => known_in::<Pg>(POSTGRES.migrations()),
    }
}

fn known_in<DB: diesel::backend::Backend>(
    migrations: diesel::migration::Result<Vec<Box<dyn Migration<DB>>>>,
) -> Result<Vec<Known>, StoreError> {
    let migrations = migrations.map_err(StoreError::Failed)?;
    let names = migrations.iter().map(Migration::name);
    let mut known: Vec<Known> =
        names.map(|name| Known { version: name.version().to_string(), name: name.to_string() }).collect();
    known.sort_by(|a, b| a.version.cmp(&b.version));
    Ok(known)
}

/// The names of the migrations of all databases, in order: what decides how a row looks, wherever it is.
pub(super) fn names() -> Result<Vec<String>, StoreError> {
    let all = known_in::<Sqlite>(SQLITE.migrations())?.into_iter().chain(known_in::<Pg>(POSTGRES.migrations())?);
    Ok(all.map(|known| known.name).collect::<BTreeSet<_>>().into_iter().collect())
}

/// The versions of the migrations that the database has, in order.
fn applied(connection: &mut AnyConnection) -> QueryResult<Vec<String>> {
    if !has_schema(connection)? {
        return Ok(Vec::new());
    }
    __diesel_schema_migrations::table
        .select(__diesel_schema_migrations::version)
        .order(__diesel_schema_migrations::version)
        .load(connection)
}

/// Whether any migration was ever run.
fn has_schema(connection: &mut AnyConnection) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = diesel::sql_types::Bool)]
        found: bool,
    }
    let found: Found = match connection {
        AnyConnection::Sqlite(inner) => diesel::sql_query(
            "SELECT count(*) > 0 AS found FROM sqlite_master WHERE name = '__diesel_schema_migrations'",
        )
        .get_result(inner)?,
        AnyConnection::Postgres(inner) => diesel::sql_query(
            "SELECT to_regclass(quote_ident(current_schema()) || '.__diesel_schema_migrations') IS NOT NULL AS found",
        )
        .get_result(inner)?,
    };
    Ok(found.found)
}
