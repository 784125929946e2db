//! The access record of one exchange, gathered on the way and written once, at its end.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::answer::Reply;
use super::caller::{Caller, Encryption, Peer};
use super::failure::Failure;
use super::grpc;
use super::local::Local;
use crate::group::address::Address;
use crate::group::target_group::Target;
use crate::http::fields::{self, Field, FieldId};
use crate::http::head::{RequestHead, Version};
use crate::routing::actions::Action;
use crate::snapshot::{Listener, View};
use crate::telemetry::ended::{By, Cause, Ended, Phase};
use crate::telemetry::rare::{ProtocolVersion, Rare, TargetProtocol};
use crate::telemetry::reason::Reason;
use crate::telemetry::record::{Acted, Facts, Record, RequestText, RequestTextParts, Timings};
use crate::telemetry::series::Places;
use crate::time::clock::Clock;

/// Texts longer than this are freed after their request.
const TEXT_BYTES_KEPT: usize = 1024;

/// One exchange's facts. Reused from request to request of a connection.
#[derive(Default)]
pub struct Entry {
    text: RequestText,
    request_id: [u8; 32],
    client: Option<IpAddr>,
    /// Position of the rule; `None` before one has matched.
    pub rule: Option<usize>,
    /// Position of the group; `None` where the rule leads to none, or to several without a usable target.
    group: Option<usize>,
    /// Position of the target in its group.
    target: Option<usize>,
    version: Option<Version>,
    /// The number of its stream, on a connection that carries several.
    pub stream: Option<u32>,
    /// Whether any byte of this exchange has been received.
    has_come: bool,

    begun_us: u64,
    head_us: u64,
    first_byte_us: Option<u64>,
    last_byte_us: Option<u64>,
    pub queue_us: Option<u64>,
    pub connect_us: Option<u64>,

    pub phase: Phase,
    pub status: u16,
    pub target_status: u16,
    pub request_bytes: u64,
    pub request_content_bytes: u64,
    pub response_bytes: u64,
    pub response_content_bytes: u64,
    pub retries: u32,
    /// Whether the connection to the target has served before; `None` before there is one.
    pub reused: Option<bool>,
    pub sticky: Option<Reason>,
    /// Whether the proof that the request asks for was looked for on other nodes.
    pub was_proof_sought: bool,
    /// Whether the response is that of a call of gRPC.
    pub is_call: bool,
    /// The status of the call, once it has come.
    grpc_status: Option<u32>,
    code: &'static str,
    ended: Option<Ended>,
}

impl Entry {
    /// Begins with the first bytes of a new request.
    #[inline(always)]
    pub fn begin(&mut self, local: &Local, caller: &Caller) {
        let begun_us = local.clock.read_us();
        *self = Entry {
            text: std::mem::take(&mut self.text),
            request_id: self.request_id,
            client: caller.peer().ip,
            begun_us,
            head_us: begun_us,
            phase: Phase::RequestHead,
            ..Entry::default()
        };
        self.text.clear(TEXT_BYTES_KEPT);
        self.enter(Phase::RequestHead);
    }

