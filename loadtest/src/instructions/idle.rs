//! What a counted shard does while nobody asks: its tick, and what taking a count costs.
//!
//! Owns: the arithmetic that leaves the requests. Tested here with made-up counts.

use std::time::{Duration, Instant};

use super::callgrind::Counted;
use crate::compare::Failure;
use crate::compare::process::poll_until;

/// How long nothing is asked, shortly and for long.
const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_millis(1100);

/// How often both are taken.
const REPEATS: usize = 3;

/// Instructions in a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Taken {
    instructions: f64,
    seconds: f64,
}

/// What is counted without any request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Idle {
    per_second: f64,
    per_taking: f64,
}

/// Counts what happens during `act`.
///
/// # Errors
/// When callgrind does not answer, or as `act` says.
pub fn take(
    counted: &mut Counted,
    act: impl FnOnce() -> Result<(), Failure>,
) -> Result<Taken, Failure> {
    counted.take()?;
    let began = Instant::now();
    act()?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(Taken { instructions: counted.take()? as f64, seconds })
}

impl Idle {
    /// Counts while nobody asks.
    ///
    /// # Errors
    /// When callgrind does not answer.
    pub fn of(counted: &mut Counted) -> Result<Idle, Failure> {
        let mut quiet = |length: Duration| {
            take(counted, || {
                poll_until(length, || false);
                Ok(())
            })
        };
        let mut pairs = Vec::new();
        for _ in 0..REPEATS {
            pairs.push((quiet(SHORT)?, quiet(LONG)?));
        }
        Ok(Idle::between(&pairs))
    }

    /// From counts of a short and of a long time.
    fn between(pairs: &[(Taken, Taken)]) -> Idle {
        let sum = |of: fn(&(Taken, Taken)) -> f64| pairs.iter().map(of).sum::<f64>();
        let instructions = sum(|(short, long)| long.instructions - short.instructions);
        let per_second = instructions / sum(|(short, long)| long.seconds - short.seconds);
        let rest = sum(|(short, long)| short.instructions + long.instructions)
            - per_second * sum(|(short, long)| short.seconds + long.seconds);
        Idle { per_second, per_taking: rest / (2.0 * pairs.len() as f64) }
    }

    /// What is left of a count for the requests in it.
    pub fn less(&self, taken: &Taken) -> f64 {
        taken.instructions - self.per_taking - self.per_second * taken.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_by_itself_and_what_taking_costs_are_taken_off() {
        let at = |seconds: f64| Taken { instructions: 500.0 + 80_000.0 * seconds, seconds };
        let idle = Idle::between(&[(at(0.1), at(1.1)), (at(0.12), at(1.3))]);
        assert!((idle.per_second - 80_000.0).abs() < 1e-6, "{idle:?}");
        assert!((idle.per_taking - 500.0).abs() < 1e-6, "{idle:?}");
        let asked = Taken { instructions: at(0.4).instructions + 25_000.0, seconds: 0.4 };
        assert!((idle.less(&asked) - 25_000.0).abs() < 1e-6);
    }
}
