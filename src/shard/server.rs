//! All shards of a process: start, addresses, stop.

use std::io;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::admission::Admission;
use super::capacity::{self, Given};
use super::cores;
use super::handle::Handle;
use super::listeners::Listeners;
use super::local::{Shard, Shared, Stop};
use super::orders::Orders;
use crate::listener::ListenError;
use crate::snapshot::{EngineChoice, ProcessOptions, Published};
use crate::telemetry::access_log::{AccessLog, ShardLog};
use crate::telemetry::counters::{Counters, ShardCounters};
use crate::uring::{self, Engine, EngineRefused, buffers};

/// Threads of shards need little stack: futures live on the heap.
const STACK_BYTES: usize = 2 * 1024 * 1024;

/// Why the data plane could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("process.engine = \"io_uring\", but {0}")]
    Engine(#[from] EngineRefused),
    #[error("the access log cannot be opened: {0}")]
    AccessLog(io::Error),
    #[error("shard {shard} cannot start: {cause}")]
    Shard { shard: usize, cause: String },
}

/// The running data plane.
pub struct Server {
    shards: Vec<JoinHandle<io::Result<()>>>,
    stop: Arc<Stop>,
    handle: Handle,
}

/// What one shard's thread starts with.
struct Seed {
    index: usize,
    shared: Arc<Shared>,
    core: Option<core_affinity::CoreId>,
    engine: Engine,
    ring_entries: u32,
    content_buffer_bytes: usize,
    buffers_kept: usize,
    orders: Arc<Orders>,
}

impl Server {
    /// Opens every listener of the published snapshot and starts the shards; returns once all accept.
    ///
    /// # Errors
    /// A listener that cannot be opened, an engine that is refused, a log file that cannot be written.
    pub fn start(
        published: Arc<Published>,
        options: &ProcessOptions,
    ) -> Result<Server, StartError> {
        uring::disable_huge_pages();
        let descriptors = uring::raise_descriptor_limit();
        let engine = choose_engine(options.engine)?;
        let cores = cores::plan(options.shards);
        let snapshot = published.load();
        let given = Given { descriptors, cores: cores::allowed() };
        for warning in capacity::warnings(options, snapshot.listeners.len(), given) {
            tracing::warn!("{warning}");
        }
        let listeners = Arc::new(Listeners::new(cores.len()));
        listeners.commit(listeners.plan(&snapshot)?);
        let limit = options.connections.unwrap_or_else(|| connection_limit(descriptors));
        let shared = Arc::new(Shared {
            published,
            admission: Arc::new(Admission::new(limit, options.connections_per_client)),
            stop: Arc::new(Stop::default()),
        });
        let access_log = AccessLog::start(&options.access_log).map_err(StartError::AccessLog)?;
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
        match server.spawn_all(seeds) {
            Ok(()) => Ok(server),
            Err(error) => {
                server.stop.now();
                Err(error)
            }
        }
    }

    fn spawn_all(&mut self, seeds: impl Iterator<Item = Seed>) -> Result<(), StartError> {
        let (ready, is_ready) = mpsc::channel();
        for seed in seeds {
            let index = seed.index;
            let log = self.handle.access_log.shard_writer();
            let counters = self.handle.counters.shard(index).unwrap_or_default();
            let ready = ready.clone();
            let thread = std::thread::Builder::new()
                .name(format!("shard-{index}"))
                .stack_size(STACK_BYTES)
                .spawn(move || seed.run(log, counters, ready))
                .map_err(|cause| StartError::Shard { shard: index, cause: cause.to_string() })?;
            self.shards.push(thread);
        }
        drop(ready);
        let mut started: Vec<(usize, String)> = is_ready.iter().take(self.shards.len()).collect();
        if started.len() == self.shards.len() {
            started.sort_unstable();
            self.handle.threads = started.into_iter().map(|(_, path)| path).collect();
            return Ok(());
        }
        // A shard that could not start has ended and dropped its sender.
        self.stop.now();
        for (shard, thread) in self.shards.drain(..).enumerate() {
            let cause = match thread.join() {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it panicked".to_owned(),
            };
            return Err(StartError::Shard { shard, cause });
        }
        Err(StartError::Shard { shard: started.len(), cause: "it ended at once".to_owned() })
    }

    /// What the control plane may ask and tell the shards.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stops accepting, lets what is in flight finish for at most `grace`, then cuts the rest off.
    /// Returns whether everything finished by itself.
    pub fn shutdown(mut self, grace: Duration) -> bool {
        self.stop.begin();
        let deadline = Instant::now() + grace;
        let poll = Duration::from_millis(5);
        while Instant::now() < deadline && !self.shards.iter().all(JoinHandle::is_finished) {
            std::thread::park_timeout(poll);
        }
        let is_finished = self.shards.iter().all(JoinHandle::is_finished);
        self.stop.now();
        for thread in self.shards.drain(..) {
            if !matches!(thread.join(), Ok(Ok(()))) {
                tracing::error!("a shard ended with a failure");
            }
        }
        self.handle.listeners.close();
        self.handle.access_log.shutdown();
        is_finished
    }
}

impl Seed {
    fn run(
        self,
        log: ShardLog,
        counters: Arc<ShardCounters>,
        ready: mpsc::Sender<(usize, String)>,
    ) -> io::Result<()> {
        cores::pin(self.core);
        buffers::configure(self.content_buffer_bytes, self.buffers_kept);
        uring::run(self.engine, self.ring_entries, async move {
            let shard = Shard::new(self.index, &self.shared, log, counters);
            super::run(shard, self.orders, ready).await;
        })
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

/// 80 % of what the descriptors allow when each client connection may need one to a target.
fn connection_limit(descriptors: u64) -> usize {
    usize::try_from(descriptors / 2 * 8 / 10).unwrap_or(usize::MAX).max(1)
}
