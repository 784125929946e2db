//! Content in chunks: parsed and written anew, trailers stay trailers. RFC 9112 §7.1.

use crate::support::{Framing, Target, config};

const POST: &str = "POST /c HTTP/1.1\r\nHost: limpet.test\r\nTransfer-Encoding: chunked\r\n";

/// Lower-case hexadecimal without leading zeros, extensions or white space.
#[track_caller]
fn assert_canonical(size_lines: &[String]) {
    for line in size_lines {
        let size = usize::from_str_radix(line, 16).expect("a hexadecimal number and nothing else");
        assert_eq!(*line, format!("{size:x}"));
    }
    assert_eq!(size_lines.last().map(String::as_str), Some("0"));
}

#[test]
fn a_chunked_request_is_rewritten_canonically() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    client.send(format!(
        "{POST}\r\n3;x=1\r\nabc\r\n000A;y=\"z\"\r\n0123456789\r\n00f\r\nABCDEFGHIJKLMNO\r\n0000\r\n\r\n"
    ));
    assert_eq!(client.response().echo().content, "abc0123456789ABCDEFGHIJKLMNO");
    let request = target.last_request();
    assert_eq!(request.framing, Framing::Chunked);
    assert_canonical(&request.size_lines);
    assert!(!target.received()[0].contains(';'), "an extension was passed through");
    client.assert_usable();
}

#[test]
fn a_chunked_response_is_rewritten_canonically() {
    let target = Target::fixed(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0003;e\r\nabc\r\n0A\r\n0123456789\r\n00\r\n\r\n",
    );
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!(response.framing, Framing::Chunked);
        assert_eq!(response.text(), "abc0123456789");
        assert_canonical(&response.size_lines);
    }
    assert_eq!(target.connection_count(), 1);
}

#[test]
fn white_space_in_chunk_lines_is_read_where_it_may_stand() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    client.send(format!("{POST}\r\n3 ; x = 1\r\nabc\r\n0\t;y\r\n\r\n"));
    assert_eq!(client.response().echo().content, "abc");
    assert_canonical(&target.last_request().size_lines);
    client.send(format!("{POST}\r\n3  \r\nabc\r\n0\r\n\r\n"));
    assert_eq!(client.response().status, 400, "padding is for responses");
    client.assert_closed();
}

#[test]
fn a_response_with_padded_sizes_is_rewritten_canonically() {
    let target = Target::fixed(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3   \r\nabc\r\nA \t\r\n0123456789\r\n0  \r\n\r\n",
    );
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!(response.text(), "abc0123456789");
        assert_canonical(&response.size_lines);
    }
}

#[test]
fn the_coding_name_is_read_in_any_case() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: limpet.test\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    );
    assert_eq!(client.response().echo().content, "x");
}

#[test]
fn request_trailers_are_forwarded_as_trailers() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    client.send(format!(
        "{POST}Trailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 294\r\nX-More: 1\r\n\r\n"
    ));
    let echo = client.response().echo();
    assert_eq!(echo.content, "abc");
    assert!(!echo.fields.has("x-sum"), "a trailer was merged into the head");
    let trailers = target.last_request().trailers;
    assert_eq!((trailers.one("x-sum"), trailers.one("x-more")), (Some("294"), Some("1")));
    client.assert_usable();
}

#[test]
fn response_trailers_are_forwarded_as_trailers() {
    let target = Target::fixed(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 294\r\n\r\n",
    );
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    let response = client.get("/");
    assert_eq!(response.trailers.one("x-sum"), Some("294"));
    assert!(!response.fields.has("x-sum"));
    client.assert_usable();
}

#[test]
fn a_chunked_request_is_read_the_same_at_every_split() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let request = format!("{POST}\r\n3;x=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nX-Sum: 5\r\n\r\n");
    let mut client = limpet.client();
    for split in 1..request.len() {
        let echo = client.send_split(&request, &[split]).response().echo();
        assert_eq!(echo.content, "abc0123456789", "split at {split}");
        assert_eq!(target.last_request().trailers.one("x-sum"), Some("5"), "split at {split}");
    }
    assert_eq!(client.send_byte_by_byte(&request).response().echo().content, "abc0123456789");
}

#[test]
fn a_chunked_response_is_read_the_same_at_every_split() {
    const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nX-Sum: 5\r\n\r\n";
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
        assert_eq!(response.text(), "abc0123456789", "{path}");
        assert_eq!(response.trailers.one("x-sum"), Some("5"), "{path}");
    }
    assert_eq!(target.connection_count(), 1, "the target's connection is kept");
}

#[test]
fn a_chunked_response_that_breaks_off_never_ends_cleanly() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    });
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n").response_head();
    let rest = client.read_rest();
    assert!(!rest.ends_with(b"0\r\n\r\n"), "a clean end after a broken response");
}

#[test]
fn a_chunked_response_that_turns_invalid_never_ends_cleanly() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\nhello\r\n0\r\n\r\n",
        )?;
        connection.read_to_end().map(drop)
    });
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    // Limpet may have seen the fault before it began to answer, then it says 502.
    let head = client.response_head();
    if head.status == 200 {
        let rest = client.read_rest();
        assert!(!rest.ends_with(b"0\r\n\r\n"), "a clean end after a broken response");
    } else {
        assert_eq!(head.status, 502);
    }
    target.wait_until_idle();
}

#[test]
fn a_chunked_request_that_breaks_off_never_reaches_the_target_whole() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    client.send(format!("{POST}\r\n5\r\nhello\r\n"));
    client.wire.finish().unwrap();
    let _ = client.read_rest();
    target.wait_until_idle();
    assert_eq!(target.request_count(), 0);
}
