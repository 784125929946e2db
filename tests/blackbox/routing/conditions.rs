//! Conditions: host, path, method, header, query and source; several values, all must hold.

use super::with_rules;
use crate::support::{Limpet, Target, config, group, listener};

/// Whether a raw request (its Host line included) meets the rule.
#[track_caller]
fn hits(limpet: &Limpet, request: &str) -> bool {
    match &*limpet.client().send(format!("{request}\r\n\r\n")).response().target() {
        "hit" => true,
        "default" => false,
        other => panic!("answered by {other}"),
    }
}

#[track_caller]
fn assert_hits(condition: &str, hit: &[&str], miss: &[&str]) {
    let (limpet, _targets) =
        with_rules(&[&format!("priority = 1\n{condition}\nforward = \"hit\"")]);
    for request in hit {
        assert!(hits(&limpet, request), "{request:?} should meet {condition}");
    }
    for request in miss {
        assert!(!hits(&limpet, request), "{request:?} should not meet {condition}");
    }
}

#[test]
fn host_exact_ignores_case_and_port() {
    assert_hits(
        "when.host = [\"www.limpet.test\"]",
        &[
            "GET / HTTP/1.1\r\nHost: www.limpet.test",
            "GET / HTTP/1.1\r\nHost: WWW.Limpet.TEST",
            "GET / HTTP/1.1\r\nHost: www.limpet.test:8080",
            "GET http://www.limpet.test/ HTTP/1.1\r\nHost: www.limpet.test",
        ],
        &[
            "GET / HTTP/1.1\r\nHost: limpet.test",
            "GET / HTTP/1.1\r\nHost: a.www.limpet.test",
            "GET / HTTP/1.1\r\nHost: www.limpet.test.evil",
        ],
    );
}

#[test]
fn host_wildcard_matches_any_depth_but_not_the_bare_domain() {
    assert_hits(
        "when.host = [\"*.limpet.test\"]",
        &["GET / HTTP/1.1\r\nHost: a.limpet.test", "GET / HTTP/1.1\r\nHost: a.b.LIMPET.test:1"],
        &["GET / HTTP/1.1\r\nHost: limpet.test", "GET / HTTP/1.1\r\nHost: alimpet.test"],
    );
}

#[test]
fn path_exact_prefix_and_pattern() {
    assert_hits(
        "when.path = [\"/exact\", \"/api/*\", \"/v?/status\", \"*.php\"]",
        &[
            "GET /exact HTTP/1.1\r\nHost: h",
            "GET /exact?q=1 HTTP/1.1\r\nHost: h",
            "GET /api/ HTTP/1.1\r\nHost: h",
            "GET /api/x/y HTTP/1.1\r\nHost: h",
            "GET /v1/status HTTP/1.1\r\nHost: h",
            "GET /a/b.php?x HTTP/1.1\r\nHost: h",
        ],
        &[
            "GET /exact/ HTTP/1.1\r\nHost: h",
            "GET /Exact HTTP/1.1\r\nHost: h",
            "GET /api HTTP/1.1\r\nHost: h",
            "GET /apix HTTP/1.1\r\nHost: h",
            "GET /v12/status HTTP/1.1\r\nHost: h",
            "GET /?/api/ HTTP/1.1\r\nHost: h",
            "GET /b.php5 HTTP/1.1\r\nHost: h",
        ],
    );
}

#[test]
fn method_is_one_of_several() {
    assert_hits(
        "when.method = [\"PUT\", \"PURGE\"]",
        &["PUT / HTTP/1.1\r\nContent-Length: 0\r\nHost: h", "PURGE / HTTP/1.1\r\nHost: h"],
        &["GET / HTTP/1.1\r\nHost: h", "put / HTTP/1.1\r\nHost: h"],
    );
}

