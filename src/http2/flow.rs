//! Windows (RFC 9113 §5.2, §6.9): what limpet may send, and what it lets others send.
//!
//! ```text
//!                 a stream's size                         the connection's budget
//! |<--------------------------------->|        |<------------------------------------------->|
//! | held    | owed    | open          |        | held by all streams | owed | open           |
//!   received  to be     may be sent                                     at most its size
//!             told
//! ```
//! Bytes are held from their arrival until the other side has taken them. The open window of the connection returns as
//! soon as its bytes have arrived, that of a stream when they were taken: one stream whose other side takes nothing
//! stops itself and no other. A stream begins with the size that SETTINGS announce, and doubles it while its other side
//! keeps up, out of the part of the budget that no open stream may fill; a part is kept back for streams to come. Never
//! more than the budget is held and open together, whatever the streams are promised.
//!
//! To a target that budget has room for the first window of every stream ([`ReceiveConnection::for_streams`]): its
//! connection is shared by users, so that however many of them take nothing, the others' content comes.
//!
//! Connections grow beyond [`WINDOW_DEFAULT`], which the RFC gives to each, out of the [`Pool`] of their shard.
//!
//! Pure. Tested at the limits of each number, and by random exchanges after which every window is where it began.

use super::frame::MAX_31;
use super::frame::fault::FrameFault;
use super::settings::WINDOW_DEFAULT;

/// What limpet may send: on a connection, or on a stream (RFC 9113 §6.9.1). Negative after the peer has lowered its
/// initial window (§6.9.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendWindow(i32);

/// A window would be larger than 2^31 − 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow;

impl SendWindow {
    /// A window of `bytes`, at most 2^31 − 1.
    pub fn new(bytes: u32) -> SendWindow {
        SendWindow(bytes.min(MAX_31) as i32)
    }

    /// Bytes that may be sent now.
    #[inline]
    pub fn open(self) -> u32 {
        self.0.max(0) as u32
    }

    /// Takes off the flow-controlled bytes of a frame, which are no more than [`SendWindow::open`].
    #[inline]
    pub fn send(&mut self, bytes: u32) {
        debug_assert!(bytes <= self.open(), "more is sent than the window allows");
        self.0 = self.0.saturating_sub(bytes.min(MAX_31) as i32);
    }

    /// WINDOW_UPDATE.
    ///
    /// # Errors
    /// An error of the stream or of the connection whose window it is.
    #[inline]
    pub fn grow(&mut self, increment: u32) -> Result<(), Overflow> {
        self.shift(i64::from(increment))
    }

    /// The peer's initial window has changed by `delta`; for a stream's window only (RFC 9113 §6.9.2).
    ///
    /// # Errors
    /// An error of the connection.
    pub fn shift(&mut self, delta: i64) -> Result<(), Overflow> {
        let sum = i64::from(self.0).saturating_add(delta);
        self.0 = i32::try_from(sum).map_err(|_| Overflow)?;
        Ok(())
    }
}

/// Bytes by which the connections of one shard may grow beyond what the RFC gives to each.
#[derive(Debug)]
pub struct Pool {
    free: u64,
}

impl Pool {
    pub fn new(bytes: u64) -> Pool {
        Pool { free: bytes }
    }

    pub fn free(&self) -> u64 {
        self.free
    }
}

/// The receiving side of a connection.
#[derive(Debug)]
pub struct ReceiveConnection {
    /// Most bytes that may be held and open together.
    budget: u32,
    /// Bytes that the peer may send.
    open: u32,
    /// Bytes of all streams that were not taken yet.
    held: u32,
    /// The open window that is aimed at.
    size: u32,
    /// Growing streams leave so much of the budget.
    kept: u32,
    /// The part of a stream's size for which room is kept.
    each: u32,
    /// The sizes of all streams that may still receive, as far as no room is kept for them.
    promised: u64,
    /// Taken from the pool: what is held and open beyond [`WINDOW_DEFAULT`].
    drawn: u32,
}

