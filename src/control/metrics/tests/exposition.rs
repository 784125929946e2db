use std::collections::HashSet;
use std::sync::Arc;

use super::fake::{FILE, Fake, Parsed, parse, request, value};
use crate::control::metrics::exposition::exposition;
use crate::control::metrics::names;
use crate::group::state::Health;
use crate::http::head::Version;
use crate::snapshot::Snapshot;
use crate::telemetry::reason::Reason;
use crate::telemetry::record::{Facts, Record, Timings};

fn scrape(fake: &Fake) -> Vec<Parsed> {
    parse(&exposition(&fake.sources))
}

#[test]
fn one_request_is_seen_in_every_series_it_belongs_to() {
    let fake = Fake::new(FILE);
    let facts = Facts {
        bytes_in: 100,
        bytes_out: 2000,
        retries: 1,
        sticky: Some(Reason::Valid),
        target_reused: Some(true),
        timings: Timings {
            request_us: 100,
            queue_us: Some(250_000),
            connect_us: Some(300),
            first_byte_us: Some(3_000),
            total_us: 4_000,
        },
        ..*request(502, 0)
    };
    let record = Record { facts, code: "target_reset", ..request(502, 0) };
    fake.count(1, [1, 0, 1], &record);
    let all = scrape(&fake);
    let expect = |name: &str, labels: &[(&str, &str)], expected: f64| {
        assert_eq!(value(&all, name, labels), Some(expected), "{name} {labels:?}");
    };
    let (web, app) = (("listener", "web"), ("group", "app"));
    expect("limpet_requests_total", &[web, ("method", "GET"), ("status", "5xx")], 1.0);
    expect("limpet_requests_total", &[web, ("method", "GET"), ("status", "2xx")], 0.0);
    expect("limpet_received_bytes_total", &[web], 100.0);
    expect("limpet_sent_bytes_total", &[web], 2000.0);
    expect("limpet_rule_requests_total", &[web, ("rule", "default")], 1.0);
    expect("limpet_rule_requests_total", &[web, ("rule", "api")], 0.0);
    expect("limpet_errors_total", &[("code", "target_reset")], 1.0);
    expect("limpet_group_requests_total", &[app, ("status", "5xx")], 1.0);
    expect("limpet_group_requests_total", &[("group", "plain"), ("status", "5xx")], 0.0);
    expect("limpet_group_pool_requests_total", &[app, ("connection", "reused")], 1.0);
    expect("limpet_group_pool_requests_total", &[app, ("connection", "new")], 0.0);
    expect("limpet_group_retries_total", &[app], 1.0);
    expect("limpet_group_queue_waits_total", &[app], 1.0);
    expect("limpet_group_queue_wait_seconds_total", &[app], 0.25);
    expect("limpet_group_sticky_verdicts_total", &[app, ("reason", "valid")], 1.0);
    let status = ("status", "5xx");
    expect("limpet_target_requests_total", &[app, ("target", "b"), status], 1.0);
    expect("limpet_target_requests_total", &[app, ("target", "a"), status], 0.0);
    expect("limpet_shard_requests_total", &[("shard", "1")], 1.0);
    expect("limpet_shard_requests_total", &[("shard", "0")], 0.0);
    for (name, label, sum) in [
        ("limpet_request_head_duration_seconds", web, 0.0001),
        ("limpet_request_duration_seconds", web, 0.004),
        ("limpet_group_connect_duration_seconds", app, 0.0003),
        ("limpet_group_first_byte_duration_seconds", app, 0.003),
        ("limpet_group_request_duration_seconds", app, 0.004),
    ] {
        expect(&format!("{name}_count"), &[label], 1.0);
        expect(&format!("{name}_sum"), &[label], sum);
    }
    let bucket = "limpet_request_duration_seconds_bucket";
    expect(bucket, &[web, ("le", "0.002048")], 0.0);
    expect(bucket, &[web, ("le", "0.004096")], 1.0);
    expect(bucket, &[web, ("le", "+Inf")], 1.0);
}

