//! The task of a connection to a target: owns its socket and its machine, and ends it when nobody needs it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use super::line::{Line, Link, Shard};
use crate::exchange::failure::Failure;
use crate::http::fields::FIELD_COUNT_MAX;
use crate::http2::frame::error_code::ErrorCode;
use crate::http2::hpack::block::Limits;
use crate::http2::machine::{Machine, Options};
use crate::multiplex::flush::Takes;
use crate::multiplex::shared::Shared;
use crate::multiplex::task::{Receive, TLS_FRAME_BYTES, Task};
use crate::telemetry::counters::Counter;
use crate::time::clock::{Millis, NEVER};
use crate::time::timers::{Timer, Timers};
use crate::transport::connect::Connect;
use crate::transport::stream::{self, Stream};
use crate::upstream::opening::{Asked, failure};
use crate::uring::buffers;

/// After so long without a stream memory is given back.
const QUIET_MS: u64 = 1_000;

/// How long a connection is kept, and how long its target may take nothing.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub idle: Duration,
    pub send: Duration,
    /// Most streams at a time, whatever the target would take.
    pub streams_max: u32,
    /// Longest head of a response.
    pub head_bytes: usize,
}

/// The shared state of a connection that has been made.
fn begin(wire: Stream, shard: Shard, line: &Rc<Line>, patience: Patience) -> Rc<Shared<Link>> {
    let mut options = Options::client();
    options.streams_max = patience.streams_max;
    let list_bytes = u32::try_from(patience.head_bytes).unwrap_or(u32::MAX);
    options.list = Limits::new(list_bytes, FIELD_COUNT_MAX);
    options.own.header_list_bytes = list_bytes;
    if wire.is_encrypted() {
        options.frame_bytes_max = TLS_FRAME_BYTES;
    }
    let machine = Machine::new(options, shard.clock.now_ms());
    Rc::new(Shared::new(Link::new(wire, shard, line), machine))
}

/// Makes a connection, and drives it until it ends; who waits for it learns what comes of it.
pub async fn make(
    line: Rc<Line>,
    (connect, timeout): (Connect, Duration),
    asked: Option<Asked>,
    (shard, patience): (Shard, Patience),
) {
    let alarm = shard.alarms.alarm();
    let timers = Timers::new(&alarm, &shard.clock);
    let deadline = shard.clock.deadline(timeout);
    let connect = RefCell::new(connect);
    let connected = poll_fn(|cx| connect.borrow_mut().poll_connected(cx));
    let abort = || connect.borrow().abort();
    let made = match timers.bound(Timer::Connect, deadline, connected, abort).await {
        (_, true) => Err(Failure::ConnectTimeout),
        (connected, false) => match connected {
            Err(fault) => Err(failure(fault)),
            Ok(socket) => match asked {
                None => Ok(Stream::to_target(socket)),
                Some(asked) => {
                    if asked.handshake.is_some() {
                        line.shakes();
                    }
                    asked.begin(socket).await
                }
            },
        },
    };
    drop(alarm);
    match made {
        Err(failure) => line.retire(Some(failure)),
        Ok(wire) => {
            shard.counters.add(Counter::TargetConnectionsOpened, 1);
            let shared = begin(wire, shard, &line, patience);
            // It is open when the target has said its SETTINGS. The shared state is kept by its streams and by this task alone from here on.
            drop(line);
            serve(shared, patience).await;
        }
    }
}

/// Drives a connection until it ends: it fails, its target wants no more of it, or nobody has needed it for long.
async fn serve(shared: Rc<Shared<Link>>, patience: Patience) {
    let Shard { clock, alarms, stop, counters, .. } = &shared.owner.shard;
    let alarm = alarms.alarm();
    let timers = Timers::new(&alarm, clock);
    // Targets may be as slow as they like.
    let takes = Takes { idle: patience.send, minimum_rate: 0 };
    let mut task = Task::new(&shared, timers, takes);
    let mut is_small = false;
    while task.goes_on() {
        task.transmit();
        let is_idle = shared.machine.borrow().stream_count() == 0;
        if !is_idle {
            shared.owner.idle_since_ms.set(clock.now_ms());
            is_small = false;
        }
        let since_ms = shared.owner.idle_since_ms.get();
        let idle_at_ms = since_ms.saturating_add(millis(patience.idle));
        let quiet_at_ms = if is_small { Millis::MAX } else { since_ms.saturating_add(QUIET_MS) };
        let idle_ms = if is_idle { idle_at_ms.min(quiet_at_ms) } else { NEVER };
        task.timers.set(Timer::Idle, task.next_timeout_ms().min(idle_ms));
        poll_fn(|cx| task.poll(cx)).await;
        clock.read_us();
        task.expire();
        if task.has_ended() {
            shared.owner.over();
        }
        let now_ms = clock.now_ms();
        let mut machine = shared.machine.borrow_mut();
        if machine.stream_count() > 0 {
            // What is cut off is ended by the exchanges.
            continue;
        }
        if stop.has_begun() || now_ms >= idle_at_ms || !machine.takes_requests() {
            machine.close(ErrorCode::NoError, "");
            continue;
        }
        drop(machine);
        if now_ms >= quiet_at_ms && !is_small {
            is_small = true;
            task.shrink();
        }
    }
    shared.owner.over();
    let ended = task.end().await;
    counters.add(Counter::TargetConnectionsClosed, 1);
    shared.owner.wire.end();
    match ended.receive {
        Receive::Any(receive) => stream::forget(receive),
        Receive::Behind(receive) => {
            let (_, buffer) = receive.await;
            buffers::give_back(buffer);
        }
        Receive::None | Receive::Ended => {}
    }
}

fn millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}
