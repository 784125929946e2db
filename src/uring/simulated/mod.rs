//! A fourth engine, for tests alone: a world of sockets, timers and tasks without a kernel.
//!
//! Time is virtual and moves only when nothing can run. Everything that a kernel decides by chance (how much one
//! receive takes, when a completion is seen, what a reset destroys) is drawn from one seed, so that a run is
//! the same each time. Peers are tasks of the same world, written against the same [`Socket`].
//!
//! * here: the world, its clock, its chances and its tasks;
//! * `pipe`: the bytes on their way in one direction;
//! * `wire`: a connection's two ends and the operations on them;
//! * `connecting`: which listener answers at which address;
//! * `faults`: the faults that limpet met, and the stage of its exchange at each.

mod connecting;
mod faults;
mod pipe;
#[cfg(test)]
mod tests;
mod wire;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use crate::table::Table;

pub(super) use connecting::{Connecting, connect};
pub(super) use wire::{End, Received, Sent, recv, recv_found, send};

pub use connecting::{Answer, listen};
pub use faults::{Fault, Faults, Peer, Stage, enter, helps, is_at, stalls, unwatch, watch};
pub use wire::pair;

/// The longest run, in the world's own time: a longer one has stopped making progress.
const LASTS_US: u64 = 3_600_000_000;
/// The most tasks polled between two moments: a task that wakes itself for ever would hang a core.
const TURNS_MAX: usize = 200_000;

/// How unkind the world is. Chances are parts of a thousand.
#[derive(Debug, Clone)]
pub struct Knobs {
    /// A completion is seen later than the operation was done, up to `late_us`.
    pub late: u16,
    pub late_us: u64,
    /// A receive takes less than is there.
    pub short_receive: u16,
    /// A send that need not be whole takes less than there is room for.
    pub short_send: u16,
    /// A receive that is to find its buffer (ENOBUFS) finds none.
    pub no_buffer: u16,
    /// No socket can be made for a connect: no descriptor, or no memory.
    pub no_socket: u16,
    /// A reset destroys bytes that had arrived and were not received yet.
    pub reset_destroys: u16,
    /// Time on the wire, up to so much.
    pub latency_us: u64,
    /// Bytes that a sender's side holds, and a receiver's, on a client's connection.
    pub room_bytes: usize,
    /// The same on a target's.
    pub target_room_bytes: usize,
}

impl Default for Knobs {
    /// The kindest kernel.
    fn default() -> Knobs {
        Knobs {
            late: 0,
            late_us: 0,
            short_receive: 0,
            short_send: 0,
            no_buffer: 0,
            no_socket: 0,
            reset_destroys: 0,
            latency_us: 0,
            room_bytes: 65536,
            target_room_bytes: 65536,
        }
    }
}

type Task = Pin<Box<dyn Future<Output = ()>>>;
/// The events to come by time, those of one moment in the order in which they were scheduled.
type Events = BTreeMap<(u64, u64), Box<dyn FnOnce()>>;
type Queue = Arc<Mutex<VecDeque<usize>>>;

/// Everything of one run.
struct World {
    began: Instant,
    now_us: Cell<u64>,
    state: Cell<u64>,
    knobs: Knobs,
    faults: RefCell<Faults>,
    /// The task that runs, and where each of limpet's is.
    running: Cell<usize>,
    situations: RefCell<BTreeMap<usize, faults::Situation>>,
    /// Tasks that work for others.
    helpers: RefCell<BTreeSet<usize>>,
    /// Operations that were done, and the last of them whose completion was seen.
    done: Cell<u64>,
    seen: Cell<u64>,
    order: Cell<u64>,
    events: RefCell<Events>,
    tasks: RefCell<Table<Option<Task>>>,
    ready: Queue,
    /// Operations that have not been seen to complete.
    in_flight: Cell<usize>,
    /// Ends of connections that are open.
    ends: Cell<usize>,
    listeners: RefCell<Vec<(SocketAddr, connecting::Listener)>>,
    /// Violations of the engine's rules, in the order in which they happened.
    broken: RefCell<Vec<String>>,
}

