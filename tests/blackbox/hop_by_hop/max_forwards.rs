//! OPTIONS goes as far as Max-Forwards lets it. RFC 9110 §7.6.2.

use super::with;

fn options(lines: &str) -> String {
    format!("OPTIONS / HTTP/1.1\r\nHost: limpet.test\r\n{lines}\r\n")
}

#[test]
fn options_that_may_go_no_further_are_answered_here() {
    let (limpet, target) = with(&[]);
    let mut client = limpet.client();
    for lines in
        ["Max-Forwards: 0\r\n", "max-forwards: 00\r\n", "Max-Forwards: 3\r\nMax-Forwards: 0\r\n"]
    {
        let response = client.send(options(lines)).response_to("OPTIONS");
        assert_eq!(response.status, 204, "{lines}");
        assert!(response.field("allow").is_some_and(|methods| methods.contains("OPTIONS")));
    }
    client.assert_usable();
    assert!(target.requests().iter().all(|request| request.method != "OPTIONS"));
}

#[test]
fn each_hop_that_options_take_is_counted() {
    let (limpet, _target) = with(&[]);
    let mut client = limpet.client();
    for (lines, expected) in [
        ("Max-Forwards: 1\r\n", &["0"][..]),
        ("Max-Forwards: 10\r\n", &["9"]),
        ("Max-Forwards: 9\r\nmax-forwards: 5\r\n", &["4"]),
        ("Max-Forwards: many\r\n", &["many"]),
        ("", &[]),
    ] {
        let echo = client.send(options(lines)).response_to("OPTIONS").echo();
        assert_eq!(echo.fields.all("max-forwards"), expected, "{lines}");
    }
}

#[test]
fn max_forwards_of_other_methods_is_a_field_like_any_other() {
    let (limpet, _target) = with(&[]);
    let echo = limpet.client().get_with("/", "Max-Forwards: 0\r\n").echo();
    assert_eq!(echo.fields.all("max-forwards"), ["0"]);
}
