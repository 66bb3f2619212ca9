//! The ledger: a file for each group that was started and is not known to be gone.
//!
//! It is read when an earlier run ended without ending its children. By then an id may belong to somebody else, so an entry
//! holds what tells.

use super::facts::{self, Facts};
use super::group::Group;
use nix::unistd::getsid;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, DirEntry, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    folder: Arc<Path>,
}

/// A file, named like the id of its group.
#[derive(Debug)]
pub(super) struct Entry {
    path: PathBuf,
}

/// What is in it, as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// See [`facts::epoch`].
    epoch: String,
    /// When the leader began; see [`Facts`].
    started: u64,
    /// The session of the group, which is ours.
    session: i32,
}

impl Ledger {
    /// Creates the folder if need be, and makes it private.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        std::fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
        Ok(Self { folder: folder.into() })
    }

    /// Notes a group whose leader was just started by this process, and was not reaped.
    pub fn note(&self, group: Group) -> io::Result<Entry> {
        // Some systems say nothing of a leader that has ended already. Then it will not be found again, and what it left
        // began after 0.
        let started = facts::of(group.leader()).map_or(0, |leader| leader.started);
        let note = Note { epoch: facts::epoch(), started, session: getsid(None)?.as_raw() };
        // No need to be on disk: when the machine goes down, the group does.
        let mut file = tempfile::Builder::new().permissions(Permissions::from_mode(0o600)).tempfile_in(&self.folder)?;
        file.write_all(&serde_json::to_vec(&note)?)?;
        let path = self.folder.join(group.id().to_string());
        file.persist(&path)?;
        Ok(Entry { path })
    }

    /// See [`Processes::sweep`](super::Processes::sweep).
    pub fn sweep(&self) -> io::Result<usize> {
        let mut ended = 0;
        let mut epoch = None;
        for file in self.folder.read_dir()? {
            let file = file?;
            let entry = Entry { path: file.path() };
            let Some((group, note)) = read(&file) else {
                tracing::warn!(file = %entry.path.display(), "this is no entry of the ledger of child processes; removed");
                entry.remove();
                continue;
            };
            // The same for all, and not needed if there are none.
            let epoch = epoch.get_or_insert_with(facts::epoch);
            if note.epoch == *epoch && note.is_of(group) && group.is_alive() {
                if !group.end() {
                    tracing::warn!(group = group.id(), "child processes of an earlier run do not end");
                    continue;
                }
                tracing::info!(group = group.id(), "killed child processes of an earlier run");
                ended += 1;
            }
            entry.remove();
        }
        Ok(ended)
    }
}

fn read(file: &DirEntry) -> Option<(Group, Note)> {
    let group = Group::of(file.file_name().to_str()?.parse().ok()?)?;
    // Nothing else can be what was written, and reading from a pipe would wait for ever.
    file.file_type().ok()?.is_file().then_some(())?;
    Some((group, serde_json::from_slice(&std::fs::read(file.path()).ok()?).ok()?))
}

impl Note {
    /// Whether the group that has the id now, in the same epoch, is the noted one.
    fn is_of(&self, group: Group) -> bool {
        if group.is_own() {
            return false;
        }
        if let Some(leader) = facts::of(group.leader()) {
            return leader.started == self.started;
        }
        // The leader has ended. The members of its group were started by it or later, in its session, as they cannot
        // leave that without leaving the group.
        let could_be = |process: &Facts| process.session == self.session && process.started >= self.started;
        facts::all().iter().filter(|process| process.group == group).all(could_be)
    }
}

impl Entry {
    /// To be called when the group is gone, or was killed by a signal that nobody can refuse.
    pub fn remove(self) {
        let removed = std::fs::remove_file(&self.path);
        if let Err(error) = removed
            && error.kind() != ErrorKind::NotFound
        {
            // At the next start it is read once more, and does no harm.
            tracing::warn!(file = %self.path.display(), %error, "an entry of the ledger of child processes cannot be removed");
        }
    }
}
