//! The response on its way back: interim heads, the final head with limpet's own cookies, its content.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::task::Poll;

use arrayvec::ArrayVec;

use super::content::{self, CHUNK_ROOM, SendFault, Sending};
use super::converse::{Converse, Finished};
use super::early::PendingSend;
use super::entry::Entry;
use super::failure::Failure;
use super::incoming::{Incoming, Started};
use super::interim::Interims;
use super::pace::Drain;
use super::prepare::{Plan, Scene};
use super::stream::Stream;
use super::tunnel;
use super::upload::UploadState;
use super::watch::Watched;
use crate::http1::fields::{self, FIELD_COUNT_MAX, FieldId, Fields, eq_ignore_case, members};
use crate::http1::framing::ResponseFraming;
use crate::http1::head::{self, HeadLimits, Parsed, ResponseHead, Version};
use crate::http1::rewrite::{self, ResponseEdits};
use crate::shard::clock::NEVER;
use crate::target::response_cookie::AppCookieEvent;
use crate::target::select::{CookieAction, Count, StickyOutcome};
use crate::target::set_cookie::Assignment;
use crate::target::stickiness::Stickiness;
use crate::telemetry::ended::Phase;
use crate::uring::buffers;

/// Responses up to this size are sent without waiting for the send's end.
const LAZY_SEND_BYTES: usize = 16 * 1024;
/// Cookies of limpet's own in one response: the rule's or group's, and its cross-site twin.
const OWN_COOKIES_MAX: usize = 4;

/// What the head at the front of the target's bytes turned out to be; what goes to the client because of
/// it is in [`Started::out`].
enum Step {
    Partial,
    Interim { head_bytes: usize, status: u16 },
    Switch { head_bytes: usize },
    Final,
}

impl Converse<'_, '_> {
    /// Relays the response that begins with `bytes`. Its last bytes may still be on their way.
    pub(super) async fn respond(
        &mut self,
        target: &Stream,
        mut bytes: Vec<u8>,
        entry: &mut Entry,
    ) -> Result<Finished, Failure> {
        let (mut started, mut interims) = (Started::default(), Interims::default());
        loop {
            entry.first_byte_now(&self.scene.connection.shard.clock);
            match self.head(&mut bytes, &mut started, entry)? {
                Step::Partial => bytes = self.more(target, bytes).await?,
                Step::Interim { head_bytes, status } => {
                    self.note_interim(&mut interims, head_bytes, status)?;
                    bytes.drain(..head_bytes);
                    entry.no_first_byte();
                    self.send(std::mem::take(&mut started.out), entry).await?;
                    if bytes.is_empty() {
                        bytes = self.more(target, bytes).await?;
                    }
                }
                Step::Switch { head_bytes } => {
                    content_sent(self.upload).await?;
                    self.target.state.note_outcome(false);
                    bytes.drain(..head_bytes);
                    // Before the client can know of it.
                    let _open = self.target.state.open_tunnel();
                    self.send(started.out, entry).await?;
                    return self.switch(target, bytes, entry).await;
                }
                Step::Final => break,
            }
        }
        self.target.state.note_outcome(matches!(entry.target_status, 502..=504));
        buffers::give_back(bytes);
        entry.has_begun = true;
        entry.enter(Phase::ResponseContent);
        entry.response_bytes += started.out.len() as u64;
        if matches!(started.incoming, Incoming::Ended) && started.out.len() <= LAZY_SEND_BYTES {
            self.ahead.last = PendingSend::start(&self.scene.connection.client, started.out);
            entry.last_byte_now(&self.scene.connection.shard.clock);
            return Ok(started.finished);
        }
        self.relay(target, started, entry).await
    }

