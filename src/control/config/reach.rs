//! Rules that no request reaches, because one before them takes all that they would.
//!
//! A thousand rules are not compared with each other: a rule is looked for among those before it by what its own
//! host or path begins or ends with. What is left to compare is bounded, and what is beyond the bound stays
//! unsaid. Tested with `rule_notes`.

use std::collections::{BTreeSet, HashMap};

use super::conditions::conditions;
use super::file::{Listener, Rule};
use crate::routing::conditions::{Condition, HostPattern, PathPattern};
use crate::routing::cover::covers;

/// Most comparisons of conditions for one listener.
const STEPS_MAX: usize = 20_000;

/// Adds a sentence for each rule that is never reached.
pub(super) fn notes(listener: &Listener, notes: &mut Vec<String>) {
    let mut ordered: Vec<&Rule> = listener.rules.iter().collect();
    ordered.sort_by_key(|rule| rule.priority);
    let mut steps = STEPS_MAX;
    let mut earlier = Earlier::default();
    let mut takes_all = None;
    for rule in ordered {
        if let Some(by) = takes_all {
            notes.push(never_reached(listener, rule, by));
            continue;
        }
        let Ok(own) = conditions(&rule.when) else { continue };
        if let Some(by) = earlier.covering(&own, &mut steps) {
            notes.push(never_reached(listener, rule, by));
        } else if own.is_empty() {
            takes_all = Some(rule);
        } else {
            earlier.insert(rule, own);
        }
    }
}

fn never_reached(listener: &Listener, rule: &Rule, by: &Rule) -> String {
    format!(
        "rule {:?} of listener {:?} is never reached: rule {:?} (priority {}) takes all that it would",
        rule.effective_name(),
        listener.name,
        by.effective_name(),
        by.priority
    )
}

/// What another rule's host or path has in common with that of a rule that covers it.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Key {
    Host(Box<str>),
    /// With its leading dot.
    Suffix(Box<str>),
    Prefix(Box<str>),
}

/// The rules before one, by what they look at.
#[derive(Default)]
struct Earlier<'f> {
    rules: Vec<(&'f Rule, Vec<Condition>)>,
    by_key: HashMap<Key, Vec<usize>, ahash::RandomState>,
    /// Of the prefixes in `by_key`, in bytes.
    prefix_lengths: BTreeSet<usize>,
    /// Those without such a key.
    others: Vec<usize>,
}

impl<'f> Earlier<'f> {
    fn insert(&mut self, rule: &'f Rule, conditions: Vec<Condition>) {
        let index = self.rules.len();
        let keys = conditions.iter().find_map(keys);
        match keys {
            None => self.others.push(index),
            Some(keys) => {
                for key in keys {
                    if let Key::Prefix(prefix) = &key {
                        self.prefix_lengths.insert(prefix.len());
                    }
                    self.by_key.entry(key).or_default().push(index);
                }
            }
        }
        self.rules.push((rule, conditions));
    }

    /// A rule that takes every request for which all of `own` hold.
    fn covering(&self, own: &[Condition], steps: &mut usize) -> Option<&'f Rule> {
        let wanted = own.iter().flat_map(|condition| self.wanted(condition));
        let found = wanted.filter_map(|key| self.by_key.get(&key)).flatten();
        found.chain(&self.others).find_map(|&index| {
            let (rule, conditions) = self.rules.get(index)?;
            *steps = steps.saturating_sub(1);
            (*steps > 0 && covers(conditions, own, steps)).then_some(*rule)
        })
    }

    /// The keys of whatever covers `condition`, which are those of whatever covers its first value.
    fn wanted(&self, condition: &Condition) -> Vec<Key> {
        match condition {
            Condition::Host(hosts) => match hosts.first() {
                Some(HostPattern::Exact(host)) => {
                    let mut keys = suffixes(host);
                    keys.push(Key::Host(host.to_ascii_lowercase().into()));
                    keys
                }
                Some(HostPattern::Suffix(suffix)) => suffixes(suffix),
                Some(HostPattern::Glob(glob)) => suffixes(&glob.to_string()),
                None => Vec::new(),
            },
            Condition::Path(paths) => {
                let text = match paths.first() {
                    Some(PathPattern::Exact(text) | PathPattern::Prefix(text)) => text.to_string(),
                    Some(PathPattern::Glob(glob)) => glob.to_string(),
                    None => return Vec::new(),
                };
                let lengths = self.prefix_lengths.range(..=text.len());
                lengths
                    .filter_map(|length| Some(Key::Prefix(text.get(..*length)?.into())))
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}

/// What covers `host` ends with one of these.
fn suffixes(host: &str) -> Vec<Key> {
    let dots = host.match_indices('.');
    dots.filter_map(|(at, _)| Some(Key::Suffix(host.get(at..)?.to_ascii_lowercase().into())))
        .collect()
}

/// The keys of `condition` when every value has one.
fn keys(condition: &Condition) -> Option<Vec<Key>> {
    match condition {
        Condition::Host(hosts) => {
            let key = |host: &HostPattern| match host {
                HostPattern::Exact(host) => Some(Key::Host(host.to_ascii_lowercase().into())),
                HostPattern::Suffix(suffix) => {
                    Some(Key::Suffix(suffix.to_ascii_lowercase().into()))
                }
                HostPattern::Glob(_) => None,
            };
            hosts.iter().map(key).collect()
        }
        Condition::Path(paths) => {
            let key = |path: &PathPattern| match path {
                PathPattern::Exact(text) | PathPattern::Prefix(text) => {
                    Some(Key::Prefix(text.clone()))
                }
                PathPattern::Glob(_) => None,
            };
            paths.iter().map(key).collect()
        }
        _ => None,
    }
}
