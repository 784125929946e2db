//! Sends that make progress under a deadline.

use std::io;

use super::pace::Drain;
use super::stream::Stream;
use crate::time::patience::Patience;

/// Why a send ended before all was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Gone,
    /// The peer has reset the connection. The kernel reports that once: a receive now finds an end.
    Reset,
    Timeout,
}

/// As [`send_at_pace`], to a peer that may be as slow as it likes.
///
/// # Errors
/// As there.
pub async fn send_all(
    stream: &Stream,
    buffer: Vec<u8>,
    from: usize,
    patience: Patience<'_>,
) -> Result<Vec<u8>, Fault> {
    send_at_pace(stream, buffer, from, patience, &mut Drain::default()).await
}

/// Sends `buffer[from..]`; the peer must take some bytes within its patience, or a little more: a socket that is not
/// writeable for so long may still be draining a full send buffer to a slow peer, so progress is judged by whether its
/// queue of unacknowledged bytes gets shorter. Returns the buffer.
///
/// # Errors
/// The peer is gone, took nothing for too long, or took less than `drain` asks for. A peer that is too slow has had its
/// stream aborted, because it has only a part.
pub async fn send_at_pace(
    stream: &Stream,
    mut buffer: Vec<u8>,
    mut from: usize,
    patience: Patience<'_>,
    drain: &mut Drain,
) -> Result<Vec<u8>, Fault> {
    let Patience { timers, timer, idle } = patience;
    let clock = timers.clock;
    while from < buffer.len() {
        if timers.is_cut_off() {
            // A send that always finds more to send would never wait, and so never look at the time.
            stream.abort();
            return Err(Fault::Timeout);
        }
        let send = stream.send(buffer, from, false);
        let mut queued = None;
        let mut noted_ms = clock.now_ms();
        let look = || {
            drain.note(clock.now_ms().saturating_sub(noted_ms), 0);
            noted_ms = clock.now_ms();
            if timers.is_cut_off() || drain.is_below(|| stream.queued_bytes()) {
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
        let bound = timers.bound_until(timer, clock.deadline(idle), send, look);
        let ((result, back), expired) = bound.await;
        buffer = back;
        match result {
            Ok(sent) if sent > 0 => {
                from += sent;
                let waited_ms = clock.now_ms().saturating_sub(noted_ms);
                drain.note(waited_ms, sent);
                if waited_ms > 0 && drain.is_below(|| stream.queued_bytes()) {
                    stream.abort();
                    return Err(Fault::Timeout);
                }
            }
            Ok(_) | Err(_) if expired => return Err(Fault::Timeout),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(Fault::Reset);
            }
            Ok(_) | Err(_) => return Err(Fault::Gone),
        }
    }
    Ok(buffer)
}
