//! The storages that the suites are run against.

use pawport::adapters::fake::FixedVault;
use pawport::adapters::in_memory::InMemoryStorage;
use pawport::adapters::sql::{SqlStorage, StorageUrl};
use pawport::ports::store::Stores;
use std::sync::Arc;
use tempfile::TempDir;

/// A storage of its own for one test.
pub trait Backend: Sized {
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
