//! From a validated configuration to a snapshot: immutable, indexed, ready for the request path.
//!
//! Takes over from the snapshot before every part whose settings are unchanged, so that an unrelated edit costs
//! nothing. Never reads a file, never publishes. Tested beside it.

mod groups;
mod options;
mod routes;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ipnet::{Ipv4Net, Ipv6Net};

pub use groups::stickiness_options;
pub use options::process;

use super::certificates::Certificates;
use super::config::file::{self, File};
use super::config::{ANYBODY, answer_status, listener_address, trusted_proxy, unix_mode};
use super::drain::Leaving;
use crate::challenges::Challenges;
use crate::group::state::Registry;
use crate::group::target_group::TargetGroup;
use crate::proxy_protocol::ProxyProtocol;
use crate::shard::cores;
use crate::snapshot::{Listener, Snapshot, TrustedHops};
use crate::stickiness::keyring::KeyRing;
use crate::tls::listener::TlsListener;
use crate::tls::target::{TargetTls, TlsPeer};

/// Why a configuration cannot be compiled. Validation has refused every cause in a file, except two ids with the same
/// hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CompileError(pub String);

/// The configuration before, its snapshot, and the keys that it was compiled with.
#[derive(Debug, Clone, Copy)]
pub struct Before<'c> {
    pub file: &'c File,
    pub snapshot: &'c Snapshot,
    pub ring: &'c Arc<KeyRing>,
    /// Groups that are compiled anew even if they are equal, because the health of their targets must be read again.
    pub changed: &'c [&'c str],
}

/// What is compiled into a configuration and does not stand in its text.
#[derive(Debug, Clone, Copy)]
pub struct Material<'m> {
    pub ring: &'m Arc<KeyRing>,
    /// `None` where no listener and no target group has TLS.
    pub certificates: Option<&'m Certificates>,
}

impl<'m> From<&'m Arc<KeyRing>> for Material<'m> {
    fn from(ring: &'m Arc<KeyRing>) -> Material<'m> {
        Material { ring, certificates: None }
    }
}

impl<'m> Material<'m> {
    /// The proofs that a listener answers requests with; under TLS handshakes are asked for them instead.
    fn challenges(self, listener: &file::Listener) -> Option<Arc<Challenges>> {
        let challenges = self.certificates?.challenges_of_plain_listeners()?;
        listener.tls.is_none().then(|| Arc::clone(challenges))
    }

    /// What a listener presents; `None` = it is plain.
    fn tls(self, listener: &file::Listener) -> Result<Option<Arc<TlsListener>>, CompileError> {
        if listener.tls.is_none() {
            return Ok(None);
        }
        match self.certificates.and_then(|certificates| certificates.of(&listener.name)) {
            Some(tls) => Ok(Some(Arc::clone(tls))),
            None => {
                let name = &listener.name;
                Err(CompileError(format!("listener {name:?}: its certificates were not read")))
            }
        }
    }

    /// How the targets of a group are spoken to; `None` = in clear.
    fn target_tls(
        self,
        group: &file::TargetGroup,
    ) -> Result<Option<&'m Arc<TargetTls>>, CompileError> {
        if group.tls().is_none() {
            return Ok(None);
        }
        let tls = self.certificates.and_then(|certificates| certificates.of_targets(&group.name));
        let name = &group.name;
        let unread =
            || CompileError(format!("target group {name:?}: its certificates were not read"));
        tls.map(Some).ok_or_else(unread)
    }
}

/// The position of each group in a file: there may be tens of thousands, and as many references to them.
type Positions<'f> = HashMap<&'f str, usize, ahash::RandomState>;

/// Compiles `file`. Parts that are equal in `before` are taken over, except its changed groups. Targets that are
/// `leaving` stay in their group, draining.
///
/// # Errors
/// See [`CompileError`].
pub fn compile<'m>(
    file: &File,
    registry: &Registry,
    material: impl Into<Material<'m>>,
    before: Option<Before<'_>>,
    leaving: &[Leaving],
) -> Result<Snapshot, CompileError> {
    let material = material.into();
    let ring = material.ring;
    registry.decide_shard_count(|| cores::plan(file.process.shards).len());
    let generation = before.map_or(0, |before| before.snapshot.generation).saturating_add(1);
    let before = before.filter(|before| Arc::ptr_eq(before.ring, ring));
    let mut groups: Vec<Arc<TargetGroup>> = Vec::with_capacity(file.target_groups.len());
    let positions_before = before.map(|before| positions(before.file)).unwrap_or_default();
    let changed: HashSet<&str, ahash::RandomState> =
        before.iter().flat_map(|before| before.changed).copied().collect();
    let mut leaving_of: HashMap<&str, Vec<&Leaving>, ahash::RandomState> = HashMap::default();
    for one in leaving {
        leaving_of.entry(&one.group).or_default().push(one);
    }
    for group in &file.target_groups {
        let name = group.name.as_str();
        let tls = material.target_tls(group)?;
        let unchanged = before
            .filter(|_| !changed.contains(name))
            .and_then(|before| same_group(before, *positions_before.get(name)?, group))
            .filter(|unchanged| has_tls(unchanged, tls));
        groups.push(match unchanged {
            Some(unchanged) => unchanged,
            None => {
                let leaving = leaving_of.get(name).map_or(&[][..], Vec::as_slice);
                let made_of = groups::MadeOf { registry, ring, tls };
                Arc::new(groups::group(group, leaving, &made_of)?)
            }
        });
    }
    let context = routes::Context { groups: &positions(file), ring };
    // A listener's table refers to groups by position, so their order must be the same as well.
    let before = before.filter(|before| names(before.file).eq(names(file)));
    let mut listeners: Vec<Arc<Listener>> = Vec::with_capacity(file.listeners.len());
    for (index, listener) in file.listeners.iter().enumerate() {
        let tls = material.tls(listener)?;
        let challenges = material.challenges(listener);
        // Certificates change without a word in the file, and challenges with a word elsewhere in it.
        let unchanged = before
            .and_then(|before| same_listener(before, file, index))
            .filter(|before| before.tls.as_ref().map(Arc::as_ptr) == tls.as_ref().map(Arc::as_ptr))
            .filter(|before| before.challenges.is_some() == challenges.is_some());
        listeners.push(match unchanged {
            Some(unchanged) => unchanged,
            None => Arc::new(self::listener(listener, (tls, challenges), registry, &context)?),
        });
    }
    Ok(Snapshot { generation, listeners, groups })
}

