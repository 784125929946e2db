//! The meaning of each condition, value by value.
use super::budget::Budget;
use super::conditions::{Condition, HostPattern, PathPattern, Request, Tls};
use crate::http::fields::{Field, FieldId};

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

fn field<'a>(name: &'a str, value: &'a str) -> Field<'a> {
    Field::new(name.as_bytes(), value.as_bytes(), FieldId::Other)
}

#[test]
fn hosts_match_in_any_case_exactly_by_suffix_or_by_pattern() {
    for (pattern, host, expected) in [
        ("example.com", "EXAMPLE.com", true),
        ("Example.COM.", "example.com", true),
        ("example.com", "example.com.", true),
        ("example.com", "www.example.com", false),
        ("*.example.com", "www.example.com", true),
        ("*.example.com", "a.b.EXAMPLE.com.", true),
        ("*.example.com", "example.com", false),
        ("*.example.com", ".example.com", false),
        ("*.example.com", "badexample.com", false),
        ("**.example.com", "a.example.com", true),
        ("api-?.example.*", "API-1.example.org", true),
        ("api-?.example.*", "api-10.example.org", false),
        ("www.*.com", "www.a.b.com", true),
        ("*", "", true),
        ("[::1]", "[::1]", true),
    ] {
        let parsed = HostPattern::parse(pattern).expect(pattern);
        assert_eq!(
            parsed.matches(host.as_bytes(), &Budget::unlimited()),
            expected,
            "{pattern} {host}"
        );
    }
}

#[test]
fn a_host_beyond_255_bytes_matches_nothing() {
    let host = format!("{}.example.com", "a".repeat(250));
    for pattern in ["*.example.com", "*", "a*.com"] {
        let pattern = HostPattern::parse(pattern).expect(pattern);
        assert!(!pattern.matches(host.as_bytes(), &Budget::unlimited()), "{pattern}");
    }
}

#[test]
fn broken_hosts_are_refused_with_words() {
    for (pattern, word) in [
        ("", "empty"),
        (".", "empty"),
        ("example.com:80", "port"),
        ("http://example.com", "port"),
        ("exa mple.com", "' '"),
        ("münchen.de", "punycode"),
        ("a..b", "label"),
        (".example.com", "label"),
    ] {
        let error = HostPattern::parse(pattern).expect_err(pattern);
        assert!(error.contains(word), "{pattern}: {error}");
    }
}

#[test]
fn paths_match_with_case_exactly_by_prefix_or_by_pattern() {
    for (pattern, path, expected) in [
        ("/a", "/a", true),
        ("/a", "/A", false),
        ("/a", "/a/", false),
        ("/api/*", "/api/", true),
        ("/api/*", "/api/x/y", true),
        ("/api/*", "/api", false),
        ("/api*", "/apis", true),
        ("*", "*", true),
        ("*", "/x", true),
        ("*.php", "/x/y.php", true),
        ("/*/edit", "/a/b/edit", true),
        ("/u/?", "/u/1", true),
        ("/u/?", "/u/", false),
        ("/caf\u{e9}", "/caf%C3%A9", true),
        ("/%7euser/%2f*", "/~user/%2F1", true),
        ("/a\\*b", "/a*b", true),
    ] {
        let parsed = PathPattern::parse(pattern).expect(pattern);
        assert_eq!(
            parsed.matches(path.as_bytes(), &Budget::unlimited()),
            expected,
            "{pattern} {path}"
        );
    }
}

#[test]
fn a_final_star_alone_is_a_prefix() {
    assert!(matches!(PathPattern::parse("/a/*"), Ok(PathPattern::Prefix(p)) if &*p == "/a/"));
    assert!(matches!(PathPattern::parse("/a"), Ok(PathPattern::Exact(_))));
    assert!(matches!(PathPattern::parse("/*/a*"), Ok(PathPattern::Glob(_))));
    assert!(matches!(HostPattern::parse("*.A.com"), Ok(HostPattern::Suffix(s)) if &*s == ".a.com"));
}

#[test]
fn broken_paths_are_refused_with_words() {
    for (pattern, word) in [
        ("", "begin"),
        ("a", "begin"),
        ("/a b", "' '"),
        ("/a#b", "'#'"),
        ("/a/../b", "dot segment"),
        ("/%2e/b", "dot segment"),
        ("/100%", "hexadecimal"),
        ("/a%00b", "%00"),
    ] {
        let error = PathPattern::parse(pattern).expect_err(pattern);
        assert!(error.contains(word), "{pattern}: {error}");
    }
}

#[test]
fn methods_match_with_case() {
    let condition = Condition::Method(vec!["PUT".into(), "GET".into()]);
    assert!(condition.matches(&request("", "/"), &Budget::unlimited()));
    assert!(
        !condition.matches(&Request { method: b"get", ..request("", "/") }, &Budget::unlimited())
    );
}

