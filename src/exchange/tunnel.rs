//! What follows a 101: bytes in both directions, each ended by its own side, until both have ended
//! or nothing has moved for the tunnel's idle limit.
//!
//! A side that ends cleanly is passed on as such, and the other direction goes on. Whatever else ends a
//! direction is seen as a cut: whoever has not been told of a clean end by then gets a reset.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use super::content::SendFault;
use super::failure::Failure;
use crate::time::clock::Millis;
use crate::time::patience::Patience;
use crate::time::timers::{Timer, Timers};
use crate::uring::buffers::{self, SMALL_BYTES};

/// One end of a tunnel.
pub trait Side {
    type Reader: Reader;
    type Writer: Writer;
    fn split(self) -> (Self::Reader, Self::Writer);
}

/// What comes of one side.
pub trait Reader {
    /// The next bytes; none at the end of the stream. `is_bulk`: much more is expected.
    ///
    /// # Errors
    /// The side is gone.
    fn poll_receive(&mut self, is_bulk: bool, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>>;

    /// Makes a receive end as at the end of the stream.
    fn end_receiving(&self);
}

/// What one side is sent.
pub trait Writer {
    /// Sends all of it.
    ///
    /// # Errors
    /// The side takes no more.
    fn send(
        &self,
        bytes: Vec<u8>,
        patience: Patience<'_>,
    ) -> impl Future<Output = Result<(), SendFault>>;

    /// Tells the side that nothing more comes.
    fn end_sending(&self);

    /// Ends both of its directions as if all had been said.
    fn end(&self);

    /// Ends both of its directions as a failure.
    fn abort(&self);
}

/// What both directions know of their tunnel.
struct Tunnel<'a> {
    timers: &'a Timers<'a>,
    idle: Duration,
    /// When bytes last moved in either direction.
    active_ms: Cell<Millis>,
    /// What went wrong first: the rest follows from it.
    failure: Cell<Option<Failure>>,
}

/// One end of a tunnel.
struct End<W> {
    writer: W,
    who: Who,
    /// It has been sent all that the other end had to say, and told so.
    has_all: Cell<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Client,
    Target,
}

/// One direction.
struct Direction<'a, R, F, T> {
    tunnel: &'a Tunnel<'a>,
    reader: R,
    from: &'a End<F>,
    to: &'a End<T>,
    /// Bounds what is awaited of the reader.
    timer: Timer,
    bytes: u64,
}

/// How a tunnel has ended.
#[derive(Debug, Clone, Copy)]
pub struct Over {
    pub bytes_up: u64,
    pub bytes_down: u64,
    /// What cut it off.
    pub failure: Option<Failure>,
    /// The client was told of a clean end by then: it is not to lose what is still on its way to it, and may still
    /// be sending.
    pub client_was_told: bool,
}

