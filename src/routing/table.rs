//! The compiled table of one listener.
//!
//! Position alone gives precedence: rules stand in ascending priority, the default last, and the lowest one whose
//! conditions all hold wins. The index only finds the rules to look at. [`Table::find_index`] never allocates, never
//! locks and has its limit. Tested by proptest against the naive model.
use std::cell::Cell;

use super::{
    actions::Action,
    budget::Budget,
    conditions::{Condition, HostPattern, PathPattern, Request},
    index::{Entry, Index},
    literals::Selector,
    rule::{Candidate, Rule},
};

/// The cost of looking at one candidate without its conditions, in instructions.
const CANDIDATE: usize = 24;

/// Rules ready to be searched.
#[derive(Debug)]
pub struct Table {
    /// Ascending; the last one is the default and has no conditions. Never empty.
    rules: Box<[Rule]>,
    /// For each rule, how its conditions are split between the index and verification.
    splits: Box<[Split]>,
    index: Index,
}

/// Which conditions of a rule the index has proved, and which must be verified on candidates.
#[derive(Debug, Default)]
struct Split {
    host: Option<usize>,
    path: Option<usize>,
    rest: Box<[usize]>,
}

impl Table {
    /// Rules of equal priority keep their order.
    pub fn compile(mut rules: Vec<Rule>, default: Action) -> Table {
        rules.sort_by_key(|rule| rule.priority);
        rules.push(Rule {
            name: "default".into(),
            priority: u32::MAX,
            conditions: Vec::new(),
            action: default,
        });
        let splits: Box<[Split]> = rules.iter().map(Split::of).collect();
        let mut index = Index::default();
        for (position, (rule, split)) in (0..).zip(rules.iter().zip(&splits)) {
            index.insert(&Entry {
                rule: position,
                hosts: split.hosts(rule),
                paths: split.paths(rule),
                selector: Selector::of(rule).as_ref(),
            });
        }
        index.finish();
        Table { rules: rules.into(), splits, index }
    }

    /// Position in [`Table::rules`] of the first rule by priority all of whose conditions hold; no allocation. The
    /// default has no conditions, so a rule is always found.
    ///
    /// # Errors
    /// Finding the rule costs more than a request may.
    #[inline]
    pub fn find_index(&self, request: &Request<'_>) -> Result<usize, TooCostly> {
        self.find_index_within(request, &Budget::of_request())
    }

    pub(super) fn find_index_within(
        &self,
        request: &Request<'_>,
        budget: &Budget,
    ) -> Result<usize, TooCostly> {
        let default = u32::try_from(self.rules.len() - 1).unwrap_or(u32::MAX);
        let last = Cell::new(default);
        let verify = |candidate: Candidate| {
            if !budget.spend(CANDIDATE) {
                return false;
            }
            last.set(candidate.rule);
            self.verify(candidate, request, budget)
        };
        let found = self.index.first(request, default, budget, &verify);
        match budget.is_spent() {
            // The found rule may not be the first by priority: one before it could not be paid for.
            true => Err(TooCostly { rule: last.get() as usize }),
            false => Ok(found as usize),
        }
    }

    /// All rules in order, the default last (named "default", priority u32::MAX).
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Each rule in order with the first condition that failed, up to the one that matched. For `explain`.
    pub fn explain(&self, request: &Request<'_>) -> Vec<Considered> {
        let mut considered = Vec::new();
        for (position, rule) in self.rules.iter().enumerate() {
            let holds = |condition: &Condition| condition.matches(request, &Budget::unlimited());
            let failed = rule.conditions.iter().find(|condition| !holds(condition));
            let failed = failed.map(Condition::failure);
            let matched = failed.is_none();
            considered.push(Considered { rule: position, failed });
            if matched {
                break;
            }
        }
        considered
    }

    fn verify(&self, candidate: Candidate, request: &Request<'_>, budget: &Budget) -> bool {
        let position = candidate.rule as usize;
        let (Some(rule), Some(split)) = (self.rules.get(position), self.splits.get(position))
        else {
            return false;
        };
        let holds =
            |at: &usize| rule.conditions.get(*at).is_some_and(|c| c.matches(request, budget));
        (!candidate.verify_path || split.path.iter().all(holds))
            && (!candidate.verify_host || split.host.iter().all(holds))
            && split.rest.iter().all(holds)
    }
}

impl Split {
    fn of(rule: &Rule) -> Split {
        let mut split = Split::default();
        let mut rest = Vec::new();
        for (at, condition) in rule.conditions.iter().enumerate() {
            match condition {
                Condition::Host(_) if split.host.is_none() => split.host = Some(at),
                Condition::Path(_) if split.path.is_none() => split.path = Some(at),
                Condition::Host(_)
                | Condition::Path(_)
                | Condition::Method(_)
                | Condition::Header { .. }
                | Condition::Query(_)
                | Condition::Source(_)
                | Condition::Sni(_)
                | Condition::ClientCertificate(_) => rest.push(at),
            }
        }
        split.rest = rest.into();
        split
    }

    fn hosts<'r>(&self, rule: &'r Rule) -> Option<&'r [HostPattern]> {
        match rule.conditions.get(self.host?)? {
            Condition::Host(patterns) => Some(patterns),
            _ => None,
        }
    }

    fn paths<'r>(&self, rule: &'r Rule) -> Option<&'r [PathPattern]> {
        match rule.conditions.get(self.path?)? {
            Condition::Path(patterns) => Some(patterns),
            _ => None,
        }
    }
}

/// A request whose rule costs too much to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooCostly {
    /// The last rule that was looked at.
    pub rule: usize,
}

impl TooCostly {
    /// The status and the stable word of limpet's answer.
    pub const STATUS: u16 = 400;
    pub const CODE: &str = "routing_cost";
}

/// One rule that was looked at; `failed` is `None` for the one that matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Considered {
    pub rule: usize,
    pub failed: Option<String>,
}
