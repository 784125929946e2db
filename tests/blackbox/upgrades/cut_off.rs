//! How a tunnel ends that its two sides did not end themselves: with a reset, and with a record that says who cut it.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{SWITCH, upgrade};
use crate::support::kernel::has_io_uring;
use crate::support::target::Connection;
use crate::support::wire::DEADLINE;
use crate::support::{Client, Limpet, Target, config, group, pause, poll};

/// How a side saw its connection end; an error is no clean end.
type End = io::Result<()>;

/// A target that accepts the upgrade, does as told, and reports how the tunnel ended for it.
fn tunnelling(
    then: impl Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static,
) -> (Target, Receiver<End>) {
    let (report, ends) = channel();
    let target = Target::scripted(move |connection| {
        if connection.next_request()?.is_some() {
            connection.send(SWITCH)?;
            report.send(then(connection)).expect("the test listens");
        }
        Ok(())
    });
    (target, ends)
}

fn listening(connection: &mut Connection) -> io::Result<()> {
    connection.read_to_end().map(drop)
}

/// Runs `test` with a limpet of every engine that this machine has, and a tunnel through it.
#[track_caller]
fn on_each_engine(
    settings: &[(&str, &str)],
    then: impl Fn(&mut Connection) -> io::Result<()> + Clone + Send + Sync + 'static,
    test: impl Fn(&str, Limpet, Client, Receiver<End>),
) {
    let engines: &[&str] =
        if has_io_uring() { &["io_uring", "tokio_uring", "epoll"] } else { &["epoll"] };
    for engine in engines {
        let (target, ends) = tunnelling(then.clone());
        let app = settings.iter().fold(group("app"), |app, (key, value)| app.set(key, *value));
        let config = config().process("engine", *engine).process("grace_period", "200ms");
        let limpet = config.group(app.target("a", &target)).start();
        let client = upgrade(&limpet);
        test(engine, limpet, client, ends);
    }
}

#[track_caller]
fn assert_reset(who: &str, end: End) {
    let kind = end.expect_err(&format!("{who} saw a clean end")).kind();
    assert_eq!(kind, io::ErrorKind::ConnectionReset, "{who}");
}

#[track_caller]
fn assert_target_reset(engine: &str, ends: &Receiver<End>) {
    assert_reset(&format!("the target on {engine}"), ends.recv_timeout(DEADLINE).expect("an end"));
}

#[track_caller]
fn assert_client_reset(engine: &str, client: &mut Client) {
    assert_reset(&format!("the client on {engine}"), client.wire.read_to_end().map(drop));
}

#[track_caller]
fn assert_recorded(limpet: &Limpet, ended: &str, code: &str) {
    let record = limpet.record(1);
    assert_eq!(record.number("status"), 101.0, "{}", record.line);
    assert_eq!((record.termination(), record.text("code")), (ended, code), "{}", record.line);
}

#[test]
fn a_tunnel_that_the_grace_period_cuts_is_reset_on_both_sides_and_recorded() {
    on_each_engine(&[], listening, |engine, mut limpet, mut client, ends| {
        client.send("some");
        assert_eq!(limpet.stop().code(), Some(0));
        assert_recorded(&limpet, "LUS", "stopped");
        assert_client_reset(engine, &mut client);
        assert_target_reset(engine, &ends);
    });
}

#[test]
fn a_reset_of_the_client_reaches_the_target_and_is_recorded_as_the_clients() {
    on_each_engine(&[], listening, |engine, limpet, client, ends| {
        client.wire.reset().unwrap();
        assert_target_reset(engine, &ends);
        assert_recorded(&limpet, "CUC", "client_gone");
    });
}

#[test]
fn a_reset_of_the_target_reaches_the_client_and_is_recorded_as_the_targets() {
    on_each_engine(&[], Connection::reset_at_end, |engine, limpet, mut client, _ends| {
        assert_client_reset(engine, &mut client);
        assert_recorded(&limpet, "TUR", "target_reset");
    });
}

#[test]
fn a_tunnel_that_is_silent_for_too_long_is_reset_on_both_sides_and_recorded() {
    on_each_engine(
        &[("timeouts.tunnel_idle", "1s")],
        listening,
        |engine, limpet, mut client, ends| {
            assert_client_reset(engine, &mut client);
            assert_target_reset(engine, &ends);
            assert_recorded(&limpet, "LUT", "tunnel_idle");
        },
    );
}

/// What the target says last; fits in the buffers of a client that does not read.
const LAST_WORDS: usize = 50_000;

#[test]
fn a_client_that_was_told_of_the_end_gets_everything_though_the_target_is_gone() {
    let farewell = |connection: &mut Connection| {
        connection.send(&[b'x'; LAST_WORDS])?;
        connection.finish()?;
        connection.read_exactly(1)?;
        connection.reset_at_end()
    };
    on_each_engine(&[], farewell, |engine, limpet, mut client, _ends| {
        let told = poll(|| was_told_of_the_end(client.wire.local_port()).then_some(()));
        told.unwrap_or_else(|| panic!("the end did not come on {engine}"));
        // The target takes one byte of what the client goes on to say, and no more.
        let recorded = poll(|| {
            client.send("y");
            let log = std::fs::read_to_string(limpet.path("access.log"));
            log.unwrap_or_default().contains('\n').then_some(())
        });
        recorded.unwrap_or_else(|| panic!("no record on {engine}"));
        assert_recorded(&limpet, "TUR", "target_reset");
        let read = client.wire.read_to_end().unwrap_or_else(|error| panic!("{engine}: {error}"));
        assert_eq!(read.len(), LAST_WORDS, "{engine}");
    });
}

