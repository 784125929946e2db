//! A place on the target, a connection to it, and what happens when either cannot be had.
//!
//! ```text
//!   plan ─▶ place (queue, spill, restick, reject) ─▶ connection (pooled or new) ─▶ converse ─▶ done
//!     ▲                                                   │                           │
//!     └──────── same target again / another target ◀──────┴── refused, stale ─────────┘
//! ```

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::answer::Reply;
use super::busy::{self, Done};
use super::content;
use super::converse::Converse;
use super::early::Ahead;
use super::entry::Entry;
use super::failure::Failure;
use super::input::Input;
use super::prepare::{Plan, Scene, TRIED_MAX, Tried};
use super::stream::Stream;
use super::target_side::TargetConnection;
use super::upload::{Rest, UploadState};
use super::watch::{Watch, Watched};
use crate::http1::chunked::Decoder;
use crate::http1::framing::RequestFraming;
use crate::routing::actions::Action;
use crate::shard::clock::{Millis, NEVER};
use crate::shard::local::View;
use crate::shard::reclaim;
use crate::target::group::{Address, Standing, Target, TargetGroup};
use crate::target::retry::{self, Decision, RetryPermit};
use crate::target::select::{Choice, Full};
use crate::telemetry::counters::Counter;
use crate::telemetry::ended::Phase;
use crate::uring::{self, ConnectAddress, buffers};

/// How often a connection to a target waits for something idle to give its descriptor back.
const SHORTAGES_MAX: usize = 8;

/// A place on a target, given back when dropped.
struct PlaceOnTarget<'v> {
    group: &'v TargetGroup,
    target: &'v Target,
}

impl Drop for PlaceOnTarget<'_> {
    fn drop(&mut self) {
        self.target.state.release();
    }
}

/// The group and the target of a choice.
fn chosen<'v>(view: &'v View, choice: &Choice) -> Option<(&'v TargetGroup, &'v Target)> {
    let group = view.groups.get(choice.group)?;
    Some((group, group.targets.get(choice.target)?))
}

/// The request's content as far as it had come with the head.
struct Content {
    /// What is still to come.
    rest: Option<Rest>,
    /// Bytes of the client's buffer that belong to this request.
    used: usize,
    /// Content bytes among them.
    received: u64,
}

/// Serves one request from a target.
pub async fn forward(
    scene: &Scene<'_>,
    plan: &mut Plan,
    input: &mut Input,
    ahead: &mut Ahead,
    entry: &mut Entry,
) -> Done {
    let Content { mut rest, used, received } = match gather_content(plan, scene, input) {
        Ok(content) => content,
        Err(failure) => {
            entry.phase = Phase::RequestContent;
            return fail(scene, plan, failure, None, input, ahead, entry).await;
        }
    };
    entry.request_bytes = used as u64;
    entry.request_content_bytes = received;
    let request_bytes = rest.is_none().then_some(used);
    let mut attempts = Attempts::new(scene, plan, rest.is_none());
    let beyond = Cell::new(Input::default());
    let result = loop {
        let attempt = Attempt {
            scene,
            plan,
            input,
            used,
            rest: &mut rest,
            received,
            ahead,
            beyond: &beyond,
            tried: &attempts.tried,
            only_fresh: attempts.only_fresh,
        };
        match attempt.run(entry).await {
            Ok(done) => break Ok(done),
            Err(failure) => {
                let is_over = entry.has_begun || scene.connection.shard.stop.is_now();
                if is_over || !attempts.again(failure, plan, input, entry) {
                    break Err(failure);
                }
            }
        }
    };
    drop(attempts);
    match result {
        Ok(done) => {
            buffers::give_back(std::mem::take(&mut plan.request));
            input.consume(used);
            let beyond = beyond.into_inner();
            if !beyond.is_empty() {
                let mut bytes = buffers::small();
                bytes.extend_from_slice(beyond.unread());
                input.append(bytes);
            }
            done
        }
        Err(failure) => fail(scene, plan, failure, request_bytes, input, ahead, entry).await,
    }
}