    /// Judges the head at the start of `bytes` and writes what goes to the client.
    fn head(
        &self,
        bytes: &mut [u8],
        started: &mut Started,
        entry: &mut Entry,
    ) -> Result<Step, Failure> {
        let limits = HeadLimits {
            request_line_bytes: self.group.options.response_head_bytes,
            field_line_bytes: self.group.options.response_head_bytes,
            head_bytes: self.group.options.response_head_bytes,
            field_count: FIELD_COUNT_MAX,
        };
        let mut fields = Fields::new();
        let parsed = head::parse_response(bytes, &limits, self.plan.method, &mut fields);
        let head = match parsed.map_err(Failure::ResponseInvalid)? {
            Parsed::Partial => return Ok(Step::Partial),
            Parsed::Complete(head) => head,
        };
        let head_bytes = head.raw.len();
        if head.status == 101 {
            return self.switching(&head, started, entry);
        }
        if head.status < 200 {
            return Ok(self.interim(&head, started));
        }
        entry.target_status = head.status;
        entry.status = head.status;
        let uploading = !self.upload.get().is_whole();
        let is_close_delimited = head.framing == ResponseFraming::UntilClose;
        let to_http10 = self.plan.version == Version::Http10;
        let needs_length = is_close_delimited || head.framing == ResponseFraming::Chunked;
        let may_continue = self.scene.connection.may_continue(self.scene.listener);
        let keep_client =
            self.plan.persistent && may_continue && !uploading && !(to_http10 && needs_length);
        let framing = match head.framing {
            ResponseFraming::UntilClose | ResponseFraming::Chunked if to_http10 => {
                ResponseFraming::UntilClose
            }
            ResponseFraming::UntilClose => ResponseFraming::Chunked,
            framing => framing,
        };
        started.out = buffers::small();
        started.incoming = head.framing.into();
        started.as_chunks = framing == ResponseFraming::Chunked;
        started.finished = Finished {
            keep_client,
            keep_target: head.persistent && !is_close_delimited,
            target_idle_s: head.keep_alive_s,
        };
        self.write_head(&head, framing, keep_client, false, &mut started.out);
        drop(fields);
        started.take_content(bytes.get_mut(head_bytes..).unwrap_or_default(), entry)?;
        Ok(Step::Final)
    }

    fn write_head(
        &self,
        head: &ResponseHead<'_, '_>,
        framing: ResponseFraming,
        keep: bool,
        upgrade: bool,
        out: &mut Vec<u8>,
    ) {
        let mut scratch = Vec::new();
        let mut ends = ArrayVec::<usize, OWN_COOKIES_MAX>::new();
        self.own_cookies(head, &mut scratch, &mut ends);
        let mut set_cookies = ArrayVec::<&[u8], OWN_COOKIES_MAX>::new();
        let mut start = 0;
        for &end in &ends {
            set_cookies.push(scratch.get(start..end).unwrap_or_default());
            start = end;
        }
        let date = self.scene.connection.shard.clock.date();
        let edits = ResponseEdits {
            client_version: self.plan.version,
            framing,
            keep,
            set_cookies: &set_cookies,
            protect_cookie: !set_cookies.is_empty() && !head.has_cache_control,
            upgrade,
            via: self.scene.listener.forwarded.via.as_deref().map(str::as_bytes),
            date: Some(date.as_bytes()),
        };
        rewrite::response(head, &edits, out);
        drop(set_cookies);
        buffers::give_back(scratch);
    }

    /// Writes limpet's own cookies one behind the other; `ends` says where each ends.
    fn own_cookies(
        &self,
        head: &ResponseHead<'_, '_>,
        scratch: &mut Vec<u8>,
        ends: &mut ArrayVec<usize, OWN_COOKIES_MAX>,
    ) {
        let Plan { choice, rule, .. } = &*self.plan;
        let Some(outcome) = &choice.sticky else { return self.watch_sessions(head) };
        let Some(sticky) = self.scene.stickiness(*rule, choice.group) else { return };
        let connection = self.scene.connection;
        let now_s = connection.shard.clock.unix_s();
        let mut event = AppCookieEvent::None;
        for field in head.fields.iter().filter(|field| field.id == FieldId::SetCookie) {
            event = event.then(sticky.observe_set_cookie(field.value, now_s));
            self.group.state.sessions.observe(sticky, field.value, now_s);
        }
        if let Some(pinned) = outcome.pinned {
            connection.pin(pinned);
        }
        let https = self.plan.https;
        let random = &connection.shard.random;
        let twin;
        let action = outcome.answer(event);
        self.count_session(sticky, outcome, action, now_s);
        match action {
            CookieAction::Nothing => return,
            CookieAction::Set(assignment) => {
                *scratch = buffers::small();
                let own =
                    sticky.write_set_cookie(&assignment, now_s, https, random.secret(), scratch);
                ends.extend(own.then_some(scratch.len()));
                twin = sticky.write_twin_set_cookie(
                    &assignment,
                    now_s,
                    https,
                    random.secret(),
                    scratch,
                );
            }
            CookieAction::Delete => {
                *scratch = buffers::small();
                sticky.write_deletion(https, scratch);
                ends.push(scratch.len());
                twin = sticky.write_twin_deletion(https, scratch);
            }
        }
        ends.extend(twin.then_some(scratch.len()));
    }

