//! The effect of a check's result on a target's health: pure, from counts of results in a row.
//!
//! Never reads a clock or a target. The operator has precedence: a target that drains or is unused stays so, whatever
//! its checks say. Tested below as the full table of transitions.

use crate::group::state::Health;

/// How many results in a row turn a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Passed checks that make an unhealthy target healthy.
    pub rise: u32,
    /// Failed checks that make a healthy target unhealthy.
    pub fall: u32,
}

/// Results of one kind since the last of the other kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Streak {
    passed: u32,
    failed: u32,
}

/// The turn of a target's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// [`Health::Healthy`] or [`Health::Unhealthy`].
    pub to: Health,
    /// Results in a row that made it turn.
    pub in_a_row: u32,
    /// Whether it was the first check of a target without any result.
    pub is_first: bool,
}

impl Streak {
    /// Notes a result for a target whose checks gave it `health` until now. `at_once` is true for a check after gateway
    /// errors: its failure turns the target without waiting for more.
    pub fn note(
        &mut self,
        health: Health,
        passed: bool,
        thresholds: Thresholds,
        at_once: bool,
    ) -> Option<Turn> {
        *self = match passed {
            true => Streak { passed: self.passed.saturating_add(1), failed: 0 },
            false => Streak { passed: 0, failed: self.failed.saturating_add(1) },
        };
        let to = if passed { Health::Healthy } else { Health::Unhealthy };
        let in_a_row = self.passed.max(self.failed);
        let turns = match (health, passed) {
            (Health::Initial, _) => true,
            (Health::Healthy, false) => at_once || in_a_row >= thresholds.fall,
            (Health::Unhealthy, true) => in_a_row >= thresholds.rise,
            (Health::Healthy, true) | (Health::Unhealthy, false) => false,
            (Health::Draining | Health::Unused, _) => {
                *self = Streak::default();
                false
            }
        };
        turns.then_some(Turn { to, in_a_row, is_first: health == Health::Initial })
    }
}

#[cfg(test)]
mod tests {
    use crate::control::health::machine::*;

    const THRESHOLDS: Thresholds = Thresholds { rise: 2, fall: 3 };

    /// Every health, with every number of earlier results that matters, and either result.
    #[test]
    fn the_table_of_transitions() {
        use Health::*;
        let none = Streak::default();
        let passed = |passed| Streak { passed, failed: 0 };
        let failed = |failed| Streak { passed: 0, failed };
        let turn = |to, in_a_row, is_first| Some(Turn { to, in_a_row, is_first });
        // health, results before, passed, results after, turn
        let table = [
            (Initial, none, true, passed(1), turn(Healthy, 1, true)),
            (Initial, none, false, failed(1), turn(Unhealthy, 1, true)),
            (Healthy, none, true, passed(1), None),
            (Healthy, passed(7), true, passed(8), None),
            (Healthy, passed(7), false, failed(1), None),
            (Healthy, failed(1), false, failed(2), None),
            (Healthy, failed(1), true, passed(1), None),
            (Healthy, failed(2), false, failed(3), turn(Unhealthy, 3, false)),
            (Healthy, failed(9), false, failed(10), turn(Unhealthy, 10, false)),
            (Unhealthy, none, false, failed(1), None),
            (Unhealthy, failed(3), false, failed(4), None),
            (Unhealthy, failed(3), true, passed(1), None),
            (Unhealthy, passed(1), false, failed(1), None),
            (Unhealthy, passed(1), true, passed(2), turn(Healthy, 2, false)),
            (Draining, none, true, none, None),
            (Draining, failed(2), false, none, None),
            (Unused, none, true, none, None),
            (Unused, failed(2), false, none, None),
        ];
        for (health, before, result, after, turns) in table {
            let mut streak = before;
            assert_eq!(
                (streak.note(health, result, THRESHOLDS, false), streak),
                (turns, after),
                "{health:?} {before:?} {result}"
            );
        }
    }

    #[test]
    fn a_check_after_gateway_errors_waits_for_no_other_when_it_fails() {
        let mut streak = Streak::default();
        assert_eq!(streak.note(Health::Healthy, true, THRESHOLDS, true), None);
        let turn = Turn { to: Health::Unhealthy, in_a_row: 1, is_first: false };
        assert_eq!(streak.note(Health::Healthy, false, THRESHOLDS, true), Some(turn));
        let mut rising = Streak::default();
        assert_eq!(rising.note(Health::Unhealthy, true, THRESHOLDS, true), None);
    }

    #[test]
    fn one_is_enough_where_the_settings_say_so() {
        let once = Thresholds { rise: 1, fall: 1 };
        let mut streak = Streak::default();
        let fallen = streak.note(Health::Healthy, false, once, false);
        assert_eq!(fallen.map(|turn| turn.to), Some(Health::Unhealthy));
        let risen = streak.note(Health::Unhealthy, true, once, false);
        assert_eq!(risen.map(|turn| turn.to), Some(Health::Healthy));
    }
}
