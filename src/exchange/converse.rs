//! One conversation with a target: sends the request, relays the response, gives the lease back.
//!
//! Drives the two directions: a request without further content is answered by [`Respond`] alone; with content to
//! come, an [`Upload`] runs beside it in the same task.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Context;
use std::time::Duration;

use super::client::{Answering, Asking, Client};
use super::content::SendFault;
use super::end::End;
use super::entry::Entry;
use super::failure::Failure;
use super::place::Place;
use super::plan::Outgoing;
use super::progress::{Progress, UploadState};
use super::respond::{Answered, Respond};
use super::scene::Scene;
use super::target::{Draft, Handle, Lease, Leases, Sending, Upstream};
use super::tunnel;
use super::upload::Upload;
use super::watch::bound;
use crate::telemetry::ended::Phase;
use crate::time::clock::NEVER;
use crate::time::timers::{Timer, Timers};

/// How long an upload that is no longer wanted may take to stop.
const STOP_UPLOAD: Duration = Duration::from_millis(500);

/// One conversation with a target over one lease.
pub struct Converse<'a, 's, C, D> {
    pub scene: &'a Scene<'s>,
    /// Its draft is sent, and is restored when it may be sent once more.
    pub out: &'a mut Outgoing<D>,
    pub place: &'a Place<'s>,
    pub client: &'a mut C,
    pub timers: &'a Timers<'a>,
    pub progress: &'a Progress,
}

impl<'s, C: Client, D: Draft> Converse<'_, 's, C, D> {
    /// Sends the request, relays the response, gives the lease back. The last bytes of the response may still be on
    /// their way to the client.
    pub async fn run<U: Upstream<Draft = D>, L: Lease<Draft = D>>(
        mut self,
        upstream: &U,
        (mut lease, kind): (L, impl FnOnce(L) -> Leases<U>),
        entry: &mut Entry,
    ) -> Result<End, Failure> {
        let is_whole = self.client.parts().0.along().is_whole();
        lease.request(&mut self.out.draft, is_whole);
        let result = if is_whole {
            self.client.parts().1.listen();
            self.without_upload(&mut lease, entry).await
        } else {
            self.with_upload(&mut lease, entry).await
        };
        self.timers.stop(Timer::Response);
        let result = match result {
            Ok((Answered::Switched(_open), _)) => self.tunnel(&mut lease, entry).await,
            Ok((Answered::Whole, end)) => Ok(end),
            Err(failure) => Err(failure),
        };
        match result {
            Ok(End::Complete) => {
                let Place { group, target } = self.place;
                upstream.give_back(kind(lease), target, &group.options);
            }
            Ok(_) => upstream.close(kind(lease)),
            Err(_) => {
                // Neither side has sent everything that it should have.
                lease.handle().abort();
                upstream.close(kind(lease));
            }
        }
        result
    }

    async fn without_upload<L: Lease<Draft = D>>(
        &mut self,
        lease: &mut L,
        entry: &mut Entry,
    ) -> Result<(Answered, End), Failure> {
        let (timers, progress) = (self.timers, self.progress);
        progress.upload.set(UploadState::None);
        let deadline = timers.clock.deadline(self.place.group.options.response_timeout);
        timers.set(Timer::Response, deadline);
        let target = lease.handle();
        let (sending, receiving) = lease.parts();
        let (_, answering) = self.client.parts();
        let mut respond = Respond {
            scene: self.scene,
            plan: &self.out.plan,
            place: self.place,
            timers,
            progress,
            answering,
            receiving,
            target: &target,
        };
        let first = respond.first_bytes(Some(sending)).await;
        if first.is_err() {
            target.abort();
        }
        let draft = &mut self.out.draft;
        let sent = |cx: &mut Context<'_>, is_up: bool| {
            if is_up {
                target.abort();
            }
            sending.poll_sent(cx, Some(draft))
        };
        if bound((timers, Timer::Upload), deadline, sent).await == Err(SendFault::Reset) {
            // An end that is received from now on is not the real one.
            progress.upload.set(UploadState::TargetReset);
        }
        first?;
        Ok((respond.run(entry).await?, End::Complete))
    }

    async fn with_upload<L: Lease<Draft = D>>(
        &mut self,
        lease: &mut L,
        entry: &mut Entry,
    ) -> Result<(Answered, End), Failure> {
        let (timers, options) = (self.timers, &self.place.group.options);
        let state = &self.progress.upload;
        state.set(UploadState::Running);
        // The target owes a response only when the whole request is sent.
        timers.set(Timer::Response, NEVER);
        let target = lease.handle();
        let before = self.client.parts().0.received();
        let (result, at_response_end) = {
            let (sending, receiving) = lease.parts();
            let (asking, answering) = self.client.parts();
            let upload = Upload {
                asking,
                sending,
                target: &target,
                state,
                timers,
                idle: options.content_idle_timeout,
            };
            let mut respond = Respond {
                scene: self.scene,
                plan: &self.out.plan,
                place: self.place,
                timers,
                progress: self.progress,
                answering,
                receiving,
                target: &target,
            };
            let response = async {
                respond.first_bytes(None::<&mut L::Sending>).await?;
                let answered = respond.run(entry).await?;
                if state.get() != UploadState::Complete {
                    respond.answering.finish().await;
                }
                Ok(answered)
            };
            let uploaded = || {
                if timers.at(Timer::Response).is_some() {
                    let deadline = timers.clock.deadline(options.response_timeout);
                    timers.set(Timer::Response, deadline);
                }
            };
            let both =
                Both { upload: pin!(upload.run()), is_uploaded: false, response: pin!(response) };
            let stop = || {
                // The client is read only a moment longer, if at all, and its bytes are dropped. The target must not take
                // the part that it has for the whole.
                target.abort();
                let lingers = <C::Asking as Asking>::LINGERS && !timers.is_past(Timer::Call);
                let soon = match lingers {
                    true => timers.clock.deadline(STOP_UPLOAD),
                    false => timers.clock.now_ms(),
                };
                timers.hasten(Timer::Content, soon);
                timers.hasten(Timer::Upload, soon);
            };
            both.run(uploaded, stop, state).await
        };
        let received = self.client.parts().0.received();
        entry.request_bytes += received.saturating_sub(before);
        entry.request_content_bytes = received;
        both_ended(result, (at_response_end, state.get()), entry)
    }

    /// From here on both sides exchange plain bytes.
    async fn tunnel<L: Lease<Draft = D>>(
        &mut self,
        lease: &mut L,
        entry: &mut Entry,
    ) -> Result<End, Failure> {
        self.progress.begin();
        entry.enter(Phase::Tunnel);
        let idle = self.place.group.options.tunnel_idle_timeout;
        let sides = (self.client.tunnel(), lease.tunnel());
        // Boxed, since all other state of a busy connection is small.
        let over = Box::pin(tunnel::run(self.timers, sides.0, sides.1, idle)).await;
        entry.request_bytes += over.bytes_up;
        entry.response_bytes += over.bytes_down;
        match over.failure {
            Some(failure) if over.client_was_told => {
                entry.fail(failure);
                Ok(End::Over)
            }
            Some(failure) => Err(failure),
            None => Ok(End::Over),
        }
    }
}

