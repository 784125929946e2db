//! Moving content: sends that make progress under a deadline, and the framing of what is sent.

use std::io;
use std::time::Duration;

use super::pace::Drain;
use super::stream::Stream;
use crate::http1::chunked::{self, SIZE_LINE_BYTES_MAX};
use crate::shard::alarms::Alarm;
use crate::shard::clock::Clock;

/// Room at the front of a content buffer for the size line of the chunk that it may become.
pub const CHUNK_ROOM: usize = SIZE_LINE_BYTES_MAX;

/// Why a send ended before all was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendFault {
    Gone,
    /// The peer has reset the connection. The kernel tells of that once: a receive now finds an end.
    Reset,
    Timeout,
}

/// Where something is sent, and how long its peer may take nothing.
pub struct Sending<'a> {
    pub stream: &'a Stream,
    pub alarm: &'a Alarm,
    pub clock: &'a Clock,
    pub idle: Duration,
}

/// As [`Sending::all`], for a peer that may take it at any pace.
///
/// # Errors
/// As there.
pub async fn send_all(
    stream: &Stream,
    buffer: Vec<u8>,
    from: usize,
    alarm: &Alarm,
    clock: &Clock,
    idle: Duration,
) -> Result<Vec<u8>, SendFault> {
    Sending { stream, alarm, clock, idle }.all(buffer, from, &mut Drain::default()).await
}

impl Sending<'_> {
    /// Sends `buffer[from..]`; the peer must take some bytes in every `idle`, or a little more: a socket that
    /// is not writeable for so long may still be draining a full send buffer to a slow peer, so what counts is
    /// whether its queue of unacknowledged bytes gets shorter. Returns the buffer.
    ///
    /// # Errors
    /// The peer is gone, or took nothing for too long, or less than `drain` asks for (its stream has then been aborted:
    /// what it was sent is not the whole).
    pub async fn all(
        &self,
        mut buffer: Vec<u8>,
        mut from: usize,
        drain: &mut Drain,
    ) -> Result<Vec<u8>, SendFault> {
        let Sending { stream, alarm, clock, idle } = *self;
        while from < buffer.len() {
            if alarm.is_cut_off() {
                // Who always finds something to send would never be seen waiting.
                stream.abort();
                return Err(SendFault::Timeout);
            }
            let send = stream.send(buffer, from, false);
            let mut queued = None;
            let mut noted_ms = clock.now_ms();
            let look = || {
                drain.note(clock.now_ms().saturating_sub(noted_ms), 0);
                noted_ms = clock.now_ms();
                if alarm.is_cut_off() || drain.is_below(|| stream.queued_bytes()) {
                    stream.abort();
                    return None;
                }
                let before = std::mem::replace(&mut queued, stream.queued_bytes());
                match (before, queued) {
                    // The first look has nothing to compare with.
                    (None, Some(_)) => Some(clock.deadline(idle / 4)),
                    (Some(before), Some(now)) if now < before => Some(clock.deadline(idle)),
                    _ => {
                        stream.abort();
                        None
                    }
                }
            };
            let ((result, back), expired) =
                alarm.bound_until(clock.deadline(idle), send, look).await;
            buffer = back;
            match result {
                Ok(sent) if sent > 0 => {
                    from += sent;
                    let waited_ms = clock.now_ms().saturating_sub(noted_ms);
                    drain.note(waited_ms, sent);
                    if waited_ms > 0 && drain.is_below(|| stream.queued_bytes()) {
                        stream.abort();
                        return Err(SendFault::Timeout);
                    }
                }
                Ok(_) | Err(_) if expired => return Err(SendFault::Timeout),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(SendFault::Reset);
                }
                Ok(_) | Err(_) => return Err(SendFault::Gone),
            }
        }
        Ok(buffer)
    }
}

/// Makes a chunk of the content behind [`CHUNK_ROOM`] in `buffer`, in place, and the end of the
/// chunked content when `end` gives its trailer lines. Returns where the bytes to send begin.
pub fn close_chunk(buffer: &mut Vec<u8>, end: Option<&[u8]>) -> usize {
    let length = buffer.len().saturating_sub(CHUNK_ROOM);
    let mut from = CHUNK_ROOM;
    if length > 0 {
        let mut line = [0; SIZE_LINE_BYTES_MAX];
        let line_length = chunked::write_size(length, &mut line);
        from = CHUNK_ROOM - line_length;
        if let (Some(room), Some(line)) =
            (buffer.get_mut(from..CHUNK_ROOM), line.get(SIZE_LINE_BYTES_MAX - line_length..))
        {
            room.copy_from_slice(line);
        }
        buffer.extend_from_slice(b"\r\n");
    }
    if let Some(trailers) = end {
        chunked::write_end(trailers, buffer);
    }
    from
}

/// Appends `content` as one chunk.
pub fn append_chunk(content: &[u8], out: &mut Vec<u8>) {
    if content.is_empty() {
        return;
    }
    let mut line = [0; SIZE_LINE_BYTES_MAX];
    let length = chunked::write_size(content.len(), &mut line);
    out.extend_from_slice(line.get(SIZE_LINE_BYTES_MAX - length..).unwrap_or_default());
    out.extend_from_slice(content);
    out.extend_from_slice(b"\r\n");
}
