//! The data directory: ours alone, used by one server at a time, and the small files in it.

pub mod credential_file;
mod private_file;

use anyhow::{Context, bail};
use private_file::{read_private, replace_private};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The files that we keep in the directory, besides a database that is elsewhere.
const OURS: [&str; 8] =
    [LOCK, "access_token", ADDRESS, "vault.key", "vault.key.new", "pawport.db", "pawport.db-wal", "pawport.db-shm"];

/// The file that a server holds for as long as it runs.
const LOCK: &str = "pawport.lock";

/// The file that says where the server of a directory listens.
const ADDRESS: &str = "address";

/// A data directory that this process holds. Held until dropped, or until the process ends, however it ends.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: Lock,
}

impl DataDir {
    /// Creates the directory if need be (mode 0700), takes it for this process, and tightens the mode
    /// of it and of our files in it.
    ///
    /// # Errors
    /// If it cannot be created or written, or another server uses it. The text says which and what to do.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(|| {
            format!("the data directory {} cannot be created; choose another with --data-dir", path.display())
        })?;
        Self::refuse_foreign(path)?;
        let lock = Lock::take(&path.join(LOCK), "the data directory", "choose another with --data-dir")?;
        make_private(path, 0o700)?;
        let this = Self { path: path.to_owned(), _lock: lock };
        // That of a server that was killed; it must not be taken for that of whoever holds the lock now.
        this.remove(ADDRESS)?;
        for name in OURS {
            let file = path.join(name);
            if file.is_file() {
                make_private(&file, 0o600)?;
            }
        }
        Ok(this)
    }

    /// A directory that others can read, with files in it that no server of ours made, is somebody else's: a home or a
    /// project, named by mistake.
    fn refuse_foreign(path: &Path) -> anyhow::Result<()> {
        let readable_by_others = path.metadata()?.permissions().mode() & 0o077 != 0;
        let mut entries = path.read_dir().with_context(|| format!("{} cannot be read", path.display()))?;
        let is_ours = OURS.iter().any(|name| path.join(name).exists());
        if readable_by_others && !is_ours && entries.next().is_some() {
            bail!(
                "{} is no data directory: it holds other files, and others can read it; name an empty or a new folder with --data-dir",
                path.display()
            );
        }
        Ok(())
    }

    /// The 32 bytes in the file `name`, if it is there.
    ///
    /// # Errors
    /// If the file cannot be read, or holds something else.
    pub fn key(&self, name: &str) -> anyhow::Result<Option<[u8; 32]>> {
        let path = self.path.join(name);
        let Some(text) = read_private(&path)? else { return Ok(None) };
        let mut key = [0; 32];
        hex::decode_to_slice(text.trim(), &mut key).map_err(|_| {
            anyhow::anyhow!(
                "{} does not hold a key (64 hexadecimal digits); restore it from a backup. Without it the secrets in the database cannot be read",
                path.display()
            )
        })?;
        Ok(Some(key))
    }

    /// Keeps `key` in the file `name`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep_key(&self, name: &str, key: &[u8; 32]) -> anyhow::Result<()> {
        replace_private(&self.path.join(name), hex::encode(key).as_bytes())
    }

    /// Removes the file `name`, if it is there.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self, name: &str) -> anyhow::Result<()> {
        let path = self.path.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{} cannot be removed", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Says where the server listens, for commands on this machine. Until this is dropped.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep_address(&self, address: SocketAddr) -> anyhow::Result<()> {
        replace_private(&self.path.join(ADDRESS), address.to_string().as_bytes())
    }

    /// Where the server of the directory at `path` listens. `None` if none runs.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn address(path: &Path) -> anyhow::Result<Option<SocketAddr>> {
        // A server that was killed leaves the file, and somebody else may listen there by now.
        if !Lock::is_held(&path.join(LOCK))? {
            return Ok(None);
        }
        Ok(read_private(&path.join(ADDRESS))?.and_then(|text| text.trim().parse().ok()))
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // A stale address only makes a command say that nobody answers there.
        let _ = self.remove(ADDRESS);
    }
}

/// Something that one server at a time may use. Held until dropped, or until the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Whether another process holds `file`.
    ///
    /// # Errors
    /// If it cannot be asked for.
    pub fn is_held(file: &Path) -> anyhow::Result<bool> {
        let lock = match File::open(file) {
            Ok(lock) => lock,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", file.display())),
        };
        // Shared, so that two commands that ask at the same time do not take each other for a server.
        match lock.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("{} cannot be locked", file.display()))
            }
        }
    }

    /// Takes `file`, which is made if need be, for `what`.
    ///
    /// # Errors
    /// If it cannot be written, or another process holds it. The text ends with `remedy`.
    pub fn take(file: &Path, what: &str, remedy: &str) -> anyhow::Result<Self> {
        let folder = file.parent().unwrap_or(file).display();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut lock = options.open(file).with_context(|| format!("{what} {folder} cannot be written; {remedy}"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                let _ = lock.read_to_string(&mut process);
                let process = process.trim();
                bail!("another pawport server (process {process}) uses {what} {folder}; stop it, or {remedy}");
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("{} cannot be locked", file.display()));
            }
        }
        lock.set_len(0)?;
        write!(lock, "{}", std::process::id())?;
        Ok(Self { _file: lock })
    }
}

fn make_private(path: &Path, mode: u32) -> anyhow::Result<()> {
    let permissions = path.metadata()?.permissions();
    if permissions.mode() & 0o077 == 0 {
        return Ok(());
    }
    tracing::warn!(path = %path.display(), "other users could read this; it is private now");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .with_context(|| format!("{} can be read by others and its mode cannot be changed", path.display()))
}

#[cfg(test)]
mod tests;