thread_local! {
    static WORLD: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

fn current() -> Option<Rc<World>> {
    WORLD.with_borrow(Clone::clone)
}

fn world() -> Rc<World> {
    current().expect("a world")
}

/// The world's time, in microseconds since it began; `None` outside of one.
pub fn now_us() -> Option<u64> {
    WORLD.with_borrow(|world| world.as_ref().map(|world| world.now_us.get()))
}

/// An even number of the world's own sequence; `None` outside of one.
pub fn draw() -> Option<u64> {
    WORLD.with_borrow(|world| world.as_ref().map(|world| world.draw()))
}

/// Records a violation of the rules for users of a stream.
pub fn accuse(broken: &str) {
    if let Some(world) = current()
        && super::engine::is_simulated()
    {
        world.broken.borrow_mut().push(broken.to_owned());
    }
}

impl World {
    /// SplitMix64, as the shards' own.
    fn draw(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.state.set(state);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`, 0 when there is none.
    fn below(&self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.draw() % end }
    }

    /// Whether an event with this chance, in parts of a thousand, happens; a chance of 0 draws no number.
    fn happens(&self, chance: u16) -> bool {
        chance > 0 && self.below(1000) < u64::from(chance)
    }

    /// Schedules `event` in `after_us`, behind the events of the same moment.
    fn after(&self, after_us: u64, event: impl FnOnce() + 'static) {
        let order = self.order.get();
        self.order.set(order + 1);
        let at_us = self.now_us.get().saturating_add(after_us);
        self.events.borrow_mut().insert((at_us, order), Box::new(event));
    }

    fn poll_task(&self, key: usize) {
        let task = self.tasks.borrow_mut().get_mut(key).and_then(Option::take);
        // A task that has ended may still be in the queue.
        let Some(mut task) = task else { return };
        self.running.set(key);
        let waker = Waker::from(Arc::new(Name { key, ready: Arc::clone(&self.ready) }));
        if task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            if let Some(slot) = self.tasks.borrow_mut().get_mut(key) {
                *slot = Some(task);
            }
        } else {
            drop(task);
            self.situations.borrow_mut().remove(&key);
            self.helpers.borrow_mut().remove(&key);
            self.tasks.borrow_mut().remove(key);
        }
    }

    fn next_ready(&self) -> Option<usize> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Runs every ready task, then moves the time to the next event; `false` when there is none.
    fn turn(&self, main: &mut impl FnMut() -> bool) -> bool {
        for _ in 0..TURNS_MAX {
            let Some(key) = self.next_ready() else {
                let next = self.events.borrow_mut().pop_first();
                let Some(((at_us, _), event)) = next else { return false };
                assert!(at_us < LASTS_US, "nothing has ended after an hour");
                self.now_us.set(at_us);
                event();
                return true;
            };
            if key == MAIN {
                self.running.set(MAIN);
                if main() {
                    return false;
                }
            } else {
                self.poll_task(key);
            }
        }
        panic!("tasks wake themselves for ever");
    }
}

/// The name of the main future, which is no spawned task.
const MAIN: usize = usize::MAX;

struct Name {
    key: usize,
    ready: Queue,
}

impl Wake for Name {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if !ready.contains(&self.key) {
            ready.push_back(self.key);
        }
    }
}

/// What a run has left over, and the rules that it broke.
#[derive(Debug)]
pub struct Left {
    pub operations: usize,
    pub ends: usize,
    pub broken: Vec<String>,
    pub faults: Faults,
}

/// Runs `main` to its end in a world of its own. Returns its output, and what was left over at the end.
///
/// # Panics
/// When `main` waits for an event that never comes, or for longer than an hour of the world's time.
pub fn run<F: Future>(seed: u64, knobs: Knobs, main: F) -> (F::Output, Left) {
    let world = Rc::new(World {
        began: Instant::now(),
        now_us: Cell::new(1_000_000),
        state: Cell::new(seed),
        knobs,
        faults: RefCell::default(),
        running: Cell::new(MAIN),
        situations: RefCell::default(),
        helpers: RefCell::default(),
        done: Cell::new(0),
        seen: Cell::new(0),
        order: Cell::new(0),
        events: RefCell::default(),
        tasks: RefCell::default(),
        ready: Queue::default(),
        in_flight: Cell::new(0),
        ends: Cell::new(0),
        listeners: RefCell::default(),
        broken: RefCell::default(),
    });
    WORLD.set(Some(Rc::clone(&world)));
    let _ending = Ending;
    super::engine::simulate(true);
    let mut main = std::pin::pin!(main);
    let mut output = None;
    let waker = Waker::from(Arc::new(Name { key: MAIN, ready: Arc::clone(&world.ready) }));
    waker.wake_by_ref();
    let mut poll_main = || {
        if output.is_none()
            && let Poll::Ready(ended) = main.as_mut().poll(&mut Context::from_waker(&waker))
        {
            output = Some(ended);
        }
        output.is_some()
    };
    while world.turn(&mut poll_main) {}
    let output = output.expect("what the run waits for can never happen");
    let left = Left {
        operations: world.in_flight.get(),
        ends: world.ends.get(),
        broken: world.broken.take(),
        faults: world.faults.take(),
    };
    (output, left)
}

/// Takes the world apart when it is dropped, by a panic too.
struct Ending;

impl Drop for Ending {
    fn drop(&mut self) {
        let world = world();
        super::engine::simulate(false);
        // Dropping a task's data may spawn a task or operate on a socket.
        let tasks: Vec<usize> = world.tasks.borrow().iter().map(|(key, _)| key).collect();
        for key in tasks {
            let task = world.tasks.borrow_mut().remove(key);
            drop(task);
        }
        drop(world.listeners.take());
        drop(world.events.take());
        WORLD.set(None);
    }
}

/// Starts a task.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    let world = world();
    let key = world.tasks.borrow_mut().insert(Some(Box::pin(task)));
    world.ready.lock().unwrap_or_else(PoisonError::into_inner).push_back(key);
}

/// Waits until a moment of the real clock, taken as its reading when the run began plus the world's time.
pub(super) async fn sleep(at: Instant) {
    let world = world();
    let us = u64::try_from(at.saturating_duration_since(world.began).as_micros()).unwrap_or(0);
    pause(us.saturating_sub(world.now_us.get())).await;
}

/// Waits for so long.
pub async fn wait(time: Duration) {
    pause(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)).await;
}

async fn pause(us: u64) {
    let is_over = Rc::new(Cell::new(false));
    let mut is_set = false;
    poll_fn(|cx| {
        if is_over.get() {
            return Poll::Ready(());
        }
        if !is_set {
            is_set = true;
            let (is_over, waker) = (Rc::clone(&is_over), cx.waker().clone());
            world().after(us, move || {
                is_over.set(true);
                waker.wake();
            });
        }
        Poll::Pending
    })
    .await;
}

/// Lets every other ready task run.
pub(super) async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
