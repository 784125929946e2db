//! `loadtest load`: clients on io_uring, in a closed or an open loop, that check what comes back.
//!
//! Owns: the threads, their shares, and the result. Tested by `tests/load.rs` and in each part.
//!
//! ```text
//!   options ─▶ plan (rendered requests) ─┐
//!                                        ▼
//!   thread: ring ◀──▶ clients ─ response, sessions, schedule, phase ─▶ tally ─▶ JSON
//! ```
//!
//! A closed loop sends the next request when a response has come; an open loop sends when a request is
//! due, and counts its time from then, however late it could be sent. Both wait for all responses.

mod asked;
mod clients;
mod coded;
mod connection;
mod hostile;
mod manner;
mod options;
mod phase;
mod plan;
mod progress;
mod random;
mod response;
mod scenario;
mod schedule;
mod sessions;
mod slow;
mod streams;
mod tally;

use std::error::Error;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

pub use options::Options;

use clients::Clients;
use hostile::HostileClients;
use manner::{Manner, Share};
use options::CookieJar;
use phase::{Clock, Phases, Span};
use plan::Plan;
use progress::{Live, Progress};
use schedule::Schedule;
use sessions::Sessions;
use slow::SlowClients;
use tally::Tally;

use crate::http2::frame::WINDOW;
use crate::http2::wire::Terms;
use crate::ring::{BufferSpec, Ring};

/// Tokens of slow clients begin here; those of the others are small.
const SLOW_TOKENS: u64 = 1 << 32;

/// And those of hostile ones here.
const HOSTILE_TOKENS: u64 = 1 << 40;

/// Submissions between two waits; more are handed over early.
const RING_ENTRIES: u32 = 1024;

const BUFFER_BYTES: u32 = 16 * 1024;

/// Descriptors that are no connections, and connections that are just being closed.
const DESCRIPTORS_BESIDE: usize = 256;

/// How often the bar moves, and how often lines are written where there is no terminal.
const BAR_EVERY: Duration = Duration::from_millis(200);
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Sends the load and prints the result; `true` when nothing was wrong.
///
/// # Errors
/// When the options do not go together, the scenario cannot be read, or a thread has no ring.
pub fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    options.check_together()?;
    // A connection that is being closed may still have its descriptor when the next one has one.
    let places = options.connections.get() << u8::from(options.close);
    let hostile = if options.hostile.is_some() { hostile::OPEN_MAX } else { 0 };
    allow_descriptors(places + options.slow_clients + hostile * options.threads.get())?;
    let plan = Arc::new(Plan::new(options)?);
    let threads = options.threads.get();
    let live: Arc<[Live]> = (0..threads).map(|_| Live::default()).collect();
    let (report, reports) = channel();
    for thread in 0..threads {
        let (options, plan, live) = (options.clone(), plan.clone(), live.clone());
        let report = report.clone();
        thread::Builder::new().name(format!("load-{thread}")).spawn(move || {
            // The other end waits for every report, and is gone only with the whole process.
            let _ = report.send(work(&options, &plan, thread, &live[thread]));
        })?;
    }
    drop(report);
    let is_terminal = io::stderr().is_terminal();
    let every = if is_terminal { BAR_EVERY } else { LINE_EVERY };
    let mut progress = (options.progress || is_terminal)
        .then(|| Progress::new(span(options, 0, 1), nanoseconds(options.warmup)));
    let mut tally = Tally::new();
    let mut reported = 0;
    while reported < threads {
        match progress.as_ref().map_or_else(
            || reports.recv().map_err(|_| RecvTimeoutError::Disconnected),
            |_| reports.recv_timeout(every),
        ) {
            Ok(part) => {
                tally.add(&part.map_err(|error| -> Box<dyn Error> { error })?);
                reported += 1;
            }
            Err(RecvTimeoutError::Timeout) => {
                progress.iter_mut().for_each(|progress| progress.show(&live));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err("a thread of the load panicked".into());
            }
        }
    }
    progress.iter().for_each(Progress::finish);
    if let Some(why) = &tally.first_refusal {
        eprintln!("loadtest: no connection to {}: {why}", options.address);
    }
    if options.json {
        println!("{}", tally.json(session_count(options)));
    } else {
        print!("{}", tally.text());
    }
    Ok(tally.is_clean())
}

/// Makes room for so many connections, which may be more than a process has by default.
fn allow_descriptors(connections: usize) -> Result<(), Box<dyn Error>> {
    let wanted = (connections + DESCRIPTORS_BESIDE) as u64;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= wanted {
        return Ok(());
    }
    if hard < wanted {
        return Err(format!(
            "{connections} connections need more than the {hard} descriptors that this process may \
             have (ulimit -n)"
        )
        .into());
    }
    Ok(setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?)
}

