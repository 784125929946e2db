//! What follows a 101: bytes in both directions, each ended by its own side, until both have ended
//! or nothing has moved for the tunnel's idle limit.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use super::connection::Connection;
use super::content;
use super::early::NextReceive;
use super::entry::Entry;
use super::failure::Failure;
use super::stream::Stream;
use crate::shard::alarms::Alarm;
use crate::shard::clock::{Clock, Millis};
use crate::uring::buffers::{self, SMALL_BYTES};

/// One direction.
struct Direction<'a> {
    from: &'a Stream,
    to: &'a Stream,
    clock: &'a Clock,
    alarm: Alarm,
    idle: Duration,
    /// When bytes last moved in either direction.
    active_ms: &'a Cell<Millis>,
    bytes: &'a Cell<u64>,
}

/// Runs the tunnel. `early` are bytes that the target sent behind its 101. `from_client` is what the
/// client sent behind its request, which was held back until the target agreed, and the receive that
/// was meant for its next request and brings the tunnel's first bytes instead.
pub async fn run(
    connection: &Connection,
    target: &Stream,
    early: Vec<u8>,
    from_client: (&[u8], NextReceive),
    idle: Duration,
    entry: &mut Entry,
) -> Result<(), Failure> {
    let shard = &connection.shard;
    let active_ms = Cell::new(shard.clock.now_ms());
    let (up_bytes, down_bytes) = (Cell::new(0), Cell::new(0));
    let direction = |from, to, bytes| Direction {
        from,
        to,
        clock: &shard.clock,
        alarm: shard.alarms.alarm(),
        idle,
        active_ms: &active_ms,
        bytes,
    };
    let (early_up, next) = from_client;
    let up = direction(&connection.client, target, &up_bytes).run(early_up.to_vec(), next);
    let down = direction(target, &connection.client, &down_bytes).run(early, NextReceive::None);
    let result = join(pin!(up), pin!(down)).await;
    entry.request_bytes += up_bytes.get();
    entry.response_bytes += down_bytes.get();
    target.end();
    result
}

/// Drives both until both have ended; a failure of one is the tunnel's.
async fn join(
    mut up: Pin<&mut impl Future<Output = Result<(), Failure>>>,
    mut down: Pin<&mut impl Future<Output = Result<(), Failure>>>,
) -> Result<(), Failure> {
    let (mut up_result, mut down_result) = (None, None);
    poll_fn(|cx| {
        if up_result.is_none()
            && let Poll::Ready(result) = up.as_mut().poll(cx)
        {
            up_result = Some(result);
        }
        if down_result.is_none()
            && let Poll::Ready(result) = down.as_mut().poll(cx)
        {
            down_result = Some(result);
        }
        match (up_result, down_result) {
            (Some(up), Some(down)) => Poll::Ready(up.and(down)),
            _ => Poll::Pending,
        }
    })
    .await
}

impl Direction<'_> {
    async fn run(self, early: Vec<u8>, next: NextReceive) -> Result<(), Failure> {
        let result = self.pump(early, next).await;
        match result {
            // This side has said all it had; the other may go on (half-close).
            Ok(()) => self.to.end_sending(),
            Err(_) => {
                self.from.end();
                self.to.end();
            }
        }
        result
    }

    async fn pump(&self, early: Vec<u8>, mut next: NextReceive) -> Result<(), Failure> {
        if !early.is_empty() {
            self.send(early).await?;
        }
        if !next.is_none() {
            let bytes = self.wait(pin!(next.finish())).await?.map_err(|_| Failure::ClientGone)?;
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
        let result: io::Result<Vec<u8>> = if is_bulk {
            let (result, buffer) = self.wait(pin!(self.from.recv(buffers::large()))).await?;
            result.map(|_| buffer)
        } else {
            self.wait(pin!(self.from.recv_any())).await?
        };
        result.map_err(|_| Failure::ClientGone)
    }

    /// Awaits a receive as long as the tunnel is not idle; ends both streams when it is.
    async fn wait<F: Future>(&self, mut op: Pin<&mut F>) -> Result<F::Output, Failure> {
        let idle_ms = u64::try_from(self.idle.as_millis()).unwrap_or(u64::MAX);
        let mut is_idle = false;
        self.alarm.set(self.active_ms.get().saturating_add(idle_ms));
        let output = poll_fn(|cx| {
            loop {
                if let Poll::Ready(output) = op.as_mut().poll(cx) {
                    return Poll::Ready(output);
                }
                if is_idle || !self.alarm.poll_fired(cx) {
                    return Poll::Pending;
                }
                let quiet_until = self.active_ms.get().saturating_add(idle_ms);
                if self.clock.now_ms() < quiet_until {
                    self.alarm.set(quiet_until);
                } else {
                    is_idle = true;
                    self.from.end();
                    self.to.end();
                }
            }
        })
        .await;
        if is_idle { Err(Failure::TunnelIdle) } else { Ok(output) }
    }

    async fn send(&self, bytes: Vec<u8>) -> Result<(), Failure> {
        self.active_ms.set(self.clock.now_ms());
        self.bytes.set(self.bytes.get() + bytes.len() as u64);
        let sent = content::send_all(self.to, bytes, 0, &self.alarm, self.clock, self.idle);
        buffers::give_back(sent.await.map_err(|_| Failure::ClientGone)?);
        Ok(())
    }
}
