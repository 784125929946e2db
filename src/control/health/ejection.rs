//! Passive ejection: which target is kept out after gateway errors in a row, and for how long. Pure; time is an
//! argument, counted from any fixed moment.
//!
//! As in Envoy's outlier detection, each ejection in a row lasts twice as long as the one before, up to a limit, and at
//! most a share of the group is out at once, but always one target may be, however small the group (unless the share is
//! 0). Unlike Envoy, limpet never ejects the last healthy target: no target would be left for its requests and
//! sessions. Tested below.

use std::time::Duration;

/// The settings of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Gateway errors in a row; 0 = no target is ejected.
    pub errors: u32,
    pub time: Duration,
    pub time_max: Duration,
    /// Most of the targets in service that may be out at once, in percent.
    pub percent_max: u32,
}

/// The numbers of a group's targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Population {
    /// Neither draining nor unused.
    pub in_service: usize,
    /// Of those in service.
    pub ejected: usize,
    /// Of those in service, neither unhealthy nor ejected.
    pub healthy: usize,
}

/// Why a target with too many errors is not ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No other target is healthy.
    LastHealthy,
    /// The group's share of ejected targets is used up.
    TooMany,
}

impl Refusal {
    /// In words for people.
    pub fn why(self) -> &'static str {
        match self {
            Refusal::LastHealthy => "no other target is healthy",
            Refusal::TooMany => "as many targets are ejected as may be",
        }
    }
}

/// Whether a draining target may be given up: it takes no new requests, so only the other targets matter.
pub fn may_give_up(population: &Population, limits: &Limits) -> Result<(), Refusal> {
    match (population.healthy, limits.percent_max) {
        (0, _) => Err(Refusal::LastHealthy),
        (_, 0) => Err(Refusal::TooMany),
        _ => Ok(()),
    }
}

/// Whether one more healthy target may be ejected.
pub fn may_eject(population: &Population, limits: &Limits) -> Result<(), Refusal> {
    if population.healthy <= 1 {
        return Err(Refusal::LastHealthy);
    }
    let after = population.ejected.saturating_add(1);
    let share = (after as u64).saturating_mul(100);
    let allowed = (population.in_service as u64).saturating_mul(u64::from(limits.percent_max));
    let is_first = population.ejected == 0 && limits.percent_max > 0;
    if is_first || share <= allowed { Ok(()) } else { Err(Refusal::TooMany) }
}

/// The ejections of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ejection {
    until: Option<Duration>,
    /// How many there were without a long enough time between them.
    in_a_row: u32,
    /// The planned length of the last one.
    last: Duration,
    /// When it began.
    began: Duration,
    /// When it ended.
    ended: Duration,
    /// Checks that have passed since it began, without one that failed.
    passed: u32,
}

impl Ejection {
    /// When the ejection that runs is over.
    pub fn until(&self) -> Option<Duration> {
        self.until
    }

    pub fn is_over(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    /// Ejects, and returns for how long. A target that has stayed in service for as long as its last ejection lasted
    /// starts over.
    pub fn begin(&mut self, now: Duration, limits: &Limits) -> Duration {
        let has_recovered = now.saturating_sub(self.ended) >= self.last;
        self.in_a_row = if has_recovered { 1 } else { self.in_a_row.saturating_add(1) };
        let doublings = self.in_a_row.saturating_sub(1).min(31);
        self.last = limits.time.saturating_mul(1 << doublings).min(limits.time_max);
        self.until = Some(now.saturating_add(self.last));
        self.began = now;
        self.passed = 0;
        self.last
    }

    /// Notes a check that began at `began`; returns whether `rise` checks in a row have passed that began after the
    /// ejection. The check that the ejection requests begins with it, and does not count.
    pub fn note_check(&mut self, began: Duration, passed: bool, rise: u32) -> bool {
        if self.until.is_none() || began <= self.began {
            return false;
        }
        self.passed = if passed { self.passed.saturating_add(1) } else { 0 };
        passed && self.passed >= rise
    }

    /// Ends the ejection, for whatever reason.
    pub fn end(&mut self, now: Duration) {
        self.until = None;
        self.ended = now;
    }
}

#[cfg(test)]
mod tests {
    use crate::control::health::ejection::*;

