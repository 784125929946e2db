//! Which cores shards may use, and pinning a thread to one.

/// How many cores affinity and the cgroup's CPU quota allow.
pub fn allowed() -> usize {
    allowed_of(&core_affinity::get_core_ids().unwrap_or_default())
}

fn allowed_of(cores: &[core_affinity::CoreId]) -> usize {
    let quota = std::thread::available_parallelism().map_or(1, usize::from);
    if cores.is_empty() { quota } else { quota.min(cores.len()) }
}

/// Cores to pin shards to, in order. As many as affinity and the cgroup's CPU quota allow, unless
/// `wanted` says otherwise; more shards than cores share them in turn.
pub fn plan(wanted: Option<usize>) -> Vec<Option<core_affinity::CoreId>> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let count = wanted.unwrap_or_else(|| allowed_of(&cores)).max(1);
    (0..count).map(|shard| cores.get(shard.checked_rem(cores.len())?).copied()).collect()
}

/// Pins the calling thread; where the system refuses, the thread runs wherever it is put.
pub fn pin(core: Option<core_affinity::CoreId>) {
    if let Some(core) = core
        && !core_affinity::set_for_current(core)
    {
        tracing::warn!(core = core.id, "a shard could not be pinned to its core");
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
}
