//! A child that runs, and how it ends.

use super::group::{DYING, GLANCE, Group};
use super::ledger::{Entry, Ledger};
use super::starter::Starter;
use nix::sys::signal::Signal;
use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::process::{Child as Leader, ChildStderr, ChildStdin, ChildStdout};
use tokio::time::{Instant, sleep, timeout};

/// A started program and all that it starts in its process group. Dropping it kills them at once, also outside a runtime.
#[derive(Debug)]
pub struct Child {
    leader: Leader,
    group: Group,
    /// Set as soon as the leader was reaped. From then on its id may belong to somebody else once the group is empty.
    exit: Option<Exit>,
    /// Until the group is known to be gone.
    entry: Option<Entry>,
    /// For as long as this is held, the leader is not killed for the end of the thread that started it.
    _starter: Starter,
}

impl Child {
    pub(super) fn new(leader: Leader, starter: Starter) -> io::Result<Self> {
        let id = leader.id().and_then(|id| id.try_into().ok());
        let group = id.and_then(Group::of).ok_or_else(|| io::Error::other("the child has no process id"))?;
        Ok(Self { leader, group, exit: None, entry: None, _starter: starter })
    }

    pub(super) fn note_in(&mut self, ledger: &Ledger) -> io::Result<()> {
        self.entry = Some(ledger.note(self.group)?);
        Ok(())
    }

    /// The child's standard input, output and error. `None` if they were taken before.
    ///
    /// Whoever has them must read the latter two, or the child may wait for ever to write.
    pub fn take_pipes(&mut self) -> Option<(ChildStdin, ChildStdout, ChildStderr)> {
        Some((self.leader.stdin.take()?, self.leader.stdout.take()?, self.leader.stderr.take()?))
    }

    /// The process id of the leader, which is also the id of the group.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.group.id().unsigned_abs()
    }

    /// Waits for the end of the leader, kills what is left of the group, and waits (for two seconds at most) until that is
    /// gone. Closes the child's input if nobody took it.
    ///
    /// Can be dropped and called again, also after the end. Whether somebody holds the other ends of the pipes does not
    /// matter.
    pub async fn wait(&mut self) -> Exit {
        let exit = match self.exit {
            Some(exit) => exit,
            None => {
                let exit = self.leader.wait().await.map_or(Exit::UNKNOWN, Exit::from);
                // No await between these: the id was free for others from the line above on, if the group was empty.
                self.group.send(Signal::SIGKILL);
                *self.exit.insert(exit)
            }
        };
        self.settle().await;
        exit
    }

    /// Ends the group. Waits for `grace`, as whoever took the child's input has closed it, then asks with the signal TERM
    /// and waits for `grace` again, then kills.
    ///
    /// When it returns no process of the group is alive; only if the system cannot end one for two seconds, as while it
    /// waits for a disk, that is logged. Can be dropped and called again.
    pub async fn stop(&mut self, grace: Duration) -> Exit {
        match timeout(grace, self.wait()).await {
            Ok(exit) => exit,
            Err(_) => self.terminate(grace).await,
        }
    }

    /// The same for a program that does not heed its input: asks with the signal TERM at once, waits for `grace`, then kills.
    pub async fn terminate(&mut self, grace: Duration) -> Exit {
        self.send(Signal::SIGTERM);
        if let Ok(exit) = timeout(grace, self.wait()).await {
            return exit;
        }
        self.send(Signal::SIGKILL);
        match timeout(DYING, self.wait()).await {
            Ok(exit) => exit,
            Err(_) => {
                tracing::warn!(group = self.group.id(), "a child process was killed and does not end");
                self.exit.unwrap_or(Exit::UNKNOWN)
            }
        }
    }

    /// After the leader's end and the kill: waits until the group is gone.
    async fn settle(&mut self) {
        let deadline = Instant::now() + DYING;
        // The signal again, instead of none: it reaches whom a member started at the very moment of the last one.
        while self.entry.is_some() && self.group.send(Signal::SIGKILL) {
            let group = self.group;
            let is_alive = tokio::task::spawn_blocking(move || group.is_alive());
            if !is_alive.await.unwrap_or(false) {
                break;
            }
            if Instant::now() > deadline {
                tracing::warn!(group = group.id(), "what a child process had started was killed and does not end");
                // The file stays for the next sweep.
                self.entry = None;
                return;
            }
            sleep(GLANCE).await;
        }
        self.forget();
    }

    fn send(&self, signal: Signal) {
        // Else the id may be somebody else's.
        if self.exit.is_none() {
            self.group.send(signal);
        }
    }

    fn forget(&mut self) {
        if let Some(entry) = self.entry.take() {
            entry.remove();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.send(Signal::SIGKILL);
        // Nobody survives that signal, so there is nothing to find at the next start. Tokio reaps the leader.
        self.forget();
    }
}

/// How a program ended. Neither is known if the system did not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// What it returned, if it returned.
    pub code: Option<i32>,
    /// The signal that ended it, otherwise.
    pub signal: Option<i32>,
}

impl Exit {
    const UNKNOWN: Self = Self { code: None, signal: None };
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        Self { code: status.code(), signal: status.signal() }
    }
}

/// For users, to follow the name of a program: `exited with status 1`, `was ended by signal 9 (KILL)`.
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exited with status {code}"),
            (None, Some(number)) => {
                write!(f, "was ended by signal {number}")?;
                let Ok(signal) = Signal::try_from(number) else { return Ok(()) };
                write!(f, " ({})", signal.as_str().trim_start_matches("SIG"))
            }
            (None, None) => f.write_str("ended"),
        }
    }
}
