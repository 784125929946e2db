//! A data plane and a control plane for tests, behind the traits that the metrics read; and a reader of the exposition
//! that shares no code with its writer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::control::metrics::{
    CertificateEnd, CertificateFacts, ConfigFacts, LogCounts, Machine, OrderCounts, Plane, Sources,
};
use crate::snapshot::Snapshot;
use crate::telemetry::counters::Counters;
use crate::telemetry::handshakes::{HandshakeBlock, Handshakes};
use crate::telemetry::record::{Facts, Record, Timings};
use crate::telemetry::series::Places;

/// Two shards, whose CPU time the test sets.
#[derive(Default)]
pub struct FakeMachine {
    pub busy_us: Mutex<[u64; 2]>,
}

impl Machine for FakeMachine {
    fn engine(&self) -> &'static str {
        "io_uring"
    }

    fn shard_count(&self) -> usize {
        2
    }

    fn connections(&self) -> usize {
        7
    }

    fn shard_connections(&self, shard: usize) -> usize {
        3 + shard
    }

    fn busy(&self, shard: usize) -> Duration {
        Duration::from_micros(self.busy_us.lock().unwrap()[shard])
    }

    fn log(&self) -> LogCounts {
        LogCounts { lines_written: 10, lines_dropped: 2, lines_failed: 1 }
    }
}

#[derive(Default)]
pub struct FakePlane {
    pub sessions: AtomicU64,
}

impl Plane for FakePlane {
    fn config(&self) -> ConfigFacts {
        ConfigFacts { version: 3, last_reload_successful: true, loaded_unix_ms: 1_500 }
    }

    fn certificates(&self) -> CertificateFacts {
        let end = CertificateEnd {
            listener: "secure".into(),
            target_group: String::new(),
            chain: "/tls/shop.pem".into(),
            not_after: 1_800_000_000,
        };
        let orders = OrderCounts { issued: 3, failed: 1 };
        CertificateFacts { ends: vec![end], last_reading_successful: true, orders }
    }

    fn refused_requests(&self) -> [(&'static str, u64); 4] {
        [("unauthorized", 7), ("cross-site", 0), ("not-trusted", 0), ("misdirected", 0)]
    }

    fn admin_handshakes(&self) -> Handshakes {
        let block = HandshakeBlock::default();
        block.fail("plain_http");
        Handshakes::of([&block].into_iter())
    }

    fn group_sessions(&self, group: &str) -> Option<u64> {
        (group != "plain").then(|| self.sessions.load(Relaxed))
    }

    fn target_sessions(&self, group: &str, _: &str) -> Option<u64> {
        self.group_sessions(group)
    }
}

pub struct Fake {
    pub sources: Arc<Sources>,
    pub machine: Arc<FakeMachine>,
}

/// One listener, two groups of two targets.
pub const FILE: &str = r#"
    [process]
    shards = 2
    [stickiness_keys]
    keys = [{ id = 1, secret = "bGltcGV0cyBmaW5kIHRoZWlyIGhvbWUgc2NhciBhZ2E=" }]
    [[listener]]
    name = "web"
    address = "127.0.0.1:0"
    forward = "app"
    [[listener.rule]]
    name = "api"
    priority = 1
    when.path = ["/api/*"]
    forward = "plain"
    [[target_group]]
    name = "app"
    stickiness = { enabled = true }
    target = [{ id = "a", address = "127.0.0.1:1" }, { id = "b", address = "127.0.0.1:2" }]
    [[target_group]]
    name = "plain"
    target = [{ id = "a", address = "127.0.0.1:3" }, { id = "c", address = "127.0.0.1:4" }]
"#;

impl Fake {
    pub fn new(file: &str) -> Fake {
        let start = crate::cli::start::from_text(file, "test").unwrap();
        let machine = Arc::new(FakeMachine::default());
        let sources = Arc::new(Sources {
            published: start.control.published(),
            counters: Arc::new(Counters::new(2)),
            machine: Arc::clone(&machine) as Arc<dyn Machine>,
            plane: Arc::new(FakePlane::default()),
            started_unix_ms: 1_000,
        });
        Fake { sources, machine }
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.sources.published.load_full()
    }

    /// Counts as a shard does when a request has ended.
    pub fn count(&self, shard: usize, at: [usize; 3], record: &Record<'_>) {
        let [rule, group, target] = at;
        let snapshot = self.snapshot();
        let (listener, group) = (&snapshot.listeners[0], &snapshot.groups[group]);
        let places = Places {
            listener: Some(&listener.series),
            rule: Some(&listener.rule_series[rule]),
            group: Some(&group.state.series),
            target: Some(&group.targets[target].state.series),
        };
        self.sources.counters.shard(shard).unwrap().request(record);
        places.count(shard, record);
    }
}

/// A request that took `total_us`.
pub fn request(status: u16, total_us: u64) -> Record<'static> {
    let timings = Timings { request_us: 10, total_us, ..Timings::default() };
    let facts = Facts { status, timings, ..Facts::default() };
    Record { facts, method: b"GET", ..Record::default() }
}

/// One line of the exposition.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// One metric of the exposition.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    pub name: String,
    pub help: String,
    pub kind: String,
    pub samples: Vec<Sample>,
}

/// Reads the text format, version 0.0.4, and refuses everything else.
pub fn parse(text: &str) -> Vec<Parsed> {
    let mut all: Vec<Parsed> = Vec::new();
    assert!(text.ends_with('\n'), "the last line has no end");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            let (name, help, kind) = (name.into(), help.into(), String::new());
            all.push(Parsed { name, help, kind, samples: Vec::new() });
            continue;
        }
        let family = all.last_mut().expect("HELP comes first");
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(family.name, name, "TYPE follows its HELP");
            assert!(family.samples.is_empty() && family.kind.is_empty(), "{line}");
            family.kind = kind.into();
            continue;
        }
        let sample = sample(line);
        let rest = sample.name.strip_prefix(&family.name);
        let is_histogram = family.kind == "histogram";
        let rest = rest.unwrap_or_else(|| panic!("{line} stands in {}", family.name));
        assert_eq!(is_histogram, ["_bucket", "_sum", "_count"].contains(&rest), "{line}");
        family.samples.push(sample);
    }
    all
}

fn sample(line: &str) -> Sample {
    let name_end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").unwrap();
            let (value, after) = quoted(after);
            assert_eq!(labels.insert(label.into(), value), None, "{line}");
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').unwrap();
    let value = if value == "+Inf" { f64::INFINITY } else { value.parse().unwrap() };
    Sample { name: name.into(), labels, value }
}

/// A label's value up to its closing quote, and the rest.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match chars.next().unwrap().1 {
                'n' => '\n',
                escaped @ ('\\' | '"') => escaped,
                other => panic!("\\{other} is no escape"),
            }),
            char => value.push(char),
        }
    }
    panic!("{text} has no closing quote")
}

/// The value of one sample, by its name and all of its labels.
pub fn value(all: &[Parsed], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let labels: BTreeMap<String, String> =
        labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let samples = all.iter().flat_map(|family| &family.samples);
    let mut found = samples.filter(|sample| sample.name == name && sample.labels == labels);
    let value = found.next().map(|sample| sample.value);
    assert_eq!(found.next(), None, "{name} {labels:?} stands there twice");
    value
}
