//! One conversation with a target: the request out, the response back, both connections put away.
//!
//! Drives the two directions: a request without further content is answered by [`Converse::respond`]
//! alone; with content to come, an [`Upload`] runs beside it in the same task.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::time::Duration;

use super::busy::Done;
use super::early::{self, Ahead, NextReceive, PendingSend};
use super::entry::Entry;
use super::failure::Failure;
use super::input::Input;
use super::prepare::{Plan, Scene};
use super::stream::Stream;
use super::target_side::TargetConnection;
use super::upload::{Rest, Upload, UploadState};
use super::watch::{Watch, Watched};
use crate::shard::clock::{Millis, NEVER};
use crate::target::group::{Target, TargetGroup};
use crate::telemetry::counters::Counter;
use crate::telemetry::ended::Phase;
use crate::uring::buffers;

/// How long an upload that nobody wants any more may take to notice.
const STOP_UPLOAD: Duration = Duration::from_millis(500);

/// One conversation with a target over one connection.
pub struct Converse<'a, 's> {
    pub scene: &'a Scene<'s>,
    /// Its request goes out, and is there again when it may be sent once more.
    pub plan: &'a mut Plan,
    pub group: &'a TargetGroup,
    pub target: &'a Target,
    pub ahead: &'a mut Ahead,
    /// What the client has sent beyond its request.
    pub early: &'a [u8],
    /// What it has sent beyond its request's content, where that was still to come.
    pub beyond: &'a Cell<Input>,
    /// How far an upload has come.
    pub upload: &'a Cell<UploadState>,
    /// When the response's head must be whole; set once the request has been sent.
    pub head_deadline: &'a Cell<Millis>,
}

/// How the exchange ended on both sides.
#[derive(Clone, Copy, Default)]
pub(super) struct Finished {
    pub(super) keep_client: bool,
    pub(super) keep_target: bool,
    /// How long the target keeps the connection, from its Keep-Alive field.
    pub(super) target_idle_s: Option<u32>,
}

impl Converse<'_, '_> {
    /// Sends the request, relays the response, puts the target's connection away. What the client is
    /// still being sent, and the receive of its next request, are in `ahead`.
    pub async fn run(
        &mut self,
        mut connection: TargetConnection,
        rest: &mut Option<Rest>,
        received: u64,
        entry: &mut Entry,
    ) -> Result<Done, Failure> {
        let request = std::mem::take(&mut self.plan.request);
        let sending = PendingSend::start(&connection.stream, request);
        let result = match rest.take() {
            None => {
                self.ahead.listen(&self.scene.connection.client, self.early);
                self.without_upload(&mut connection, sending, entry).await
            }
            Some(rest) => self.with_upload(&mut connection, (rest, sending, received), entry).await,
        };
        match result {
            Ok(finished) => {
                self.put_away(connection, finished);
                Ok(Done { keep: finished.keep_client, abort: false })
            }
            Err(failure) => {
                // Neither side has said all it should have.
                connection.stream.abort();
                self.close(&connection.stream);
                Err(failure)
            }
        }
    }

    async fn without_upload(
        &mut self,
        connection: &mut TargetConnection,
        mut sending: PendingSend,
        entry: &mut Entry,
    ) -> Result<Finished, Failure> {
        let timeout = self.group.options.response_timeout;
        let deadline = self.scene.connection.shard.clock.deadline(timeout);
        self.head_deadline.set(deadline);
        let first = self.first_bytes(connection, Some(&mut sending)).await;
        let target = &connection.stream;
        if first.is_err() {
            target.abort();
        }
        let alarm = &self.scene.connection.alarm;
        let ((sent, request), _) =
            alarm.bound_late(deadline, &mut sending, || target.abort()).await;
        self.plan.request = request;
        if early::may_tell_of_a_reset(&sent) {
            // What is received from now on finds an end that is none.
            self.upload.set(UploadState::TargetReset);
        }
        self.respond(target, first?, entry).await
    }