    /// Counts a session whose cookie has come back where it lives now, and no longer where it has lived.
    fn count_session(
        &self,
        sticky: &Stickiness,
        outcome: &StickyOutcome,
        action: CookieAction,
        now_s: u64,
    ) {
        let Assignment { session, issued_s, .. } = outcome.assignment;
        match outcome.count_at(self.target.key, action) {
            Count::Nothing => return,
            Count::Lives => {
                let seen_s = sticky.counts_from_s(issued_s, now_s);
                self.target.state.note_session(session, sticky.life(), seen_s);
            }
            Count::Ends => self.target.state.forget_session(session, sticky.life()),
        }
        let left = outcome
            .left
            .and_then(|(group, target)| self.scene.view.groups.get(group)?.targets.get(target));
        if let Some(left) = left.filter(|left| left.state.slot != self.target.state.slot) {
            left.state.forget_session(session, sticky.life());
        }
    }

    /// Notes sessions of an application whose users nobody keeps: a hint for the operator.
    fn watch_sessions(&self, head: &ResponseHead<'_, '_>) {
        if !head.has_set_cookie {
            return;
        }
        let now_s = self.scene.connection.shard.clock.unix_s();
        for field in head.fields.iter().filter(|field| field.id == FieldId::SetCookie) {
            let names = &self.group.options.session_cookies;
            self.group.state.sessions.observe_unkept(names, field.value, now_s);
        }
    }

    fn interim(&self, head: &ResponseHead<'_, '_>, started: &mut Started) -> Step {
        // HTTP/1.0 knows no interim responses (RFC 9110 §15.2).
        if self.plan.version == Version::Http11 {
            started.out = buffers::small();
            self.write_interim(head, &mut started.out);
        }
        Step::Interim { head_bytes: head.raw.len(), status: head.status }
    }

    /// Counts an interim head; one that says that the target is still at work may begin its time anew.
    fn note_interim(
        &self,
        interims: &mut Interims,
        head_bytes: usize,
        status: u16,
    ) -> Result<(), Failure> {
        let (options, clock) = (&self.group.options, &self.scene.connection.shard.clock);
        interims.count(head_bytes, options.response_head_bytes, clock.now_ms())?;
        // While content is still to be sent there is no deadline yet.
        let has_deadline = self.head_deadline.get() != NEVER;
        if status == 102 && options.response_renewed_by_102 && has_deadline {
            self.head_deadline.set(clock.deadline(options.response_timeout));
        }
        Ok(())
    }

    fn switching(
        &self,
        head: &ResponseHead<'_, '_>,
        started: &mut Started,
        entry: &mut Entry,
    ) -> Result<Step, Failure> {
        // The target chooses among the protocols that the client asked for (RFC 9110 §7.8).
        let is_asked = |granted: &[u8]| {
            members(&self.plan.upgrade).any(|asked| eq_ignore_case(asked, granted))
        };
        let mut granted = fields::list(head.fields, FieldId::Upgrade).peekable();
        if !head.upgrade || granted.peek().is_none() || !granted.all(is_asked) {
            return Err(Failure::UnaskedUpgrade);
        }
        entry.target_status = 101;
        entry.status = 101;
        started.out = buffers::small();
        self.write_head(head, ResponseFraming::None, true, true, &mut started.out);
        Ok(Step::Switch { head_bytes: head.raw.len() })
    }

    /// An interim head, without anything of ours.
    fn write_interim(&self, head: &ResponseHead<'_, '_>, out: &mut Vec<u8>) {
        let edits = ResponseEdits {
            client_version: self.plan.version,
            framing: ResponseFraming::None,
            keep: true,
            set_cookies: &[],
            protect_cookie: false,
            upgrade: false,
            via: None,
            date: None,
        };
        rewrite::response(head, &edits, out);
    }

