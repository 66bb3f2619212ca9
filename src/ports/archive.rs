//! Copying everything that a storage holds, out of one and into another.

use super::store::{Cause, StoreError};
use super::vault::{NotOurs, Vault};
use thiserror::Error;

/// One row, as `docs/storage.md` describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The name of its table.
    pub table: String,
    /// A JSON object with a member for each column, in one line. Secrets in it are sealed.
    pub row: String,
}

/// Takes records, one after the other.
pub type RecordSink<'a> = dyn FnMut(Record) -> Result<(), Cause> + 'a;

/// The keys that secrets are sealed with.
#[derive(Clone, Copy)]
pub struct Vaults<'a> {
    /// What opens the secrets of the records.
    pub origin: &'a dyn Vault,
    /// What the storage seals its secrets with.
    pub own: &'a dyn Vault,
}

/// Why everything could not be copied.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Who takes or gives the records failed.
    #[error(transparent)]
    Records(Cause),
    /// A record is not of a form that this storage knows.
    #[error("a row of {table} cannot be read")]
    Refused {
        /// The table that the record names.
        table: String,
        /// Why it was refused.
        #[source]
        source: Cause,
    },
    /// A secret in a record was sealed with another key.
    #[error(transparent)]
    NotOurs(#[from] NotOurs),
    /// The storage was lost while it made everything permanent: nobody knows whether it did.
    #[error("the storage did not confirm that everything is stored")]
    Unconfirmed(#[source] StoreError),
    /// The storage holds something already.
    #[error("there is something in it already")]
    NotEmpty,
}

/// A storage that can be copied as a whole. Its methods block for as long as that takes; they are called on a thread of
/// their own, with nothing else going on in this program.
///
/// **Contract:** what [`Archive::dump`] gave can be given to [`Archive::fill`] of any other storage, and every port of
/// that storage answers as those of the first one did at the moment of the dump.
pub trait Archive: Send {
    /// The names of all changes of the format of records that this storage knows. It takes the records of a storage that
    /// knows these or fewer. Needs no storage that is there.
    ///
    /// # Errors
    /// `Failed`.
    fn schema(&self) -> Result<Vec<String>, StoreError>;

    /// How many rows there are, for who wants to show progress.
    ///
    /// # Errors
    /// `Unavailable`, `Failed`.
    fn count(&mut self) -> Result<u64, StoreError>;

    /// Gives every row to `sink`, all as they were at one moment, whatever is written meanwhile: table after table, in an
    /// order that [`Archive::fill`] takes. Ends at the first error of the sink. Gives how many secrets are in them.
    ///
    /// **Contract:** writes nothing, keeps no writer waiting, and holds no more in memory than some rows. The same content
    /// gives the same records in the same order.
    ///
    /// # Errors
    /// `Records` if the sink failed; `Store`.
    fn dump(&mut self, sink: &mut RecordSink<'_>) -> Result<u64, ArchiveError>;

    /// Whether [`Archive::fill`] would take the record, as far as can be seen without writing it. Needs no storage that is
    /// there.
    ///
    /// # Errors
    /// `Refused`; `NotOurs` if `origin` does not open a secret in it.
    fn check(&self, record: &Record, origin: &dyn Vault) -> Result<(), ArchiveError>;

    /// Stores all records, and seals their secrets anew. What there was before is removed if `replace` is true.
    ///
    /// **Contract:** all or nothing: after an error, or if the program ends in between, the storage holds what it held, and
    /// can be used as before. After `Unconfirmed` it holds that or everything.
    ///
    /// # Errors
    /// `NotEmpty` if there is a row already and `replace` is false; `Records` if `records` failed; `Refused`, `NotOurs`,
    /// `Unconfirmed` and `Store`.
    fn fill(
        &mut self,
        records: &mut dyn Iterator<Item = Result<Record, Cause>>,
        vaults: Vaults<'_>,
        replace: bool,
    ) -> Result<(), ArchiveError>;
}
