//! What a request pays for routing: rules found among 1, 100 and 1 000, and the normal form of paths.
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use limpet::routing::actions::{Action, Forward};
use limpet::routing::conditions::{Condition, HostPattern, PathPattern, Request};
use limpet::routing::path::{form, normalize};
use limpet::routing::rule::Rule;
use limpet::routing::table::Table;

fn forward() -> Action {
    Action::Forward(Forward {
        groups: vec![(0, 1)],
        sticky: false,
        rewrite_path: None,
        rewrite_host: None,
    })
}

/// Host and path rules: ten paths under each host.
fn table(count: usize) -> Table {
    let rules = (0..count).map(|n| {
        let host = format!("shop-{}.example.com", n / 10);
        let path = format!("/api/v{}/*", n % 10);
        Rule {
            name: format!("rule-{n}").into(),
            priority: u32::try_from(n).expect("few rules"),
            conditions: vec![
                Condition::Host(vec![HostPattern::parse(&host).expect("valid")]),
                Condition::Path(vec![PathPattern::parse(&path).expect("valid")]),
            ],
            action: forward(),
        }
    });
    Table::compile(rules.collect(), forward())
}

fn request<'a>(host: &'a str, path: &'a str) -> Request<'a> {
    Request {
        method: b"GET",
        host: host.as_bytes(),
        path: path.as_bytes(),
        query: None,
        source: None,
        fields: &[],
        tls: None,
    }
}

fn find(c: &mut Criterion) {
    let mut group = c.benchmark_group("routing/find");
    for count in [1, 100, 1000] {
        let table = table(count);
        let host = format!("Shop-{}.example.com", (count - 1) / 10);
        let path = format!("/api/v{}/orders/17", (count - 1) % 10);
        let last = request(&host, &path);
        assert_eq!(table.find_index(&last), Ok(count - 1));
        group.bench_with_input(BenchmarkId::new("last", count), &table, |b, table| {
            b.iter(|| table.find_index(black_box(&last)));
        });
        let none = request("www.example.net", "/api/v0/orders/17");
        assert_eq!(table.find_index(&none), Ok(count));
        group.bench_with_input(BenchmarkId::new("none", count), &table, |b, table| {
            b.iter(|| table.find_index(black_box(&none)));
        });
    }
    group.finish();
}

fn paths(c: &mut Criterion) {
    let plain = b"/api/v1/customers/4711/orders/17";
    let dirty = b"//api/%76%31/./customers/%7e4711/../orders/a%2fb";
    let mut out = Vec::with_capacity(256);
    c.bench_function("routing/path/form", |b| {
        b.iter(|| form(black_box(plain), true));
    });
    c.bench_function("routing/path/normalize", |b| {
        b.iter(|| normalize(black_box(dirty), true, &mut out));
    });
}

criterion_group!(benches, find, paths);
criterion_main!(benches);
