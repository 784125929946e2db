use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fake::{FILE, Fake, request};
use crate::control::metrics::rates::HISTORY_POINTS;
use crate::control::metrics::{Sampler, names};
use crate::snapshot::Snapshot;
use crate::telemetry::reason::Reason;
use crate::telemetry::record::Facts;

struct Clock {
    start: Instant,
    ms: u64,
}

impl Clock {
    fn new() -> Clock {
        Clock { start: Instant::now(), ms: 0 }
    }

    /// Lets time pass, then takes a sample.
    fn tick(&mut self, sampler: &Sampler, after_ms: u64) {
        self.ms += after_ms;
        sampler.tick(self.start + Duration::from_millis(self.ms), 1_000_000 + self.ms);
    }
}

fn started(file: &str) -> (Fake, Sampler, Clock) {
    let fake = Fake::new(file);
    let sampler = Sampler::new(Arc::clone(&fake.sources));
    (fake, sampler, Clock::new())
}

#[test]
fn the_first_sample_only_says_where_counts_stand() {
    let (fake, sampler, mut clock) = started(FILE);
    fake.count(0, [0, 0, 0], &request(200, 100));
    clock.tick(&sampler, 0);
    let overview = sampler.overview();
    assert_eq!((overview.history.len(), overview.now.requests_per_second), (0, 0.0));
    assert_eq!(overview.totals.requests, 1);
    clock.tick(&sampler, 1000);
    let overview = sampler.overview();
    assert_eq!((overview.history.len(), overview.now.requests_per_second), (1, 0.0));
    assert_eq!(overview.now.latency_us, None);
    assert_eq!(overview.now.unix_ms, 1_001_000);
}

#[test]
fn failures_are_told_as_long_as_they_are_recent() {
    let (fake, sampler, mut clock) = started(FILE);
    let snapshot = fake.sources.published.load_full();
    let group = &snapshot.groups[0];
    let target = &group.targets[0];
    // Failures before the first sample are not recent.
    target.state.count_failure();
    clock.tick(&sampler, 0);
    assert!(sampler.failing(&group.name).is_empty());
    (0..42).for_each(|_| target.state.count_failure());
    clock.tick(&sampler, 1000);
    assert_eq!(sampler.failing(&group.name), [(Arc::clone(&target.id), 42)]);
    let recently = |sampler: &Sampler| {
        sampler.target(&group.name, &target.id).map(|rates| rates.failures_recently)
    };
    assert_eq!(recently(&sampler), Some(42));
    (0..HISTORY_POINTS).for_each(|_| clock.tick(&sampler, 1000));
    assert_eq!(recently(&sampler), Some(0));
    assert!(sampler.failing(&group.name).is_empty());
}

#[test]
fn rates_are_of_the_time_that_has_passed() {
    let (fake, sampler, mut clock) = started(FILE);
    clock.tick(&sampler, 0);
    for _ in 0..30 {
        let facts = Facts { bytes_in: 10, bytes_out: 20, ..*request(200, 1000) };
        fake.count(0, [1, 0, 0], &facts.into());
    }
    for _ in 0..10 {
        let sticky = Some(Reason::New);
        fake.count(1, [0, 0, 1], &Facts { sticky, ..*request(503, 50_000) }.into());
    }
    fake.machine.busy_us.lock().unwrap()[0] = 500_000;
    clock.tick(&sampler, 2000);
    let overview = sampler.overview();
    let now = overview.now;
    assert_eq!((now.requests_per_second, now.errors_per_second), (20.0, 5.0));
    assert_eq!((now.responses.successful, now.responses.server_error), (15.0, 5.0));
    assert_eq!((now.bytes_in_per_second, now.bytes_out_per_second), (150.0, 300.0));
    assert_eq!(now.connections, 7);
    let latency = now.latency_us.unwrap();
    assert!(
        latency.p50.abs_diff(1000) <= 63 && latency.p99.abs_diff(50_000) <= 3125,
        "{latency:?}"
    );
    assert_eq!(overview.shards[0].utilisation, 0.25);
    assert_eq!(overview.shards[0].requests_per_second, 15.0);
    assert_eq!(overview.shards[1].connections, 4);
    assert_eq!(overview.totals.responses.server_error, 10);
    let group = sampler.group("app").unwrap();
    assert_eq!((group.requests_per_second, group.errors_per_second), (20.0, 5.0));
    assert_eq!(group.latency_us, Some(latency));
    assert_eq!((group.sticky["new"], group.sticky["valid"]), (10, 0));
    assert_eq!(sampler.target("app", "a").unwrap().requests_per_second, 15.0);
    assert_eq!(sampler.target("app", "b").unwrap().requests_history, [5.0]);
    let rule = sampler.rule("web", "default").unwrap();
    assert_eq!((rule.requests, rule.requests_per_second), (30, 15.0));
    assert_eq!(sampler.group("plain").unwrap().latency_us, None);
    assert!(sampler.group("gone").is_none() && sampler.target("app", "c").is_none());
    assert!(sampler.rule("web", "gone").is_none() && sampler.rule("gone", "api").is_none());
}

