//! How long an answer is held back.
//!
//! Owns: the distributions and their notation. Never: a clock. Tested below: the notation as a table,
//! the distributions by their range and mean.

use std::str::FromStr;
use std::time::Duration;

use rand::{Rng, RngExt as _};

/// Longest delay, so that no arithmetic on instants can fail.
const DELAY_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What can be wrong with a delay as it is written.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Wrong {
    #[error("{0:?} is no delay: fixed:1ms, uniform:1ms-5ms or exponential:2ms is")]
    Form(String),
    #[error("{text:?} is no duration: {error}")]
    Duration { text: String, error: humantime::DurationError },
    #[error("{0:?} is too long: a delay is a day at most")]
    TooLong(String),
    #[error("{0:?} ends before it begins")]
    Backwards(String),
}

/// A distribution of delays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    Fixed(Duration),
    /// Each duration from the first to the second is equally likely.
    Uniform(Duration, Duration),
    /// Exponentially distributed with this mean: many short ones, few long ones, as of a server whose
    /// work is now and then much more than usual.
    Exponential(Duration),
}

impl Delay {
    /// Draws one delay.
    pub fn draw(self, random: &mut impl Rng) -> Duration {
        match self {
            Delay::Fixed(delay) => delay,
            Delay::Uniform(least, most) => least + (most - least).mul_f64(random.random::<f64>()),
            Delay::Exponential(mean) => {
                // 1 - u lies in (0, 1], whose logarithm is finite.
                let times = -(1.0 - random.random::<f64>()).ln();
                mean.mul_f64(times).min(DELAY_MAX)
            }
        }
    }
}

impl FromStr for Delay {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Delay, Wrong> {
        let (kind, value) = text.split_once(':').ok_or_else(|| Wrong::Form(text.to_owned()))?;
        match kind {
            "fixed" => Ok(Delay::Fixed(duration(value)?)),
            "exponential" => Ok(Delay::Exponential(duration(value)?)),
            "uniform" => {
                let (least, most) =
                    value.split_once('-').ok_or_else(|| Wrong::Form(text.to_owned()))?;
                let (least, most) = (duration(least)?, duration(most)?);
                if most < least {
                    return Err(Wrong::Backwards(value.to_owned()));
                }
                Ok(Delay::Uniform(least, most))
            }
            _ => Err(Wrong::Form(text.to_owned())),
        }
    }
}

fn duration(text: &str) -> Result<Duration, Wrong> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| Wrong::Duration { text: text.to_owned(), error })?;
    if duration > DELAY_MAX { Err(Wrong::TooLong(text.to_owned())) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::SmallRng;

    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn delays_are_read_as_they_are_written() {
        let table = [
            ("fixed:1ms", Some(Delay::Fixed(ms(1)))),
            ("fixed:0s", Some(Delay::Fixed(ms(0)))),
            ("fixed:250us", Some(Delay::Fixed(Duration::from_micros(250)))),
            ("uniform:1ms-5ms", Some(Delay::Uniform(ms(1), ms(5)))),
            ("uniform:2ms-2ms", Some(Delay::Uniform(ms(2), ms(2)))),
            ("exponential:2s", Some(Delay::Exponential(ms(2000)))),
            ("", None),
            ("1ms", None),
            ("fixed:", None),
            ("fixed:1", None),
            ("fixed:25h", None),
            ("uniform:1ms", None),
            ("uniform:5ms-1ms", None),
            ("normal:1ms", None),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<Delay>().ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn delays_are_distributed_as_their_name_says() {
        const COUNT: u32 = 100_000;
        let mut random = SmallRng::seed_from_u64(1);
        // The mean, the least and the most that may come.
        let table = [
            (Delay::Fixed(ms(3)), ms(3), ms(3), ms(3)),
            (Delay::Uniform(ms(1), ms(5)), ms(3), ms(1), ms(5)),
            (Delay::Exponential(ms(2)), ms(2), ms(0), DELAY_MAX),
        ];
        for (delay, mean, least, most) in table {
            let drawn: Vec<_> = (0..COUNT).map(|_| delay.draw(&mut random)).collect();
            assert!(drawn.iter().all(|drawn| (least..=most).contains(drawn)), "{delay:?}");
            let found = drawn.iter().sum::<Duration>() / COUNT;
            assert!(found.abs_diff(mean) < mean / 50, "{delay:?} has a mean of {found:?}");
        }
        // A share of 1/e is longer than the mean.
        let long = (0..COUNT).filter(|_| Delay::Exponential(ms(2)).draw(&mut random) > ms(2));
        assert!((35_000..=38_500).contains(&long.count()));
    }
}
