//! From what the database says to what a caller can act on.

use crate::ports::store::{Cause, StoreError};
use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// Why a job ended: what the database said, or what the job itself found.
#[derive(Debug)]
pub(super) enum Failure {
    Database(DieselError),
    Store(StoreError),
}

impl From<DieselError> for Failure {
    fn from(error: DieselError) -> Self {
        Self::Database(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => error,
            Failure::Database(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => Self::Conflict,
            Failure::Database(error) if may_pass(&error) => Self::Unavailable(Box::new(error)),
            Failure::Database(error) => Self::Failed(Box::new(error)),
        }
    }
}

/// Whether the same call may work later, once somebody made room or let go of a lock.
fn may_pass(error: &DieselError) -> bool {
    let DieselError::DatabaseError(kind, information) = error else { return false };
    let message = information.message();
    matches!(kind, DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand)
        // SQLite has one kind for all of these; the texts are those of sqlite3_errstr.
        || ["is full", "is locked", "disk I/O error", "readonly database", "unable to open"]
            .iter()
            .any(|known| message.contains(known))
}

/// A value in a row that the domain refuses.
pub(super) fn corrupt(
    table: &'static str,
    column: &'static str,
    key: impl Into<String>,
    source: impl Into<Cause>,
) -> StoreError {
    StoreError::Corrupt { table, column, key: key.into(), source: source.into() }
}
