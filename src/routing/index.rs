//! Rules found by host and path: which rules may hold for a request, in priority order.
//!
//! ```text
//! host ─┬─ exact name  (hash map) ─┐
//!       ├─ suffix      (hash map, one look-up a label) ─┼─ path ─┬─ exact  (hash map)
//!       └─ any ────────────────────┘                    ├─ prefix (sorted, one binary search)
//!                                                       └─ any
//! ```
//! Each leaf is a list of candidates in ascending rule order, and a map of those that differ by a header or query value
//! (see `literals`). A pattern with inner wildcards stands under its literal prefix (path) or its literal labels at the
//! end (host) and is verified when it is found. Nothing here decides a match; tested through `table` against the naive
//! model.
use std::collections::{BTreeMap, HashMap};

use super::budget::Budget;
use super::conditions::{HOST_BYTES_MAX, HostPattern, PathPattern, Request, without_root_dot};
use super::literals::{Literals, Selector};
use super::rule::Candidate;

type Map<V> = HashMap<Box<[u8]>, V, ahash::RandomState>;

/// A rule as the index sees it; `None` is "any".
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'r> {
    /// Position among the rules.
    pub rule: u32,
    pub hosts: Option<&'r [HostPattern]>,
    pub paths: Option<&'r [PathPattern]>,
    pub selector: Option<&'r Selector>,
}

/// All rules of a table that can match at all.
#[derive(Debug, Default)]
pub(super) struct Index {
    exact: Map<PathIndex>,
    suffix: Map<PathIndex>,
    /// Shortest and longest key of `suffix`, in bytes.
    suffix_bytes: Option<(usize, usize)>,
    any: PathIndex,
}

impl Index {
    /// Enters a rule under each combination of its host and path values. Rules are entered in ascending
    /// order.
    pub fn insert(&mut self, entry: &Entry<'_>) {
        let Some(hosts) = entry.hosts else { return self.any.insert(entry, false) };
        for host in hosts {
            match host {
                HostPattern::Exact(name) => {
                    let name = name.to_ascii_lowercase().into_bytes().into();
                    self.exact.entry(name).or_default().insert(entry, false);
                }
                HostPattern::Suffix(suffix) => {
                    let suffix = suffix.to_ascii_lowercase().into_bytes();
                    self.suffix_entry(suffix).insert(entry, false);
                }
                HostPattern::Glob(glob) => {
                    let literal = glob.literal_suffix();
                    match memchr::memchr(b'.', &literal).and_then(|dot| literal.get(dot..)) {
                        Some(labels) => self.suffix_entry(labels.to_vec()).insert(entry, true),
                        None => self.any.insert(entry, true),
                    }
                }
            }
        }
    }

    fn suffix_entry(&mut self, suffix: Vec<u8>) -> &mut PathIndex {
        let (shortest, longest) = self.suffix_bytes.unwrap_or((usize::MAX, 0));
        self.suffix_bytes = Some((shortest.min(suffix.len()), longest.max(suffix.len())));
        self.suffix.entry(suffix.into()).or_default()
    }

    /// Ends the building by sorting.
    pub fn finish(&mut self) {
        self.exact.values_mut().chain(self.suffix.values_mut()).for_each(PathIndex::finish);
        self.any.finish();
    }

    /// The lowest rule that `verify` accepts, below `best`; else `best`.
    pub fn first(
        &self,
        request: &Request<'_>,
        mut best: u32,
        budget: &Budget,
        verify: &impl Fn(Candidate) -> bool,
    ) -> u32 {
        let host = without_root_dot(request.host);
        let hosts_matter = !(self.exact.is_empty() && self.suffix.is_empty());
        let mut room = [0; HOST_BYTES_MAX];
        if hosts_matter && let Some(lower) = room.get_mut(..host.len()) {
            lower.copy_from_slice(host);
            lower.make_ascii_lowercase();
            let lower = &*lower;
            if let Some(found) = self.exact.get(lower) {
                best = found.first(request, best, budget, verify);
            }
            if let Some((shortest, longest)) = self.suffix_bytes {
                let begin = lower.len().saturating_sub(longest).max(1);
                let tail = lower.get(begin..).unwrap_or_default();
                for dot in memchr::memchr_iter(b'.', tail) {
                    let suffix = tail.get(dot..).unwrap_or_default();
                    if suffix.len() < shortest {
                        break;
                    }
                    if let Some(found) = self.suffix.get(suffix) {
                        best = found.first(request, best, budget, verify);
                    }
                }
            }
        }
        self.any.first(request, best, budget, verify)
    }
}

/// The rules of one host entry, by path.
#[derive(Debug, Default)]
struct PathIndex {
    /// The lowest rule of this entry; the entry is skipped when a lower one has already been found.
    lowest: Option<u32>,
    exact: Map<Leaf>,
    /// The prefixes while the index is built; sorted into `prefixes`.
    unsorted: BTreeMap<Box<[u8]>, Leaf>,
    prefixes: Box<[Prefix]>,
    any: Leaf,
}