#[test]
fn requests_are_told_by_the_versions_that_have_come() {
    let fake = Fake::new(FILE);
    let facts = |version| Facts { version, ..*request(200, 0) };
    for version in [None, Some(Version::Http10), Some(Version::Http11), Some(Version::Http11)] {
        fake.count(0, [0, 0, 0], &Record { facts: facts(version), ..request(200, 0) });
    }
    let of = |version: &str| {
        let labels = [("listener", "web"), ("version", version)];
        value(&scrape(&fake), "limpet_version_requests_total", &labels)
    };
    assert_eq!(["none", "1.0", "1.1"].map(of), [Some(1.0), Some(1.0), Some(2.0)]);
    assert_eq!(["2", "3"].map(of), [None; 2], "nobody has come in these");
}

#[test]
fn what_machine_and_plane_say_is_told() {
    let fake = Fake::new(FILE);
    fake.machine.busy_us.lock().unwrap()[1] = 1_500_000;
    fake.snapshot().groups[0].state.count_ejection();
    fake.snapshot().groups[0].targets[1].state.set_health(Health::Unhealthy);
    let all = scrape(&fake);
    let target = [("group", "app"), ("target", "b")];
    for (name, labels, expected) in [
        ("limpet_client_connections", &[][..], Some(7.0)),
        ("limpet_shard_busy_seconds_total", &[("shard", "1")], Some(1.5)),
        ("limpet_shard_connections", &[("shard", "0")], Some(3.0)),
        ("limpet_access_log_lines_total", &[("result", "dropped")], Some(2.0)),
        ("limpet_config_version", &[], Some(3.0)),
        ("limpet_config_generation", &[], Some(1.0)),
        ("limpet_config_last_reload_successful", &[], Some(1.0)),
        ("limpet_config_last_reload_success_timestamp_seconds", &[], Some(1.5)),
        ("process_start_time_seconds", &[], Some(1.0)),
        ("limpet_group_ejections_total", &[("group", "app")], Some(1.0)),
        ("limpet_group_failing_open", &[("group", "app")], Some(0.0)),
        ("limpet_group_targets", &[("group", "app"), ("state", "unchecked")], Some(1.0)),
        ("limpet_group_targets", &[("group", "app"), ("state", "healthy")], Some(0.0)),
        ("limpet_group_targets", &[("group", "app"), ("state", "unhealthy")], Some(1.0)),
        ("limpet_target_health", &[target[0], target[1], ("state", "unhealthy")], Some(1.0)),
        ("limpet_target_health", &[target[0], target[1], ("state", "healthy")], Some(0.0)),
        ("limpet_target_requests_waiting", &target, Some(0.0)),
        ("limpet_group_sessions", &[("group", "app")], Some(0.0)),
        ("limpet_group_sessions", &[("group", "plain")], None),
    ] {
        assert_eq!(value(&all, name, labels), expected, "{name} {labels:?}");
    }
}

#[test]
fn the_text_keeps_the_conventions_that_promtool_looks_for() {
    let fake = Fake::new(FILE);
    for us in [1, 128, 5_000, 70_000_000, u64::from(u32::MAX) * 10] {
        fake.count(0, [0, 1, 1], &request(200, us));
    }
    let mut names_seen = HashSet::new();
    let mut series_seen = HashSet::new();
    for family in scrape(&fake) {
        let name = &family.name;
        assert!(names_seen.insert(name.clone()), "{name} stands there twice");
        assert!(family.help.ends_with('.') && family.help.len() > 10, "{name}: {}", family.help);
        let is_of_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        assert!(name.bytes().all(is_of_name), "{name}");
        assert!(name.starts_with("limpet_") || name.starts_with("process_"), "{name}");
        assert_eq!(family.kind == "counter", name.ends_with("_total"), "{name}");
        assert_eq!(family.kind == "histogram", name.contains("_duration_"), "{name}");
        for unit in ["_ms", "_us", "_milliseconds", "_kilobytes", "_minutes", "_percent"] {
            assert!(!name.contains(&format!("{unit}_")) && !name.ends_with(unit), "{name}");
        }
        for word in ["counter", "gauge", "histogram", "summary"] {
            assert!(!name.contains(word), "{name} names its own kind");
        }
        assert!(!family.samples.is_empty(), "{name} has no samples");
        for sample in &family.samples {
            let series = format!("{} {:?}", sample.name, sample.labels);
            assert!(series_seen.insert(series), "{sample:?} stands there twice");
            assert!(sample.value >= 0.0, "{sample:?}");
            let le = sample.labels.contains_key("le");
            assert_eq!(le, sample.name.ends_with("_bucket"), "{sample:?}");
        }
        if family.kind == "histogram" {
            histograms_add_up(&family);
        }
    }
}