/// How a conversation with an upload has ended; `upload` is the state of the upload when the response ended, and its
/// final state.
fn both_ended(
    response: Result<Answered, Failure>,
    upload: (UploadState, UploadState),
    entry: &mut Entry,
) -> Result<(Answered, End), Failure> {
    let (at_response_end, at_end) = upload;
    if let UploadState::Failed(failure) = at_response_end {
        entry.phase = Phase::RequestContent;
        return Err(failure);
    }
    let answered = response?;
    if at_response_end != UploadState::Complete {
        note_overtaken(at_end, entry);
        return Ok((answered, End::Over));
    }
    Ok((answered, End::Complete))
}

/// Notes that the response was whole before the request's content was, unless all content had been sent and only the
/// confirmation came later.
fn note_overtaken(upload: UploadState, entry: &mut Entry) {
    // A client that went away at that moment would not have sent the rest; otherwise the response made the rest
    // useless.
    let failure = match upload {
        UploadState::Complete => return,
        UploadState::Failed(Failure::ClientGone) => Failure::ClientGone,
        _ => Failure::EarlyResponse,
    };
    entry.phase = Phase::RequestContent;
    entry.fail(failure);
}

/// Both directions of an exchange, driven by one task.
struct Both<U, R> {
    upload: U,
    /// Whether it has ended.
    is_uploaded: bool,
    response: R,
}

impl<U, R, T> Both<U, R>
where
    U: Future<Output = ()> + Unpin,
    R: Future<Output = T> + Unpin,
{
    /// `uploaded` is called when the upload has ended first; `stop` when the response has ended first, and must make
    /// the upload end soon. Returns the response's result, and the state of the upload when the response ended.
    async fn run(
        mut self,
        uploaded: impl FnOnce(),
        stop: impl FnOnce(),
        state: &std::cell::Cell<UploadState>,
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

#[cfg(test)]
#[path = "converse_tests.rs"]
mod tests;
