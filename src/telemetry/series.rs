//! The numbers of one listener, rule, group or target: a block for each shard, that only it writes.
//!
//! A series is owned by objects that outlive snapshots and are found by name, so that it goes on over a reload and ends
//! with its last holder; a different object never inherits its counts. A block is made when its shard first counts
//! there, by that shard: an unused block costs a pointer, and no two shards share a cache line. Depends only on the
//! numbers that it is made of; `tally` adds a request to it. Tested below and with `tally`.
use std::sync::OnceLock;

use super::handshakes::HandshakeBlock;
use super::histogram::{Distribution, Histogram};
use super::number::Number;

/// Classes of statuses: none sent, then 1xx to 5xx.
pub const STATUS_CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
/// Methods that are counted apart, and all others together with requests whose method could not be parsed.
pub const METHOD_CLASSES: [&str; 8] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "other"];
/// Versions of HTTP, and requests whose version could not be parsed. HTTP/1.1 is not among them: it is the remainder of
/// all requests.
pub const OTHER_VERSIONS: [&str; 4] = ["none", "1.0", "2", "3"];
/// The version that is counted as the remainder.
pub const COMMON_VERSION: &str = "1.1";
/// Verdicts of stickiness, by their position in `Reason::ALL`.
pub const STICKY_REASON_COUNT: usize = 11;

/// Statuses of a call of gRPC, OK to UNAUTHENTICATED; all other numbers are counted together.
pub const GRPC_STATUSES: [&str; 18] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
    "unknown",
];

/// Position in [`STATUS_CLASSES`].
#[inline]
pub fn status_class(status: u16) -> usize {
    match status {
        100..600 => usize::from(status / 100),
        _ => 0,
    }
}

/// Position in [`METHOD_CLASSES`]; methods are case-sensitive (RFC 9110 §9.1).
#[inline]
pub fn method_class(method: &[u8]) -> usize {
    match method {
        b"GET" => 0,
        b"HEAD" => 1,
        b"POST" => 2,
        b"PUT" => 3,
        b"DELETE" => 4,
        b"OPTIONS" => 5,
        b"PATCH" => 6,
        _ => 7,
    }
}

/// One block for each shard.
#[derive(Debug)]
pub struct PerShard<T> {
    blocks: Box<[OnceLock<Box<T>>]>,
}

impl<T> Default for PerShard<T> {
    /// A series that counts nothing, for objects that no server will use.
    fn default() -> Self {
        PerShard { blocks: Box::default() }
    }
}

impl<T: Default> PerShard<T> {
    pub fn new(shard_count: usize) -> PerShard<T> {
        PerShard { blocks: (0..shard_count).map(|_| OnceLock::new()).collect() }
    }

    /// The block of one shard, for its thread to count in; made at the first call.
    #[inline]
    pub fn of(&self, shard: usize) -> Option<&T> {
        self.blocks.get(shard).map(|block| &**block.get_or_init(Box::default))
    }
}

impl<T> PerShard<T> {
    /// The blocks that a shard has counted in.
    pub fn blocks(&self) -> impl Iterator<Item = &T> {
        self.blocks.iter().filter_map(OnceLock::get).map(|block| &**block)
    }

    /// A number summed over all shards.
    pub fn sum(&self, number: impl Fn(&T) -> &Number) -> u64 {
        self.blocks().fold(0, |sum: u64, block| sum.wrapping_add(number(block).get()))
    }

    /// A row of numbers summed over all shards.
    pub fn sums<const N: usize>(&self, numbers: impl Fn(&T) -> &[Number; N]) -> [u64; N] {
        let mut sums = [0_u64; N];
        self.blocks().for_each(|block| add_to(&mut sums, numbers(block)));
        sums
    }

    /// A histogram merged over all shards.
    pub fn distribution(&self, histogram: impl Fn(&T) -> &Histogram) -> Distribution {
        let mut all = Distribution::default();
        self.blocks().for_each(|block| histogram(block).read_into(&mut all));
        all
    }
}

