//! What the commands that answer until they are told to stop have in common: one pinned thread a core,
//! one line when all of them are ready, a ring that accepts, an orderly end.
//!
//! Owns: the threads, the descriptors limit, the signals, the listeners. Never: a connection. Tested through the commands,
//! by `tests/respond.rs` and `tests/floor.rs`.

use std::error::Error;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use core_affinity::CoreId;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::Socket;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::ring::{BufferSpec, Event, Queue, Ring};

/// How long accepting pauses after it failed, for want of descriptors, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The token that a listener's events carry; connections have small ones.
const LISTENER: u64 = u64::MAX;

/// Submissions that fit between two waits.
const ENTRIES: u32 = 1024;

/// Receive buffers: few enough that small requests stay in the processor's cache. Large ones make large content that
/// is relayed cheaper by a third (1 MiB: 550 µs instead of 790 µs with buffers of 16 KiB), and cost small content
/// nothing.
pub const BUFFERS: BufferSpec = BufferSpec { count: 256, size: 64 * 1024 };

/// Where to run: a thread on each of these cores.
#[derive(Debug, Clone, clap::Args)]
pub struct Cores {
    /// Cores to run on, with a thread pinned to each, such as 0 or 0,1; one thread anywhere without
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    core: Vec<usize>,
}

impl Cores {
    /// How many threads there are to be.
    pub fn count(&self) -> usize {
        self.core.len().max(1)
    }
}

/// What a thread says about itself.
#[derive(Debug)]
enum Word {
    Ready,
    Failed(String),
}

/// The thread's way to say that it is ready to work.
#[derive(Debug)]
pub struct Readiness(UnboundedSender<Word>);

impl Readiness {
    /// Everything that can fail at the start has not failed.
    pub fn ready(&self) {
        // Nobody listens any more when another thread has failed; the process ends then.
        let _ = self.0.send(Word::Ready);
    }
}

/// Runs each worker in a thread of its own, pinned to its core; prints "ready `name`" when all are; and
/// returns on SIGTERM or SIGINT. The threads end with the process.
///
/// # Errors
/// When a thread cannot be pinned, or its worker ends.
pub fn run<W>(name: &str, cores: &Cores, workers: Vec<W>) -> Result<(), Box<dyn Error>>
where
    W: FnOnce(&Readiness) -> Result<(), Box<dyn Error>> + Send + 'static,
{
    raise_descriptor_limit();
    let (sender, words) = unbounded_channel();
    for (index, worker) in workers.into_iter().enumerate() {
        let readiness = Readiness(sender.clone());
        let core = cores.core.get(index).copied();
        thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            let ended = core.map_or(Ok(()), pin).and_then(|()| worker(&readiness));
            let reason = ended.err().map_or("a worker has ended".to_owned(), |why| why.to_string());
            // Nobody listens any more when the process is about to end.
            let _ = readiness.0.send(Word::Failed(reason));
        })?;
    }
    Builder::new_current_thread().enable_all().build()?.block_on(watch(name, cores.count(), words))
}

async fn watch(
    name: &str,
    count: usize,
    mut words: UnboundedReceiver<Word>,
) -> Result<(), Box<dyn Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut ready = 0;
    loop {
        tokio::select! {
            word = words.recv() => match word {
                Some(Word::Ready) => ready += 1,
                Some(Word::Failed(reason)) => return Err(reason.into()),
                None => return Ok(()),
            },
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
        if ready == count {
            println!("ready {name}");
            io::stdout().flush()?;
            // Said once.
            ready = usize::MAX;
        }
    }
}

fn pin(core: usize) -> Result<(), Box<dyn Error>> {
    let core = CoreId { id: core };
    let is_there = core_affinity::get_core_ids().is_some_and(|cores| cores.contains(&core));
    if is_there && core_affinity::set_for_current(core) {
        Ok(())
    } else {
        Err(format!("cannot run on core {}: is it there, and allowed?", core.id).into())
    }
}

/// Allows as many open connections as the system lets us have.
fn raise_descriptor_limit() {
    // With the old limit all works as well, for fewer connections.
    let _ = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
}

/// What a thread does with the sockets of its ring, but for accepting.
pub trait Worker {
    /// A client has connected.
    fn open(&mut self, queue: &mut Queue, descriptor: OwnedFd);

    /// Something has happened to a connection, by the token that it was given.
    fn handle(&mut self, queue: &mut Queue, token: u64, event: Event<'_>);

    /// When [`wake`](Worker::wake) has something to do even if nothing happens.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Does what is due.
    fn wake(&mut self, _queue: &mut Queue) {}
}

/// Has a worker serve what a listener accepts, until the process ends.
///
/// # Errors
/// When the kernel refuses the ring or stops taking submissions.
pub fn serve(
    listener: Socket,
    mut worker: impl Worker,
    readiness: &Readiness,
) -> Result<(), Box<dyn Error>> {
    let mut ring = Ring::new(ENTRIES, BUFFERS)?;
    let mut listening = Listening::begin(listener, ring.queue());
    readiness.ready();
    loop {
        let deadline = worker.deadline().into_iter().chain(listening.again_at).min();
        ring.wait(deadline, |queue, token, event| match (token, event) {
            (LISTENER, Event::Accepted(descriptor)) => worker.open(queue, descriptor),
            (LISTENER, Event::AcceptFailed(error)) => listening.failed(&error),
            (LISTENER, _) => {}
            (token, event) => worker.handle(queue, token, event),
        })?;
        worker.wake(ring.queue());
        listening.resume(ring.queue());
    }
}

/// A listener on a ring: accepts, and after a failure accepts again, but not at once.
#[derive(Debug)]
struct Listening {
    listener: Socket,
    /// When accepting goes on after it failed.
    again_at: Option<Instant>,
}

impl Listening {
    /// Accepts from now on; events carry [`LISTENER`].
    fn begin(listener: Socket, queue: &mut Queue) -> Listening {
        queue.accept(listener.as_fd(), LISTENER);
        Listening { listener, again_at: None }
    }

    /// Accepting has failed: it goes on after a pause.
    fn failed(&mut self, error: &io::Error) {
        eprintln!("cannot accept: {error}");
        self.again_at = Some(Instant::now() + ACCEPT_PAUSE);
    }

    /// Accepts again when the pause is over.
    fn resume(&mut self, queue: &mut Queue) {
        if self.again_at.is_some_and(|at| at <= Instant::now()) {
            self.again_at = None;
            queue.accept(self.listener.as_fd(), LISTENER);
        }
    }
}
