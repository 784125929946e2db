//! Which cores shards may use, and pinning a thread to one.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The number by which the system knows a core.
pub type Core = usize;

/// The calling thread, as the scheduler's calls name it.
const THIS: Pid = Pid::from_raw(0);

/// How many cores affinity and the cgroup's CPU quota allow.
pub fn allowed() -> usize {
    allowed_of(&affine())
}

/// The cores that affinity allows, in order; none where the system does not tell.
fn affine() -> Vec<Core> {
    let set = sched_getaffinity(THIS).unwrap_or_default();
    (0..CpuSet::count()).filter(|core| set.is_set(*core) == Ok(true)).collect()
}

fn allowed_of(cores: &[Core]) -> usize {
    let quota = std::thread::available_parallelism().map_or(1, usize::from);
    if cores.is_empty() { quota } else { quota.min(cores.len()) }
}

/// Cores to pin shards to, in order. As many as affinity and the cgroup's CPU quota allow, unless `wanted` sets another
/// number; when there are more shards than cores, they share cores in turn.
pub fn plan(wanted: Option<usize>) -> Vec<Option<Core>> {
    let cores = affine();
    let count = wanted.unwrap_or_else(|| allowed_of(&cores)).max(1);
    (0..count).map(|shard| cores.get(shard.checked_rem(cores.len())?).copied()).collect()
}

/// Pins the calling thread; where the system refuses, its scheduler chooses the core.
pub fn pin(core: Option<Core>) {
    let Some(core) = core else { return };
    let mut only = CpuSet::new();
    if let Err(error) = only.set(core).and_then(|()| sched_setaffinity(THIS, &only)) {
        tracing::warn!(core, %error, "a shard could not be pinned to its core");
    }
}

#[cfg(test)]
mod tests {
    use crate::shard::cores::*;

    #[test]
    fn a_count_that_is_asked_for_is_kept() {
        assert_eq!(plan(Some(5)).len(), 5);
    }

    #[test]
    fn the_automatic_count_is_at_least_one_and_no_more_than_the_system_allows() {
        let count = plan(None).len();
        assert!(count >= 1);
        assert!(count <= std::thread::available_parallelism().map_or(1, usize::from));
    }

    #[test]
    fn a_thread_that_is_pinned_has_that_core_alone() {
        let last = affine().last().copied();
        let seen = std::thread::spawn(move || {
            pin(last);
            affine()
        });
        assert_eq!(seen.join().unwrap(), Vec::from_iter(last));
    }
}
