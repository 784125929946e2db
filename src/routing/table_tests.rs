//! The compiled table against the naive model, and what `explain` says.
use super::actions::{Action, Forward};
use super::conditions::{Condition, HostPattern, PathPattern, Request};
use super::table::{Considered, Rule, Table};
use crate::http1::fields::{Field, FieldId};
use proptest::prelude::*;
use proptest::sample::select;

fn forward(group: usize) -> Action {
    Action::Forward(Forward {
        groups: vec![(group, 1)],
        sticky: false,
        rewrite_path: None,
        rewrite_host: None,
    })
}

fn rule(name: &str, priority: u32, conditions: Vec<Condition>) -> Rule {
    Rule { name: name.into(), priority, conditions, action: forward(0) }
}

fn hosts(values: &[&str]) -> Condition {
    Condition::Host(values.iter().map(|v| HostPattern::parse(v).expect(v)).collect())
}

fn paths(values: &[&str]) -> Condition {
    Condition::Path(values.iter().map(|v| PathPattern::parse(v).expect(v)).collect())
}

fn request<'a>(host: &'a str, path: &'a str) -> Request<'a> {
    Request {
        method: b"GET",
        host: host.as_bytes(),
        path: path.as_bytes(),
        query: None,
        source: None,
        fields: &[],
    }
}

#[test]
fn the_lowest_priority_number_wins_whatever_is_more_specific() {
    let table = Table::compile(
        vec![
            rule("exact", 30, vec![hosts(&["a.example.com"]), paths(&["/x"])]),
            rule("wide", 10, vec![hosts(&["*.example.com"])]),
            rule("path", 20, vec![paths(&["/x*"])]),
            rule("same priority, later", 20, vec![paths(&["/x"])]),
        ],
        forward(9),
    );
    assert_eq!(&*table.find(&request("a.example.com", "/x")).name, "wide");
    assert_eq!(&*table.find(&request("b.test", "/x")).name, "path");
    let default = table.find(&request("b.test", "/y"));
    assert_eq!((&*default.name, default.priority), ("default", u32::MAX));
    assert_eq!(table.rules().last().map(|rule| &*rule.name), Some("default"));
}

#[test]
fn an_empty_table_has_its_default() {
    let table = Table::compile(Vec::new(), forward(3));
    assert_eq!(table.find_index(&request("", "*")), 0);
    assert_eq!(table.rules().len(), 1);
}

#[test]
fn a_condition_without_values_never_holds() {
    let table = Table::compile(
        vec![
            rule("a", 1, vec![Condition::Host(vec![])]),
            rule("b", 2, vec![Condition::Path(vec![])]),
            rule("c", 3, vec![Condition::Method(vec![])]),
        ],
        forward(0),
    );
    assert_eq!(&*table.find(&request("a", "/")).name, "default");
}

#[test]
fn nested_prefixes_are_all_considered() {
    let nested: Vec<_> = (1..200_usize).map(|n| "/a".repeat(n) + "*").collect();
    let rules = nested.iter().enumerate().map(|(n, path)| {
        let method = Condition::Method(vec![if n == 7 { "GET" } else { "PUT" }.into()]);
        rule(path, 1, vec![paths(&[path]), method])
    });
    let table = Table::compile(rules.collect(), forward(0));
    let path = "/a".repeat(150);
    assert_eq!(*table.find(&request("h", &path)).name, *nested[7]);
    assert_eq!(&*table.find(&request("h", "/a/a/b")).name, "default");
}

#[test]
fn explain_names_the_first_failed_condition_up_to_the_match() {
    let table = Table::compile(
        vec![
            rule("api", 1, vec![hosts(&["api.example.com", "*.example.org"]), paths(&["/v1/*"])]),
            rule("path", 2, vec![paths(&["/v2/*"])]),
            rule("match", 3, vec![paths(&["/v1/*"])]),
            rule("never reached", 4, vec![]),
        ],
        forward(0),
    );
    let considered = table.explain(&request("www.test", "/v1/x"));
    assert_eq!(
        considered,
        [
            Considered {
                rule: 0,
                failed: Some("host is not api.example.com, *.example.org".into())
            },
            Considered { rule: 1, failed: Some("path is not /v2/*".into()) },
            Considered { rule: 2, failed: None },
        ]
    );
}

const HOST_PATTERNS: &[&str] = &[
    "a", "b.a", "c.b.a", "*.a", "*.b.a", "*", "?.a", "*b.a", "c?*.a", "*.?", "b*", "c.*.a",
    "?*.b.a",
];
const HOSTS: &[&str] =
    &["", "a", "A.", "b.a", "B.A", "c.b.a", "cc.b.a", "x.c.b.a", "cb.a", "z", "a.b"];
const PATH_PATTERNS: &[&str] = &[
    "/", "/a", "/a/", "/a/b", "/*", "/a*", "/a/*", "/a/b*", "/a/b/c*", "*", "*b", "/a*b", "/?",
    "/a/?/c", "/b*", "/ab*",
];
const PATHS: &[&str] =
    &["/", "/a", "/a/", "/a/b", "/a/b/c", "/a/bc", "/ab", "/b", "/c/b", "*", "/aab", "/a/b/cd"];

fn any_condition() -> impl Strategy<Value = Condition> {
    let many = |values: &'static [&'static str]| proptest::collection::vec(select(values), 0..4);
    prop_oneof![
        4 => many(HOST_PATTERNS).prop_map(|values| hosts(&values)),
        4 => many(PATH_PATTERNS).prop_map(|values| paths(&values)),
        1 => many(&["GET", "PUT"])
            .prop_map(|values| Condition::Method(values.into_iter().map(Into::into).collect())),
        1 => many(&["x", "y*", "?"])
            .prop_map(|values| Condition::header("h", &values).expect("valid")),
        1 => many(&["1", "*", "2"]).prop_map(|values| Condition::Query(
            values
                .into_iter()
                .map(|value| Condition::query_pair(Some("q"), value).expect("valid"))
                .collect()
        )),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]
    #[test]
    fn finds_the_first_rule_all_of_whose_conditions_hold(
        rules in proptest::collection::vec(
            (0..6_u32, proptest::collection::vec(any_condition(), 0..4)),
            0..24,
        ),
        requests in proptest::collection::vec(
            (
                select(HOSTS), select(PATHS), select(&["GET", "PUT"][..]),
                select(&["x", "yy", "zz"][..]), select(&["", "q=1", "p=1&q=2"][..]),
            ),
            8,
        ),
    ) {
        let rules = (0..).zip(rules).map(|(n, (priority, conditions))| {
            rule(&n.to_string(), priority, conditions)
        });
        let table = Table::compile(rules.collect(), forward(0));
        for (host, path, method, header, query) in requests {
            let fields = [Field {
                name: b"H", value: header.as_bytes(), id: FieldId::Other, drop: false,
            }];
            let request = Request {
                method: method.as_bytes(),
                query: Some(query.as_bytes()),
                fields: &fields,
                ..request(host, path)
            };
            let naive = table.rules().iter().position(|rule| rule.matches(&request));
            prop_assert_eq!(Some(table.find_index(&request)), naive);
            let explained = table.explain(&request);
            prop_assert_eq!(explained.last().map(|last| last.rule), naive);
            prop_assert!(explained.iter().rev().skip(1).all(|one| one.failed.is_some()));
        }
    }
}
