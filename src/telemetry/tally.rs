//! Adds one finished request to the series of its listener, rule, group and target.
//!
//! Runs on the shard, once for each request: it adds, and nothing else. Tested below.
use super::record::{Record, reason_position};
use super::series::{GroupBlock, ListenerBlock, Places, method_class, status_class};
use crate::http::head::Version;

impl Places<'_> {
    /// Counts `record` in the blocks of one shard, by that shard's thread.
    // Each version of HTTP has a copy in its own straight line.
    #[inline(always)]
    pub fn count(&self, shard: usize, record: &Record<'_>) {
        let class = status_class(record.status);
        if let Some(block) = self.listener.and_then(|series| series.of(shard)) {
            count_listener(block, class, record);
        }
        if let Some(block) = self.rule.and_then(|series| series.of(shard)) {
            block.requests.add(1);
        }
        if let Some(block) = self.group.and_then(|series| series.of(shard)) {
            count_group(block, class, record);
        }
        let target = self.target.and_then(|series| series.of(shard));
        if let Some(number) = target.and_then(|block| block.requests.get(class)) {
            number.add(1);
        }
    }
}

/// Position in [`super::series::OTHER_VERSIONS`]; none for HTTP/1.1.
#[inline]
fn other_version(version: Option<Version>) -> Option<usize> {
    match version {
        Some(Version::Http11) => None,
        None => Some(0),
        Some(Version::Http10) => Some(1),
        Some(Version::Http2) => Some(2),
        Some(Version::Http3) => Some(3),
    }
}

fn count_listener(block: &ListenerBlock, class: usize, record: &Record<'_>) {
    let methods = block.requests.get(method_class(record.method));
    if let Some(number) = methods.and_then(|classes| classes.get(class)) {
        number.add(1);
    }
    if let Some(number) = other_version(record.version).and_then(|at| block.other_versions.get(at))
    {
        number.add(1);
    }
    block.bytes_received.add(record.bytes_in);
    block.bytes_sent.add(record.bytes_out);
    block.head.record(record.timings.request_us);
    block.total.record(record.timings.total_us);
    if record.ended.aborted() {
        block.aborted.add(1);
    }
}

