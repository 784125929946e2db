//! The response on its way back: interim heads, the final head, its content, and what becomes of
//! both connections.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use arrayvec::ArrayVec;

use super::busy::Done;
use super::content::{self, CHUNK_ROOM, SendFault};
use super::early::{NextReceive, PendingSend};
use super::entry::Entry;
use super::failure::Failure;
use super::input::Input;
use super::prepare::{Plan, Scene};
use super::stream::Stream;
use super::target_side::TargetConnection;
use super::tunnel;
use super::upload::{Rest, Upload, UploadState};
use crate::http1::chunked::Decoder;
use crate::http1::fields::{FieldId, Fields};
use crate::http1::framing::ResponseFraming;
use crate::http1::head::{self, HeadLimits, Parsed, ResponseHead, Version};
use crate::http1::rewrite::{self, ResponseEdits};
use crate::shard::clock::NEVER;
use crate::target::group::{Target, TargetGroup};
use crate::target::response_cookie::AppCookieEvent;
use crate::target::select::CookieAction;
use crate::telemetry::ended::Phase;
use crate::uring::{RecvAny, buffers};

/// Responses up to this size are sent without waiting for the send's end.
const LAZY_SEND_BYTES: usize = 16 * 1024;
/// Cookies of limpet's own in one response: the rule's or group's, and its cross-site twin.
const OWN_COOKIES_MAX: usize = 4;

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
    pub may_receive_next: bool,
}

