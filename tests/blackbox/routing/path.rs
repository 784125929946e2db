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

#[test]
fn the_normal_form_is_what_the_target_sees() {
    let (limpet, _targets) = with_rules(&[]);
    let mut client = limpet.client();
    for (sent, seen) in [
        ("/a/b", "/a/b"),
        ("/%7Euser/%41%2d%5F", "/~user/A-_"),
        ("/a%2fb%5c", "/a%2Fb%5C"),
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
