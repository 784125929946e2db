//! One core: its thread, runtime, connections, deadlines and clock; and the server that is all of them.
//!
//! [`server::Server::start`] opens the listeners, starts one pinned thread for each shard and returns when all of them
//! accept. Each thread runs [`run`]: accept loops, and a ticker that wakes overdue tasks. The code that serves the
//! connections comes in through [`serve::Serve`]: a shard knows no protocol and reads no byte.
//!
//! * [`accept`]: a listener's socket on one shard; [`admission`]: which connections get a place; [`admitted`]: what an
//!   open connection holds; [`reclaim`]: closes the [`idlest`] connections to grant [`wishes`] for room;
//! * [`local`]: the state of a shard; [`life`]: its reports; [`cores`], [`capacity`]: the limits of the machine;
//! * [`server`]: all shards; [`handle`], [`listeners`], [`orders`]: what the control plane asks and orders.

pub mod accept;
pub mod admission;
pub mod admitted;
pub mod capacity;
pub mod cores;
pub mod handle;
pub mod idlest;
pub mod life;
pub mod listeners;
pub mod local;
pub mod orders;
pub mod reclaim;
pub mod serve;
pub mod server;
#[cfg(test)]
mod tests;
pub mod wishes;

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use handle::Handle;
pub use life::Ended;
pub use local::TICK;

use self::accept::{Acceptor, At};
use self::life::Life;
use self::local::Shard;
use self::orders::{Order, Orders};
use self::serve::Serve;
use crate::time::alarms::Waits;
use crate::time::stop::LAST_REQUEST;
use crate::uring::{self, Listening, Pulse, buffers};

/// How often tables give back the memory of a peak.
const TRIM: Duration = Duration::from_secs(1);

/// How often, and how far apart, the remaining connections are cut off when the grace period is over.
const CUT_OFF_TURNS: usize = 20;
const CUT_OFF_TURN: Duration = Duration::from_millis(10);

/// The main future of a shard: ends when the shard has stopped.
async fn run<S: Serve>(
    shard: Rc<Shard>,
    serves: Rc<S>,
    orders: Arc<Orders>,
    life: Life,
) -> io::Result<()> {
    let mut acceptors = Vec::new();
    follow((&shard, &serves), &orders, &mut acceptors, &life)?;
    life.accepts(shard.index, thread_path().unwrap_or_default());
    uring::spawn(reclaim::hear_wishes(Rc::clone(&shard), Rc::clone(&serves)));
    let mut next = Instant::now() + TICK;
    let mut is_stopping = false;
    let mut last_requests_until = next;
    let mut next_trim = next;
    let mut pulse = Pulse::default();
    loop {
        uring::sleep(next).await;
        // A shard that was held up does not catch up on missed ticks.
        next = (next + TICK).max(Instant::now());
        shard.tick(&*serves);
        if let Err(error) = pulse.beat() {
            // Reported before anything is awaited that may never come.
            life.fails(shard.index, &error);
            return Err(error);
        }
        if next >= next_trim {
            next_trim = next + TRIM;
            shard.time.alarms.trim();
            uring::trim();
        }
        // `follow` has logged a listener that it could not follow while others are served.
        let _ = follow((&shard, &serves), &orders, &mut acceptors, &life);
        if shard.time.stop.has_begun() && !is_stopping {
            is_stopping = true;
            acceptors.iter().for_each(|acceptor| acceptor.finish());
            shard.stop_idle(&*serves);
            last_requests_until = Instant::now() + LAST_REQUEST;
        }
        if is_stopping && Instant::now() >= last_requests_until {
            shard.time.alarms.fire_waiting(Waits::Fresh);
        }
        if shard.time.stop.is_now() {
            cut_off(&shard).await;
            break;
        }
        if is_stopping && shard.connections.get() == 0 {
            break;
        }
    }
    serves.end();
    Ok(())
}

/// Carries out the shard's orders about listeners; an error when it could not listen on one.
fn follow<S: Serve>(
    (shard, serves): (&Rc<Shard>, &Rc<S>),
    orders: &Orders,
    acceptors: &mut Vec<Rc<Acceptor<S>>>,
    life: &Life,
) -> io::Result<()> {
    let mut has_followed = Ok(());
    while let Some(order) = orders.take() {
        match order {
            Order::Listen { id, socket, name, bound } => {
                let listening = match Listening::adopt(socket) {
                    Ok(listening) => listening,
                    Err(error) => {
                        tracing::error!(listener = %name, %error, "a shard cannot listen");
                        let what = format!("it cannot listen for {name:?}: {error}");
                        has_followed = Err(io::Error::new(error.kind(), what));
                        continue;
                    }
                };
                let (shard, serves) = (Rc::clone(shard), Rc::clone(serves));
                let index = shard.index;
                let at = At { id, bound };
                let acceptor = Rc::new(Acceptor::new(shard, serves, listening, at, name));
                acceptors.push(Rc::clone(&acceptor));
                let accepting = async move { acceptor.run().await };
                uring::spawn(life.clone().vital(index, "accepting", accepting));
            }
            Order::Retire(id) => {
                let retired = acceptors.extract_if(.., |acceptor| acceptor.is_of(id));
                retired.for_each(|acceptor| acceptor.finish());
            }
            Order::Rename(id, name) => {
                for acceptor in acceptors.iter().filter(|acceptor| acceptor.is_of(id)) {
                    acceptor.rename(Arc::clone(&name));
                }
            }
            Order::Adjust(id, options) => {
                acceptors
                    .iter()
                    .filter(|acceptor| acceptor.is_of(id))
                    .for_each(|acceptor| acceptor.adjust(&options));
            }
            #[cfg(test)]
            Order::Panic => panic!("as it was told"),
            #[cfg(test)]
            Order::PanicAccepting => {
                let panicking = async { panic!("as it was told") };
                uring::spawn(life.clone().vital(shard.index, "accepting", panicking));
            }
        }
    }
    has_followed
}

/// The path of this thread in /proc.
fn thread_path() -> Option<String> {
    std::fs::read_link("/proc/thread-self").ok()?.to_str().map(str::to_owned)
}

/// Ends the remaining connections: every deadline is made due, so that requests are answered 503 or their connections
/// reset, and logged. Connections that do not end in a moment are dropped.
async fn cut_off(shard: &Shard) {
    for _ in 0..CUT_OFF_TURNS {
        shard.time.alarms.fire_all();
        if shard.connections.get() == 0 {
            return;
        }
        uring::pause(CUT_OFF_TURN).await;
    }
}

impl Shard {
    pub(crate) fn tick(&self, serves: &impl Serve) {
        self.time.clock.tick();
        self.time.alarms.scan(self.time.clock.now_ms());
        serves.tick();
        self.look_after_wishes(serves);
        buffers::trim();
    }

    /// Ends idle connections, and frees everything that is kept for later.
    pub(crate) fn stop_idle(&self, serves: &impl Serve) {
        self.time.alarms.fire_waiting(Waits::Idle);
        serves.stop_idle();
    }
}
