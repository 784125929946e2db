//! The expected outcome of each request of a plan: whether anything may disturb it, and which ends are allowed.
//!
//! Derived from the plan and the kernel's knobs alone, never from the run. A request that nothing may disturb must
//! succeed; the cause of any other end must be among those listed here.

use std::collections::BTreeMap;

use super::plan::{Client, Cut, Framing, Plan, Request, Then};
use super::target::has_content;
use crate::telemetry::ended::{By, Cause};
use crate::uring::simulated::Knobs;

/// The expected outcome of one request.
#[derive(Debug, Default)]
pub(super) struct Fate {
    /// The causes of an end that are allowed; if there are none, the request must succeed.
    pub causes: Vec<(By, Cause)>,
    /// Whether the client can send it and limpet will read it, whatever happens.
    pub is_reached: bool,
    /// Whether another request may follow it on the client's connection.
    pub is_kept: bool,
    /// Whether it uses the same connection to its target as the request before it.
    pub reuses: bool,
    /// Whether no target can answer it in time.
    pub is_too_late: bool,
}

impl Fate {
    pub(super) fn is_undisturbed(&self) -> bool {
        self.is_reached && self.causes.is_empty()
    }
}

const CLIENT_LEAVES: [(By, Cause); 3] = [
    (By::Client, Cause::Closed),
    (By::Client, Cause::Reset),
    // Its message is incomplete, or it takes no bytes any more.
    (By::Client, Cause::Invalid),
];
const CLIENT_STALLS: (By, Cause) = (By::Client, Cause::Timeout);
const TARGET_LEAVES: [(By, Cause); 2] = [(By::Target, Cause::Closed), (By::Target, Cause::Reset)];
const TARGET_STALLS: (By, Cause) = (By::Target, Cause::Timeout);

/// The fates of all requests of a plan.
pub(super) fn fates(plan: &Plan, knobs: &Knobs) -> BTreeMap<u32, Fate> {
    let mut fates = BTreeMap::new();
    for client in &plan.clients {
        let mut is_reached = true;
        for (at, request) in client.requests.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|at| client.requests.get(at));
            // A client that does not wait for a response may cut in a later request before it comes.
            let mut sent = if client.pipelines { client.requests.len() } else { at + 1 };
            // Nor does one that has its response before limpet has read what it sent: it goes on to its next request.
            while sent < client.requests.len() && client.requests[sent - 1].response.early.is_some()
            {
                sent += 1;
            }
            let sent = &client.requests[..sent];
            let draft = Draft { plan, knobs, client, request, before, sent };
            let mut fate = draft.fate();
            is_reached &= before.is_none() || draft.is_in_time();
            fate.is_reached = is_reached;
            fate.reuses &= is_reached;
            is_reached = fate.is_undisturbed() && fate.is_kept;
            fates.insert(request.id, fate);
        }
    }
    fates
}

/// A request, with everything that may affect it.
struct Draft<'a> {
    plan: &'a Plan,
    knobs: &'a Knobs,
    client: &'a Client,
    request: &'a Request,
    /// The one before it on its client's connection.
    before: Option<&'a Request>,
    /// All requests that its client may have begun to send by its end.
    sent: &'a [Request],
}

