//! Everything that is stored, into one file and out of it.

use super::progress::bar;
use super::secrets::{KEY, storage_url, vault};
use super::serve::lock_database;
use super::shutdown::Shutdown;
use crate::adapters::backup_file::{BackupReader, BackupWriter, Counts, Header};
use crate::adapters::data_dir::DataDir;
use crate::adapters::data_dir::credential_file::CredentialFile;
use crate::adapters::host::{OsEntropy, SystemClock};
use crate::adapters::sql::{SqlArchive, StorageUrl};
use crate::config::{Config, VaultKey};
use crate::ports::archive::{Archive, ArchiveError, Vaults};
use crate::ports::clock::Clock;
use crate::ports::entropy::{Entropy, random};
use crate::ports::store::Cause;
use crate::ports::vault::Vault;
use anyhow::{Context, bail};
use indicatif::{DecimalBytes, HumanCount, ProgressBar};
use secrecy::ExposeSecret;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// Writes everything that the database holds to `file`, as it is at one moment; a server may go on meanwhile. Gives what to
/// tell the owner.
///
/// # Errors
/// If there is no database or its schema is an older one; if the file cannot be written, or is there and `overwrite` is
/// false. Then no file is left.
pub async fn backup(config: &Config, file: PathBuf, overwrite: bool) -> anyhow::Result<String> {
    let Some(url) = storage_url(config) else {
        bail!("the database is in memory: there is nothing to be found in it from here");
    };
    // None is to be made here.
    if let StorageUrl::Sqlite(path) = &url
        && !path.is_file()
    {
        bail!("there is no database at {}; name the data directory of the server with --data-dir", path.display());
    }
    let began = Instant::now();
    let (shown, to) = (config.database_url.to_string(), file.clone());
    // So that whoever interrupts it finds nothing that is half written.
    let shutdown = Shutdown::default();
    let (signals, stop) = (shutdown.on_signals()?, shutdown.soft);
    let written = blocking(move || {
        let mut archive = SqlArchive::to_read(url);
        let written = write_backup(&mut archive, &to, overwrite, &stop);
        written.with_context(|| format!("the database {shown} was not backed up"))
    });
    let mut written = pin!(written);
    let Written { counts, bytes, secrets } = tokio::select! {
        written = &mut written => written?,
        () = signals => written.await?,
    };
    let (listed, size, seconds) = (listed(&counts), DecimalBytes(bytes), began.elapsed().as_secs_f64());
    let mut said = vec![format!("{listed} written to {} ({size}) in {seconds:.1} s.", file.display())];
    if secrets > 0 && config.vault_key.is_none() {
        let key = config.data_dir.join(KEY);
        said.push(format!("The secrets in it can be read only with {}: keep a copy of that, too.", key.display()));
    }
    let token = config.data_dir.join(CredentialFile::NAME);
    if config.access_token.is_none() && token.is_file() {
        said.push(format!("The access token is not in it: that is {}.", token.display()));
    }
    Ok(said.join("\n"))
}

/// What was written: rows, bytes of the file, and how many secrets are among the rows.
struct Written {
    counts: Counts,
    bytes: u64,
    secrets: u64,
}

fn write_backup(
    archive: &mut dyn Archive,
    file: &Path,
    overwrite: bool,
    stop: &CancellationToken,
) -> anyhow::Result<Written> {
    let created = jiff::Timestamp::from_millisecond(SystemClock.now().0)?.to_string();
    // Opened first: it may be refused.
    let progress = bar("Reading", archive.count()?, "{human_pos} of {human_len} rows");
    let mut writer = BackupWriter::create(file, overwrite, &Header::new(created, archive.schema()?))?;
    let secrets = archive.dump(&mut |record| {
        if stop.is_cancelled() {
            return Err("interrupted".into());
        }
        progress.inc(1);
        writer.put(&record).map_err(Cause::from)
    })?;
    let (counts, bytes) = writer.finish()?;
    progress.finish_and_clear();
    Ok(Written { counts, bytes, secrets })
}

/// What [`restore`] may do, and with what.
#[derive(Default)]
pub struct RestoreOptions {
    /// Remove what the database holds.
    pub replace: bool,
    /// The key that the secrets in the backup were sealed with, if it is not that of this server.
    pub vault_key: Option<VaultKey>,
}

