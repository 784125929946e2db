//! All shards of a process: start, addresses, stop.
//!
//! Tested beside it and by the black-box suite.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::admission::Admission;
use super::capacity::{self, Given};
use super::cores;
use super::handle::Handle;
use super::life::{self, Ended, Life};
use super::listeners::Listeners;
use super::local::{Shard, Shared};
use super::orders::Orders;
use super::serve::{Lent, Serve};
use crate::listener::ListenError;
use crate::snapshot::{EngineChoice, ProcessOptions, Snapshot};
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::counters::{Counters, ShardCounters};
use crate::time::stop::Stop;
use crate::uring::{self, Engine, EngineRefused, buffers};

/// Threads of shards need little stack: futures live on the heap.
const STACK_BYTES: usize = 2 * 1024 * 1024;

/// How often to check whether stopped shards have ended.
const POLL: Duration = Duration::from_millis(5);

/// How long shards have to end once everything is cut off: longer than the kernel has to cancel operations in flight.
const CUT_OFF: Duration = Duration::from_secs(8);

/// Why the data plane could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("process.engine = \"io_uring\", but {0}")]
    Engine(#[from] EngineRefused),
    #[error("the access log cannot be opened: {0}")]
    AccessLog(io::Error),
    #[error("shard {} cannot start: {}", .0.shard, .0.cause)]
    Shard(Ended),
}

/// The running data plane.
pub struct Server {
    shards: Vec<JoinHandle<()>>,
    stop: Arc<Stop>,
    handle: Handle,
}

/// How a server ended.
#[derive(Debug)]
pub struct Stopped {
    /// Everything finished by itself within the grace period.
    pub is_finished: bool,
    /// A shard that ended before it was told to, or ended with a failure.
    pub failure: Option<Ended>,
}

/// The state that one shard's thread starts with.
struct Seed {
    index: usize,
    shared: Arc<Shared>,
    core: Option<super::cores::Core>,
    engine: Engine,
    ring_entries: u32,
    content_buffer_bytes: usize,
    buffers_kept: usize,
    orders: Arc<Orders>,
}

impl Server {
    /// Opens every listener of `snapshot` and starts the shards; returns once all accept. `make` makes the code that
    /// serves their connections, once on each shard's thread.
    ///
    /// # Errors
    /// A listener that cannot be opened, an engine that is refused, a log file that cannot be written.
    pub fn start<S: Serve>(
        snapshot: &Snapshot,
        options: &ProcessOptions,
        make: impl Fn(Lent) -> S + Clone + Send + 'static,
    ) -> Result<Server, StartError> {
        uring::disable_huge_pages();
        let descriptors = uring::raise_descriptor_limit();
        let engine = choose_engine(options.engine)?;
        let cores = cores::plan(options.shards);
        let given = Given { descriptors, cores: cores::allowed() };
        for warning in capacity::warnings(options, snapshot.listeners.len(), given) {
            tracing::warn!("{warning}");
        }
        let listeners = Arc::new(Listeners::new(cores.len()));
        listeners.commit(listeners.plan(snapshot)?);
        let limit = options.connections.unwrap_or_else(|| connection_limit(descriptors));
        let shared = Arc::new(Shared {
            admission: Arc::new(Admission::new(limit, options.connections_per_client)),
            stop: Arc::new(Stop::default()),
        });
        let access_log = AccessLog::start(&options.access_log).map_err(StartError::AccessLog)?;
        let (life, told, first_ended) = Life::new(Arc::clone(&shared.stop));
        let mut server = Server {
            shards: Vec::with_capacity(cores.len()),
            stop: Arc::clone(&shared.stop),
            handle: Handle {
                listeners: Arc::clone(&listeners),
                admission: Arc::clone(&shared.admission),
                counters: Arc::new(Counters::new(cores.len())),
                access_log: Arc::new(access_log),
                engine,
                threads: Arc::new([]),
                first_ended,
                stop: Arc::clone(&shared.stop),
            },
        };
        let seeds = cores.into_iter().enumerate().map(|(index, core)| Seed {
            index,
            shared: Arc::clone(&shared),
            core,
            engine,
            ring_entries: options.ring_entries,
            content_buffer_bytes: options.content_buffer_bytes,
            buffers_kept: options.buffers_kept,
            orders: listeners.orders(index).unwrap_or_default(),
        });
        let started = server
            .spawn_all(seeds, &life, &make)
            .and_then(|()| life::wait_for_all(&told, server.shards.len()));
        match started {
            Ok(threads) => {
                server.handle.threads = threads.into();
                Ok(server)
            }
            Err(ended) => {
                // The other shards have no requests in flight, and the opened listeners are closed.
                server.shutdown(Duration::ZERO);
                Err(StartError::Shard(ended))
            }
        }
    }

