//! The compiled table against the naive model, and the output of `explain`.
use super::actions::{Action, Forward};
use super::budget::{Budget, INSTRUCTIONS_MAX};
use super::conditions::{Condition, HostPattern, PathPattern, Request};
use super::table::{Considered, Table, TooCostly};
use crate::http::fields::{Field, FieldId};
use crate::routing::rule::Rule;
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

fn find<'t>(table: &'t Table, request: &Request<'_>) -> &'t Rule {
    &table.rules()[table.find_index(request).unwrap()]
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
    assert_eq!(&*find(&table, &request("a.example.com", "/x")).name, "wide");
    assert_eq!(&*find(&table, &request("b.test", "/x")).name, "path");
    let default = find(&table, &request("b.test", "/y"));
    assert_eq!((&*default.name, default.priority), ("default", u32::MAX));
    assert_eq!(table.rules().last().map(|rule| &*rule.name), Some("default"));
}

#[test]
fn an_empty_table_has_its_default() {
    let table = Table::compile(Vec::new(), forward(3));
    assert_eq!(table.find_index(&request("", "*")), Ok(0));
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
    assert_eq!(&*find(&table, &request("a", "/")).name, "default");
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
    assert_eq!(*find(&table, &request("h", &path)).name, *nested[7]);
    assert_eq!(&*find(&table, &request("h", "/a/a/b")).name, "default");
}

/// The cost of finding the default in a table whose rules of these conditions all fail.
fn cost_of(rules: impl Iterator<Item = Vec<Condition>>, request: &Request<'_>) -> Option<u64> {
    let rules = (0..).zip(rules).map(|(n, conditions)| rule("r", n, conditions)).collect();
    let (table, budget) = (Table::compile(rules, forward(0)), Budget::of_request());
    let found = table.find_index_within(request, &budget).ok()?;
    assert_eq!(found, table.rules().len() - 1);
    Some(budget.spent())
}

#[test]
fn whatever_a_thousand_rules_look_at_is_paid_for() {
    let (long, slashes) = ("a".repeat(16_000), "/a".repeat(8_000));
    let field = |name| Field::new(name, long.as_bytes(), FieldId::Other);
    let fields: Vec<_> =
        (0..100).map(|n| field(if n < 4 { b"x".as_slice() } else { b"y" })).collect();
    let empty = "&".repeat(16_000);
    let pairs = "a=a&".repeat(4_000);
    let query = |text| Request { query: Some(text), ..request("h", "/") };
    let glob = |n: u32| vec![Condition::query_pair(None, &format!("*aab{n}*")).unwrap()];
    let query_glob = |n| vec![Condition::Query(glob(n))];
    let thousand = || 0..1_000_u32;
    assert_eq!(cost_of(thousand().map(query_glob), &query(long.as_bytes())), None);
    assert_eq!(cost_of(thousand().map(query_glob), &query(empty.as_bytes())), None);
    assert_eq!(cost_of(thousand().map(query_glob), &query(pairs.as_bytes())), None);
    let header = |n| vec![Condition::header("x", &[&format!("*aab{n}*")]).unwrap()];
    let with_fields = Request { fields: &fields, ..request("h", "/") };
    assert_eq!(cost_of(thousand().map(header), &with_fields), None);
    let path = |n| vec![paths(&[&format!("/*/a/ab{n}*")])];
    assert_eq!(cost_of(thousand().map(path), &request("h", &slashes)), None);
    // A literal value under each of hundreds of prefixes of one path: each walks the whole query.
    let nested = |n: u32| {
        let literal = vec![Condition::query_pair(Some("k"), "v").unwrap()];
        vec![paths(&[&("/a".repeat(n as usize + 1) + "*")]), Condition::Query(literal)]
    };
    let both = Request { query: Some(pairs.as_bytes()), ..request("h", &slashes) };
    assert_eq!(cost_of((0..500).map(nested), &both), None);
    // An ordinary request is far from the limit.
    let ordinary = query(b"id=4711&lang=en&page=2&q=shoes%20and%20socks");
    let item = |n| vec![Condition::query_pair(None, &format!("item-{n}*")).unwrap()];
    let cost = cost_of(thousand().map(|n| vec![Condition::Query(item(n))]), &ordinary).unwrap();
    assert!(cost < u64::from(INSTRUCTIONS_MAX) * 3 / 4, "{cost}");
}

