//! Clients who stay without asking, and what a balancer holds in memory for them.
//!
//! Owns: the clients, and when memory is read. Never: a client that was sent away and counts. Tested by
//! `tests/compare.rs` with limpet and the floor.

use std::io;
use std::time::Duration;

use super::process::{memory_of, poll_until};
use super::results::Sample;
use super::scenario::Point;
use super::stage::Running;
use super::talk::Visitor;

/// How long memory settles before it is read, after the first client and after the last has asked: longer than
/// anybody keeps what these needed. The same for everybody, and told in `scenarios/idle.toml`.
pub const SETTLING: Duration = Duration::from_secs(5);

/// Requests of the client that comes and goes first: whatever a balancer needs once, and keeps, is there then.
const FIRST_REQUESTS: usize = 2000;

/// Memory before and after clients came to stay.
pub fn sample(round: usize, point: &Point, running: &mut Running) -> Sample {
    let path = point.request_target();
    if let Err(error) = come_and_go(running, &path) {
        return Sample::failed(round, format!("the first client: {error}"));
    }
    settle(running);
    let before = memory_of(&running.roots());
    let mut clients = Vec::with_capacity(point.connections);
    for index in 0..point.connections {
        match come(running, &path) {
            Ok(client) => clients.push(client),
            Err(error) => {
                let why = format!("client {} of {}: {error}", index + 1, point.connections);
                return Sample::failed(round, why);
            }
        }
    }
    settle(running);
    let after = memory_of(&running.roots());
    let gone = clients.iter_mut().map(|client| usize::from(!client.is_open())).sum::<usize>();
    if gone > 0 {
        return Sample::failed(round, format!("{gone} clients were sent away"));
    }
    Sample::of_idle(round, point.connections, before, after)
}

/// Asks [`FIRST_REQUESTS`] times, over another connection where one was ended.
fn come_and_go(running: &Running, path: &str) -> io::Result<()> {
    let mut client = come(running, path)?;
    for _ in 1..FIRST_REQUESTS {
        if !client.ask(path).is_ok_and(|answer| answer.status == 200) {
            client = come(running, path)?;
        }
    }
    Ok(())
}

/// Connects and asks once.
fn come(running: &Running, path: &str) -> io::Result<Visitor> {
    let mut client = running.visit()?;
    match client.ask(path)?.status {
        200 => Ok(client),
        status => Err(io::Error::other(format!("status {status}"))),
    }
}

fn settle(running: &mut Running) {
    poll_until(SETTLING, || !running.runs());
}
