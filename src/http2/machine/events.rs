//! The words between the machine and those who use it: keys of streams, events, causes.
//!
//! Plain values without behaviour of their own.

use super::fault::Fault;
use crate::http::refusal::ChunkFault;
use crate::http2::frame::error_code::ErrorCode;
use crate::http2::frame::fault::FrameFault;
use crate::http2::hpack::block::Block;

/// One stream, from its opening until it is finished; never the same for two streams of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    pub(super) slot: u16,
    pub(super) id: u32,
}

impl Key {
    /// That of no stream.
    pub const NONE: Key = Key { slot: u16::MAX, id: 0 };

    /// A small number for tables that stand beside the machine's; another stream has it once this one is finished.
    pub fn slot(self) -> usize {
        usize::from(self.slot)
    }

    /// The stream's id on the wire.
    pub fn id(self) -> u32 {
        self.id
    }
}

/// The next thing that the peer, or time, has done.
#[derive(Debug)]
pub enum Event<'i> {
    /// To a server the head of a request, which opens a stream; to a client the head of a response, interim or final.
    /// It is not judged yet; one that is too large is among them.
    Head { stream: Key, block: Box<Block>, ends: bool },
    /// Content; empty only when it `ends` the stream. [`Machine::take`](super::Machine::take) gives the credit back.
    Content { stream: Key, bytes: &'i [u8], ends: bool },
    /// Valid trailers, which end the stream.
    Trailers { stream: Key, block: Box<Block> },
    /// The message is malformed: no more of it comes. A server may still answer before it resets the stream.
    Malformed { stream: Key, cause: Malformed },
    /// The stream is closed in both directions.
    Reset { stream: Key, by: ResetBy },
    /// The peer has closed the connection before it looked at this request, which may be sent on another one.
    Unprocessed { stream: Key },
    /// The peer's settings have changed.
    Settings,
    /// The peer opens no more streams, and answers none that are new; those that it has seen go on.
    Goaway { code: ErrorCode },
    /// The connection has failed, and every stream with it; GOAWAY is due.
    Fault(Fault),
}

/// Who has reset a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetBy {
    Peer(ErrorCode),
    /// limpet, for an error of the stream that the peer has made.
    Fault(FrameFault),
}

impl ResetBy {
    /// Whether the request may be sent again, because the peer says that it has not looked at it (RFC 9113 §8.7).
    pub fn is_unprocessed(self) -> bool {
        self == ResetBy::Peer(ErrorCode::RefusedStream)
    }
}

/// Why a message is malformed (RFC 9113 §8.1.1), as far as the machine judges it: heads are left to who reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// The content is not as long as the head says.
    Length,
    /// The trailers are invalid, or do not end their stream.
    Trailers(ChunkFault),
    /// An interim response ends its stream.
    InterimEnds,
    /// Content of a response without a head.
    NoHead,
}

/// Why limpet resets a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The response is whole, and the rest of the request is of no use (RFC 9113 §8.1).
    Early,
    /// The message is malformed, or breaks another rule of the stream.
    Malformed,
    /// The other side, or its client, has gone.
    Cancel,
    /// limpet, or the target behind it, has failed.
    Internal,
    /// Nothing of the request was looked at.
    Refused,
    /// A tunnel's other end has failed (RFC 9113 §8.5).
    Connect,
}

impl Cause {
    pub const ALL: [Cause; 6] = [
        Cause::Early,
        Cause::Malformed,
        Cause::Cancel,
        Cause::Internal,
        Cause::Refused,
        Cause::Connect,
    ];

    /// Where resets with this code are counted: at the cause that has it, or behind all causes.
    pub fn position(code: ErrorCode) -> usize {
        Cause::ALL.iter().position(|cause| cause.code() == code).unwrap_or(Cause::ALL.len())
    }

    pub fn code(self) -> ErrorCode {
        match self {
            Cause::Early => ErrorCode::NoError,
            Cause::Malformed => ErrorCode::ProtocolError,
            Cause::Cancel => ErrorCode::Cancel,
            Cause::Internal => ErrorCode::InternalError,
            Cause::Refused => ErrorCode::RefusedStream,
            Cause::Connect => ErrorCode::ConnectError,
        }
    }
}

/// The stream takes no more: it was reset or ended, or its connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

/// The content that has come contradicts the length that the head names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LengthMismatch;

/// Why no stream can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// As many are open as may be.
    Full,
    /// The connection takes no more requests.
    Closed,
}

/// Numbers for the metrics, all since the connection began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub streams: u64,
    pub endings: Endings,
    pub pings_sent: u32,
    pub data_frames_sent: u64,
    pub data_bytes_sent: u64,
    pub data_bytes_received: u64,
}

/// How streams have ended before their time, and the connection itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Endings {
    /// Those that were refused because too many were open, or because the connection is being closed.
    pub streams_refused: u32,
    /// By [`Cause`], and behind them those with other codes.
    pub resets_by_peer: [u32; Cause::ALL.len() + 1],
    /// By [`Cause`], and behind them those for an error of the stream that the machine has found.
    pub resets: [u32; Cause::ALL.len() + 1],
    pub goaways_sent: u32,
    pub goaways_received: u32,
}

impl Endings {
    /// The peer has reset a stream.
    pub(super) fn by_peer(&mut self, code: ErrorCode) {
        count(self.resets_by_peer.get_mut(Cause::position(code)));
    }

    /// limpet has reset a stream.
    pub(super) fn by_limpet(&mut self, cause: Cause) {
        count(self.resets.get_mut(cause as usize));
    }

    /// limpet has reset a stream for an error of its own.
    pub(super) fn for_fault(&mut self) {
        count(self.resets.last_mut());
    }
}

fn count(number: Option<&mut u32>) {
    if let Some(number) = number {
        *number = number.wrapping_add(1);
    }
}
