//! Opening connections, and pools of them.

use super::StorageUrl;
use super::errors::OneLine;
use crate::ports::store::StoreError;
use diesel::connection::SimpleConnection;
use diesel::r2d2::{HandleError, ManageConnection, Pool, R2D2Connection};
use diesel::{Connection, ConnectionError, ConnectionResult, MultiConnection, PgConnection, SqliteConnection};
use secrecy::{ExposeSecret, SecretString};
use std::error::Error;
use std::time::Duration;
use url::Url;

/// A connection to any database. Queries are written once, against this type.
#[derive(MultiConnection)]
pub(super) enum AnyConnection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Write,
    /// Looking after the database beside a writer.
    Maintain,
}

/// How many reads run at once. Beyond a few per core they only cost memory, here or in the database server.
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

const SQLITE_READ: &str = "PRAGMA query_only = ON;";

/// 32 MiB of pages: an import touches many again and again, and would otherwise read them back from the log each time.
const SQLITE_WRITE: &str = "PRAGMA cache_size = -32768;";

/// What every PostgreSQL connection is told, unless the URL says otherwise: to give up rather than to wait for a server that
/// went away without a word. <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS>
const POSTGRES_PARAMETERS: [(&str, &str); 6] = [
    ("application_name", "pawport"),
    ("connect_timeout", "4"),
    ("keepalives_idle", "10"),
    ("keepalives_interval", "5"),
    ("keepalives_count", "3"),
    ("tcp_user_timeout", "20000"),
];

/// One moment for all steps of a read, and no write by mistake. No single statement takes as long as 30 seconds; one that
/// does would keep everybody else waiting.
const POSTGRES_READ: &str = "
    SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET statement_timeout = '30s';
";

/// Whoever writes holds this lock, for as long as the connection lives: of two servers only one can write. It is waited for
/// because the server notices the end of a killed client only after a moment, and it is told to notice a lost one.
///
/// `synchronous_commit`: a commit is on disk when it returns, even if the administrator chose otherwise.
const POSTGRES_WRITE: &str = "
    SET synchronous_commit = on;
    SET default_transaction_isolation = 'read committed';
    SET default_transaction_read_only = off;
    SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 3;
    SET lock_timeout = '3s';
    SELECT pg_advisory_lock(hashtextextended('pawport writes to ' || current_schema(), 0));
    SET lock_timeout = 0;
    SET statement_timeout = '60s';
";

/// How the message of the server begins when somebody else holds the lock (SQLSTATE 55P03), in English. In other languages
/// the message is passed on as it is.
const LOCKED: &str = "canceling statement due to lock timeout";

/// Opens one connection.
fn establish(url: &StorageUrl, purpose: Purpose) -> ConnectionResult<AnyConnection> {
    match url {
        StorageUrl::Sqlite(path) => {
            let mut connection = SqliteConnection::establish(&path.to_string_lossy())?;
            set_up(&mut connection, SQLITE_SETUP)?;
            set_up(&mut connection, if purpose == Purpose::Read { SQLITE_READ } else { SQLITE_WRITE })?;
            Ok(AnyConnection::Sqlite(connection))
        }
        StorageUrl::Postgres(url) => {
            let mut connection = PgConnection::establish(with_parameters(url)?.expose_secret())?;
            let statements = match purpose {
                Purpose::Read => POSTGRES_READ,
                Purpose::Write => POSTGRES_WRITE,
                Purpose::Maintain => "SET statement_timeout = 0",
            };
            set_up(&mut connection, statements)?;
            Ok(AnyConnection::Postgres(connection))
        }
    }
}

fn set_up(connection: &mut impl SimpleConnection, statements: &str) -> ConnectionResult<()> {
    connection.batch_execute(statements).map_err(|error| {
        if error.to_string().starts_with(LOCKED) {
            let text = "another pawport uses this database; stop it, or choose another with --database-url";
            return ConnectionError::BadConnection(text.to_owned());
        }
        ConnectionError::CouldntSetupConfiguration(error)
    })
}

/// The URL with our parameters, where it does not have its own.
fn with_parameters(url: &SecretString) -> ConnectionResult<SecretString> {
    let mut url = Url::parse(url.expose_secret())
        .map_err(|error| ConnectionError::InvalidConnectionUrl(format!("the database URL cannot be read: {error}")))?;
    for (name, value) in POSTGRES_PARAMETERS {
        if !url.query_pairs().any(|(given, _)| given == name) {
            url.query_pairs_mut().append_pair(name, value);
        }
    }
    Ok(SecretString::from(String::from(url)))
}

/// Opens one connection, outside of any pool.
pub(super) fn open(url: &StorageUrl, purpose: Purpose) -> Result<AnyConnection, StoreError> {
    establish(url, purpose).map_err(|error| StoreError::Unavailable(Box::new(OneLine::of(&error))))
}

/// Tells the log why a pool has no connection. It goes on trying.
#[derive(Debug)]
struct Report;

impl HandleError<diesel::r2d2::Error> for Report {
    fn handle_error(&self, error: diesel::r2d2::Error) {
        let error = OneLine::of(&error);
        tracing::warn!(error = &error as &dyn Error, "the database cannot be reached");
    }
}

/// Looks at a connection before a pool gives it away.
pub(super) type Check = Box<dyn Fn(&mut AnyConnection) -> Result<(), StoreError> + Send + Sync>;

/// Makes connections for a pool.
pub(super) struct Manager {
    url: StorageUrl,
    purpose: Purpose,
    check: Check,
}

impl ManageConnection for Manager {
    type Connection = AnyConnection;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<AnyConnection, Self::Error> {
        let mut connection = establish(&self.url, self.purpose).map_err(diesel::r2d2::Error::ConnectionError)?;
        (self.check)(&mut connection).map_err(|error| {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            diesel::r2d2::Error::ConnectionError(ConnectionError::BadConnection(format!("{error}{cause}")))
        })?;
        Ok(connection)
    }

    fn is_valid(&self, connection: &mut AnyConnection) -> Result<(), Self::Error> {
        connection.ping().map_err(diesel::r2d2::Error::QueryError)
    }

    fn has_broken(&self, connection: &mut AnyConnection) -> bool {
        std::thread::panicking() || connection.is_broken()
    }
}

/// Creates the database file, if need be, so that only we may read it. SQLite gives the files beside it the same mode. Other
/// databases have to be there.
pub(super) fn create_private(url: &StorageUrl) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let StorageUrl::Sqlite(path) = url else { return Ok(()) };
    std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map(drop)
}

/// A pool for reading. Opens nothing yet.
pub(super) fn readers(url: &StorageUrl) -> Pool<Manager> {
    pool(url, Purpose::Read, READERS, Box::new(|_| Ok(())))
}

/// A pool with the one connection that writes. Opens nothing yet. `check` is asked each time that connection is opened:
/// somebody else may have held the lock since, and changed what we rely on.
pub(super) fn writer(url: &StorageUrl, check: Check) -> Pool<Manager> {
    pool(url, Purpose::Write, 1, check)
}

fn pool(url: &StorageUrl, purpose: Purpose, size: u32, check: Check) -> Pool<Manager> {
    Pool::builder()
        .max_size(size)
        .min_idle(Some(0))
        .idle_timeout(None)
        .max_lifetime(None)
        .connection_timeout(PATIENCE)
        .error_handler(Box::new(Report))
        // A file does not go away between two queries; asking first would cost as much as the query. A server does.
        .test_on_check_out(matches!(url, StorageUrl::Postgres(_)))
        .build_unchecked(Manager { url: url.clone(), purpose, check })
}
