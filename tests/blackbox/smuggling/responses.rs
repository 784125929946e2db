//! Responses of a target that are invalid or could be read in two ways: the client gets a 502 and
//! the target's connection is never used again.

use crate::support::{Target, config};

const INVALID: &[(&str, &[u8])] = &[
    ("no HTTP at all", b"garbage\r\n\r\n"),
    ("an empty line", b"\r\n\r\n"),
    ("another protocol", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    ("another major version", b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("a version that is none", b"HTTP/x 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("no status", b"HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
    ("a status of two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
    ("a status of four digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
    ("a status below 100", b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n"),
    ("a status that is no number", b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n"),
    ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk"),
    ("a list of lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nokk"),
    ("a length that is none", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok"),
    ("a negative length", b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok"),
    ("a positive length", b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"),
    ("a length past u64", b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nok"),
    ("length and coding", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ("chunked twice", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    ("bare CR in a value", b"HTTP/1.1 200 OK\r\nX-Y: a\rb\r\nContent-Length: 2\r\n\r\nok"),
    ("bare LF in a value", b"HTTP/1.1 200 OK\r\nX-Y: a\nb\r\nContent-Length: 2\r\n\r\nok"),
    ("a field behind a bare LF", b"HTTP/1.1 200 OK\r\nX-Y: a\nSet-Cookie: s=1\r\nContent-Length: 2\r\n\r\nok"),
    ("NUL in a value", b"HTTP/1.1 200 OK\r\nX-Y: a\0b\r\nContent-Length: 2\r\n\r\nok"),
    ("a folded value", b"HTTP/1.1 200 OK\r\nX-Y: a\r\n b\r\nContent-Length: 2\r\n\r\nok"),
    ("space before a colon", b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok"),
    ("a field without colon", b"HTTP/1.1 200 OK\r\ngarbage\r\nContent-Length: 2\r\n\r\nok"),
    ("a name that is no token", b"HTTP/1.1 200 OK\r\nX Y: z\r\nContent-Length: 2\r\n\r\nok"),
];

#[test]
fn an_invalid_response_is_a_502_and_its_connection_is_closed() {
    for (what, bytes) in INVALID {
        let target = Target::scripted(|connection| {
            let index = connection.index;
            if connection.next_request()?.is_some() {
                if index == 0 {
                    connection.send(bytes)?;
                } else {
                    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nclean")?;
                }
                connection.read_until_closed()?;
            }
            Ok(())
        });
        let limpet = config().serving(&target).start();
        let mut client = limpet.client();
        let response = client.get("/");
        assert_eq!(response.status, 502, "{what}: {}", response.head);
        assert!(response.field("content-length").is_some(), "{what}: {}", response.head);
        // The request was read whole, so the client may stay; it gets a clean connection behind.
        let next = limpet.get("/");
        assert_eq!((next.status, &*next.text()), (200, "clean"), "{what}");
        assert_eq!(target.connection_count(), 2, "{what}");
    }
}

#[test]
fn a_head_that_never_ends_is_a_502() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(b"HTTP/1.1 200 OK\r\n")?;
        for i in 0..5_000 {
            connection.send(format!("X-Field-{i}: {}\r\n", "y".repeat(100)).as_bytes())?;
        }
        connection.read_until_closed().map(drop)
    });
    let limpet = config().serving(&target).start();
    assert_eq!(limpet.get("/").status, 502);
    target.wait_until_idle();
}

#[test]
fn a_target_that_closes_without_a_response_is_a_502() {
    let target = Target::scripted(|connection| connection.next_request().map(drop));
    let limpet = config().serving(&target).start();
    assert_eq!(limpet.get("/").status, 502);
}

#[test]
fn a_target_that_closes_inside_its_head_is_a_502() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    });
    let limpet = config().serving(&target).start();
    assert_eq!(limpet.get("/").status, 502);
}

#[test]
fn a_target_that_resets_in_place_of_a_response_is_a_502() {
    let target = Target::scripted(|connection| {
        connection.next_request()?;
        connection.reset_at_end()
    });
    let limpet = config().serving(&target).start();
    assert_eq!(limpet.get("/").status, 502);
}

#[test]
fn fields_that_belong_to_one_connection_do_not_reach_the_client() {
    let target = Target::fixed(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nX-Kept: 1\r\nContent-Length: 2\r\n\r\nok",
    );
    let limpet = config().serving(&target).start();
    let response = limpet.get("/");
    for name in ["x-secret", "keep-alive", "proxy-connection"] {
        assert!(!response.fields.has(name), "{name}: {}", response.head);
    }
    assert_eq!(response.field("x-kept"), Some("1"));
}