    const LIMITS: Limits = Limits {
        errors: 5,
        time: Duration::from_secs(30),
        time_max: Duration::from_secs(300),
        percent_max: 50,
    };

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn each_ejection_in_a_row_doubles_up_to_the_limit() {
        let mut ejection = Ejection::default();
        let mut now = s(1_000);
        for seconds in [30, 60, 120, 240, 300, 300] {
            assert_eq!(ejection.begin(now, &LIMITS), s(seconds));
            assert_eq!(ejection.until(), Some(now + s(seconds)));
            assert!(!ejection.is_over(now + s(seconds) - Duration::from_millis(1)));
            now += s(seconds);
            assert!(ejection.is_over(now));
            ejection.end(now);
            assert!(!ejection.is_over(now), "it is in");
            now += s(seconds - 1);
        }
    }

    #[test]
    fn who_stays_in_for_as_long_as_it_was_out_starts_over() {
        let mut ejection = Ejection::default();
        ejection.begin(s(0), &LIMITS);
        ejection.end(s(30));
        assert_eq!(ejection.begin(s(59), &LIMITS), s(60));
        ejection.end(s(119));
        assert_eq!(ejection.begin(s(179), &LIMITS), s(30));
    }

    #[test]
    fn checks_in_a_row_that_began_later_end_an_ejection() {
        let mut ejection = Ejection::default();
        assert!(!ejection.note_check(s(1), true, 1), "it is in");
        ejection.begin(s(10), &LIMITS);
        assert!(!ejection.note_check(s(9), true, 1), "it began before");
        assert!(!ejection.note_check(s(10), true, 1), "it began with the ejection");
        for (began, passed, ends) in
            [(11, true, false), (12, false, false), (13, true, false), (14, true, true)]
        {
            assert_eq!(ejection.note_check(s(began), passed, 2), ends, "{began}");
        }
        ejection.end(s(15));
        ejection.begin(s(20), &LIMITS);
        assert!(!ejection.note_check(s(21), true, 2), "earlier ones count no more");
        assert!(ejection.note_check(s(22), true, 2));
    }

    #[test]
    fn a_thousand_ejections_in_a_row_overflow_nothing() {
        let limits = Limits { time_max: Duration::MAX, ..LIMITS };
        let mut ejection = Ejection::default();
        for _ in 0..1_000 {
            ejection.begin(s(1), &limits);
            ejection.end(s(1));
        }
        assert_eq!(ejection.last, s(30) * (1 << 31));
    }

    #[test]
    fn who_drains_is_given_up_only_where_another_serves_and_ejection_is_allowed() {
        let given_up = |healthy, percent_max| {
            let population = Population { in_service: 3, ejected: 2, healthy };
            may_give_up(&population, &Limits { percent_max, ..LIMITS })
        };
        assert_eq!(given_up(1, 50), Ok(()), "the share is for those who take new requests");
        assert_eq!(given_up(0, 50), Err(Refusal::LastHealthy));
        assert_eq!(given_up(1, 0), Err(Refusal::TooMany));
    }

    #[test]
    fn no_more_than_the_share_is_out_but_one_may_always_be() {
        // in service, ejected, healthy, percent, verdict
        for (in_service, ejected, healthy, percent_max, verdict) in [
            (2, 0, 2, 50, Ok(())),
            (3, 0, 3, 50, Ok(())),
            (3, 1, 2, 50, Err(Refusal::TooMany)),
            (4, 1, 3, 50, Ok(())),
            (4, 2, 2, 50, Err(Refusal::TooMany)),
            (5, 0, 5, 10, Ok(())),
            (5, 1, 4, 10, Err(Refusal::TooMany)),
            (5, 0, 5, 0, Err(Refusal::TooMany)),
            (4, 2, 2, 100, Ok(())),
            (4, 3, 1, 100, Err(Refusal::LastHealthy)),
            (1, 0, 1, 100, Err(Refusal::LastHealthy)),
            (3, 0, 1, 50, Err(Refusal::LastHealthy)),
        ] {
            let population = Population { in_service, ejected, healthy };
            let limits = Limits { percent_max, ..LIMITS };
            assert_eq!(may_eject(&population, &limits), verdict, "{population:?} {percent_max} %");
        }
    }
}
