//! From the bytes of a request's head to a plan, without I/O: parse, check, route, verdict, pick,
//! rewrite.
//!
//! The head is read in place; what outlives this function is the rewritten head for the target and a
//! few facts. Failing over to another target parses the head again from the client's buffer, which
//! keeps it until the exchange ends: that is rare, and saves a copy of every head.

use std::net::IpAddr;

use arrayvec::ArrayVec;

use super::answer::Reply;
use super::connection::Connection;
use super::entry::Entry;
use super::failure::Failure;
use crate::http1::client_address;
use crate::http1::fields::{self, FieldId, Fields};
use crate::http1::framing::RequestFraming;
use crate::http1::head::{self, Method, Parsed, RequestHead, Version};
use crate::http1::rewrite::{self, RequestEdits};
use crate::routing::actions::{Action, Forward, RedirectParts};
use crate::routing::conditions::Request;
use crate::routing::path;
use crate::shard::local::View;
use crate::snapshot::Listener;
use crate::target::group::Address;
use crate::target::select::{self, Ask, Choice, Full, NoTarget};
use crate::target::stickiness::Stickiness;
use crate::uring::buffers;

/// A cookie and its twin, for the rule and for the group.
const OWN_NAMES_MAX: usize = 4;
/// Targets that one request may have tried.
pub const TRIED_MAX: usize = 8;

/// Targets that this request has tried already, by slot.
pub type Tried = ArrayVec<u32, TRIED_MAX>;

/// What is known of a request once its head has been read. One is written anew for each request of a
/// connection, in place.
pub struct Plan {
    /// Bytes of the head in the client's buffer.
    pub head_bytes: usize,
    pub method: Method,
    pub version: Version,
    pub framing: RequestFraming,
    /// The client wants its connection kept.
    pub persistent: bool,
    /// The client's own connection is encrypted: limpet's, or that of a trusted hop before it.
    pub https: bool,
    /// An upgrade that may be granted, lower-cased; empty when none was asked for.
    pub upgrade: ArrayVec<u8, 32>,
    /// Position of the matching rule in the listener's table.
    pub rule: usize,
    pub choice: Choice,
    /// The head for the target.
    pub request: Vec<u8>,
}

impl Default for Plan {
    /// A plan for no request.
    fn default() -> Self {
        Plan {
            head_bytes: 0,
            method: Method::Get,
            version: Version::Http11,
            framing: RequestFraming::None,
            persistent: false,
            https: false,
            upgrade: ArrayVec::new(),
            rule: 0,
            choice: Choice { group: 0, target: 0, sticky: None },
            request: Vec::new(),
        }
    }
}

/// What to do with the bytes that have come.
pub enum Prepared {
    /// The head is not whole yet.
    Partial,
    /// A target answers, as the plan says.
    Forward,
    /// limpet answers by itself.
    Answer(Box<Reply>),
}

impl From<Reply> for Prepared {
    fn from(reply: Reply) -> Prepared {
        Prepared::Answer(Box::new(reply))
    }
}

/// Where a request's facts are read from.
pub struct Scene<'a> {
    pub connection: &'a Connection,
    /// The peer's address, as it goes into X-Forwarded-For.
    pub peer_text: &'a str,
    pub view: &'a View,
    pub listener: &'a Listener,
}

