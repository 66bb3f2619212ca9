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
            Failure::Database(error) if may_pass(&error) => Self::Unavailable(Box::new(OneLine::of(&error))),
            Failure::Database(error) => Self::Failed(Box::new(OneLine::of(&error))),
        }
    }
}

/// What a database says, in one line for the log: libpq likes to take several.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct OneLine(String);

impl OneLine {
    pub(super) fn of(error: &dyn std::error::Error) -> Self {
        Self(error.to_string().split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

/// Whether the same call may work later, once somebody made room or let go of a lock.
fn may_pass(error: &DieselError) -> bool {
    let DieselError::DatabaseError(kind, information) = error else { return false };
    let message = information.message();
    // A PostgreSQL server that was made a replica is read-only; the next connection may lead to its successor.
    matches!(
        kind,
        DatabaseErrorKind::ClosedConnection
            | DatabaseErrorKind::UnableToSendCommand
            | DatabaseErrorKind::SerializationFailure
            | DatabaseErrorKind::ReadOnlyTransaction
    ) || MAY_PASS.iter().any(|known| message.contains(known))
}

/// What else is said of troubles that pass, where there is no kind of error for them: by SQLite (the texts of
/// `sqlite3_errstr`), and by PostgreSQL in English.
const MAY_PASS: [&str; 8] = [
    "is full",
    "is locked",
    "disk I/O error",
    "readonly database",
    "unable to open",
    "No space left on device",
    "statement timeout",
    "deadlock detected",
];

/// A value in a row that the domain refuses.
pub(super) fn corrupt(
    table: &'static str,
    column: &'static str,
    key: impl Into<String>,
    source: impl Into<Cause>,
) -> StoreError {
    StoreError::Corrupt { table, column, key: key.into(), source: source.into() }
}
