//! Counters of the whole process: for the facts in the log, and for the connections beneath.
//!
//! Numbers of a listener, rule, group or target are counted in `series`; these numbers go on when those end. Each shard
//! has a block of its own that only it writes. Any thread may read at any time; a reading is exact for each number, not
//! across numbers. Reading may allocate, counting never does (except the first time for each word of an error). Tested
//! in-process, single and across threads.
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crossbeam_utils::CachePadded;

use super::ended::Cause;
use super::http2::{Http2Block, Http2Sums, Side};
use super::number::Number;
use super::record::{CODE_BYTES_MAX, Record};
use super::series::{STATUS_CLASSES, status_class};

/// The numbers of a counter block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    /// Bytes from and to clients, heads and content.
    BytesIn,
    BytesOut,
    /// Client connections; open ones are accepted − closed.
    ConnectionsAccepted,
    ConnectionsClosed,
    /// Closed at once, because a limit was reached.
    ConnectionsRefused,
    /// Closed while they were idle, because new ones needed their places or descriptors.
    ConnectionsReclaimed,
    /// Target connections; open ones are opened − closed.
    TargetConnectionsOpened,
    TargetConnectionsClosed,
    /// Of the closed ones, those that the target closed while they were idle.
    TargetConnectionsClosedIdle,
    Retries,
    /// Exchanges that were cut short (`Ended::aborted`).
    Aborted,
    /// Lines that found no room in the log's buffers.
    LogLinesDropped,
    /// Requests that ended with 502, 503 or 504, limpet's own or a target's; not those that a rule answers so.
    GatewayErrors,
}

impl Counter {
    pub const ALL: [Counter; 13] = [
        Counter::BytesIn,
        Counter::BytesOut,
        Counter::ConnectionsAccepted,
        Counter::ConnectionsClosed,
        Counter::ConnectionsRefused,
        Counter::ConnectionsReclaimed,
        Counter::TargetConnectionsOpened,
        Counter::TargetConnectionsClosed,
        Counter::TargetConnectionsClosedIdle,
        Counter::Retries,
        Counter::Aborted,
        Counter::LogLinesDropped,
        Counter::GatewayErrors,
    ];

    /// Stable snake_case word.
    #[cfg(any(test, feature = "internals"))]
    pub fn word(self) -> &'static str {
        match self {
            Counter::BytesIn => "bytes_in",
            Counter::BytesOut => "bytes_out",
            Counter::ConnectionsAccepted => "connections_accepted",
            Counter::ConnectionsClosed => "connections_closed",
            Counter::ConnectionsRefused => "connections_refused",
            Counter::ConnectionsReclaimed => "connections_reclaimed",
            Counter::TargetConnectionsOpened => "target_connections_opened",
            Counter::TargetConnectionsClosed => "target_connections_closed",
            Counter::TargetConnectionsClosedIdle => "target_connections_closed_idle",
            Counter::Retries => "retries",
            Counter::Aborted => "aborted",
            Counter::LogLinesDropped => "log_lines_dropped",
            Counter::GatewayErrors => "gateway_errors",
        }
    }
}

/// Most distinct words of refusals and errors; further words are counted together.
const CODE_COUNT: usize = 128;
/// The word for the further ones.
const OTHER_CODE: &str = "other";

/// The counters of one shard. Only that shard's thread may count; any thread may read.
#[derive(Debug)]
pub struct ShardCounters {
    block: CachePadded<Block>,
}

/// The counters of every request come first, in one cache line: its class, and its bytes.
#[derive(Debug)]
#[repr(C)]
struct Block {
    /// Every request has one.
    classes: [Number; STATUS_CLASSES.len()],
    numbers: [Number; Counter::ALL.len()],
    /// Filled from the front.
    codes: [CodeCount; CODE_COUNT],
    other_codes: Number,
    http2_clients: Http2Block,
    http2_targets: Http2Block,
}

#[derive(Debug, Default)]
struct CodeCount {
    word: OnceLock<Box<str>>,
    count: Number,
}

impl Default for ShardCounters {
    fn default() -> Self {
        ShardCounters {
            block: CachePadded::new(Block {
                classes: Default::default(),
                numbers: Default::default(),
                codes: std::array::from_fn(|_| CodeCount::default()),
                other_codes: Number::default(),
                http2_clients: Http2Block::default(),
                http2_targets: Http2Block::default(),
            }),
        }
    }
}

