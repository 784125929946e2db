//! What follows a 101: bytes in both directions, each ended by its own side, until both have ended
//! or nothing has moved for the tunnel's idle limit.
//!
//! A side that ends cleanly is passed on as such, and the other direction goes on. Whatever else ends a
//! direction is seen as a cut: whoever has not been told of a clean end by then gets a reset.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use super::connection::Connection;
use super::content::{self, SendFault};
use super::early::NextReceive;
use super::entry::Entry;
use super::failure::Failure;
use super::stream::Stream;
use crate::shard::alarms::Alarm;
use crate::shard::clock::{Clock, Millis};
use crate::uring::buffers::{self, SMALL_BYTES};

/// What both directions know of their tunnel.
struct Tunnel<'a> {
    clock: &'a Clock,
    idle: Duration,
    /// When bytes last moved in either direction.
    active_ms: Cell<Millis>,
    /// What went wrong first: the rest follows from it.
    failure: Cell<Option<Failure>>,
}

/// One end of a tunnel.
struct End<'a> {
    stream: &'a Stream,
    side: Side,
    /// It has been sent all that the other end had to say, and told so.
    has_all: Cell<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Target,
}

/// One direction.
struct Direction<'a> {
    tunnel: &'a Tunnel<'a>,
    from: &'a End<'a>,
    to: &'a End<'a>,
    alarm: Alarm,
    bytes: Cell<u64>,
}