/// Fills the database, which is made if it is not there, from `file`. Gives what to tell the owner.
///
/// The file is read twice: nothing is changed before all of it was found to be good, and then all of it is stored or
/// nothing.
///
/// # Errors
/// If the file is no backup, is damaged or newer than this program; if a server runs; if there is no key for the secrets;
/// if the database holds something and may not be replaced. Then the database holds what it held; only if it was lost while
/// it committed, nobody knows, and the error says so.
pub async fn restore(config: &Config, file: PathBuf, options: RestoreOptions) -> anyhow::Result<String> {
    let Some(url) = storage_url(config) else {
        bail!("the database is in memory: what is restored would be gone at once; name one with --database-url");
    };
    let began = Instant::now();
    // A mistake in its name must not make a data directory.
    BackupReader::open(&file, &ProgressBar::hidden())?;
    let data_dir = DataDir::open(&config.data_dir)?;
    let _database_lock = lock_database(config)?;
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let kept = match &config.vault_key {
        Some(configured) => Some(*configured.expose_secret()),
        None => data_dir.key(KEY)?,
    };
    let key = kept.unwrap_or_else(|| random(&*entropy));
    let own = vault(&key, &entropy);
    let origin =
        options.vault_key.as_ref().map_or_else(|| Arc::clone(&own), |key| vault(key.expose_secret(), &entropy));
    let no_key = match (&options.vault_key, &config.vault_key) {
        (Some(_), _) => {
            "--vault-key-file holds another key than the one that its secrets were encrypted with".to_owned()
        }
        (None, Some(_)) => format!("its secrets were not encrypted with the configured key; {NAME_THE_KEY}"),
        (None, None) => {
            format!("its secrets were not encrypted with {}; {NAME_THE_KEY}", config.data_dir.join(KEY).display())
        }
    };
    let (shown, from) = (config.database_url.to_string(), file.clone());
    let counts = blocking(move || {
        let mut archive = SqlArchive::to_fill(url);
        verify(&archive, &from, &*origin, &no_key)?;
        if kept.is_none() {
            // First, so that there is no moment at which secrets are sealed with a key that is nowhere.
            data_dir.keep_key(KEY, &key)?;
        }
        let vaults = Vaults { origin: &*origin, own: &*own };
        let counts = read_backup(&mut archive, &from, vaults, options.replace);
        counts.map_err(|error| {
            let said = match error.downcast_ref() {
                Some(ArchiveError::Unconfirmed(_)) => {
                    format!("it is not known whether everything was restored into {shown} or nothing; {RESTORE_AGAIN}")
                }
                _ => format!("nothing was restored into {shown}"),
            };
            error.context(said)
        })
    })
    .await?;
    Ok(format!(
        "{} restored from {} into {} in {:.1} s.",
        listed(&counts),
        file.display(),
        config.database_url,
        began.elapsed().as_secs_f64()
    ))
}

const NAME_THE_KEY: &str = "name the file vault.key of the server that was backed up with --vault-key-file";

const RESTORE_AGAIN: &str = "restore the backup again, with --replace if there is something in it";

/// Reads the whole file, and fails if anything in it could not be restored.
fn verify(archive: &dyn Archive, file: &Path, origin: &dyn Vault, no_key: &str) -> anyhow::Result<()> {
    let progress = bar("Checking", 0, "{bytes} of {total_bytes}");
    let reader = BackupReader::open(file, &progress)?;
    let known = archive.schema()?;
    if let Some(unknown) = reader.header().schema.iter().find(|name| !known.contains(name)) {
        bail!(
            "{} was written by pawport {}, which is newer: its schema has {unknown}, which this program does not know; use that pawport",
            file.display(),
            reader.header().pawport
        );
    }
    let mut refused = None;
    // Behind the header.
    for (line, record) in (2_u64..).zip(reader) {
        let record = record?;
        if refused.is_none() {
            refused = archive.check(&record, origin).err().map(|error| (line, error));
        }
    }
    progress.finish_and_clear();
    // Only now: what is damaged is no matter of keys.
    match refused {
        None => Ok(()),
        Some((_, ArchiveError::NotOurs(_))) => bail!("the secrets in {} cannot be read: {no_key}", file.display()),
        Some((line, error)) => Err(error).with_context(|| format!("line {line} of {}", file.display())),
    }
}

fn read_backup(archive: &mut dyn Archive, file: &Path, vaults: Vaults<'_>, replace: bool) -> anyhow::Result<Counts> {
    let progress = bar("Restoring", 0, "{bytes} of {total_bytes}");
    let mut reader = BackupReader::open(file, &progress)?;
    let mut records = reader.by_ref().map(|record| record.map_err(Cause::from));
    match archive.fill(&mut records, vaults, replace) {
        Err(ArchiveError::NotEmpty) => {
            bail!("there is something in it already; restore into another one, or remove all of it with --replace")
        }
        filled => filled?,
    }
    progress.finish_and_clear();
    Ok(reader.counts().clone())
}

/// Runs work that blocks on a thread of its own.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> anyhow::Result<T> + Send + 'static) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await?
}

/// The counts in words.
fn listed(counts: &Counts) -> String {
    let name = |table: &str| match table {
        "audit" => "audit entries".to_owned(),
        "kept" => "kept items".to_owned(),
        table => table.replace('_', " "),
    };
    let parts: Vec<_> =
        counts.0.iter().map(|(table, count)| format!("{} {}", HumanCount(*count), name(table))).collect();
    if parts.is_empty() { "No rows".to_owned() } else { parts.join(", ") }
}
