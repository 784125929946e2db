//! Targets that are limpet itself: requests would return to the listener that they came through.
//!
//! Reports only certain cases: an address of this same file, or a loopback address where a listener is bound to all.
//! Never opens a socket. Tested beside it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::checks;
use super::file::{File, Forward, Listener, TargetGroup};
use crate::group::address::Address;
use crate::snapshot::Bind;

/// Most targets of one file that are examined.
const EDGES_MAX: usize = 32;

/// Listeners by the addresses that reach them.
#[derive(Default)]
struct Binds {
    tcp: HashMap<SocketAddr, usize, ahash::RandomState>,
    unix: HashMap<PathBuf, usize, ahash::RandomState>,
    /// Bound to all addresses, by port.
    all: HashMap<u16, usize, ahash::RandomState>,
}

/// A target that is a listener of the same file.
struct Edge {
    group: usize,
    target: usize,
    listener: usize,
}

/// One sentence for every target through which a listener forwards to itself.
pub(super) fn notes(file: &File) -> Vec<String> {
    let binds = Binds::of(file);
    let edges: Vec<Edge> = edges(file, &binds).take(EDGES_MAX).collect();
    let circles = edges.iter().filter(|edge| leads(file, &edges, edge));
    let said = circles.filter_map(|edge| {
        let group = file.target_groups.get(edge.group)?;
        let target = group.targets.get(edge.target)?;
        let listener = file.listeners.get(edge.listener)?;
        Some(format!(
            "target {:?} of group {:?} is listener {:?} of this file, which forwards to that group: its requests \
             would go round",
            target.effective_id(),
            group.name,
            listener.name
        ))
    });
    said.collect()
}

fn edges<'f>(file: &'f File, binds: &'f Binds) -> impl Iterator<Item = Edge> {
    file.target_groups.iter().enumerate().flat_map(move |(group, one)| {
        one.targets.iter().enumerate().filter_map(move |(target, one)| {
            Some(Edge { group, target, listener: binds.find(&one.address)? })
        })
    })
}

/// Whether a request that reaches the listener of `edge` may be forwarded to its target again.
fn leads(file: &File, edges: &[Edge], edge: &Edge) -> bool {
    let mut seen = vec![edge.listener];
    let mut next = 0;
    while let Some(&at) = seen.get(next) {
        next += 1;
        let Some(listener) = file.listeners.get(at) else { continue };
        let group_of = |edge: &Edge| file.target_groups.get(edge.group);
        if group_of(edge).is_some_and(|group| forwards_to(listener, group)) {
            return true;
        }
        let further = edges
            .iter()
            .filter(|one| group_of(one).is_some_and(|group| forwards_to(listener, group)));
        for listener in further.map(|one| one.listener) {
            if !seen.contains(&listener) {
                seen.push(listener);
            }
        }
    }
    false
}

fn forwards_to(listener: &Listener, group: &TargetGroup) -> bool {
    let rules = listener.rules.iter().map(|rule| rule.forward.as_ref());
    rules.chain([listener.forward.as_ref()]).flatten().any(|forward| match forward {
        Forward::One(name) => *name == group.name,
        Forward::Weighted(weighted) => {
            weighted.groups.iter().any(|one| one.weight > 0 && one.group == group.name)
        }
    })
}

impl Binds {
    fn of(file: &File) -> Binds {
        let mut binds = Binds::default();
        for (index, listener) in file.listeners.iter().enumerate() {
            match checks::listener_address(&listener.address) {
                Ok(Bind::Tcp(address)) if address.ip().is_unspecified() => {
                    binds.all.insert(address.port(), index);
                }
                Ok(Bind::Tcp(address)) => {
                    binds.tcp.insert(address, index);
                }
                Ok(Bind::Unix(path)) => {
                    binds.unix.insert(path, index);
                }
                Err(_) => {}
            }
        }
        binds
    }

    fn find(&self, target: &str) -> Option<usize> {
        match checks::target_address(target).ok()? {
            Address::Unix(path) => self.unix.get(&path).copied(),
            Address::Tcp(address) => {
                let exact = self.tcp.get(&address).copied();
                exact.or_else(|| {
                    let all = is_loopback(&address).then(|| self.all.get(&address.port()).copied());
                    all.flatten()
                })
            }
        }
    }
}

fn is_loopback(address: &SocketAddr) -> bool {
    match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use crate::control::config::loops::*;

    /// Requests that return to the listener that they came through never end.
    #[test]
    fn a_target_that_is_its_own_listener_is_named() {
        let told = |listeners: &str, groups: &str| {
            notes(&parse(&format!("{listeners}\n{groups}"), "x").expect("a right file"))
        };
        let listener = |name: &str, address: &str, forward: &str| {
            format!("[[listener]]\nname = '{name}'\naddress = '{address}'\nforward = '{forward}'\n")
        };
        let group = |name: &str, address: &str| {
            format!("[[target_group]]\nname = '{name}'\ntarget = [{{ address = '{address}' }}]\n")
        };
        for (bind, target, refused) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("[::]:80", "[::1]:80", true),
            ("unix:/run/a", "unix:/run/a", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("0.0.0.0:80", "10.0.0.1:80", false),
            ("0.0.0.0:0", "127.0.0.1:80", false),
        ] {
            let told = told(&listener("web", bind, "app"), &group("app", target));
            assert_eq!(told.len(), usize::from(refused), "{bind} {target}: {told:#?}");
            let words = "of group \"app\" is listener \"web\" of this file";
            assert!(told.iter().all(|problem| problem.contains(words)), "{told:#?}");
        }
        // One listener before another is a path, two before each other are a loop.
        let two = |second: &str| {
            listener("a", "127.0.0.1:80", "to-b") + &listener("b", "127.0.0.1:81", second)
        };
        let groups = group("to-b", "127.0.0.1:81")
            + &group("app", "127.0.0.1:9")
            + &group("to-a", "127.0.0.1:80");
        assert_eq!(told(&two("app"), &groups), Vec::<String>::new());
        assert_eq!(told(&two("to-a"), &groups).len(), 2);
    }
}