fn session_count(options: &Options) -> usize {
    match options.cookie_jar {
        None => 0,
        Some(CookieJar::PerConnection) => options.connections.get(),
        Some(CookieJar::PerSession) => options.sessions.unwrap_or(0),
    }
}

/// How long thread number `index` of `count` measures.
fn span(options: &Options, index: usize, count: usize) -> Span {
    match options.requests {
        Some(requests) => Span::Requests(share(requests as usize, index, count) as u64),
        None => Span::Time(nanoseconds(options.duration)),
    }
}

/// The part of `total` that falls to thread number `index` of `count`.
fn share(total: usize, index: usize, count: usize) -> usize {
    total / count + usize::from(index < total % count)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What one thread does, until all its responses are there.
fn work(
    options: &Options,
    plan: &Arc<Plan>,
    thread: usize,
    live: &Live,
) -> Result<Tally, Box<dyn Error + Send + Sync>> {
    let threads = options.threads.get();
    if let Some(&id) = options.core.get(thread % options.core.len().max(1)) {
        let core = core_affinity::CoreId { id };
        let is_there = core_affinity::get_core_ids().is_some_and(|cores| cores.contains(&core));
        if !is_there || !core_affinity::set_for_current(core) {
            return Err(format!("cannot run on core {id}: is it there, and allowed?").into());
        }
    }
    if options.rate.is_some() {
        // The kernel is 50 µs late with timers by default, which would be in every time measured.
        nix::sys::prctl::set_timerslack(1).map_err(io::Error::from)?;
    }
    let connections = share(options.connections.get(), thread, threads);
    // Twice as many buffers as responses at a time; where those are large, they wait their turn.
    let count = (connections * 2).clamp(256, 1024) as u16;
    let mut ring = Ring::new(RING_ENTRIES, BufferSpec { count, size: BUFFER_BYTES })?;
    let manner = Manner {
        pipeline: options.at_a_time(),
        http2: options.http2.then(|| terms(options)),
        stalled: options.stalled_streams,
        grpc: options.grpc,
        close: options.close,
        jar: options.cookie_jar,
        timeout_ns: nanoseconds(options.timeout),
    };
    let sessions = match options.cookie_jar {
        None => 0,
        Some(CookieJar::PerConnection) => connections,
        Some(CookieJar::PerSession) => share(session_count(options), thread, threads),
    };
    let clock = Clock::start();
    let warmup_ns = nanoseconds(options.warmup);
    let share_of_thread = Share {
        thread,
        connections,
        sessions: Sessions::new(sessions, options.allow_moves),
        schedule: options.rate.map(|rate| Schedule::new(rate, thread, threads)),
        phases: Phases::new(warmup_ns, span(options, thread, threads), cpu_time_ns),
    };
    let mut clients = Clients::new(plan.clone(), manner, clock, share_of_thread)?;
    let slow_count = share(options.slow_clients, thread, threads);
    let mut slow = SlowClients::new(plan.clone(), slow_count, SLOW_TOKENS);
    let rate = options.hostile.unwrap_or_default() / threads as f64;
    let mut hostile = HostileClients::new(plan.clone(), rate, HOSTILE_TOKENS)?;
    clients.start(ring.queue());
    while clients.turn(ring.queue()) {
        slow.turn(ring.queue(), clock.now_ns());
        hostile.turn(ring.queue(), clock.now_ns());
        let deadline_ns = clients.deadline_ns().min(slow.deadline_ns()).min(hostile.deadline_ns());
        ring.wait(Some(clock.instant(deadline_ns)), |queue, token, event| {
            if token < SLOW_TOKENS {
                clients.handle(queue, token as usize, event);
            } else if token >= HOSTILE_TOKENS {
                hostile.handle(queue, token, &event);
            } else {
                slow.handle(queue, token, &event);
            }
        })?;
        live.responses.store(clients.tally.responses(), Ordering::Relaxed);
        live.errors.store(clients.tally.error_count(), Ordering::Relaxed);
    }
    clients.tally.slow.add(slow.seen);
    clients.tally.hostile = hostile.seen;
    Ok(clients.tally)
}

/// How HTTP/2 is spoken: where streams are to stall, in windows that are soon full.
fn terms(options: &Options) -> Terms {
    match options.stalled_streams {
        0 => Terms::CLIENT,
        _ => Terms { stream_window: WINDOW, ..Terms::CLIENT },
    }
}

/// Processor time of this thread so far; 0 where the kernel does not say.
fn cpu_time_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0)
}