impl Scene<'_> {
    /// Judges the head at the start of `bytes`; writes the plan of a request that a target is to answer.
    pub fn prepare(&self, bytes: &[u8], plan: &mut Plan, entry: &mut Entry) -> Prepared {
        let mut fields = Fields::new();
        let parsed =
            head::parse_request(bytes, &self.listener.head_limits, self.listener.mode, &mut fields);
        let head = match parsed {
            Ok(Parsed::Partial) => return Prepared::Partial,
            Ok(Parsed::Complete(head)) => head,
            Err(refusal) => {
                entry.refused(bytes);
                return Reply::refusal(refusal).into();
            }
        };
        entry.request(&head, self.client(&head), self.connection.shard.clock.last_us());
        let length = match head.framing {
            RequestFraming::Length(length) => length,
            RequestFraming::None | RequestFraming::Chunked => 0,
        };
        if self.listener.content_bytes > 0 && length > self.listener.content_bytes {
            return Reply::failure(Failure::ContentTooLarge).of(&head, bytes).into();
        }
        self.route(&head, bytes, plan, entry)
    }

    /// The address of the client itself: the peer's, or what trusted hops say of it.
    fn client(&self, head: &RequestHead<'_, '_>) -> Option<IpAddr> {
        let peer = self.connection.peer().ip?;
        if self.listener.trusted_proxies.is_empty() {
            return Some(peer);
        }
        let values = head.fields.iter().filter(|field| field.id == FieldId::XForwardedFor);
        let values = values.map(|field| field.value);
        Some(client_address::client_address(peer, values, |ip| self.is_trusted(ip)))
    }

    fn is_trusted(&self, ip: IpAddr) -> bool {
        self.listener.trusted_proxies.iter().any(|network| network.contains(&ip))
    }

    fn route(
        &self,
        head: &RequestHead<'_, '_>,
        bytes: &[u8],
        plan: &mut Plan,
        entry: &mut Entry,
    ) -> Prepared {
        let mut scratch = Vec::new();
        let merge = self.listener.merge_slashes;
        let is_normal = path::is_normal(head.target.path, merge);
        if !is_normal {
            scratch = buffers::small();
            if let Err(fault) = path::normalize(head.target.path, merge, &mut scratch) {
                return Reply::bad_path(fault).of(head, bytes).into();
            }
        }
        let path = if is_normal { head.target.path } else { scratch.as_slice() };
        let request = Request {
            method: head.method_name,
            host: without_port(head.host),
            path,
            query: head.target.query,
            source: entry.client,
            fields: head.fields,
        };
        let index = self.listener.rules.find_index(&request);
        entry.rule = Some(index);
        let Some(rule) = self.listener.rules.rules().get(index) else {
            return Reply::failure(Failure::NoTarget).of(head, bytes).into();
        };
        let prepared = match &rule.action {
            Action::Forward(forward) => {
                plan.rule = index;
                self.forward(head, forward, path, bytes, plan, entry)
            }
            Action::Redirect(redirect) => {
                let parts = RedirectParts {
                    protocol: if self.is_https(head) { b"https" } else { b"http" },
                    host: without_port(head.host),
                    port: &self.connection.origin.port_text,
                    path,
                    query: head.target.query,
                };
                Reply::redirect(redirect, &parts).of(head, bytes).into()
            }
            Action::Respond(respond) => Reply::fixed(respond).of(head, bytes).into(),
        };
        buffers::give_back(scratch);
        prepared
    }

    /// Whether the client itself came by TLS, as far as limpet or a trusted hop knows.
    fn is_https(&self, head: &RequestHead<'_, '_>) -> bool {
        let is_told = || {
            let proto = fields::find(head.fields, FieldId::XForwardedProto);
            proto.is_some_and(|proto| proto.eq_ignore_ascii_case(b"https"))
        };
        self.connection.client.is_encrypted() || (self.is_peer_trusted() && is_told())
    }

    fn is_peer_trusted(&self) -> bool {
        self.connection.peer().ip.is_some_and(|ip| self.is_trusted(ip))
    }

    fn scheme(&self) -> &'static [u8] {
        if self.connection.client.is_encrypted() { b"https" } else { b"http" }
    }

    fn forward(
        &self,
        head: &RequestHead<'_, '_>,
        forward: &Forward,
        path: &[u8],
        bytes: &[u8],
        plan: &mut Plan,
        entry: &mut Entry,
    ) -> Prepared {
        let sticky = self.rule_stickiness(plan.rule);
        let choice = self.ask(head, entry.client, &[], |ask| {
            select::select(&self.view.groups, forward, sticky, ask)
        });
        plan.choice = match choice {
            Ok(choice) => choice,
            Err(NoTarget) => {
                if let [(group, _)] = *forward.groups {
                    entry.group(group);
                }
                return Reply::failure(Failure::NoTarget).of(head, bytes).into();
            }
        };
        plan.head_bytes = head.raw.len();
        plan.method = head.method;
        plan.version = head.version;
        plan.framing = head.framing;
        plan.persistent = head.persistent;
        plan.https = self.is_https(head);
        self.note_upgrade(head, plan);
        plan.request = buffers::small();
        self.rewrite(head, forward, path, plan, entry);
        Prepared::Forward
    }

    fn host_of(&self, choice: &Choice) -> Vec<u8> {
        let target = self.view.groups.get(choice.group).and_then(|g| g.targets.get(choice.target));
        match target.map(|target| &target.address) {
            Some(Address::Tcp(address)) => address.to_string().into_bytes(),
            Some(Address::Unix(_)) | None => b"localhost".to_vec(),
        }
    }

    fn note_upgrade(&self, head: &RequestHead<'_, '_>, plan: &mut Plan) {
        plan.upgrade.clear();
        let Some(value) = head.upgrade else { return };
        let group = self.view.groups.get(plan.choice.group);
        if group.is_some_and(|group| group.options.allow_upgrades)
            && plan.upgrade.try_extend_from_slice(value).is_ok()
        {
            plan.upgrade.make_ascii_lowercase();
        }
    }

    /// Chooses group and target once more, with what was tried already: to fail over.
    pub fn select_again(
        &self,
        head: &RequestHead<'_, '_>,
        forward: &Forward,
        rule: usize,
        client: Option<IpAddr>,
        tried: &Tried,
    ) -> Result<Choice, Failure> {
        let sticky = self.rule_stickiness(rule);
        self.ask(head, client, tried, |ask| select::select(&self.view.groups, forward, sticky, ask))
            .map_err(|_| Failure::NoTarget)
    }

    /// Decides for a chosen target that has no place.
    pub fn on_full(
        &self,
        head: &RequestHead<'_, '_>,
        choice: &Choice,
        client: Option<IpAddr>,
        tried: &Tried,
    ) -> Full {
        self.ask(head, client, tried, |ask| select::on_full(&self.view.groups, choice, ask))
    }

    fn ask<T>(
        &self,
        head: &RequestHead<'_, '_>,
        source: Option<IpAddr>,
        tried: &[u32],
        choose: impl FnOnce(&Ask<'_>) -> T,
    ) -> T {
        let shard = &self.connection.shard;
        choose(&Ask {
            now_s: shard.clock.unix_s(),
            random: select::Random {
                session: &|| u128::from_ne_bytes(shard.random.secret()),
                group: shard.random.pick(),
                target: [shard.random.pick(), shard.random.pick()],
            },
            opened: Some(&shard.opened_cookies),
            fields: head.fields,
            source,
            query: head.target.query,
            pinned: self.connection.pinned(),
            excluded: tried,
        })
    }

    /// Reads the head of a request that is being served again, for a second choice.
    pub fn read_again<T>(
        &self,
        bytes: &[u8],
        look: impl FnOnce(&RequestHead<'_, '_>) -> T,
    ) -> Option<T> {
        let mut fields = Fields::new();
        let limits = &self.listener.head_limits;
        match head::parse_request(bytes, limits, self.listener.mode, &mut fields) {
            Ok(Parsed::Complete(head)) => Some(look(&head)),
            Ok(Parsed::Partial) | Err(_) => None,
        }
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

    fn rewrite(
        &self,
        head: &RequestHead<'_, '_>,
        forward: &Forward,
        path: &[u8],
        plan: &mut Plan,
        entry: &mut Entry,
    ) {
        let Plan { choice, rule, .. } = &*plan;
        let origin = &self.connection.origin;
        let options = &self.listener.forwarded;
        let peer_trusted = self.is_peer_trusted();
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
        let kept = request_id
            .filter(|_| peer_trusted)
            .and_then(|name| head.fields.iter().find(|f| f.name.eq_ignore_ascii_case(name)));
        match kept {
            Some(field) => entry.keep_request_id(field.value),
            None => entry.new_request_id(self.connection.shard.random.secret()),
        }
        let mut strip = ArrayVec::<&[u8], OWN_NAMES_MAX>::new();
        self.own_cookie_names(*rule, choice.group, &mut strip);
        // HTTP/1.0 may come without Host; what goes out is HTTP/1.1 and must name somebody.
        let host_of_target = head.host.is_empty().then(|| self.host_of(choice));
        let edits = RequestEdits {
            forwarded_for: options.forwarded_for,
            forwarded_for_entries: options.forwarded_for_entries,
            peer: self.peer_text.as_bytes(),
            peer_trusted,
            scheme: self.scheme(),
            port: &origin.port_text,
            forwarded: options.forwarded,
            via: options.via.as_deref().map(str::as_bytes),
            request_id: request_id
                .filter(|_| kept.is_none())
                .map(|name| (name, entry.request_id())),
            path: Some(path),
            host: forward
                .rewrite_host
                .as_deref()
                .map_or(host_of_target.as_deref(), |host| Some(host.as_bytes())),
            strip_cookies: &strip,
            upgrade: !plan.upgrade.is_empty(),
        };
        rewrite::request(head, &edits, &mut plan.request);
        buffers::give_back(new_path);
    }
}

impl<'a> Scene<'a> {
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

/// `host` without its port; brackets of an IPv6 address stay.
pub fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !host.get(colon..).unwrap_or_default().contains(&b']') => {
            host.get(..colon).unwrap_or_default()
        }
        _ => host,
    }
}
