//! Targets that do not answer, do not go on, or cannot be reached.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::with;
use crate::support::{Target, config, group};

/// A port whose backlog is full: a connect neither succeeds nor fails.
pub(super) struct Blackhole {
    pub(super) address: SocketAddr,
    _listening: Socket,
    _waiting: Vec<TcpStream>,
}

impl Blackhole {
    pub(super) fn new() -> Blackhole {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut waiting = Vec::new();
        // Connections fill the queue until one of them gets no answer.
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            waiting.push(stream);
            assert!(waiting.len() < 64, "the backlog does not fill");
        }
        Blackhole { address, _listening: socket, _waiting: waiting }
    }
}

#[test]
fn a_connect_past_its_deadline_is_a_504() {
    let hole = Blackhole::new();
    let app = group("app").set("timeouts.connect", "300ms").set("retries.count", 0).target_at(
        "hole",
        &hole.address.to_string(),
        "",
    );
    let limpet = config().group(app).start();
    let started = Instant::now();
    let mut client = limpet.client();
    assert_eq!(client.get("/").status, 504);
    assert!(started.elapsed() >= Duration::from_millis(250));
    assert_eq!(client.get("/").status, 504, "the client stays");
}

#[test]
fn a_connect_past_its_deadline_is_retried_on_another_target() {
    let hole = Blackhole::new();
    let up = Target::echo("up");
    let app = group("app")
        .set("timeouts.connect", "200ms")
        .target_at("hole", &hole.address.to_string(), "")
        .target("up", &up);
    let limpet = config().group(app).start();
    let mut client = limpet.client();
    assert_eq!(client.get("/").target(), "up");
    assert_eq!(client.get("/").target(), "up");
}

#[test]
fn a_response_past_its_deadline_is_a_504() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.read_until_closed().map(drop)
    });
    let limpet = with(&target, &[], &[("timeouts.response", "300ms")]);
    let started = Instant::now();
    let mut client = limpet.client();
    assert_eq!(client.get("/").status, 504);
    assert!(started.elapsed() >= Duration::from_millis(250));
    target.wait_until_idle();
    assert_eq!(target.request_count(), 1, "a request that was sent is not sent again");
}

#[test]
fn the_response_deadline_counts_from_the_requests_end() {
    let target = Target::echo("a");
    let limpet = with(&target, &[], &[("timeouts.response", "400ms")]);
    let mut client = limpet.client();
    client.send("POST / HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 10\r\n\r\n");
    // The client takes longer than the deadline, which is its good right.
    for _ in 0..10 {
        crate::support::pause(Duration::from_millis(80));
        client.send("x");
    }
    assert_eq!(client.response().echo().content, "xxxxxxxxxx");
}

#[test]
fn a_head_that_drips_in_from_the_target_is_a_504() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(b"HTTP/1.1 200 OK\r\n")?;
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(5) && connection.send(b"X").is_ok() {
            crate::support::pause(Duration::from_millis(20));
        }
        Ok(())
    });
    let limpet = with(&target, &[], &[("timeouts.response", "400ms")]);
    assert_eq!(limpet.get("/").status, 504);
}

#[test]
fn a_response_that_stops_is_aborted() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")?;
        connection.read_until_closed().map(drop)
    });
    let limpet = with(&target, &[], &[("timeouts.content_idle", "300ms")]);
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n").response_head();
    assert!(!client.read_rest().ends_with(b"0\r\n\r\n"), "a clean end after a broken response");
    target.wait_until_idle();
}

#[test]
fn a_slow_response_that_goes_on_is_not_aborted() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")?;
        for _ in 0..10 {
            crate::support::pause(Duration::from_millis(100));
            connection.send(b"x")?;
        }
        Ok(())
    });
    let limpet = with(
        &target,
        &[
            ("timeouts.content_idle", "600ms"),
            ("timeouts.keep_alive", "600ms"),
            ("timeouts.head", "600ms"),
        ],
        &[("timeouts.content_idle", "600ms"), ("timeouts.response", "600ms")],
    );
    assert_eq!(limpet.get("/").text(), "xxxxxxxxxx");
}

/// Begins to answer while the content is still coming, and goes on long after its end.
fn overlapping(goes_on_after: Duration) -> Target {
    Target::scripted(move |connection| {
        while let Some(mut request) = connection.next_head()? {
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")?;
            connection.read_request_content(&mut request)?;
            crate::support::pause(goes_on_after);
            connection.send(b"later")?;
        }
        Ok(())
    })
}

#[test]
fn the_end_of_the_content_sets_no_deadline_for_a_response_that_has_begun() {
    let target = overlapping(Duration::from_millis(900));
    let limpet = with(&target, &[], &[("timeouts.response", "200ms")]);
    for head in ["Content-Length: 4\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"] {
        let mut client = limpet.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: limpet.test\r\n{head}"));
        assert_eq!(client.response_head().status, 200);
        assert_eq!(client.wire.read_exactly(5).unwrap(), b"first");
        client.send(if head.starts_with('C') { "last" } else { "4\r\nlast\r\n0\r\n\r\n" });
        assert_eq!(client.wire.read_exactly(5).expect("the rest"), b"later");
    }
}

#[test]
fn a_response_that_stops_after_the_end_of_the_content_is_still_aborted() {
    let target = overlapping(Duration::from_secs(5));
    let limpet = with(&target, &[], &[("timeouts.content_idle", "300ms")]);
    let mut client = limpet.client();
    client.send("POST / HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(client.response_head().status, 200);
    assert_eq!(client.wire.read_exactly(5).unwrap(), b"first");
    client.send("last");
    assert_eq!(client.read_rest(), b"");
}

#[test]
fn the_end_of_the_content_does_not_shorten_the_clients_time_to_take_the_response() {
    let length = 16 << 20;
    let target = Target::scripted(move |connection| {
        let Some(mut request) = connection.next_head()? else { return Ok(()) };
        connection
            .send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes())?;
        let mut writer = connection.writer()?;
        let sending = std::thread::spawn(move || writer.send(&vec![b'x'; length]));
        connection.read_request_content(&mut request)?;
        sending.join().expect("the sending thread")?;
        connection.read_until_closed().map(drop)
    });
    let limpet = with(
        &target,
        &[("timeouts.send_idle", "8s")],
        &[("timeouts.response", "200ms"), ("timeouts.content_idle", "60s")],
    );
    let mut client = limpet.client();
    client.send("POST / HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(client.response_head().status, 200);
    // Meanwhile what the client does not take fills all buffers up.
    crate::support::pause(Duration::from_millis(500));
    client.send("last");
    // Longer than a deadline that was set by the content's end, and shorter than the client's own.
    crate::support::pause(Duration::from_millis(4000));
    assert_eq!(client.wire.read_exactly(length).expect("all of it").len(), length);
}

#[test]
fn a_head_that_was_begun_before_the_contents_end_and_stops_is_a_504() {
    let target = Target::scripted(|connection| {
        let Some(mut request) = connection.next_head()? else { return Ok(()) };
        connection.send(b"HTTP/1.1 200 OK\r\n")?;
        connection.read_request_content(&mut request)?;
        connection.read_until_closed().map(drop)
    });
    let limpet = with(&target, &[], &[("timeouts.response", "300ms")]);
    let mut client = limpet.client();
    client.send("POST / HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 4\r\n\r\n");
    target.wait_for_requests(1);
    // So that the head's beginning has most likely been received.
    crate::support::pause(Duration::from_millis(100));
    assert_eq!(client.send("last").response().status, 504);
}
