//! Which frame may follow which (RFC 9113 §3.4, §4.3), and how much of one field block is taken.
//!
//! Pure. Tested by every pair of frames and at each limit.

use super::fault::FrameFault;
use super::{Header, Kind, flags};

/// Most CONTINUATION frames of one field block, where heads are not longer than usual.
const CONTINUATION_COUNT_MAX: u32 = 8;
/// Most coded bytes of one, padding and priority included.
const BLOCK_BYTES_MAX: u32 = 64 * 1024;

/// Bytes of a frame that a long field block is expected to come in, at least.
const FRAME_BYTES: u32 = 8 * 1024;

/// A field block that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Open {
    stream: u32,
    bytes: u32,
    continuation_count: u32,
}

/// The order of the frames of one direction. By default nothing has come yet, not even SETTINGS.
#[derive(Debug)]
pub struct Order {
    has_begun: bool,
    open: Option<Open>,
    /// Most bytes of a field block.
    block_bytes_max: u32,
}

impl Default for Order {
    fn default() -> Order {
        Order::of_heads(0)
    }
}

impl Order {
    /// Nothing has come yet; heads of up to so many bytes, decoded, come whole.
    pub fn of_heads(list_bytes: u32) -> Order {
        let block_bytes_max = list_bytes.max(BLOCK_BYTES_MAX);
        Order { has_begun: false, open: None, block_bytes_max }
    }

    /// Judges the next frame by its header.
    ///
    /// # Errors
    /// When it may not come here.
    #[inline]
    pub fn follow(&mut self, header: Header) -> Result<(), FrameFault> {
        if !self.has_begun {
            return self.begin(header);
        }
        match (&mut self.open, header.kind) {
            (None, Kind::Continuation) => Err(FrameFault::ContinuationAlone),
            (None, Kind::Headers) => {
                if !header.has(flags::END_HEADERS) {
                    let (stream, bytes) = (header.stream, header.length);
                    self.open = Some(Open { stream, bytes, continuation_count: 0 });
                }
                Ok(())
            }
            (None, _) => Ok(()),
            (Some(open), Kind::Continuation) if open.stream == header.stream => {
                open.continue_with(header, self.block_bytes_max)?;
                if header.has(flags::END_HEADERS) {
                    self.open = None;
                }
                Ok(())
            }
            (Some(_), _) => Err(FrameFault::BlockInterrupted),
        }
    }

    /// Whether a field block has begun and not ended.
    pub fn is_in_block(&self) -> bool {
        self.open.is_some()
    }

    /// RFC 9113 §3.4: the first frame is SETTINGS, which may be empty but acknowledges nothing.
    #[cold]
    fn begin(&mut self, header: Header) -> Result<(), FrameFault> {
        if header.kind != Kind::Settings || header.has(flags::ACK) {
            return Err(FrameFault::SettingsMissing);
        }
        self.has_begun = true;
        Ok(())
    }
}

