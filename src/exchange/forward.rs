//! A place on the target, a lease on a connection to it, and what happens when either cannot be had.
//!
//! ```text
//!   plan ─▶ place (queue, spill, restick, reject) ─▶ lease (kept or new) ─▶ converse ─▶ end
//!     ▲                                                   │                    │
//!     └──────── same target again / another target ◀──────┴── refused, stale ──┘
//! ```

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::attempts::Attempts;
use super::client::{Answering, Asking, Client};
use super::converse::Converse;
use super::end::End;
use super::entry::Entry;
use super::failure::Failure;
use super::grpc;
use super::place::{Place, chosen};
use super::plan::Outgoing;
use super::progress::Progress;
use super::scene::{Scene, TRIED_MAX, Tried};
use super::target::{Connected, Connecting, Draft, Leased, Leases, Upstream};
use super::watch::{Cut, Watch};
use crate::group::on_full::Full;
use crate::group::target_group::{Destination, Manner, Target, TargetGroup, Way};
use crate::proxy_protocol::Version;
use crate::telemetry::ended::Phase;
use crate::time::timers::{Timer, Timers};
use crate::transport::tls::fault::HandshakeFault;

/// One exchange, from a plan to its end.
pub struct Exchange<'a, 's, C, U: Upstream> {
    pub scene: &'a Scene<'s>,
    pub out: &'a mut Outgoing<U::Draft>,
    pub client: &'a mut C,
    pub upstream: &'a U,
    pub timers: &'a Timers<'a>,
}

