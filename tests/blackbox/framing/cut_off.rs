//! What is cut is seen as cut: a target never takes a request that was broken off for a whole one, nor a client a
//! response, because the connection ends with a reset and not as one does that has said all. RFC 9112 §8.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::support::config::Config;
use crate::support::kernel::has_io_uring;
use crate::support::wire::DEADLINE;
use crate::support::{Client, Target, config, group, listener, poll};

const HEAD: &str = "POST /up HTTP/1.1\r\nHost: limpet.test\r\n";

/// Beginnings of a request whose content is still to come, in each kind of framing.
const BEGINNINGS: [&str; 2] =
    ["Content-Length: 100\r\n\r\nsome", "Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n"];

/// How a connection ended; an error is no clean end.
type End = io::Result<()>;

/// A target that does not count bytes: it reads a request's head, answers at once with `early`, and tells how what
/// follows the head ends.
fn reading(early: &'static [u8]) -> (Target, Receiver<End>) {
    let (report, ends) = channel();
    let target = Target::scripted(move |connection| {
        if connection.next_head()?.is_some() {
            connection.send(early)?;
            report.send(connection.read_to_end().map(drop)).expect("the test listens");
        }
        Ok(())
    });
    (target, ends)
}

#[track_caller]
fn assert_reset(what: &str, end: End) {
    let kind = end.expect_err(&format!("{what}: it was a clean end")).kind();
    assert_eq!(kind, io::ErrorKind::ConnectionReset, "{what}");
}

#[track_caller]
fn assert_ends_reset(what: &str, ends: &Receiver<End>) {
    assert_reset(what, ends.recv_timeout(DEADLINE).expect("the target's connection ends"));
}

/// Every engine that this machine has.
fn engines() -> &'static [&'static str] {
    if has_io_uring() { &["io_uring", "tokio_uring", "epoll"] } else { &["epoll"] }
}

/// Begins a request on each engine and in each framing, cuts it so, and expects that the target sees it as cut.
#[track_caller]
fn assert_cut(how: &str, settings: fn(Config) -> Config, cut: impl Fn(Client)) {
    for engine in engines() {
        for beginning in BEGINNINGS {
            let (target, ends) = reading(b"");
            let config =
                config().process("engine", *engine).group(group("app").target("a", &target));
            let limpet = settings(config).start();
            let mut client = limpet.client();
            client.send(format!("{HEAD}{beginning}"));
            poll(|| target.received().concat().contains("some").then_some(())).expect("content");
            cut(client);
            assert_ends_reset(&format!("{how} on {engine}: {beginning}"), &ends);
        }
    }
}

#[test]
fn a_request_of_a_client_that_closes_is_reset() {
    assert_cut("closed", |config| config, drop);
}

#[test]
fn a_request_of_a_client_that_half_closes_is_reset() {
    assert_cut(
        "half-closed",
        |config| config,
        |mut client| {
            client.wire.finish().unwrap();
            client.read_rest();
        },
    );
}

#[test]
fn a_request_of_a_client_that_resets_is_reset() {
    assert_cut("reset", |config| config, |client| client.wire.reset().unwrap());
}

#[test]
fn a_request_whose_content_stops_coming_is_reset() {
    let settings =
        |config: Config| config.listener(listener("web").set("timeouts.content_idle", "200ms"));
    assert_cut("stopped", settings, |mut client| assert_eq!(client.response().status, 408));
}