impl Open {
    fn continue_with(&mut self, header: Header, bytes_max: u32) -> Result<(), FrameFault> {
        self.continuation_count = self.continuation_count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(header.length);
        if header.length == 0 && !header.has(flags::END_HEADERS) {
            Err(FrameFault::ContinuationEmpty)
        } else if self.continuation_count > CONTINUATION_COUNT_MAX.max(bytes_max / FRAME_BYTES) {
            Err(FrameFault::TooManyContinuations)
        } else if self.bytes > bytes_max {
            Err(FrameFault::BlockTooLong)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::http2::frame::order::*;

    fn header(kind: Kind, flags: u8, stream: u32) -> Header {
        Header { length: 10, kind, flags, stream }
    }

    fn begun() -> Order {
        let mut order = Order::default();
        assert_eq!(order.follow(header(Kind::Settings, 0, 0)), Ok(()));
        order
    }

    fn kinds() -> impl Iterator<Item = Kind> {
        (0..=255).map(Kind::of)
    }

    #[test]
    fn the_first_frame_is_settings() {
        for kind in kinds() {
            let expected = match kind {
                Kind::Settings => Ok(()),
                _ => Err(FrameFault::SettingsMissing),
            };
            assert_eq!(Order::default().follow(header(kind, 0, 0)), expected, "{kind:?}");
            let acknowledged = Order::default().follow(header(kind, flags::ACK, 0));
            assert_eq!(acknowledged, Err(FrameFault::SettingsMissing));
        }
    }

    #[test]
    fn a_block_may_be_as_long_as_the_heads_that_are_taken() {
        let part = |length| Header { length, ..header(Kind::Continuation, 0, 1) };
        for (list_bytes, frames) in [(0, 3), (64 * 1024, 3), (256 * 1024, 15), (1 << 20, 63)] {
            let mut order = Order::of_heads(list_bytes);
            assert_eq!(order.follow(header(Kind::Settings, 0, 0)), Ok(()));
            let head = Header { length: 16 * 1024, ..header(Kind::Headers, 0, 1) };
            assert_eq!(order.follow(head), Ok(()));
            for at in 0..frames {
                assert_eq!(order.follow(part(16 * 1024)), Ok(()), "{list_bytes}, frame {at}");
            }
            assert_eq!(order.follow(part(1)), Err(FrameFault::BlockTooLong), "{list_bytes}");
        }
    }

    #[test]
    fn a_field_block_is_not_interrupted() {
        for kind in kinds() {
            for stream in [0, 1, 3] {
                let mut order = begun();
                assert_eq!(order.follow(header(Kind::Headers, 0, 1)), Ok(()));
                assert!(order.is_in_block());
                let expected = match (kind, stream) {
                    (Kind::Continuation, 1) => Ok(()),
                    _ => Err(FrameFault::BlockInterrupted),
                };
                assert_eq!(order.follow(header(kind, 0, stream)), expected, "{kind:?} {stream}");
            }
        }
    }

    #[test]
    fn continuation_needs_a_block_that_has_not_ended() {
        let alone = Err(FrameFault::ContinuationAlone);
        let continuation = header(Kind::Continuation, 0, 1);
        assert_eq!(begun().follow(continuation), alone);
        let mut order = begun();
        assert_eq!(order.follow(header(Kind::Headers, flags::END_HEADERS, 1)), Ok(()));
        assert_eq!(order.follow(continuation), alone);
        let mut order = begun();
        assert_eq!(order.follow(header(Kind::Headers, 0, 1)), Ok(()));
        assert_eq!(order.follow(header(Kind::Continuation, flags::END_HEADERS, 1)), Ok(()));
        assert!(!order.is_in_block());
        assert_eq!(order.follow(continuation), alone);
    }

    #[test]
    fn a_block_has_at_most_eight_continuations_and_64_kib() {
        let mut order = begun();
        assert_eq!(order.follow(header(Kind::Headers, 0, 1)), Ok(()));
        for _ in 0..8 {
            assert_eq!(order.follow(header(Kind::Continuation, 0, 1)), Ok(()));
        }
        let more = order.follow(header(Kind::Continuation, flags::END_HEADERS, 1));
        assert_eq!(more, Err(FrameFault::TooManyContinuations));

        for (last, expected) in [(16_384, Ok(())), (16_385, Err(FrameFault::BlockTooLong))] {
            let mut order = begun();
            let large = |kind, length| Header { length, ..header(kind, 0, 1) };
            assert_eq!(order.follow(large(Kind::Headers, 16_384)), Ok(()));
            assert_eq!(order.follow(large(Kind::Continuation, 32_768)), Ok(()));
            assert_eq!(order.follow(large(Kind::Continuation, last)), expected);
        }
    }

    #[test]
    fn an_empty_continuation_ends_its_block() {
        for (flags, expected) in
            [(0, Err(FrameFault::ContinuationEmpty)), (flags::END_HEADERS, Ok(()))]
        {
            let mut order = begun();
            assert_eq!(order.follow(header(Kind::Headers, 0, 1)), Ok(()));
            let empty = Header { length: 0, ..header(Kind::Continuation, flags, 1) };
            assert_eq!(order.follow(empty), expected);
        }
    }
}
