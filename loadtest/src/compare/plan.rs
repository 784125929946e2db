//! How long everything takes.
//!
//! Owns: rounds and seconds, such that quick and full runs keep their promised lengths. Tested here.

use super::idle::SETTLING;
use super::scenario::{Kind, Point, Scenario, Setup};
use super::stage::Candidate;
use super::{Failure, Options};

/// What a quick run may take, with some seconds in hand of its two minutes.
const QUICK_SECONDS: f64 = 105.0;

/// What a full run may take, with some minutes in hand of its three quarters of an hour.
const FULL_SECONDS: f64 = 2400.0;

/// A measurement of a full run in which something happens twice: each third leaves the slower ones the time
/// to have it take effect.
const EVENTFUL_SECONDS_MIN: f64 = 6.0;

/// Beside measuring: starting the generator, ending it, emptying logs.
const OVERHEAD_SECONDS: f64 = 0.15;

/// Starting targets and one balancer.
const START_SECONDS: f64 = 0.7;

/// A round of clients who stay: they come one by one, and memory settles twice.
const IDLE_SECONDS: f64 = 9.0 + 2.0 * SETTLING.as_secs() as f64;

/// A measurement that ends with its last request.
const REQUESTS_SECONDS: f64 = 20.0;

/// How much longer they take to come where each makes a handshake.
const GREETING_SECONDS: f64 = 14.0;

/// What is run how often and how long.
#[derive(Debug)]
pub struct Plan {
    /// What is run.
    pub scenarios: Vec<Scenario>,
    /// How often.
    pub rounds: usize,
    /// How long each measurement takes.
    pub seconds: f64,
    /// How long each is warmed up before.
    pub warmup_seconds: f64,
    /// Whether only quick points are run.
    pub quick: bool,
    candidate_count: usize,
}

impl Plan {
    /// Plans for so many candidates.
    ///
    /// # Errors
    /// When there is nothing to run.
    pub fn new(
        options: &Options,
        scenarios: Vec<Scenario>,
        candidate_count: usize,
    ) -> Result<Plan, Failure> {
        let rounds = match (options.rounds, &options.versus, options.quick) {
            (Some(rounds), ..) => usize::try_from(rounds).unwrap_or(usize::MAX),
            (None, Some(_), _) => 8,
            (None, None, true) => 2,
            (None, None, false) => 3,
        };
        let budget = if options.quick { QUICK_SECONDS } else { FULL_SECONDS };
        let mut plan = Plan {
            scenarios,
            rounds,
            // Until it is known what fits.
            seconds: 1.0,
            warmup_seconds: 0.5,
            quick: options.quick,
            candidate_count,
        };
        if plan.scenarios.is_empty() {
            return Err(Failure::Options("there is nothing to run".to_owned()));
        }
        plan.warmup_seconds = if options.quick { 0.3 } else { 0.5 };
        plan.seconds = options.seconds.unwrap_or_else(|| plan.fitting(budget));
        Ok(plan)
    }

    /// Rounds of a scenario.
    pub fn rounds_of(&self, scenario: &Scenario) -> usize {
        self.rounds.min(scenario.rounds_max)
    }

    /// Seconds of one measurement: where something happens meanwhile, longer.
    pub fn seconds_of(&self, scenario: &Scenario) -> f64 {
        match scenario.kind {
            Kind::Load | Kind::Idle => self.seconds,
            Kind::Reload | Kind::TargetDeath if self.quick => self.seconds * 2.0,
            Kind::Reload | Kind::TargetDeath => (self.seconds * 2.0).max(EVENTFUL_SECONDS_MIN),
        }
    }

    /// How long a point is warmed up.
    pub fn warmup_of(&self, point: &Point) -> f64 {
        self.warmup_seconds + point.settling_seconds
    }