#[test]
fn header_values_are_patterns_of_any_line() {
    assert_hits(
        "when.header = { \"X-Channel\" = [\"beta*\", \"canary\"] }",
        &[
            "GET / HTTP/1.1\r\nHost: h\r\nX-Channel: beta",
            "GET / HTTP/1.1\r\nHost: h\r\nx-channel: beta-2",
            "GET / HTTP/1.1\r\nHost: h\r\nX-Channel: stable\r\nX-Channel: canary",
        ],
        &[
            "GET / HTTP/1.1\r\nHost: h",
            "GET / HTTP/1.1\r\nHost: h\r\nX-Channel: alphabeta",
            "GET / HTTP/1.1\r\nHost: h\r\nX-Channels: beta",
        ],
    );
}

#[test]
fn query_pairs_match_by_key_and_value() {
    assert_hits(
        "when.query = [{ key = \"version\", value = \"2*\" }, { value = \"debug\" }]",
        &[
            "GET /?version=2 HTTP/1.1\r\nHost: h",
            "GET /?a=1&version=2.1 HTTP/1.1\r\nHost: h",
            "GET /?any=debug HTTP/1.1\r\nHost: h",
        ],
        &[
            "GET / HTTP/1.1\r\nHost: h",
            "GET /?version=1 HTTP/1.1\r\nHost: h",
            "GET /?xversion=2 HTTP/1.1\r\nHost: h",
            "GET /version=2 HTTP/1.1\r\nHost: h",
        ],
    );
}

/// The spellings that one text has in a query are one value, whatever target reads them.
#[test]
fn queries_are_compared_decoded() {
    assert_hits(
        "when.query = [{ key = \"full name\", value = \"a b/c\" }]",
        &[
            "GET /?full+name=a+b/c HTTP/1.1\r\nHost: h",
            "GET /?full%20name=a%20b%2Fc HTTP/1.1\r\nHost: h",
            "GET /?x&%46ull+name=%61%20b%2fC HTTP/1.1\r\nHost: h",
        ],
        &[
            "GET /?full%2Bname=a+b/c HTTP/1.1\r\nHost: h",
            "GET /?full+name=a%2Bb/c HTTP/1.1\r\nHost: h",
            "GET /?full+name=a%2520b/c HTTP/1.1\r\nHost: h",
            "GET /?full+name=a+b HTTP/1.1\r\nHost: h",
        ],
    );
    assert_hits(
        "when.query = [{ key = \"q\", value = \"*c++*\" }, { value = \"100%25\" }]",
        &[
            "GET /?q=c%2B%2B HTTP/1.1\r\nHost: h",
            "GET /?q=in+c++ HTTP/1.1\r\nHost: h",
            "GET /?p=100%25 HTTP/1.1\r\nHost: h",
            "GET /?p=100% HTTP/1.1\r\nHost: h",
        ],
        &["GET /?q=c%20%20 HTTP/1.1\r\nHost: h", "GET /?q=c HTTP/1.1\r\nHost: h"],
    );
}

/// A value without wildcards is found by a hash, one with them by a walk: both read alike.
#[test]
fn a_literal_query_value_is_found_in_every_spelling() {
    assert_hits(
        "when.query = [{ key = \"lang\", value = \"C++ & D\" }]",
        &[
            "GET /?lang=c%2b%2b+%26%20d HTTP/1.1\r\nHost: h",
            "GET /?lang=c++%20%26+d HTTP/1.1\r\nHost: h",
            "GET /?l%61ng=%43++%20%26+%44 HTTP/1.1\r\nHost: h",
        ],
        &["GET /?lang=c%20%20+%26+d HTTP/1.1\r\nHost: h"],
    );
}

#[test]
fn source_is_the_clients_network() {
    assert_hits(
        "when.source = [\"10.0.0.0/8\", \"127.0.0.0/8\"]",
        &["GET / HTTP/1.1\r\nHost: h"],
        &[],
    );
    assert_hits("when.source = [\"10.0.0.0/8\"]", &[], &["GET / HTTP/1.1\r\nHost: h"]);
    // A stranger cannot claim another address.
    assert_hits(
        "when.source = [\"10.0.0.0/8\"]",
        &[],
        &["GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 10.1.1.1"],
    );
}

