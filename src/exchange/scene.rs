//! From a request's head to a plan, without I/O: check, route, verdict, pick, draft.
//!
//! The head is read in place; what outlives this function is the draft for the target and a few facts. Failing over
//! to another target reads the head again, which stays until the exchange ends: that is rare, and saves a copy of
//! every head.

use std::net::IpAddr;

use arrayvec::ArrayVec;

use super::answer::Reply;
use super::caller::{self, Caller, Peer, PeerText, PortText};
use super::client::Client;
use super::end::End;
use super::entry::Entry;
use super::failure::Failure;
use super::local::Local;
use super::place::take_back;
use super::plan::{Outgoing, Plan};
use super::prepared::{Prepared, prove};
use super::target::Draft;
use super::websocket::Key;
use crate::group::address::Address;
use crate::group::on_full::{self, Full};
use crate::group::select::{self, Ask, Choice, LostSession, Unplaced};
use crate::http::client_address;
use crate::http::edits::{RealIp, Replaced, RequestEdits, Wire};
use crate::http::head::{ContentLength, RequestHead};
use crate::http::host::{port_of, without_port};
use crate::http::max_forwards;
use crate::http::refusal::Refusal;
use crate::routing::actions::{Action, Forward, RedirectParts};
use crate::routing::conditions::{Request, Tls};
use crate::routing::path::{self, Form, PathFault};
use crate::snapshot::{Listener, View};
use crate::stickiness::verdict::Stickiness;
use crate::tls::listener::TlsListener;
use crate::uring::buffers;

/// Targets that one request may have tried.
pub const TRIED_MAX: usize = 8;

/// Targets that this request has tried already, by slot.
pub type Tried = ArrayVec<u32, TRIED_MAX>;

/// A cookie and its twin, for the rule and for the group.
const OWN_NAMES_MAX: usize = 4;

/// Where the client connected to.
struct Front<'a> {
    https: bool,
    /// Of the listener, or as a PROXY header says; empty where there is none (Unix sockets).
    port: &'a [u8],
    /// The one that a trusted hop says or means.
    told_port: Option<PortText>,
}

impl Front<'_> {
    fn port(&self) -> &[u8] {
        self.told_port.as_deref().unwrap_or(self.port)
    }

    fn scheme(&self) -> &'static [u8] {
        if self.https { b"https" } else { b"http" }
    }
}

/// Where a request's facts are read from.
pub struct Scene<'a> {
    pub local: &'a Local,
    pub caller: &'a Caller,
    /// The peer's address, as it goes into X-Forwarded-For.
    pub peer_text: &'a str,
    pub view: &'a View,
    pub listener: &'a Listener,
    /// The word of whoever is at the socket's other end counts: a PROXY header names a client and makes
    /// nobody trusted.
    is_peer_trusted: bool,
}