    async fn send(&self, out: Vec<u8>, entry: &mut Entry) -> Result<(), Failure> {
        if out.is_empty() {
            return Ok(());
        }
        entry.response_bytes += out.len() as u64;
        let Scene { connection, listener, .. } = *self.scene;
        let sent = content::send_all(
            &connection.client,
            out,
            0,
            &connection.alarm,
            &connection.shard.clock,
            listener.timeouts.send_idle,
        );
        buffers::give_back(sent.await.map_err(send_failure)?);
        Ok(())
    }

    /// From here on both sides are plain bytes.
    async fn switch(
        &mut self,
        target: &Stream,
        bytes: Vec<u8>,
        entry: &mut Entry,
    ) -> Result<Finished, Failure> {
        entry.has_begun = true;
        entry.enter(Phase::Tunnel);
        let connection = self.scene.connection;
        let next = std::mem::take(&mut self.ahead.next);
        // Content either came with the head, and `early` behind it, or had an upload of its own.
        let beyond = self.beyond.take();
        let early = if beyond.is_empty() { self.early } else { beyond.unread() };
        let idle = self.group.options.tunnel_idle_timeout;
        // Beside its two directions everything else that a busy connection holds is small.
        Box::pin(tunnel::run(connection, target, bytes, (early, next), idle, entry)).await?;
        Ok(Finished::default())
    }

    /// Sends what there is, and receives what is still to come, by turns.
    async fn relay(
        &mut self,
        target: &Stream,
        started: Started,
        entry: &mut Entry,
    ) -> Result<Finished, Failure> {
        let Started { mut out, mut incoming, as_chunks, mut finished } = started;
        let timeouts = &self.scene.listener.timeouts;
        let mut drain = Drain::new(timeouts.send_minimum_rate, timeouts.send_idle);
        let mut from = 0;
        // What cannot be sent again is not kept while the client takes its time.
        buffers::give_back(std::mem::take(&mut self.plan.request));
        while !matches!(incoming, Incoming::Ended) {
            // A client that takes nothing holds one buffer: the next piece is asked for when it has taken this one.
            buffers::give_back(self.send_from(out, from, &mut drain).await?);
            let mut buffer = buffers::large();
            buffer.resize(CHUNK_ROOM, 0);
            let mut receive = target.recv(buffer);
            let idle = self.group.options.content_idle_timeout;
            let deadline = Cell::new(self.scene.connection.shard.clock.deadline(idle));
            // It is lent: what a watch holds is moved with it.
            let (watched, expired) = self.watch(&mut receive, &deadline, target).await;
            let Watched::Output((result, buffer)) = watched else {
                return Err(Failure::ClientGone);
            };
            let is_reset = self.upload.get() == UploadState::TargetReset;
            let reset = || Err(io::ErrorKind::ConnectionReset.into());
            (out, from) = match incoming.accept(
                // The end that is found behind a reset is none of the content's.
                if is_reset && matches!(result, Ok(0)) { reset() } else { result },
                expired,
                buffer,
                as_chunks,
                &mut finished.keep_target,
                entry,
            ) {
                Ok(framed) => framed,
                Err(failure) => return Err(failure),
            };
            entry.response_bytes += (out.len() - from) as u64;
        }
        buffers::give_back(self.send_from(out, from, &mut drain).await?);
        // What the client does afterwards is no part of it.
        entry.last_byte_read(&self.scene.connection.shard.clock);
        Ok(finished)
    }

    async fn send_from(
        &self,
        out: Vec<u8>,
        from: usize,
        drain: &mut Drain,
    ) -> Result<Vec<u8>, Failure> {
        let Scene { connection, listener, .. } = *self.scene;
        let sending = Sending {
            stream: &connection.client,
            alarm: &connection.alarm,
            clock: &connection.shard.clock,
            idle: listener.timeouts.send_idle,
        };
        sending.all(out, from, drain).await.map_err(send_failure)
    }
}

/// Awaits the end of an upload, which is driven beside and has deadlines of its own. A client speaks the
/// new protocol only once it has sent its request whole (RFC 9110 §7.8): a target that agrees earlier is
/// taken at its word behind the content.
async fn content_sent(upload: &Cell<UploadState>) -> Result<(), Failure> {
    poll_fn(|_| match upload.get() {
        UploadState::Running => Poll::Pending,
        UploadState::None | UploadState::Complete => Poll::Ready(Ok(())),
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
