//! Content as it comes on a stream: the pieces that have come, and the credit for those that the other side has taken.

use std::task::{Context, Poll};

use super::shared::{Owner, Shared};
use crate::exchange::client::Presence;
use crate::http::refusal::ChunkFault;
use crate::http2::machine::events::Key;

/// Why no more content comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// It is malformed.
    Invalid(ChunkFault),
    /// The peer has ended the connection, or reset the stream.
    Gone,
}

/// The content that comes on one stream.
#[derive(Debug, Default)]
pub struct Reading {
    /// Bytes that the other side has, and whose credit is still to be given back.
    owed: usize,
    /// The lines behind the last piece.
    pub trailers: Vec<u8>,
}

impl Reading {
    /// Takes the next piece that has come, [`ROOM`](crate::exchange::content::ROOM) bytes in front of it, and whether it is the last; the trailers come
    /// with the last.
    pub fn next<O: Owner>(
        &mut self,
        (shared, stream): (&Shared<O>, Key),
    ) -> Option<(Vec<u8>, bool)> {
        shared.slot(stream, |slot| {
            let piece = slot.pieces.pop_front();
            let is_last = slot.has_ended && slot.pieces.is_empty() && slot.fault.is_none();
            if is_last {
                std::mem::swap(&mut self.trailers, &mut slot.trailers);
            }
            match piece {
                None if is_last => Some((Vec::new(), true)),
                piece => piece.map(|piece| (piece, is_last)),
            }
        })?
    }

    /// The other side has, or will soon have, a piece of so many bytes.
    pub fn owe(&mut self, count: usize) {
        self.owed += count;
    }

    /// Gives back the credit of what the other side has taken.
    pub fn give_credit<O: Owner>(&mut self, (shared, stream): (&Shared<O>, Key)) {
        let owed = std::mem::take(&mut self.owed);
        if owed > 0 {
            shared.machine.borrow_mut().take(stream, owed);
            shared.changed();
        }
    }

    /// Waits for the next piece.
    pub fn poll<O: Owner>(
        &mut self,
        (shared, stream): (&Shared<O>, Key),
        cx: &Context<'_>,
    ) -> Poll<Result<(Vec<u8>, bool), Cut>> {
        if let Some(next) = self.next((shared, stream)) {
            return Poll::Ready(Ok(next));
        }
        let looked = shared.slot(stream, |slot| {
            slot.listen(cx);
            (slot.fault, slot.presence)
        });
        match looked {
            Some((Some(fault), _)) => Poll::Ready(Err(Cut::Invalid(fault))),
            Some((None, Presence::There)) => Poll::Pending,
            Some((None, Presence::Reset | Presence::Ended)) | None => Poll::Ready(Err(Cut::Gone)),
        }
    }
}