/// The part of a budget, one to so many, that growing streams leave to those to come.
const KEPT_BACK: u32 = 4;

impl ReceiveConnection {
    /// A connection that has just begun; `budget` is at least [`WINDOW_DEFAULT`] and at most 2^31 − 1 bytes.
    pub fn new(budget: u32) -> ReceiveConnection {
        ReceiveConnection {
            budget: budget.clamp(WINDOW_DEFAULT, MAX_31),
            open: WINDOW_DEFAULT,
            held: 0,
            size: WINDOW_DEFAULT,
            kept: budget / KEPT_BACK,
            each: 0,
            promised: 0,
            drawn: 0,
        }
    }

    /// A connection with room for the first window, of `each` bytes, of `streams` at a time, and `budget` bytes for those
    /// that grow. Its window is never shut by streams whose other sides take nothing.
    pub fn for_streams(budget: u32, streams: u32, each: u32) -> ReceiveConnection {
        let kept = streams.saturating_mul(each).min(MAX_31 / 2);
        let connection = ReceiveConnection::new(kept.saturating_add(budget));
        ReceiveConnection { kept, each, ..connection }
    }

    pub fn held(&self) -> u32 {
        self.held
    }

    /// A stream on which content is to come opens, with a window of `size` bytes.
    pub fn open_stream(&mut self, size: u32) -> ReceiveStream {
        self.promised = self.promised.saturating_add(self.unkept(size));
        ReceiveStream { size, open: i64::from(size), held: 0, taken: 0 }
    }

    /// A stream receives no more: all of its content has come, or it was reset. `stream` still gives back what it
    /// holds, by [`ReceiveStream::take`].
    pub fn close_stream(&mut self, stream: &mut ReceiveStream) {
        self.promised = self.promised.saturating_sub(self.unkept(stream.size));
        stream.size = 0;
        stream.open = 0;
    }

    /// Takes in a DATA frame for no stream that could hold it, or its padding: it counts, and is gone at once.
    ///
    /// # Errors
    /// When the peer may not send so much.
    #[inline]
    pub fn discard(&mut self, bytes: u32) -> Result<(), FrameFault> {
        self.open = self.open.checked_sub(bytes).ok_or(FrameFault::ConnectionWindowExceeded)?;
        Ok(())
    }

    /// Takes in a DATA frame of `flow_bytes`, padding included, of which `content_bytes` will be held for `stream`.
    ///
    /// # Errors
    /// When the peer may not send so much on the connection or on the stream. In the second case the bytes count as
    /// received by the connection.
    #[inline]
    pub fn receive(
        &mut self,
        stream: &mut ReceiveStream,
        flow_bytes: u32,
        content_bytes: u32,
    ) -> Result<(), FrameFault> {
        self.discard(flow_bytes)?;
        if i64::from(flow_bytes) > stream.open {
            return Err(FrameFault::StreamWindowExceeded);
        }
        stream.open -= i64::from(flow_bytes);
        stream.held += content_bytes;
        self.held += content_bytes;
        Ok(())
    }

    /// The WINDOW_UPDATE that is due for the connection, in bytes: when half of the window that it may have was used.
    /// While the other sides keep up, the window that is aimed at doubles, up to the budget.
    #[inline]
    pub fn update(&mut self, pool: &mut Pool) -> Option<u32> {
        let room = self.budget.saturating_sub(self.held);
        let possible = self.size.min(room);
        if self.open > possible / 2 || possible == 0 {
            return None;
        }
        self.settle(pool);
        if self.held < self.size / 2 {
            self.size = self.size.saturating_mul(2).min(self.budget);
        }
        self.extend(self.size.min(room).saturating_sub(self.open), pool)
    }

    /// Aims at the RFC's window again; for a connection that has nothing to do. A window that is open already cannot be
    /// taken back, and shrinks as it is used.
    pub fn shrink(&mut self) {
        self.size = WINDOW_DEFAULT;
    }

    /// Gives back to the pool what is neither held nor open any more; all of it when the connection has ended.
    pub fn settle(&mut self, pool: &mut Pool) {
        let needed = self.needed();
        pool.free += u64::from(self.drawn.saturating_sub(needed));
        self.drawn = self.drawn.min(needed);
    }