impl Scene<'_> {
    /// Judges a head; writes the plan of a request that a target is to answer.
    // Each version of HTTP has a copy in its own straight line.
    #[inline(always)]
    pub fn prepare<D: Draft>(
        &self,
        head: &RequestHead<'_, '_>,
        out: &mut Outgoing<D>,
        entry: &mut Entry,
    ) -> Prepared {
        let client = self.client(head);
        out.plan.client = client;
        entry.request(head, client, self.local.clock.last_us());
        let length = match head.content {
            ContentLength::Exact(length) => length,
            ContentLength::None | ContentLength::Unknown => 0,
        };
        if self.is_misdirected(head) {
            return Reply::failure(Failure::Misdirected).into();
        }
        if self.listener.content_bytes > 0 && length > self.listener.content_bytes {
            return Reply::failure(Failure::ContentTooLarge).into();
        }
        self.route(head, out, entry)
    }

    /// Whether the request is for a host that asks its clients for other certificates than the handshake did
    /// (RFC 9110 §15.5.20).
    #[inline]
    fn is_misdirected(&self, head: &RequestHead<'_, '_>) -> bool {
        match &self.listener.tls {
            None => false,
            Some(tls) => self.is_of_other_profile(tls, head),
        }
    }

    /// The handshake, for conditions.
    #[inline]
    fn tls(&self) -> Option<Tls<'_>> {
        if !self.listener.knows_handshakes {
            return None;
        }
        let encryption = self.caller.encryption()?;
        Some(Tls {
            server_name: encryption.server_name.as_deref().map(str::as_bytes),
            has_client_certificate: encryption.certificate.is_some(),
        })
    }

    #[inline(never)]
    fn is_of_other_profile(&self, tls: &TlsListener, head: &RequestHead<'_, '_>) -> bool {
        let Some(encryption) = self.caller.encryption() else { return false };
        let Some(profile) = encryption.profile else { return false };
        let host = std::str::from_utf8(without_port(head.host)).ok();
        let host = host.filter(|host| !host.is_empty());
        tls.is_other_profile(profile, encryption.server_name.as_deref(), host)
    }

    /// The address of the client itself: the peer's, or what trusted hops say of it.
    #[inline(always)]
    fn client(&self, head: &RequestHead<'_, '_>) -> Option<IpAddr> {
        let peer = self.caller.peer().ip;
        if !self.is_peer_trusted {
            return peer;
        }
        // A client that a PROXY header names is the first hop.
        client_address::client_address(peer, head.fields, |hop| self.is_trusted(hop))
    }

    #[inline]
    fn is_trusted(&self, hop: Option<IpAddr>) -> bool {
        self.listener.trusted_proxies.hold(hop)
    }

    #[inline(always)]
    fn route<D: Draft>(
        &self,
        head: &RequestHead<'_, '_>,
        out: &mut Outgoing<D>,
        entry: &mut Entry,
    ) -> Prepared {
        let mut scratch = Vec::new();
        let (path, form) = match self.normal_path(head, &mut scratch) {
            Ok(normal) => normal,
            Err(fault) => return Reply::bad_path(fault).into(),
        };
        if let Some(challenges) = &self.listener.challenges
            && let Some(prepared) = prove(challenges, head, path, entry)
        {
            buffers::give_back(scratch);
            return prepared;
        }
        let mut decoded = Vec::new();
        let is_decoded = form != Form::Plain && path::is_compared_decoded(path);
        if is_decoded {
            decoded = buffers::small();
            path::push_compared(path, &mut decoded);
        }
        let request = Request {
            method: head.method_name,
            host: without_port(head.host),
            path: if is_decoded { &decoded } else { path },
            query: head.target.query,
            source: out.plan.client,
            tls: self.tls(),
            fields: head.fields,
        };
        let index = match self.listener.rules.find_index(&request) {
            Ok(index) => index,
            Err(too_costly) => {
                entry.rule = Some(too_costly.rule);
                buffers::give_back(scratch);
                buffers::give_back(decoded);
                return Reply::too_costly().into();
            }
        };
        entry.rule = Some(index);
        let Some(rule) = self.listener.rules.rules().get(index) else {
            return Reply::failure(Failure::NoTarget).into();
        };
        let prepared = match &rule.action {
            Action::Forward(_) if max_forwards::count(head.method, head.fields) == Some(0) => {
                Reply::no_more_forwards().into()
            }
            Action::Forward(forward) => {
                out.plan.rule = index;
                self.forward(head, (forward, path), out, entry)
            }
            Action::Redirect(redirect) => {
                let front = self.front(head);
                let parts = RedirectParts {
                    protocol: front.scheme(),
                    host: without_port(head.host),
                    port: front.port(),
                    path,
                    query: head.target.query,
                };
                Reply::redirect(redirect, &parts).into()
            }
            Action::Respond(respond) => Reply::fixed(respond).into(),
        };
        buffers::give_back(scratch);
        buffers::give_back(decoded);
        prepared
    }

    /// The path as it is forwarded, which is the client's own where that is in normal form already, and how
    /// far it was from that.
    #[inline]
    fn normal_path<'p>(
        &self,
        head: &RequestHead<'p, '_>,
        scratch: &'p mut Vec<u8>,
    ) -> Result<(&'p [u8], Form), PathFault> {
        let merge = self.listener.merge_slashes;
        let form = path::form(head.target.path, merge);
        if form != Form::Other {
            return Ok((head.target.path, form));
        }
        *scratch = buffers::small();
        path::normalize(head.target.path, merge, scratch)?;
        Ok((scratch, form))
    }

    /// Where the client connected to, as far as limpet or a trusted hop knows.
    fn front(&self, head: &RequestHead<'_, '_>) -> Front<'_> {
        let is_encrypted = self.caller.is_encrypted();
        let announced_port = self.caller.announced_port();
        let port = announced_port.unwrap_or(&self.caller.origin.port_text).as_slice();
        if !self.is_peer_trusted {
            return Front { https: is_encrypted, port, told_port: None };
        }
        let peer = self.caller.peer().ip;
        let is_trusted = |hop| self.is_trusted(hop);
        let told = client_address::is_told_encrypted(peer, head.fields, is_trusted);
        let https = is_encrypted || told == Some(true);
        let told_port = match client_address::told_port(head.fields) {
            Some(port) => Some(port),
            // A hop that says by which protocol the client came to it, and not where, stands at the port
            // that the client itself names, or at the protocol's own: never at limpet's.
            None if told.is_some() && announced_port.is_none() => {
                let named = port_of(head.host).filter(|port| *port != self.caller.origin.port);
                named.or(Some(if https { 443 } else { 80 }))
            }
            None => None,
        };
        Front { https, port, told_port: told_port.map(caller::port_text) }
    }

    fn scheme(&self) -> &'static [u8] {
        if self.caller.is_encrypted() { b"https" } else { b"http" }
    }

    fn forward<D: Draft>(
        &self,
        head: &RequestHead<'_, '_>,
        (forward, path): (&Forward, &[u8]),
        out: &mut Outgoing<D>,
        entry: &mut Entry,
    ) -> Prepared {
        let sticky = self.rule_stickiness(out.plan.rule);
        let choice = self.ask(head, out.plan.client, &[], |ask| {
            select::select(&self.view.groups, forward, sticky, ask)
        });
        out.plan.choice = match choice {
            Ok(choice) => choice,
            Err(unplaced) => {
                if let [(group, _)] = *forward.groups {
                    entry.group(group);
                }
                return Reply::failure(self.unplaced(&unplaced, out.plan.rule, entry)).into();
            }
        };
        if head.extended_connect && !self.may_open(&out.plan.choice) {
            return Reply::refusal(Refusal::ProtocolUnknown).into();
        }
        out.plan.method = head.method;
        out.plan.version = head.version;
        let front = self.front(head);
        out.plan.https = front.https;
        out.plan.has_own_id = self.identify(head, entry);
        self.write(head, (forward, path), &front, (out, entry));
        Prepared::Forward
    }

    /// Whether targets of the chosen group may be asked for a tunnel.
    #[cold]
    fn may_open(&self, choice: &Choice) -> bool {
        let group = self.view.groups.get(choice.group);
        let may = group.is_some_and(|group| group.options.allow_upgrades);
        if !may {
            take_back(self.view, choice);
        }
        may
    }

    /// Settles the request's id. `true` when it is limpet's own, which has to be written.
    fn identify(&self, head: &RequestHead<'_, '_>, entry: &mut Entry) -> bool {
        let name = self.listener.forwarded.request_id.as_deref().map(str::as_bytes);
        let kept = name
            .filter(|_| self.is_peer_trusted)
            .and_then(|name| head.fields.iter().find(|f| f.name.eq_ignore_ascii_case(name)));
        match kept {
            Some(field) => entry.keep_request_id(field.value),
            None => entry.new_request_id(self.local.random.secret()),
        }
        kept.is_none()
    }

    /// Writes all that depends on the choice: what the target is sent, and what it may grant.
    fn write<D: Draft>(
        &self,
        head: &RequestHead<'_, '_>,
        action: (&Forward, &[u8]),
        front: &Front<'_>,
        (out, entry): (&mut Outgoing<D>, &Entry),
    ) {
        self.pin(&out.plan);
        let group = self.view.groups.get(out.plan.choice.group);
        out.plan.note_upgrade(head, group.map(|group| &**group), &self.local.random);
        let wire = group.map_or(Wire::Http1, |group| group.options.wire);
        self.rewrite(head, action, (front, wire), (out, entry));
    }

    /// Takes another choice for a request. What was written for the choice before is written anew where it would
    /// be another: each group has its own cookies and its own word on upgrades, and a client that names no host is
    /// given the target's.
    pub fn choose_again<C: Client, D: Draft>(
        &self,
        client: &C,
        choice: Choice,
        (out, entry): (&mut Outgoing<D>, &Entry),
    ) {
        let before = std::mem::replace(&mut out.plan.choice, choice);
        let is_same = before.target == choice.target || !out.plan.names_target;
        if before.group == choice.group && is_same {
            return self.pin(&out.plan);
        }
        let rules = self.listener.rules.rules();
        let Some(Action::Forward(forward)) = rules.get(out.plan.rule).map(|rule| &rule.action)
        else {
            return;
        };
        client.head(|head| {
            let mut scratch = Vec::new();
            let Ok((path, _)) = self.normal_path(head, &mut scratch) else { return };
            self.write(head, (forward, path), &self.front(head), (out, entry));
            buffers::give_back(scratch);
        });
    }

    fn host_of(&self, choice: &Choice) -> Vec<u8> {
        let target = self.view.groups.get(choice.group).and_then(|g| g.targets.get(choice.target));
        match target.map(|target| &target.address) {
            Some(Address::Tcp(address)) => address.to_string().into_bytes(),
            Some(Address::Unix(_)) | None => b"localhost".to_vec(),
        }
    }

    /// Chooses group and target once more, with what was tried already: to fail over.
    pub fn select_again(
        &self,
        head: &RequestHead<'_, '_>,
        forward: &Forward,
        plan: &Plan,
        tried: &Tried,
    ) -> Result<Choice, Unplaced> {
        let sticky = self.rule_stickiness(plan.rule);
        self.ask(head, plan.client, tried, |ask| {
            select::select(&self.view.groups, forward, sticky, ask)
        })
    }

    /// Notes why a request has no target. The target of a session that is lost has it no longer.
    #[cold]
    pub fn unplaced(&self, unplaced: &Unplaced, rule: usize, entry: &mut Entry) -> Failure {
        let LostSession { reason, status, group, left } = match unplaced {
            Unplaced::NoTarget => return Failure::NoTarget,
            Unplaced::Lost(lost) => *lost,
        };
        entry.sticky = Some(reason);
        if let Some(group) = group {
            entry.group(group);
        }
        if let Some((session, group, target)) = left {
            let target = self.view.groups.get(group).and_then(|group| group.targets.get(target));
            let sticky = self.stickiness(rule, group);
            if let Some((target, sticky)) = target.zip(sticky) {
                target.state.forget_session(session, sticky.life());
            }
        }
        Failure::SessionLost { status }
    }

    /// Decides for a chosen target that has no place.
    pub fn on_full(&self, head: &RequestHead<'_, '_>, plan: &Plan, tried: &Tried) -> Full {
        let choose = |ask: &Ask<'_>| on_full::on_full(&self.view.groups, &plan.choice, ask);
        self.ask(head, plan.client, tried, choose)
    }

    fn ask<T>(
        &self,
        head: &RequestHead<'_, '_>,
        source: Option<IpAddr>,
        tried: &[u32],
        choose: impl FnOnce(&Ask<'_>) -> T,
    ) -> T {
        let local = self.local;
        self.caller.with_pins(|pinned| {
            choose(&Ask {
                now_s: local.clock.unix_s(),
                random: select::Random {
                    session: &|| u128::from_ne_bytes(local.random.secret()),
                    group: local.random.pick(),
                    target: [local.random.pick(), local.random.pick()],
                },
                opened: Some(&local.opened),
                fields: head.fields,
                source,
                query: head.target.query,
                pinned,
                is_shared: self.is_peer_trusted,
                excluded: tried,
            })
        })
    }

    /// Notes a failure that ends an exchange, whose response may have begun.
    pub fn failed(&self, failure: Failure, has_begun: bool, entry: &mut Entry) -> End {
        // A shard that is being cut off has made every deadline due.
        let failure = if self.local.stop.is_now() { Failure::Stopped } else { failure };
        if has_begun {
            entry.fail(failure);
        } else {
            entry.refuse(failure);
        }
        End::of(failure, has_begun)
    }

    /// The stickiness of a rule that is sticky across its groups.
    pub fn rule_stickiness(&self, rule: usize) -> Option<&Stickiness> {
        self.listener.rule_stickiness.get(rule)?.as_deref().filter(|sticky| sticky.is_enabled())
    }

    /// The stickiness under which a choice was made.
    pub fn stickiness(&self, rule: usize, group: usize) -> Option<&Stickiness> {
        self.rule_stickiness(rule).or_else(|| {
            let sticky = self.view.groups.get(group)?.stickiness.as_ref()?;
            sticky.is_enabled().then_some(sticky)
        })
    }

    /// What X-Real-IP says of the client: mostly the peer's address, which is a text already.
    fn real_ip<'t>(&'t self, client: Option<IpAddr>, text: &'t mut PeerText) -> Option<&'t [u8]> {
        if self.listener.forwarded.real_ip != RealIp::Replace {
            return None;
        }
        client?;
        if client == self.caller.peer().ip {
            return Some(self.peer_text.as_bytes());
        }
        *text = Peer { ip: client, port: 0 }.text();
        Some(text.as_bytes())
    }

    fn rewrite<D: Draft>(
        &self,
        head: &RequestHead<'_, '_>,
        (forward, path): (&Forward, &[u8]),
        (front, wire): (&Front<'_>, Wire),
        (out, entry): (&mut Outgoing<D>, &Entry),
    ) {
        let Outgoing { plan, draft } = out;
        let Plan { choice, rule, upgrade, websocket, has_own_id, names_target, session_id, .. } =
            plan;
        let options = &self.listener.forwarded;
        let peer_trusted = self.is_peer_trusted;
        let mut new_path = Vec::new();
        let path = match &forward.rewrite_path {
            Some(change) => {
                new_path = buffers::small();
                change.apply(path, &mut new_path);
                new_path.as_slice()
            }
            None => path,
        };
        let request_id = options.request_id.as_deref().map(str::as_bytes);
        let mut strip = ArrayVec::<&[u8], OWN_NAMES_MAX>::new();
        self.own_cookie_names(*rule, choice.group, &mut strip);
        // HTTP/1.0 may come without Host; what goes out is HTTP/1.1 and must name somebody.
        let rewritten_host = forward.rewrite_host.as_deref().map(str::as_bytes);
        *names_target = head.host.is_empty() && rewritten_host.is_none();
        let host_of_target = names_target.then(|| self.host_of(choice));
        let mut client_text = PeerText::new();
        let real_ip = self.real_ip(plan.client, &mut client_text);
        let session_field = match self.may_be_sealed(*rule, forward, choice.group) {
            true => self.open_session_id(head, (*rule, forward), choice, session_id),
            false => {
                session_id.clear();
                Replaced::NONE
            }
        };
        let edits = RequestEdits {
            wire,
            forwarded_for: options.forwarded_for,
            forwarded_for_entries: options.forwarded_for_entries,
            peer: self.peer_text.as_bytes(),
            peer_trusted,
            scheme: self.scheme(),
            front_scheme: front.scheme(),
            front_port: front.port(),
            keep_real_ip: options.real_ip == RealIp::Preserve,
            real_ip,
            forwarded: options.forwarded,
            via: options.via.as_deref().map(str::as_bytes),
            request_id: request_id.filter(|_| *has_own_id).map(|name| (name, entry.request_id())),
            path: Some(path),
            host: rewritten_host.or(host_of_target.as_deref()),
            strip_cookies: &strip,
            session_field,
            websocket_key: websocket.as_ref().map(Key::text),
            upgrade: (!upgrade.is_empty()).then_some(upgrade.as_slice()),
            max_forwards: max_forwards::count(head.method, head.fields)
                .map(|count| count.saturating_sub(1)),
        };
        draft.write(head, &edits);
        buffers::give_back(new_path);
    }
}

impl<'a> Scene<'a> {
    #[inline]
    pub fn new(
        (local, caller): (&'a Local, &'a Caller),
        peer_text: &'a str,
        view: &'a View,
        listener: &'a Listener,
    ) -> Scene<'a> {
        let trusted = &listener.trusted_proxies;
        let is_peer_trusted = trusted.is_anybody() && trusted.hold(caller.socket_peer().ip);
        Scene { local, caller, peer_text, view, listener, is_peer_trusted }
    }

    /// Names of the cookies that limpet keeps from the target: the rule's, the group's, their twins.
    fn own_cookie_names(
        &self,
        rule: usize,
        group: usize,
        names: &mut ArrayVec<&'a [u8], OWN_NAMES_MAX>,
    ) {
        let listener: &'a Listener = self.listener;
        let view: &'a View = self.view;
        let of_rule = listener.rule_stickiness.get(rule).and_then(Option::as_deref);
        let of_group = view.groups.get(group).and_then(|group| group.stickiness.as_ref());
        for sticky in [of_rule, of_group].into_iter().flatten() {
            if !sticky.options().forward_cookie {
                let (name, twin) = sticky.cookie_names();
                names.push(name);
                names.extend(twin);
            }
        }
    }
}

#[cfg(test)]
#[path = "scene_tests.rs"]
mod tests;
