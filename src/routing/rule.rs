//! A rule, and a rule that may match a request. `table` and `index` make the search fast.

use super::actions::Action;
#[cfg(any(test, feature = "internals"))]
use super::budget::Budget;
use super::conditions::Condition;
#[cfg(any(test, feature = "internals"))]
use super::conditions::Request;

/// One rule of the file. Lower `priority` first; the default rule has none and stands last.
#[derive(Debug, Clone)]
pub struct Rule {
    pub name: Box<str>,
    pub priority: u32,
    pub conditions: Vec<Condition>,
    pub action: Action,
}

impl Rule {
    /// Whether all conditions hold: the meaning of a rule, value by value.
    #[cfg(any(test, feature = "internals"))]
    pub fn matches(&self, request: &Request<'_>) -> bool {
        self.conditions.iter().all(|condition| condition.matches(request, &Budget::unlimited()))
    }
}

/// A rule that may match; conditions that the index has proved need not be verified.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    /// Position among the rules.
    pub rule: u32,
    pub verify_host: bool,
    pub verify_path: bool,
}
