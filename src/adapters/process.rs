//! All child processes: started here, and ended whatever happens to us. Nothing is ever started again by itself.
//!
//! Each child leads a process group of its own, so that what it starts can be ended with it. Four things see to that:
//!
//! - [`Child::stop`] asks first and kills then, and returns when the group is gone.
//! - Dropping a [`Child`] kills its group.
//! - If this process is killed, Linux kills the leaders for us (see `parent_death`).
//! - What is left after that (what the leaders had started; on other systems, the leaders) is found in the ledger and
//!   killed at the next start: [`Processes::sweep`].
//!
//! Out of reach is what left its group by itself, as daemons do.

mod child;
mod facts;
mod group;
mod ledger;
mod lines;
#[cfg(target_os = "linux")]
mod parent_death;
mod starter;

pub use child::{Child, Exit};
pub use lines::pump_lines;

use ledger::Ledger;
use secrecy::{ExposeSecret, SecretString};
use starter::Starter;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use thiserror::Error;
use tokio::process::Command as Prepared;
use tokio::runtime::Handle;

/// Starts children, and knows the groups that were started. There is one in the program; clones are cheap and the same.
///
/// Dropping it ends no child: each [`Child`] keeps what it needs.
#[derive(Clone)]
pub struct Processes {
    ledger: Ledger,
    inherited: Arc<[(String, OsString)]>,
    starter: Starter,
}

impl Processes {
    /// `ledger` is a folder for a small file per started group; it is created if need be, with mode 0700. It must be used
    /// by one `Processes` at a time. `inherited` are the variables that every child gets; nothing else of our own
    /// environment reaches one.
    ///
    /// # Errors
    /// If the folder cannot be created or made private, or the system gives no thread.
    pub fn new(ledger: PathBuf, inherited: Vec<(String, OsString)>) -> io::Result<Self> {
        Ok(Self { ledger: Ledger::open(ledger)?, inherited: inherited.into(), starter: Starter::new()? })
    }

    /// Kills the groups of an earlier run that are still alive, waits until they are gone, and gives how many there were.
    ///
    /// To be called once, before the first start, since groups of this run are in the ledger as well. Blocks: for moments
    /// if there is nothing to do, and for two seconds at most for each group that does not end; such a one is left for
    /// the next sweep. A file that is none of ours is removed.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn sweep(&self) -> io::Result<usize> {
        self.ledger.sweep()
    }

    /// Starts a program in a group of its own, with pipes for its three streams.
    ///
    /// It sees the inherited variables and the command's own, which win; it is searched for in the `PATH` among them.
    /// Whoever stops waiting for this has no child left behind.
    ///
    /// # Errors
    /// If the program or the folder is not there or may not be used, if the system refuses, or if the start cannot be
    /// noted in the ledger; nothing runs then.
    ///
    /// # Panics
    /// Outside a tokio runtime. It must have I/O and time enabled, and the child is to be waited for in the same one.
    pub async fn start(&self, command: &Command) -> Result<Child, StartError> {
        let (runtime, this) = (Handle::current(), self.clone());
        let (program, folder) = (command.program.clone(), command.folder.clone());
        let prepared = self.prepare(command);
        let start = move || {
            // The pipes of the child belong to the runtime of the asker.
            let _inside = runtime.enter();
            this.start_here(prepared, program, folder.as_deref())
        };
        let stuck = || Err(StartError::Failed(io::Error::other("the thread that starts programs gave up")));
        self.starter.run(start).await.unwrap_or_else(stuck)
    }

    fn prepare(&self, command: &Command) -> Prepared {
        let mut prepared = Prepared::new(&command.program);
        prepared.args(&command.arguments).env_clear();
        prepared.envs(self.inherited.iter().map(|(name, value)| (name, value)));
        prepared.envs(command.environment.iter().map(|(name, value)| (name, value.expose_secret())));
        if let Some(folder) = &command.folder {
            prepared.current_dir(folder);
        }
        prepared.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        prepared.process_group(0);
        #[cfg(target_os = "linux")]
        parent_death::kills(&mut prepared);
        prepared
    }

    /// Blocks; runs on the starter's thread.
    fn start_here(&self, mut prepared: Prepared, program: String, folder: Option<&Path>) -> Result<Child, StartError> {
        if let Some(folder) = folder {
            // The dot asks for what changing into it needs. A start would say "not found" for this, too.
            let usable = folder.join(".").metadata();
            usable.map_err(|source| StartError::Folder { folder: folder.to_owned(), source })?;
        }
        let leader = prepared.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => StartError::NotFound { program },
            ErrorKind::PermissionDenied => StartError::NotPermitted { program },
            _ => StartError::Failed(error),
        })?;
        let mut child = Child::new(leader, self.starter.clone())?;
        child.note_in(&self.ledger).map_err(StartError::NotNoted)?;
        Ok(child)
    }
}

impl fmt::Debug for Processes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inherited: Vec<_> = self.inherited.iter().map(|(name, _)| name).collect();
        f.debug_struct("Processes").field("ledger", &self.ledger).field("inherited", &inherited).finish_non_exhaustive()
    }
}

/// What to start. `Debug` shows neither arguments nor values of the environment, since either may hold a secret.
#[derive(Clone)]
pub struct Command {
    /// A path, or a name that is searched for in the `PATH` of the child.
    pub program: String,
    /// What follows the program's name.
    pub arguments: Vec<String>,
    /// Variables by their names. They win over inherited ones, and the last of a name over those before.
    pub environment: Vec<(String, SecretString)>,
    /// Where the child begins; if it is `None`, where we are. A relative path of the program is seen from there.
    pub folder: Option<PathBuf>,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let environment: Vec<_> = self.environment.iter().map(|(name, _)| name).collect();
        f.debug_struct("Command")
            .field("program", &self.program)
            .field("arguments", &self.arguments.len())
            .field("environment", &environment)
            .field("folder", &self.folder)
            .finish()
    }
}

/// Why a program was not started. The text is for the user who configured it.
#[derive(Debug, Error)]
pub enum StartError {
    /// No such program, or the interpreter that its first line names is missing.
    #[error("the command {program:?} was not found; install it or give its full path")]
    NotFound {
        /// As it was given.
        program: String,
    },
    /// The file is there, but is no program or not one for us.
    #[error("the command {program:?} may not be run; check the permissions of its file")]
    NotPermitted {
        /// As it was given.
        program: String,
    },
    /// The folder does not exist, is none, or may not be entered.
    #[error("the folder {} of the command cannot be used: {source}", folder.display())]
    Folder {
        /// As it was given.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It ran for a moment and was killed, since without a note the next start could not find it.
    #[error("the command was not started, because that cannot be noted in the data directory: {0}")]
    NotNoted(#[source] io::Error),
    /// The system refused for another reason.
    #[error("the command could not be started: {0}")]
    Failed(#[from] io::Error),
}

#[cfg(test)]
mod tests;