    fn spawn_all<S: Serve>(
        &mut self,
        seeds: impl Iterator<Item = Seed>,
        life: &Life,
        make: &(impl Fn(Lent) -> S + Clone + Send + 'static),
    ) -> Result<(), Ended> {
        for seed in seeds {
            let index = seed.index;
            let log = self.handle.access_log.shard_writer();
            let counters = self.handle.counters.shard(index).unwrap_or_default();
            let (life, make) = (life.clone(), make.clone());
            let make = move |shard| make(Lent { shard, log });
            let thread = std::thread::Builder::new()
                .name(format!("shard-{index}"))
                .stack_size(STACK_BYTES)
                .spawn(move || life.live(index, || seed.run(counters, life.clone(), make)))
                .map_err(|error| Ended { shard: index, cause: error.to_string() })?;
            self.shards.push(thread);
        }
        Ok(())
    }

    /// The handle through which the control plane asks and orders the shards.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stops accepting, lets requests in flight finish for at most `grace`, then cuts off the rest.
    pub fn shutdown(mut self, grace: Duration) -> Stopped {
        self.stop.begin();
        let deadline = Instant::now() + grace;
        let is_finished = self.wait_until(deadline);
        self.stop.now();
        self.wait_until(Instant::now() + CUT_OFF);
        for (shard, thread) in self.shards.drain(..).enumerate() {
            if thread.is_finished() {
                // The shard has reported its panic itself.
                let _ = thread.join();
            } else {
                tracing::error!(shard, "a shard does not end; it is left behind");
            }
        }
        self.handle.listeners.close();
        self.handle.access_log.shutdown();
        let failure = self.handle.first_ended.borrow().clone();
        Stopped { is_finished, failure }
    }
}

impl Server {
    /// Waits until all shards have ended; `false` when the deadline comes first.
    fn wait_until(&self, deadline: Instant) -> bool {
        let goes_on = |(shard, thread): (usize, &JoinHandle<()>)| {
            !thread.is_finished() && !self.handle.is_gone(shard)
        };
        while self.shards.iter().enumerate().any(goes_on) {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::park_timeout(POLL);
        }
        true
    }
}

impl Seed {
    fn run<S: Serve>(
        self,
        counters: Arc<ShardCounters>,
        life: Life,
        make: impl FnOnce(Rc<Shard>) -> S,
    ) -> io::Result<()> {
        cores::pin(self.core);
        buffers::configure(self.content_buffer_bytes, self.buffers_kept);
        uring::run(self.engine, self.ring_entries, async move {
            let shard = Shard::new(self.index, &self.shared, counters);
            let serves = Rc::new(make(Rc::clone(&shard)));
            super::run(shard, serves, self.orders, life).await
        })?
    }
}

fn choose_engine(choice: EngineChoice) -> Result<Engine, EngineRefused> {
    match choice {
        EngineChoice::Epoll => Ok(Engine::Epoll),
        EngineChoice::IoUring => uring::probe(Engine::IoUring).map(|()| Engine::IoUring),
        EngineChoice::TokioUring => uring::probe(Engine::TokioUring).map(|()| Engine::TokioUring),
        EngineChoice::Auto => Ok(best_engine()),
    }
}

/// The best engine that the kernel allows.
fn best_engine() -> Engine {
    let Err(refused) = uring::probe(Engine::IoUring) else { return Engine::IoUring };
    let next = match uring::probe(Engine::TokioUring) {
        Ok(()) => Engine::TokioUring,
        Err(_) => Engine::Epoll,
    };
    tracing::warn!("{refused}; running on {}", next.name());
    next
}

/// The default limit of connections: 80 % of what the descriptors allow if each needs one to a target as well.
fn connection_limit(descriptors: u64) -> usize {
    usize::try_from(descriptors / 2 * 8 / 10).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::super::orders::Order;
    use crate::cli::{server, start};
    use crate::shard::server::*;

    const FILE: &str = "
        process = { shards = 2 }
        access_log = { output = \"off\" }
        [[listener]]
        name = \"web\"
        address = \"127.0.0.1:0\"
        forward = \"app\"
        [[target_group]]
        name = \"app\"
        target = [{ address = \"127.0.0.1:9\" }]";

    /// A server whose second shard was broken by `order`, and the end that the control plane is told of.
    fn broken_by(order: Order) -> (Server, Ended) {
        let start = start::from_text(FILE, "test.toml").unwrap();
        let server = server::start(start.control.published(), &start.process).unwrap();
        let handle = server.handle();
        handle.listeners.orders(1).unwrap().give(order);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let heard = async {
            tokio::time::timeout(Duration::from_secs(60), handle.shard_ended()).await.unwrap()
        };
        let ended = runtime.block_on(heard);
        (server, ended)
    }

    #[test]
    fn a_shard_that_panics_is_told_at_once_and_is_a_failure_at_the_end() {
        let (server, ended) = broken_by(Order::Panic);
        assert_eq!(ended, Ended { shard: 1, cause: "it panicked: as it was told".to_owned() });
        let stopped = server.shutdown(Duration::from_secs(60));
        assert!(stopped.is_finished);
        assert_eq!(stopped.failure, Some(ended));
    }

    #[test]
    fn accepting_that_panics_is_told_like_the_end_of_its_shard() {
        let (server, ended) = broken_by(Order::PanicAccepting);
        let cause = "accepting panicked: as it was told".to_owned();
        assert_eq!(ended, Ended { shard: 1, cause });
        assert!(server.shutdown(Duration::from_secs(60)).is_finished);
    }
}
