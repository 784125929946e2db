//! Rules that no request reaches, because an earlier one takes all requests that they would.
//!
//! A thousand rules are not all compared with each other: the earlier rules that may cover a rule are found by the
//! beginning or end of its own host or path. The number of comparisons is bounded, and rules beyond the bound are not
//! reported. Tested with `rule_notes`.

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

/// The part of a covered rule's host or path by which the covering rule is found.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Key {
    Host(Box<str>),
    /// With its leading dot.
    Suffix(Box<str>),
    Prefix(Box<str>),
}

/// The earlier rules, by their hosts and paths.
#[derive(Default)]
struct Earlier<'f> {
    rules: Vec<(&'f Rule, Vec<Condition>)>,
    by_key: HashMap<Key, Vec<usize>, ahash::RandomState>,
    /// The lengths of the prefixes in `by_key`, in bytes.
    prefix_lengths: BTreeSet<usize>,
    /// The rules without such a key.
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

    /// The keys of any condition that covers `condition`, which are those of any that covers its first value.
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

/// Any pattern that covers `host` ends with one of these.
fn suffixes(host: &str) -> Vec<Key> {
    let dots = host.match_indices('.');
    dots.filter_map(|(at, _)| Some(Key::Suffix(host.get(at..)?.to_ascii_lowercase().into())))
        .collect()
}

/// The keys of `condition`, if every value has one.
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