    /// What targets and balancers have to be started with, in turn.
    pub fn setups(&self) -> Vec<Setup> {
        let mut setups = Vec::new();
        for scenario in self.scenarios.iter().filter(|scenario| scenario.kind != Kind::Idle) {
            for point in &scenario.points {
                if !setups.contains(&point.setup()) {
                    setups.push(point.setup());
                }
            }
        }
        setups
    }

    /// How many measurements of the basic length there are, and what else takes time.
    fn work(&self) -> (f64, f64) {
        let candidates = self.candidate_count as f64;
        let mut runs = 0.0;
        let mut fixed = self.setups().len() as f64 * (1.0 + candidates * START_SECONDS);
        for scenario in &self.scenarios {
            let turns = self.rounds_of(scenario) as f64 * candidates;
            let count = scenario.points.len() as f64 * turns;
            fixed += turns * scenario.points.iter().map(|one| one.settling_seconds).sum::<f64>();
            match scenario.kind {
                Kind::Load => {
                    let counted = scenario.points.iter().filter(|one| one.requests > 0).count();
                    fixed += counted as f64 * turns * REQUESTS_SECONDS;
                    runs += count - counted as f64 * turns;
                }
                Kind::Idle => {
                    let greeting = scenario.points.iter().filter(|one| one.tls.is_some()).count();
                    fixed += count * IDLE_SECONDS + greeting as f64 * turns * GREETING_SECONDS;
                }
                Kind::Reload | Kind::TargetDeath if self.quick => runs += 2.0 * count,
                Kind::Reload | Kind::TargetDeath => {
                    let others = self.warmup_seconds + OVERHEAD_SECONDS;
                    fixed += count * (self.seconds_of(scenario) + others);
                }
            }
        }
        (runs, fixed)
    }

    fn fitting(&self, budget: f64) -> f64 {
        let (runs, fixed) = self.work();
        let each = (budget - fixed) / runs.max(1.0) - OVERHEAD_SECONDS - self.warmup_seconds;
        (each.clamp(0.5, 5.0) * 10.0).floor() / 10.0
    }

    fn total_seconds(&self) -> f64 {
        let (runs, fixed) = self.work();
        fixed + runs * (self.seconds + self.warmup_seconds + OVERHEAD_SECONDS)
    }

    /// What is about to happen.
    pub fn announcement(&self, candidates: &[Candidate]) -> String {
        let names: Vec<String> = candidates
            .iter()
            .map(|candidate| format!("{} {}", candidate.name, candidate.version))
            .collect();
        let points: usize = self.scenarios.iter().map(|scenario| scenario.points.len()).sum();
        format!(
            "{}: {points} points, {} rounds of {} s: about {:.0} minutes",
            names.join(", "),
            self.rounds,
            self.seconds,
            (self.total_seconds() / 60.0).ceil()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::choose;
    use super::*;
    use crate::command_line;

    fn plan(arguments: &[&str], candidates: usize) -> Plan {
        let options: Options = command_line::options(arguments).unwrap();
        let scenarios = choose(&options.scenario, options.quick).unwrap();
        Plan::new(&options, scenarios, candidates).unwrap()
    }

    #[test]
    fn runs_keep_their_promised_length_with_every_peer_there() {
        let quick = plan(&["--quick"], 10);
        assert!(quick.total_seconds() <= 120.0, "{}", quick.total_seconds());
        let full = plan(&[], 10);
        assert!(full.total_seconds() <= 2600.0, "{}", full.total_seconds());
        assert!(full.seconds >= 1.0, "{}", full.seconds);
    }

    #[test]
    fn who_asks_for_a_length_gets_it() {
        let plan = plan(&["--seconds", "7", "--rounds", "4", "--scenario", "small,idle"], 3);
        assert_eq!((plan.seconds, plan.rounds), (7.0, 4));
        assert_eq!(plan.rounds_of(&plan.scenarios[1]), 2);
    }

    #[test]
    fn points_that_agree_share_a_setup() {
        let plan = plan(&["--scenario", "small,half-load,close,rules"], 3);
        assert_eq!(plan.setups().len(), 3);
    }
}
