//! The mix of statuses, and the shares of requests that something goes wrong with.
//!
//! Owns: their notation, and drawing from them. Tested below: the notation as a table, the draws by
//! their frequency.

use std::str::FromStr;

use rand::{Rng, RngExt as _};

/// What can be wrong with a mix as it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("{0:?} is no final status: a number from 200 to 599 is")]
    Status(String),
    #[error("{0:?} is no fault: none, close, reset, stall or garbage is")]
    Fault(String),
    #[error("{0:?} is no weight: a number of 0 or more is, as in 200=98,500=2")]
    Weight(String),
    #[error("{0:?} is no share: a part of all requests is, as in close=0.1%")]
    Share(String),
    #[error("the weights are all 0")]
    Nothing,
    #[error("the shares exceed 100%")]
    TooMuch,
}

/// A final status (RFC 9110 §15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(u16);

impl Status {
    pub const OK: Status = Status(200);
    pub const BAD_REQUEST: Status = Status(400);
    pub const HEAD_TOO_LARGE: Status = Status(431);
    pub const NOT_IMPLEMENTED: Status = Status(501);

    pub const fn number(self) -> u16 {
        self.0
    }

    /// No answer with this status has content (RFC 9112 §6.3).
    pub const fn is_bare(self) -> bool {
        matches!(self.0, 204 | 304)
    }
}

impl FromStr for Status {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Status, Wrong> {
        let number = text.parse().ok().filter(|number| (200..600).contains(number));
        number.map(Status).ok_or_else(|| Wrong::Status(text.to_owned()))
    }
}

/// What is done instead of answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection is closed in an orderly way.
    Close,
    /// The connection is reset.
    Reset,
    /// Nothing comes, until the other side gives up.
    Stall,
    /// Bytes come that are no HTTP, then the connection closes.
    Garbage,
}

impl Fault {
    /// Reads a fault's name; `none` is none.
    ///
    /// # Errors
    /// When there is no such fault.
    pub fn named(name: &str) -> Result<Option<Fault>, Wrong> {
        match name {
            "none" => Ok(None),
            "close" => Ok(Some(Fault::Close)),
            "reset" => Ok(Some(Fault::Reset)),
            "stall" => Ok(Some(Fault::Stall)),
            "garbage" => Ok(Some(Fault::Garbage)),
            _ => Err(Wrong::Fault(name.to_owned())),
        }
    }
}

/// The statuses of the answers, by weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Statuses {
    /// Each status with the sum of the weights up to and with it; the last sum is above 0.
    sums: Vec<(Status, f64)>,
}

impl Statuses {
    pub fn draw(&self, random: &mut impl Rng) -> Status {
        match self.sums.as_slice() {
            [(only, _)] => *only,
            [.., (last, all)] => {
                let place = random.random::<f64>() * all;
                self.sums.iter().find(|(_, sum)| place < *sum).map_or(*last, |(status, _)| *status)
            }
            [] => Status::OK,
        }
    }
}

impl FromStr for Statuses {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Statuses, Wrong> {
        let mut sums = Vec::new();
        let mut sum = 0.0;
        for pair in text.split(',') {
            let (status, weight) = pair.split_once('=').unwrap_or((pair, "1"));
            sum += amount(weight).ok_or_else(|| Wrong::Weight(weight.to_owned()))?;
            sums.push((status.parse()?, sum));
        }
        if sum > 0.0 { Ok(Statuses { sums }) } else { Err(Wrong::Nothing) }
    }
}

/// The shares of requests that something goes wrong with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// Each fault with the sum of the shares up to and with it, of 1; never above 1.
    sums: Vec<(Fault, f64)>,
}

impl Faults {
    /// Draws the fault of one request; mostly none.
    pub fn draw(&self, random: &mut impl Rng) -> Option<Fault> {
        if self.sums.is_empty() {
            return None;
        }
        let place = random.random::<f64>();
        self.sums.iter().find(|(_, sum)| place < *sum).map(|(fault, _)| *fault)
    }
}

impl FromStr for Faults {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Faults, Wrong> {
        let mut sums = Vec::new();
        let mut percent = 0.0;
        for pair in text.split(',') {
            let (name, share) =
                pair.split_once('=').ok_or_else(|| Wrong::Share(pair.to_owned()))?;
            let digits = share.strip_suffix('%').and_then(amount);
            percent += digits.ok_or_else(|| Wrong::Share(share.to_owned()))?;
            if let Some(fault) = Fault::named(name)? {
                sums.push((fault, percent / 100.0));
            }
        }
        if percent > 100.0 { Err(Wrong::TooMuch) } else { Ok(Faults { sums }) }
    }
}

/// A finite number of 0 or more.
fn amount(text: &str) -> Option<f64> {
    text.parse().ok().filter(|amount: &f64| amount.is_finite() && *amount >= 0.0)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::SmallRng;

    use super::*;

    #[test]
    fn a_mix_that_cannot_be_meant_is_refused() {
        for (text, wrong) in [
            ("", Wrong::Status(String::new())),
            ("100", Wrong::Status("100".to_owned())),
            ("600=1", Wrong::Status("600".to_owned())),
            ("200=x", Wrong::Weight("x".to_owned())),
            ("200=-1", Wrong::Weight("-1".to_owned())),
            ("200=inf", Wrong::Weight("inf".to_owned())),
            ("200=0,500=0", Wrong::Nothing),
        ] {
            assert_eq!(text.parse::<Statuses>(), Err(wrong), "{text:?}");
        }
        for (text, wrong) in [
            ("", Wrong::Share(String::new())),
            ("close", Wrong::Share("close".to_owned())),
            ("close=1", Wrong::Share("1".to_owned())),
            ("close=-1%", Wrong::Share("-1%".to_owned())),
            ("explode=1%", Wrong::Fault("explode".to_owned())),
            ("close=60%,reset=41%", Wrong::TooMuch),
        ] {
            assert_eq!(text.parse::<Faults>(), Err(wrong), "{text:?}");
        }
    }

    #[test]
    fn each_status_comes_as_often_as_its_weight_says() {
        let mut random = SmallRng::seed_from_u64(1);
        for (text, status, expected) in [
            ("503", 503, 100_000),
            ("200=98,500=2", 200, 98_000),
            ("200=98,500=2", 500, 2_000),
            ("200=1,404=2,500=1", 404, 50_000),
            ("200=0,500=1", 200, 0),
        ] {
            let statuses: Statuses = text.parse().unwrap();
            let drawn = (0..100_000).filter(|_| statuses.draw(&mut random).number() == status);
            assert!(drawn.count().abs_diff(expected) < 500, "{status} of {text}");
        }
    }

    #[test]
    fn each_fault_comes_as_often_as_its_share_says() {
        let mut random = SmallRng::seed_from_u64(1);
        let faults: Faults = "close=0.5%,reset=10%,stall=2%,garbage=1%".parse().unwrap();
        for (name, expected) in [
            ("close", 500),
            ("reset", 10_000),
            ("stall", 2_000),
            ("garbage", 1_000),
            ("none", 86_500),
        ] {
            let fault = Fault::named(name).unwrap();
            let drawn = (0..100_000).filter(|_| faults.draw(&mut random) == fault);
            assert!(drawn.count().abs_diff(expected) < 500, "{name}");
        }
        assert_eq!(Faults::default().draw(&mut random), None);
        let always: Faults = "stall=100%".parse().unwrap();
        assert!((0..1000).all(|_| always.draw(&mut random) == Some(Fault::Stall)));
    }
}