impl Draft<'_> {
    fn fate(&self) -> Fate {
        let mut causes = Vec::new();
        self.of_client(&mut causes);
        self.of_targets(&mut causes);
        self.of_limpet(&mut causes);
        let after_ms = self.request.response.after.as_millis() as u64;
        Fate {
            causes,
            is_reached: true,
            is_kept: self.is_kept(),
            reuses: self.reuses(),
            // With content, the target may wait while it is still being sent.
            is_too_late: after_ms >= self.plan.settings.response_ms + 2 * self.op_ms() + 500
                && self.request.response.early.is_none()
                && self.request.content.is_none()
                && self.plan.speaks_first == 0,
        }
    }

    fn of_client(&self, causes: &mut Vec<(By, Cause)>) {
        let Draft { client, knobs, .. } = self;
        let cuts = self.sent.iter().filter_map(|request| request.cut.map(|(_, how)| how));
        let leaves = client.leaves.map(|(_, how)| how);
        let strikes = client.strike.filter(|strike| !strike.by_target).map(|strike| strike.how);
        for how in cuts.chain(leaves).chain(strikes) {
            match how {
                // It closes once it has its response, although it has not sent everything.
                Cut::Stall if self.request.response.early.is_some() => {
                    causes.push(CLIENT_STALLS);
                    causes.extend(CLIENT_LEAVES);
                }
                Cut::Stall => causes.push(CLIENT_STALLS),
                Cut::HalfClose | Cut::Close | Cut::Reset => causes.extend(CLIENT_LEAVES),
            }
        }
        // All of a response's last bytes must be taken within one deadline.
        let last = self.request.response.length.min(16_384);
        let is_narrow = knobs.room_bytes < 16_384;
        if is_narrow && (!client.reads_after.is_zero() || self.moves_ms(last) > 1_500) {
            causes.push(CLIENT_STALLS);
        }
        // A head that begins while the connection is being closed as idle may be cut.
        if self.before.is_some() && !self.is_in_time() {
            causes.extend(CLIENT_LEAVES);
        }
    }

    fn of_targets(&self, causes: &mut Vec<(By, Cause)>) {
        let Draft { plan, request, .. } = self;
        let response = &request.response;
        let strikes = plan.clients.iter().filter_map(|client| client.strike);
        let strikes = strikes.filter(|strike| strike.by_target).map(|strike| strike.how);
        for how in response.cut.map(|(_, how)| how).into_iter().chain(strikes) {
            match how {
                Cut::Stall => causes.push(TARGET_STALLS),
                Cut::HalfClose | Cut::Close | Cut::Reset => causes.extend(TARGET_LEAVES),
            }
        }
        if plan.speaks_first > 0 || self.may_be_stale() {
            causes.extend(TARGET_LEAVES);
        }
        if response.early.is_some() && request.content.is_some() {
            // It is answered before it is whole, or by a target that does not take the rest.
            causes.extend(TARGET_LEAVES);
            causes.push(TARGET_STALLS);
        }
        if plan.refuses > 0 {
            causes.push((By::Target, Cause::Refused));
        }
        if plan.silent > 0 || self.answers_after_ms() >= plan.settings.response_ms {
            causes.push(TARGET_STALLS);
        }
    }

    fn of_limpet(&self, causes: &mut Vec<(By, Cause)>) {
        let Draft { plan, request, knobs, .. } = self;
        if plan.settings.limit != 0 && plan.clients.len() > plan.settings.limit {
            causes.extend([(By::Limpet, Cause::Full), (By::Limpet, Cause::Timeout)]);
        }
        // A tunnel in which a side stalls is idle, and the other side may seem to take nothing.
        let stalls = causes.iter().any(|(_, cause)| *cause == Cause::Timeout);
        if request.is_tunnel() && (stalls || !self.client.reads_after.is_zero()) {
            causes.extend([By::Limpet, By::Target, By::Client].map(|by| (by, Cause::Timeout)));
        }
        if knobs.no_socket > 0 {
            causes.push((By::Limpet, Cause::Exhausted));
        }
    }

    /// Whether a target may have closed a connection that is kept for another request.
    fn may_be_stale(&self) -> bool {
        let requests = self.plan.clients.iter().flat_map(|client| &client.requests);
        requests.filter(|other| other.id != self.request.id).any(|other| {
            let response = &other.response;
            response.then == Then::Drop || response.early.is_some() || response.cut.is_some()
        })
    }

    /// Whether the request comes before its client's connection has been idle for too long.
    fn is_in_time(&self) -> bool {
        let Draft { plan, client, .. } = self;
        let before = self.before.map_or(0, |before| before.response.length);
        let idle_ms = client.pause.as_millis() as u64 + self.moves_ms(before);
        client.reads_after.is_zero() && idle_ms + 50 < plan.settings.keep_alive_ms
    }

    fn is_kept(&self) -> bool {
        let Draft { request, knobs, .. } = self;
        let response = &request.response;
        // HTTP/1.0 has no way to send content of unknown length except until the close.
        let is_until_close = request.version == "HTTP/1.0"
            && has_content(request)
            && response.framing != Framing::Length;
        // The confirmation that all content was sent may come after the response.
        let is_seen_to_go = request.content.is_none() || knobs.late == 0;
        !request.is_last && !is_until_close && !request.is_tunnel() && is_seen_to_go
    }

    /// Whether only one connection is possible for it, and that one is kept.
    fn reuses(&self) -> bool {
        let Draft { plan, client, .. } = self;
        let Some(before) = self.before else { return false };
        let idle_ms = client.pause.as_millis() as u64 + self.moves_ms(before.response.length);
        (plan.clients.len(), plan.target_count) == (1, 1)
            && before.response.then == Then::Keep
            && before.response.framing != Framing::Close
            && before.response.early.is_none()
            && idle_ms + 50 < plan.settings.idle_ms
    }

    /// The longest time until a single operation is seen to be done.
    fn op_ms(&self) -> u64 {
        let late_us = if self.knobs.late > 0 { self.knobs.late_us } else { 0 };
        (late_us + self.knobs.latency_us) / 1_000
    }

    /// The longest time in which this many bytes get from one end to the other, with their framing.
    fn moves_ms(&self, bytes: usize) -> u64 {
        let Knobs { late, late_us, latency_us, .. } = *self.knobs;
        let piece_us = late_us * u64::from(late) / 2_000 + latency_us / 2;
        16 * self.op_ms() + bytes as u64 / 500 * piece_us / 1_000 + 50
    }

    /// When the head of the response must have come.
    fn answers_after_ms(&self) -> u64 {
        let length = self.request.content.map_or(0, |(_, length)| length);
        self.request.response.after.as_millis() as u64 + self.moves_ms(length)
    }
}