fn count_group(block: &GroupBlock, class: usize, record: &Record<'_>) {
    if let Some(number) = block.requests.get(class) {
        number.add(1);
    }
    let reason = record.sticky.map(|reason| usize::from(reason_position(reason)));
    if let Some(number) = reason.and_then(|at| block.sticky.get(at)) {
        number.add(1);
    }
    match record.target_reused {
        Some(true) => block.reused.add(1),
        Some(false) => block.connected.add(1),
        None => {}
    }
    let timings = &record.timings;
    if let Some(us) = timings.connect_us {
        block.connect.record(us);
    }
    if let Some(us) = timings.first_byte_us {
        block.first_byte.record(us);
    }
    block.total.record(timings.total_us);
    if record.retries > 0 {
        block.retries.add(u64::from(record.retries));
    }
    if let Some(us) = timings.queue_us {
        block.queue_waits.add(1);
        block.queue_us.add(us);
    }
    if record.upgraded {
        block.upgrades.add(1);
    }
    if let Some(status) = record.rare.and_then(|rare| rare.grpc_status) {
        block.grpc(status);
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{Facts, Timings};
    use super::super::record_tests::{full, full_facts, full_with};
    use super::super::series::{
        GRPC_STATUSES, GroupSeries, ListenerSeries, PerShard, RuleSeries, TargetSeries,
    };
    use crate::telemetry::rare::Rare;
    use crate::telemetry::reason::Reason;
    use crate::telemetry::tally::*;

    struct Series(ListenerSeries, RuleSeries, GroupSeries, TargetSeries);

    impl Series {
        fn new() -> Series {
            Series(PerShard::new(2), PerShard::new(2), PerShard::new(2), PerShard::new(2))
        }

        fn places(&self) -> Places<'_> {
            Places {
                listener: Some(&self.0),
                rule: Some(&self.1),
                group: Some(&self.2),
                target: Some(&self.3),
            }
        }
    }

    #[test]
    fn every_reason_has_a_place() {
        assert_eq!(Reason::ALL.len(), super::super::series::STICKY_REASON_COUNT);
    }

    #[test]
    fn one_request_is_counted_in_every_series_it_belongs_to() {
        let series = Series::new();
        let facts = Facts {
            status: 502,
            retries: 2,
            sticky: Some(Reason::Unhealthy),
            target_reused: Some(false),
            upgraded: false,
            timings: Timings {
                request_us: 5,
                queue_us: Some(700),
                connect_us: Some(40),
                first_byte_us: Some(900),
                total_us: 1000,
            },
            ..full_facts()
        };
        let record = Record { facts, method: b"POST", ..full() };
        series.places().count(1, &record);
        let Series(listener, rule, group, target) = &series;
        let methods = listener.blocks().next().unwrap();
        assert_eq!(methods.requests[2][5].get(), 1);
        assert_eq!(listener.versions().collect::<Vec<_>>(), [("1.1", 1), ("1.0", 0)]);
        let all = methods.requests.iter().flatten().map(super::super::number::Number::get);
        assert_eq!(all.sum::<u64>(), 1);
        assert_eq!(listener.sum(|block| &block.bytes_received), record.bytes_in);
        assert_eq!(listener.sum(|block| &block.bytes_sent), record.bytes_out);
        assert_eq!(listener.distribution(|block| &block.head).sum_us(), 5);
        assert_eq!(listener.distribution(|block| &block.total).sum_us(), 1000);
        assert_eq!(rule.sum(|block| &block.requests), 1);
        assert_eq!(group.sums(|block| &block.requests), [0, 0, 0, 0, 0, 1]);
        assert_eq!(group.sums(|block| &block.sticky)[Reason::Unhealthy as usize], 1);
        assert_eq!(group.sum(|block| &block.reused), 0);
        assert_eq!(group.sum(|block| &block.connected), 1);
        assert_eq!(group.sum(|block| &block.retries), 2);
        assert_eq!(group.sum(|block| &block.queue_waits), 1);
        assert_eq!(group.sum(|block| &block.queue_us), 700);
        assert_eq!(group.sum(|block| &block.upgrades), 0);
        assert_eq!(group.distribution(|block| &block.connect).sum_us(), 40);
        assert_eq!(group.distribution(|block| &block.first_byte).sum_us(), 900);
        assert_eq!(group.distribution(|block| &block.total).count(), 1);
        assert_eq!(target.sums(|block| &block.requests), [0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn a_call_is_counted_by_its_status_for_its_group() {
        let series = Series::new();
        series.places().count(0, &full());
        series.places().count(0, &Record::default());
        for status in [0, 16, 17, u32::MAX] {
            let rare = Rare { grpc_status: Some(status), ..Rare::default() };
            series.places().count(1, &Record { rare: Some(&rare), ..Record::default() });
        }
        let sums = series.2.grpc().unwrap();
        let counted: Vec<_> = GRPC_STATUSES.iter().zip(sums).filter(|(_, sum)| *sum > 0).collect();
        assert_eq!(counted, [(&"0", 1), (&"16", 1), (&"unknown", 2)]);
        let none = Series::new();
        none.places().count(0, &Record::default());
        assert_eq!(none.2.grpc(), None);
    }

    #[test]
    fn a_request_is_counted_by_its_version_for_the_listener() {
        let series = Series::new();
        let all = [None, Some(Version::Http10), Some(Version::Http2), Some(Version::Http3)];
        for version in all.into_iter().chain([Some(Version::Http11), Some(Version::Http2)]) {
            series.places().count(0, &full_with(Facts { version, ..full_facts() }));
        }
        series.places().count(1, &full());
        assert_eq!(
            series.0.versions().collect::<Vec<_>>(),
            [("1.1", 2), ("none", 1), ("1.0", 1), ("2", 2), ("3", 1)]
        );
    }

    #[test]
    fn a_request_that_came_nowhere_is_counted_where_it_was() {
        let series = Series::new();
        let places = Places { listener: Some(&series.0), ..Places::default() };
        places.count(0, &Facts { status: 400, ..Facts::default() }.into());
        assert_eq!(series.0.blocks().next().unwrap().requests[7][4].get(), 1);
        assert_eq!(series.1.blocks().count() + series.2.blocks().count(), 0);
        series.places().count(2, &Record::default());
        assert_eq!(series.3.blocks().count(), 0, "there are only two shards");
    }

    #[test]
    fn an_answer_that_needed_no_target_has_no_connection_and_no_wait() {
        let series = Series::new();
        series.places().count(0, &Facts { status: 503, ..Facts::default() }.into());
        let group = &series.2;
        assert_eq!(group.sum(|block| &block.reused) + group.sum(|block| &block.connected), 0);
        assert_eq!(group.distribution(|block| &block.connect).count(), 0);
        assert_eq!(group.sum(|block| &block.queue_waits), 0);
        assert_eq!(group.sums(|block| &block.requests)[5], 1);
    }
}
