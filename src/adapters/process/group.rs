//! Process groups, and how to end one.

use super::facts;
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpgrp};
use std::time::{Duration, Instant};

/// For how long a group may still be seen after it was killed: a process ends when it next runs, and one that waits for
/// a disk runs later.
pub(super) const DYING: Duration = Duration::from_secs(2);

/// How often that is looked at.
pub(super) const GLANCE: Duration = Duration::from_millis(5);

/// A process group. Its id is that of the process that leads it, or led it: the system gives that id to nobody as long as
/// the group has members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group(Pid);

impl Group {
    /// `None` for the ids below 2, which mean "our own group" and "all processes" to some system calls.
    pub fn of(id: i32) -> Option<Self> {
        (id > 1).then(|| Self(Pid::from_raw(id)))
    }

    pub fn id(self) -> i32 {
        self.0.as_raw()
    }

    pub fn leader(self) -> Pid {
        self.0
    }

    /// The group that this process is in.
    pub fn is_own(self) -> bool {
        self.0 == getpgrp()
    }

    /// Whether it has a member that has not ended. Looks at all processes if need be, so it takes milliseconds.
    pub fn is_alive(self) -> bool {
        // Of what has ended but was not noticed by its parent, this says that it exists.
        let exists = killpg(self.0, None) != Err(Errno::ESRCH);
        exists && facts::all().iter().any(|process| process.group == self && !process.is_zombie)
    }

    /// Sends a signal to all members. Whether there were any.
    pub fn send(self, signal: Signal) -> bool {
        match killpg(self.0, signal) {
            Ok(()) => true,
            Err(Errno::ESRCH) => false,
            Err(error) => {
                // The members belong to another user by now, or are zombies (macOS).
                tracing::debug!(group = self.id(), %signal, %error, "no process of the group could be signalled");
                true
            }
        }
    }

    /// Kills all members and blocks until they are gone, for [`DYING`] at most. Whether they are.
    pub fn end(self) -> bool {
        let begin = Instant::now();
        while self.send(Signal::SIGKILL) && self.is_alive() {
            if begin.elapsed() > DYING {
                return false;
            }
            std::thread::sleep(GLANCE);
        }
        true
    }
}
