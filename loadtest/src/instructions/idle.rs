//! What a counted shard does by itself: its tick, and what taking a count costs.
//!
//! Owns: the arithmetic that leaves the requests. Tested here with made-up counts.
//!
//! A tick costs more when it hands over log records than when there are none, so its cost is taken from requests that
//! are so far apart that each has a tick of its own; and how many ticks a count has in it is known, not guessed.

use std::time::Duration;

use super::callgrind::Counted;
use crate::compare::Failure;
use crate::compare::process::poll_until;

/// How long nothing is asked, shortly and for long.
const SHORT: Duration = Duration::from_millis(60);
const LONG: Duration = Duration::from_millis(1000);

/// Pairs of a short and a long time in which ticks are counted, and how many are looked at for as many.
const PAIRS: usize = 2;
const LOOKS: usize = 10;

/// Requests that are far apart, and how far: more than a tick.
const SPARSE: usize = 16;
const APART: Duration = Duration::from_millis(60);

const NAMELESS: &str = "no tick of the shard is seen, as if its functions had no names; count a limpet that is not \
     stripped: CARGO_PROFILE_DIST_STRIP=none cargo build --profile dist --bin limpet";

/// Instructions, and the ticks and the requests that are in them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Taken {
    /// Instructions of the shard's thread.
    pub instructions: f64,
    /// Ticks meanwhile.
    pub ticks: f64,
    /// Requests meanwhile.
    pub requests: f64,
}

/// What taking a count costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Taking(f64);

/// Counts what happens during `act`, which asks so often.
///
/// # Errors
/// When callgrind does not answer, or as `act` says.
pub fn take(
    counted: &mut Counted,
    requests: usize,
    act: impl FnOnce() -> Result<(), Failure>,
) -> Result<Taken, Failure> {
    counted.take()?;
    act()?;
    let (instructions, ticks) = counted.take()?;
    Ok(Taken { instructions: instructions as f64, ticks: ticks as f64, requests: requests as f64 })
}

/// Counts requests that are far apart, so many together.
///
/// # Errors
/// When callgrind does not answer, or as `ask` says.
pub fn take_sparse(
    counted: &mut Counted,
    together: usize,
    mut ask: impl FnMut() -> Result<(), Failure>,
) -> Result<Taken, Failure> {
    take(counted, SPARSE * together, || {
        (0..SPARSE).try_for_each(|_| {
            poll_until(APART, || false);
            ask()
        })
    })
}

impl Taking {
    /// Counts while nobody asks.
    ///
    /// # Errors
    /// When callgrind does not answer, or ticks cannot be told from what else is run.
    pub fn of(counted: &mut Counted) -> Result<Taking, Failure> {
        let mut quiet = |length: Duration| {
            take(counted, 0, || {
                poll_until(length, || false);
                Ok(())
            })
        };
        let mut pairs = Vec::new();
        for _ in 0..LOOKS {
            let pair = (quiet(SHORT)?, quiet(LONG)?);
            // On a busy machine the shard may have had no turn.
            if pair.1.ticks > pair.0.ticks {
                pairs.push(pair);
            }
            if pairs.len() == PAIRS {
                return Ok(Taking::between(&pairs));
            }
        }
        Err(Failure::Options(NAMELESS.to_owned()))
    }

    /// From counts of a short and of a long time.
    fn between(pairs: &[(Taken, Taken)]) -> Taking {
        let sum = |of: fn(&(Taken, Taken)) -> f64| pairs.iter().map(of).sum::<f64>();
        let instructions = sum(|(short, long)| long.instructions - short.instructions);
        let per_tick = instructions / sum(|(short, long)| long.ticks - short.ticks);
        let rest = sum(|(short, long)| short.instructions + long.instructions)
            - per_tick * sum(|(short, long)| short.ticks + long.ticks);
        Taking(rest / (2.0 * pairs.len() as f64))
    }

    /// What one of many requests costs, when some far apart are known as well: two counts, two unknowns, a request and
    /// a tick.
    pub fn request(self, sparse: &Taken, dense: &Taken) -> f64 {
        let (sparse_rest, dense_rest) = (sparse.instructions - self.0, dense.instructions - self.0);
        let by_ticks = sparse_rest * dense.ticks - dense_rest * sparse.ticks;
        by_ticks / (sparse.requests * dense.ticks - dense.requests * sparse.ticks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_and_what_taking_costs_are_taken_off() {
        let quiet =
            |ticks: f64| Taken { instructions: 500.0 + 4000.0 * ticks, ticks, requests: 0.0 };
        let taking = Taking::between(&[(quiet(3.0), quiet(22.0)), (quiet(4.0), quiet(21.0))]);
        assert!((taking.0 - 500.0).abs() < 1e-6, "{taking:?}");
        // A tick with records costs 9000, a request 25 000.
        let asked = |ticks: f64, requests: f64| Taken {
            instructions: 500.0 + 9000.0 * ticks + 25_000.0 * requests,
            ticks,
            requests,
        };
        let request = taking.request(&asked(21.0, 16.0), &asked(7.0, 200.0));
        assert!((request - 25_000.0).abs() < 1e-6, "{request}");
        assert_eq!(taking.request(&asked(21.0, 16.0), &asked(0.0, 200.0)).round(), 25_000.0);
    }
}
