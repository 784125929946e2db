//! The floor between a raw client and a responder, or a raw target: it moves bytes and ends, both ways.

mod running;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use running::{CLOSE, Running, answer, expect, last, read_all};

fn floor(target: &str, more: &[&str]) -> Running {
    let arguments = ["floor", "--listen", "127.0.0.1:0", "--target", target];
    Running::start(&[&arguments, more].concat())
}

/// A connection through a floor: its client's end and its target's.
fn through() -> (Running, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let floor = floor(&listener.local_addr().unwrap().to_string(), &[]);
    let client = floor.connect();
    let target = listener.accept().unwrap().0;
    target.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    (floor, client, target)
}

#[test]
fn requests_and_answers_pass_unchanged_with_heads_parsed_or_not() {
    let responder = Running::responder(&["--size", "3"]);
    for more in [&[][..], &["--parse"], &["--core", "0,0"]] {
        let floor = floor(&responder.address, more);
        let mut stream = floor.connect();
        for at in 0..50 {
            let request = format!("POST / HTTP/1.1\r\nX-Echo: {at}\r\nContent-Length: 2\r\n\r\nab");
            stream.write_all(request.as_bytes()).unwrap();
            let fields = format!("X-Request-Echo: {at}\r\nX-Request-Received: 2\r\n");
            expect(&mut stream, &answer(&fields, "xxx"));
        }
        stream.write_all(last("/").as_bytes()).unwrap();
        assert_eq!(read_all(&mut stream), answer(CLOSE, "xxx"));
    }
}

#[test]
fn the_connection_to_the_target_is_there_before_the_first_byte() {
    let (_floor, _client, target) = through();
    assert!(target.peer_addr().is_ok());
}

#[test]
fn large_content_passes_both_ways_at_once_in_its_order() {
    let (_floor, client, target) = through();
    let bytes: Vec<u8> = (0..8_000_000_u32).map(|at| (at % 251) as u8).collect();
    thread::scope(|scope| {
        for mut stream in [&client, &target] {
            let bytes = &bytes;
            scope.spawn(move || {
                stream.write_all(bytes).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
            });
            scope.spawn(move || {
                let mut arrived = Vec::new();
                stream.read_to_end(&mut arrived).unwrap();
                assert!(arrived == *bytes);
            });
        }
    });
}

#[test]
fn a_half_close_passes_and_the_other_half_stays_open() {
    let (_floor, mut client, mut target) = through();
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut target), "question");
    target.write_all(b"answer").unwrap();
    expect(&mut client, "answer");
    target.write_all(b" and more").unwrap();
    drop(target);
    assert_eq!(read_all(&mut client), " and more");
}

#[test]
fn a_targets_end_passes_to_the_client() {
    let (_floor, mut client, mut target) = through();
    target.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut client), "");
    client.write_all(b"late").unwrap();
    drop(client);
    assert_eq!(read_all(&mut target), "late");
}

#[test]
fn a_reset_passes_to_the_other_side() {
    let responder = Running::responder(&[]);
    let floor = floor(&responder.address, &[]);
    let mut stream = floor.connect();
    stream.write_all(b"GET /?fault=reset HTTP/1.1\r\n\r\n").unwrap();
    let error = stream.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_target_that_is_not_there_resets_the_client() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let floor = floor(&listener.local_addr().unwrap().to_string(), &[]);
    drop(listener);
    let error = floor.connect().read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn clients_that_do_not_read_leave_the_others_their_share() {
    let responder = Running::responder(&["--size", "3"]);
    let floor = floor(&responder.address, &[]);
    let mut slow: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = floor.connect();
            stream.write_all(last("/?size=30000000").as_bytes()).unwrap();
            stream
        })
        .collect();
    for _ in 0..100 {
        let mut stream = floor.connect();
        stream.write_all(last("/").as_bytes()).unwrap();
        assert_eq!(read_all(&mut stream), answer(CLOSE, "xxx"));
    }
    // And what they have not read is still there for them.
    assert!(read_all(&mut slow[0]) == answer(CLOSE, &"x".repeat(30_000_000)));
}

#[test]
fn it_ends_when_told_to() {
    let (mut floor, _client, _target) = through();
    assert!(floor.terminate().success());
}
