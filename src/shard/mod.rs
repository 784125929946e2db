//! One core: its thread, runtime, connections, deadlines and clock; and the server that is all of them.
//!
//! [`Server::start`] opens the listeners, starts one pinned thread for each shard and returns when all
//! of them accept. Each thread runs [`run`]: accept loops, and a ticker that wakes what is overdue,
//! lets idle target connections go and hands the log on.

pub mod accept;
pub mod admission;
pub mod capacity;
pub mod cores;
mod handle;
pub mod life;
pub mod listeners;
pub mod local;
pub mod orders;
pub mod reclaim;
mod server;

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use handle::Handle;
pub use life::Ended;
pub use server::{Server, StartError, Stopped};

use self::accept::Acceptor;
use self::life::Life;
use self::local::Shard;
use self::orders::{Order, Orders};
use crate::client::connection::LAST_REQUEST;
use crate::telemetry::counters::Counter;
use crate::time::alarms::Waits;
use crate::uring::{self, Listening, Pulse, buffers};

/// How often deadlines are looked at.
pub const TICK: Duration = Duration::from_millis(50);

/// How often tables give back what a peak has left behind.
const TRIM: Duration = Duration::from_secs(1);

/// How often, and how far apart, what is left is ended when the grace period is over.
const CUT_OFF_TURNS: usize = 20;
const CUT_OFF_TURN: Duration = Duration::from_millis(10);

/// The main future of a shard: ends when the shard has stopped.
async fn run(shard: Rc<Shard>, orders: Arc<Orders>, life: Life) -> io::Result<()> {
    let mut acceptors = Vec::new();
    follow(&shard, &orders, &mut acceptors, &life)?;
    life.accepts(shard.index, thread_path().unwrap_or_default());
    let hearing = Rc::clone(&shard);
    uring::spawn(async move { hearing.hear_wishes().await });
    let mut next = Instant::now() + TICK;
    let mut is_stopping = false;
    let mut last_requests_until = next;
    let mut next_trim = next;
    let mut pulse = Pulse::default();
    loop {
        uring::sleep(next).await;
        // A shard that was held up does not make up for ticks it has missed.
        next = (next + TICK).max(Instant::now());
        shard.tick();
        if let Err(error) = pulse.beat() {
            // Told before anything is waited for that may never come.
            life.fails(shard.index, &error);
            return Err(error);
        }
        if next >= next_trim {
            next_trim = next + TRIM;
            shard.local.alarms.trim();
            uring::trim();
        }
        // A listener that cannot be followed while others are served was complained of.
        let _ = follow(&shard, &orders, &mut acceptors, &life);
        if shard.local.stop.has_begun() && !is_stopping {
            is_stopping = true;
            acceptors.iter().for_each(|acceptor| acceptor.finish());
            shard.stop_idle();
            last_requests_until = Instant::now() + LAST_REQUEST;
        }
        if is_stopping && Instant::now() >= last_requests_until {
            shard.local.alarms.fire_waiting(Waits::Fresh);
        }
        if shard.local.stop.is_now() {
            cut_off(&shard).await;
            break;
        }
        if is_stopping && shard.connections.get() == 0 {
            break;
        }
    }
    shard.local.log.borrow_mut().flush();
    Ok(())
}

/// Does what the shard is told about its listeners; an error when it could not listen somewhere.
fn follow(
    shard: &Rc<Shard>,
    orders: &Orders,
    acceptors: &mut Vec<Rc<Acceptor>>,
    life: &Life,
) -> io::Result<()> {
    let mut has_followed = Ok(());
    while let Some(order) = orders.take() {
        match order {
            Order::Listen { id, socket, origin } => {
                let listening = match Listening::adopt(socket) {
                    Ok(listening) => listening,
                    Err(error) => {
                        let listener = &origin.listener_name;
                        tracing::error!(%listener, %error, "a shard cannot listen");
                        let what = format!("it cannot listen for {listener:?}: {error}");
                        has_followed = Err(io::Error::new(error.kind(), what));
                        continue;
                    }
                };
                let acceptor = Rc::new(Acceptor::new(Rc::clone(shard), listening, id, origin));
                acceptors.push(Rc::clone(&acceptor));
                let accepting = async move { acceptor.run().await };
                uring::spawn(life.clone().vital(shard.index, "accepting", accepting));
            }
            Order::Retire(id) => {
                let retired = acceptors.extract_if(.., |acceptor| acceptor.id == id);
                retired.for_each(|acceptor| acceptor.finish());
            }
            Order::Rename(id, name) => {
                for acceptor in acceptors.iter().filter(|acceptor| acceptor.id == id) {
                    Rc::make_mut(&mut acceptor.origin.borrow_mut()).listener_name =
                        Arc::clone(&name);
                }
            }
            Order::Adjust(id, options) => {
                acceptors
                    .iter()
                    .filter(|acceptor| acceptor.id == id)
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

/// Where /proc has this thread.
fn thread_path() -> Option<String> {
    std::fs::read_link("/proc/thread-self").ok()?.to_str().map(str::to_owned)
}

/// Ends what is left: every deadline is made due, so that requests are answered 503, or their
/// connections reset, and logged. What does not end in a moment is dropped.
async fn cut_off(shard: &Shard) {
    for _ in 0..CUT_OFF_TURNS {
        shard.local.alarms.fire_all();
        if shard.connections.get() == 0 {
            return;
        }
        uring::pause(CUT_OFF_TURN).await;
    }
}

impl Shard {
    pub(crate) fn tick(&self) {
        self.local.clock.tick();
        let now_ms = self.local.clock.now_ms();
        self.local.alarms.scan(now_ms);
        self.pool.borrow_mut().expire(now_ms, |connection| {
            self.local.counters.add(Counter::TargetConnectionsClosed, 1);
            connection.close();
        });
        self.local.log.borrow_mut().flush();
        // An idle shard holds no snapshot that was replaced.
        drop(self.view());
        self.forget_retired();
        self.look_after_wishes();
        buffers::trim();
    }

    /// Lets go of everything that only waits.
    pub(crate) fn stop_idle(&self) {
        self.local.alarms.fire_waiting(Waits::Idle);
        self.pool.borrow_mut().drain_all(|connection| {
            self.local.counters.add(Counter::TargetConnectionsClosed, 1);
            connection.close();
        });
    }

    /// `true` once a second at most, for warnings that would flood the log.
    pub fn may_complain(&self) -> bool {
        let now_ms = self.local.clock.now_ms();
        let may = now_ms >= self.complained_ms.get().saturating_add(1000);
        if may {
            self.complained_ms.set(now_ms);
        }
        may
    }
}
