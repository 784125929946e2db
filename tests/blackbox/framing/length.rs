//! Content delimited by Content-Length. RFC 9112 §6.2.

use crate::support::{Framing, Target, config};

#[test]
fn a_request_of_known_length_keeps_its_length() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let echo = limpet.client().post("/up", b"hello, rock").echo();
    assert_eq!(echo.content, "hello, rock");
    let request = target.last_request();
    assert_eq!(request.framing, Framing::Length);
    assert_eq!(request.fields.one("content-length"), Some("11"));
}

#[test]
fn a_response_of_known_length_keeps_its_length() {
    let target = Target::fixed("HTTP/1.1 200 Fine\r\nContent-Length: 5\r\n\r\nhello");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    for _ in 0..3 {
        let response = client.get("/");
        assert_eq!(response.framing, Framing::Length);
        assert_eq!((response.status, &*response.reason, &*response.text()), (200, "Fine", "hello"));
    }
}

#[test]
fn content_of_length_zero_is_said_to_be_zero() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    assert_eq!(client.post("/empty", b"").echo().content, "");
    assert_eq!(target.last_request().fields.one("content-length"), Some("0"));
    client.assert_usable();
}

#[test]
fn a_request_without_content_stays_without() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    limpet.get("/");
    let request = target.last_request();
    assert!(!request.fields.has("content-length") && !request.fields.has("transfer-encoding"));
}

#[test]
fn content_is_framed_and_consumed_whatever_the_method() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    for method in ["GET", "DELETE", "OPTIONS", "PATCH", "PUT", "PURGE"] {
        client.send(format!(
            "{method} /m HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 5\r\n\r\nhello"
        ));
        let echo = client.response_to(method).echo();
        assert_eq!((&*echo.method, &*echo.content), (method, "hello"));
    }
    client.send("HEAD /m HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.response_to("HEAD").status, 200);
    assert_eq!(target.last_request().content, b"hello");
    client.assert_usable();
}

#[test]
fn a_request_is_read_the_same_at_every_split() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let request =
        "POST /s?q HTTP/1.1\r\nHost: limpet.test\r\nX-Y: z\r\nContent-Length: 5\r\n\r\nhello";
    let mut client = limpet.client();
    for split in 1..request.len() {
        let echo = client.send_split(request, &[split]).response().echo();
        assert_eq!((&*echo.path, &*echo.content), ("/s?q", "hello"), "split at {split}");
        assert_eq!(echo.fields.one("x-y"), Some("z"), "split at {split}");
    }
    let echo = client.send_byte_by_byte(request).response().echo();
    assert_eq!(echo.content, "hello");
}

#[test]
fn a_response_is_read_the_same_at_every_split() {
    const RESPONSE: &[u8] =
        b"HTTP/1.1 201 Created\r\nX-Y: z\r\nSet-Cookie: a=b\r\nContent-Length: 5\r\n\r\nhello";
    let target = Target::scripted(|connection| {
        while let Some(request) = connection.next_request()? {
            match request.target[1..].parse() {
                Ok(split) => connection.send_split(RESPONSE, &[split])?,
                Err(_) => connection.send_byte_by_byte(RESPONSE)?,
            }
        }
        Ok(())
    });
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    let splits = (1..RESPONSE.len()).map(|split| format!("/{split}"));
    for path in splits.chain(["/bytes".to_owned()]) {
        let response = client.get(&path);
        assert_eq!((response.status, &*response.text()), (201, "hello"), "{path}");
        assert_eq!(response.field("x-y"), Some("z"), "{path}");
    }
}

#[test]
fn empty_lines_before_a_request_are_skipped() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    client.send("\r\n").assert_usable();
    client.send("\r\n").assert_usable();
}

#[test]
fn a_truncated_request_never_reaches_the_target_whole() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    client.send("POST /cut HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 10\r\n\r\nhello");
    client.wire.finish().unwrap();
    let _ = client.read_rest();
    limpet.get("/after");
    let paths: Vec<String> = target.requests().into_iter().map(|r| r.target).collect();
    assert_eq!(paths, ["/after"]);
}

#[test]
fn a_truncated_response_ends_in_an_aborted_connection() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
    });
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    let head = client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n").response_head();
    assert_eq!((head.status, head.field("content-length")), (200, Some("10")));
    let rest = client.read_rest();
    assert!(b"hello".starts_with(&rest), "more than the target sent");
}
