//! One conversation with a target: the request out, the response back, both connections put away.
//!
//! Drives the two directions: a request without further content is answered by [`Converse::respond`]
//! alone; with content to come, an [`Upload`] runs beside it in the same task.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use super::busy::Done;
use super::connection::Connection;
use super::early::{NextReceive, PendingSend, Watch, Watched};
use super::entry::Entry;
use super::failure::Failure;
use super::input::Input;
use super::prepare::{Plan, Scene};
use super::stream::Stream;
use super::target_side::TargetConnection;
use super::upload::{Rest, Upload, UploadState};
use crate::shard::clock::{Millis, NEVER};
use crate::target::group::{Target, TargetGroup};
use crate::telemetry::counters::Counter;
use crate::telemetry::ended::Phase;
use crate::uring::{RecvAny, buffers};

/// How long an upload that nobody wants any more may take to notice.
const STOP_UPLOAD: Duration = Duration::from_millis(500);

/// How long a client that has ended its side may still be waiting for the response: one that only
/// half-closed gets a quick one; one that closed, as most do, is not worked for any longer.
const CLIENT_GONE: Duration = Duration::from_secs(1);

/// An attempt that did not work out; the request can be sent again where it is still whole.
pub struct Broken {
    pub failure: Failure,
    pub request: Vec<u8>,
}

/// One conversation with a target over one connection.
pub struct Converse<'a, 's> {
    pub scene: &'a Scene<'s>,
    pub plan: &'a Plan,
    pub group: &'a TargetGroup,
    pub target: &'a Target,
    pub next: &'a mut NextReceive,
    /// What the client has sent beyond its request.
    pub early: &'a [u8],
    /// When the response's head must be whole; set once the request has been sent.
    pub head_deadline: &'a Cell<Millis>,
}

/// How the exchange ended on both sides.
pub(super) struct Finished {
    pub(super) last: PendingSend,
    pub(super) keep_client: bool,
    pub(super) keep_target: bool,
    /// How long the target keeps the connection, from its Keep-Alive field.
    pub(super) target_idle_s: Option<u32>,
}

impl Converse<'_, '_> {
    /// Sends the request, relays the response. Returns what the client sent beyond its request.
    pub async fn run(
        self,
        connection: TargetConnection,
        request: Vec<u8>,
        rest: Option<Rest>,
        received: u64,
        entry: &mut Entry,
    ) -> Result<(Done, Input), Broken> {
        let TargetConnection { stream, receive } = connection;
        let sending = PendingSend::start(&stream, request);
        let listener = self.scene.listener;
        let may_continue = self.scene.connection.may_continue(listener);
        let persistent = self.plan.persistent && may_continue;
        match rest {
            None => {
                if self.early.is_empty() && self.next.is_none() {
                    *self.next = NextReceive::start(&self.scene.connection.client);
                }
                self.without_upload(stream, receive, sending, persistent, entry).await
            }
            Some(rest) => {
                let upload = (rest, sending, received);
                self.with_upload(stream, receive, upload, persistent, entry).await
            }
        }
    }

    async fn without_upload(
        mut self,
        target: Stream,
        receive: RecvAny,
        mut sending: PendingSend,
        persistent: bool,
        entry: &mut Entry,
    ) -> Result<(Done, Input), Broken> {
        let timeout = self.group.options.response_timeout;
        let deadline = self.scene.connection.shard.clock.deadline(timeout);
        self.head_deadline.set(deadline);
        let first = self.first_bytes(&target, receive, &mut sending).await;
        let bytes = match first {
            Ok(bytes) => bytes,
            Err(failure) => {
                self.close(&target);
                let (_, request) = sending.finish().await;
                return Err(Broken { failure, request });
            }
        };
        let ((), _) =
            self.scene.connection.alarm.bound(deadline, &mut sending, || target.end()).await;
        let (_, request) = sending.finish().await;
        match self.respond(&target, bytes, persistent, None, entry).await {
            Ok(finished) => {
                buffers::give_back(request);
                Ok((self.finish(target, finished), Input::default()))
            }
            Err(failure) => {
                self.close(&target);
                Err(Broken { failure, request })
            }
        }
    }

