//! Handshakes that fail: whom it concerns is told, and nobody else.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::secure;
use crate::support::tls::{self, Authority, NAME};
use crate::support::wire::Wire;
use crate::support::{Limpet, Target, config, listener, poll};

/// What a peer that sends these bytes gets, until the end.
fn answer_to(limpet: &Limpet, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(limpet.address()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    // A reset is an end as well.
    let _ = socket.read_to_end(&mut answer);
    answer
}

/// Waits until a handshake of the listener has failed for this reason.
#[track_caller]
fn until_failed(limpet: &Limpet, reason: &str) {
    let line =
        format!("limpet_tls_handshake_failures_total{{listener=\"web\",reason=\"{reason}\"}} ");
    let failed = poll(|| limpet.admin().text("/metrics").contains(&line).then_some(()));
    assert!(failed.is_some(), "no {line}: {}", limpet.stderr());
}

#[test]
fn a_request_in_clear_is_told_to_come_with_tls() {
    let target = Target::echo("a");
    let limpet = secure(&target).start();
    let answer = answer_to(&limpet, b"GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("HTTPS"), "{answer}");
    assert_eq!(target.request_count(), 0);
}

/// Malformed beginnings, and the alert that they get (RFC 8446 §6), if any.
const MALFORMED: &[(&str, &[u8], Option<u8>)] = &[
    ("nothing of TLS", b"\x05\x01\x00", None),
    ("zeroes", &[0; 64], None),
    ("an alert first", &[21, 3, 3, 0, 2, 1, 0], None),
    ("data first", &[23, 3, 3, 0, 5, 1, 2, 3, 4, 5], None),
    ("an empty hello", &[22, 3, 1, 0, 4, 1, 0, 0, 0], Some(50)),
    ("a record of version 0", &[22, 0, 0, 0, 4, 1, 0, 0, 0], Some(70)),
    ("a record that is too long", &[22, 3, 1, 0xff, 0xff, 1, 0, 0, 0], Some(22)),
    ("another message", &[22, 3, 3, 0, 4, 20, 0, 0, 0], Some(10)),
];

#[test]
fn malformed_handshakes_end_at_once_and_limpet_goes_on() {
    let target = Target::echo("a");
    let limpet = config().with_admin().listener(listener("web").tls()).serving(&target).start();
    for (what, bytes, alert) in MALFORMED {
        let began = Instant::now();
        let answer = answer_to(&limpet, bytes);
        assert!(began.elapsed() < Duration::from_secs(5), "{what}: it hangs");
        match alert {
            Some(alert) => assert_eq!(answer.last(), Some(alert), "{what}: {answer:?}"),
            None => assert!(answer.is_empty() || answer[0] == 21, "{what}: {answer:?}"),
        }
    }
    assert_eq!(limpet.tls_client(&tls::client(), NAME).get("/").status, 200);
    assert_eq!(target.request_count(), 1);
}

#[test]
fn a_hello_cut_anywhere_is_only_a_client_that_left() {
    let target = Target::echo("a");
    let limpet = secure(&target).start();
    let mut hello = Vec::new();
    let name = rustls::pki_types::ServerName::try_from(NAME).unwrap();
    let mut client = rustls::ClientConnection::new(tls::client(), name).unwrap();
    client.write_tls(&mut hello).unwrap();
    for cut in [1, 5, 6, 9, 40, hello.len() / 2, hello.len() - 1, hello.len()] {
        let mut socket = TcpStream::connect(limpet.address()).unwrap();
        socket.write_all(&hello[..cut]).unwrap();
        drop(socket);
    }
    assert_eq!(limpet.tls_client(&tls::client(), NAME).get("/").status, 200);
}

#[test]
fn who_does_not_go_on_is_closed_in_time() {
    let target = Target::echo("a");
    let section = listener("web").tls().set("timeouts.handshake", "300ms");
    let limpet = config().with_admin().listener(section).serving(&target).start();
    let began = Instant::now();
    assert_eq!(answer_to(&limpet, &[22, 3, 1]), b"");
    assert!(began.elapsed() >= Duration::from_millis(290), "{:?}", began.elapsed());
    until_failed(&limpet, "handshake_timeout");
}

#[test]
fn a_client_that_does_not_trust_the_certificate_is_heard_and_counted() {
    let target = Target::echo("a");
    let limpet = config().with_admin().listener(listener("web").tls()).serving(&target).start();
    let stranger = Authority::new("another").client();
    assert!(Wire::connect_tls(limpet.address(), stranger, NAME).is_err());
    until_failed(&limpet, "alert_received");
}

#[test]
fn handshakes_beyond_the_limit_wait_and_the_silent_make_room() {
    let target = Target::echo("a");
    let section = listener("web").tls().set("limits.handshakes", 2);
    let limpet = config().with_admin().listener(section).serving(&target).start();
    let silent: Vec<TcpStream> =
        (0..2).map(|_| TcpStream::connect(limpet.address()).unwrap()).collect();
    // They are closed for the client behind them, which is served.
    assert_eq!(limpet.tls_client(&tls::client(), NAME).get("/").status, 200);
    until_failed(&limpet, "too_many_handshakes");
    drop(silent);
}
