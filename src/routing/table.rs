//! The compiled table of one listener.
//!
//! Precedence is the position alone: rules stand in ascending priority, the default last, and the
//! lowest one whose conditions all hold wins. The index only says which rules are worth a look.
//! [`Table::find`] never allocates and never locks. Tested by proptest against the naive model.
use super::{
    actions::Action,
    conditions::{Condition, HostPattern, PathPattern, Request},
    index::{Candidate, Entry, Index},
    literals::Selector,
};

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
    pub fn matches(&self, request: &Request<'_>) -> bool {
        self.conditions.iter().all(|condition| condition.matches(request))
    }
}

/// Rules ready to be searched.
#[derive(Debug)]
pub struct Table {
    /// Ascending; the last one is the default and has no conditions. Never empty.
    rules: Box<[Rule]>,
    /// For each rule, how its conditions are split between the index and verification.
    splits: Box<[Split]>,
    index: Index,
}

/// Which conditions of a rule the index stands for, and which are verified on candidates.
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

    /// The first rule by priority all of whose conditions hold; no allocation.
    #[expect(clippy::indexing_slicing, reason = "find_index gives the position of a rule")]
    pub fn find(&self, request: &Request<'_>) -> &Rule {
        // The default has no conditions, so a rule is always found and the position is in bounds.
        &self.rules[self.find_index(request)]
    }

    /// Position of that rule in [`Table::rules`].
    pub fn find_index(&self, request: &Request<'_>) -> usize {
        let default = self.rules.len() - 1;
        let best = u32::try_from(default).unwrap_or(u32::MAX);
        let verify = |candidate: Candidate| self.verify(candidate, request);
        self.index.first(request, best, &verify) as usize
    }

    /// All rules in order, the default last (named "default", priority u32::MAX).
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Why: each rule in order with the first condition that failed, up to the one that matched. For `explain`.
    pub fn explain(&self, request: &Request<'_>) -> Vec<Considered> {
        let mut considered = Vec::new();
        for (position, rule) in self.rules.iter().enumerate() {
            let failed = rule.conditions.iter().find(|condition| !condition.matches(request));
            let failed = failed.map(Condition::failure);
            let matched = failed.is_none();
            considered.push(Considered { rule: position, failed });
            if matched {
                break;
            }
        }
        considered
    }

    fn verify(&self, candidate: Candidate, request: &Request<'_>) -> bool {
        let position = candidate.rule as usize;
        let (Some(rule), Some(split)) = (self.rules.get(position), self.splits.get(position))
        else {
            return false;
        };
        let holds = |at: &usize| rule.conditions.get(*at).is_some_and(|c| c.matches(request));
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
                | Condition::Source(_) => rest.push(at),
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

/// One rule that was looked at; `failed` is `None` for the one that matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Considered {
    pub rule: usize,
    pub failed: Option<String>,
}
