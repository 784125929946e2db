//! How a tunnel ends that its two sides did not end themselves: with a reset, and with a record that says who cut it.

use std::io;
use std::sync::mpsc::{Receiver, channel};

use super::{SWITCH, upgrade};
use crate::support::kernel::has_io_uring;
use crate::support::target::Connection;
use crate::support::wire::DEADLINE;
use crate::support::{Client, Limpet, Target, config, group, poll};

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
    then: fn(&mut Connection) -> io::Result<()>,
    test: impl Fn(&str, Limpet, Client, Receiver<End>),
) {
    let engines: &[&str] =
        if has_io_uring() { &["io_uring", "tokio_uring", "epoll"] } else { &["epoll"] };
    for engine in engines {
        let (target, ends) = tunnelling(then);
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