#[test]
fn a_rule_that_was_found_before_it_became_too_costly_is_not_taken() {
    // The index finds the literal path before rules for any path.
    let rules = vec![
        rule(
            "costly",
            1,
            vec![Condition::Query(vec![Condition::query_pair(None, "*aab").unwrap()])],
        ),
        rule("cheap", 2, vec![paths(&["/p"])]),
    ];
    let table = Table::compile(rules, forward(0));
    let long = "q=".to_owned() + &"a".repeat(1_000_000) + "b";
    let request = Request { query: Some(long.as_bytes()), ..request("h", "/p") };
    assert_eq!(table.find_index(&request), Err(TooCostly { rule: 0 }));
}

#[test]
fn many_names_and_long_values_are_found_as_well() {
    let long = "v".repeat(200);
    let rules = (0..40_u32).map(|n| {
        let name = format!("x-{n}");
        let pairs = vec![
            Condition::query_pair(Some(&format!("k{n}")), "v").expect("valid"),
            Condition::query_pair(Some(&format!("l{n}")), &long).expect("valid"),
        ];
        let condition = match n % 3 {
            0 => Condition::header(&name, &["v", &long]).expect("valid"),
            1 => Condition::header(&name, &["v"]).expect("valid"),
            _ => Condition::Query(pairs),
        };
        rule(&n.to_string(), n, vec![condition])
    });
    let table = Table::compile(rules.collect(), forward(0));
    for n in 0..40 {
        for value in ["V", &long] {
            let (name, query) = (format!("X-{n}"), format!("k{n}={value}&L{n}={value}"));
            let fields = [Field::new(name.as_bytes(), value.as_bytes(), FieldId::Other)];
            let query = Some(query.as_bytes());
            let request = Request { query, fields: &fields, ..request("h", "/") };
            let naive = table.rules().iter().position(|rule| rule.matches(&request));
            assert_eq!(table.find_index(&request).ok(), naive);
            assert_eq!(naive == Some(n), n % 3 != 1 || value == "V");
        }
    }
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
        2 => (select(&["h", "H2", "h3"][..]), many(&["x", "Y*", "YY", "?", "zz"]))
            .prop_map(|(name, values)| Condition::header(name, &values).expect("valid")),
        2 => proptest::collection::vec(
            (select(&[None, Some("q"), Some("P"), Some("%71*")][..]), select(&["1", "*", "a~", ""][..])),
            0..3,
        )
        .prop_map(|pairs| Condition::Query(
            pairs
                .into_iter()
                .map(|(key, value)| Condition::query_pair(key, value).expect("valid"))
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
                select(&["x", "yY", "Zz"][..]),
                select(&["", "q=1", "p=1&q=2", "%51=%31&&p", "p=A%7E", "=1"][..]),
            ),
            8,
        ),
    ) {
        let rules = (0..).zip(rules).map(|(n, (priority, conditions))| {
            rule(&n.to_string(), priority, conditions)
        });
        let table = Table::compile(rules.collect(), forward(0));
        for (host, path, method, header, query) in requests {
            let field = |name, value| Field::new(name, value, FieldId::Other);
            let fields =
                [field(b"H", header.as_bytes()), field(b"h2", b"x"), field(b"H2", header.as_bytes())];
            let request = Request {
                method: method.as_bytes(),
                query: Some(query.as_bytes()),
                fields: &fields,
                ..request(host, path)
            };
            let naive = table.rules().iter().position(|rule| rule.matches(&request));
            prop_assert_eq!(table.find_index(&request).ok(), naive);
            let explained = table.explain(&request);
            prop_assert_eq!(explained.last().map(|last| last.rule), naive);
            prop_assert!(explained.iter().rev().skip(1).all(|one| one.failed.is_some()));
        }
    }
}