/// Answers a request that could not be served, or cuts the connection where a response has begun.
async fn fail(
    scene: &Scene<'_>,
    plan: &mut Plan,
    failure: Failure,
    request_bytes: Option<usize>,
    input: &mut Input,
    ahead: &mut Ahead,
    entry: &mut Entry,
) -> Done {
    buffers::give_back(std::mem::take(&mut plan.request));
    // A shard that is being cut off has made every deadline due.
    let is_cut = scene.connection.shard.stop.is_now();
    let failure = if is_cut { Failure::Stopped } else { failure };
    entry.fail(failure);
    if entry.has_begun || failure.status() == 499 {
        return Done::ABORTED;
    }
    let kept = request_bytes.filter(|_| plan.persistent);
    let reply = Reply::failure(failure).after(plan.method, plan.version, kept);
    busy::answer(scene, reply, input, ahead, entry)
}

/// Appends the content that came with the head to the request, in its own kind of framing.
fn gather_content(
    plan: &mut Plan,
    scene: &Scene<'_>,
    input: &mut Input,
) -> Result<Content, Failure> {
    let head_bytes = plan.head_bytes;
    match plan.framing {
        RequestFraming::None => Ok(Content { rest: None, used: head_bytes, received: 0 }),
        RequestFraming::Length(length) => {
            let bytes = input.unread().get(head_bytes..).unwrap_or_default();
            let taken = usize::try_from(length).unwrap_or(usize::MAX).min(bytes.len());
            plan.request.extend_from_slice(bytes.get(..taken).unwrap_or_default());
            let rest = length - taken as u64;
            Ok(Content {
                rest: (rest > 0).then_some(Rest::Length(rest)),
                used: head_bytes + taken,
                received: taken as u64,
            })
        }
        RequestFraming::Chunked => {
            let mut decoder = Decoder::default();
            let bytes = input.unread_mut(head_bytes);
            let decoded = decoder.decode_in_place(bytes).map_err(Failure::ClientContentInvalid)?;
            let limit = scene.listener.content_bytes;
            if limit > 0 && decoded.content as u64 > limit {
                return Err(Failure::ContentTooLarge);
            }
            let bytes = bytes.get(..decoded.content).unwrap_or_default();
            content::append_chunk(bytes, &mut plan.request);
            if decoded.end {
                crate::http1::chunked::write_end(decoder.trailers(), &mut plan.request);
            }
            Ok(Content {
                rest: (!decoded.end).then_some(Rest::Chunked(decoder)),
                used: head_bytes + decoded.consumed,
                received: decoded.content as u64,
            })
        }
    }
}

/// What has been tried for one request, and whether more may be.
struct Attempts<'a, 's> {
    scene: &'a Scene<'s>,
    tried: Tried,
    retries: u32,
    /// The target that the request is bound to has had its second chance.
    was_tried_again: bool,
    /// A kept connection has failed this request; another one may be as stale.
    only_fresh: bool,
    is_idempotent: bool,
    is_replayable: bool,
    began_ms: Millis,
    /// Held while a retry runs.
    permit: Option<RetryPermit>,
}

impl<'a, 's> Attempts<'a, 's> {
    fn new(scene: &'a Scene<'s>, plan: &Plan, is_replayable: bool) -> Attempts<'a, 's> {
        Attempts {
            scene,
            tried: Tried::new(),
            retries: 0,
            was_tried_again: false,
            only_fresh: false,
            is_idempotent: plan.method.is_idempotent(),
            is_replayable,
            began_ms: scene.connection.shard.clock.now_ms(),
            permit: None,
        }
    }

