//! The request's content on its way to the target, while the response may already come back.

use std::cell::Cell;

use super::content::{self, SendFault, Sending};
use super::early::{self, NextReceive, PendingSend};
use super::failure::Failure;
use super::input::Input;
use super::pace::{Drain, Pace};
use super::stream::Stream;
use crate::http1::chunked::Decoder;
use crate::shard::alarms::Alarm;
use crate::shard::clock::Clock;
use crate::snapshot::Listener;
use crate::uring::buffers;

/// How the rest of the content is framed.
pub enum Rest {
    /// So many bytes are to come.
    Length(u64),
    Chunked(Decoder),
}

/// How far an upload has come; read by the other direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadState {
    /// All there is came with the head.
    None,
    Running,
    /// The target has been sent the whole request.
    Complete,
    /// The target takes no more; its response decides what happens.
    TargetStopped,
    /// It has reset the connection, or was reset for taking nothing: nothing that is received ends well any more.
    TargetReset,
    Failed(Failure),
}

impl UploadState {
    /// Whether the target has been sent the whole request.
    pub fn is_whole(self) -> bool {
        matches!(self, UploadState::None | UploadState::Complete)
    }
}

/// One request's content beyond what went out with its head.
pub struct Upload<'a> {
    pub client: &'a Stream,
    pub target: &'a Stream,
    pub listener: &'a Listener,
    pub clock: &'a Clock,
    pub alarm: &'a Alarm,
    pub rest: Rest,
    /// The head, and the content that had come with it, on their way.
    pub first: PendingSend,
    /// Content bytes so far, as counted against the listener's limit.
    pub received: &'a Cell<u64>,
    pub state: &'a Cell<UploadState>,
    /// What the client sent behind the content; there once `state` says that it has ended.
    pub beyond: &'a Cell<Input>,
    /// The receive that was waited for in vain.
    pub late: &'a Cell<NextReceive>,
    /// Where the target's willingness to take bytes is bounded.
    pub send_idle: std::time::Duration,
}

impl Upload<'_> {
    /// Pumps until the content ends or a side fails.
    pub async fn run(mut self) {
        #[cfg(test)]
        super::simulation::uploads(true);
        let mut beyond = Input::default();
        let state = match self.pump(&mut beyond).await {
            Ok(()) => UploadState::Complete,
            Err(Stopped::Target { by_reset: false }) => UploadState::TargetStopped,
            Err(Stopped::Target { by_reset: true }) => UploadState::TargetReset,
            Err(Stopped::Client(failure)) => UploadState::Failed(failure),
        };
        self.beyond.set(beyond);
        self.state.set(state);
        #[cfg(test)]
        super::simulation::uploads(false);
        if matches!(state, UploadState::Failed(_)) {
            // The target must not take a cut-off request for a whole one.
            self.target.abort();
        }
    }

    async fn pump(&mut self, beyond: &mut Input) -> Result<(), Stopped> {
        // A target that takes nothing must not hold the client for ever, which has no other deadline yet.
        let (target, deadline) = (self.target, self.clock.deadline(self.send_idle));
        let ((sent, buffer), _) =
            self.alarm.bound_late(deadline, &mut self.first, || target.abort()).await;
        buffers::give_back(buffer);
        let by_reset = early::may_tell_of_a_reset(&sent);
        sent.map_err(|_| Stopped::Target { by_reset })?;
        let (mut pace, mut drain) = (Pace::default(), Drain::default());
        loop {
            if matches!(self.rest, Rest::Length(0)) {
                return Ok(());
            }
            let buffer = self.receive(&mut pace).await.map_err(Stopped::Client)?;
            let (out, from, ended) = self.frame(buffer, beyond).map_err(Stopped::Client)?;
            if out.len() > from {
                let sending = Sending {
                    stream: self.target,
                    alarm: self.alarm,
                    clock: self.clock,
                    idle: self.send_idle,
                };
                match sending.all(out, from, &mut drain).await {
                    Ok(buffer) => buffers::give_back(buffer),
                    Err(fault) => {
                        return Err(Stopped::Target { by_reset: fault != SendFault::Gone });
                    }
                }
            } else {
                buffers::give_back(out);
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// One receive from the client, behind the room that a chunk's size line needs.
    async fn receive(&mut self, pace: &mut Pace) -> Result<Vec<u8>, Failure> {
        let mut buffer = buffers::large();
        buffer.resize(content::CHUNK_ROOM, 0);
        let timeouts = &self.listener.timeouts;
        let began_ms = self.clock.now_ms();
        let deadline = self.clock.deadline(timeouts.content_idle);
        let mut receive = self.client.recv(buffer);
        let Some((result, buffer)) = self.alarm.give_up(deadline, &mut receive).await else {
            self.late.set(NextReceive::Late(receive));
            return Err(Failure::ClientContentTimeout);
        };
        let count = result.map_err(|_| Failure::ClientGone)?;
        if count == 0 {
            return Err(Failure::ClientGone);
        }
        pace.note(self.clock.now_ms().saturating_sub(began_ms), count);
        if pace.is_below(timeouts.content_minimum_rate, timeouts.content_idle) {
            return Err(Failure::ClientContentTimeout);
        }
        Ok(buffer)
    }

    /// Turns received bytes into what the target is sent: the buffer, where in it to start, whether
    /// the content ends with it.
    fn frame(
        &mut self,
        mut buffer: Vec<u8>,
        beyond: &mut Input,
    ) -> Result<(Vec<u8>, usize, bool), Failure> {
        let room = content::CHUNK_ROOM;
        let (from, ended) = match &mut self.rest {
            Rest::Length(rest) => {
                let count = (buffer.len() - room) as u64;
                let taken = count.min(*rest);
                *rest -= taken;
                if count > taken {
                    keep_beyond(beyond, buffer.get(room + taken as usize..).unwrap_or_default());
                    buffer.truncate(room + taken as usize);
                }
                self.received.set(self.received.get() + taken);
                (room, *rest == 0)
            }
            Rest::Chunked(decoder) => {
                let input = buffer.get_mut(room..).unwrap_or_default();
                let decoded =
                    decoder.decode_in_place(input).map_err(Failure::ClientContentInvalid)?;
                if decoded.end {
                    keep_beyond(beyond, input.get(decoded.consumed..).unwrap_or_default());
                }
                self.received.set(self.received.get() + decoded.content as u64);
                let limit = self.listener.content_bytes;
                if limit > 0 && self.received.get() > limit {
                    return Err(Failure::ContentTooLarge);
                }
                buffer.truncate(room + decoded.content);
                let trailers = decoded.end.then(|| decoder.trailers());
                (content::close_chunk(&mut buffer, trailers), decoded.end)
            }
        };
        Ok((buffer, from, ended))
    }
}

/// Who stopped an upload.
enum Stopped {
    Target { by_reset: bool },
    Client(Failure),
}

fn keep_beyond(beyond: &mut Input, bytes: &[u8]) {
    if !bytes.is_empty() {
        let mut buffer = buffers::small();
        buffer.extend_from_slice(bytes);
        beyond.append(buffer);
    }
}
