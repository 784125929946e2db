//! Which program runs on which core.
//!
//! Owns: the split of the cores that the harness may use. Never: a core for a balancer that something
//! else runs on. Tested here with made-up machines.

use std::fs;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use serde::Serialize;

use super::Failure;

/// Who runs where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cores {
    /// The balancer that is measured, alone.
    pub balancer: Vec<usize>,
    /// The generator and the harness.
    pub generator: Vec<usize>,
    /// The targets; with two cores, the generator's.
    pub targets: Vec<usize>,
}

impl Cores {
    /// Splits the cores that this process may run on, `balancer_count` of them for the balancer.
    ///
    /// # Errors
    /// When there are too few.
    pub fn split(balancer_count: usize) -> Result<Cores, Failure> {
        let allowed = sched_getaffinity(Pid::from_raw(0))
            .map_err(|error| Failure::Cores(error.to_string()))?;
        let all: Vec<usize> =
            (0..CpuSet::count()).filter(|&core| allowed.is_set(core).unwrap_or(false)).collect();
        split(&all, balancer_count, siblings)
    }
}

/// The hardware threads that share a core with this one, itself included.
fn siblings(core: usize) -> Vec<usize> {
    let path = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
    fs::read_to_string(path).map(|text| list(text.trim())).unwrap_or_else(|_| vec![core])
}

/// Reads `0-2,5`.
fn list(text: &str) -> Vec<usize> {
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) {
            cores.extend(first..=last);
        }
    }
    cores
}

fn split(
    all: &[usize],
    balancer_count: usize,
    siblings: impl Fn(usize) -> Vec<usize>,
) -> Result<Cores, Failure> {
    let balancer_count = balancer_count.max(1);
    if all.len() <= balancer_count {
        return Err(Failure::Cores(format!(
            "this process may use {} of the machine's cores, and {} are needed: {balancer_count} for the \
             balancer alone, and at least one for the generator and the targets, because what shares a \
             core with the balancer would be measured with it",
            all.len(),
            balancer_count + 1
        )));
    }
    let (balancer, rest) = all.split_at(balancer_count);
    // The other hardware thread of a balancer's core stays idle where enough is left without it.
    let apart: Vec<usize> = rest
        .iter()
        .copied()
        .filter(|&core| !balancer.iter().any(|&its| siblings(its).contains(&core)))
        .collect();
    let rest = if apart.len() >= 2 { &apart[..] } else { rest };
    let (generator, targets) = match rest.len() {
        1 => (rest, rest),
        count => rest.split_at(count.div_ceil(2)),
    };
    Ok(Cores {
        balancer: balancer.to_vec(),
        generator: generator.to_vec(),
        targets: targets.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alone(core: usize) -> Vec<usize> {
        vec![core]
    }

    #[test]
    fn one_core_is_refused_with_the_reason() {
        let error = split(&[0], 1, alone).unwrap_err().to_string();
        assert!(error.contains("1 of the machine's cores") && error.contains("alone"), "{error}");
    }

    #[test]
    fn with_two_the_generator_and_the_targets_share_one() {
        let cores = split(&[0, 1], 1, alone).unwrap();
        assert_eq!((cores.balancer, cores.generator, cores.targets), (vec![0], vec![1], vec![1]));
    }

    #[test]
    fn with_more_everyone_has_their_own() {
        let cores = split(&[0, 1, 2, 3, 4], 2, alone).unwrap();
        assert_eq!(
            (cores.balancer, cores.generator, cores.targets),
            (vec![0, 1], vec![2, 3], vec![4])
        );
    }

    #[test]
    fn the_other_thread_of_the_balancers_core_stays_idle() {
        let pairs = |core: usize| vec![core % 4, core % 4 + 4];
        let cores = split(&[0, 1, 2, 3, 4, 5, 6, 7], 1, pairs).unwrap();
        assert_eq!(cores.balancer, [0]);
        assert!(!cores.generator.contains(&4) && !cores.targets.contains(&4));
    }

    #[test]
    fn lists_of_cores_are_read() {
        assert_eq!(list("0-2,5"), [0, 1, 2, 5]);
        assert_eq!(list("3"), [3]);
    }
}
