//! The connections of HTTP/2 of one shard, those with clients or those with targets: streams, resets and GOAWAY.
//!
//! Only the shard's thread counts, any thread reads; a reading is exact for each number, not across numbers. Which
//! budget a peer has used up is told by the words that `counters` has. Tested below and with the exposition.

use super::number::Number;

/// With whom a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Client,
    Target,
}

impl Side {
    pub const ALL: [Side; 2] = [Side::Client, Side::Target];

    pub fn word(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Target => "target",
        }
    }
}

/// Who has reset a stream.
pub const RESETTERS: [&str; 2] = ["peer", "limpet"];
/// Why: what the code of RST_STREAM says (RFC 9113 §7) that the machine has a cause for, in the order of its causes,
/// then all other codes.
pub const RESET_CAUSES: [&str; 7] =
    ["early", "malformed", "cancel", "internal", "refused", "connect", "other"];
/// Which way a GOAWAY went.
pub const DIRECTIONS: [&str; 2] = ["sent", "received"];

/// The numbers of one shard.
#[derive(Debug, Default)]
pub struct Http2Block {
    /// Open ones are opened − closed.
    pub connections_opened: Number,
    pub connections_closed: Number,
    /// Those in progress are streams − ended.
    pub streams: Number,
    pub streams_ended: Number,
    /// Those that were never streams: nothing of their requests was looked at.
    pub streams_refused: Number,
    /// By [`RESETTERS`] and [`RESET_CAUSES`].
    pub resets: [[Number; RESET_CAUSES.len()]; RESETTERS.len()],
    /// By [`DIRECTIONS`].
    pub goaways: [Number; DIRECTIONS.len()],
}

/// The numbers of all shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Http2Sums {
    /// Open now.
    pub connections: u64,
    pub streams: u64,
    /// In progress now.
    pub streams_open: u64,
    pub streams_refused: u64,
    /// By [`RESETTERS`] and [`RESET_CAUSES`].
    pub resets: [[u64; RESET_CAUSES.len()]; RESETTERS.len()],
    /// By [`DIRECTIONS`].
    pub goaways: [u64; DIRECTIONS.len()],
}

impl Http2Sums {
    pub fn of<'b>(blocks: impl Iterator<Item = &'b Http2Block>) -> Http2Sums {
        let mut sum = Http2Sums::default();
        for block in blocks {
            // What ends is read first, so that no reading finds more ended than begun.
            let (closed, ended) = (block.connections_closed.get(), block.streams_ended.get());
            let streams = block.streams.get();
            sum.connections += block.connections_opened.get().saturating_sub(closed);
            sum.streams_open += streams.saturating_sub(ended);
            sum.streams = sum.streams.wrapping_add(streams);
            sum.streams_refused = sum.streams_refused.wrapping_add(block.streams_refused.get());
            let resets = sum.resets.iter_mut().flatten().zip(block.resets.iter().flatten());
            let goaways = sum.goaways.iter_mut().zip(&block.goaways);
            resets.chain(goaways).for_each(|(sum, number)| *sum = sum.wrapping_add(number.get()));
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use crate::telemetry::http2::*;

    #[test]
    fn blocks_of_all_shards_sum_up_and_what_has_ended_is_not_open() {
        let blocks = [Http2Block::default(), Http2Block::default()];
        for (block, count) in blocks.iter().zip([1, 10]) {
            block.connections_opened.add(3 * count);
            block.connections_closed.add(count);
            block.streams.add(9 * count);
            block.streams_ended.add(5 * count);
            block.streams_refused.add(7 * count);
            block.resets[1][2].add(count);
            block.goaways[0].add(count);
        }
        let mut expected = Http2Sums {
            connections: 22,
            streams: 99,
            streams_open: 44,
            streams_refused: 77,
            goaways: [11, 0],
            ..Http2Sums::default()
        };
        expected.resets[1][2] = 11;
        assert_eq!(Http2Sums::of(blocks.iter()), expected);
        assert_eq!(Http2Sums::of([].iter()), Http2Sums::default());
    }
}
