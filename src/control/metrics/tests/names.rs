//! The table, the exposition, the page and the dashboard name the same metrics.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::fake::{FILE, Fake, parse, request};
use crate::control::metrics::exposition::exposition;
use crate::control::metrics::names::{self, ALL, Kind};
use crate::telemetry::handshakes::TlsVersion;
use crate::telemetry::handshakes::{Encrypted, Group};
use crate::telemetry::rare::Rare;
use crate::telemetry::record::Record;

fn read(name: &str) -> (PathBuf, String) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    (path, text)
}

fn in_table() -> BTreeSet<&'static str> {
    ALL.iter().map(|metric| metric.name).collect()
}

#[test]
fn names_are_unique() {
    assert_eq!(in_table().len(), ALL.len());
}

#[test]
fn the_exposition_tells_exactly_what_the_table_lists() {
    let fake = Fake::new(FILE);
    let rare = Rare { grpc_status: Some(0), ..Rare::default() };
    let record = Record { code: "target_reset", rare: Some(&rare), ..request(502, 1) };
    fake.count(0, [0, 1, 0], &record);
    let snapshot = fake.snapshot();
    let handshakes = snapshot.listeners[0].series.of(0).expect("a shard").handshakes();
    let (version, group) = (TlsVersion::Tls13, Group::X25519);
    let cipher = "TLS_AES_128_GCM_SHA256";
    handshakes.succeed(&Encrypted { version, is_resumed: false, group, cipher });
    handshakes.fail("no_tls");
    let families = parse(&exposition(&fake.sources));
    let told: Vec<&str> = families.iter().map(|family| family.name.as_str()).collect();
    let listed: Vec<&str> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(told, listed);
    for (family, metric) in families.iter().zip(ALL) {
        assert_eq!(family.kind, metric.kind.word(), "{}", metric.name);
        let mut labels: BTreeSet<&str> = family
            .samples
            .iter()
            .flat_map(|sample| sample.labels.keys().map(String::as_str))
            .collect();
        labels.remove("le");
        assert_eq!(labels, metric.labels.iter().copied().collect(), "{}", metric.name);
    }
}

#[test]
fn the_page_is_the_table() {
    let (path, page) = read("metrics.md");
    let expected = names::table();
    let hint = format!("{} is to be exactly this:\n{expected}", path.display());
    assert!(page == expected, "{hint}");
}

#[test]
fn the_dashboard_asks_for_what_the_table_lists_and_leaves_nothing_out() {
    let (path, text) = read("grafana.json");
    let dashboard: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let mut queries = Vec::new();
    collect(&dashboard, &mut queries);
    assert!(queries.len() > 20, "{} has {} queries", path.display(), queries.len());
    let mut asked = BTreeSet::new();
    for query in &queries {
        let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with("limpet_") || word.starts_with("process_"))
        {
            let metric = ALL.iter().find(|metric| match metric.kind {
                Kind::Histogram => ["_bucket", "_sum", "_count"]
                    .iter()
                    .any(|suffix| word.strip_suffix(suffix) == Some(metric.name)),
                Kind::Counter | Kind::Gauge => word == metric.name,
            });
            asked.insert(metric.unwrap_or_else(|| panic!("{query} asks for {word}")).name);
        }
    }
    assert_eq!(asked, in_table());
}

/// Every PromQL text of a dashboard: of panels (`expr`) and of variables (`query`, `definition`).
fn collect(value: &serde_json::Value, queries: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                match value.as_str() {
                    Some(text) if ["expr", "query", "definition"].contains(&key.as_str()) => {
                        queries.push(text.to_owned());
                    }
                    _ => collect(value, queries),
                }
            }
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| collect(value, queries)),
        _ => {}
    }
}