/// Runs the tunnel. `early` are bytes that the target sent behind its 101. `from_client` is what the
/// client sent behind its request, which was held back until the target agreed, and the receive that
/// was meant for its next request and brings the tunnel's first bytes instead.
///
/// # Errors
/// What cut the tunnel off, where the client is to see it. A client that was told of a clean end by then
/// is not to lose what is still on its way to it: then the failure is in `entry` alone, and the client may
/// still be sending.
pub async fn run(
    connection: &Connection,
    target: &Stream,
    early: Vec<u8>,
    from_client: (&[u8], NextReceive),
    idle: Duration,
    entry: &mut Entry,
) -> Result<(), Failure> {
    let shard = &connection.shard;
    let tunnel = Tunnel {
        clock: &shard.clock,
        idle,
        active_ms: Cell::new(shard.clock.now_ms()),
        failure: Cell::new(None),
    };
    let client = End::new(&connection.client, Side::Client);
    let target = End::new(target, Side::Target);
    let direction = |from, to| {
        let alarm = shard.alarms.alarm();
        Direction { tunnel: &tunnel, from, to, alarm, bytes: Cell::new(0) }
    };
    let (up, down) = (direction(&client, &target), direction(&target, &client));
    let (early_up, next) = from_client;
    join(pin!(up.run(early_up.to_vec(), next)), pin!(down.run(early, NextReceive::None))).await;
    entry.request_bytes += up.bytes.get();
    entry.response_bytes += down.bytes.get();
    // What it was told is on its way to it, also when the client is gone since.
    target.end_if_told();
    match tunnel.failure.get() {
        Some(failure) if client.has_all.get() => {
            entry.fail(failure);
            Ok(())
        }
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

/// Drives both until both have ended.
async fn join(
    mut up: Pin<&mut impl Future<Output = ()>>,
    mut down: Pin<&mut impl Future<Output = ()>>,
) {
    let (mut is_up_over, mut is_down_over) = (false, false);
    poll_fn(|cx| {
        is_up_over = is_up_over || up.as_mut().poll(cx).is_ready();
        is_down_over = is_down_over || down.as_mut().poll(cx).is_ready();
        if is_up_over && is_down_over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

impl<'a> End<'a> {
    fn new(stream: &'a Stream, side: Side) -> End<'a> {
        End { stream, side, has_all: Cell::new(false) }
    }

    fn end_if_told(&self) {
        if self.has_all.get() {
            self.stream.end();
        }
    }

    /// What it means that nothing can be received from it any more.
    fn receive_failure(&self) -> Failure {
        match self.side {
            Side::Client => Failure::ClientGone,
            Side::Target => Failure::TargetReset { any_byte: true },
        }
    }

    fn send_failure(&self, fault: SendFault) -> Failure {
        match (self.side, fault) {
            (_, SendFault::Gone | SendFault::Reset) => self.receive_failure(),
            (Side::Client, SendFault::Timeout) => Failure::ClientSendTimeout,
            (Side::Target, SendFault::Timeout) => Failure::TargetSendTimeout,
        }
    }
}

impl Direction<'_> {
    async fn run(&self, early: Vec<u8>, next: NextReceive) {
        match self.pump(early, next).await {
            // This side has said all it had; the other may go on (half-close).
            Ok(()) => {
                self.to.stream.end_sending();
                self.to.has_all.set(true);
            }
            Err(failure) => self.break_off(failure),
        }
    }

    /// Ends the tunnel: this direction has not come to its end, and the other one will not.
    fn break_off(&self, failure: Failure) {
        let failure = if self.alarm.is_cut_off() { Failure::Stopped } else { failure };
        if self.tunnel.failure.get().is_none() {
            self.tunnel.failure.set(Some(failure));
        }
        self.to.stream.abort();
        if !self.from.has_all.get() {
            self.from.stream.abort();
        }
    }

    async fn pump(&self, early: Vec<u8>, mut next: NextReceive) -> Result<(), Failure> {
        if !early.is_empty() {
            self.send(early).await?;
        }
        if !next.is_none() {
            let received = self.wait(pin!(next.finish())).await?;
            let bytes = received.map_err(|_| self.from.receive_failure())?;
            if bytes.is_empty() {
                return Ok(());
            }
            self.send(bytes).await?;
        }
        let mut is_bulk = false;
        loop {
            let bytes = self.receive(is_bulk).await?;
            if bytes.is_empty() {
                buffers::give_back(bytes);
                return Ok(());
            }
            // Full small buffers mean that more is coming than a conversation's messages.
            is_bulk = bytes.len() >= SMALL_BYTES;
            self.send(bytes).await?;
        }
    }

    async fn receive(&self, is_bulk: bool) -> Result<Vec<u8>, Failure> {
        let from = self.from.stream;
        let result: io::Result<Vec<u8>> = if is_bulk {
            let (result, buffer) = self.wait(pin!(from.recv(buffers::large()))).await?;
            result.map(|_| buffer)
        } else {
            self.wait(pin!(from.recv_any())).await?
        };
        result.map_err(|_| self.from.receive_failure())
    }

    /// Awaits a receive as long as the tunnel is not idle, nor cut off; breaks the tunnel off when it is.
    async fn wait<F: Future>(&self, mut op: Pin<&mut F>) -> Result<F::Output, Failure> {
        let Tunnel { clock, idle, active_ms, .. } = self.tunnel;
        let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        let mut is_idle = false;
        self.alarm.set(active_ms.get().saturating_add(idle_ms));
        let output = poll_fn(|cx| {
            loop {
                if let Poll::Ready(output) = op.as_mut().poll(cx) {
                    return Poll::Ready(output);
                }
                if is_idle || !self.alarm.poll_fired(cx) {
                    return Poll::Pending;
                }
                let quiet_until = active_ms.get().saturating_add(idle_ms);
                if clock.now_ms() < quiet_until && !self.alarm.is_cut_off() {
                    self.alarm.set(quiet_until);
                    continue;
                }
                is_idle = true;
                self.break_off(Failure::TunnelIdle);
                // One that was told of its end already is not aborted, and not listened to any further.
                self.from.stream.end_receiving();
            }
        })
        .await;
        if is_idle { Err(Failure::TunnelIdle) } else { Ok(output) }
    }

    async fn send(&self, bytes: Vec<u8>) -> Result<(), Failure> {
        self.tunnel.active_ms.set(self.tunnel.clock.now_ms());
        self.bytes.set(self.bytes.get() + bytes.len() as u64);
        let Tunnel { clock, idle, .. } = self.tunnel;
        let sent = content::send_all(self.to.stream, bytes, 0, &self.alarm, clock, *idle).await;
        buffers::give_back(sent.map_err(|fault| self.to.send_failure(fault))?);
        Ok(())
    }
}
