//! What is matched is what is forwarded: no spelling of a path gets past a rule.

use super::{with_listener, with_rules};
use crate::support::listener;

#[test]
fn no_spelling_of_a_path_gets_past_its_rule() {
    let (limpet, targets) =
        with_rules(&["priority = 1\nwhen.path = [\"/admin/*\"]\nrespond = { status = 403 }"]);
    let mut client = limpet.client();
    for path in [
        "/admin/x",
        "//admin/x",
        "/admin//x",
        "/./admin/x",
        "/y/../admin/x",
        "/%61dmin/x",
        "/%61%64%6d%69%6e/x",
        "/y/%2e%2e/admin/x",
        "/y/.%2E/admin/x",
        "/%2e/admin/x",
        "http://limpet.test/admin/x",
        "http://limpet.test//admin/./x",
    ] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: limpet.test\r\n\r\n"));
        assert_eq!(client.response().status, 403, "{path}");
    }
    assert_eq!(targets[0].request_count(), 0);
}

/// RFC 3986 §3.3 has no such bytes in a path, and browsers send them: raw or encoded, they are one path.
#[test]
fn a_byte_that_no_path_may_have_gets_past_no_rule_in_another_spelling() {
    for (pattern, paths) in [
        ("/a|b/*", ["/a|b/x", "/a%7Cb/x", "/a%7cb/x"]),
        ("/a%7cb/*", ["/a|b/x", "/a%7Cb/x", "/a%7cb/x"]),
        ("/{id}/*", ["/{id}/x", "/%7Bid%7D/x", "/%7bid}/x"]),
        ("/a\\\\b/*", ["/a\\b/x", "/a%5Cb/x", "/a%5cb/x"]),
        ("/a^b`c/*", ["/a^b`c/x", "/a%5Eb%60c/x", "/%61^b%60c/x"]),
        ("/<q>/*", ["/<q>/x", "/%3Cq%3E/x", "/%3cq>/x"]),
        ("/\"q\"/*", ["/\"q\"/x", "/%22q%22/x", "/%22q\"/x"]),
        ("/caf\u{e9}/*", ["/caf%C3%A9/x", "/caf%c3%a9/x", "/%63af%C3%a9/x"]),
        ("/c?d/*", ["/c|d/x", "/c%7Cd/x", "/c%7cd/x"]),
    ] {
        let rule = format!("priority = 1\nwhen.path = ['{pattern}']\nforward = \"hit\"");
        let (limpet, _targets) = with_rules(&[&rule]);
        let mut client = limpet.client();
        for path in paths {
            assert_eq!(client.get(path).target(), "hit", "{pattern} {path}");
        }
    }
}

/// RFC 3986 §2.2 leaves these apart, servers do not: a rule for one spelling must meet the other.
#[test]
fn a_reserved_character_gets_past_no_rule_in_another_spelling() {
    let (limpet, targets) = with_rules(&[
        "priority = 1\nwhen.path = ['/@admin/*', '/a%3ab', '/x[0]', '/v1;k=(1)+\\*!$&,']\nrespond.status = 403",
        "priority = 2\nwhen.path = ['/*/a@b/?']\nrespond.status = 404",
    ]);
    let mut client = limpet.client();
    for (path, status) in [
        ("/@admin/x", 403),
        ("/%40admin/x", 403),
        ("/%40%61dmin/x", 403),
        ("/x/../%40admin/x", 403),
        ("/a:b", 403),
        ("/a%3Ab", 403),
        ("/a%3ab", 403),
        ("/x[0]", 403),
        ("/x%5B0%5d", 403),
        ("/v1;k=(1)+*!$&,", 403),
        ("/v1%3Bk%3D%281%29%2B%2A%21%24%26%2C", 403),
        ("/q/a%40b/%3A", 404),
    ] {
        assert_eq!(client.get(path).status, status, "{path}");
    }
    assert_eq!(targets[0].request_count(), 0);
}

/// What a server may read in another way than limpet goes out as it came.
#[test]
fn reserved_characters_are_forwarded_as_they_came() {
    let (limpet, _targets) = with_rules(&[
        "priority = 1\nwhen.path = [\"/@app/*\"]\nforward = \"hit\"\nrewrite.strip_prefix = \"/@app\"",
    ]);
    let mut client = limpet.client();
    for (path, forwarded) in [
        ("/%40a/b%2Bc+d;e%3B", "/%40a/b%2Bc+d;e%3B"),
        ("/@app/%40x", "/%40x"),
        ("/%40app/@x", "/@x"),
        ("/%40ap%70", "/%40app"),
    ] {
        assert_eq!(client.get(path).echo().path, forwarded, "{path}");
    }
}

/// Where bytes beyond ASCII are let in at all, they are what their encodings are.
#[test]
fn bytes_beyond_ascii_are_their_encodings() {
    let web = listener("web").set("mode", "monitor");
    let (limpet, _targets) =
        with_listener(web, &["priority = 1\nwhen.path = [\"/caf\u{e9}\"]\nforward = \"hit\""]);
    let mut client = limpet.client();
    for path in ["/caf\u{e9}", "/caf%C3%A9"] {
        let response = client.get(path);
        assert_eq!(response.target(), "hit", "{path}");
        assert_eq!(response.echo().path, "/caf%C3%A9");
    }
}

#[test]
fn a_prefix_is_taken_away_in_every_spelling() {
    let (limpet, _targets) = with_rules(&[
        "priority = 1\nwhen.path = [\"/a|b/*\"]\nforward = \"hit\"\nrewrite.strip_prefix = \"/a|b\"",
    ]);
    let mut client = limpet.client();
    for path in ["/a|b/x", "/a%7Cb/x", "/a%7cb/x"] {
        assert_eq!(client.get(path).echo().path, "/x", "{path}");
    }
}

#[test]
fn the_normal_form_is_what_the_target_sees() {
    let (limpet, _targets) = with_rules(&[]);
    let mut client = limpet.client();
    for (sent, seen) in [
        ("/a/b", "/a/b"),
        ("/%7Euser/%41%2d%5F", "/~user/A-_"),
        ("/a%2fb%5c", "/a%2Fb%5C"),
        ("/a|b{c}", "/a%7Cb%7Bc%7D"),
        ("/a/./b/../c", "/a/c"),
        ("/a/b/..", "/a/"),
        ("/a//b///c", "/a/b/c"),
        ("/%e2%82%ac", "/%E2%82%AC"),
        ("/a;v=1/b@c:d", "/a;v=1/b@c:d"),
        ("/a?b=//../%2e", "/a?b=//../%2e"),
    ] {
        assert_eq!(client.get(sent).echo().path, seen, "{sent}");
    }
}

#[test]
fn repeated_slashes_stay_where_the_file_says_so() {
    let (limpet, _targets) = with_listener(listener("web").set("merge_slashes", false), &[]);
    assert_eq!(limpet.get("/a//b").echo().path, "/a//b");
}

#[test]
fn an_encoded_slash_is_no_slash() {
    let (limpet, _targets) =
        with_rules(&["priority = 1\nwhen.path = [\"/a/b\"]\nforward = \"hit\""]);
    let mut client = limpet.client();
    assert_eq!(client.get("/a%2Fb").target(), "default");
    assert_eq!(client.get("/a/b").target(), "hit");
}
