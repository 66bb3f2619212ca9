//! The data that benchmarks run on: made once through the crate's own storage, then kept in `target/bench-data`.

use super::text::{Numbers, Vocabulary};
use diesel::{Connection, RunQueryDsl, SqliteConnection};
use pawport::adapters::fake::FixedVault;
use pawport::adapters::sql::{SqlStorage, StorageUrl};
use pawport::domain::session::{MessageText, Metadata, NewMessage, Role, SessionId};
use pawport::domain::time::Timestamp;
use pawport::ports::sessions::SessionStore;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// To be raised when what is made changes.
const VERSION: u32 = 1;

/// The name of the database in its folder, and in a data directory.
pub const DATABASE: &str = "pawport.db";

/// How many sessions are written at the same time. The storage gathers what waits into one transaction, so this is also
/// how many messages a transaction has.
const WRITERS: u64 = 512;

/// When the first session began, in milliseconds: 2026-01-01.
const FIRST: i64 = 1_767_225_600_000;

/// How much data there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub sessions: u64,
    pub messages: u64,
}

impl Size {
    /// What the aims of the project speak of.
    pub const FULL: Self = Self { sessions: 100_000, messages: 1_000_000 };
}

/// Where benchmarks may put files.
pub fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench-data");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The database of that size, which is made if it is not there. Only for reading: others use it too.
pub fn seeded(size: Size) -> PathBuf {
    let made =
        folder().join(format!("v{VERSION}-{:08x}", schema())).join(format!("{}x{}", size.sessions, size.messages));
    let database = made.join(DATABASE);
    if !database.exists() {
        let partial = made.with_extension("partial");
        let _ = fs::remove_dir_all(&partial);
        fs::create_dir_all(&partial).unwrap();
        make(&partial.join(DATABASE), size);
        // Only what is complete gets the name under which it is looked for.
        fs::rename(&partial, &made).unwrap();
    }
    database
}

/// A copy of the database of that size, to be changed; removed with the folder it is in.
pub fn copy(size: Size) -> TempDir {
    let original = seeded(size);
    let copy = TempDir::new_in(folder()).unwrap();
    let path = copy.path().join(DATABASE);
    fs::copy(original, &path).unwrap();
    // What is not on disk yet would slow down the first commits of whoever uses the copy.
    File::open(path).unwrap().sync_all().unwrap();
    copy
}

/// Stands for the schema that the storage makes: with another one the data is made anew.
fn schema() -> u32 {
    #[derive(diesel::QueryableByName)]
    struct Schema {
        #[diesel(sql_type = diesel::sql_types::Text)]
        sql: String,
    }
    let empty = TempDir::new_in(folder()).unwrap();
    let database = empty.path().join(DATABASE);
    runtime().block_on(async { drop(open(&database).await) });
    let mut connection = SqliteConnection::establish(&database.to_string_lossy()).unwrap();
    let query = "SELECT group_concat(sql) AS sql FROM (SELECT sql FROM sqlite_master ORDER BY name)";
    let schema: Schema = diesel::sql_query(query).get_result(&mut connection).unwrap();
    let mut hasher = DefaultHasher::new();
    schema.sql.hash(&mut hasher);
    hasher.finish() as u32
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

async fn open(database: &Path) -> Arc<SqlStorage> {
    SqlStorage::open(StorageUrl::Sqlite(database.to_owned()), Arc::new(FixedVault::new())).await.unwrap()
}

fn make(database: &Path, size: Size) {
    let began = Instant::now();
    runtime().block_on(async {
        let storage = open(database).await;
        write(&storage, size, began).await;
        index(&storage, began).await;
        // The last one to close the database puts everything into its one file.
        assert!(Arc::into_inner(storage).is_some(), "somebody still holds the storage");
    });
    let bytes = fs::metadata(database).unwrap().len();
    let _ = writeln!(
        std::io::stderr(),
        "\nbenchmark data: made in {} s, {} MB",
        began.elapsed().as_secs(),
        bytes / 1_000_000
    );
}

async fn write(storage: &Arc<SqlStorage>, size: Size, began: Instant) {
    let vocabulary = Arc::new(Vocabulary::new());
    let next = Arc::new(AtomicU64::new(0));
    let written = Arc::new(AtomicU64::new(0));
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS.min(size.sessions) {
        let (storage, vocabulary) = (Arc::clone(storage), Arc::clone(&vocabulary));
        let (next, written) = (Arc::clone(&next), Arc::clone(&written));
        writers.spawn(async move {
            loop {
                let session = next.fetch_add(1, Ordering::Relaxed);
                if session >= size.sessions {
                    break;
                }
                write_session(&storage, &vocabulary, session, size, &written).await;
            }
        });
    }
    let mut often = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            done = writers.join_next() => match done {
                Some(done) => done.unwrap(),
                None => break,
            },
            _ = often.tick() => {
                let written = written.load(Ordering::Relaxed);
                say(&format!("{written} of {} messages", size.messages), began);
            }
        }
    }
}

async fn write_session(storage: &SqlStorage, vocabulary: &Vocabulary, session: u64, size: Size, written: &AtomicU64) {
    let mut numbers = Numbers::new(session + 2);
    let id = match session % 4 {
        0 => format!("telegram_{}", 100_000_000 + numbers.below(900_000_000)),
        1 => format!("webhook_{:016x}", numbers.any()),
        _ => format!("websocket_{:012x}", numbers.any() >> 16),
    };
    let id = SessionId::parse(&id).unwrap();
    let mut at = FIRST + i64::try_from(session).unwrap() * 240_000;
    // So that all sessions together have exactly the messages that were asked for.
    let messages = (session + 1) * size.messages / size.sessions - session * size.messages / size.sessions;
    for number in 0..messages {
        let asked = number.is_multiple_of(2);
        let text = vocabulary.message(session, number, &mut numbers);
        let message = NewMessage {
            id: format!("{:016x}-{:016x}", numbers.any(), numbers.any()),
            role: if asked { Role::User } else { Role::Assistant },
            text: MessageText::parse(text).unwrap(),
            at: Timestamp(at),
            metadata: Metadata::empty(),
        };
        storage.append(&id, message).await.unwrap();
        at += i64::try_from(1_000 + numbers.below(20_000)).unwrap();
        written.fetch_add(1, Ordering::Relaxed);
    }
}

async fn index(storage: &SqlStorage, began: Instant) {
    let indexing = storage.upkeep();
    tokio::pin!(indexing);
    let mut often = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            indexed = &mut indexing => {
                indexed.unwrap();
                break;
            }
            _ = often.tick() => {
                say("all messages written; making the search index", began);
            }
        }
    }
}

/// Progress: one line that is written over on a terminal, and now and then a line anywhere else.
fn say(what: &str, began: Instant) {
    let seconds = began.elapsed().as_secs();
    let mut out = std::io::stderr().lock();
    // Nobody has to see it.
    let _ = if out.is_terminal() {
        write!(out, "\r\x1b[Kbenchmark data, made once: {what}, {seconds} s")
    } else if seconds.is_multiple_of(15) {
        writeln!(out, "benchmark data, made once: {what}, {seconds} s")
    } else {
        Ok(())
    };
}
