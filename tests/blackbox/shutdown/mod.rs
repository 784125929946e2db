//! The end: stop accepting, finish what is in flight within the grace period, exit 0; a second
//! signal ends at once.

mod starting;

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::support::wire::{DEADLINE, Wire};
use crate::support::{Limpet, Target, config, poll};

#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// A target that answers once the gate is open.
    fn target(&self) -> Target {
        let gate = self.clone();
        Target::answering(move |_| {
            let held = gate.0.0.lock().unwrap();
            drop(gate.0.1.wait_timeout_while(held, DEADLINE, |open| !*open).unwrap());
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone".to_vec()
        })
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n";

/// Waits until nobody accepts there any more.
#[track_caller]
fn assert_refuses(limpet: &Limpet) {
    let address = limpet.address();
    let refused = poll(|| Wire::connect(address).err());
    assert!(refused.is_some(), "new connections are still accepted");
}

#[test]
fn an_idle_limpet_ends_at_once_with_success() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let target = Target::echo("a");
        let mut limpet = config().process("grace_period", "60s").serving(&target).start();
        assert_eq!(limpet.get("/").status, 200);
        limpet.signal(signal);
        assert_eq!(limpet.wait().code(), Some(0));
        target.wait_until_idle();
    }
}

#[test]
fn idle_kept_connections_do_not_delay_the_end() {
    let target = Target::echo("a");
    let mut limpet = config().process("grace_period", "60s").serving(&target).start();
    let mut client = limpet.client();
    client.get("/");
    let mut silent = limpet.client();
    // A connection is accepted in order: one that answers shows that the silent one was accepted.
    assert_eq!(limpet.get("/").status, 200);
    assert_eq!(limpet.stop().code(), Some(0));
    client.assert_closed();
    silent.assert_closed();
}

#[test]
fn a_request_in_flight_is_finished_and_its_connection_closed() {
    let gate = Gate::default();
    let target = gate.target();
    let mut limpet = config().process("grace_period", "60s").serving(&target).start();
    let mut client = limpet.client();
    client.send(GET);
    target.wait_for_requests(1);
    limpet.signal(libc::SIGTERM);
    assert_refuses(&limpet);
    assert!(limpet.has_exited().is_none());
    gate.open();
    let response = client.response();
    assert_eq!(response.text(), "done");
    assert_eq!(response.field("connection"), Some("close"));
    client.assert_closed();
    assert_eq!(limpet.wait().code(), Some(0));
}

#[test]
fn an_upload_in_flight_is_finished() {
    let target = Target::echo("a");
    let mut limpet = config().process("grace_period", "60s").serving(&target).start();
    let mut client = limpet.client();
    client.send("POST / HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 10\r\n\r\nfirst");
    target.wait_for_connections(1);
    limpet.signal(libc::SIGTERM);
    assert_refuses(&limpet);
    client.send("later");
    assert_eq!(client.response().echo().content, "firstlater");
    assert_eq!(limpet.wait().code(), Some(0));
}

#[test]
fn the_grace_period_ends_what_does_not_finish() {
    let gate = Gate::default();
    let target = gate.target();
    let mut limpet = config().process("grace_period", "500ms").serving(&target).start();
    let mut client = limpet.client();
    client.send(GET);
    target.wait_for_requests(1);
    let started = Instant::now();
    assert_eq!(limpet.stop().code(), Some(0));
    assert!(started.elapsed() >= Duration::from_millis(400), "{:?}", started.elapsed());
    let _ = client.read_rest();
    gate.open();
}

#[test]
fn what_the_grace_period_cut_off_is_answered_and_logged() {
    let gate = Gate::default();
    let target = gate.target();
    let mut limpet = config().process("grace_period", "300ms").serving(&target).start();
    let mut client = limpet.client();
    client.send(GET);
    target.wait_for_requests(1);
    assert_eq!(limpet.stop().code(), Some(0));
    assert_eq!(client.response().status, 503);
    let record = limpet.record(1);
    assert_eq!(record.termination(), "LHS", "{}", record.line);
    assert_eq!(record.text("code"), "stopped");
    gate.open();
}

