//! The response on its way back: interim heads, the final head with limpet's own cookies, its content.

use std::future::poll_fn;
use std::task::{Context, Poll};

use super::client::{Answering, Flushed};
use super::content::{End, Received, SendFault};
use super::cookies::OwnCookies;
use super::entry::Entry;
use super::failure::Failure;
use super::grpc::Again;
use super::interim::Interims;
use super::place::Place;
use super::plan::Plan;
use super::progress::{Progress, UploadState};
use super::scene::Scene;
use super::target::{Handle, ReceiveFault, Receiving, Sending};
use super::watch::{Beside, Cut, Watch};
use super::websocket::Key;
use crate::group::state::OpenTunnel;
use crate::http::edits::{ResponseEdits, Wire};
use crate::http::fields::{self, FIELD_COUNT_MAX, Field, FieldId, eq_ignore_case, members};
use crate::http::head::{ContentLength, HeadLimits, ResponseHead, Version};
use crate::http::refusal::ResponseFault;
use crate::telemetry::ended::Phase;
use crate::time::clock::NEVER;
use crate::time::timers::{Timer, Timers};

/// The response's direction of a conversation.
pub struct Respond<'a, 's, A, R, H> {
    pub scene: &'a Scene<'s>,
    pub plan: &'a Plan,
    pub place: &'a Place<'s>,
    pub timers: &'a Timers<'a>,
    pub progress: &'a Progress,
    pub answering: &'a mut A,
    pub receiving: &'a mut R,
    pub target: &'a H,
}

/// What a response was.
pub enum Answered {
    /// Content and all.
    Whole,
    /// A 101: what follows is a tunnel, which counts already.
    Switched(OpenTunnel),
}

/// What a head turned out to be; what goes to the client because of it has been written.
enum Step {
    Interim { head_bytes: usize, status: u16 },
    Switch,
    Final,
}