    /// Decides about another attempt and makes `plan` ready for it; `false` when there is none.
    fn again(
        &mut self,
        failure: Failure,
        plan: &mut Plan,
        input: &Input,
        entry: &mut Entry,
    ) -> bool {
        let view = self.scene.view;
        let Some(group) = view.groups.get(plan.choice.group) else { return false };
        let clock = &self.scene.connection.shard.clock;
        let elapsed_ms = clock.now_ms().saturating_sub(self.began_ms);
        let options = &group.options;
        let attempt = retry::Attempt {
            failure: match failure {
                _ if failure.is_connect() => retry::Failure::ConnectFailed,
                _ if failure.is_before_any_byte() => retry::Failure::ClosedBeforeByte,
                _ => retry::Failure::Other,
            },
            was_reused: entry.reused == Some(true),
            is_idempotent: self.is_idempotent,
            is_replayable: self.is_replayable,
            is_bound: plan.choice.sticky.is_some_and(|sticky| sticky.bound),
            was_tried_again: self.was_tried_again,
            has_connect_time: u128::from(elapsed_ms) < options.connect_timeout.as_millis(),
            retries: self.retries,
            retries_max: options.retries,
        };
        let (percent, minimum) = (options.retry_budget_percent, options.retry_budget_minimum);
        let decision = retry::decide(&attempt, || {
            self.permit = self
                .permit
                .take()
                .or_else(|| group.state.start_retry(clock.unix_s(), percent, minimum));
            self.permit.is_some()
        });
        let (goes_elsewhere, has_same) = match decision {
            Decision::GiveUp => (false, false),
            Decision::SameTarget => (false, true),
            Decision::OtherTarget => (self.other(plan, input, entry, true), false),
            // A connection that had gone stale leads to nobody who is ejected, before the target has refused another.
            Decision::OtherTargetElseSame => {
                (self.other(plan, input, entry, false), self.retries == 0)
            }
        };
        let is_ready = goes_elsewhere || has_same;
        if is_ready {
            self.only_fresh |= failure.is_before_any_byte();
            entry.retries += 1;
            self.retries += u32::from(goes_elsewhere);
            self.was_tried_again |= !goes_elsewhere;
        }
        is_ready
    }

    /// Chooses another target, one that is ejected at most if `even_ejected`; `plan` keeps its own when there
    /// is none.
    fn other(&mut self, plan: &mut Plan, input: &Input, entry: &Entry, even_ejected: bool) -> bool {
        let Some((_, target)) = chosen(self.scene.view, &plan.choice) else { return false };
        let rules = self.scene.listener.rules.rules();
        let Some(Action::Forward(forward)) = rules.get(plan.rule).map(|rule| &rule.action) else {
            return false;
        };
        let slot = target.state.slot;
        if !self.tried.contains(&slot) && self.tried.try_push(slot).is_err() {
            return false;
        }
        let choice = self.scene.read_again(input.unread(), |head| {
            self.scene.select_again(head, forward, plan.rule, entry.client, &self.tried)
        });
        match choice {
            Some(Ok(choice)) => {
                let group = self.scene.view.groups.get(choice.group);
                let is_in =
                    group.is_some_and(|group| group.standing(choice.target) != Standing::Unhealthy);
                if is_in || even_ejected {
                    self.scene.choose_again(input.unread(), choice, plan, entry);
                }
                is_in || even_ejected
            }
            Some(Err(_)) | None => false,
        }
    }
}

/// One attempt at one target.
struct Attempt<'a, 's> {
    scene: &'a Scene<'s>,
    plan: &'a mut Plan,
    input: &'a Input,
    /// Bytes of `input` that belong to this request.
    used: usize,
    rest: &'a mut Option<Rest>,
    received: u64,
    ahead: &'a mut Ahead,
    beyond: &'a Cell<Input>,
    tried: &'a Tried,
    /// Take no connection from the pool.
    only_fresh: bool,
}