impl ShardCounters {
    /// Counts everything that the log says of one request.
    pub fn request(&self, record: &Record<'_>) {
        self.add(Counter::BytesIn, record.bytes_in);
        self.add(Counter::BytesOut, record.bytes_out);
        if let Some(class) = self.block.classes.get(status_class(record.status)) {
            class.add(1);
        }
        if record.retries > 0 {
            self.add(Counter::Retries, u64::from(record.retries));
        }
        if matches!(record.status, 502..=504) && record.ended.cause != Cause::Rule {
            self.add(Counter::GatewayErrors, 1);
        }
        if record.ended.aborted() {
            self.add(Counter::Aborted, 1);
        }
        if !record.code.is_empty() {
            self.count_code(record.code);
        }
    }

    /// Adds to one counter.
    #[inline]
    pub fn add(&self, counter: Counter, count: u64) {
        if let Some(number) = self.block.numbers.get(counter as usize) {
            number.add(count);
        }
    }

    /// Requests so far, without the cost of a snapshot.
    pub fn requests(&self) -> u64 {
        self.block.classes.iter().fold(0, |sum: u64, class| sum.wrapping_add(class.get()))
    }

    /// Counts a refusal or error that belongs to no request of the log.
    pub fn count_code(&self, code: &str) {
        let code = code.get(..code.floor_char_boundary(CODE_BYTES_MAX)).unwrap_or_default();
        let found = self.block.codes.iter().find(|slot| {
            // The only writer is this thread, so an empty place is empty until it is filled here.
            &**slot.word.get_or_init(|| code.into()) == code
        });
        found.map_or(&self.block.other_codes, |slot| &slot.count).add(1);
    }

    /// The connections of HTTP/2 with clients, or with targets.
    pub fn http2(&self, side: Side) -> &Http2Block {
        match side {
            Side::Client => &self.block.http2_clients,
            Side::Target => &self.block.http2_targets,
        }
    }

    /// The numbers so far.
    pub fn snapshot(&self) -> CounterSnapshot {
        let block = &*self.block;
        let mut codes: BTreeMap<String, u64> = block
            .codes
            .iter()
            .map_while(|slot| Some((slot.word.get()?.to_string(), slot.count.get())))
            .collect();
        let other = block.other_codes.get();
        if other > 0 {
            *codes.entry(OTHER_CODE.into()).or_default() += other;
        }
        CounterSnapshot {
            numbers: block.numbers.each_ref().map(Number::get),
            classes: block.classes.each_ref().map(Number::get),
            codes,
        }
    }
}

/// The counters of all shards; a cheap handle on the same numbers.
#[derive(Debug, Clone)]
pub struct Counters {
    shards: Arc<Vec<Arc<ShardCounters>>>,
}

impl Counters {
    /// One block for each of `shard_count` shards.
    pub fn new(shard_count: usize) -> Counters {
        Counters { shards: Arc::new((0..shard_count).map(|_| Arc::default()).collect()) }
    }

    /// The block of one shard, for its thread to count and for any thread to read.
    pub fn shard(&self, index: usize) -> Option<Arc<ShardCounters>> {
        self.shards.get(index).cloned()
    }

    /// The connections of HTTP/2 of all shards.
    pub fn http2(&self, side: Side) -> Http2Sums {
        Http2Sums::of(self.shards.iter().map(|shard| shard.http2(side)))
    }

    /// Sums over all shards.
    pub fn snapshot(&self) -> CounterSnapshot {
        self.shards.iter().fold(CounterSnapshot::default(), |mut sum, shard| {
            sum.merge(&shard.snapshot());
            sum
        })
    }
}

/// Numbers at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CounterSnapshot {
    numbers: [u64; Counter::ALL.len()],
    classes: [u64; STATUS_CLASSES.len()],
    codes: BTreeMap<String, u64>,
}

impl CounterSnapshot {
    pub fn get(&self, counter: Counter) -> u64 {
        self.numbers.get(counter as usize).copied().unwrap_or(0)
    }

    /// Requests of all classes.
    pub fn requests(&self) -> u64 {
        self.classes.iter().fold(0, |sum: u64, class| sum.wrapping_add(*class))
    }

    /// Responses by class: 1 to 5, 0 for requests that got no response.
    pub fn responses(&self, class: usize) -> u64 {
        self.classes.get(class).copied().unwrap_or(0)
    }

    /// Refusals and errors by word, sorted.
    pub fn codes(&self) -> &BTreeMap<String, u64> {
        &self.codes
    }

    /// Refusals and errors of one word.
    #[cfg(any(test, feature = "internals"))]
    pub fn code(&self, word: &str) -> u64 {
        self.codes.get(word).copied().unwrap_or(0)
    }

