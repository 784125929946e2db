//! What follows a 101: bytes in both directions, each ended by its own side, until both have ended
//! or nothing has moved for the tunnel's idle limit.
//!
//! A side that ends cleanly is passed on as such, and the other direction goes on. Whatever else ends a
//! direction is seen as a cut: whoever has not been told of a clean end by then gets a reset.
//!
//! A receive or a send in flight tells of its side's reset. A side has neither while the other side takes none of its
//! bytes, or once it has ended; then the tunnel asks the system about it every half second.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use super::content::SendFault;
use super::failure::Failure;
use crate::time::clock::Millis;
use crate::time::patience::{LOOK, Patience};
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

    /// Whether the side has reset its stream; asks the system, also while bytes of it are unread. Neither its end nor
    /// that of both directions is a reset.
    fn is_reset(&self) -> bool;

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
    /// All bytes of the other end have been sent to it, and the end behind them.
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
    /// Bounds the receives of this direction, and says when to ask the system about a side.
    timer: Timer,
    /// That of the other direction.
    other_timer: Timer,
    /// When the system is asked next about a side.
    look_ms: Millis,
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
    let (of_up, of_down) = (Timer::TunnelUp, Timer::TunnelDown);
    let mut up = Direction::new(&tunnel, from_client, (&client, &target), (of_up, of_down));
    let mut down = Direction::new(&tunnel, from_target, (&target, &client), (of_down, of_up));
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

    /// What it means that it is gone.
    fn gone(&self) -> Failure {
        match self.who {
            Who::Client => Failure::ClientGone,
            Who::Target => Failure::TargetReset { any_byte: true },
        }
    }

    fn send_failure(&self, fault: SendFault) -> Failure {
        match (self.who, fault) {
            (_, SendFault::Gone | SendFault::Reset) => self.gone(),
            (Who::Client, SendFault::Timeout) => Failure::ClientSendTimeout,
            (Who::Target, SendFault::Timeout) => Failure::TargetSendTimeout,
        }
    }
}

impl<'a, R: Reader, F: Writer, T: Writer> Direction<'a, R, F, T> {
    fn new(
        tunnel: &'a Tunnel<'a>,
        reader: R,
        (from, to): (&'a End<F>, &'a End<T>),
        (timer, other_timer): (Timer, Timer),
    ) -> Direction<'a, R, F, T> {
        let look_ms = tunnel.timers.clock.deadline(LOOK);
        Direction { tunnel, reader, from, to, timer, other_timer, look_ms, bytes: 0 }
    }

    async fn run(&mut self) {
        match self.pump().await {
            // This side has said all it had; the other may go on (half-close).
            Ok(()) => {
                self.to.writer.end_sending();
                self.to.has_all.set(true);
                // From now on the other direction asks the system about this side.
                let Tunnel { timers, .. } = *self.tunnel;
                timers.hasten(self.other_timer, timers.clock.deadline(LOOK));
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

    /// Receives until the tunnel is idle or cut off, or the side that is sent to has reset; then breaks it off.
    async fn receive(&mut self, is_bulk: bool) -> Result<Vec<u8>, Failure> {
        let Tunnel { timers, .. } = *self.tunnel;
        let mut cut = None;
        timers.set(self.timer, self.judge_at());
        let result = poll_fn(|cx| {
            loop {
                if let Poll::Ready(output) = self.reader.poll_receive(is_bulk, cx) {
                    return Poll::Ready(output);
                }
                if cut.is_some() || !timers.poll_due(self.timer, cx) {
                    return Poll::Pending;
                }
                cut = self.judge();
                if let Some(failure) = cut {
                    self.break_off(failure);
                    // One that was told of its end already is not aborted, and not listened to any further.
                    self.reader.end_receiving();
                } else {
                    timers.set(self.timer, self.judge_at());
                }
            }
        })
        .await;
        timers.stop(self.timer);
        match cut {
            Some(failure) => Err(failure),
            None => result.map_err(|_| self.from.gone()),
        }
    }

    /// When the tunnel is idle, unless bytes move by then.
    fn quiet_until(&self) -> Millis {
        let idle_ms = u64::try_from(self.tunnel.idle.as_millis()).unwrap_or(u64::MAX);
        self.tunnel.active_ms.get().saturating_add(idle_ms)
    }

    /// When to see whether there is anything to receive for.
    fn judge_at(&self) -> Millis {
        let quiet_until = self.quiet_until();
        if self.is_alone() { quiet_until.min(self.look_ms) } else { quiet_until }
    }

    /// Whether nothing is received from the side that this direction sends to.
    fn is_alone(&self) -> bool {
        self.from.has_all.get()
    }

    /// Why nothing more is to be received, if so.
    fn judge(&mut self) -> Option<Failure> {
        let Tunnel { timers, .. } = *self.tunnel;
        if timers.is_cut_off() || timers.clock.now_ms() >= self.quiet_until() {
            return Some(Failure::TunnelIdle);
        }
        if !self.is_alone() {
            return None;
        }
        self.look_ms = timers.clock.deadline(LOOK);
        self.to.writer.is_reset().then(|| self.to.gone())
    }

    /// Sends while the side that the bytes came from is there; breaks the tunnel off when it has reset.
    async fn send(&mut self, bytes: Vec<u8>) -> Result<(), Failure> {
        let Tunnel { timers, idle, ref active_ms, .. } = *self.tunnel;
        active_ms.set(timers.clock.now_ms());
        self.bytes += bytes.len() as u64;
        let (from, to) = (self.from, self.to);
        let timer = match to.who {
            Who::Client => Timer::Send,
            Who::Target => Timer::Upload,
        };
        let mut send = pin!(to.writer.send(bytes, Patience { timers, timer, idle }));
        let (mut is_set, mut is_gone) = (false, false);
        let sent = poll_fn(|cx| {
            loop {
                if let Poll::Ready(sent) = send.as_mut().poll(cx) {
                    return Poll::Ready(sent);
                }
                if !std::mem::replace(&mut is_set, true) {
                    timers.set(self.timer, self.look_ms);
                }
                if is_gone || !timers.poll_due(self.timer, cx) {
                    return Poll::Pending;
                }
                self.look_ms = timers.clock.deadline(LOOK);
                timers.set(self.timer, self.look_ms);
                is_gone = from.writer.is_reset();
                if is_gone {
                    self.break_off(from.gone());
                }
            }
        })
        .await;
        if is_set {
            timers.stop(self.timer);
        }
        if is_gone {
            return Err(from.gone());
        }
        sent.map_err(|fault| to.send_failure(fault))
    }
}

#[cfg(test)]
#[path = "tunnel_tests.rs"]
mod tests;
