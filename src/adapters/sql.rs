//! Storage in an SQL database, through diesel and pools of connections.
//!
//! Everything that touches the database goes through two functions, `SqlStorage::read` and `SqlStorage::write`, which
//! keep blocking calls off the runtime's threads and a burst of requests from filling them.

mod api_keys;
mod archive;
mod audit;
mod auth_sessions;
mod connection;
mod errors;
mod grants;
mod imports;
mod mcp_servers;
mod memories;
mod migrations;
mod reseal;
mod schema;
mod search;
mod sessions;
mod settings;
mod tickets;
mod turns;
mod upkeep;
mod webhooks;
mod writer;

use crate::ports::store::{Condition, StoreError, StoreProbe};
use crate::ports::vault::Vault;
use async_trait::async_trait;
use connection::{AnyConnection, Manager, PATIENCE, READERS};
use diesel::r2d2::Pool;
use errors::{Failure, OneLine};
use search::Index;
use secrecy::SecretString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore};
use writer::Writer;

pub use archive::SqlArchive;
pub use migrations::{migrate, pending_migrations};

/// A query that takes longer is worth a line in the log.
const SLOW: Duration = Duration::from_millis(250);

/// Where the data is.
#[derive(Debug, Clone)]
pub enum StorageUrl {
    /// A file, created if it is not there.
    Sqlite(PathBuf),
    /// A database on a server, as libpq writes it: `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…`.
    Postgres(SecretString),
}

/// All stores in one database.
pub struct SqlStorage {
    url: StorageUrl,
    index: Index,
    readers: Pool<Manager>,
    read_permits: Arc<Semaphore>,
    writer: Writer,
    vault: Arc<dyn Vault>,
    /// Rung when a turn may have become claimable.
    turn_ready: Notify,
    /// Rung when a message waits for the search index, or a removed session for its messages to go.
    upkeep_due: Notify,
}

impl SqlStorage {
    /// Opens the database and brings its schema up to date. Secrets are sealed with `vault`.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be opened, or another program writes to it; `Failed` if it was made by a newer program, a
    /// migration failed, or its secrets were sealed with another key.
    pub async fn open(url: StorageUrl, vault: Arc<dyn Vault>) -> Result<Arc<Self>, StoreError> {
        let (key, opening) = (Arc::clone(&vault), url.clone());
        let opened = tokio::task::spawn_blocking(move || {
            let (mut connection, _) = migrations::open_current(&opening)?;
            reseal::check_key(&mut connection, &*key)?;
            mcp_servers::move_kept(&mut connection, &*key)?;
            settings::move_kept(&mut connection, &*key)?;
            memories::move_kept(&mut connection)?;
            let index = Index::of(&mut connection).map_err(Failure::from)?;
            // The writer takes a connection of its own, and on a server there can be only one that writes.
            drop(connection);
            let pool = connection::writer(
                &opening,
                Box::new(move |connection| {
                    migrations::check(connection)?;
                    reseal::check_key(connection, &*key)
                }),
            );
            // Now, and not with the first write: somebody may have been quicker.
            drop(pool.get().map_err(|error| StoreError::Unavailable(Box::new(OneLine::of(&error))))?);
            Ok::<_, StoreError>((index, connection::readers(&opening), Writer::start(pool)?))
        });
        let (index, readers, writer) = opened.await.map_err(|error| StoreError::Failed(Box::new(error)))??;
        Ok(Arc::new(Self {
            url,
            index,
            readers,
            read_permits: Arc::new(Semaphore::new(READERS as usize)),
            writer,
            vault,
            turn_ready: Notify::new(),
            upkeep_due: Notify::new(),
        }))
    }

    /// Runs `work` on a connection that cannot write. `name` stands for it in the log.
    async fn read<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        // The permit is taken before a thread is: a burst waits as cheap futures.
        let permit = tokio::time::timeout(PATIENCE, Arc::clone(&self.read_permits).acquire_owned());
        let permit = permit.await.map_err(|_| StoreError::Unavailable("too many reads are waiting".into()))?;
        let permit = permit.map_err(|error| StoreError::Failed(Box::new(error)))?;
        let readers = self.readers.clone();
        let span = tracing::Span::current();
        let answer = tokio::task::spawn_blocking(move || {
            let _entered = span.enter();
            let _permit = permit;
            let mut connection =
                readers.get().map_err(|error| StoreError::Unavailable(Box::new(OneLine::of(&error))))?;
            timed(name, || work(&mut connection).map_err(StoreError::from))
        });
        answer.await.map_err(|error| StoreError::Failed(Box::new(error)))?
    }

    /// Runs `work` in a transaction; when this returns `Ok`, what it did is on disk. `name` stands for it in the log.
    async fn write<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.write(move |connection| timed(name, || work(connection))).await
    }
}

/// Runs `work`, and says so in the log if it took long.
fn timed<T>(name: &'static str, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let outcome = work();
    let took = began.elapsed();
    if took > SLOW {
        tracing::warn!(query = name, duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX), "slow query");
    }
    outcome
}

#[async_trait]
impl StoreProbe for SqlStorage {
    async fn check(&self) -> Result<Condition, StoreError> {
        self.read("probe", migrations::check).await?;
        let storage = match self.url {
            StorageUrl::Sqlite(_) => "sqlite",
            StorageUrl::Postgres(_) => "postgresql",
        };
        Ok(Condition { storage, search: self.index.name() })
    }
}