    async fn with_upload(
        mut self,
        target: Stream,
        receive: RecvAny,
        upload: (Rest, PendingSend, u64),
        persistent: bool,
        entry: &mut Entry,
    ) -> Result<(Done, Input), Broken> {
        let Scene { connection, listener, .. } = *self.scene;
        let state = Cell::new(UploadState::Running);
        let received = Cell::new(upload.2);
        let alarm = connection.shard.alarms.alarm();
        let upload = Upload {
            client: &connection.client,
            target: &target,
            listener,
            clock: &connection.shard.clock,
            alarm: &alarm,
            rest: upload.0,
            first: upload.1,
            received: &received,
            state: &state,
            send_idle: self.group.options.content_idle_timeout,
        };
        let (timeout, head_deadline) = (self.group.options.response_timeout, self.head_deadline);
        let uploaded = || {
            // Only now does the target owe a response.
            head_deadline.set(connection.shard.clock.deadline(timeout));
            connection.alarm.set(head_deadline.get());
        };
        let stop = || {
            // The client is not read any further than a moment; what it sends goes nowhere.
            target.end();
            alarm.set(connection.shard.clock.deadline(STOP_UPLOAD));
        };
        let (result, beyond, at_response_end) = {
            let respond = async {
                let mut none = PendingSend::None;
                let bytes = self.first_bytes(&target, receive, &mut none).await?;
                let mut finished =
                    self.respond(&target, bytes, persistent, Some(&state), entry).await?;
                if state.get() != UploadState::Complete {
                    self.finish_sending(&mut finished.last).await;
                }
                Ok(finished)
            };
            let both = Both { upload: pin!(upload.run()), beyond: None, response: pin!(respond) };
            both.run(uploaded, stop, &state).await
        };
        entry.request_bytes += received.get().saturating_sub(entry.request_content_bytes);
        entry.request_content_bytes = received.get();
        if let UploadState::Failed(failure) = at_response_end {
            entry.phase = Phase::RequestContent;
            self.close(&target);
            return Err(Broken { failure, request: Vec::new() });
        }
        match result {
            Ok(mut finished) => {
                let complete = at_response_end == UploadState::Complete;
                finished.keep_client &= complete;
                finished.keep_target &= complete;
                Ok((Done { linger: !complete, ..self.finish(target, finished) }, beyond))
            }
            Err(failure) => {
                self.close(&target);
                Err(Broken { failure, request: Vec::new() })
            }
        }
    }

    /// Puts the target's connection away and says what becomes of the client's.
    fn finish(&self, target: Stream, finished: Finished) -> Done {
        let shard = &self.scene.connection.shard;
        if finished.keep_target && !shard.stop.has_begun() {
            let options = &self.group.options;
            let mut idle_ms = u64::try_from(options.pool_idle_timeout.as_millis()).unwrap_or(NEVER);
            if let Some(seconds) = finished.target_idle_s {
                // A little less than the target says, so that it is we who close first.
                idle_ms = (u64::from(seconds) * 1000).saturating_sub(500);
            }
            let expires_ms = shard.clock.now_ms().saturating_add(idle_ms);
            let back = shard.pool.borrow_mut().checkin(
                &self.target.state,
                TargetConnection::new(target),
                expires_ms,
                options.pool_idle_per_shard,
            );
            if let Some(too_many) = back {
                shard.counters.add(Counter::TargetConnectionsClosed, 1);
                too_many.close();
            }
        } else {
            self.close(&target);
        }
        Done {
            last: finished.last,
            next: NextReceive::None,
            keep: finished.keep_client,
            linger: false,
            abort: false,
        }
    }

    /// Awaits the end of a response, in the time that the listener gives a client that takes nothing.
    async fn finish_sending(&self, last: &mut PendingSend) {
        let Scene { connection, listener, .. } = *self.scene;
        let deadline = connection.shard.clock.deadline(listener.timeouts.send_idle);
        connection.alarm.bound(deadline, last, || connection.client.end()).await;
    }

    fn close(&self, target: &Stream) {
        self.scene.connection.shard.counters.add(Counter::TargetConnectionsClosed, 1);
        target.end();
    }

