//! Opening connections, and pools of them.

use super::StorageUrl;
use crate::ports::store::StoreError;
use diesel::connection::SimpleConnection;
use diesel::r2d2::{ManageConnection, Pool, R2D2Connection};
use diesel::{Connection, MultiConnection, SqliteConnection};
use std::time::Duration;

/// A connection to any database that this build knows. Queries are written once, against this type.
#[derive(MultiConnection)]
pub(super) enum AnyConnection {
    Sqlite(SqliteConnection),
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Write,
}

/// How many reads run at once. SQLite readers do not block each other; beyond a few per core they only cost memory.
pub(super) const READERS: u32 = 4;

/// How long a request waits for its turn at the database before it is told to come back later.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What every SQLite connection is told. `busy_timeout` comes first: changing the journal mode may have to wait.
///
/// `synchronous = FULL`: a commit is on disk when it returns, so what was acknowledged survives a power cut.
const SQLITE_SETUP: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA journal_size_limit = 67108864;
";

/// Opens one connection.
fn establish(url: &StorageUrl, purpose: Purpose) -> diesel::ConnectionResult<AnyConnection> {
    let StorageUrl::Sqlite(path) = url;
    let mut connection = SqliteConnection::establish(&path.to_string_lossy())?;
    let set_up = connection.batch_execute(SQLITE_SETUP).and_then(|()| match purpose {
        Purpose::Read => connection.batch_execute("PRAGMA query_only = ON;"),
        Purpose::Write => Ok(()),
    });
    set_up.map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
    Ok(AnyConnection::Sqlite(connection))
}

/// Opens one connection, outside of any pool.
pub(super) fn open(url: &StorageUrl, purpose: Purpose) -> Result<AnyConnection, StoreError> {
    establish(url, purpose).map_err(|error| StoreError::Unavailable(Box::new(error)))
}

/// Makes connections for a pool.
#[derive(Debug)]
pub(super) struct Manager {
    url: StorageUrl,
    purpose: Purpose,
}

impl ManageConnection for Manager {
    type Connection = AnyConnection;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<AnyConnection, Self::Error> {
        establish(&self.url, self.purpose).map_err(diesel::r2d2::Error::ConnectionError)
    }

    fn is_valid(&self, connection: &mut AnyConnection) -> Result<(), Self::Error> {
        connection.ping().map_err(diesel::r2d2::Error::QueryError)
    }

    fn has_broken(&self, connection: &mut AnyConnection) -> bool {
        std::thread::panicking() || connection.is_broken()
    }
}

/// Creates the database file, if need be, so that only we may read it. SQLite gives the files beside it the same mode.
pub(super) fn create_private(url: &StorageUrl) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let StorageUrl::Sqlite(path) = url;
    std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map(drop)
}

/// A pool for one purpose. Opens nothing yet.
pub(super) fn pool(url: &StorageUrl, purpose: Purpose) -> Pool<Manager> {
    Pool::builder()
        .max_size(match purpose {
            Purpose::Read => READERS,
            Purpose::Write => 1,
        })
        .min_idle(Some(0))
        .idle_timeout(None)
        .max_lifetime(None)
        .connection_timeout(PATIENCE)
        // A file does not go away between two queries; asking first would cost as much as the query.
        .test_on_check_out(false)
        .build_unchecked(Manager { url: url.clone(), purpose })
}