    async fn with_upload(
        &mut self,
        target: &mut TargetConnection,
        upload: (Rest, PendingSend, u64),
        entry: &mut Entry,
    ) -> Result<Finished, Failure> {
        let Scene { connection, listener, .. } = *self.scene;
        let stream = target.stream.clone();
        let state = self.upload;
        state.set(UploadState::Running);
        let (received, late) = (Cell::new(upload.2), Cell::default());
        let alarm = connection.shard.alarms.alarm();
        let upload = Upload {
            client: &connection.client,
            target: &stream,
            listener,
            clock: &connection.shard.clock,
            alarm: &alarm,
            rest: upload.0,
            first: upload.1,
            received: &received,
            state,
            beyond: self.beyond,
            late: &late,
            send_idle: self.group.options.content_idle_timeout,
        };
        let (timeout, head_deadline) = (self.group.options.response_timeout, self.head_deadline);
        let uploaded = || {
            // Only now does the target owe a response. Who awaits its head arms the alarm; once it has
            // come, the alarm stands for something else.
            head_deadline.set(connection.shard.clock.deadline(timeout));
        };
        let stop = || {
            // The client is not read any further than a moment; what it sends goes nowhere. The target must not take
            // what it has for the whole.
            stream.abort();
            alarm.set(connection.shard.clock.deadline(STOP_UPLOAD));
        };
        let (result, at_response_end) = {
            let respond = async {
                let bytes = self.first_bytes(target, None).await?;
                let finished = self.respond(&target.stream, bytes, entry).await?;
                if state.get() != UploadState::Complete {
                    self.finish_sending().await;
                }
                Ok(finished)
            };
            let both =
                Both { upload: pin!(upload.run()), is_uploaded: false, response: pin!(respond) };
            both.run(uploaded, stop, state).await
        };
        if let late @ NextReceive::Late(_) = late.take() {
            self.ahead.next = late;
        }
        entry.request_bytes += received.get().saturating_sub(entry.request_content_bytes);
        entry.request_content_bytes = received.get();
        if let UploadState::Failed(failure) = at_response_end {
            entry.phase = Phase::RequestContent;
            return Err(failure);
        }
        let mut finished: Finished = result?;
        if at_response_end != UploadState::Complete {
            finished = Finished::default();
            self.note_overtaken(entry);
        }
        Ok(finished)
    }

    /// Notes that the response was whole before the request's content was, unless all of that had gone and was only
    /// seen to afterwards.
    fn note_overtaken(&self, entry: &mut Entry) {
        // Who went away in that moment would not have sent the rest; else it is the response that made it useless.
        let failure = match self.upload.get() {
            UploadState::Complete => return,
            UploadState::Failed(Failure::ClientGone) => Failure::ClientGone,
            _ => Failure::EarlyResponse,
        };
        entry.phase = Phase::RequestContent;
        entry.fail(failure);
    }

    /// Keeps the target's connection for another request, or closes it.
    fn put_away(&self, mut connection: TargetConnection, finished: Finished) {
        let shard = &self.scene.connection.shard;
        if !finished.keep_target || shard.stop.has_begun() {
            self.close(&connection.stream);
            return;
        }
        let options = &self.group.options;
        let mut idle_ms = u64::try_from(options.pool_idle_timeout.as_millis()).unwrap_or(NEVER);
        if let Some(seconds) = finished.target_idle_s {
            // A little less than the target says, so that it is we who close first.
            idle_ms = (u64::from(seconds) * 1000).saturating_sub(500);
        }
        let expires_ms = shard.clock.now_ms().saturating_add(idle_ms);
        connection.renew();
        let back = shard.pool.borrow_mut().checkin(
            &self.target.state,
            connection,
            expires_ms,
            options.pool_idle_per_shard,
        );
        if let Some(too_many) = back {
            shard.counters.add(Counter::TargetConnectionsClosed, 1);
            too_many.close();
        }
    }

    /// Awaits the end of a response, in the time that the listener gives a client that takes nothing.
    async fn finish_sending(&mut self) {
        let Scene { connection, listener, .. } = *self.scene;
        let deadline = connection.shard.clock.deadline(listener.timeouts.send_idle);
        let sent = poll_fn(|cx| self.ahead.last.poll_done(cx));
        connection.alarm.bound(deadline, sent, || connection.client.abort()).await;
    }