/// Runs the tunnel until both directions have ended.
pub async fn run(
    timers: &Timers<'_>,
    client: impl Side,
    target: impl Side,
    idle: Duration,
) -> Over {
    let tunnel = Tunnel {
        timers,
        idle,
        active_ms: Cell::new(timers.clock.now_ms()),
        failure: Cell::new(None),
    };
    let (from_client, to_client) = client.split();
    let (from_target, to_target) = target.split();
    let client = End::new(to_client, Who::Client);
    let target = End::new(to_target, Who::Target);
    let mut up = Direction::new(&tunnel, from_client, &client, &target, Timer::TunnelUp);
    let mut down = Direction::new(&tunnel, from_target, &target, &client, Timer::TunnelDown);
    join(pin!(up.run()), pin!(down.run())).await;
    // What it was told is on its way to it, also when the client is gone since.
    if target.has_all.get() {
        target.writer.end();
    }
    Over {
        bytes_up: up.bytes,
        bytes_down: down.bytes,
        failure: tunnel.failure.get(),
        client_was_told: client.has_all.get(),
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

impl<W: Writer> End<W> {
    fn new(writer: W, who: Who) -> End<W> {
        End { writer, who, has_all: Cell::new(false) }
    }

    /// What it means that nothing can be received from it any more.
    fn receive_failure(&self) -> Failure {
        match self.who {
            Who::Client => Failure::ClientGone,
            Who::Target => Failure::TargetReset { any_byte: true },
        }
    }

    fn send_failure(&self, fault: SendFault) -> Failure {
        match (self.who, fault) {
            (_, SendFault::Gone | SendFault::Reset) => self.receive_failure(),
            (Who::Client, SendFault::Timeout) => Failure::ClientSendTimeout,
            (Who::Target, SendFault::Timeout) => Failure::TargetSendTimeout,
        }
    }
}

impl<'a, R: Reader, F: Writer, T: Writer> Direction<'a, R, F, T> {
    fn new(
        tunnel: &'a Tunnel<'a>,
        reader: R,
        from: &'a End<F>,
        to: &'a End<T>,
        timer: Timer,
    ) -> Direction<'a, R, F, T> {
        Direction { tunnel, reader, from, to, timer, bytes: 0 }
    }

    async fn run(&mut self) {
        match self.pump().await {
            // This side has said all it had; the other may go on (half-close).
            Ok(()) => {
                self.to.writer.end_sending();
                self.to.has_all.set(true);
            }
            Err(failure) => self.break_off(failure),
        }
    }

    /// Ends the tunnel: this direction has not come to its end, and the other one will not.
    fn break_off(&self, failure: Failure) {
        let failure = if self.tunnel.timers.is_cut_off() { Failure::Stopped } else { failure };
        if self.tunnel.failure.get().is_none() {
            self.tunnel.failure.set(Some(failure));
        }
        self.to.writer.abort();
        if !self.from.has_all.get() {
            self.from.writer.abort();
        }
    }

    async fn pump(&mut self) -> Result<(), Failure> {
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

    /// Receives as long as the tunnel is not idle, nor cut off; breaks the tunnel off when it is.
    async fn receive(&mut self, is_bulk: bool) -> Result<Vec<u8>, Failure> {
        let Tunnel { timers, idle, ref active_ms, .. } = *self.tunnel;
        let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        let mut is_idle = false;
        timers.set(self.timer, active_ms.get().saturating_add(idle_ms));
        let result = poll_fn(|cx| {
            loop {
                if let Poll::Ready(output) = self.reader.poll_receive(is_bulk, cx) {
                    return Poll::Ready(output);
                }
                if is_idle || !timers.poll_due(self.timer, cx) {
                    return Poll::Pending;
                }
                let quiet_until = active_ms.get().saturating_add(idle_ms);
                if timers.clock.now_ms() < quiet_until && !timers.is_cut_off() {
                    timers.set(self.timer, quiet_until);
                    continue;
                }
                is_idle = true;
                self.break_off(Failure::TunnelIdle);
                // One that was told of its end already is not aborted, and not listened to any further.
                self.reader.end_receiving();
            }
        })
        .await;
        timers.stop(self.timer);
        if is_idle {
            return Err(Failure::TunnelIdle);
        }
        result.map_err(|_| self.from.receive_failure())
    }

    async fn send(&mut self, bytes: Vec<u8>) -> Result<(), Failure> {
        let Tunnel { timers, idle, ref active_ms, .. } = *self.tunnel;
        active_ms.set(timers.clock.now_ms());
        self.bytes += bytes.len() as u64;
        let timer = match self.to.who {
            Who::Client => Timer::Send,
            Who::Target => Timer::Upload,
        };
        let patience = Patience { timers, timer, idle };
        let sent = self.to.writer.send(bytes, patience).await;
        sent.map_err(|fault| self.to.send_failure(fault))
    }
}

#[cfg(test)]
#[path = "tunnel_tests.rs"]
mod tests;
