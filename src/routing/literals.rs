//! Rules of one host and path that differ by a header or query value without wildcards.
//!
//! A thousand rules for `x-tenant: a`, `x-tenant: b`, … are one hash map over the values of that field, not a walk. As
//! in `index`, an entry only says that a rule may match. Values are compared in lower case in a stack buffer; values
//! longer than [`LITERAL_BYTES_MAX`], and those of names beyond the first [`NAME_COUNT_MAX`], are left to the walk.
//! Tested through `table` against the naive model.
use std::collections::HashMap;

use super::budget::Budget;
use super::conditions::{Condition, FIELD, Glob, Request, query_pairs};
use super::rule::{Candidate, Rule};
use crate::http::query;

/// Longest value that is looked up.
const LITERAL_BYTES_MAX: usize = 128;
/// Most distinct field names, and most distinct query keys, of one place in the index.
const NAME_COUNT_MAX: usize = 8;
/// Costs in instructions: looking a value up, and each byte of it.
const LOOK_UP: usize = 150;
const BYTE: usize = 12;

/// The literal values by which a rule can be found.
#[derive(Debug)]
pub(super) enum Selector {
    /// In lower case.
    Header { name: Box<[u8]>, values: Vec<Box<[u8]>> },
    /// Keys and values in lower case.
    Query(Vec<QueryLiteral>),
}

/// Key and value.
type QueryLiteral = (Box<[u8]>, Box<[u8]>);

impl Selector {
    /// The first condition of `rule` all of whose values are literal, header before query.
    pub fn of(rule: &Rule) -> Option<Selector> {
        let conditions = || rule.conditions.iter();
        conditions().find_map(Selector::header).or_else(|| conditions().find_map(Selector::query))
    }

    fn header(condition: &Condition) -> Option<Selector> {
        let Condition::Header { name, values } = condition else { return None };
        let values = values.iter().map(literal).collect::<Option<_>>()?;
        Some(Selector::Header { name: name.to_ascii_lowercase().into_bytes().into(), values })
    }

    fn query(condition: &Condition) -> Option<Selector> {
        let Condition::Query(pairs) = condition else { return None };
        let literals = pairs.iter().map(|(key, value)| {
            let key = key.as_ref()?;
            Some((query_literal(key)?, query_literal(value)?))
        });
        literals.collect::<Option<_>>().map(Selector::Query)
    }
}

fn literal(glob: &Glob) -> Option<Box<[u8]>> {
    let mut literal = glob.literal()?;
    literal.make_ascii_lowercase();
    (literal.len() <= LITERAL_BYTES_MAX).then(|| literal.into())
}

/// With "+" for a space: a "+" that is not encoded is read as either (see `glob`).
fn query_literal(glob: &Glob) -> Option<Box<[u8]>> {
    let mut literal = literal(glob)?;
    literal.iter_mut().filter(|byte| **byte == b'+').for_each(|byte| *byte = b' ');
    Some(literal)
}

type Values = HashMap<Box<[u8]>, Vec<Candidate>, ahash::RandomState>;

/// Candidates by name and value.
#[derive(Debug, Default)]
pub(super) struct Literals {
    headers: Vec<(Box<[u8]>, Values)>,
    queries: Vec<(Box<[u8]>, Values)>,
}

impl Literals {
    /// Adds `candidate`; `false`, and nothing is added, when there are too many names.
    pub fn insert(&mut self, selector: &Selector, candidate: Candidate) -> bool {
        match selector {
            Selector::Header { name, values } => {
                let Some(of_name) = entry(&mut self.headers, name) else { return false };
                for value in values {
                    of_name.entry(value.clone()).or_default().push(candidate);
                }
            }
            Selector::Query(pairs) => {
                let known = |key: &[u8]| self.queries.iter().any(|(name, _)| **name == *key);
                let new = pairs.iter().filter(|(key, _)| !known(key)).count();
                if self.queries.len().saturating_add(new) > NAME_COUNT_MAX {
                    return false;
                }
                for (key, value) in pairs {
                    if let Some(of_key) = entry(&mut self.queries, key) {
                        of_key.entry(value.clone()).or_default().push(candidate);
                    }
                }
            }
        }
        true
    }

    /// Calls `visit` with each list of candidates whose value `request` has; ends early when the budget does.
    pub fn each(
        &self,
        request: &Request<'_>,
        budget: &Budget,
        mut visit: impl FnMut(&[Candidate]),
    ) {
        let mut room = [0; LITERAL_BYTES_MAX];
        for (name, values) in &self.headers {
            if !budget.spend(FIELD * request.fields.len()) {
                return;
            }
            let lines = request.fields.iter().filter(|f| f.name.eq_ignore_ascii_case(name));
            for line in lines {
                if !budget.spend(LOOK_UP + BYTE * line.value.len().min(LITERAL_BYTES_MAX)) {
                    return;
                }
                if let Some(found) = lower(line.value, &mut room).and_then(|v| values.get(v)) {
                    visit(found);
                }
            }
        }
        if self.queries.is_empty() {
            return;
        }
        for (key, value) in query_pairs(request, budget) {
            let bytes = key.len().min(LITERAL_BYTES_MAX) + value.len().min(LITERAL_BYTES_MAX);
            if !budget.spend(LOOK_UP + BYTE * bytes) {
                return;
            }
            let mut key_room = [0; LITERAL_BYTES_MAX];
            let Some(key) = lower_decoded(key, &mut key_room) else { continue };
            let of_key = self.queries.iter().find(|(name, _)| **name == *key);
            let value = lower_decoded(value, &mut room);
            if let (Some((_, values)), Some(value)) = (of_key, value)
                && let Some(found) = values.get(value)
            {
                visit(found);
            }
        }
    }
}

/// The values of `name`, added while there are not too many names.
fn entry<'n>(names: &'n mut Vec<(Box<[u8]>, Values)>, name: &[u8]) -> Option<&'n mut Values> {
    let at = match names.iter().position(|(known, _)| **known == *name) {
        Some(at) => at,
        None if names.len() >= NAME_COUNT_MAX => return None,
        None => {
            names.push((name.into(), Values::default()));
            names.len() - 1
        }
    };
    names.get_mut(at).map(|(_, values)| values)
}

fn lower<'r>(text: &[u8], room: &'r mut [u8; LITERAL_BYTES_MAX]) -> Option<&'r [u8]> {
    let lower = room.get_mut(..text.len())?;
    lower.copy_from_slice(text);
    lower.make_ascii_lowercase();
    Some(lower)
}

/// The value in the form of [`query_literal`].
fn lower_decoded<'r>(text: &[u8], room: &'r mut [u8; LITERAL_BYTES_MAX]) -> Option<&'r [u8]> {
    let mut length = 0;
    for octet in query::decoded(text) {
        let octet = if octet == b'+' { b' ' } else { octet.to_ascii_lowercase() };
        *room.get_mut(length)? = octet;
        length += 1;
    }
    room.get(..length)
}