impl<'s> Attempt<'_, 's> {
    async fn run(mut self, entry: &mut Entry) -> Result<Done, Failure> {
        entry.enter(Phase::Queue);
        let place = match self.take_place() {
            Some(place) => place,
            None => self.place(entry).await?,
        };
        let PlaceOnTarget { group, target } = place;
        entry.sticky = self.plan.choice.sticky.map(|sticky| sticky.reason);
        entry.target(self.plan.choice.group, self.plan.choice.target);
        entry.enter(Phase::Connect);
        let connection = match poll_fn(|cx| Poll::Ready(self.pooled(target, entry, cx))).await {
            Some(connection) => Ok(connection),
            None => self.connect(group, target, entry).await,
        };
        let connection = match connection {
            Ok(connection) => connection,
            Err(failure) => {
                if failure != Failure::ClientGone {
                    target.state.count_failure();
                }
                note_failure(target, failure, entry);
                return Err(failure);
            }
        };
        entry.enter(Phase::ResponseHead);
        let (head_deadline, upload) = (Cell::new(NEVER), Cell::new(UploadState::None));
        let mut converse = Converse {
            scene: self.scene,
            plan: self.plan,
            group,
            target,
            ahead: self.ahead,
            early: early(self.input, self.used),
            beyond: self.beyond,
            upload: &upload,
            head_deadline: &head_deadline,
        };
        let result = converse.run(connection, self.rest, self.received, entry).await;
        if let Err(failure) = result {
            note_failure(target, failure, entry);
        }
        result
    }

    /// Does what the group says when the chosen target has no place.
    async fn place(&mut self, entry: &mut Entry) -> Result<PlaceOnTarget<'s>, Failure> {
        for _ in 0..TRIED_MAX {
            let choice = self.plan.choice;
            let full = self.scene.read_again(self.input.unread(), |head| {
                self.scene.on_full(head, &choice, entry.client, self.tried)
            });
            match full {
                Some(Full::Serve(choice)) => {
                    self.choose_again(choice, entry);
                    if let Some(place) = self.take_place() {
                        return Ok(place);
                    }
                }
                Some(Full::Wait(choice)) => {
                    self.choose_again(choice, entry);
                    break;
                }
                Some(Full::Reject(choice)) => {
                    self.plan.choice = choice;
                    entry.sticky = choice.sticky.map(|sticky| sticky.reason);
                    entry.group(choice.group);
                    return Err(Failure::TargetFull);
                }
                None => return Err(Failure::NoTarget),
            }
        }
        entry.sticky = self.plan.choice.sticky.map(|sticky| sticky.reason);
        self.wait_for_place(entry).await
    }

    fn choose_again(&mut self, choice: Choice, entry: &Entry) {
        self.scene.choose_again(self.input.unread(), choice, self.plan, entry);
    }

    /// Takes a place on the chosen target, if it has one.
    fn take_place(&self) -> Option<PlaceOnTarget<'s>> {
        let (group, target) = chosen(self.scene.view, &self.plan.choice)?;
        let has_place = target.state.try_acquire(group.options.connection_limit);
        // Not `then_some`: what is not there must not be given back.
        has_place.then(|| PlaceOnTarget { group, target })
    }

    /// Stands in the target's line, for a bounded time.
    async fn wait_for_place(&mut self, entry: &mut Entry) -> Result<PlaceOnTarget<'s>, Failure> {
        let choice = self.plan.choice;
        let (group, target) = chosen(self.scene.view, &choice).ok_or(Failure::NoTarget)?;
        let options = &group.options;
        let connection = self.scene.connection;
        let clock = &connection.shard.clock;
        entry.target(choice.group, choice.target);
        let began_us = clock.read_us();
        let ticket = target.state.join(options.connection_limit, options.queue_size);
        let mut ticket = ticket.ok_or(Failure::QueueFull)?;
        let deadline = Cell::new(clock.deadline(options.queue_timeout));
        let is_given_up = Cell::new(false);
        // A place that is granted is owned at once, whatever becomes of the request.
        let granted = poll_fn(|cx| match Pin::new(&mut ticket).poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(PlaceOnTarget { group, target })),
            Poll::Pending if is_given_up.get() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        let (watched, _) = self.watch(granted, &deadline, || is_given_up.set(true)).await;
        let waited_us = clock.read_us().saturating_sub(began_us);
        entry.queue_us = Some(entry.queue_us.unwrap_or(0) + waited_us);
        match watched {
            Watched::Output(granted) => granted.ok_or(Failure::QueueTimeout),
            Watched::ClientGone => Err(Failure::ClientGone),
        }
    }

    /// Awaits what comes before the conversation, and ends it with `cut` at `deadline` or when the client goes
    /// away.
    fn watch<'w, F: Future + Unpin, C: FnMut()>(
        &'w mut self,
        op: F,
        deadline: &'w Cell<Millis>,
        cut: C,
    ) -> Watch<'w, F, C> {
        let connection = self.scene.connection;
        if self.rest.is_none() {
            self.ahead.listen(&connection.client, early(self.input, self.used));
        }
        Watch::new(connection, &mut self.ahead.next, deadline, op, cut)
    }

    /// A kept connection on which nothing has happened since; others are closed on the way. `None` when
    /// a new one is to be made.
    fn pooled(
        &self,
        target: &Target,
        entry: &mut Entry,
        cx: &mut Context<'_>,
    ) -> Option<TargetConnection> {
        if self.only_fresh {
            return None;
        }
        let shard = &self.scene.connection.shard;
        loop {
            let now_ms = shard.clock.now_ms();
            let mut connection = shard.pool.borrow_mut().checkout(target.state.slot, now_ms)?;
            if connection.is_quiet(!self.plan.method.is_idempotent(), cx) {
                entry.reused = Some(true);
                return Some(connection);
            }
            shard.counters.add(Counter::TargetConnectionsClosedIdle, 1);
            shard.counters.add(Counter::TargetConnectionsClosed, 1);
            connection.close();
        }
    }

    /// A new connection.
    async fn connect(
        &mut self,
        group: &TargetGroup,
        target: &Target,
        entry: &mut Entry,
    ) -> Result<TargetConnection, Failure> {
        let clock = &self.scene.connection.shard.clock;
        entry.reused = Some(false);
        let began_us = clock.read_us();
        let result = self.open(group, target).await;
        let took_us = clock.read_us().saturating_sub(began_us);
        entry.connect_us = Some(entry.connect_us.unwrap_or(0) + took_us);
        result
    }

    async fn open(
        &mut self,
        group: &TargetGroup,
        target: &Target,
    ) -> Result<TargetConnection, Failure> {
        let connection = self.scene.connection;
        let timeout = group.options.connect_timeout;
        let address = match &target.address {
            Address::Tcp(address) => ConnectAddress::Tcp(*address),
            Address::Unix(path) => ConnectAddress::Unix(path),
        };
        let mut connect = uring::connect(&address, timeout);
        for _ in 0..SHORTAGES_MAX {
            if !connect.as_ref().is_err_and(reclaim::is_shortage) {
                break;
            }
            // Boxed, because it is rare.
            Box::pin(connection.shard.descriptor()).await;
            connect = uring::connect(&address, timeout);
        }
        let connect = connect.map_err(|_| Failure::NoSocket)?;
        let socket = connect.socket();
        let deadline = Cell::new(connection.shard.clock.deadline(timeout));
        let cut = || socket.shutdown(uring::Shutdown::Both);
        let (watched, expired) = self.watch(connect, &deadline, cut).await;
        let Watched::Output(result) = watched else { return Err(Failure::ClientGone) };
        match result {
            Ok(socket) if !expired => {
                connection.shard.counters.add(Counter::TargetConnectionsOpened, 1);
                Ok(TargetConnection::new(Stream::plain(socket)))
            }
            Ok(_) => Err(Failure::ConnectTimeout),
            Err(_) if expired => Err(Failure::ConnectTimeout),
            Err(error) => Err(connect_failure(&error)),
        }
    }
}

/// What the client has sent beyond its request.
fn early(input: &Input, used: usize) -> &[u8] {
    input.unread().get(used..).unwrap_or_default()
}

/// Lets a failure count towards the target's ejection if it is the target's; a response that has begun
/// was noted with its head.
fn note_failure(target: &Target, failure: Failure, entry: &Entry) {
    if !entry.has_begun && failure.is_gateway_error(entry.reused == Some(true)) {
        target.state.note_outcome(true);
    }
}

fn connect_failure(error: &io::Error) -> Failure {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED | libc::ENOENT) => Failure::ConnectRefused,
        Some(libc::ETIMEDOUT | libc::EAGAIN) => Failure::ConnectTimeout,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EADDRNOTAVAIL) => Failure::NoSocket,
        _ => Failure::ConnectFailed,
    }
}
