//! What is kept between the frames of one field block, and for streams that are not open yet.
//!
//! Plain values; [`super::blocks`] uses them.

use crate::http2::frame::fault::FrameFault;
use crate::http2::priority::Priority;

/// What a field block is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It opens a stream.
    Open,
    /// A message on a stream that is open: the head of a response, or trailers.
    Message,
    /// Only the decoder's table needs it.
    Ignore,
    /// The stream is to be refused.
    Refuse,
    /// The stream is to be reset.
    Fail(FrameFault),
}

/// A field block that has begun and not ended.
#[derive(Debug, Clone, Copy)]
pub struct OpenBlock {
    pub id: u32,
    pub purpose: Purpose,
    /// END_STREAM.
    pub ends: bool,
}

/// Most priorities that are kept for streams that are not open yet.
const EARLY_MAX: usize = 8;

/// Priorities of streams that are not open yet (RFC 9218 §7.1). The oldest is forgotten when there are too many.
#[derive(Debug, Default)]
pub struct EarlyPriorities(arrayvec::ArrayVec<(u32, Priority), EARLY_MAX>);

impl EarlyPriorities {
    pub fn set(&mut self, id: u32, priority: Priority) {
        self.0.retain(|(other, _)| *other != id);
        if self.0.is_full() {
            self.0.remove(0);
        }
        self.0.push((id, priority));
    }

    /// Takes out that of stream `id`, which opens.
    #[inline]
    pub fn take(&mut self, id: u32) -> Option<Priority> {
        if self.0.is_empty() {
            return None;
        }
        let found = self.0.iter().position(|(other, _)| *other == id);
        let priority = found.and_then(|at| self.0.pop_at(at)).map(|(_, priority)| priority);
        // Those of streams that will never open are of no use.
        self.0.retain(|(other, _)| *other > id);
        priority
    }
}