#[test]
fn all_conditions_of_a_rule_must_hold() {
    assert_hits(
        "when.host = [\"a.test\"]\nwhen.path = [\"/x/*\"]\nwhen.method = [\"GET\"]",
        &["GET /x/1 HTTP/1.1\r\nHost: a.test"],
        &[
            "GET /x/1 HTTP/1.1\r\nHost: b.test",
            "GET /y/1 HTTP/1.1\r\nHost: a.test",
            "DELETE /x/1 HTTP/1.1\r\nHost: a.test",
        ],
    );
}

#[test]
fn the_lowest_priority_that_matches_wins_whatever_the_order_in_the_file() {
    let (limpet, _targets) = with_rules(&[
        "priority = 20\nwhen.path = [\"/a/*\"]\nrespond = { body = \"twenty\" }",
        "priority = 10\nwhen.path = [\"/a/b/*\"]\nrespond = { body = \"ten\" }",
        "priority = 30\nwhen.path = [\"/*\"]\nrespond = { body = \"thirty\" }",
    ]);
    assert_eq!(limpet.get("/a/b/c").text(), "ten");
    assert_eq!(limpet.get("/a/c").text(), "twenty");
    assert_eq!(limpet.get("/c").text(), "thirty");
}

#[test]
fn a_thousand_rules_route_each_to_its_own() {
    let target = Target::echo("a");
    let mut web = listener("web").set("forward", "app");
    for i in 0..1000 {
        web = web.rule(&format!(
            "priority = {}\nwhen.host = [\"h{i}.test\"]\nwhen.path = [\"/p{i}/*\"]\nrespond = {{ body = \"{i}\" }}",
            i + 1
        ));
    }
    let limpet = config().listener(web).group(group("app").target("a", &target)).start();
    let mut client = limpet.client();
    for i in [0, 1, 499, 998, 999] {
        client.send(format!("GET /p{i}/x HTTP/1.1\r\nHost: h{i}.test\r\n\r\n"));
        assert_eq!(client.response().text(), i.to_string());
        client.send(format!("GET /p{i}/x HTTP/1.1\r\nHost: other.test\r\n\r\n"));
        assert_eq!(client.response().target(), "a");
    }
}

/// A thousand rules for such a value of any key, each with its number in it.
fn with_a_thousand_globs(before: &str) -> (Limpet, Target) {
    let target = Target::echo("app");
    let mut web = listener("web");
    for number in 0..1_000 {
        web = web.rule(&format!(
            "name = \"r{number}\"\npriority = {}\nforward = \"app\"\n\
             when.query = [{{ value = \"{before}{number:03}*\" }}]\nwhen.method = [\"GET\", \"PUT\"]",
            number + 1
        ));
    }
    let group = group("app").target("app", &target);
    (Limpet::start(&config().listener(web).group(group).text()), target)
}

#[test]
fn a_request_whose_rule_costs_too_much_to_find_is_refused_with_the_rule_that_it_came_to() {
    let (limpet, target) = with_a_thousand_globs("*aab");
    let hostile = [
        format!("q={}", "a".repeat(16_000)),
        "a=a&".repeat(4_000),
        "&".repeat(16_000),
        format!("q={}", "%61".repeat(5_000)),
    ];
    for query in &hostile {
        let mut client = limpet.client();
        let response = client.get(&format!("/?{query}"));
        assert_eq!(response.status, 400, "{query:.20}");
    }
    let records = limpet.access_log(hostile.len());
    for record in &records {
        let rule = record.text("rule");
        assert!(rule.starts_with('r'), "{rule}");
        assert_eq!(record.termination(), "CRL");
    }
    assert_eq!(target.requests().len(), 0);
}

#[test]
fn an_ordinary_query_is_compared_with_a_thousand_patterns() {
    let (limpet, _target) = with_a_thousand_globs("item-");
    let query = "id=4711&lang=en&page=2&q=Item-999";
    assert_eq!(limpet.client().get(&format!("/?{query}")).status, 200);
    assert_eq!(limpet.record(1).text("rule"), "r999");
    assert_eq!(limpet.client().get("/?id=4711&lang=en").status, 200);
    assert_eq!(limpet.record(2).text("rule"), "default");
}