    /// Notes that the exchange has come to `phase`.
    #[inline]
    pub fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        #[cfg(test)]
        crate::simulation::enter(phase);
    }

    /// Notes a whole and valid head.
    #[inline(always)]
    pub fn request(&mut self, head: &RequestHead<'_, '_>, client: Option<IpAddr>, now_us: u64) {
        self.has_come = true;
        self.client = client;
        self.version = Some(head.version);
        self.head_us = now_us;
        self.request_bytes = head.raw.len() as u64;
        self.text.fill(&RequestTextParts {
            method: head.method_name,
            host: head.host,
            path: head.target.path,
            query: head.target.query,
            referer: fields::find(head.fields, FieldId::Referer).unwrap_or_default(),
            user_agent: fields::find(head.fields, FieldId::UserAgent).unwrap_or_default(),
            request_id: b"",
        });
    }

    /// Notes a head that was refused, or was not completed; `bytes` of it came.
    pub fn refused(&mut self, bytes: usize) {
        self.has_come = true;
        self.request_bytes = bytes as u64;
    }

    /// Keeps the request id that a trusted hop gave.
    pub fn keep_request_id(&mut self, id: &[u8]) {
        self.text.set_request_id(id);
    }

    /// Gives the request an id: 128 random bits in hexadecimal.
    pub fn new_request_id(&mut self, random: [u8; 16]) {
        // Computes the digits without a table, which lets the compiler do sixteen at once.
        let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
        let pairs = self.request_id.as_chunks_mut::<2>().0;
        for (byte, pair) in random.into_iter().zip(pairs) {
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        self.text.set_request_id(&self.request_id);
    }

    pub fn request_id(&self) -> &[u8] {
        &self.request_id
    }

    /// Notes the target that the request goes to now.
    pub fn target(&mut self, group: usize, target: usize) {
        self.group = Some(group);
        self.target = Some(target);
    }

    /// Notes the group of a request for which the group has no target.
    pub fn group(&mut self, group: usize) {
        self.group = Some(group);
    }

    /// Ends the time of the head now, unless the head was whole and valid before.
    pub fn head_ends_now(&mut self, clock: &Clock) {
        if self.version.is_none() {
            self.head_us = clock.read_us();
        }
    }

    /// Notes the time of the response's first byte, the target's or limpet's own.
    pub fn first_byte_now(&mut self, clock: &Clock) {
        if self.first_byte_us.is_none() {
            self.first_byte_us = Some(clock.read_us().saturating_sub(self.head_us));
        }
    }

    /// Forgets the time of the first byte, which belonged to no final response.
    pub fn no_first_byte(&mut self) {
        self.first_byte_us = None;
    }

    /// Notes that the kernel took the last byte of the response in the turn of the last reading of the clock.
    pub fn last_byte_now(&mut self, clock: &Clock) {
        self.last_byte_us = Some(clock.last_us());
    }

    /// Notes that the kernel has just taken the last byte of the response, after a wait.
    pub fn last_byte_read(&mut self, clock: &Clock) {
        self.last_byte_us = Some(clock.read_us());
    }

    /// Notes a failure that ends a begun response.
    pub fn fail(&mut self, failure: Failure) {
        self.code = failure.code();
        self.ended = Some(failure.ended(self.phase));
    }

    /// Notes a failure before the target's response has begun; none will follow.
    pub fn refuse(&mut self, failure: Failure) {
        self.fail(failure);
        self.status = failure.status();
        self.no_first_byte();
    }

    /// Notes what the head of a response says of a call of gRPC.
    #[cold]
    pub fn call_head(&mut self, fields: &[Field<'_>]) {
        self.is_call = grpc::is_of_call(fields);
        self.grpc_status = if self.is_call { grpc::status_of_head(fields) } else { None };
    }

    /// Notes what the trailers of a call say.
    #[cold]
    pub fn call_trailers(&mut self, lines: &[u8]) {
        self.grpc_status = grpc::status_of_trailers(lines).or(self.grpc_status);
    }

    /// The status of a call whose response says it in its head.
    pub fn call_status(&self) -> Option<u32> {
        self.grpc_status
    }

    /// Forgets a response that is not passed on.
    #[cold]
    pub fn forget_response(&mut self) {
        self.is_call = false;
        self.grpc_status = None;
        self.status = 0;
        self.target_status = 0;
        self.no_first_byte();
    }

    /// Notes how a client of gRPC was told an answer of limpet's own: by a status of the call, in a success.
    pub fn answered_call(&mut self, grpc_status: u32) {
        self.status = 200;
        self.grpc_status = Some(grpc_status);
    }

    /// Notes an answer of limpet's own.
    pub fn answered(&mut self, reply: &Reply) {
        self.has_come = true;
        self.status = reply.status;
        if self.ended.is_none() {
            self.code = reply.code;
            self.ended = Some(reply.ended());
            self.text.set_location(reply.location());
        }
    }

    /// Notes the result of the response's last send.
    pub fn settle(&mut self, result: &io::Result<()>, expired: bool) {
        if result.is_err() {
            // The attempt lasted until now.
            self.last_byte_us = None;
        }
        if self.ended.is_some() {
            return;
        }
        match result {
            Ok(()) => self.ended = Some(Ended::NORMAL),
            Err(_) => {
                let cause = if expired { Cause::Timeout } else { Cause::Closed };
                self.code = if expired {
                    Failure::ClientSendTimeout.code()
                } else {
                    Failure::ClientGone.code()
                };
                self.ended = Some(Ended::new(By::Client, Phase::ResponseContent, cause));
            }
        }
    }

    /// Whether there is nothing to record.
    pub fn is_blank(&self) -> bool {
        !self.has_come
    }

    /// Passes `write` the finished record, and the series that it counts in.
    pub fn finish(
        &self,
        (local, caller): (&Local, &Caller),
        (view, listener): (&View, &Listener),
        write: impl FnOnce(&Record<'_>, &Places<'_>),
    ) {
        let (clock, origin) = (&local.clock, &caller.origin);
        let group = self.group.and_then(|at| view.groups.get(at));
        let target = group.zip(self.target).and_then(|(group, at)| group.targets.get(at));
        let rule = self.rule.and_then(|at| listener.rules.rules().get(at));
        let rule_series = self.rule.and_then(|at| listener.rule_series.get(at));
        let places = Places {
            listener: Some(&listener.series),
            rule: rule_series.map(|series| &**series),
            group: group.map(|group| &group.state.series),
            target: target.map(|target| &target.state.series),
        };
        let total_us = self.last_byte_us.unwrap_or_else(|| clock.read_us());
        let (status, target_status) = self.statuses(target);
        let Peer { ip: peer, port } = caller.peer();
        let facts = Facts {
            time_unix_ms: clock.unix_ms_at(self.begun_us),
            client: self.client,
            client_port: if self.client == peer { port } else { 0 },
            peer: peer.filter(|_| self.client != peer),
            encrypted: caller.is_encrypted(),
            listener_port: origin.port,
            version: self.version,
            status,
            target_status,
            bytes_in: self.request_bytes,
            bytes_out: self.response_bytes,
            content_bytes_in: self.request_content_bytes,
            content_bytes_out: self.response_content_bytes,
            timings: Timings {
                request_us: self.head_us.saturating_sub(self.begun_us),
                queue_us: self.queue_us,
                connect_us: self.connect_us,
                first_byte_us: self.first_byte_us,
                total_us: total_us.saturating_sub(self.begun_us),
            },
            retries: self.retries,
            target_reused: self.reused,
            sticky: self.sticky,
            rule_priority: rule.map(|rule| rule.priority),
            action: rule.map(|rule| acted(&rule.action)),
            target_address: target.and_then(|target| socket_address(&target.address)),
            upgraded: self.status == 101,
            ended: self.ended.unwrap_or(Ended::NORMAL),
        };
        let [method, host, path, referer, user_agent, request_id, location] = self.text.texts();
        let rare = rare(caller.encryption(), (self.stream, self.grpc_status), target);
        let record = Record {
            facts,
            listener: &listener.name,
            group: group.map_or("", |group| &group.name),
            target: target.map_or("", |target| &target.id),
            rule: rule.map_or("", |rule| &rule.name),
            code: self.code,
            method,
            host,
            path,
            referer,
            user_agent,
            request_id,
            location,
            rare: rare.as_ref(),
        };
        write(&record, &places);
    }
}

impl Entry {
    /// What the client was sent, and the target has: a tunnel that is open is 101 in HTTP/1.1, and 200 in HTTP/2 (RFC 8441
    /// §5).
    #[inline]
    fn statuses(&self, target: Option<&Target>) -> (u16, u16) {
        if self.status != 101 {
            return (self.status, self.target_status);
        }
        let told = |is_http2: bool| if is_http2 { 200 } else { 101 };
        let is_http2 = target.and_then(|target| target.manner.as_ref()).is_some_and(|to| to.http2);
        (told(self.stream.is_some()), told(is_http2))
    }
}

/// The facts of an encrypted client, of a stream, and of a target that is not spoken to in HTTP/1 in clear; none for
/// most requests.
#[inline]
fn rare<'a>(
    client: Option<&'a Encryption>,
    (stream, grpc_status): (Option<u32>, Option<u32>),
    target: Option<&Target>,
) -> Option<Rare<'a>> {
    let target = target.and_then(spoken);
    if target.is_none() && stream.is_none() {
        return client.map(Encryption::rare);
    }
    let rare = client.map(Encryption::rare).unwrap_or_default();
    Some(Rare { target, stream: stream.map(u64::from), grpc_status, ..rare })
}

/// The protocol of a target; `None` for HTTP/1 in clear.
fn spoken(target: &Target) -> Option<TargetProtocol> {
    let manner = target.manner.as_ref()?;
    let version = match (manner.grpc, manner.http2) {
        (true, _) => ProtocolVersion::Grpc,
        (false, true) => ProtocolVersion::Http2,
        (false, false) => ProtocolVersion::Http1,
    };
    let encrypted = manner.tls.is_some();
    (encrypted || manner.http2).then_some(TargetProtocol { version, encrypted })
}

fn acted(action: &Action) -> Acted {
    match action {
        Action::Forward(_) => Acted::Forward,
        Action::Redirect(_) => Acted::Redirect,
        Action::Respond(_) => Acted::Respond,
    }
}

fn socket_address(address: &Address) -> Option<SocketAddr> {
    match address {
        Address::Tcp(address) => Some(*address),
        Address::Unix(_) => None,
    }
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;
