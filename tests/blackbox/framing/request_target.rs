//! The forms of a request-target and what the target gets to see of them. RFC 9112 §3.2.

use crate::support::{Target, config};

#[test]
fn origin_form_passes_with_its_query_untouched() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    for path in ["/", "/a/b;c=1/d", "/?", "/x?y=1&y=2&z", "/x?a=/../b//c%2f", "/%E2%82%AC"] {
        assert_eq!(client.get(path).echo().path, path);
    }
}

#[test]
fn absolute_form_is_forwarded_in_origin_form() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    let cases = [
        ("http://limpet.test/x?y", "/x?y"),
        ("http://limpet.test", "/"),
        ("http://limpet.test?q=1", "/?q=1"),
        ("HTTP://LIMPET.test/x", "/x"),
    ];
    for (target_form, path) in cases {
        let echo = client
            .send(format!("GET {target_form} HTTP/1.1\r\nHost: limpet.test\r\n\r\n"))
            .response()
            .echo();
        assert_eq!(echo.path, path, "{target_form}");
        let host = echo.fields.one("host").map(str::to_ascii_lowercase);
        assert_eq!(host.as_deref(), Some("limpet.test"), "{target_form}");
    }
}

#[test]
fn asterisk_form_is_forwarded_for_options() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    client.send("OPTIONS * HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    let echo = client.response_to("OPTIONS").echo();
    assert_eq!((&*echo.method, &*echo.path), ("OPTIONS", "*"));
}

#[test]
fn any_method_token_is_forwarded() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    for method in ["PROPFIND", "MKCOL", "QUERY", "M-SEARCH", "get"] {
        let request = format!("{method} / HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
        assert_eq!(client.send(request).response().echo().method, method);
    }
}
