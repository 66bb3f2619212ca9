//! The data directory: ours alone, used by one server at a time, and the small files in it.

pub mod credential_file;
mod private_file;

use anyhow::{Context, bail};
use private_file::{read_private, replace_private};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A data directory that this process holds. Held until dropped, or until the process ends, however it ends.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Creates the directory if need be (mode 0700), takes it for this process, and tightens the mode of what is in it.
    ///
    /// # Errors
    /// If it cannot be created or written, or another server uses it. The text says which and what to do.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(|| {
            format!("the data directory {} cannot be created; choose another with --data-dir", path.display())
        })?;
        let lock = Self::lock(path)?;
        // Whatever made the directory: nobody else reads it from now on.
        make_private(path, 0o700)?;
        for entry in path.read_dir().with_context(|| format!("{} cannot be read", path.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                make_private(&entry.path(), 0o600)?;
            }
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    fn lock(path: &Path) -> anyhow::Result<File> {
        let file = path.join("pawport.lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&file)
            .with_context(|| {
            format!("the data directory {} cannot be written; choose another with --data-dir", path.display())
        })?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                let _ = lock.read_to_string(&mut process);
                bail!(
                    "another pawport server (process {}) uses the data directory {}; stop it, or choose another with --data-dir",
                    process.trim(),
                    path.display()
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("{} cannot be locked", file.display()));
            }
        }
        lock.set_len(0)?;
        write!(lock, "{}", std::process::id())?;
        Ok(lock)
    }

    /// The 32 bytes in the file `name`, which `make` provides the first time.
    ///
    /// # Errors
    /// If the file cannot be read or written, or holds something else.
    pub fn key(&self, name: &str, make: impl FnOnce() -> [u8; 32]) -> anyhow::Result<[u8; 32]> {
        let path = self.path.join(name);
        if let Some(text) = read_private(&path)? {
            let mut key = [0; 32];
            hex::decode_to_slice(text.trim(), &mut key).map_err(|_| {
                anyhow::anyhow!(
                    "{} does not hold a key (64 hexadecimal digits); restore it from a backup. Without it the secrets in the database cannot be read",
                    path.display()
                )
            })?;
            return Ok(key);
        }
        let key = make();
        replace_private(&path, hex::encode(key).as_bytes())?;
        Ok(key)
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
