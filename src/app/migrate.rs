//! The schema of the database: what is to be done, and doing it.

use super::secrets::storage_url;
use super::serve::lock_database;
use crate::adapters::data_dir::DataDir;
use crate::adapters::sql::{migrate as run_migrations, pending_migrations};
use crate::config::Config;
use anyhow::{Context, bail};

/// What to say if there is nothing to do.
const UP_TO_DATE: &str = "The database is up to date.";

/// Brings the schema of the database up to date; a database that is not there is made. Gives what to tell the owner.
///
/// # Errors
/// If a server runs, the database cannot be opened, or it was written by a newer program.
pub async fn migrate(config: &Config) -> anyhow::Result<String> {
    let Some(url) = storage_url(config) else { bail!(IN_MEMORY) };
    let _data_dir = DataDir::open(&config.data_dir)?;
    let _database_lock = lock_database(config)?;
    let ran = run_migrations(url).await.with_context(|| cannot_migrate(config))?;
    Ok(list("ran", &ran))
}

/// What [`migrate`] would do, and how many migrations that are. Changes nothing, and takes no lock.
///
/// # Errors
/// If the database cannot be opened, or was written by a newer program.
pub async fn pending(config: &Config) -> anyhow::Result<(String, usize)> {
    let Some(url) = storage_url(config) else { bail!(IN_MEMORY) };
    let pending = pending_migrations(url).await.with_context(|| cannot_migrate(config))?;
    Ok((list("pending:", &pending), pending.len()))
}

const IN_MEMORY: &str = "the database is in memory: it has no schema to bring up to date";

fn cannot_migrate(config: &Config) -> String {
    format!("the database {} cannot be brought up to date", config.database_url)
}

fn list(what: &str, names: &[String]) -> String {
    if names.is_empty() {
        return UP_TO_DATE.to_owned();
    }
    names.iter().map(|name| format!("{what} {name}")).collect::<Vec<_>>().join("\n")
}
