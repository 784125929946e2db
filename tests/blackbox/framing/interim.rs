//! Interim responses: 100 on Expect, 103, and the 101 that nobody asked for. RFC 9110 §15.2.

use crate::support::{Target, config};

const EXPECTING: &str =
    "POST /e HTTP/1.1\r\nHost: limpet.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

#[test]
fn a_target_that_says_continue_is_heard_before_the_content_is_sent() {
    let target = Target::scripted(|connection| {
        let Some(mut request) = connection.next_head()? else { return Ok(()) };
        assert_eq!(request.fields.one("expect"), Some("100-continue"));
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        connection.read_request_content(&mut request)?;
        assert_eq!(request.content, b"hello");
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        connection.read_to_end().map(drop)
    });
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    assert_eq!(client.send(EXPECTING).response().status, 100);
    let response = client.send("hello").response();
    assert_eq!((response.status, &*response.text()), (200, "ok"));
}

#[test]
fn a_client_that_does_not_wait_for_continue_is_served() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    client.send(format!("{EXPECTING}hello"));
    let mut response = client.response();
    while response.status == 100 {
        response = client.response();
    }
    assert_eq!(response.echo().content, "hello");
}

#[test]
fn a_final_response_in_place_of_continue_is_delivered_and_closes() {
    let target = Target::scripted(|connection| {
        connection.next_head()?;
        connection.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")?;
        connection.read_until_closed().map(drop)
    });
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    let response = client.send(EXPECTING).response();
    assert_eq!((response.status, &*response.text()), (401, "no"));
    client.assert_closed();
    target.wait_until_idle();
}

#[test]
fn an_answer_of_limpets_own_needs_no_content() {
    let target = Target::refusing("a");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    assert_eq!(client.send(EXPECTING).response().status, 502);
}

#[test]
fn another_expectation_is_answered_417() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let response = limpet.client().get_with("/", "Expect: the-spanish-inquisition\r\n");
    assert_eq!(response.status, 417);
    assert_eq!(target.request_count(), 0);
}

#[test]
fn early_hints_reach_the_client_before_the_response() {
    let target = Target::fixed(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    for _ in 0..2 {
        let first = client.get("/");
        assert_eq!((first.status, first.field("link")), (103, Some("</a.css>")));
        assert_eq!(client.response().field("link"), Some("</b.css>"));
        assert_eq!(client.response().text(), "ok");
    }
    assert_eq!(target.connection_count(), 1);
}

#[test]
fn an_http_1_0_client_gets_no_interim_response() {
    let target = Target::fixed(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    let response = client.send("GET / HTTP/1.0\r\nHost: limpet.test\r\n\r\n").response();
    assert_eq!((response.status, &*response.text()), (200, "ok"));
}

#[test]
fn a_101_that_nobody_asked_for_is_a_502() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        )?;
        connection.read_until_closed().map(drop)
    });
    let limpet = config().serving(&target).start();
    assert_eq!(limpet.get("/").status, 502);
    target.wait_until_idle();
}
