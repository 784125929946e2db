//! Content on its way onto a stream, handed to the machine as it takes it.

use std::future::poll_fn;
use std::task::{Context, Poll};

use super::shared::{Owner, Shared};
use super::stall::Stall;
use crate::exchange::content::{Along, Piece, SendFault};
use crate::http2::machine::events::{Closed, Key};
use crate::time::patience::Patience;
use crate::transport::pace::Pace;
use crate::uring::buffers;

/// The content that goes on one stream.
#[derive(Debug, Default)]
pub struct Writing {
    /// Content that the machine has not taken yet, from `at` on.
    rest: Vec<u8>,
    at: usize,
    /// What ends the message behind the rest, once that is known: trailer lines.
    end: Option<Vec<u8>>,
    /// END_STREAM has been written.
    pub has_ended: bool,
    /// The stream takes no more.
    pub is_closed: bool,
    /// Bytes of content that were written.
    pub sent: u64,
    /// How fast the peer lets content be sent, and the least that is put up with: bytes per second, 0 = any pace.
    pace: Pace,
    pub minimum_rate: u64,
}

impl Writing {
    /// Hands over content that came along with a head; what is not taken yet waits.
    pub fn append<O: Owner>(&mut self, (shared, stream): (&Shared<O>, Key), along: Along<'_>) {
        self.end = along.end.map(<[u8]>::to_vec);
        if self.has_ended {
            return;
        }
        let is_end = along.end.is_some_and(<[u8]>::is_empty);
        let sent = match along.bytes.is_empty() && !is_end {
            true => Ok(0),
            false => shared.machine.borrow_mut().send(stream, along.bytes, is_end),
        };
        self.is_closed |= sent.is_err();
        let count = sent.unwrap_or(along.bytes.len());
        self.sent += count as u64;
        let left = along.bytes.get(count..).unwrap_or_default();
        self.has_ended = is_end && left.is_empty();
        if !left.is_empty() {
            self.rest =
                if left.len() > buffers::SMALL_BYTES { buffers::large() } else { buffers::small() };
            self.rest.extend_from_slice(left);
        }
    }

    /// Takes a piece, to be handed over; `end` = the trailer lines behind the last one.
    pub fn put(&mut self, piece: Piece, end: Option<&[u8]>) {
        let Piece { buffer, from } = piece;
        (self.rest, self.at) = (buffer, from);
        self.end = end.map(<[u8]>::to_vec);
    }

    /// Hands the machine what it takes; whether that was everything.
    ///
    /// # Errors
    /// The stream takes no more.
    pub fn hand_over<O: Owner>(
        &mut self,
        (shared, stream): (&Shared<O>, Key),
    ) -> Result<bool, Closed> {
        if self.is_closed {
            return Err(Closed);
        }
        let mut machine = shared.machine.borrow_mut();
        let left = self.rest.get(self.at..).unwrap_or_default();
        let is_end = self.end.as_ref().is_some_and(Vec::is_empty);
        let mut result = Ok(left.is_empty());
        if !left.is_empty() || is_end && !self.has_ended {
            result = machine.send(stream, left, is_end).map(|count| {
                self.at += count;
                self.sent += count as u64;
                let is_everything = self.at >= self.rest.len();
                self.has_ended |= is_everything && is_end;
                is_everything
            });
        }
        if let (Ok(true), Some(trailers), false) = (&result, &self.end, self.has_ended) {
            self.has_ended = true;
            self.sent += trailers.len() as u64;
            result = machine.send_trailers(stream, trailers).map(|()| true);
        }
        drop(machine);
        if result == Ok(true) {
            self.clear();
        }
        self.is_closed |= result.is_err();
        shared.changed();
        result
    }

    /// Hands the machine what it takes. Ready when it has taken everything.
    pub fn poll_taken<O: Owner>(
        &mut self,
        to: (&Shared<O>, Key),
        cx: &Context<'_>,
    ) -> Poll<Result<(), SendFault>> {
        match self.hand_over(to) {
            Err(Closed) => Poll::Ready(Err(to.0.fault())),
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => {
                let (shared, stream) = to;
                shared.slot(stream, |slot| slot.listen(cx));
                match shared.is_out_of_reach(stream) {
                    true => Poll::Ready(Err(shared.fault())),
                    false => Poll::Pending,
                }
            }
        }
    }

    /// Waits until the machine has taken everything; the peer must let some of it be sent within this patience.
    ///
    /// # Errors
    /// The stream takes no more, or its peer let nothing be sent for too long, or too little.
    pub async fn taken<O: Owner>(
        &mut self,
        to: (&Shared<O>, Key),
        patience: Patience<'_>,
    ) -> Result<(), SendFault> {
        let mut at = self.at;
        let mut stall = Stall::default();
        let taken = poll_fn(|cx| {
            let polled = self.poll_taken(to, cx);
            if polled.is_ready() {
                return polled;
            }
            let moved = self.at - std::mem::replace(&mut at, self.at);
            match stall.poll(to, (patience, moved), (&mut self.pace, self.minimum_rate), cx) {
                true => Poll::Ready(Err(SendFault::Timeout)),
                false => Poll::Pending,
            }
        })
        .await;
        patience.timers.stop(patience.timer);
        self.clear();
        taken
    }

    fn clear(&mut self) {
        buffers::give_back(std::mem::take(&mut self.rest));
        self.at = 0;
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.clear();
    }
}