#[test]
fn a_quiet_second_has_no_latency_and_no_rate() {
    let (fake, sampler, mut clock) = started(FILE);
    clock.tick(&sampler, 0);
    fake.count(0, [0, 0, 0], &request(200, 100));
    clock.tick(&sampler, 1000);
    clock.tick(&sampler, 1000);
    let overview = sampler.overview();
    assert_eq!(overview.now.latency_us, None);
    let rates: Vec<f64> = overview.history.iter().map(|point| point.requests_per_second).collect();
    assert_eq!(rates, [1.0, 0.0]);
    assert_eq!(sampler.group("app").unwrap().requests_history, [1.0, 0.0]);
}

#[test]
fn a_tick_at_the_same_moment_changes_nothing() {
    let (fake, sampler, mut clock) = started(FILE);
    clock.tick(&sampler, 0);
    clock.tick(&sampler, 1000);
    fake.count(0, [0, 0, 0], &request(200, 100));
    clock.tick(&sampler, 0);
    assert_eq!(sampler.overview().history.len(), 1);
    clock.tick(&sampler, 1000);
    assert_eq!(sampler.overview().now.requests_per_second, 1.0);
}

#[test]
fn history_is_bounded_and_its_oldest_points_go_first() {
    let (_, sampler, mut clock) = started(FILE);
    for _ in 0..HISTORY_POINTS + 10 {
        clock.tick(&sampler, 1000);
    }
    let overview = sampler.overview();
    assert_eq!(overview.history.len(), HISTORY_POINTS);
    assert_eq!(overview.history.last(), Some(&overview.now));
    assert_eq!(overview.history[0].unix_ms, overview.now.unix_ms - 119_000);
    assert_eq!(sampler.group("app").unwrap().requests_history.len(), HISTORY_POINTS);
    assert_eq!(sampler.target("app", "a").unwrap().requests_history.len(), HISTORY_POINTS);
}

#[test]
fn a_name_with_another_state_behind_it_starts_anew_and_one_that_is_gone_is_forgotten() {
    let (fake, sampler, mut clock) = started(FILE);
    clock.tick(&sampler, 0);
    fake.count(0, [0, 1, 1], &request(200, 100));
    clock.tick(&sampler, 1000);
    let before = fake.snapshot();
    // A second file with the same names, whose states are different.
    let other = Fake::new(FILE).snapshot();
    let groups = vec![Arc::clone(&other.groups[1])];
    let listeners = before.listeners.clone();
    fake.sources.published.store(Arc::new(Snapshot { generation: 2, listeners, groups }));
    other.groups[0].targets[0].state.series.of(0).unwrap().requests[2].add(3);
    clock.tick(&sampler, 1000);
    assert!(sampler.group("app").is_none());
    assert_eq!(sampler.group("plain").unwrap().requests_history, [0.0]);
    assert_eq!(sampler.target("plain", "c").unwrap().requests_history, [0.0]);
    assert_eq!(sampler.rule("web", "api").unwrap().requests, 1, "the listener is the same");
    assert_eq!(sampler.overview().history.len(), 2);
}

#[test]
fn targets_beyond_the_limit_are_not_sampled() {
    use std::fmt::Write;
    let mut text = FILE.replace("shards = 2", "shards = 1");
    text.push_str("[[target_group]]\nname = \"many\"\ntarget = [");
    for target in 0..names::TARGETS_MAX {
        write!(text, "{{ id = \"t{target}\", address = \"127.0.0.1:80\" }},").unwrap();
    }
    text.push_str("]\n");
    let (_, sampler, mut clock) = started(&text);
    clock.tick(&sampler, 1000);
    assert!(sampler.target("many", "t0").is_some());
    assert!(sampler.target("many", &format!("t{}", names::TARGETS_MAX - 5)).is_some());
    assert!(sampler.target("many", &format!("t{}", names::TARGETS_MAX - 4)).is_none());
}

#[test]
fn the_shapes_are_those_of_the_api() {
    let (fake, sampler, mut clock) = started(FILE);
    clock.tick(&sampler, 0);
    fake.count(0, [0, 0, 0], &request(200, 1));
    clock.tick(&sampler, 1000);
    let overview = serde_json::to_value(sampler.overview()).unwrap();
    assert_eq!(overview["now"]["responses"]["2xx"], 1.0);
    assert_eq!(overview["now"]["latency_us"]["p999"], 1);
    assert_eq!(overview["totals"]["responses"]["none"], 0);
    let keys = |value: &serde_json::Value| -> Vec<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(keys(&overview), ["history", "now", "shards", "totals"]);
    assert_eq!(
        keys(&overview["shards"][0]),
        ["connections", "index", "requests_per_second", "utilisation"]
    );
}
