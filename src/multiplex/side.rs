//! A stream of HTTP/2 as one end of a tunnel.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::shared::{Owner, Shared};
use super::stall::Stall;
use crate::exchange::client::Presence;
use crate::exchange::content::{ROOM, SendFault};
use crate::exchange::tunnel::{self, Reader, Writer};
use crate::http2::machine::events::{Cause, Key};
use crate::time::patience::Patience;
use crate::transport::pace::Pace;
use crate::uring::buffers;

/// A stream whose content belongs to a tunnel.
pub struct StreamSide<O> {
    pub shared: Rc<Shared<O>>,
    pub stream: Key,
}

/// The receiving half.
pub struct StreamReader<O> {
    shared: Rc<Shared<O>>,
    stream: Key,
    /// Bytes that the other end has, and whose credit is still to be given back.
    owed: usize,
}

/// The sending half.
pub struct StreamWriter<O> {
    shared: Rc<Shared<O>>,
    stream: Key,
}

impl<O: Owner> tunnel::Side for StreamSide<O> {
    type Reader = StreamReader<O>;
    type Writer = StreamWriter<O>;

    fn split(self) -> (StreamReader<O>, StreamWriter<O>) {
        let StreamSide { shared, stream } = self;
        let writer = StreamWriter { shared: Rc::clone(&shared), stream };
        (StreamReader { shared, stream, owed: 0 }, writer)
    }
}

impl<O: Owner> Reader for StreamReader<O> {
    fn poll_receive(&mut self, _is_bulk: bool, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        let owed = std::mem::take(&mut self.owed);
        if owed > 0 {
            self.shared.machine.borrow_mut().take(self.stream, owed);
            self.shared.changed();
        }
        let received = self.shared.slot(self.stream, |slot| {
            if let Some(mut piece) = slot.pieces.pop_front() {
                piece.drain(..ROOM.min(piece.len()));
                return Poll::Ready(Ok(piece));
            }
            if slot.has_ended {
                return Poll::Ready(Ok(Vec::new()));
            }
            slot.listen(cx);
            match (slot.fault, slot.presence) {
                (None, Presence::There) => Poll::Pending,
                // Without END_STREAM it is cut off, however its connection ended.
                (Some(_), _) | (None, Presence::Reset | Presence::Ended) => {
                    Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
                }
            }
        });
        let received =
            received.unwrap_or_else(|| Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())));
        if let Poll::Ready(Ok(bytes)) = &received {
            self.owed = bytes.len();
        }
        received
    }

    fn end_receiving(&self) {
        self.shared.tell(self.stream, |slot| slot.has_ended = true);
    }
}

impl<O: Owner> StreamWriter<O> {
    fn is_gone(&self) -> bool {
        self.shared.presence(self.stream) == Presence::Reset
    }

    fn reset(&self) {
        let now_ms = self.shared.owner.clock().now_ms();
        self.shared.machine.borrow_mut().reset(self.stream, Cause::Connect, now_ms);
        self.shared.changed();
    }
}

impl<O: Owner> Writer for StreamWriter<O> {
    async fn send(&self, bytes: Vec<u8>, patience: Patience<'_>) -> Result<(), SendFault> {
        let mut at = 0;
        let (mut stall, mut pace) = (Stall::default(), Pace::default());
        let sent = poll_fn(|cx| {
            let left = bytes.get(at..).unwrap_or_default();
            let Ok(count) = self.shared.machine.borrow_mut().send(self.stream, left, false) else {
                return Poll::Ready(Err(self.shared.fault()));
            };
            self.shared.changed();
            at += count;
            if at >= bytes.len() {
                return Poll::Ready(Ok(()));
            }
            self.shared.slot(self.stream, |slot| slot.listen(cx));
            if self.shared.is_out_of_reach(self.stream) {
                return Poll::Ready(Err(self.shared.fault()));
            }
            let to = (&*self.shared, self.stream);
            match stall.poll(to, (patience, count), (&mut pace, 0), cx) {
                true => Poll::Ready(Err(SendFault::Timeout)),
                false => Poll::Pending,
            }
        })
        .await;
        patience.timers.stop(patience.timer);
        buffers::give_back(bytes);
        sent
    }

    fn is_reset(&self) -> bool {
        self.is_gone()
    }

    fn end_sending(&self) {
        // A stream that takes nothing any more need not be told.
        let _ = self.shared.machine.borrow_mut().send(self.stream, b"", true);
        self.shared.changed();
    }

    fn end(&self) {
        self.end_sending();
        self.shared.tell(self.stream, |slot| slot.has_ended = true);
    }

    fn abort(&self) {
        self.reset();
        self.shared.tell(self.stream, |slot| slot.presence = Presence::Reset);
    }
}
