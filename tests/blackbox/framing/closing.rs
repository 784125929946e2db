//! Close-delimited responses, HTTP/1.0 clients, and when a connection stays. RFC 9112 §9.3.

use crate::support::{Framing, Target, config};

/// A response whose content ends with the connection.
fn until_close() -> Target {
    Target::scripted(|connection| {
        if connection.next_request()?.is_some() {
            connection.send(b"HTTP/1.1 200 OK\r\nX-Y: z\r\n\r\nfirst ")?;
            connection.send(b"second")?;
        }
        Ok(())
    })
}

#[test]
fn a_close_delimited_response_is_reframed_as_chunked_for_a_client_that_stays() {
    let target = until_close();
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!(response.framing, Framing::Chunked, "{}", response.head);
        assert_eq!((&*response.text(), response.field("x-y")), ("first second", Some("z")));
    }
    assert_eq!(target.connection_count(), 2);
}

#[test]
fn a_close_delimited_response_stays_so_for_an_http_1_0_client() {
    let target = until_close();
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    client.send("GET / HTTP/1.0\r\nHost: limpet.test\r\nConnection: keep-alive\r\n\r\n");
    let response = client.response();
    assert_eq!((response.framing, &*response.text()), (Framing::Close, "first second"));
    assert_ne!(response.field("connection"), Some("keep-alive"));
}

#[test]
fn a_close_delimited_response_reaches_a_client_that_leaves() {
    let target = until_close();
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    assert_eq!(client.get_with("/", "Connection: close\r\n").text(), "first second");
    client.assert_closed();
}

#[test]
fn a_reset_inside_a_close_delimited_response_never_looks_like_its_end() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")?;
        connection.reset_at_end()
    });
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    // The reset may overtake the head, then the answer is a 502.
    let head = client.response_head();
    if head.status == 200 {
        let rest = client.read_rest();
        assert!(!rest.ends_with(b"0\r\n\r\n"), "a clean end after a reset");
    } else {
        assert_eq!(head.status, 502);
    }
}

#[test]
fn a_chunked_response_is_unframed_for_an_http_1_0_client() {
    let target = Target::fixed(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    let response = client.send("GET / HTTP/1.0\r\nHost: limpet.test\r\n\r\n").response();
    assert!(!response.fields.has("transfer-encoding"), "{}", response.head);
    assert_eq!(response.text(), "abcde");
    client.assert_closed();
}

#[test]
fn a_broken_chunked_response_is_a_reset_for_an_http_1_0_client() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    });
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    client.send("GET / HTTP/1.0\r\nHost: limpet.test\r\n\r\n");
    // Without framing of its own only a reset tells a broken response from a whole one.
    let outcome = client.wire.read_response("GET");
    assert!(
        outcome.as_ref().is_err() || outcome.as_ref().is_ok_and(|r| r.status == 502),
        "a broken response ended cleanly: {outcome:?}"
    );
}

#[test]
fn an_http_1_0_client_is_answered_and_closed() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    let response = client.send("GET /old HTTP/1.0\r\nHost: limpet.test\r\n\r\n").response();
    assert_eq!(response.echo().path, "/old");
    client.assert_closed();
    assert_eq!(target.last_request().version, "HTTP/1.1");
}

#[test]
fn an_http_1_0_client_that_asks_for_it_is_kept() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    for _ in 0..3 {
        client.send("GET / HTTP/1.0\r\nHost: limpet.test\r\nConnection: Keep-Alive\r\n\r\n");
        let response = client.response();
        let connection = response.field("connection").unwrap_or_default().to_ascii_lowercase();
        assert_eq!(connection, "keep-alive");
    }
}

#[test]
fn an_http_1_0_client_may_leave_out_host() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let response = limpet.client().send("GET / HTTP/1.0\r\n\r\n").response();
    // RFC 9112 §3.2: an HTTP/1.1 request, such as limpet's own, has a Host.
    assert!(response.echo().fields.has("host"));
}

#[test]
fn a_client_that_says_close_is_closed_after_its_response() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    let response = client.get_with("/", "Connection: close\r\n");
    assert_eq!(response.field("connection"), Some("close"));
    client.assert_closed();
}

#[test]
fn a_target_that_closes_does_not_close_the_client() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
    });
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    for _ in 0..3 {
        let response = client.get("/");
        assert_eq!(response.text(), "ok");
        assert_ne!(response.field("connection"), Some("close"));
    }
    assert_eq!(target.connection_count(), 3);
}

#[test]
fn an_http_1_0_target_is_understood_and_not_kept() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        // The connection stays open here: limpet is the one that must not keep it.
        connection.read_to_end().map(drop)
    });
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    assert_eq!(client.get("/").text(), "ok");
    let response = client.get("/");
    assert_eq!((&*response.version, &*response.text()), ("HTTP/1.1", "ok"));
    assert_eq!(target.connection_count(), 2);
    target.wait_until_idle();
}

#[test]
fn a_target_connection_with_bytes_past_the_end_is_not_used_again() {
    let target = Target::scripted(|connection| {
        let index = connection.index;
        while connection.next_request()?.is_some() {
            connection.send(
                format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{index}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison").as_bytes(),
            )?;
        }
        Ok(())
    });
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    for index in 0..3 {
        assert_eq!(client.get("/").text(), index.to_string());
    }
    target.wait_until_idle();
}

#[test]
fn a_target_connection_that_spoke_while_idle_is_not_used_again() {
    let (say, told) = std::sync::mpsc::channel::<()>();
    let (done, spoken) = std::sync::mpsc::channel::<()>();
    let told = std::sync::Mutex::new(told);
    let target = Target::scripted(move |connection| {
        let index = connection.index;
        connection.next_request()?;
        connection
            .send(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{index}").as_bytes())?;
        if index == 0 {
            told.lock().unwrap().recv().unwrap();
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")?;
            done.send(()).unwrap();
        }
        connection.read_to_end().map(drop)
    });
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    assert_eq!(client.get("/").text(), "0");
    say.send(()).unwrap();
    spoken.recv().unwrap();
    assert_eq!(client.get("/").text(), "1");
}
