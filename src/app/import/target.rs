//! Where an import goes to.

use crate::adapters::data_dir::DataDir;
use crate::adapters::data_dir::Lock;
use crate::adapters::data_dir::credential_file::CredentialFile;
use crate::adapters::sql::{SqlStorage, StorageUrl};
use crate::adapters::vault::SealingVault;
use crate::app::secrets::{open_storage, storage_url};
use crate::app::serve::lock_database;
use crate::config::Config;
use crate::domain::audit::AuditEntry;
use crate::domain::auth::token::AccessToken;
use crate::domain::import::{Item, Outcome};
use crate::ports::credentials::CredentialStore;
use crate::ports::entropy::{Entropy, random};
use crate::ports::store::{StoreError, Stores};
use anyhow::{Context, bail};
use std::sync::Arc;
use tempfile::TempDir;

/// A storage, and what must be held while it is written to.
pub(super) struct Target {
    pub stores: Stores,
    pub dry_run: bool,
    _held: Held,
}

/// Dropped in this order.
struct Held {
    _storage: Arc<SqlStorage>,
    _database: Option<Lock>,
    _data_dir: Option<DataDir>,
    _temporary: Option<TempDir>,
}

impl Target {
    /// The storage that `config` names. A dry run makes none: where there is none yet it looks at an empty one elsewhere.
    pub async fn open(config: &Config, dry_run: bool, entropy: &Arc<dyn Entropy>) -> anyhow::Result<Self> {
        let Some(url) = storage_url(config) else {
            bail!("the database is in memory: what is imported would be lost at once");
        };
        let is_missing = matches!(&url, StorageUrl::Sqlite(path) if !path.is_file());
        if dry_run && is_missing {
            let folder = tempfile::tempdir().context("a dry run needs room for temporary files")?;
            let key = random(&**entropy);
            let vault = Arc::new(SealingVault::new(&key, Arc::clone(entropy)));
            let storage = SqlStorage::open(StorageUrl::Sqlite(folder.path().join("empty.db")), vault).await?;
            let stores = Stores::of(&storage);
            let held = Held { _storage: storage, _database: None, _data_dir: None, _temporary: Some(folder) };
            return Ok(Self { stores, dry_run, _held: held });
        }
        let data_dir = DataDir::open(&config.data_dir)?;
        let database = lock_database(config)?;
        let storage = open_storage(config, &url, &data_dir, entropy).await?;
        let stores = Stores::of(&storage);
        let held = Held { _storage: storage, _database: database, _data_dir: Some(data_dir), _temporary: None };
        Ok(Self { stores, dry_run, _held: held })
    }

    /// Stores a batch, or says what would become of it.
    pub async fn import(&self, batch: Vec<Item>, entry: &AuditEntry) -> Result<Vec<Outcome>, StoreError> {
        if self.dry_run {
            self.stores.imports.preview(batch).await
        } else {
            self.stores.imports.import(batch, entry).await
        }
    }

    /// Keeps the master token if there is none yet, so that clients go on working; else says why not.
    pub async fn keep_access_token(
        &self,
        config: &Config,
        token: &AccessToken,
    ) -> anyhow::Result<Result<Outcome, String>> {
        let file = CredentialFile::new(config.data_dir.join(CredentialFile::NAME));
        let (here, remedy) = match &config.access_token {
            Some(configured) => (Some(configured.clone()), "the configured one stays"),
            None => (file.load().await?, "the one in the data directory stays"),
        };
        Ok(match here {
            Some(here) if here.hash().matches(&token.hash()) => Ok(Outcome::AlreadyThere),
            Some(_) => Err(format!("there is another access token here: {remedy}, and clients need that one")),
            None => {
                if !self.dry_run {
                    file.replace(token).await?;
                }
                Ok(Outcome::Imported)
            }
        })
    }
}