/// The numbers of a listener on one shard. Durations apart, a GET adds only to the first cache line.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct ListenerBlock {
    /// Bytes from and to clients, heads and content.
    pub bytes_received: Number,
    pub bytes_sent: Number,
    /// By [`METHOD_CLASSES`] and [`STATUS_CLASSES`].
    pub requests: [[Number; STATUS_CLASSES.len()]; METHOD_CLASSES.len()],
    /// Exchanges that were cut short.
    pub aborted: Number,
    /// By [`OTHER_VERSIONS`].
    pub other_versions: [Number; OTHER_VERSIONS.len()],
    /// From the first byte of a request to the end of its head.
    pub head: Histogram,
    /// From the first byte of a request to the last of its response.
    pub total: Histogram,
    /// Those of a listener that speaks TLS.
    handshakes: OnceLock<Box<HandshakeBlock>>,
}

impl ListenerBlock {
    /// For the shard's own thread; made at the first handshake.
    pub fn handshakes(&self) -> &HandshakeBlock {
        self.handshakes.get_or_init(Box::default)
    }

    /// For any thread.
    pub fn handshakes_if_any(&self) -> Option<&HandshakeBlock> {
        self.handshakes.get().map(|block| &**block)
    }
}

/// The numbers of a rule on one shard.
#[derive(Debug, Default)]
pub struct RuleBlock {
    pub requests: Number,
}

/// The numbers of a target group on one shard. Every request adds to the first cache line.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct GroupBlock {
    /// By [`STATUS_CLASSES`].
    pub requests: [Number; STATUS_CLASSES.len()],
    /// Requests that found a kept connection, and those that were given a new one.
    pub reused: Number,
    pub connected: Number,
    /// By position in `Reason::ALL`.
    pub sticky: [Number; STICKY_REASON_COUNT],
    pub retries: Number,
    /// Requests that waited for a place on a target, and for how long in all.
    pub queue_waits: Number,
    pub queue_us: Number,
    /// Requests that became tunnels.
    pub upgrades: Number,
    /// Connecting to a target, all attempts of a request.
    pub connect: Histogram,
    /// From the end of a request's head to the first byte of the response.
    pub first_byte: Histogram,
    /// From the first byte of a request to the last of its response.
    pub total: Histogram,
    /// By [`GRPC_STATUSES`]; those of a group that answers calls.
    grpc: OnceLock<Box<[Number; GRPC_STATUSES.len()]>>,
}

impl GroupBlock {
    /// Counts a call of gRPC, for the shard's own thread.
    #[cold]
    pub fn grpc(&self, status: u32) {
        let statuses = self.grpc.get_or_init(Box::default);
        let position = usize::try_from(status).unwrap_or(usize::MAX);
        if let Some(number) = statuses.get(position.min(GRPC_STATUSES.len() - 1)) {
            number.add(1);
        }
    }
}

/// The numbers of a target on one shard: only a handful, since there may be ten thousand targets.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct TargetBlock {
    /// By [`STATUS_CLASSES`].
    pub requests: [Number; STATUS_CLASSES.len()],
}

pub type ListenerSeries = PerShard<ListenerBlock>;
pub type RuleSeries = PerShard<RuleBlock>;
pub type GroupSeries = PerShard<GroupBlock>;
pub type TargetSeries = PerShard<TargetBlock>;

impl ListenerSeries {
    /// Requests by [`METHOD_CLASSES`] and [`STATUS_CLASSES`], summed over all shards.
    pub fn requests(&self) -> [[u64; STATUS_CLASSES.len()]; METHOD_CLASSES.len()] {
        let mut sums = [[0_u64; STATUS_CLASSES.len()]; METHOD_CLASSES.len()];
        for block in self.blocks() {
            for (sums, numbers) in sums.iter_mut().zip(&block.requests) {
                add_to(sums, numbers);
            }
        }
        sums
    }

