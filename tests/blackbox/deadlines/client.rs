//! Clients that are slow to speak, slow to send and slow to take.

use std::time::{Duration, Instant};

use super::with;
use crate::support::Target;
use crate::support::wire::DEADLINE;

#[test]
fn a_head_that_does_not_arrive_in_time_is_a_408() {
    let target = Target::echo("a");
    let limpet = with(&target, &[("timeouts.head", "300ms")], &[]);
    let mut client = limpet.client();
    let started = Instant::now();
    client.send("GET / HTTP/1.1\r\nHost: limp");
    assert_eq!(client.response().status, 408);
    client.assert_closed();
    assert!(started.elapsed() >= Duration::from_millis(250), "{:?}", started.elapsed());
    assert_eq!(target.connection_count(), 0);
}

#[test]
fn a_head_that_drips_in_gets_no_longer() {
    let target = Target::echo("a");
    let limpet = with(&target, &[("timeouts.head", "400ms")], &[]);
    let mut client = limpet.client();
    let mut writer = client.wire.writer().unwrap();
    let started = Instant::now();
    client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n");
    let dripping = std::thread::spawn(move || {
        // A byte each 20 ms: a deadline that starts anew with each byte would never pass.
        while writer.send(b"X").is_ok() && started.elapsed() < Duration::from_secs(5) {
            crate::support::pause(Duration::from_millis(20));
        }
    });
    assert_eq!(client.response().status, 408);
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    drop(client);
    dripping.join().expect("the dripping thread");
}

#[test]
fn a_connection_that_never_speaks_is_closed() {
    let target = Target::echo("a");
    let limpet =
        with(&target, &[("timeouts.head", "300ms"), ("timeouts.keep_alive", "300ms")], &[]);
    let mut client = limpet.client();
    // RFC 9110 §15.5.9 allows a 408 here; silence is as good.
    let rest = client.read_rest();
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{rest:?}");
}

#[test]
fn an_idle_kept_connection_is_closed_without_a_word() {
    let target = Target::echo("a");
    let limpet = with(&target, &[("timeouts.keep_alive", "300ms")], &[]);
    let mut client = limpet.client();
    assert_eq!(client.get("/").status, 200);
    let idle = Instant::now();
    client.assert_closed();
    assert!(idle.elapsed() >= Duration::from_millis(250), "{:?}", idle.elapsed());
}

#[test]
fn a_busy_connection_is_not_idle() {
    let target = Target::echo("a");
    let limpet = with(&target, &[("timeouts.keep_alive", "1s"), ("timeouts.head", "1s")], &[]);
    let mut client = limpet.client();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(2) {
        assert_eq!(client.get("/").status, 200);
    }
}

#[test]
fn content_that_stops_coming_is_a_408() {
    let target = Target::echo("a");
    let limpet = with(&target, &[("timeouts.content_idle", "300ms")], &[]);
    for head in
        ["Content-Length: 100\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"]
    {
        let mut client = limpet.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: limpet.test\r\n{head}"));
        assert_eq!(client.response().status, 408);
        client.assert_closed();
    }
    target.wait_until_idle();
    assert_eq!(target.request_count(), 0);
}

#[test]
fn content_slower_than_the_minimum_rate_is_given_up() {
    let target = Target::echo("a");
    let limpet = with(
        &target,
        &[("timeouts.content_idle", "1s"), ("timeouts.content_minimum_rate", "100KiB")],
        &[],
    );
    let mut client = limpet.client();
    let mut writer = client.wire.writer().unwrap();
    client.send("POST / HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 1000000\r\n\r\n");
    let started = Instant::now();
    let dripping = std::thread::spawn(move || {
        // Never silent for long, and far below the rate.
        while writer.send(b"x").is_ok() && started.elapsed() < Duration::from_secs(9) {
            crate::support::pause(Duration::from_millis(20));
        }
    });
    assert_eq!(client.response().status, 408);
    drop(client);
    dripping.join().expect("the dripping thread");
}

/// A target that answers with content without end, as fast as it is taken.
fn endless() -> Target {
    Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")?;
        let piece = [b'x'; 64 << 10];
        while connection.send(&piece).is_ok() {}
        Ok(())
    })
}

#[test]
fn a_response_that_is_taken_slower_than_the_minimum_rate_is_given_up() {
    let target = endless();
    let timeouts = [("timeouts.send_idle", "1s"), ("timeouts.send_minimum_rate", "100MiB")];
    let limpet = with(&target, &timeouts, &[]);
    let mut client = limpet.client();
    client.wire.set_receive_buffer(64 << 10).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n").response_head();
    // Never takes nothing for long, and stays far below the rate.
    let started = Instant::now();
    while client.wire.read_some().is_ok_and(|bytes| !bytes.is_empty()) {
        assert!(started.elapsed() < DEADLINE, "the client is put up with");
        crate::support::pause(Duration::from_millis(10));
    }
    target.wait_until_idle();
    let record = limpet.record(1);
    assert_eq!((record.termination(), record.text("code")), ("CDT", "client_send_timeout"));
}

#[test]
fn a_target_that_gives_little_is_not_the_clients_slowness() {
    const PIECES: usize = 30;
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n")?;
        for _ in 0..PIECES {
            crate::support::pause(Duration::from_millis(100));
            connection.send(b"x")?;
        }
        Ok(())
    });
    let timeouts = [("timeouts.send_idle", "1s"), ("timeouts.send_minimum_rate", "100MiB")];
    let limpet = with(&target, &timeouts, &[]);
    assert_eq!(limpet.get("/").content.len(), PIECES);
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")?;
        let piece = [b'x'; 64 << 10];
        while connection.send(&piece).is_ok() {}
        Ok(())
    });
    let limpet = with(&target, &[("timeouts.send_idle", "500ms")], &[]);
    let mut client = limpet.client();
    client.wire.set_receive_buffer(64 << 10).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    // The target's connection ends though the client never reads and never closes.
    target.wait_for_connections(1);
    target.wait_until_idle();
}

#[test]
fn a_client_that_reads_slowly_is_put_up_with() {
    const BYTES: usize = 12 << 20;
    let target = Target::fixed(
        [
            format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n").into_bytes(),
            vec![b'x'; BYTES],
        ]
        .concat(),
    );
    let limpet = with(&target, &[("timeouts.send_idle", "1500ms")], &[]);
    // A client that the machine holds up takes nothing for as long, and is rightly given up: then another shows it.
    let is_put_up_with = (0..10).any(|_| {
        let mut client = limpet.client();
        client.wire.set_receive_buffer(64 << 10).unwrap();
        client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n").response_head();
        let has_all = client.wire.read_slowly(BYTES);
        if has_all {
            client.assert_usable();
        }
        has_all
    });
    assert!(is_put_up_with, "each of ten was held up");
}

#[test]
fn a_connection_past_its_age_closes_behind_the_request_it_is_at() {
    let target = Target::echo("a");
    let limpet = with(&target, &[("timeouts.connection_age", "1s")], &[]);
    // The shard's clock is as new as the request before.
    limpet.client().get("/");
    let started = Instant::now();
    let mut client = limpet.client();
    let last = crate::support::poll(|| {
        let response = client.get("/");
        assert_eq!(response.status, 200);
        (response.field("connection") == Some("close")).then_some(())
    });
    assert!(last.is_some(), "the connection never ages");
    assert!(started.elapsed() >= Duration::from_millis(800), "{:?}", started.elapsed());
    client.assert_closed();
}
