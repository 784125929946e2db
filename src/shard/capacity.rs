//! Whether the system has the descriptors and cores that the file asks for.
//!
//! Warns with the value that would fit, and changes nothing: the file is followed as it stands. Tested beside it.

use crate::snapshot::ProcessOptions;

/// Descriptors of a shard besides its listeners: its ring or epoll instance, its eventfd, and its reserves.
const OF_A_SHARD: u64 = 5;
/// Descriptors of the rest of the process: logs, signals, checks, a few of the admin API's connections.
const OF_THE_PROCESS: u64 = 32;
/// More shards for each core than this are hardly intended.
const SHARDS_PER_CORE_MAX: usize = 2;

/// The limits of the system.
#[derive(Debug, Clone, Copy)]
pub struct Given {
    /// `RLIMIT_NOFILE`.
    pub descriptors: u64,
    /// Cores that affinity and cgroup limits allow.
    pub cores: usize,
}

/// One sentence for each setting that does not fit; `listeners`: how many there are.
pub fn warnings(options: &ProcessOptions, listeners: usize, given: Given) -> Vec<String> {
    let shards = options.shards.unwrap_or(given.cores);
    let connections =
        options.connections.and_then(|count| of_connections(count, shards, listeners, given));
    of_shards(shards, given.cores).into_iter().chain(connections).collect()
}

fn of_shards(shards: usize, cores: usize) -> Option<String> {
    if shards <= cores.saturating_mul(SHARDS_PER_CORE_MAX) {
        return None;
    }
    let cores = match cores {
        1 => "1 core".to_owned(),
        count => format!("{count} cores"),
    };
    Some(format!(
        "process.shards = {shards} on {cores}: shards beyond one for each core take turns on it, and each costs \
         memory of its own; \"auto\" is one for each core"
    ))
}

fn of_connections(
    connections: usize,
    shards: usize,
    listeners: usize,
    given: Given,
) -> Option<String> {
    let each = OF_A_SHARD.saturating_add(listeners as u64);
    let own = OF_THE_PROCESS.saturating_add((shards as u64).saturating_mul(each));
    // One descriptor for the client and one for a target.
    let needed = (connections as u64).saturating_mul(2).saturating_add(own);
    if needed <= given.descriptors {
        return None;
    }
    let remedy = match given.descriptors.saturating_sub(own) / 2 {
        0 => "raise it".to_owned(),
        fitting => format!("raise it, or set process.connections = {fitting} at most"),
    };
    Some(format!(
        "process.connections = {connections} may need {needed} descriptors, one to each client, one to its target and \
         about {own} more, but RLIMIT_NOFILE is {}: {remedy} (LimitNOFILE= of the unit, or ulimit -n)",
        given.descriptors
    ))
}

#[cfg(test)]
mod tests {
    use crate::shard::capacity::*;

    const GIVEN: Given = Given { descriptors: 1024, cores: 2 };

    fn said(shards: usize, connections: usize) -> Vec<String> {
        of_shards(shards, GIVEN.cores)
            .into_iter()
            .chain(of_connections(connections, shards, 1, GIVEN))
            .collect()
    }

    #[test]
    fn what_fits_is_not_warned_of() {
        assert!(said(2, 490).is_empty());
        assert!(said(4, 484).is_empty());
    }

    #[test]
    fn connections_that_do_not_fit_are_warned_of_with_the_number_that_does() {
        let said = said(2, 491);
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("RLIMIT_NOFILE is 1024"), "{said:?}");
        assert!(said[0].contains("process.connections = 490 at most"), "{said:?}");
    }

    #[test]
    fn shards_that_far_outnumber_the_cores_are_warned_of() {
        let said = said(1024, 1);
        assert!(said[0].contains("process.shards = 1024 on 2 cores"), "{said:?}");
        assert!(said[1].contains("RLIMIT_NOFILE"), "their own descriptors count too: {said:?}");
    }
}
