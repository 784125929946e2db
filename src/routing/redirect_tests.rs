//! Redirect templates: which are refused, what they write, and what a client cannot do.
use super::redirect::{Redirect, RedirectParts};
use proptest::prelude::*;

fn parts() -> RedirectParts<'static> {
    RedirectParts {
        protocol: b"http",
        host: b"www.example.com",
        port: b"80",
        path: b"/a/b",
        query: Some(b"x=1"),
    }
}

fn location(template: &str, parts: &RedirectParts<'_>) -> String {
    let mut out = b"Location: ".to_vec();
    Redirect::compile(301, template).expect(template).location(parts, &mut out);
    String::from_utf8(out).expect("ASCII").strip_prefix("Location: ").expect("appended").into()
}

#[test]
fn placeholders_stand_for_the_parts_of_the_request() {
    for (template, expected) in [
        ("https://#{host}/#{path}?#{query}", "https://www.example.com/a/b?x=1"),
        ("https://#{host}:443/#{path}?#{query}", "https://www.example.com/a/b?x=1"),
        ("https://#{host}:#{port}/#{path}?#{query}", "https://www.example.com/a/b?x=1"),
        ("https://#{host}:8443/#{path}", "https://www.example.com:8443/a/b"),
        ("#{protocol}://new.example.com:#{port}/#{path}", "http://new.example.com/a/b"),
        ("https://example.org", "https://example.org/"),
        ("https://example.org?from=#{host}", "https://example.org/?from=www.example.com"),
        ("https://[2001:db8::1]/x", "https://[2001:db8::1]/x"),
        ("https://[2001:db8::1]:8443/x", "https://[2001:db8::1]:8443/x"),
        ("https://m.#{host}/#{path}", "https://m.www.example.com/a/b"),
        ("/new/#{path}?#{query}", "/new/a/b?x=1"),
        ("/#{host}/#{path}?a=1&#{query}&b=2", "/www.example.com/a/b?a=1&x=1&b=2"),
    ] {
        assert_eq!(location(template, &parts()), expected, "{template}");
    }
}

#[test]
fn a_port_that_is_no_default_is_kept() {
    let parts = RedirectParts { port: b"8080", ..parts() };
    assert_eq!(location("#{protocol}://x:#{port}/", &parts), "http://x:8080/");
    assert_eq!(location("https://#{host}/", &parts), "https://www.example.com/");
    let unix = RedirectParts { port: b"", ..parts };
    assert_eq!(location("#{protocol}://x:#{port}/", &unix), "http://x/");
}

#[test]
fn an_empty_query_takes_its_mark_with_it() {
    for query in [None, Some(&b""[..])] {
        let parts = RedirectParts { query, ..parts() };
        for (template, expected) in [
            ("/n/#{path}?#{query}", "/n/a/b"),
            ("/n/#{path}?a=1&#{query}", "/n/a/b?a=1"),
            ("/n/#{path}?#{query}&a=1", "/n/a/b?a=1"),
            ("/n/#{path}?a=1&#{query}&b=2", "/n/a/b?a=1&b=2"),
            ("/n?", "/n"),
        ] {
            assert_eq!(location(template, &parts), expected, "{template}");
        }
    }
}

#[test]
fn broken_templates_are_refused_with_words() {
    for (template, word) in [
        ("", "begins with"),
        ("example.com", "begins with"),
        ("//example.com/", "scheme"),
        ("ftp://x/", "protocol"),
        ("https:///x", "missing"),
        ("https://#{host}#{path}", "leading slash"),
        ("https://#{query}/", "only #{host}"),
        ("https://user@x/", "may not stand in a host"),
        ("https://x:0/", "port"),
        ("https://x:http/", "port"),
        ("https://x/#{file}", "no placeholder"),
        ("https://x/#top", "no placeholder"),
        ("https://x/a b", "percent-encode"),
        ("https://x/a\r\nSet-Cookie: a", "percent-encode"),
        ("https://x/é", "percent-encode"),
        ("#{protocol}://#{host}:#{port}/#{path}?#{query}", "leads back"),
        ("/#{path}?#{query}", "leads back"),
    ] {
        let error = Redirect::compile(302, template).expect_err(template);
        assert!(error.contains(word), "{template}: {error}");
    }
    assert!(Redirect::compile(200, "/x").expect_err("status").contains("308"));
}

#[test]
fn a_client_cannot_turn_a_relative_redirect_to_another_host() {
    for (path, expected) in [
        (&b"//evil.example"[..], "/evil.example"),
        (b"////evil.example/x", "/evil.example/x"),
        (b"/\\evil.example", "/%5Cevil.example"),
    ] {
        let parts = RedirectParts { path, ..parts() };
        assert_eq!(location("/#{path}#{host}", &parts), format!("{expected}www.example.com"));
    }
    let parts = RedirectParts { host: b"", path: b"//evil.example", ..parts() };
    assert_eq!(location("https://#{host}/#{path}", &parts), "/evil.example");
}

#[test]
fn a_client_cannot_leave_a_component() {
    let parts = RedirectParts {
        host: b"good@evil/\r\nX: y",
        path: b"/a?b#c \r\nX: y\xff",
        query: Some(b"q#f\r\nX: y"),
        ..parts()
    };
    assert_eq!(
        location("https://#{host}/#{path}?#{query}", &parts),
        "https://good%40evil%2F%0D%0AX:%20y/a%3Fb%23c%20%0D%0AX:%20y%FF?q%23f%0D%0AX:%20y"
    );
}

proptest! {
    #[test]
    fn a_location_is_always_visible_ascii(
        host in proptest::collection::vec(any::<u8>(), 0..16),
        port in proptest::collection::vec(any::<u8>(), 0..6),
        path in proptest::collection::vec(any::<u8>(), 0..32),
        query in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..16)),
    ) {
        let parts = RedirectParts {
            protocol: b"http",
            host: &host,
            port: &port,
            path: &path,
            query: query.as_deref(),
        };
        for template in ["https://#{host}:#{port}/#{path}?#{query}", "/x/#{path}?#{query}&y=#{host}"] {
            let text = location(template, &parts);
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!(text.starts_with("https://") || text.starts_with("/x/") || text.starts_with('/'));
            prop_assert!(!text.starts_with("//"));
        }
    }
}