fn histograms_add_up(family: &Parsed) {
    let (mut before, mut buckets) = (0.0, 0);
    for sample in &family.samples {
        if sample.name.ends_with("_bucket") {
            assert!(sample.value >= before, "{sample:?} is less than the one before");
            before = sample.value;
            buckets += 1;
        } else if sample.name.ends_with("_count") {
            assert_eq!(sample.value, before, "{sample:?} is not +Inf's");
            assert_eq!(buckets, names::BOUND_EXPONENTS.count() + 1);
            (before, buckets) = (0.0, 0);
        }
    }
}

#[test]
fn names_of_the_file_are_escaped() {
    let odd = r#"a\\b\"c{}=,"#;
    let text = FILE.replace(r#"id = "b""#, &format!(r#"id = "{odd}""#));
    let fake = Fake::new(&text);
    let all = scrape(&fake);
    let labels = [("group", "app"), ("target", "a\\b\"c{}=,"), ("status", "2xx")];
    assert_eq!(value(&all, "limpet_target_requests_total", &labels), Some(0.0));
}

#[test]
fn a_large_file_has_a_bounded_number_of_series() {
    use std::fmt::Write;
    let mut text = FILE.replace("shards = 2", "shards = 1");
    for group in 0..names::GROUPS_MAX {
        write!(text, "[[target_group]]\nname = \"g{group}\"\ntarget = [").unwrap();
        for target in 0..5 {
            write!(text, "{{ address = \"127.1.{}.{target}:80\" }},", group % 256).unwrap();
        }
        text.push_str("]\n");
    }
    let fake = Fake::new(&text);
    let all = scrape(&fake);
    let count = |name: &str| {
        all.iter().find(|family| family.name == name).map_or(0, |family| family.samples.len())
    };
    assert_eq!(count("limpet_target_failures_total"), names::TARGETS_MAX);
    assert_eq!(count("limpet_group_retries_total"), names::GROUPS_MAX);
    let omitted = |of| value(&all, "limpet_metrics_omitted", &[("of", of)]);
    assert_eq!(omitted("groups"), Some(2.0));
    assert_eq!(omitted("targets"), Some((names::GROUPS_MAX * 5 + 4 - names::TARGETS_MAX) as f64));
    assert_eq!((omitted("rules"), omitted("listeners")), (Some(0.0), Some(0.0)));
}

#[test]
fn what_goes_on_over_a_reload_goes_on_and_what_is_new_begins_at_nothing() {
    let fake = Fake::new(FILE);
    fake.count(0, [0, 1, 1], &request(200, 100));
    // Another file's group of the same name replaces this one's; the listener stays.
    let before = fake.snapshot();
    let groups = vec![Arc::clone(&Fake::new(FILE).snapshot().groups[1])];
    let listeners = before.listeners.clone();
    fake.sources.published.store(Arc::new(Snapshot { generation: 2, listeners, groups }));
    let all = scrape(&fake);
    let labels = [("group", "plain"), ("target", "c"), ("status", "2xx")];
    assert_eq!(value(&all, "limpet_target_requests_total", &labels), Some(0.0));
    let labels = [("listener", "web"), ("method", "GET"), ("status", "2xx")];
    assert_eq!(value(&all, "limpet_requests_total", &labels), Some(1.0));
    assert_eq!(value(&all, "limpet_config_generation", &[]), Some(2.0));
}
