//! What the system tells about processes, as far as it serves to recognise one.

use super::group::Group;
use nix::unistd::Pid;

/// A process that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub group: Group,
    pub session: i32,
    /// When it began. Only good for comparing within one [`epoch`].
    pub started: u64,
    /// It has ended, and waits for its parent to notice, which some containers' first process never does.
    pub is_zombie: bool,
}

#[cfg(target_os = "linux")]
mod system {
    use super::{Facts, Group, Pid};
    use procfs::process::{Process, Stat, all_processes};

    fn facts(stat: &Stat) -> Option<Facts> {
        Some(Facts {
            group: Group::of(stat.pgrp)?,
            session: stat.session,
            // Since boot, so that nobody who sets the clock changes it.
            started: stat.starttime,
            is_zombie: matches!(stat.state, 'Z' | 'X'),
        })
    }

    pub fn of(process: Pid) -> Option<Facts> {
        facts(&Process::new(process.as_raw()).ok()?.stat().ok()?)
    }

    pub fn all() -> Vec<Facts> {
        // What cannot be read has ended in the meantime, or is none of ours.
        let processes = all_processes().into_iter().flatten().flatten();
        processes.filter_map(|process| facts(&process.stat().ok()?)).collect()
    }

    pub fn boot() -> String {
        procfs::sys::kernel::random::boot_id().unwrap_or_default()
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{Facts, Group, Pid};
    use nix::unistd::{getpgid, getsid};
    use sysinfo::{Process, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};

    fn facts(process: &Process) -> Option<Facts> {
        let pid = Pid::from_raw(process.pid().as_u32().try_into().ok()?);
        Some(Facts {
            group: Group::of(getpgid(Some(pid)).ok()?.as_raw())?,
            session: getsid(Some(pid)).ok()?.as_raw(),
            started: process.start_time(),
            is_zombie: matches!(process.status(), ProcessStatus::Zombie | ProcessStatus::Dead),
        })
    }

    fn ask(which: ProcessesToUpdate<'_>) -> Vec<Facts> {
        let mut system = System::new();
        system.refresh_processes_specifics(which, true, ProcessRefreshKind::nothing().without_tasks());
        system.processes().values().filter_map(facts).collect()
    }

    pub fn of(process: Pid) -> Option<Facts> {
        let process = sysinfo::Pid::from_u32(process.as_raw().try_into().ok()?);
        ask(ProcessesToUpdate::Some(&[process])).pop()
    }

    pub fn all() -> Vec<Facts> {
        ask(ProcessesToUpdate::All)
    }

    pub fn boot() -> String {
        System::boot_time().to_string()
    }
}

/// The process with this id, if there is one.
pub(super) fn of(process: Pid) -> Option<Facts> {
    system::of(process)
}

/// All processes that we may see.
pub(super) fn all() -> Vec<Facts> {
    system::all()
}

/// A name of the time in which process ids mean the same: until the machine boots, or the container starts anew.
///
/// A container numbers its processes from 1 again while the machine stays up; its first process tells one from the next.
pub(super) fn epoch() -> String {
    let first = system::of(Pid::from_raw(1)).map_or(0, |first| first.started);
    format!("{} {first}", system::boot())
}
