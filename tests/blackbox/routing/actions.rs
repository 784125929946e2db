//! Actions: forward with rewrites, weighted forward, redirect with placeholders, fixed response.

use super::with_rules;
use crate::support::{Target, config, group, listener};

#[test]
fn strip_prefix_takes_whole_segments() {
    let (limpet, _targets) = with_rules(&[
        "priority = 1\nwhen.path = [\"/api\", \"/api/*\", \"/apis\"]\nforward = \"hit\"\nrewrite.strip_prefix = \"/api\"",
    ]);
    let mut client = limpet.client();
    for (path, seen) in [
        ("/api/users?x=1", "/users?x=1"),
        ("/api/", "/"),
        ("/api", "/"),
        ("/api?x", "/?x"),
        ("/apis", "/apis"),
    ] {
        assert_eq!(client.get(path).echo().path, seen, "{path}");
    }
}

#[test]
fn replace_prefix_keeps_what_follows() {
    let (limpet, _targets) = with_rules(&[
        "priority = 1\nwhen.path = [\"/old/*\"]\nforward = \"hit\"\nrewrite.replace_prefix = { prefix = \"/old/\", with = \"/new/\" }",
    ]);
    assert_eq!(limpet.get("/old/a/b?c").echo().path, "/new/a/b?c");
}

#[test]
fn another_path_and_host_are_forwarded() {
    let (limpet, _targets) = with_rules(&[
        "priority = 1\nwhen.path = [\"/favicon\"]\nforward = \"hit\"\nrewrite.path = \"/favicon.ico\"\nrewrite.host = \"internal.test\"",
    ]);
    let echo = limpet.get("/favicon?v=2").echo();
    assert_eq!(echo.path, "/favicon.ico?v=2");
    assert_eq!(echo.fields.one("host"), Some("internal.test"));
    assert_eq!(echo.fields.one("x-forwarded-host"), Some("limpet.test"), "as the client asked");
}

#[test]
fn a_redirect_fills_its_placeholders_and_leaves_out_the_port_of_its_scheme() {
    let (limpet, _targets) = with_rules(&[
        "priority = 1\nwhen.path = [\"/same/*\"]\nredirect = { status = 301, to = \"https://#{host}:443/#{path}?#{query}\" }",
        "priority = 2\nwhen.path = [\"/fixed\"]\nredirect = { to = \"https://new.test/\" }",
        "priority = 3\nwhen.path = [\"/port/*\"]\nredirect = { status = 308, to = \"#{protocol}://#{host}:#{port}/moved/#{path}\" }",
    ]);
    let mut client = limpet.client();
    let moved = client.get("/same/a/b?x=1&y=2");
    assert_eq!(
        (moved.status, moved.field("location")),
        (301, Some("https://limpet.test/same/a/b?x=1&y=2"))
    );
    let found = client.get("/fixed");
    assert_eq!((found.status, found.field("location")), (302, Some("https://new.test/")));
    let port = limpet.address().port();
    let moved = client.get("/port/a");
    let location = moved.field("location").map(str::to_owned);
    assert_eq!(moved.status, 308);
    assert_eq!(location, Some(format!("http://limpet.test:{port}/moved/port/a")));
}

#[test]
fn a_redirect_cannot_be_split_by_what_the_client_sends() {
    let (limpet, _targets) = with_rules(&[
        "priority = 1\nwhen.path = [\"/*\"]\nredirect = { to = \"https://new.test/#{path}?#{query}\" }",
    ]);
    let response = limpet.get("/a%0d%0aSet-Cookie:x?b%0d%0aX-Evil:1");
    assert_eq!(response.status, 302);
    assert!(!response.fields.has("set-cookie") && !response.fields.has("x-evil"));
}

#[test]
fn a_fixed_response_needs_no_target() {
    let (limpet, targets) = with_rules(&[
        "priority = 1\nwhen.path = [\"/ping\"]\nrespond = { body = \"pong\\n\" }",
        "priority = 2\nwhen.path = [\"/gone\"]\nrespond = { status = 410, content_type = \"application/json\", body = \"{}\" }",
        "priority = 3\nwhen.path = [\"/empty\"]\nrespond = { status = 204 }",
    ]);
    let mut client = limpet.client();
    let pong = client.get("/ping");
    assert_eq!((pong.status, &*pong.text()), (200, "pong\n"));
    assert!(pong.field("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    client.send("HEAD /ping HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    let head = client.response_to("HEAD");
    assert_eq!((head.status, head.field("content-length")), (200, Some("5")));
    let gone = client.get("/gone");
    assert_eq!((gone.status, gone.field("content-type")), (410, Some("application/json")));
    assert_eq!(client.get("/empty").status, 204);
    client.assert_usable();
    assert_eq!(targets[1].request_count(), 0);
}

#[test]
fn a_weighted_forward_spreads_by_weight() {
    let [a, b] = ["a", "b"].map(Target::echo);
    let limpet = config()
        .listener(listener("web").set("forward", "a").rule(
            "priority = 1\nwhen.path = [\"/*\"]\nforward = { groups = [{ group = \"a\", weight = 3 }, { group = \"b\", weight = 1 }] }",
        ))
        .group(group("a").target("a", &a))
        .group(group("b").target("b", &b))
        .start();
    let mut client = limpet.client();
    let count = (0..400).filter(|_| client.get("/").target() == "a").count();
    // 300 expected; five standard deviations of a binomial are 43.
    assert!((250..=350).contains(&count), "{count} of 400");
}

#[test]
fn answers_can_be_replaced_by_status() {
    let target = Target::refusing("a");
    let web = listener("web")
        .set("answers.502.body", "<h1>Back soon</h1>")
        .set("answers.502.content_type", "text/html");
    let limpet = config().listener(web).group(group("app").target("a", &target)).start();
    let response = limpet.get("/");
    assert_eq!((response.status, &*response.text()), (502, "<h1>Back soon</h1>"));
    assert_eq!(response.field("content-type"), Some("text/html"));
    assert_eq!(response.field("content-length"), Some("18"));
}

#[test]
fn every_listener_has_rules_of_its_own() {
    let [a, b] = ["a", "b"].map(Target::echo);
    let limpet = config()
        .listener(listener("one").set("forward", "a"))
        .listener(listener("two").set("forward", "b"))
        .group(group("a").target("a", &a))
        .group(group("b").target("b", &b))
        .start();
    assert_eq!(limpet.client_of("one").get("/").target(), "a");
    assert_eq!(limpet.client_of("two").get("/").target(), "b");
}