    /// Requests by their version of HTTP, for every version that has come; HTTP/1.0 and HTTP/1.1 are always included.
    pub fn versions(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let others = self.sums(|block| &block.other_versions);
        let all: u64 = self.requests().iter().flatten().sum();
        // A shard that counts in between may make the others more than all.
        let common = all.saturating_sub(others.iter().sum());
        let others = OTHER_VERSIONS.into_iter().zip(others);
        let others = others.filter(|&(version, count)| count > 0 || version == "1.0");
        std::iter::once((COMMON_VERSION, common)).chain(others)
    }
}

impl GroupSeries {
    /// Calls of gRPC by [`GRPC_STATUSES`], summed over all shards; `None` before there was one.
    pub fn grpc(&self) -> Option<[u64; GRPC_STATUSES.len()]> {
        let mut blocks = self.blocks().filter_map(|block| block.grpc.get()).peekable();
        blocks.peek()?;
        let mut sums = [0_u64; GRPC_STATUSES.len()];
        blocks.for_each(|block| add_to(&mut sums, &block[..]));
        Some(sums)
    }
}

fn add_to(sums: &mut [u64], numbers: &[Number]) {
    for (sum, number) in sums.iter_mut().zip(numbers) {
        *sum = sum.wrapping_add(number.get());
    }
}

/// Where one request was received and served, as far as it got.
#[derive(Debug, Clone, Copy, Default)]
pub struct Places<'a> {
    pub listener: Option<&'a ListenerSeries>,
    pub rule: Option<&'a RuleSeries>,
    pub group: Option<&'a GroupSeries>,
    pub target: Option<&'a TargetSeries>,
}

#[cfg(test)]
mod tests {
    use crate::telemetry::series::*;

    #[test]
    fn classes_have_the_position_of_their_word() {
        for (status, word) in
            [(0, "none"), (101, "1xx"), (204, "2xx"), (304, "3xx"), (499, "4xx"), (599, "5xx")]
        {
            assert_eq!(STATUS_CLASSES[status_class(status)], word, "{status}");
        }
        assert_eq!((status_class(99), status_class(600), status_class(u16::MAX)), (0, 0, 0));
        for word in METHOD_CLASSES.iter().take(7) {
            assert_eq!(METHOD_CLASSES[method_class(word.as_bytes())], *word);
        }
        for other in ["", "get", "PROPFIND", "other"] {
            assert_eq!(METHOD_CLASSES[method_class(other.as_bytes())], "other");
        }
    }

    #[test]
    fn a_block_is_there_once_its_shard_has_counted() {
        let series: TargetSeries = PerShard::new(3);
        assert_eq!(series.blocks().count(), 0);
        series.of(1).unwrap().requests[2].add(5);
        series.of(2).unwrap().requests[2].add(1);
        assert!(series.of(3).is_none());
        assert_eq!(series.blocks().count(), 2);
        assert_eq!(series.sums(|block| &block.requests), [0, 0, 6, 0, 0, 0]);
        assert_eq!(series.sum(|block| &block.requests[2]), 6);
        assert!(TargetSeries::default().of(0).is_none());
    }

    #[test]
    fn a_target_costs_one_cache_line_per_shard() {
        assert_eq!(size_of::<TargetBlock>(), 64);
        assert!(size_of::<GroupBlock>() <= 6 * 1024);
    }

    #[test]
    fn what_every_request_adds_to_shares_a_cache_line() {
        use std::mem::offset_of;
        assert_eq!(offset_of!(ListenerBlock, bytes_received), 0);
        assert!(offset_of!(ListenerBlock, requests) + size_of::<[Number; 6]>() <= 64);
        assert!(offset_of!(GroupBlock, connected) + size_of::<Number>() <= 64);
    }

    #[test]
    fn shards_count_alone_while_others_read() {
        let series: RuleSeries = PerShard::new(3);
        std::thread::scope(|scope| {
            for shard in 0..3 {
                let series = &series;
                scope.spawn(move || {
                    (0..5000).for_each(|_| series.of(shard).unwrap().requests.add(1));
                });
            }
            let mut last = 0;
            while last < 15_000 {
                let now = series.sum(|block| &block.requests);
                assert!(now >= last);
                last = now;
            }
        });
        assert_eq!(series.sum(|block| &block.requests), 15_000);
    }
}
