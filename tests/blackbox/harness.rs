//! The harness against itself: client straight to target, so that a failure elsewhere is limpet's.

use crate::support::wire::Wire;
use crate::support::{Client, Framing, Target};

fn direct(target: &Target) -> Client {
    Client::connect(target.address().parse().unwrap())
}

#[test]
fn an_echo_target_says_what_it_saw() {
    let target = Target::echo("a");
    let mut client = direct(&target);
    let echo = client.post("/x?y", b"hello").echo();
    assert_eq!((&*echo.target, &*echo.method, &*echo.path), ("a", "POST", "/x?y"));
    assert_eq!(echo.content, "hello");
    assert_eq!(echo.fields.one("host"), Some("limpet.test"));
    assert_eq!(target.request_count(), 1);
    assert_eq!(target.connection_count(), 1);
    assert!(target.received()[0].starts_with("POST /x?y HTTP/1.1\r\n"));
}

#[test]
fn messages_are_read_the_same_at_every_split() {
    let target = Target::echo("a");
    let request = "POST /s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n";
    for split in 1..request.len() {
        let response = direct(&target).send_split(request, &[split]).response();
        assert_eq!(response.echo().content, "abcde");
        assert_eq!(target.last_request().trailers.one("x-sum"), Some("5"));
        assert_eq!(target.last_request().size_lines, ["3", "2", "0"]);
    }
}

#[test]
fn a_target_keeps_its_port_while_it_is_down() {
    let mut target = Target::echo("a");
    let address = target.address().parse().unwrap();
    target.down();
    let refused = Wire::connect(address).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    target.up();
    assert_eq!(direct(&target).get("/").target(), "a");
}

#[test]
fn a_reset_is_told_from_an_end() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")?;
        connection.reset_at_end()
    });
    let mut client = direct(&target);
    let error = client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").wire.read_response("GET");
    assert_eq!(error.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_close_delimited_response_is_read_to_its_end() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
    });
    let response = direct(&target).get("/");
    assert_eq!((response.framing, &*response.text()), (Framing::Close, "all of it"));
    target.wait_until_idle();
}