fn names(file: &File) -> impl Iterator<Item = &str> {
    file.target_groups.iter().map(|group| group.name.as_str())
}

fn positions(file: &File) -> Positions<'_> {
    names(file).enumerate().map(|(position, name)| (name, position)).collect()
}

/// `position`: that of the group with this name in the configuration before.
fn same_group(
    before: Before<'_>,
    position: usize,
    group: &file::TargetGroup,
) -> Option<Arc<TargetGroup>> {
    let is_same = before.file.target_groups.get(position)? == group;
    is_same.then(|| before.snapshot.groups.get(position).cloned()).flatten()
}

/// Whether the targets of a group are spoken to in this way; certificates change without a word in the file.
fn has_tls(group: &TargetGroup, tls: Option<&Arc<TargetTls>>) -> bool {
    let known = group.targets.first().map(|target| target.tls().map(TlsPeer::tls));
    known.is_none_or(|known| known.map(Arc::as_ptr) == tls.map(Arc::as_ptr))
}

/// Call it only when groups are in the same order.
fn same_listener(before: Before<'_>, file: &File, index: usize) -> Option<Arc<Listener>> {
    if before.file.listeners.get(index)? != file.listeners.get(index)? {
        return None;
    }
    before.snapshot.listeners.get(index).cloned()
}

fn trusted_hops(texts: &[String]) -> Result<TrustedHops, String> {
    let mut trusted = TrustedHops::default();
    for text in texts {
        match text.as_str() {
            ANYBODY => {
                trusted.unix = true;
                trusted.networks.push(Ipv4Net::default().into());
                trusted.networks.push(Ipv6Net::default().into());
            }
            text => match trusted_proxy(text)? {
                Some(hops) => trusted.networks.push(hops),
                None => trusted.unix = true,
            },
        }
    }
    Ok(trusted)
}

fn listener(
    listener: &file::Listener,
    (tls, challenges): (Option<Arc<TlsListener>>, Option<Arc<Challenges>>),
    registry: &Registry,
    context: &routes::Context<'_>,
) -> Result<Listener, CompileError> {
    let fail = |what: String| CompileError(format!("listener {:?}: {what}", listener.name));
    let routes = routes::routes(listener, context)?;
    let mut answers = Vec::with_capacity(listener.answers.len());
    for (status, answer) in &listener.answers {
        let status = answer_status(status).map_err(fail)?;
        answers.push((status, options::answer(&answer.content_type, &answer.body)));
    }
    let rules = routes.table.rules().iter();
    let senders = listener.proxy_protocol_from.as_deref().unwrap_or_default();
    let knows_handshakes =
        tls.is_some() || matches!(listener.proxy_protocol, ProxyProtocol::V2 | ProxyProtocol::Any);
    Ok(Listener {
        name: listener.name.as_str().into(),
        bind: listener_address(&listener.address).map_err(fail)?,
        socket: options::socket(
            &listener.socket,
            unix_mode(&listener.socket.unix_mode).map_err(fail)?,
        ),
        tls,
        challenges,
        mode: listener.mode,
        proxy_protocol: listener.proxy_protocol,
        proxy_senders: trusted_hops(senders).map_err(fail)?,
        knows_handshakes,
        trusted_proxies: trusted_hops(&listener.trusted_proxies).map_err(fail)?,
        head_limits: options::head_limits(&listener.limits),
        content_bytes: listener.limits.content_bytes,
        requests_per_connection: listener.limits.requests_per_connection,
        streams: options::streams(&listener.limits),
        handshakes: listener.limits.handshakes,
        handshakes_per_second: listener.limits.handshake_rate,
        timeouts: options::timeouts(&listener.timeouts),
        forwarded: options::forwarded(&listener.forwarded),
        merge_slashes: listener.merge_slashes,
        http2: listener.http2,
        answers,
        series: registry.listener(&listener.name),
        rule_series: rules.map(|rule| registry.rule(&listener.name, &rule.name)).collect(),
        rules: routes.table,
        rule_stickiness: routes.stickiness,
    })
}