impl<A: Answering, R: Receiving, H: Handle> Respond<'_, '_, A, R, H> {
    /// Awaits the first bytes of the response, and with it keeps the request going.
    pub async fn first_bytes(
        &mut self,
        mut sending: Option<&mut impl Sending>,
    ) -> Result<(), Failure> {
        let (receiving, target) = (&mut *self.receiving, self.target);
        let receive = |cx: &mut Context<'_>, is_cut: bool| {
            if is_cut {
                target.abort();
            }
            if let Some(sending) = &mut sending {
                sending.keep_going(cx);
            }
            receiving.poll_head(cx)
        };
        let beside = beside(self.progress, self.target);
        let timer = (self.timers, Timer::Response);
        let watch = Watch::new(timer, &mut *self.answering, beside);
        let (received, cut) = watch.over(receive).await;
        match (cut, received) {
            (Some(Cut::ClientGone), _) => Err(Failure::ClientGone),
            // What came in that moment is of no use: the target was given up.
            (Some(Cut::Deadline), _) => Err(Failure::ResponseTimeout),
            (None, Ok(())) => Ok(()),
            (None, Err(fault)) => Err(self.cut_short(fault, false)),
        }
    }

    /// Why no more comes of a head.
    fn cut_short(&self, fault: ReceiveFault, any_byte: bool) -> Failure {
        match (self.upload(), fault) {
            (UploadState::TargetTimeout, _) => Failure::TargetSendTimeout,
            (UploadState::TargetReset, _) => Failure::TargetReset { any_byte },
            (_, ReceiveFault::Closed) => Failure::TargetClosed { any_byte },
            (_, ReceiveFault::Unprocessed) => Failure::TargetUnprocessed,
            (_, ReceiveFault::NoTunnels) => Failure::NoTunnels,
            (_, ReceiveFault::TooManyInterim) => {
                Failure::ResponseInvalid(ResponseFault::TooManyInterim)
            }
            (_, ReceiveFault::Invalid(_)) if !any_byte => {
                Failure::ResponseInvalid(ResponseFault::HeadMissing)
            }
            (_, ReceiveFault::StreamReset) => {
                // Its connection had not gone stale.
                self.progress.is_reused.set(false);
                Failure::TargetReset { any_byte }
            }
            (_, ReceiveFault::Reset | ReceiveFault::Invalid(_)) => {
                Failure::TargetReset { any_byte }
            }
        }
    }

    /// Why no more comes of content.
    fn content_cut_short(&self, fault: ReceiveFault) -> Failure {
        match self.cut_short(fault, true) {
            Failure::TargetClosed { .. } => Failure::TargetContentShort,
            Failure::TargetReset { .. } => Failure::TargetContentReset,
            failure => failure,
        }
    }

    fn upload(&self) -> UploadState {
        self.progress.upload.get()
    }

    /// Further bytes of a head, behind those that have come. The clock itself says when the time is
    /// up: bytes that come without pause, or in the moment of the end, gain nothing.
    async fn more(&mut self) -> Result<(), Failure> {
        let clock = &self.scene.local.clock;
        if self.timers.at(Timer::Response).is_some_and(|at_ms| clock.now_ms() >= at_ms) {
            return Err(Failure::ResponseTimeout);
        }
        let (receiving, target) = (&mut *self.receiving, self.target);
        let receive = |cx: &mut Context<'_>, is_cut: bool| {
            if is_cut {
                target.abort();
            }
            receiving.poll_head(cx)
        };
        let beside = beside(self.progress, self.target);
        let timer = (self.timers, Timer::Response);
        let watch = Watch::new(timer, &mut *self.answering, beside);
        let (received, cut) = watch.over(receive).await;
        clock.read_us();
        match (cut, received) {
            (Some(Cut::ClientGone), _) => Err(Failure::ClientGone),
            (Some(Cut::Deadline), _) => Err(Failure::ResponseTimeout),
            (None, Ok(())) => Ok(()),
            (None, Err(fault)) => Err(self.cut_short(fault, true)),
        }
    }

    /// Relays the response whose first bytes have come. Its last bytes may still be on their way.
    pub async fn run(&mut self, entry: &mut Entry) -> Result<Answered, Failure> {
        let mut interims = Interims::default();
        loop {
            entry.first_byte_now(&self.scene.local.clock);
            match self.head(entry)? {
                None => self.more().await?,
                Some(Step::Interim { head_bytes, status }) => {
                    self.note_interim(&mut interims, head_bytes, status)?;
                    entry.no_first_byte();
                    self.answering.flush(false).await.map_err(send_failure)?;
                    if self.receiving.is_empty() {
                        self.more().await?;
                    }
                }
                Some(Step::Switch) => {
                    content_sent(&self.progress.upload).await?;
                    self.timers.stop(Timer::Response);
                    let state = &self.place.target.state;
                    state.note_outcome(false);
                    // Before the client can know of it.
                    let open = state.open_tunnel();
                    self.answering.flush(false).await.map_err(send_failure)?;
                    return Ok(Answered::Switched(open));
                }
                Some(Step::Final) => break,
            }
        }
        let along = self.receiving.along().map_err(Failure::TargetContentInvalid)?;
        entry.response_content_bytes += along.bytes.len() as u64;
        let is_whole = along.is_whole();
        note_trailers(entry, along.end);
        self.answering.append(along);
        self.place.target.state.note_outcome(matches!(entry.target_status, 502..=504));
        self.timers.stop(Timer::Response);
        self.progress.begin();
        entry.enter(Phase::ResponseContent);
        let clock = &self.scene.local.clock;
        if self.answering.flush(is_whole).await.map_err(send_failure)? == Flushed::OnItsWay {
            entry.last_byte_now(clock);
            return Ok(Answered::Whole);
        }
        if !is_whole {
            self.relay(entry).await?;
        }
        // What the client does afterwards is no part of it.
        entry.last_byte_read(clock);
        Ok(Answered::Whole)
    }

    /// Judges the head that has come and writes what goes to the client because of it. `None` while it is not whole.
    fn head(&mut self, entry: &mut Entry) -> Result<Option<Step>, Failure> {
        let longest = self.place.group.options.response_head_bytes;
        let limits = HeadLimits {
            request_line_bytes: longest,
            field_line_bytes: longest,
            head_bytes: longest,
            field_count: FIELD_COUNT_MAX,
        };
        let may_keep = self.upload().is_whole();
        let Respond { scene, plan, place, answering, .. } = self;
        let looked = self.receiving.head(plan.method, &limits, |head| {
            if head.status == 101 && !is_asked_for(head, plan) {
                return Err(Failure::UnaskedUpgrade);
            }
            if plan.wants_tunnel && matches!(head.status, 200..=299) {
                return Err(Failure::UpgradeMissing);
            }
            if head.status == 101 || head.status >= 200 {
                entry.target_status = head.status;
                entry.status = head.status;
                if place.group.options.wire != Wire::Http1 {
                    entry.call_head(head.fields);
                    if plan.call.again != Again::Never
                        && let Some(failure) = retried(head, (scene, plan, place), entry)
                    {
                        return Err(failure);
                    }
                }
                let own = OwnCookies { scene, plan, place };
                own.write(head, |edits| answering.respond(head, edits, may_keep));
            } else {
                answering.respond(head, &ResponseEdits::default(), may_keep);
            }
            Ok(match head.status {
                101 => Step::Switch,
                200.. => Step::Final,
                status => Step::Interim { head_bytes: head.raw.len(), status },
            })
        });
        looked.map_err(Failure::ResponseInvalid)?.transpose()
    }

    /// Counts an interim head; one that says that the target is still at work may begin its time anew.
    fn note_interim(
        &self,
        interims: &mut Interims,
        head_bytes: usize,
        status: u16,
    ) -> Result<(), Failure> {
        let (options, clock) = (&self.place.group.options, &self.scene.local.clock);
        interims.count(head_bytes, options.response_head_bytes, clock.now_ms())?;
        // While content is still to be sent there is no deadline yet.
        let has_deadline = self.timers.at(Timer::Response).is_some_and(|at_ms| at_ms != NEVER);
        if status == 102 && options.response_renewed_by_102 && has_deadline {
            self.timers.set(Timer::Response, clock.deadline(options.response_timeout));
        }
        Ok(())
    }

    /// Receives what is still to come, and sends it on, by turns: a client that takes nothing holds one piece, since
    /// the next is asked for when it has taken this one.
    async fn relay(&mut self, entry: &mut Entry) -> Result<(), Failure> {
        loop {
            let received = self.content().await?;
            entry.response_content_bytes += received.piece.len() as u64;
            let is_last = received.is_last();
            let end = is_last.then(|| self.receiving.trailers());
            note_trailers(entry, end);
            self.answering.send(received.piece, end).await.map_err(send_failure)?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// The next piece of the content.
    async fn content(&mut self) -> Result<Received, Failure> {
        let options = &self.place.group.options;
        let idle = match self.plan.version {
            Version::Http2 | Version::Http3 => options.stream_idle_timeout,
            Version::Http10 | Version::Http11 => options.content_idle_timeout,
        };
        self.timers.set(Timer::ResponseContent, self.timers.clock.deadline(idle));
        let (receiving, target) = (&mut *self.receiving, self.target);
        let receive = |cx: &mut Context<'_>, is_cut: bool| {
            if is_cut {
                target.abort();
            }
            receiving.poll_content(cx)
        };
        let beside = beside(self.progress, target);
        let timer = (self.timers, Timer::ResponseContent);
        let watch = Watch::new(timer, &mut *self.answering, beside);
        let (received, cut) = watch.over(receive).await;
        self.timers.stop(Timer::ResponseContent);
        match (cut, received) {
            (Some(Cut::ClientGone), _) => Err(Failure::ClientGone),
            (Some(Cut::Deadline), _) => Err(Failure::TargetContentTimeout),
            (None, Ok(received))
                if received.end == End::ByClose && self.upload().has_lost_target() =>
            {
                // The end that is found behind a reset is none of the content's.
                Err(self.content_cut_short(ReceiveFault::Reset))
            }
            (None, Ok(received)) => Ok(received),
            (None, Err(ReceiveFault::Invalid(fault))) => Err(Failure::TargetContentInvalid(fault)),
            (None, Err(fault)) => Err(self.content_cut_short(fault)),
        }
    }
}