#[test]
fn any_field_line_of_the_name_may_match() {
    let condition = Condition::header("x-Tenant", &["acme*", "beta"]).expect("valid");
    let fields = [field("X-TENANT", "other"), field("X-tenant", "ACME-7"), field("Y", "beta")];
    let matches = |fields: &[Field<'_>]| {
        condition.matches(&Request { fields, ..request("", "/") }, &Budget::unlimited())
    };
    assert!(matches(&fields));
    assert!(!matches(&fields[..1]));
    assert!(!matches(&fields[2..]));
    assert!(Condition::header("bad name", &["x"]).is_err());
}

#[test]
fn query_pairs_match_by_key_and_value() {
    let holds = |key: Option<&str>, value: &str, query: &str| {
        let pair = Condition::query_pair(key, value).expect("valid");
        let request = Request { query: Some(query.as_bytes()), ..request("", "/") };
        Condition::Query(vec![pair]).matches(&request, &Budget::unlimited())
    };
    assert!(holds(Some("lang"), "de", "a=1&LANG=De"));
    assert!(holds(Some("lang"), "de", "l%61ng=%64e"));
    assert!(holds(Some("x"), "%7e%2fa", "x=~%2FA"));
    assert!(holds(None, "d?", "a=1&&b=de"));
    assert!(holds(Some("flag"), "", "flag"));
    assert!(holds(Some("flag"), "*", "flag&x"));
    assert!(holds(Some("a"), "b=c", "a=b=c"));
    assert!(!holds(Some("lang"), "de", "language=de&lang=den"));
    assert!(!holds(None, "*", ""));
    assert!(Condition::query_pair(None, "100%").is_err());
}

#[test]
fn the_name_of_a_handshake_matches_as_hosts_do_and_is_not_the_host() {
    let patterns = ["*.shop.example", "a.example"].map(|text| HostPattern::parse(text).unwrap());
    let condition = Condition::Sni(patterns.to_vec());
    let of = |server_name: Option<&'static [u8]>| {
        let tls = Some(Tls { server_name, has_client_certificate: false });
        let request = Request { tls, ..request("a.example", "/") };
        condition.matches(&request, &Budget::unlimited())
    };
    assert!(of(Some(b"A.example")) && of(Some(b"x.shop.example")));
    assert!(!of(Some(b"b.example")) && !of(None));
    assert!(!condition.matches(&request("a.example", "/"), &Budget::unlimited()), "in clear");
    assert_eq!(condition.failure(), "the server name asked for is not *.shop.example, a.example");
}

#[test]
fn who_has_presented_no_certificate_is_told_from_who_has() {
    let holds = |wanted: bool, tls: Option<bool>| {
        let tls = tls.map(|has| Tls { server_name: None, has_client_certificate: has });
        let request = Request { tls, ..request("a.example", "/") };
        Condition::ClientCertificate(wanted).matches(&request, &Budget::unlimited())
    };
    assert!(holds(true, Some(true)) && !holds(true, Some(false)) && !holds(true, None));
    assert!(!holds(false, Some(true)) && holds(false, Some(false)) && holds(false, None));
}

#[test]
fn sources_match_by_network() {
    let nets = ["10.0.0.0/8", "2001:db8::/32"].map(|net| net.parse().expect("network"));
    let condition = Condition::Source(nets.to_vec());
    for (source, expected) in [
        (Some("10.1.2.3"), true),
        (Some("::ffff:10.1.2.3"), true),
        (Some("2001:db8::5"), true),
        (Some("11.0.0.1"), false),
        (None, false),
    ] {
        let source = source.map(|text| text.parse().expect("address"));
        assert_eq!(
            condition.matches(&Request { source, ..request("", "/") }, &Budget::unlimited()),
            expected
        );
    }
}

#[test]
fn conditions_say_what_they_are_and_why_they_failed() {
    let host = |text| HostPattern::parse(text).expect("valid");
    let condition = Condition::Host(vec![host("api.example.com"), host("*.example.org")]);
    assert_eq!(condition.to_string(), "host api.example.com, *.example.org");
    assert_eq!(condition.failure(), "host is not api.example.com, *.example.org");
    let condition = Condition::Path(vec![PathPattern::parse("/api/*").expect("valid")]);
    assert_eq!(condition.failure(), "path is not /api/*");
    let condition = Condition::header("x-tenant", &["acme"]).expect("valid");
    assert_eq!(condition.to_string(), "header x-tenant: acme");
    assert_eq!(condition.failure(), "no field x-tenant is acme");
    let pairs = vec![
        Condition::query_pair(Some("a"), "1").expect("valid"),
        Condition::query_pair(None, "x*").expect("valid"),
    ];
    assert_eq!(Condition::Query(pairs).failure(), "query has no a=1, *=x*");
    let condition = Condition::Source(vec!["10.0.0.0/8".parse().expect("network")]);
    assert_eq!(condition.failure(), "source is not in 10.0.0.0/8");
    assert_eq!(Condition::Method(vec!["GET".into()]).failure(), "method is not GET");
}