/// How the exchange ended on both sides.
struct Finished {
    last: PendingSend,
    keep_client: bool,
    keep_target: bool,
    /// How long the target keeps the connection, from its Keep-Alive field.
    target_idle_s: Option<u32>,
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
        let TargetConnection { stream, receive, was_used } = connection;
        let sending = PendingSend::start(&stream, request);
        let listener = self.scene.listener;
        let may_continue = self.scene.connection.may_continue(listener);
        let persistent = self.plan.persistent && may_continue;
        match rest {
            None => {
                if persistent && self.may_receive_next && self.next.is_none() {
                    *self.next = NextReceive::start(&self.scene.connection.client);
                }
                self.without_upload(stream, receive, was_used, sending, persistent, entry).await
            }
            Some(rest) => {
                let upload = (rest, sending, received);
                self.with_upload(stream, receive, was_used, upload, persistent, entry).await
            }
        }
    }

    async fn without_upload(
        mut self,
        target: Stream,
        receive: RecvAny,
        was_used: bool,
        mut sending: PendingSend,
        persistent: bool,
        entry: &mut Entry,
    ) -> Result<(Done, Input), Broken> {
        let timeout = self.group.options.response_timeout;
        let deadline = self.scene.connection.shard.clock.deadline(timeout);
        let first = self.first_bytes(&target, receive, was_used, &mut sending, deadline).await;
        let bytes = match first {
            Ok(bytes) => bytes,
            Err(failure) => {
                target.end();
                let (_, request) = sending.finish().await;
                return Err(Broken { failure, request });
            }
        };
        entry.first_byte_now(&self.scene.connection.shard.clock);
        let ((), _) =
            self.scene.connection.alarm.bound(deadline, &mut sending, || target.end()).await;
        let (_, request) = sending.finish().await;
        match self.respond(&target, bytes, persistent, None, entry).await {
            Ok(finished) => {
                buffers::give_back(request);
                Ok((self.finish(target, finished), Input::default()))
            }
            Err(failure) => {
                target.end();
                Err(Broken { failure, request })
            }
        }
    }

    async fn with_upload(
        mut self,
        target: Stream,
        receive: RecvAny,
        was_used: bool,
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
        let timeout = self.group.options.response_timeout;
        let uploaded = || {
            // Only now does the target owe a response.
            connection.alarm.set(connection.shard.clock.deadline(timeout));
        };
        let stop = || {
            connection.client.end_receiving();
            target.end();
        };
        let (result, beyond) = {
            let respond = async {
                let mut none = PendingSend::None;
                let bytes = self.first_bytes(&target, receive, was_used, &mut none, NEVER).await?;
                entry.first_byte_now(&connection.shard.clock);
                self.respond(&target, bytes, persistent, Some(&state), entry).await
            };
            let both = Both { upload: pin!(upload.run()), beyond: None, response: pin!(respond) };
            both.run(uploaded, stop).await
        };
        entry.request_bytes += received.get().saturating_sub(entry.request_content_bytes);
        entry.request_content_bytes = received.get();
        let result = match (result, state.get()) {
            (_, UploadState::Failed(failure)) => {
                entry.phase = Phase::RequestContent;
                Err(failure)
            }
            (result, _) => result,
        };
        match result {
            Ok(mut finished) => {
                let complete = state.get() == UploadState::Complete;
                finished.keep_client &= complete;
                finished.keep_target &= complete;
                let mut done = self.finish(target, finished);
                done.linger = !complete;
                Ok((done, beyond))
            }
            Err(failure) => {
                target.end();
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
                too_many.close();
            }
        } else {
            target.end();
        }
        Done {
            last: finished.last,
            next: NextReceive::None,
            keep: finished.keep_client,
            linger: false,
        }
    }

    /// The first bytes of the response.
    async fn first_bytes(
        &mut self,
        target: &Stream,
        receive: RecvAny,
        reused: bool,
        sending: &mut PendingSend,
        deadline: u64,
    ) -> Result<Vec<u8>, Failure> {
        let waiting = FirstBytes { receive, sending, next: self.next };
        let alarm = &self.scene.connection.alarm;
        let (result, expired) = alarm.bound(deadline, waiting, || target.end()).await;
        match result {
            Ok(None) => {
                target.abort();
                target.end();
                Err(Failure::ClientGone)
            }
            Ok(Some(bytes)) if !bytes.is_empty() => Ok(bytes),
            Ok(Some(_)) | Err(_) if expired => Err(Failure::ResponseTimeout),
            Ok(Some(_)) => Err(Failure::TargetClosed { reused, any_byte: false }),
            Err(_) => Err(Failure::TargetReset { reused, any_byte: false }),
        }
    }

    async fn more(&self, target: &Stream, mut bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
        if bytes.capacity() - bytes.len() < 512 {
            let mut larger = buffers::large();
            if larger.capacity() < bytes.len() + 4096 {
                larger = Vec::with_capacity(bytes.capacity() * 2);
            }
            larger.extend_from_slice(&bytes);
            buffers::give_back(std::mem::replace(&mut bytes, larger));
        }
        let connection = self.scene.connection;
        let deadline = connection.shard.clock.deadline(self.group.options.response_timeout);
        let receive = target.recv(bytes);
        let ((result, bytes), expired) =
            connection.alarm.bound(deadline, receive, || target.end()).await;
        match result {
            Ok(count) if count > 0 => Ok(bytes),
            Ok(_) | Err(_) if expired => Err(Failure::ResponseTimeout),
            Ok(_) => Err(Failure::TargetClosed { reused: false, any_byte: true }),
            Err(_) => Err(Failure::TargetReset { reused: false, any_byte: true }),
        }
    }

    /// Reads heads until the final one, sends it on with the content that came with it, then pumps.
    async fn respond(
        &mut self,
        target: &Stream,
        mut bytes: Vec<u8>,
        persistent: bool,
        upload: Option<&Cell<UploadState>>,
        entry: &mut Entry,
    ) -> Result<Finished, Failure> {
        let started = loop {
            match self.head(&mut bytes, persistent, upload, entry)? {
                Step::Partial => bytes = self.more(target, bytes).await?,
                Step::Interim { head_bytes, out } => {
                    bytes.drain(..head_bytes);
                    self.send(out, entry).await?;
                    if bytes.is_empty() {
                        bytes = self.more(target, bytes).await?;
                    }
                }
                Step::Switch { head_bytes, out } => {
                    bytes.drain(..head_bytes);
                    self.send(out, entry).await?;
                    return self.switch(target, bytes, entry).await;
                }
                Step::Final(started) => break started,
            }
        };
        buffers::give_back(bytes);
        entry.has_begun = true;
        entry.phase = Phase::ResponseContent;
        self.relay(target, started, entry).await
    }

    /// Judges the head at the start of `bytes` and writes what goes to the client.
    fn head(
        &self,
        bytes: &mut [u8],
        persistent: bool,
        upload: Option<&Cell<UploadState>>,
        entry: &mut Entry,
    ) -> Result<Step, Failure> {
        let limits = HeadLimits {
            request_line_bytes: self.group.options.response_head_bytes,
            field_line_bytes: self.group.options.response_head_bytes,
            head_bytes: self.group.options.response_head_bytes,
            field_count: crate::http1::fields::FIELD_COUNT_MAX,
        };
        let mut fields = Fields::new();
        let parsed = head::parse_response(bytes, &limits, self.plan.method, &mut fields);
        let head = match parsed.map_err(Failure::ResponseInvalid)? {
            Parsed::Partial => return Ok(Step::Partial),
            Parsed::Complete(head) => head,
        };
        let head_bytes = head.raw.len();
        if head.status == 101 {
            return self.switching(&head, entry);
        }
        if head.status < 200 {
            return Ok(self.interim(&head));
        }
        entry.target_status = head.status;
        entry.status = head.status;
        let uploading = upload.is_some_and(|state| state.get() != UploadState::Complete);
        let is_close_delimited = head.framing == ResponseFraming::UntilClose;
        let to_http10 = self.plan.version == Version::Http10;
        let needs_length = is_close_delimited || head.framing == ResponseFraming::Chunked;
        let keep_client = persistent && !uploading && !(to_http10 && needs_length);
        let framing = match head.framing {
            ResponseFraming::UntilClose | ResponseFraming::Chunked if to_http10 => {
                ResponseFraming::UntilClose
            }
            ResponseFraming::UntilClose => ResponseFraming::Chunked,
            framing => framing,
        };
        let mut started = Started {
            out: buffers::small(),
            incoming: head.framing.into(),
            as_chunks: framing == ResponseFraming::Chunked,
            keep_client,
            keep_target: head.persistent && !is_close_delimited,
            target_idle_s: head.keep_alive_s,
        };
        self.write_head(&head, framing, keep_client, false, &mut started.out);
        drop(fields);
        started.take_content(bytes.get_mut(head_bytes..).unwrap_or_default(), entry)?;
        Ok(Step::Final(started))
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
        let edits = ResponseEdits {
            client_version: self.plan.version,
            framing,
            keep,
            set_cookies: &set_cookies,
            protect_cookie: !set_cookies.is_empty() && !head.has_cache_control,
            upgrade,
            via: self.scene.listener.forwarded.via.as_deref().map(str::as_bytes),
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
        let Plan { choice, rule, .. } = self.plan;
        let Some(outcome) = choice.sticky else { return };
        let Some(sticky) = self.scene.stickiness(*rule, choice.group) else { return };
        let connection = self.scene.connection;
        let now_s = connection.shard.clock.unix_s();
        let mut event = AppCookieEvent::None;
        for field in head.fields.iter().filter(|field| field.id == FieldId::SetCookie) {
            event = event.then(sticky.observe_set_cookie(field.value, now_s));
            self.group.state.sessions.observe(sticky, field.value, now_s);
        }
        if let Some(pinned) = outcome.pinned {
            connection.pinned.set(Some(pinned));
        }
        let https = connection.client.is_encrypted();
        let random = &connection.shard.random;
        let twin;
        match outcome.answer(event) {
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

    fn interim(&self, head: &ResponseHead<'_, '_>) -> Step {
        let mut out = Vec::new();
        // HTTP/1.0 knows no interim responses (RFC 9110 §15.2).
        if self.plan.version == Version::Http11 {
            out = buffers::small();
            self.write_interim(head, &mut out);
        }
        Step::Interim { head_bytes: head.raw.len(), out }
    }

    fn switching(&self, head: &ResponseHead<'_, '_>, entry: &mut Entry) -> Result<Step, Failure> {
        let asked = &self.plan.upgrade;
        let granted = head.upgrade.unwrap_or_default();
        if asked.is_empty() || !granted.eq_ignore_ascii_case(asked) {
            return Err(Failure::UnaskedUpgrade);
        }
        entry.target_status = 101;
        entry.status = 101;
        let mut out = buffers::small();
        self.write_head(head, ResponseFraming::None, true, true, &mut out);
        Ok(Step::Switch { head_bytes: head.raw.len(), out })
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
        entry.phase = Phase::Tunnel;
        let connection = self.scene.connection;
        let next = std::mem::take(self.next);
        let idle = self.group.options.tunnel_idle_timeout;
        tunnel::run(connection, target, bytes, next, idle, entry).await?;
        Ok(Finished {
            last: PendingSend::None,
            keep_client: false,
            keep_target: false,
            target_idle_s: None,
        })
    }

    /// Sends what there is; where content is still to come, receives it while sending.
    async fn relay(
        &mut self,
        target: &Stream,
        started: Started,
        entry: &mut Entry,
    ) -> Result<Finished, Failure> {
        let Started { out, mut incoming, as_chunks, keep_client, mut keep_target, .. } = started;
        let target_idle_s = started.target_idle_s;
        let client = &self.scene.connection.client;
        entry.response_bytes += out.len() as u64;
        if matches!(incoming, Incoming::Ended) && out.len() <= LAZY_SEND_BYTES {
            let last = PendingSend::start(client, out);
            entry.last_byte_now(&self.scene.connection.shard.clock);
            return Ok(Finished { last, keep_client, keep_target, target_idle_s });
        }
        let mut out = out;
        let mut from = 0;
        while !matches!(incoming, Incoming::Ended) {
            let mut buffer = buffers::large();
            buffer.resize(CHUNK_ROOM, 0);
            let receive = target.recv(buffer);
            let sent = self.send_from(out, from).await;
            let deadline =
                self.scene.connection.shard.clock.deadline(self.group.options.content_idle_timeout);
            if sent.is_err() {
                target.end();
            }
            let ((result, buffer), expired) =
                self.scene.connection.alarm.bound(deadline, receive, || target.end()).await;
            buffers::give_back(sent?);
            (out, from) =
                match incoming.accept(result, expired, buffer, as_chunks, &mut keep_target) {
                    Ok(framed) => framed,
                    Err(failure) => return Err(failure),
                };
            entry.response_bytes += (out.len() - from) as u64;
        }
        buffers::give_back(self.send_from(out, from).await?);
        Ok(Finished { last: PendingSend::None, keep_client, keep_target, target_idle_s })
    }

    async fn send_from(&self, out: Vec<u8>, from: usize) -> Result<Vec<u8>, Failure> {
        let Scene { connection, listener, .. } = *self.scene;
        content::send_all(
            &connection.client,
            out,
            from,
            &connection.alarm,
            &connection.shard.clock,
            listener.timeouts.send_idle,
        )
        .await
        .map_err(send_failure)
    }
}

fn send_failure(fault: SendFault) -> Failure {
    match fault {
        SendFault::Gone => Failure::ClientGone,
        SendFault::Timeout => Failure::ClientSendTimeout,
    }
}

/// What the head at the front of the target's bytes turned out to be.
enum Step {
    Partial,
    Interim { head_bytes: usize, out: Vec<u8> },
    Switch { head_bytes: usize, out: Vec<u8> },
    Final(Started),
}

/// A response whose head has been written, with the content that came along.
struct Started {
    out: Vec<u8>,
    incoming: Incoming,
    /// The content goes to the client in chunks.
    as_chunks: bool,
    keep_client: bool,
    keep_target: bool,
    target_idle_s: Option<u32>,
}

/// Content still to come from the target.
enum Incoming {
    Ended,
    Length(u64),
    Chunked(Decoder),
    UntilClose,
}

impl From<ResponseFraming> for Incoming {
    fn from(framing: ResponseFraming) -> Incoming {
        match framing {
            ResponseFraming::None | ResponseFraming::Length(0) => Incoming::Ended,
            ResponseFraming::Length(length) => Incoming::Length(length),
            ResponseFraming::Chunked => Incoming::Chunked(Decoder::default()),
            ResponseFraming::UntilClose => Incoming::UntilClose,
        }
    }
}

impl Started {
    /// Appends the content that came with the head.
    fn take_content(&mut self, bytes: &mut [u8], entry: &mut Entry) -> Result<(), Failure> {
        if self.out.len() + bytes.len() + 64 > self.out.capacity() {
            let mut larger = buffers::large();
            larger.extend_from_slice(&self.out);
            buffers::give_back(std::mem::replace(&mut self.out, larger));
        }
        match &mut self.incoming {
            Incoming::Ended => self.keep_target &= bytes.is_empty(),
            Incoming::Length(rest) => {
                let taken = usize::try_from(*rest).unwrap_or(usize::MAX).min(bytes.len());
                self.out.extend_from_slice(bytes.get(..taken).unwrap_or_default());
                self.keep_target &= taken == bytes.len();
                entry.response_content_bytes += taken as u64;
                *rest -= taken as u64;
                if *rest == 0 {
                    self.incoming = Incoming::Ended;
                }
            }
            Incoming::Chunked(decoder) => {
                let length = bytes.len();
                let decoded =
                    decoder.decode_in_place(bytes).map_err(Failure::TargetContentInvalid)?;
                let content = bytes.get(..decoded.content).unwrap_or_default();
                entry.response_content_bytes += decoded.content as u64;
                if self.as_chunks {
                    content::append_chunk(content, &mut self.out);
                } else {
                    self.out.extend_from_slice(content);
                }
                if decoded.end {
                    if self.as_chunks {
                        crate::http1::chunked::write_end(decoder.trailers(), &mut self.out);
                    }
                    self.keep_target &= decoded.consumed == length;
                    self.incoming = Incoming::Ended;
                }
            }
            Incoming::UntilClose if self.as_chunks => content::append_chunk(bytes, &mut self.out),
            Incoming::UntilClose => self.out.extend_from_slice(bytes),
        }
        Ok(())
    }
}

impl Incoming {
    /// Turns one receive from the target into what the client is sent: buffer and where it starts.
    fn accept(
        &mut self,
        result: std::io::Result<usize>,
        expired: bool,
        mut buffer: Vec<u8>,
        as_chunks: bool,
        keep_target: &mut bool,
    ) -> Result<(Vec<u8>, usize), Failure> {
        let count = match result {
            Ok(count) if count > 0 => count,
            Ok(_) if matches!(self, Incoming::UntilClose) && !expired => {
                *self = Incoming::Ended;
                let end = as_chunks.then_some(&b""[..]);
                let from = content::close_chunk(&mut buffer, end);
                return Ok((buffer, from));
            }
            Ok(_) | Err(_) if expired => return Err(Failure::TargetContentTimeout),
            Ok(_) | Err(_) => return Err(Failure::TargetContentShort),
        };
        match self {
            Incoming::Ended => {}
            Incoming::UntilClose => {
                if as_chunks {
                    let from = content::close_chunk(&mut buffer, None);
                    return Ok((buffer, from));
                }
            }
            Incoming::Length(rest) => {
                let taken = (*rest).min(count as u64);
                *keep_target &= taken == count as u64;
                buffer.truncate(CHUNK_ROOM + usize::try_from(taken).unwrap_or(count));
                *rest -= taken;
                if *rest == 0 {
                    *self = Incoming::Ended;
                }
            }
            Incoming::Chunked(decoder) => {
                let input = buffer.get_mut(CHUNK_ROOM..).unwrap_or_default();
                let decoded =
                    decoder.decode_in_place(input).map_err(Failure::TargetContentInvalid)?;
                *keep_target &= !decoded.end || decoded.consumed == count;
                buffer.truncate(CHUNK_ROOM + decoded.content);
                let mut from = CHUNK_ROOM;
                if as_chunks {
                    let trailers = decoded.end.then(|| decoder.trailers());
                    from = content::close_chunk(&mut buffer, trailers);
                }
                if decoded.end {
                    *self = Incoming::Ended;
                }
                return Ok((buffer, from));
            }
        }
        Ok((buffer, CHUNK_ROOM))
    }
}

/// Waits for the target's first bytes. On the way it keeps the request's send going where the engine
/// does not do that by itself, and notices a client that resets. Output: `None` = the client is gone.
struct FirstBytes<'a> {
    receive: RecvAny,
    sending: &'a mut PendingSend,
    next: &'a mut NextReceive,
}

impl Future for FirstBytes<'_> {
    type Output = std::io::Result<Option<Vec<u8>>>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.sending.poll_if_needed(cx);
        if let Poll::Ready(result) = Pin::new(&mut this.receive).poll(cx) {
            return Poll::Ready(result.map(Some));
        }
        if this.next.poll_arrived(cx) && this.next.is_reset() {
            return Poll::Ready(Ok(None));
        }
        Poll::Pending
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
    /// and must make the upload end soon.
    async fn run(mut self, uploaded: impl FnOnce(), stop: impl FnOnce()) -> (T, Input) {
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
        let beyond = match self.beyond.take() {
            Some(beyond) => beyond,
            None => {
                stop();
                Pin::new(&mut self.upload).await
            }
        };
        (result, beyond)
    }
}