    pub fn connections_open(&self) -> u64 {
        self.get(Counter::ConnectionsAccepted).saturating_sub(self.get(Counter::ConnectionsClosed))
    }

    pub fn target_connections_open(&self) -> u64 {
        self.get(Counter::TargetConnectionsOpened)
            .saturating_sub(self.get(Counter::TargetConnectionsClosed))
    }

    fn merge(&mut self, other: &CounterSnapshot) {
        let pairs = self.numbers.iter_mut().zip(&other.numbers);
        for (sum, more) in pairs.chain(self.classes.iter_mut().zip(&other.classes)) {
            *sum = sum.wrapping_add(*more);
        }
        for (word, count) in &other.codes {
            *self.codes.entry(word.clone()).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ended::{By, Cause, Ended, Phase};
    use super::super::record::Facts;
    use super::super::record_tests::full;
    use crate::telemetry::counters::*;

    #[test]
    fn counters_stand_at_their_own_position_with_their_own_word() {
        let mut words: Vec<_> = Counter::ALL.iter().map(|counter| counter.word()).collect();
        assert!(Counter::ALL.iter().enumerate().all(|(at, counter)| *counter as usize == at));
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Counter::ALL.len());
    }

    #[test]
    fn a_request_counts_everything_that_the_log_says() {
        let counters = Counters::new(2);
        let shard = counters.shard(1).expect("second shard");
        shard.request(&full());
        let facts = Facts { status: 503, ..Facts::default() };
        shard.request(&Record { facts, code: "no_usable_target", ..Record::default() });
        shard.request(&Record::default());
        let sum = counters.snapshot();
        assert_eq!((sum.requests(), shard.requests()), (3, 3));
        for (counter, expected) in [
            (Counter::BytesIn, 321),
            (Counter::BytesOut, 4567),
            (Counter::Retries, 1),
            (Counter::Aborted, 1),
            (Counter::LogLinesDropped, 0),
        ] {
            assert_eq!(sum.get(counter), expected, "{}", counter.word());
        }
        assert_eq!((0..6).map(|c| sum.responses(c)).collect::<Vec<_>>(), [1, 0, 1, 0, 0, 1]);
        assert_eq!((sum.code("target_reset"), sum.code("no_usable_target")), (1, 1));
        assert_eq!(counters.shard(0).expect("first shard").snapshot(), CounterSnapshot::default());
        assert!(counters.shard(2).is_none());
    }

    #[test]
    fn a_client_that_goes_away_is_an_aborted_exchange() {
        let shard = ShardCounters::default();
        let ended = Ended::new(By::Client, Phase::ResponseHead, Cause::Closed);
        shard.request(&Facts { status: 499, ended, ..Facts::default() }.into());
        assert_eq!(shard.snapshot().get(Counter::Aborted), 1);
        assert_eq!(shard.snapshot().responses(4), 1);
    }

    #[test]
    fn open_connections_are_what_was_not_closed() {
        let shard = ShardCounters::default();
        shard.add(Counter::ConnectionsAccepted, 5);
        shard.add(Counter::ConnectionsClosed, 2);
        shard.add(Counter::TargetConnectionsOpened, 1);
        shard.add(Counter::TargetConnectionsClosed, 1);
        let snapshot = shard.snapshot();
        assert_eq!((snapshot.connections_open(), snapshot.target_connections_open()), (3, 0));
    }

    #[test]
    fn words_beyond_the_table_are_counted_together() {
        let shard = ShardCounters::default();
        for round in 0..2 {
            for word in 0..CODE_COUNT + 7 {
                shard.count_code(&format!("code_{word}"));
            }
            assert_eq!(shard.snapshot().code("code_0"), round + 1);
        }
        let snapshot = shard.snapshot();
        assert_eq!(snapshot.code(OTHER_CODE), 14);
        assert_eq!(snapshot.codes().len(), CODE_COUNT + 1);
    }

    #[test]
    fn shards_count_alone_and_sum_up_while_others_read() {
        let counters = Counters::new(3);
        std::thread::scope(|scope| {
            for index in 0..3 {
                let shard = counters.shard(index).expect("shard");
                scope.spawn(move || (0..5000).for_each(|_| shard.request(&full())));
            }
            let mut last = 0;
            while last < 15_000 {
                let now = counters.snapshot().requests();
                assert!(now >= last);
                last = now;
            }
        });
        assert_eq!(counters.snapshot().responses(2), 15_000);
        assert_eq!(counters.snapshot().code("target_reset"), 15_000);
    }
}
