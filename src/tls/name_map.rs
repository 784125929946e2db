//! A map from names of hosts: exact ones before those that begin with "*.".
//!
//! A look-up allocates nothing: the name is folded on the stack. Tested as part of `names` and `listener`.

use std::collections::HashMap;

use arrayvec::ArrayString;

/// Longest name that is looked up (RFC 1035 §2.3.4).
const NAME_BYTES_MAX: usize = 255;

/// Values by names of hosts.
#[derive(Debug)]
pub struct NameMap<V> {
    exact: HashMap<Box<str>, V, ahash::RandomState>,
    /// By what stands behind "*.".
    wildcard: HashMap<Box<str>, V, ahash::RandomState>,
}

impl<V> Default for NameMap<V> {
    fn default() -> NameMap<V> {
        NameMap { exact: HashMap::default(), wildcard: HashMap::default() }
    }
}

impl<V> NameMap<V> {
    /// The place of a name, which may begin with "*."; filled with `empty` where it has none yet.
    pub fn entry(&mut self, name: &str, empty: impl FnOnce() -> V) -> &mut V {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        match name.strip_prefix("*.") {
            Some(parent) => self.wildcard.entry(parent.into()).or_insert_with(empty),
            None => self.exact.entry(name.into()).or_insert_with(empty),
        }
    }

    /// The values for this host, the exact one first.
    pub fn get(&self, host: &str) -> impl Iterator<Item = &V> {
        let mut folded = ArrayString::<NAME_BYTES_MAX>::new();
        let host = host.strip_suffix('.').unwrap_or(host);
        // A longer name is none, and nothing is found for "".
        if folded.try_push_str(host).is_ok() {
            folded.make_ascii_lowercase();
        }
        let parent = folded.split_once('.').filter(|(label, _)| !label.is_empty());
        let wildcard = parent.and_then(|(_, parent)| self.wildcard.get(parent));
        self.exact.get(folded.as_str()).into_iter().chain(wildcard)
    }
}
