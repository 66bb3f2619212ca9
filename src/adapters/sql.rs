//! Storage in an SQL database, through diesel and pools of connections.
//!
//! Everything that touches the database goes through two functions, `SqlStorage::read` and `SqlStorage::write`, which
//! keep blocking calls off the runtime's threads and a burst of requests from filling them.

mod api_keys;
mod audit;
mod auth_sessions;
mod connection;
mod errors;
mod grants;
mod migrations;
mod reseal;
mod schema;
mod search;
mod sessions;
mod tickets;
mod turns;
mod upkeep;
mod webhooks;
mod writer;

use crate::ports::store::{StoreError, StoreProbe};
use crate::ports::vault::Vault;
use async_trait::async_trait;
use connection::{AnyConnection, Manager, PATIENCE, Purpose, READERS};
use diesel::r2d2::Pool;
use errors::Failure;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore};
use writer::Writer;

/// A query that takes longer is worth a line in the log.
const SLOW: Duration = Duration::from_millis(250);

/// Where the data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageUrl {
    /// A file, created if it is not there.
    Sqlite(PathBuf),
}

/// All stores in one database.
pub struct SqlStorage {
    url: StorageUrl,
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
    /// `Unavailable` if it cannot be opened; `Failed` if it was made by a newer program, a migration failed, or its secrets
    /// were sealed with another key.
    pub async fn open(url: StorageUrl, vault: Arc<dyn Vault>) -> Result<Arc<Self>, StoreError> {
        let (key, opening) = (Arc::clone(&vault), url.clone());
        let opened = tokio::task::spawn_blocking(move || {
            connection::create_private(&opening).map_err(|error| StoreError::Unavailable(Box::new(error)))?;
            // Not from a pool, which would try again and again and then say only that it took too long.
            let mut connection = connection::open(&opening, Purpose::Write)?;
            migrations::run(&mut connection)?;
            reseal::check_key(&mut connection, &*key)?;
            let writer = Writer::start(connection::pool(&opening, Purpose::Write))?;
            Ok::<_, StoreError>((connection::pool(&opening, Purpose::Read), writer))
        });
        let (readers, writer) = opened.await.map_err(|error| StoreError::Failed(Box::new(error)))??;
        Ok(Arc::new(Self {
            url,
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
            let mut connection = readers.get().map_err(|error| StoreError::Unavailable(Box::new(error)))?;
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
    async fn check(&self) -> Result<(), StoreError> {
        self.read("probe", migrations::check).await
    }
}