#[test]
fn a_request_whose_chunks_turn_out_invalid_is_reset() {
    for engine in engines() {
        let (target, ends) = reading(b"");
        let limpet = config().process("engine", *engine).serving(&target).start();
        let mut client = limpet.client();
        client.send(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n"));
        poll(|| target.received().concat().contains("some").then_some(())).expect("content");
        assert_eq!(client.send("no chunk\r\n").response().status, 400);
        assert_ends_reset(engine, &ends);
    }
}

#[test]
fn a_request_that_a_stop_cuts_off_is_reset() {
    for engine in engines() {
        for beginning in BEGINNINGS {
            let (target, ends) = reading(b"");
            let config = config().process("engine", *engine).process("grace_period", "100ms");
            let mut limpet = config.serving(&target).start();
            let mut client = limpet.client();
            client.send(format!("{HEAD}{beginning}"));
            poll(|| target.received().concat().contains("some").then_some(())).expect("content");
            limpet.stop();
            assert_ends_reset(&format!("{engine}: {beginning}"), &ends);
        }
    }
}

#[test]
fn a_request_that_its_response_overtook_is_reset() {
    for engine in engines() {
        let (target, ends) = reading(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        let limpet = config().process("engine", *engine).serving(&target).start();
        let mut client = limpet.client();
        client.send(format!("{HEAD}Content-Length: 1000000\r\n\r\nsome"));
        assert_eq!(client.response().status, 403);
        assert_ends_reset(engine, &ends);
    }
}

/// The start of a response whose content is still to come; without a length, an HTTP/1.0 client cannot tell its end.
fn beginning_to_answer(
    stall: impl Fn(&mut crate::support::target::Connection) -> io::Result<()> + Send + Sync + 'static,
) -> Target {
    Target::scripted(move |connection| {
        if connection.next_request()?.is_some() {
            connection
                .send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n")?;
            stall(connection)?;
        }
        Ok(())
    })
}

/// Asks as an HTTP/1.0 client does, which takes what it has at a clean end for the whole.
#[track_caller]
fn assert_response_reset(what: &str, client: &mut Client) {
    assert_eq!(client.wire.read_exactly(4).unwrap(), b"some");
    assert_reset(what, client.wire.read_to_end().map(drop));
}

#[test]
fn a_response_that_stops_coming_is_reset() {
    for engine in engines() {
        let target = beginning_to_answer(|connection| connection.read_until_closed().map(drop));
        let app = group("app").set("timeouts.content_idle", "200ms").target("a", &target);
        let limpet = config().process("engine", *engine).group(app).start();
        let mut client = limpet.client();
        client.send("GET / HTTP/1.0\r\n\r\n").response_head();
        assert_response_reset(engine, &mut client);
    }
}

#[test]
fn a_response_that_a_stop_cuts_off_is_reset() {
    for engine in engines() {
        let target = beginning_to_answer(|connection| connection.read_until_closed().map(drop));
        let config = config().process("engine", *engine).process("grace_period", "100ms");
        let mut limpet = config.serving(&target).start();
        let mut client = limpet.client();
        client.send("GET / HTTP/1.0\r\n\r\n").response_head();
        limpet.stop();
        assert_response_reset(engine, &mut client);
    }
}

/// More than the buffers of the system take while nobody reads.
const LARGE_BYTES: usize = 64 << 20;

#[test]
fn a_response_that_the_client_does_not_take_in_time_is_reset() {
    for engine in engines() {
        let content = vec![b'x'; 1 << 20];
        let target = Target::scripted(move |connection| {
            if connection.next_request()?.is_some() {
                connection.send(b"HTTP/1.1 200 OK\r\n\r\n")?;
                (0..LARGE_BYTES >> 20).try_for_each(|_| connection.send(&content))?;
            }
            Ok(())
        });
        let web = listener("web").set("timeouts.send_idle", "200ms");
        let config = config().process("engine", *engine).listener(web);
        let limpet = config.group(group("app").target("a", &target)).start();
        let mut client = limpet.client();
        client.send("GET / HTTP/1.0\r\n\r\n").response_head();
        // Nothing is read until limpet has lost its patience.
        limpet.record(1);
        assert_reset(engine, client.wire.read_to_end().map(drop));
    }
}

/// The kernel tells of a reset once. Where the send of the request's content hears of it, the receive of the response
/// finds an end, which is no clean one.
#[test]
fn a_response_that_a_target_cuts_off_while_it_is_sent_content_is_reset() {
    for engine in engines() {
        for _ in 0..10 {
            let (cut, is_cut) = channel::<()>();
            let is_cut = std::sync::Mutex::new(is_cut);
            let target = Target::scripted(move |connection| {
                if connection.next_head()?.is_some() {
                    connection.send(b"HTTP/1.1 200 OK\r\n\r\nsome")?;
                    // Nothing more is read, so that a send is in flight.
                    let _ = is_cut.lock().unwrap().recv_timeout(DEADLINE);
                    connection.reset_at_end()?;
                }
                Ok(())
            });
            let limpet = config().process("engine", *engine).serving(&target).start();
            let mut client = limpet.client();
            client.send(format!("{HEAD}Content-Length: {LARGE_BYTES}\r\n\r\n"));
            let mut writer = client.wire.writer().unwrap();
            let sent = Arc::new(AtomicUsize::new(0));
            let sending = std::thread::spawn({
                let sent = Arc::clone(&sent);
                move || {
                    while writer.send(&[b'x'; 65536]).is_ok() {
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            assert_eq!(client.response_head().status, 200);
            assert_eq!(client.wire.read_chunk().unwrap().1, b"some");
            // Until nothing more is taken.
            let mut before = usize::MAX;
            poll(|| {
                crate::support::pause(Duration::from_millis(20));
                let now = sent.load(Ordering::Relaxed);
                (std::mem::replace(&mut before, now) == now).then_some(())
            });
            cut.send(()).unwrap();
            // This side's send may hear of the reset as well, so that what it reads is looked at, not how it ends.
            let rest = client.wire.read_to_end().unwrap_or_default();
            assert!(!rest.ends_with(b"0\r\n\r\n"), "{engine}: a whole response");
            assert_eq!(limpet.record(1).termination(), "TDR", "{engine}");
            drop(client);
            sending.join().unwrap();
        }
    }
}