/// Bytes without end, as fast as they are taken.
fn endless(connection: &mut crate::support::target::Connection) -> std::io::Result<()> {
    connection.next_request()?;
    connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    loop {
        connection.send(&chunk)?;
    }
}

#[test]
fn a_download_that_goes_on_is_cut_off_and_logged() {
    for (engine, pause) in [("auto", 0), ("auto", 2), ("epoll", 0), ("epoll", 2)] {
        let target = Target::scripted(endless);
        let config = config().process("engine", engine).process("grace_period", "100ms");
        let mut limpet = config.serving(&target).start();
        let mut client = limpet.client();
        client.send(GET).response_head();
        let reading = std::thread::spawn(move || {
            while client.wire.read_some().is_ok_and(|bytes| !bytes.is_empty()) {
                crate::support::pause(Duration::from_millis(pause));
            }
        });
        assert_eq!(limpet.stop().code(), Some(0));
        reading.join().unwrap();
        let record = limpet.record(1);
        assert_eq!((record.termination(), record.text("code")), ("LDS", "stopped"), "{engine}");
    }
}

#[test]
fn an_upload_that_goes_on_is_cut_off_and_logged() {
    for engine in ["auto", "epoll"] {
        let target = Target::scripted(|connection| {
            connection.next_head()?;
            while !connection.read_some()?.is_empty() {}
            Ok(())
        });
        let config = config().process("engine", engine).process("grace_period", "100ms");
        let mut limpet = config.serving(&target).start();
        let client = limpet.client();
        let mut writer = client.wire.writer().unwrap();
        let sending = std::thread::spawn(move || {
            let piece = [b'x'; 0x10000];
            let mut sent =
                writer.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000000\r\n\r\n");
            while sent.is_ok() {
                sent = writer.send(&piece);
            }
        });
        target.wait_for_requests(1);
        assert_eq!(limpet.stop().code(), Some(0));
        client.wire.cut();
        sending.join().unwrap();
        assert_eq!(limpet.record(1).text("code"), "stopped", "{engine}");
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let gate = Gate::default();
    let target = gate.target();
    let mut limpet = config().process("grace_period", "60s").serving(&target).start();
    let mut client = limpet.client();
    client.send(GET);
    target.wait_for_requests(1);
    limpet.signal(libc::SIGTERM);
    assert_refuses(&limpet);
    assert!(limpet.has_exited().is_none());
    let second = Instant::now();
    limpet.signal(libc::SIGTERM);
    limpet.wait();
    assert!(second.elapsed() < Duration::from_secs(8));
    let _ = client.read_rest();
    gate.open();
}

#[test]
fn requests_of_every_shard_are_finished() {
    let gate = Gate::default();
    let target = gate.target();
    let mut limpet =
        config().process("shards", 4).process("grace_period", "60s").serving(&target).start();
    let mut clients: Vec<_> = (0..16).map(|_| limpet.client()).collect();
    for client in &mut clients {
        client.send(GET);
    }
    target.wait_for_requests(16);
    limpet.signal(libc::SIGTERM);
    assert_refuses(&limpet);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().text(), "done");
    }
    assert_eq!(limpet.wait().code(), Some(0));
}

#[test]
fn the_access_log_is_whole_at_the_end() {
    let target = Target::echo("a");
    let mut limpet = config().serving(&target).start();
    let mut client = limpet.client();
    (0..200).for_each(|_| drop(client.get("/")));
    drop(client);
    limpet.stop();
    let text = std::fs::read_to_string(limpet.path("access.log")).unwrap();
    assert_eq!(text.lines().count(), 200);
    assert!(text.ends_with('\n'));
}