    /// Gives back everything; the connection has ended.
    pub fn end(&mut self, pool: &mut Pool) {
        pool.free += u64::from(std::mem::take(&mut self.drawn));
    }

    fn needed(&self) -> u32 {
        self.open.saturating_add(self.held).saturating_sub(WINDOW_DEFAULT)
    }

    /// Opens the window by `bytes`, or by as many as the pool has.
    fn extend(&mut self, bytes: u32, pool: &mut Pool) -> Option<u32> {
        let free = u32::try_from(pool.free).unwrap_or(u32::MAX);
        // What is in the base that every connection has costs the pool nothing.
        let base = WINDOW_DEFAULT.saturating_sub(self.open.saturating_add(self.held));
        let bytes = bytes.min(base.saturating_add(free));
        let from_pool = bytes.saturating_sub(base);
        pool.free -= u64::from(from_pool);
        self.drawn += from_pool;
        self.open += bytes;
        (bytes > 0).then_some(bytes)
    }

    /// The part of the budget out of which streams may grow.
    fn free_budget(&self) -> u32 {
        let usable = self.budget.saturating_sub(self.kept);
        u64::from(usable).saturating_sub(self.promised) as u32
    }

    /// The part of a stream's size for which no room is kept.
    fn unkept(&self, size: u32) -> u64 {
        u64::from(size.saturating_sub(self.each))
    }
}

/// The receiving side of a stream.
#[derive(Debug, Clone, Copy)]
pub struct ReceiveStream {
    /// Most bytes that may be held, owed and open.
    size: u32,
    /// Bytes that the peer may send; negative when limpet has lowered its initial window.
    open: i64,
    held: u32,
    /// Bytes taken since the size was last looked at.
    taken: u32,
}

impl ReceiveStream {
    pub fn size(&self) -> u32 {
        self.size
    }

    pub fn held(&self) -> u32 {
        self.held
    }

    /// The other side has taken `bytes`, which were held.
    #[inline]
    pub fn take(&mut self, bytes: u32, connection: &mut ReceiveConnection) {
        debug_assert!(bytes <= self.held, "more is taken than was held");
        let bytes = bytes.min(self.held);
        self.held -= bytes;
        self.taken = self.taken.saturating_add(bytes);
        connection.held = connection.held.saturating_sub(bytes);
    }

    /// The WINDOW_UPDATE that is due for the stream, in bytes: when half of its size is owed. A stream that has passed
    /// on as much as its size doubles it, up to `size_max`, while the connection has the budget.
    #[inline]
    pub fn update(&mut self, size_max: u32, connection: &mut ReceiveConnection) -> Option<u32> {
        if self.size == 0 {
            return None;
        }
        if self.taken >= self.size && self.size < size_max {
            self.grow(size_max, connection);
        }
        let owed = i64::from(self.size) - i64::from(self.held) - self.open;
        if owed < i64::from(self.size / 2).max(1) {
            return None;
        }
        self.open += owed;
        u32::try_from(owed).ok()
    }

    /// limpet's initial window has changed by `delta`, and the peer has acknowledged it.
    pub fn shift(&mut self, delta: i64, connection: &mut ReceiveConnection) {
        let size = i64::from(self.size).saturating_add(delta).clamp(0, i64::from(MAX_31)) as u32;
        connection.promised = connection
            .promised
            .saturating_sub(connection.unkept(self.size))
            .saturating_add(connection.unkept(size));
        self.open = self.open.saturating_add(delta);
        self.size = size;
    }

    fn grow(&mut self, size_max: u32, connection: &mut ReceiveConnection) {
        self.taken = 0;
        let more = self.size.min(size_max - self.size).min(connection.free_budget());
        let before = connection.unkept(self.size);
        self.size += more;
        connection.promised += connection.unkept(self.size) - before;
    }
}

#[cfg(test)]
#[path = "flow_tests.rs"]
mod tests;