impl<'s, C: Client, U: Upstream> Exchange<'_, 's, C, U> {
    /// Serves the request from a target.
    pub async fn run(&mut self, entry: &mut Entry) -> End {
        let along = self.client.parts().0.along();
        self.out.draft.append(along);
        let progress = Progress::default();
        let mut attempts = Attempts::new(self.scene, self.out, along.is_whole());
        let along_bytes = self.client.parts().0.received();
        let ended = loop {
            match self.attempt((&attempts, &progress), entry).await {
                Ok(end) => break end,
                Err(failure) => {
                    let has_begun = progress.has_begun();
                    attempts.is_untouched = self.client.parts().0.received() == along_bytes;
                    let is_over = has_begun || self.scene.local.stop.is_now();
                    let again = match is_over {
                        true => Err(failure),
                        false => {
                            attempts.again((failure, &progress), self.client, (self.out, entry))
                        }
                    };
                    if let Err(failure) = again {
                        break self.scene.failed(failure, has_begun, entry);
                    }
                }
            }
        };
        drop(attempts);
        self.out.draft.clear();
        self.out.plan.session_id.clear();
        debug_assert!(!self.timers.is_any_set(), "a timer outlives its exchange");
        ended
    }

    /// One attempt at one target.
    async fn attempt(
        &mut self,
        (attempts, progress): (&Attempts<'_, '_>, &Progress),
        entry: &mut Entry,
    ) -> Result<End, Failure> {
        if self.is_no_call() {
            return Err(self.refuse(entry));
        }
        entry.enter(Phase::Queue);
        let place = match self.take_place() {
            Some(place) => place,
            None => self.place(&attempts.tried, entry).await?,
        };
        let Place { group, target } = place;
        entry.sticky = self.out.plan.choice.sticky.map(|sticky| sticky.reason);
        entry.target(self.out.plan.choice.group, self.out.plan.choice.target);
        entry.enter(Phase::Connect);
        let manner = target.manner.as_ref();
        let way = manner.map(|manner| self.way((target, manner), (attempts, progress)));
        let to = Destination { target, way: way.as_ref() };
        // What is there is leased, unless only new connections are to be trusted.
        let surely = !self.out.plan.method.is_idempotent();
        let kept = match attempts.only_fresh {
            true => None,
            false => self.upstream.lease(to, surely).await,
        };
        progress.is_reused.set(kept.is_some());
        entry.reused = Some(kept.is_some());
        let lease = match kept {
            Some(lease) => Ok(lease),
            None => self.connect(group, to, entry).await,
        };
        let lease = match lease {
            Ok(lease) => lease,
            Err(failure) => {
                if !matches!(failure, Failure::ClientGone | Failure::QueueTimeout) {
                    target.state.count_failure();
                }
                note_failure(target, failure, progress);
                return Err(failure);
            }
        };
        entry.enter(Phase::ResponseHead);
        let converse = Converse {
            scene: self.scene,
            out: self.out,
            place: &place,
            client: self.client,
            timers: self.timers,
            progress,
        };
        let upstream = self.upstream;
        // Each kind has its own straight line.
        let result = match lease {
            Leased::Own(lease) => converse.run(upstream, (lease, Leased::Own), entry).await,
            Leased::Stream(lease) => converse.run(upstream, (lease, Leased::Stream), entry).await,
        };
        // That a call's time has passed says nothing about its target.
        if let Err(failure) = result
            && !self.timers.is_past(Timer::Call)
        {
            note_failure(target, failure, progress);
        }
        result
    }

    /// Whether the chosen target is sent calls of gRPC only, and this request is none.
    #[inline]
    fn is_no_call(&self) -> bool {
        let plan = &self.out.plan;
        let manner = chosen(self.scene.view, &plan.choice).and_then(|(_, to)| to.manner.as_ref());
        manner.is_some_and(|manner| manner.grpc && !plan.call.is_call)
    }

    /// Why a request that is no call is not sent; it takes no place, and no session begins with it.
    #[cold]
    fn refuse(&self, entry: &mut Entry) -> Failure {
        let plan = &self.out.plan;
        entry.group(plan.choice.group);
        self.scene.abandon(plan);
        Failure::NotCall { status: grpc::status_for_others(plan.version, plan.method) }
    }

    /// What connections are made with on which the target is sent this request.
    #[inline]
    fn way(
        &mut self,
        (target, manner): (&'s Target, &'s Manner),
        (attempts, progress): (&Attempts<'_, '_>, &Progress),
    ) -> Way<'s> {
        let plan = &mut self.out.plan;
        if manner.http2 && plan.call.is_call {
            plan.call.again = attempts.after_call(plan, progress);
        }
        let name = manner.tls.as_ref().and_then(|tls| match tls.only_name() {
            Some(name) => Some(name),
            None => self.client.head(|head| tls.name(head.host)).flatten(),
        });
        let way = Way { http2: manner.http2, ..Way::to(name) };
        match manner.header {
            None => way,
            Some(version) => self.own_way(version, target, way),
        }
    }

    /// The same for connections that serve this client alone.
    #[cold]
    fn own_way(&self, version: Version, target: &Target, way: Way<'s>) -> Way<'s> {
        let caller = self.scene.caller;
        let alone = caller.alone(&self.scene.local.random);
        let header = alone.header(version, || caller.announced(self.client.local_address()));
        Way { id: alone.id(version, (target.state.slot, way.id)), header: Some(header), ..way }
    }

    /// Does what the group says when the chosen target has no place.
    async fn place(&mut self, tried: &Tried, entry: &mut Entry) -> Result<Place<'s>, Failure> {
        for _ in 0..TRIED_MAX {
            let plan = &self.out.plan;
            let full = self.client.head(|head| self.scene.on_full(head, plan, tried));
            match full {
                Some(Full::Serve(choice)) => {
                    self.scene.choose_again(self.client, choice, (self.out, entry));
                    if let Some(place) = self.take_place() {
                        return Ok(place);
                    }
                }
                Some(Full::Wait(choice)) => {
                    self.scene.choose_again(self.client, choice, (self.out, entry));
                    break;
                }
                Some(Full::Reject(choice)) => {
                    self.out.plan.choice = choice;
                    entry.sticky = choice.sticky.map(|sticky| sticky.reason);
                    entry.group(choice.group);
                    return Err(Failure::TargetFull);
                }
                None => return Err(Failure::NoTarget),
            }
        }
        entry.sticky = self.out.plan.choice.sticky.map(|sticky| sticky.reason);
        self.wait_for_place(entry).await
    }

    /// Takes a place on the chosen target, if it has one.
    fn take_place(&self) -> Option<Place<'s>> {
        let (group, target) = chosen(self.scene.view, &self.out.plan.choice)?;
        let has_place = target.state.try_acquire(group.options.connection_limit);
        // Not `then_some`: what is not there must not be given back.
        has_place.then(|| Place { group, target })
    }

    /// Stands in the target's line, for a bounded time.
    async fn wait_for_place(&mut self, entry: &mut Entry) -> Result<Place<'s>, Failure> {
        let choice = self.out.plan.choice;
        let (group, target) = chosen(self.scene.view, &choice).ok_or(Failure::NoTarget)?;
        let options = &group.options;
        let clock = &self.scene.local.clock;
        entry.target(choice.group, choice.target);
        let began_us = clock.read_us();
        let ticket = target.state.join(options.connection_limit, options.queue_size);
        let mut ticket = ticket.ok_or(Failure::QueueFull)?;
        self.timers.set(Timer::Queue, clock.deadline(options.queue_timeout));
        let mut is_given_up = false;
        // A place that is granted is owned at once, whatever becomes of the request.
        let granted = |cx: &mut Context<'_>, is_cut: bool| {
            is_given_up |= is_cut;
            match Pin::new(&mut ticket).poll(cx) {
                Poll::Ready(()) => Poll::Ready(Some(Place { group, target })),
                Poll::Pending if is_given_up => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        };
        let (granted, cut) = self.watch(Timer::Queue).over(granted).await;
        self.timers.stop(Timer::Queue);
        let waited_us = clock.read_us().saturating_sub(began_us);
        entry.queue_us = Some(entry.queue_us.unwrap_or(0) + waited_us);
        match cut {
            Some(Cut::ClientGone) => Err(Failure::ClientGone),
            Some(Cut::Deadline) | None => granted.ok_or(Failure::QueueTimeout),
        }
    }

    /// A wait for what comes before the conversation.
    fn watch(&mut self, timer: Timer) -> Watch<'_, C::Answering> {
        let (_, answering) = self.client.parts();
        answering.listen();
        Watch::new((self.timers, timer), answering, None)
    }

    /// A new connection.
    async fn connect(
        &mut self,
        group: &TargetGroup,
        to: Destination<'_>,
        entry: &mut Entry,
    ) -> Result<Leases<U>, Failure> {
        let clock = &self.scene.local.clock;
        let began_us = clock.read_us();
        let result = self.open(group, to).await;
        let took_us = clock.read_us().saturating_sub(began_us);
        entry.connect_us = Some(entry.connect_us.unwrap_or(0) + took_us);
        result
    }

    async fn open(
        &mut self,
        group: &TargetGroup,
        to: Destination<'_>,
    ) -> Result<Leases<U>, Failure> {
        let mut connecting = self.upstream.connect(to, &group.options).await?;
        let clock = self.timers.clock;
        let mut deadline_ms = clock.deadline(group.options.connect_timeout);
        let mut late = Failure::ConnectTimeout;
        loop {
            self.timers.set(Timer::Connect, deadline_ms);
            let connected = |cx: &mut Context<'_>, is_cut: bool| {
                if is_cut {
                    connecting.abort();
                }
                connecting.poll_connected(cx)
            };
            let (connected, cut) = self.watch(Timer::Connect).over(connected).await;
            self.timers.stop(Timer::Connect);
            let failure = match (cut, connected) {
                (None, Ok(Connected::Ready(lease))) => return Ok(lease),
                (None, Ok(Connected::Shakes)) => {
                    deadline_ms = clock.deadline(group.options.handshake_timeout);
                    late = Failure::Handshake(HandshakeFault::Timeout);
                    continue;
                }
                // A shared connection took no more before this request was sent on it: another may, in time.
                (None, Err(Failure::TargetUnprocessed)) if clock.now_ms() < deadline_ms => {
                    connecting = self.upstream.connect(to, &group.options).await?;
                    continue;
                }
                (None, Err(failure)) => return Err(failure),
                (Some(Cut::ClientGone), connected) => (Failure::ClientGone, connected),
                // All connections that there may be were full.
                (Some(Cut::Deadline), Err(Failure::QueueTimeout)) => {
                    return Err(Failure::QueueTimeout);
                }
                (Some(Cut::Deadline), connected) => (late, connected),
            };
            if let (_, Ok(Connected::Ready(lease))) = failure {
                self.upstream.close(lease);
            }
            return Err(failure.0);
        }
    }
}

/// Lets a failure count towards the target's ejection if it is the target's; a response that has begun
/// was noted with its head.
fn note_failure(target: &Target, failure: Failure, progress: &Progress) {
    if !progress.has_begun() && failure.is_gateway_error(progress.is_reused.get()) {
        target.state.note_outcome(true);
    }
}

#[cfg(test)]
#[path = "forward_tests.rs"]
mod tests;
