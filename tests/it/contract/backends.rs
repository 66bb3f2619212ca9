//! The storages that the suites are run against.

use crate::support::postgres::{self, Database};
use pawport::adapters::fake::FixedVault;
use pawport::adapters::in_memory::InMemoryStorage;
use pawport::adapters::sql::{SqlStorage, StorageUrl};
use pawport::ports::store::Stores;
use secrecy::SecretString;
use std::sync::Arc;
use tempfile::TempDir;

/// A storage of its own for one test.
pub trait Backend: Sized {
    /// Whether it can be tested here. Says so if it cannot.
    fn is_available() -> bool {
        true
    }

    /// An empty storage that no other test sees.
    async fn fresh() -> Self;

    /// Its ports.
    fn stores(&self) -> &Stores;

    /// Returns once the storage has nothing left to do in the background.
    async fn settle(&self);
}

/// A storage that keeps what it holds when it is closed.
pub trait Persistent: Backend {
    /// Closes the storage, as the end of the program would, and opens it again.
    async fn reopen(self) -> Self;
}

/// The definition of the ports.
pub struct Memory {
    stores: Stores,
}

impl Backend for Memory {
    async fn fresh() -> Self {
        Self { stores: Stores::of(&Arc::new(InMemoryStorage::new())) }
    }

    fn stores(&self) -> &Stores {
        &self.stores
    }

    async fn settle(&self) {}
}

/// A database file in a folder that is removed after the test. Never `:memory:`, where each connection of a pool would
/// have a database of its own.
pub struct Sqlite {
    storage: Arc<SqlStorage>,
    stores: Stores,
    folder: TempDir,
}

impl Sqlite {
    async fn open(folder: TempDir) -> Self {
        let url = StorageUrl::Sqlite(folder.path().join("pawport.db"));
        let storage = SqlStorage::open(url, Arc::new(FixedVault::new())).await.unwrap();
        Self { stores: Stores::of(&storage), storage, folder }
    }
}

impl Backend for Sqlite {
    async fn fresh() -> Self {
        Self::open(TempDir::new().unwrap()).await
    }

    fn stores(&self) -> &Stores {
        &self.stores
    }

    async fn settle(&self) {
        self.storage.upkeep().await.unwrap();
    }
}

impl Persistent for Sqlite {
    async fn reopen(self) -> Self {
        let Self { storage, stores, folder } = self;
        drop(stores);
        assert!(Arc::into_inner(storage).is_some(), "somebody still holds the storage, so this would not close it");
        Self::open(folder).await
    }
}

/// A database of the test's own on a real server.
pub struct Postgres {
    storage: Arc<SqlStorage>,
    stores: Stores,
    database: Database,
}

impl Postgres {
    async fn open(database: Database) -> Self {
        let url = StorageUrl::Postgres(SecretString::from(database.url()));
        let storage = SqlStorage::open(url, Arc::new(FixedVault::new())).await.unwrap();
        Self { stores: Stores::of(&storage), storage, database }
    }

    /// The database itself, for whoever else works on it.
    pub fn database(&self) -> &Database {
        &self.database
    }
}

impl Backend for Postgres {
    fn is_available() -> bool {
        postgres::is_available()
    }

    async fn fresh() -> Self {
        let this = Self::open(Database::fresh()).await;
        assert_eq!(this.stores.probe.check().await.unwrap().search, "pg_trgm");
        this
    }

    fn stores(&self) -> &Stores {
        &self.stores
    }

    async fn settle(&self) {
        self.storage.upkeep().await.unwrap();
    }
}

impl Persistent for Postgres {
    async fn reopen(self) -> Self {
        let Self { storage, stores, database } = self;
        drop(stores);
        assert!(Arc::into_inner(storage).is_some(), "somebody still holds the storage, so this would not close it");
        Self::open(database).await
    }
}

/// The same on a server where the extension that indexes texts cannot be had.
pub struct PostgresWithoutExtension(Postgres);

impl Backend for PostgresWithoutExtension {
    fn is_available() -> bool {
        postgres::is_available()
    }

    async fn fresh() -> Self {
        let this = Postgres::open(Database::without_extensions()).await;
        assert_eq!(this.stores.probe.check().await.unwrap().search, "trigram arrays");
        Self(this)
    }

    fn stores(&self) -> &Stores {
        self.0.stores()
    }

    async fn settle(&self) {
        self.0.settle().await;
    }
}

impl Persistent for PostgresWithoutExtension {
    async fn reopen(self) -> Self {
        Self(self.0.reopen().await)
    }
}
