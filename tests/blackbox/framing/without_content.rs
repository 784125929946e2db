//! HEAD, 204 and 304 have no content whatever their fields say. RFC 9112 §6.3 rule 1.

use crate::support::{Target, config};

#[test]
fn a_response_to_head_has_fields_but_no_content() {
    let target = Target::fixed("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    for _ in 0..3 {
        client.send("HEAD / HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
        let response = client.response_to("HEAD");
        assert_eq!((response.status, response.field("content-length")), (200, Some("1000")));
    }
    assert_eq!(target.connection_count(), 1, "the target's connection is kept");
}

#[test]
fn a_chunked_response_to_head_has_no_content() {
    let target = Target::fixed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
        assert_eq!(client.response_to("HEAD").status, 200);
    }
    assert_eq!(target.connection_count(), 1);
}

#[test]
fn a_head_response_without_length_does_not_wait_for_the_targets_end() {
    let target = Target::fixed("HTTP/1.1 200 OK\r\nX-Y: z\r\n\r\n");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    client.send("HEAD / HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    assert_eq!(client.response_to("HEAD").field("x-y"), Some("z"));
    client.send("HEAD / HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    assert_eq!(client.response_to("HEAD").status, 200);
}

#[test]
fn no_content_and_not_modified_end_with_their_head() {
    for head in [
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        let target = Target::fixed(head);
        let limpet = config().serving(&target).start();
        let mut client = limpet.client();
        for _ in 0..2 {
            let response = client.get("/");
            assert!(matches!(response.status, 204 | 304), "{head:?}: {}", response.head);
        }
        assert_eq!(target.request_count(), 2, "{head:?}");
    }
}

#[test]
fn a_204_is_sent_without_framing_fields() {
    let target = Target::fixed("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n");
    let limpet = config().serving(&target).start();
    let response = limpet.get("/");
    // RFC 9110 §8.6: no Content-Length in a response with status 204.
    assert!(!response.fields.has("transfer-encoding"), "{}", response.head);
    assert!(!response.fields.has("content-length"), "{}", response.head);
}

#[test]
fn content_after_a_204_is_never_taken_for_the_next_response() {
    let target = Target::scripted(|connection| {
        let index = connection.index;
        while connection.next_request()?.is_some() {
            if index == 0 {
                connection.send(b"HTTP/1.1 204 No Content\r\nContent-Length: 38\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
            } else {
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nreal")?;
            }
        }
        Ok(())
    });
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    assert_eq!(client.get("/").status, 204);
    assert_eq!(client.get("/").text(), "real");
}
