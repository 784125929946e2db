//! A connection that limpet closes reads on for a while: what its client goes on to send must not become a reset,
//! which takes from the client what it has not read yet. RFC 9112 §9.6.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use crate::support::kernel::engines;
use crate::support::{Client, Limpet, Response, Target, config, group, listener, pause, poll};

const CONTENT_BYTES: usize = 100_000;

/// A limpet on `engine` whose listener has this setting besides, before targets whose responses fit into the
/// buffers of a client that does not read.
fn start(engine: &str, setting: (&str, &str)) -> (Limpet, Target) {
    let target = Target::answering(|_| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {CONTENT_BYTES}\r\n\r\n");
        [head.as_bytes(), &[b'x'; CONTENT_BYTES]].concat()
    });
    let web = listener("web").set(setting.0, setting.1);
    let config = config().process("engine", engine).listener(web);
    let limpet = config.group(group("app").target("a", &target)).start();
    (limpet, target)
}

/// A closing connection reads on for two seconds: an exchange that the machine held up for most of them shows nothing
/// by its failure, and is played again.
#[track_caller]
fn play(exchange: impl Fn()) {
    for _ in 0..10 {
        let began = Instant::now();
        match catch_unwind(AssertUnwindSafe(&exchange)) {
            Ok(()) => return,
            Err(panic) if began.elapsed() < Duration::from_millis(1500) => resume_unwind(panic),
            Err(_) => println!("held up by the machine: {:?}", began.elapsed()),
        }
    }
    panic!("ten exchanges that were held up by the machine have failed");
}

/// Sends on for a while, as one who has not looked at the response yet.
#[track_caller]
fn send_on(client: &mut Client, what: &str) {
    for _ in 0..10 {
        let sent = client.wire.send(b"and more, which nobody asked for");
        sent.unwrap_or_else(|error| panic!("{what}: {error} before the response was read"));
        pause(Duration::from_millis(5));
    }
}

#[track_caller]
fn assert_whole(client: &mut Client, what: &str) -> Response {
    let response = client.response();
    assert_eq!(client.wire.read_to_end().expect(what), b"", "{what}");
    response
}

#[test]
fn what_follows_a_last_request_takes_nothing_from_its_response() {
    let last = "HTTP/1.1\r\nHost: h\r\nConnection: close\r\n";
    for engine in engines() {
        for (what, head, content) in [
            ("a request alone", format!("GET / {last}\r\n"), ""),
            ("another behind it", format!("GET / {last}\r\n"), "GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
            ("content", format!("POST / {last}Content-Length: 4\r\n\r\n"), "some"),
        ] {
            let what = format!("{what} on {engine}");
            play(|| {
                let (limpet, target) = start(engine, ("timeouts.head", "10s"));
                let mut client = limpet.client();
                client.send(&head);
                // What comes by itself comes while the target is at work.
                target.wait_for_connections(1);
                client.send(content);
                // The system has taken the whole response by then, and the client has read nothing.
                limpet.record(1);
                send_on(&mut client, &what);
                assert_eq!(assert_whole(&mut client, &what).content.len(), CONTENT_BYTES, "{what}");
            });
        }
    }
}

#[test]
fn what_follows_a_refusal_for_lateness_takes_nothing_from_it() {
    for engine in engines() {
        for (what, setting, request) in [
            ("a late head", "timeouts.head", "GET / HTTP/1.1\r\nHost: h"),
            (
                "late content",
                "timeouts.content_idle",
                "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nsom",
            ),
            (
                "late chunks",
                "timeouts.content_idle",
                "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n",
            ),
        ] {
            let (limpet, _target) = start(engine, (setting, "300ms"));
            let mut client = limpet.client();
            client.send(request);
            limpet.record(1);
            let what = format!("{what} on {engine}");
            send_on(&mut client, &what);
            assert_eq!(assert_whole(&mut client, &what).status, 408, "{what}");
        }
    }
}

#[test]
fn what_follows_an_early_response_takes_nothing_from_it() {
    for engine in engines() {
        let target = Target::scripted(|connection| {
            if connection.next_head()?.is_some() {
                connection.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")?;
                connection.read_until_closed()?;
            }
            Ok(())
        });
        let limpet = config().process("engine", *engine).serving(&target).start();
        let mut client = limpet.client();
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nsome");
        limpet.record(1);
        send_on(&mut client, engine);
        assert_eq!(assert_whole(&mut client, engine).status, 403, "{engine}");
    }
}

/// Until limpet has ended its side of the connection, as the system tells: what was sent before has not arrived yet.
#[track_caller]
fn wait_for_the_end(limpet: &Limpet, client: &Client) {
    const FIN_WAIT1: &str = "04";
    let port = |address: &str| u16::from_str_radix(address.rsplit(':').next()?, 16).ok();
    let wanted = (Some(limpet.address().port()), Some(client.wire.local_port()));
    let end = poll(|| {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("the table of connections");
        table.lines().find_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let (own, peer, state) = (fields.next()?, fields.next()?, fields.next()?);
            ((port(own), port(peer)) == wanted && state == FIN_WAIT1).then_some(())
        })
    });
    end.expect("limpet ends its side");
}

#[test]
fn what_comes_when_an_idle_connection_is_closed_takes_nothing_from_the_response_before() {
    const LARGE_BYTES: usize = 300_000;
    for engine in engines() {
        let target = Target::answering(|_| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE_BYTES}\r\n\r\n");
            [head.as_bytes(), &[b'x'; LARGE_BYTES]].concat()
        });
        play(|| {
            let web = listener("web").set("timeouts.keep_alive", "100ms");
            let config = config().process("engine", *engine).listener(web);
            let limpet = config.group(group("app").target("a", &target)).start();
            let mut client = limpet.client();
            // What is on its way stays with limpet: the client's window is smaller.
            client.wire.set_receive_buffer(16 << 10).unwrap();
            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
            limpet.record(1);
            wait_for_the_end(&limpet, &client);
            send_on(&mut client, engine);
            let response = assert_whole(&mut client, engine);
            assert_eq!(response.content.len(), LARGE_BYTES, "{engine}");
        });
    }
}