/// An upload that runs beside, where there is one.
fn beside<'a>(progress: &'a Progress, target: &'a dyn Handle) -> Option<Beside<'a>> {
    let state = &progress.upload;
    (state.get() != UploadState::None).then_some(Beside { state, target })
}

/// Notes what the trailers of a call say, where the content has ended.
#[inline]
fn note_trailers(entry: &mut Entry, end: Option<&[u8]>) {
    if entry.is_call
        && let Some(lines) = end
    {
        entry.call_trailers(lines);
    }
}

/// The failure of a call that is to be tried again, after an answer that is its trailers only: the client has no part
/// of it yet.
#[cold]
fn retried(
    head: &ResponseHead<'_, '_>,
    (scene, plan, place): (&Scene<'_>, &Plan, &Place<'_>),
    entry: &mut Entry,
) -> Option<Failure> {
    let Place { group, target } = place;
    let status = u8::try_from(entry.call_status()?).ok().filter(|status| *status < 32)?;
    let is_all = matches!(head.content, ContentLength::None | ContentLength::Exact(0));
    let options = &group.options;
    if !is_all || options.retried_statuses >> status & 1 == 0 {
        return None;
    }
    let now_s = scene.local.clock.unix_s();
    let (percent, minimum) = (options.retry_budget_percent, options.retry_budget_minimum);
    let is_permitted =
        plan.call.again == Again::Surely || group.state.would_permit_retry(now_s, percent, minimum);
    is_permitted.then(|| {
        entry.forget_response();
        target.state.note_outcome(matches!(head.status, 502..=504));
        Failure::CallRefused { status }
    })
}

