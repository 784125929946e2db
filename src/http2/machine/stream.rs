//! The state of one stream (RFC 9113 §5.1): a half for each direction, and how they were closed.
//!
//! ```text
//!            Receiving                         Sending
//! Head ─> Content ─> Ended          Head ─> Content ─> Ended
//!    └───────┴─> Stopped / Gone        └───────┴─────────┘
//! ```
//! A stream is closed on the wire when both halves are; its place is free when its exchange has ended too. Tested
//! through the machine.

use super::events::Key;
use crate::http2::flow::{ReceiveStream, SendWindow};
use crate::http2::priority::Priority;

/// The half that receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiving {
    /// A client awaits the head of the final response.
    Head,
    Content,
    /// END_STREAM has come.
    Ended,
    /// limpet wants no more; what is on its way is ignored.
    Stopped,
    /// The peer has reset the stream.
    Gone,
}

/// The half that sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// No final head was sent.
    Head,
    Content,
    /// END_STREAM was sent, or the stream was reset.
    Ended,
}

/// Whether a stream wants to send, and may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing is waiting.
    None,
    /// Its own window is empty.
    Blocked,
    /// In the queue of its urgency.
    Queued,
    /// So many bytes are kept free for it; `is_owed`: of those that are owed to the less urgent ones.
    Granted { bytes: u32, is_owed: bool },
}

/// No slot.
pub const NONE: u16 = u16::MAX;

#[derive(Debug)]
pub struct Stream {
    /// 0 while the slot is free.
    pub id: u32,
    pub receiving: Receiving,
    /// END_STREAM has come, whatever came behind it.
    pub has_end: bool,
    pub sending: Sending,
    /// It was reset by either side: nothing may be sent, not even RST_STREAM.
    pub is_reset: bool,
    /// Whether its end was counted among those of the latest streams.
    pub is_noted: bool,
    pub priority: Priority,
    pub window: SendWindow,
    pub turn: Turn,
    /// Neighbours in its queue; `next` is also that of a free slot.
    pub previous: u16,
    pub next: u16,
    pub flow: ReceiveStream,
    /// Bytes of content so far.
    pub received: u64,
    /// Bytes of content that the head names; `None` while or where it names none.
    pub expected: Option<u64>,
    pub opened_ms: u64,
}

impl Stream {
    pub fn key(&self, slot: u16) -> Key {
        Key { slot, id: self.id }
    }

    /// Both halves are closed.
    #[inline]
    pub fn is_closed(&self) -> bool {
        let is_received = matches!(self.receiving, Receiving::Ended | Receiving::Gone);
        self.is_reset || is_received && self.sending == Sending::Ended
    }
}
