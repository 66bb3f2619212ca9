//! The one writer: what is waiting is written in one transaction, and acknowledged when that is on disk.
//!
//! Waiting for the disk is what writing costs. One thread therefore takes every job that waits, runs each under its own
//! savepoint, commits once, and only then answers all of them. Under load a commit carries hundreds of jobs; when it is
//! quiet a job has a commit of its own and waits for nobody. Being the only writer, it never meets a lock of its own making.

use super::connection::{AnyConnection, Manager, PATIENCE};
use super::errors::{Failure, OneLine};
use crate::ports::store::StoreError;
use diesel::Connection;
use diesel::connection::{AnsiTransactionManager, TransactionManager};
use diesel::r2d2::Pool;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// The most jobs in one transaction, so that the first of them does not wait for ever.
const BATCH: usize = 512;

/// The most jobs waiting. Whoever comes then waits for a place.
const WAITING: usize = 4096;

/// Tells the one who waits how the transaction ended.
type Acknowledge = Box<dyn FnOnce(Result<(), &TransactionFailed>) + Send>;

/// Something to write, and somebody who waits for it.
trait Job: Send {
    /// Does the work in the running transaction.
    fn run(self: Box<Self>, connection: &mut AnyConnection) -> Acknowledge;

    /// Says that there is no transaction to do it in.
    fn refuse(self: Box<Self>, cause: &TransactionFailed);
}

struct Pending<T, W> {
    work: W,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, W> Job for Pending<T, W>
where
    T: Send + 'static,
    W: FnOnce(&mut AnyConnection) -> Result<T, Failure> + Send,
{
    fn run(self: Box<Self>, connection: &mut AnyConnection) -> Acknowledge {
        let Self { work, answer } = *self;
        let outcome = connection.transaction(work).map_err(StoreError::from);
        Box::new(move |committed| {
            // Whoever asked may have gone away.
            let _ = answer.send(committed.map_err(TransactionFailed::as_unavailable).and(outcome));
        })
    }

    fn refuse(self: Box<Self>, cause: &TransactionFailed) {
        let _ = self.answer.send(Err(cause.as_unavailable()));
    }
}

/// The transaction could not be begun or committed; none of its jobs happened, or nobody knows whether they did.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the transaction could not be written")]
struct TransactionFailed(#[source] Arc<dyn std::error::Error + Send + Sync>);

impl TransactionFailed {
    fn because(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(cause))
    }

    fn as_unavailable(&self) -> StoreError {
        StoreError::Unavailable(Box::new(self.clone()))
    }
}

/// A handle to the writer's thread, which ends when the handle is dropped and what waits is written.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(pool: Pool<Manager>) -> Result<Self, StoreError> {
        let (jobs, waiting) = mpsc::channel(WAITING);
        let thread = std::thread::Builder::new()
            .name("pawport-writer".to_owned())
            .spawn(move || write_what_waits(&pool, waiting))
            .map_err(|error| StoreError::Failed(Box::new(error)))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs `work` in the next transaction. When this returns `Ok`, what it did is on disk; when it returns an error,
    /// nothing it did is, unless a server was lost after the commit and before it could say so.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let gone = || StoreError::Failed("the writer has ended".into());
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        let place = tokio::time::timeout(PATIENCE, jobs.reserve()).await;
        let place = place.map_err(|_| StoreError::Unavailable("too many writes are waiting".into()))?;
        place.map_err(|_| gone())?.send(Box::new(Pending { work, answer }));
        answered.await.map_err(|_| StoreError::Failed("a write in the same transaction panicked".into()))?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Without a sender the thread ends once it has written what waits.
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write_what_waits(pool: &Pool<Manager>, mut waiting: mpsc::Receiver<Box<dyn Job>>) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.blocking_recv_many(&mut batch, BATCH) > 0 {
        let jobs = std::mem::take(&mut batch);
        // A panic in a job leaves the connection inside a transaction; the pool throws such a connection away.
        let outcome = catch_unwind(AssertUnwindSafe(|| write_batch(pool, jobs)));
        if outcome.is_err() {
            tracing::error!("a write panicked; nothing of its transaction was stored");
        }
    }
}

fn write_batch(pool: &Pool<Manager>, jobs: Vec<Box<dyn Job>>) {
    let begun =
        pool.get().map_err(|error| TransactionFailed::because(OneLine::of(&error))).and_then(|mut connection| {
            begin_immediate(&mut connection).map_err(|error| TransactionFailed::because(OneLine::of(&error)))?;
            Ok(connection)
        });
    let mut connection = match begun {
        Ok(connection) => connection,
        Err(failed) => return jobs.into_iter().for_each(|job| job.refuse(&failed)),
    };
    let mut acknowledgements: Vec<Acknowledge> = Vec::with_capacity(jobs.len());
    let mut refused: Vec<Box<dyn Job>> = Vec::new();
    for job in jobs {
        if is_open(&mut connection) {
            acknowledgements.push(job.run(&mut connection));
        } else {
            refused.push(job);
        }
    }
    let committed = if is_open(&mut connection) {
        Transactions::commit_transaction(&mut *connection)
            .map_err(|error| TransactionFailed::because(OneLine::of(&error)))
    } else {
        // The pool looks at this, and throws the connection away.
        Transactions::transaction_manager_status_mut(&mut *connection).set_in_error();
        Err(TransactionFailed::because(RolledBack))
    };
    for acknowledge in acknowledgements {
        acknowledge(committed.as_ref().copied());
    }
    if let Err(failed) = &committed {
        for job in refused {
            job.refuse(failed);
        }
    }
}

type Transactions = <AnyConnection as Connection>::TransactionManager;

/// The whole transaction was given up because of what happened to one job.
#[derive(Debug, thiserror::Error)]
#[error("the database rolled the transaction back: its disk is full or failing, or it was stopped")]
struct RolledBack;

/// Whether the transaction that was begun is still there. When the disk is full SQLite may roll it back by itself, and a server
/// that is stopped takes it along; what a later job does would then be a transaction of its own, stored although everybody is
/// told that it is not.
fn is_open(connection: &mut AnyConnection) -> bool {
    let status = Transactions::transaction_manager_status_mut(connection);
    matches!(status.transaction_depth(), Ok(Some(depth)) if depth.get() == 1)
}

/// Begins with the write lock in hand. A transaction that begins by reading and then wants to write fails at once if
/// somebody else, such as another program, has written in between.
/// A PostgreSQL connection that writes holds a lock already, which no other writer has.
fn begin_immediate(connection: &mut AnyConnection) -> Result<(), diesel::result::Error> {
    match connection {
        AnyConnection::Sqlite(inner) => AnsiTransactionManager::begin_transaction_sql(inner, "BEGIN IMMEDIATE"),
        AnyConnection::Postgres(inner) => AnsiTransactionManager::begin_transaction(inner),
    }
}

#[cfg(test)]
mod tests;
