//! The key that secrets in the database are encrypted with: which one it is, and how it is replaced.

use super::serve::lock_database;
use crate::adapters::data_dir::DataDir;
use crate::adapters::host::{OsEntropy, SystemClock};
use crate::adapters::sql::{SqlStorage, StorageUrl};
use crate::adapters::vault::SealingVault;
use crate::config::{Config, DatabaseUrl, VaultKey};
use crate::domain::audit::Happening;
use crate::domain::audit::service::Audit;
use crate::ports::entropy::{Entropy, random};
use crate::ports::store::{StoreError, Stores};
use crate::ports::vault::Vault;
use anyhow::{Context, bail};
use secrecy::ExposeSecret;
use std::sync::Arc;

/// The file with the key, unless the configuration gives one.
pub(super) const KEY: &str = "vault.key";

/// The file with the key that is to replace it. There only while, or after, a replacement was cut short.
const NEXT_KEY: &str = "vault.key.new";

/// The URL of the database as the SQL storage takes it; none if everything is in memory.
#[must_use]
pub fn storage_url(config: &Config) -> Option<StorageUrl> {
    match &config.database_url {
        DatabaseUrl::Sqlite(path) => Some(StorageUrl::Sqlite(path.clone())),
        DatabaseUrl::Postgres(url) => Some(StorageUrl::Postgres(url.secret().clone())),
        DatabaseUrl::Memory => None,
    }
}

/// Opens the database with the key that it belongs to.
///
/// # Errors
/// If it cannot be opened, or its secrets were encrypted with another key.
pub async fn open_storage(
    config: &Config,
    url: &StorageUrl,
    data_dir: &DataDir,
    entropy: &Arc<dyn Entropy>,
) -> anyhow::Result<Arc<SqlStorage>> {
    let cannot_be_used = |key: &str| format!("the database {}, with {key}, cannot be used", config.database_url);
    if let Some(key) = &config.vault_key {
        let opened = open(url, key.expose_secret(), entropy).await;
        return opened.with_context(|| cannot_be_used("the configured key (vault_key or vault_key_file)"));
    }
    // A replacement that was cut short has either reached the database or not.
    if let Some(next) = data_dir.key(NEXT_KEY)?
        && let Ok(storage) = open(url, &next, entropy).await
    {
        data_dir.keep_key(KEY, &next)?;
        data_dir.remove(NEXT_KEY)?;
        return Ok(storage);
    }
    let kept = data_dir.key(KEY)?;
    let key = kept.unwrap_or_else(|| random(&**entropy));
    let opened = open(url, &key, entropy).await;
    let key_file = || format!("the key in {}", config.data_dir.join(KEY).display());
    let storage = opened.with_context(|| cannot_be_used(&key_file()))?;
    if kept.is_none() {
        // Only now: a database with secrets in it has refused the new key.
        data_dir.keep_key(KEY, &key)?;
    }
    // Only now: had the database not been opened for another reason, this could be the one key that opens it.
    data_dir.remove(NEXT_KEY)?;
    Ok(storage)
}

async fn open(url: &StorageUrl, key: &[u8; 32], entropy: &Arc<dyn Entropy>) -> Result<Arc<SqlStorage>, StoreError> {
    SqlStorage::open(url.clone(), vault(key, entropy)).await
}

/// A vault with that key.
pub(super) fn vault(key: &[u8; 32], entropy: &Arc<dyn Entropy>) -> Arc<dyn Vault> {
    Arc::new(SealingVault::new(key, Arc::clone(entropy)))
}

/// Encrypts every secret in the database anew: with `new_key`, which the owner keeps, or else with a random one, which is
/// kept in the data directory. Gives what to tell the owner.
///
/// A crash at any moment leaves a database that the next start opens: with a key that the owner gave, if it is told so.
///
/// # Errors
/// If a server runs, the database cannot be opened, or a configured key would be replaced by one that is not.
pub async fn rotate_key(config: &Config, new_key: Option<VaultKey>) -> anyhow::Result<String> {
    let Some(url) = storage_url(config) else {
        bail!("the database is in memory: there are no secrets to encrypt anew");
    };
    if config.vault_key.is_some() && new_key.is_none() {
        bail!(
            "the key is configured (vault_key or vault_key_file), so the new one must be given: write 64 hexadecimal digits into a file, with `openssl rand -hex 32` for instance, and name it with --new-key-file"
        );
    }
    // Neither a data directory nor a database is to be made here.
    if let StorageUrl::Sqlite(path) = &url
        && !path.is_file()
    {
        bail!("there is no database at {}; name the data directory of the server with --data-dir", path.display());
    }
    let data_dir = DataDir::open(&config.data_dir)?;
    let _database_lock = lock_database(config)?;
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let storage = open_storage(config, &url, &data_dir, &entropy).await?;
    let key = new_key.as_ref().map_or_else(|| random(&*entropy), |key| *key.expose_secret());
    if new_key.is_none() {
        data_dir.keep_key(NEXT_KEY, &key)?;
    }
    let audit = Audit::new(Stores::of(&storage).audit, Arc::new(SystemClock), Arc::clone(&entropy));
    let entry = audit.entry(Happening::command("vault_key_rotated", "vault"));
    let count = storage.reseal(&vault(&key, &entropy), &entry).await.context("nothing was changed")?;
    if new_key.is_none() {
        data_dir.keep_key(KEY, &key)?;
        data_dir.remove(NEXT_KEY)?;
    } else {
        data_dir.remove(KEY)?;
    }
    storage.compact().await.context(
        "the secrets are encrypted with the new key, but what was encrypted with the old one may still be in the file; run the command again",
    )?;
    let what_next = match new_key {
        None => format!("The new key is in {}.", config.data_dir.join(KEY).display()),
        Some(_) => {
            "From now on the server needs the new key: name its file with vault_key_file (PAWPORT_VAULT_KEY_FILE)."
                .to_owned()
        }
    };
    Ok(format!("{count} secrets are encrypted with a new key. {what_next}"))
}