/// One prefix; the prefixes of a path are a chain from the longest one through `parent`.
#[derive(Debug)]
struct Prefix {
    bytes: Box<[u8]>,
    /// Position of the longest other prefix that begins this one.
    parent: Option<u32>,
    leaf: Leaf,
}

/// The rules of one host and path entry.
#[derive(Debug, Default)]
struct Leaf {
    candidates: Vec<Candidate>,
    literals: Option<Box<Literals>>,
}

impl PathIndex {
    fn insert(&mut self, entry: &Entry<'_>, verify_host: bool) {
        self.lowest.get_or_insert(entry.rule);
        let candidate = |verify_path| Candidate { rule: entry.rule, verify_host, verify_path };
        let Some(paths) = entry.paths else {
            return self.any.insert(candidate(false), entry.selector);
        };
        for path in paths {
            let (prefix, verify_path) = match path {
                PathPattern::Exact(exact) => {
                    let leaf = self.exact.entry(exact.as_bytes().into()).or_default();
                    leaf.insert(candidate(false), entry.selector);
                    continue;
                }
                PathPattern::Prefix(prefix) => (prefix.as_bytes().to_vec(), false),
                PathPattern::Glob(glob) => (glob.literal_prefix(), true),
            };
            let leaf = if prefix.is_empty() {
                &mut self.any
            } else {
                self.unsorted.entry(prefix.into()).or_default()
            };
            leaf.insert(candidate(verify_path), entry.selector);
        }
    }

    fn finish(&mut self) {
        let mut prefixes: Vec<Prefix> = Vec::with_capacity(self.unsorted.len());
        // Positions of the prefixes that may begin the current one, longest last.
        let mut open: Vec<u32> = Vec::new();
        for (position, (bytes, leaf)) in (0..).zip(std::mem::take(&mut self.unsorted)) {
            while let Some(last) = open.last().and_then(|&at| prefixes.get(at as usize)) {
                if bytes.starts_with(&last.bytes) {
                    break;
                }
                open.pop();
            }
            prefixes.push(Prefix { bytes, parent: open.last().copied(), leaf });
            open.push(position);
        }
        self.prefixes = prefixes.into();
    }

    fn first(
        &self,
        request: &Request<'_>,
        mut best: u32,
        budget: &Budget,
        verify: &impl Fn(Candidate) -> bool,
    ) -> u32 {
        if self.lowest.is_none_or(|lowest| lowest >= best) {
            return best;
        }
        if !self.exact.is_empty()
            && let Some(leaf) = self.exact.get(request.path)
        {
            best = leaf.first(request, best, budget, verify);
        }
        for leaf in self.prefixes_of(request.path) {
            best = leaf.first(request, best, budget, verify);
        }
        self.any.first(request, best, budget, verify)
    }

    /// The rules of every prefix of `path`, longest first.
    ///
    /// Among sorted texts, each prefix of `path` begins, or is, the last text that is not above `path`: every text
    /// between a prefix and `path` begins with that prefix.
    fn prefixes_of(&self, path: &[u8]) -> impl Iterator<Item = &Leaf> {
        let below = self.prefixes.partition_point(|prefix| *prefix.bytes <= *path);
        let last = below.checked_sub(1).and_then(|at| self.prefixes.get(at));
        let common = last.map_or(0, |last| {
            last.bytes.iter().zip(path).take_while(|(one, other)| one == other).count()
        });
        std::iter::successors(last, |prefix| {
            prefix.parent.and_then(|at| self.prefixes.get(at as usize))
        })
        .filter(move |prefix| prefix.bytes.len() <= common)
        .map(|prefix| &prefix.leaf)
    }
}

impl Leaf {
    fn insert(&mut self, candidate: Candidate, selector: Option<&Selector>) {
        let entered = selector.is_some_and(|selector| {
            self.literals.get_or_insert_default().insert(selector, candidate)
        });
        if !entered {
            self.candidates.push(candidate);
        }
    }

    fn first(
        &self,
        request: &Request<'_>,
        best: u32,
        budget: &Budget,
        verify: &impl Fn(Candidate) -> bool,
    ) -> u32 {
        let mut best = lowest_of(&self.candidates, best, verify);
        if let Some(literals) = &self.literals {
            literals.each(request, budget, |candidates| best = lowest_of(candidates, best, verify));
        }
        best
    }
}

/// The first accepted candidate below `best`; else `best`. Candidates stand in ascending order.
fn lowest_of(candidates: &[Candidate], best: u32, verify: &impl Fn(Candidate) -> bool) -> u32 {
    candidates
        .iter()
        .take_while(|candidate| candidate.rule < best)
        .find(|candidate| verify(**candidate))
        .map_or(best, |candidate| candidate.rule)
}