/// Whether the client asked for what a 101 grants: the target chooses among the protocols that it named (RFC 9110
/// §7.8).
fn is_asked_for(head: &ResponseHead<'_, '_>, plan: &Plan) -> bool {
    let is_asked =
        |granted: &[u8]| members(&plan.upgrade).any(|asked| eq_ignore_case(asked, granted));
    let mut granted = fields::list(head.fields, FieldId::Upgrade).peekable();
    let is_proven = |key: &Key| {
        let is_accept = |field: &&Field<'_>| eq_ignore_case(field.name, b"sec-websocket-accept");
        head.fields.iter().find(is_accept).is_some_and(|field| key.is_accepted_by(field.value))
    };
    head.upgrade
        && granted.peek().is_some()
        && granted.all(is_asked)
        && plan.websocket.as_ref().is_none_or(is_proven)
}

/// Awaits the end of an upload, which is driven beside and has deadlines of its own. A client speaks the
/// new protocol only once it has sent its request whole (RFC 9110 §7.8): a target that agrees earlier is
/// taken at its word behind the content.
async fn content_sent(upload: &std::cell::Cell<UploadState>) -> Result<(), Failure> {
    poll_fn(|_| match upload.get() {
        UploadState::Running => Poll::Pending,
        UploadState::None | UploadState::Complete => Poll::Ready(Ok(())),
        UploadState::TargetTimeout => Poll::Ready(Err(Failure::TargetSendTimeout)),
        UploadState::TargetStopped | UploadState::TargetReset => {
            Poll::Ready(Err(Failure::TargetReset { any_byte: true }))
        }
        UploadState::Failed(failure) => Poll::Ready(Err(failure)),
    })
    .await
}

fn send_failure(fault: SendFault) -> Failure {
    match fault {
        SendFault::Gone | SendFault::Reset => Failure::ClientGone,
        SendFault::Timeout => Failure::ClientSendTimeout,
    }
}

#[cfg(test)]
#[path = "respond_tests.rs"]
mod tests;
