//! Linux can kill a child when its parent ends, however that ends. Here is the one `unsafe` of the crate.
//!
//! Two traps: the signal is sent when the *thread* ends that forked, which is why [`Starter`](super::starter::Starter) is
//! a thread that stays. And a program that gains privileges (set-user-ID, file capabilities) loses the setting.

use nix::errno::Errno;
use nix::sys::{prctl, signal::Signal};
use nix::unistd::{getpid, getppid};
use tokio::process::Command;

/// Has the system kill what `command` starts when the thread that starts it ends.
#[expect(unsafe_code, reason = "only the child itself can ask for the signal, between fork and exec")]
pub(super) fn kills(command: &mut Command) {
    let parent = getpid();
    let ask = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // If the parent ended before that line, no signal will come.
        if getppid() == parent { Ok(()) } else { Err(Errno::ESRCH.into()) }
    };
    // SAFETY: between fork and exec only what is async-signal-safe may be done, as other threads of the parent may have
    // held locks when it forked. The closure makes two system calls, neither allocates nor locks, and an error made from
    // a number does not either. What it captures is a number.
    unsafe {
        command.pre_exec(ask);
    }
}
