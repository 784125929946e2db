//! The kernel's numbers about this process: memory and CPU time.
//!
//! Reads two small files of /proc, never on a shard. Tested below.

use std::fs;

/// The kernel counts CPU time for user space in hundredths of a second, on every architecture that
/// limpet runs on (USER_HZ, proc_pid_stat(5)).
const TICKS_PER_SECOND: f64 = 100.0;

/// Zero where the kernel reports nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usage {
    pub resident_bytes: u64,
    pub virtual_bytes: u64,
    pub cpu_seconds: f64,
}

/// The usage at this moment.
pub fn usage() -> Usage {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    Usage {
        resident_bytes: status_bytes(&status, "VmRSS").unwrap_or(0),
        virtual_bytes: status_bytes(&status, "VmSize").unwrap_or(0),
        cpu_seconds: cpu_seconds(&stat).unwrap_or(0.0),
    }
}

/// A line of /proc/self/status: `VmRSS:      1234 kB`.
fn status_bytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Fields 14 and 15 of /proc/self/stat; the second one may contain anything, in parentheses.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user.checked_add(system)? as f64 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use crate::control::metrics::process::*;

    #[test]
    fn this_process_has_memory() {
        let usage = usage();
        assert!(usage.resident_bytes > 100_000, "{usage:?}");
        assert!(usage.virtual_bytes >= usage.resident_bytes, "{usage:?}");
    }

    #[test]
    fn the_kernels_texts_are_read_as_documented() {
        let status = "Name:\tlimpet\nVmSize:\t  2048 kB\nVmRSS:\t     512 kB\nVmRSSx:\t 1 kB\n";
        assert_eq!(status_bytes(status, "VmRSS"), Some(512 * 1024));
        assert_eq!(status_bytes(status, "VmSize"), Some(2048 * 1024));
        assert_eq!(status_bytes(status, "VmSwap"), None);
        assert_eq!(status_bytes("VmRSS: many kB", "VmRSS"), None);
        let stat = "1 (a) b) S 0 1 1 0 -1 0 5 6 7 8 250 150 0 0 20 0 3 0";
        assert_eq!(cpu_seconds(stat), Some(4.0));
        assert_eq!(cpu_seconds("1 (a) S 0"), None);
    }
}