/// Whether the socket at this port has received its peer's end, though nothing has been read of it: CLOSE_WAIT in
/// proc(5)'s net/tcp.
fn was_told_of_the_end(port: u16) -> bool {
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!(":{port:04X}");
    sockets.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.nth(1).is_some_and(|address| address.ends_with(&local)) && words.nth(1) == Some("08")
    })
}

/// What a side waits for before it takes anything.
#[derive(Clone)]
struct Gate(Arc<Mutex<Receiver<()>>>);

impl Gate {
    fn new() -> (Sender<()>, Gate) {
        let (open, opened) = channel();
        (open, Gate(Arc::new(Mutex::new(opened))))
    }

    fn wait(&self) -> io::Result<()> {
        let opened = self.0.lock().unwrap().recv_timeout(DEADLINE);
        opened.map_err(|error| io::Error::new(io::ErrorKind::TimedOut, error))
    }
}

#[test]
fn a_reset_of_the_client_is_noticed_while_the_target_takes_nothing() {
    let (open, gate) = Gate::new();
    let later = move |connection: &mut Connection| {
        gate.wait()?;
        listening(connection)
    };
    on_each_engine(&[], later, |engine, limpet, mut client, ends| {
        client.wire.send_until_full().unwrap();
        client.wire.reset().unwrap();
        assert_recorded(&limpet, "CUC", "client_gone");
        open.send(()).unwrap();
        assert_target_reset(engine, &ends);
    });
}

#[test]
fn a_reset_of_the_target_is_noticed_while_the_client_takes_nothing() {
    let floods = |connection: &mut Connection| {
        connection.send_until_full()?;
        connection.reset_at_end()
    };
    on_each_engine(&[], floods, |engine, limpet, mut client, _ends| {
        assert_recorded(&limpet, "TUR", "target_reset");
        assert_client_reset(engine, &mut client);
    });
}

#[test]
fn a_reset_of_the_client_behind_its_end_is_noticed_while_the_target_says_nothing() {
    let (open, gate) = Gate::new();
    let (report, heard) = channel();
    let report = Arc::new(Mutex::new(report));
    let silent = move |connection: &mut Connection| {
        listening(connection)?;
        report.lock().unwrap().send(()).expect("the test listens");
        gate.wait()
    };
    on_each_engine(&[], silent, |engine, limpet, client, ends| {
        client.wire.finish().unwrap();
        heard.recv_timeout(DEADLINE).expect("the target hears of the end");
        client.wire.reset().unwrap();
        assert_recorded(&limpet, "CUC", "client_gone");
        open.send(()).unwrap();
        let end = ends.recv_timeout(DEADLINE).expect("an end");
        end.unwrap_or_else(|error| panic!("{engine}: {error}"));
    });
}

#[test]
fn a_reset_of_the_target_behind_its_end_is_noticed_while_the_client_says_nothing() {
    let (open, gate) = Gate::new();
    let ends_twice = move |connection: &mut Connection| {
        connection.finish()?;
        gate.wait()?;
        connection.reset_at_end()
    };
    on_each_engine(&[], ends_twice, |engine, limpet, mut client, _ends| {
        assert_eq!(client.wire.read_to_end().unwrap(), b"", "{engine}");
        open.send(()).unwrap();
        assert_recorded(&limpet, "TUR", "target_reset");
        drop(client);
    });
}

/// Longer than limpet waits between two looks at a side of which nothing tells.
const SEVERAL_LOOKS: Duration = Duration::from_millis(1500);

/// A sender's end that holds little itself.
const NARROW: usize = 64 << 10;

/// About what is left of all that fits into a tunnel when the sender's end has no room behind it, and then has.
const ROOM: usize = 400 << 10;

/// A client that says nearly all that fits into a tunnel, and ends, before a target that takes it after a while.
#[track_caller]
fn assert_all_is_taken(target_ends_first: bool) {
    let (open, gate) = Gate::new();
    let (report, counts) = channel();
    let report = Arc::new(Mutex::new(report));
    let slow = move |connection: &mut Connection| {
        if target_ends_first {
            connection.finish()?;
        }
        gate.wait()?;
        let count = connection.read_to_end()?.len();
        report.lock().unwrap().send(count).expect("the test listens");
        Ok(())
    };
    on_each_engine(&[], slow, |engine, limpet, mut first, ends| {
        first.wire.set_send_buffer(NARROW).unwrap();
        let fits = first.wire.send_until_full().unwrap();
        first.wire.reset().unwrap();
        assert_recorded(&limpet, "CUC", "client_gone");
        open.send(()).unwrap();
        assert_target_reset(engine, &ends);
        let client = upgrade(&limpet);
        client.wire.set_send_buffer(NARROW).unwrap();
        let mut writer = client.wire.writer().unwrap();
        let count = fits - ROOM;
        let saying = std::thread::spawn(move || {
            writer.send(&vec![b'x'; count])?;
            writer.finish()
        });
        pause(SEVERAL_LOOKS);
        open.send(()).unwrap();
        let end = ends.recv_timeout(DEADLINE).expect("an end");
        end.unwrap_or_else(|error| panic!("{engine}: {error}"));
        assert_eq!(counts.recv_timeout(DEADLINE).unwrap(), count, "{engine}");
        saying.join().unwrap().unwrap();
        drop(client);
        let record = limpet.record(2);
        assert_eq!(record.termination(), "---", "{}", record.line);
    });
}

#[test]
fn a_client_that_has_ended_is_not_gone_while_the_target_takes_little_of_what_it_has_said() {
    assert_all_is_taken(false);
}

#[test]
fn nor_is_it_when_the_target_has_ended_before() {
    assert_all_is_taken(true);
}
