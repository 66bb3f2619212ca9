//! How the machine is, in the words that the dashboard reads numbers from.

use std::fmt::Write;

/// A text with what can be known here.
pub fn status() -> String {
    let mut text = "System status\n".to_owned();
    let parts = [facts::processor(), facts::memory(), facts::disk()];
    for part in parts.into_iter().flatten() {
        let _ = write!(text, "\n{part}");
    }
    if !text.contains('%') {
        text.push_str("\nNothing is known of this machine.");
    }
    text
}

/// How much of the whole that is.
#[cfg(target_os = "linux")]
fn percent(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100).checked_div(whole).unwrap_or(0).min(100)
}

/// Gigabytes, as people write them.
#[cfg(target_os = "linux")]
fn gigabytes(bytes: u64) -> String {
    const GIGABYTE: u64 = 1024 * 1024 * 1024;
    let tenths = bytes.saturating_mul(10) / GIGABYTE;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(target_os = "linux")]
mod facts {
    use super::{gigabytes, percent};
    use procfs::{Current, CurrentSI, KernelStats, Meminfo};
    use std::sync::{Mutex, PoisonError};

    /// What the processors had done the last time, in all and while they worked: they are asked how busy they were since.
    static LAST: Mutex<(u64, u64)> = Mutex::new((0, 0));

    pub fn processor() -> Option<String> {
        let total = KernelStats::current().ok()?.total;
        let idle = total.idle + total.iowait.unwrap_or(0);
        let busy = total.user
            + total.nice
            + total.system
            + total.irq.unwrap_or(0)
            + total.softirq.unwrap_or(0)
            + total.steal.unwrap_or(0);
        let now = (busy + idle, busy);
        let last = std::mem::replace(&mut *LAST.lock().unwrap_or_else(PoisonError::into_inner), now);
        let share = percent(now.1.saturating_sub(last.1), now.0.saturating_sub(last.0));
        Some(format!("CPU: {share}%"))
    }

    pub fn memory() -> Option<String> {
        let memory = Meminfo::current().ok()?;
        let total = memory.mem_total;
        let used = total.saturating_sub(memory.mem_available.unwrap_or(memory.mem_free));
        Some(format!("RAM: {}/{} GB ({}%)", gigabytes(used), gigabytes(total), percent(used, total)))
    }

    pub fn disk() -> Option<String> {
        let disk = nix::sys::statvfs::statvfs("/").ok()?;
        let block = disk.fragment_size();
        let total = disk.blocks().saturating_mul(block);
        let used = total.saturating_sub(disk.blocks_free().saturating_mul(block));
        Some(format!("Disk: {}/{} GB ({}%)", gigabytes(used), gigabytes(total), percent(used, total)))
    }
}

#[cfg(not(target_os = "linux"))]
mod facts {
    pub fn processor() -> Option<String> {
        None
    }

    pub fn memory() -> Option<String> {
        None
    }

    pub fn disk() -> Option<String> {
        None
    }
}