    fn close(&self, target: &Stream) {
        self.scene.connection.shard.counters.add(Counter::TargetConnectionsClosed, 1);
        target.end();
    }

    /// The first bytes of the response.
    async fn first_bytes(
        &mut self,
        target: &mut TargetConnection,
        sending: Option<&mut PendingSend>,
    ) -> Result<Vec<u8>, Failure> {
        let TargetConnection { stream, receive, is_awaited } = target;
        let mut watch = self.watch(receive, self.head_deadline, stream);
        watch.sending = sending;
        watch.is_awaited = std::mem::take(is_awaited);
        let (result, expired) = watch.await;
        match result {
            Watched::ClientGone => Err(Failure::ClientGone),
            Watched::Output(Ok(bytes)) if !bytes.is_empty() => Ok(bytes),
            Watched::Output(_) if expired => Err(Failure::ResponseTimeout),
            Watched::Output(Ok(_)) if self.upload.get() != UploadState::TargetReset => {
                Err(Failure::TargetClosed { any_byte: false })
            }
            Watched::Output(Ok(_)) => Err(Failure::TargetReset { any_byte: false }),
            Watched::Output(Err(_)) => Err(Failure::TargetReset { any_byte: false }),
        }
    }

    /// Awaits a receive from the target until `deadline`, and aborts its connection when the client goes away.
    #[inline]
    pub(super) fn watch<'w, F: Future + Unpin>(
        &'w mut self,
        receive: F,
        deadline: &'w Cell<Millis>,
        target: &'w Stream,
    ) -> Watch<'w, F, impl FnMut()> {
        let next = &mut self.ahead.next;
        let abort = || target.abort();
        let mut watch = Watch::new(self.scene.connection, next, deadline, receive, abort);
        watch.upload = Some((self.upload, target));
        watch
    }

    /// Further bytes of a head, behind those that have come. The clock itself says when the time is
    /// up: bytes that come without pause, or in the moment of the end, gain nothing.
    pub(super) async fn more(
        &mut self,
        target: &Stream,
        mut bytes: Vec<u8>,
    ) -> Result<Vec<u8>, Failure> {
        let clock = &self.scene.connection.shard.clock;
        if clock.now_ms() >= self.head_deadline.get() {
            return Err(Failure::ResponseTimeout);
        }
        if bytes.capacity() - bytes.len() < 512 {
            let mut larger = buffers::large();
            if larger.capacity() < bytes.len() + 4096 {
                larger = Vec::with_capacity(bytes.capacity() * 2);
            }
            larger.extend_from_slice(&bytes);
            buffers::give_back(std::mem::replace(&mut bytes, larger));
        }
        let receive = target.recv(bytes);
        let (watched, expired) = self.watch(receive, self.head_deadline, target).await;
        clock.read_us();
        let Watched::Output((result, bytes)) = watched else {
            return Err(Failure::ClientGone);
        };
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
    /// It has ended.
    is_uploaded: bool,
    response: R,
}

impl<U, R, T> Both<U, R>
where
    U: Future<Output = ()> + Unpin,
    R: Future<Output = T> + Unpin,
{
    /// `uploaded` is called when the upload has ended first; `stop` when the response has ended first,
    /// and must make the upload end soon. Gives the response's result, and how far the upload had come
    /// when the response ended.
    async fn run(
        mut self,
        uploaded: impl FnOnce(),
        stop: impl FnOnce(),
        state: &Cell<UploadState>,
    ) -> (T, UploadState) {
        let mut uploaded = Some(uploaded);
        let result = poll_fn(|cx| {
            if !self.is_uploaded && Pin::new(&mut self.upload).poll(cx).is_ready() {
                self.is_uploaded = true;
                if let Some(uploaded) = uploaded.take() {
                    uploaded();
                }
            }
            Pin::new(&mut self.response).poll(cx)
        })
        .await;
        let at_response_end = state.get();
        if !self.is_uploaded {
            stop();
            Pin::new(&mut self.upload).await;
        }
        (result, at_response_end)
    }
}