    /// The first bytes of the response.
    async fn first_bytes(
        &mut self,
        target: &Stream,
        receive: RecvAny,
        sending: &mut PendingSend,
    ) -> Result<Vec<u8>, Failure> {
        let deadline = self.head_deadline.get();
        let (result, expired) = self.watch(receive, sending, deadline, target).await;
        match result {
            Watched::ClientGone => Err(Failure::ClientGone),
            Watched::Output(Ok(bytes)) if !bytes.is_empty() => Ok(bytes),
            Watched::Output(_) if expired => Err(Failure::ResponseTimeout),
            Watched::Output(Ok(_)) => Err(Failure::TargetClosed { any_byte: false }),
            Watched::Output(Err(_)) => Err(Failure::TargetReset { any_byte: false }),
        }
    }

    /// Awaits a receive from the target until `deadline`, and notices meanwhile when the client goes
    /// away: the target is then ended. Keeps `sending` going where the engine does not do so by itself.
    pub(super) async fn watch<F: Future + Unpin>(
        &mut self,
        receive: F,
        sending: &mut PendingSend,
        deadline: Millis,
        target: &Stream,
    ) -> (Watched<F::Output>, bool) {
        let Connection { alarm, shard, .. } = self.scene.connection;
        let has_ended = Cell::new(false);
        let client_ended = || {
            if !has_ended.replace(true) {
                alarm.set(shard.clock.deadline(CLIENT_GONE).min(deadline));
            }
        };
        let client_reset = || target.abort();
        let watch = Watch { receive, sending, next: self.next, client_ended, client_reset };
        let ((output, is_reset), expired) = alarm.bound(deadline, watch, || target.end()).await;
        if is_reset || (expired && has_ended.get()) {
            return (Watched::ClientGone, expired);
        }
        (Watched::Output(output), expired)
    }

    pub(super) async fn more(
        &self,
        target: &Stream,
        mut bytes: Vec<u8>,
    ) -> Result<Vec<u8>, Failure> {
        if bytes.capacity() - bytes.len() < 512 {
            let mut larger = buffers::large();
            if larger.capacity() < bytes.len() + 4096 {
                larger = Vec::with_capacity(bytes.capacity() * 2);
            }
            larger.extend_from_slice(&bytes);
            buffers::give_back(std::mem::replace(&mut bytes, larger));
        }
        let connection = self.scene.connection;
        let deadline = self.head_deadline.get();
        let receive = target.recv(bytes);
        let ((result, bytes), expired) =
            connection.alarm.bound(deadline, receive, || target.end()).await;
        connection.shard.clock.read_us();
        match result {
            Ok(count) if count > 0 => Ok(bytes),
            Ok(_) | Err(_) if expired => Err(Failure::ResponseTimeout),
            Ok(_) => Err(Failure::TargetClosed { any_byte: true }),
            Err(_) => Err(Failure::TargetReset { any_byte: true }),
        }
    }
}

/// Both directions of an exchange, driven by one task.
struct Both<U, R> {
    upload: U,
    beyond: Option<Input>,
    response: R,
}

impl<U, R, T> Both<U, R>
where
    U: Future<Output = Input> + Unpin,
    R: Future<Output = T> + Unpin,
{
    /// `uploaded` is called when the upload has ended first; `stop` when the response has ended first,
    /// and must make the upload end soon. Gives the response's result, what the client sent beyond its
    /// request, and how far the upload had come when the response ended.
    async fn run(
        mut self,
        uploaded: impl FnOnce(),
        stop: impl FnOnce(),
        state: &Cell<UploadState>,
    ) -> (T, Input, UploadState) {
        let mut uploaded = Some(uploaded);
        let result = poll_fn(|cx| {
            if self.beyond.is_none()
                && let Poll::Ready(beyond) = Pin::new(&mut self.upload).poll(cx)
            {
                self.beyond = Some(beyond);
                if let Some(uploaded) = uploaded.take() {
                    uploaded();
                }
            }
            Pin::new(&mut self.response).poll(cx)
        })
        .await;
        let at_response_end = state.get();
        let beyond = match self.beyond.take() {
            Some(beyond) => beyond,
            None => {
                stop();
                Pin::new(&mut self.upload).await
            }
        };
        (result, beyond, at_response_end)
    }
}
