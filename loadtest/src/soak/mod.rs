//! `loadtest soak`: clients that wait for each response before they send the next request, over
//! connections that they keep, and that believe nothing they have not checked.
//!
//! Owns: the options, the threads, the progress line and the verdict. Tested by `tests/soak.rs`.

mod client;
mod mux;
mod plan;
mod session;
mod tally;

use std::error::Error;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use client::{Client, Seen};
use mux::Mux;
use plan::{Kind, Plan};
use session::{Sessions, Stay};
use tally::{Problem, Tally};

/// How often a line says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Options of `loadtest soak`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The balancer
    #[arg(long, value_name = "IP:PORT")]
    address: SocketAddr,
    /// Connections kept at the same time
    #[arg(long, default_value = "64")]
    connections: NonZero<usize>,
    /// Speak HTTP/2, by prior knowledge
    #[arg(long)]
    http2: bool,
    /// Streams at a time on each connection
    #[arg(long, value_name = "N", default_value = "1", requires = "http2")]
    streams: NonZero<usize>,
    /// Requests in all
    #[arg(long, default_value_t = 100_000)]
    requests: u64,
    /// Users with a cookie jar each, shared by the connections; 0 = requests without cookies
    #[arg(long, default_value_t = 0)]
    sessions: usize,
    /// Every user must be answered by one and the same target
    #[arg(long, requires = "sessions")]
    sticky: bool,
    /// Targets will be stopped meanwhile: a user may be moved, if a new cookie says so
    #[arg(long, requires = "sticky")]
    allow_moves: bool,
    /// What to send, in equal shares
    #[arg(long, value_enum, value_delimiter = ',', default_value = "get,post,chunked,head")]
    kinds: Vec<Kind>,
    /// Largest content of a request, in bytes; most are much smaller
    #[arg(long, default_value_t = 64 * 1024)]
    upload_max: usize,
    /// Largest content of a response, in bytes; most are much smaller
    #[arg(long, default_value_t = 64 * 1024)]
    response_max: usize,
    /// Threads of clients
    #[arg(long, default_value = "1")]
    threads: NonZero<usize>,
    /// Longest wait for one exchange, in seconds
    #[arg(long, default_value_t = 30)]
    wait_max_s: u64,
}

/// What all clients share.
#[derive(Debug)]
struct Soak {
    options: Options,
    sessions: Sessions,
    /// Requests that have been begun.
    begun: AtomicU64,
    /// Requests that have ended, well or not.
    ended: AtomicU64,
    problems: AtomicU64,
}

impl Soak {
    /// Takes the right to send one more request; `false` when all have been begun.
    fn begin(&self) -> bool {
        self.begun.fetch_add(1, Ordering::Relaxed) < self.options.requests
    }
}

/// Sends the load and prints the report; `true` when nothing was wrong.
///
/// # Errors
/// When a thread or a runtime cannot be had.
pub fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let soak = Arc::new(Soak {
        sessions: Sessions::new(options.sessions),
        options: options.clone(),
        begun: AtomicU64::new(0),
        ended: AtomicU64::new(0),
        problems: AtomicU64::new(0),
    });
    let start = Instant::now();
    let (report, reports) = sync_channel(options.threads.get());
    for thread in 0..options.threads.get() {
        let (soak, report) = (soak.clone(), report.clone());
        thread::Builder::new().name(format!("clients-{thread}")).spawn(move || {
            // The other end waits for every report, and is gone only with the whole process.
            let _ = report.send(run_clients(&soak, thread));
        })?;
    }
    drop(report);
    let mut tally = Tally::new();
    let mut last = 0;
    loop {
        match reports.recv_timeout(PROGRESS_EVERY) {
            Ok(part) => tally.add(&part?),
            Err(RecvTimeoutError::Timeout) => last = print_progress(&soak, start, last),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    print!("{}", tally.report(start.elapsed()));
    Ok(tally.is_clean(options.allow_moves))
}

fn print_progress(soak: &Soak, start: Instant, last: u64) -> u64 {
    let ended = soak.ended.load(Ordering::Relaxed);
    eprintln!(
        "{:>6.0} s  {ended:>12} requests  {:>9} per second  {} problems",
        start.elapsed().as_secs_f64(),
        ended - last,
        soak.problems.load(Ordering::Relaxed)
    );
    ended
}

/// The clients of one thread, until all requests have been made.
fn run_clients(soak: &Arc<Soak>, thread: usize) -> std::io::Result<Tally> {
    let threads = soak.options.threads.get();
    let share = (thread..soak.options.connections.get()).step_by(threads).count();
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut clients = JoinSet::new();
        for _ in 0..share {
            let shared = Arc::new(Mutex::new(None));
            for _ in 0..soak.options.streams.get() {
                let way = match soak.options.http2 {
                    true => Way::Two(shared.clone()),
                    false => Way::One(None),
                };
                clients.spawn(run_client(soak.clone(), way));
            }
        }
        let mut tally = Tally::new();
        while let Some(part) = clients.join_next().await {
            tally.add(&part.map_err(std::io::Error::other)?);
        }
        Ok(tally)
    })
}

/// How a client's requests go.
enum Way {
    /// On a connection of its own, if there is one.
    One(Option<Client>),
    /// On one that it shares with others.
    Two(Arc<Mutex<Option<Arc<Mux>>>>),
}

/// One client: request after request.
async fn run_client(soak: Arc<Soak>, mut way: Way) -> Tally {
    let mut tally = Tally::new();
    let wait_max = Duration::from_secs(soak.options.wait_max_s);
    while soak.begin() {
        let exchange = exchange(&soak, &mut way, &mut tally);
        let done = tokio::time::timeout(wait_max, exchange).await;
        if let Err(problem) = done.unwrap_or(Err(Problem::Late)) {
            tally.problem(&problem);
            soak.problems.fetch_add(1, Ordering::Relaxed);
        }
        soak.ended.fetch_add(1, Ordering::Relaxed);
    }
    tally
}

/// One request and its response, on the connection that there is or on a new one.
async fn exchange(soak: &Soak, way: &mut Way, tally: &mut Tally) -> Result<(), Problem> {
    let options = &soak.options;
    let plan = plan::draw(options);
    loop {
        let visit = soak.sessions.visit(plan.session).await;
        let start = Instant::now();
        let seen = match way.ask(&plan, visit.cookies(), options.address, tally).await {
            // RFC 9113 §6.8: nothing was done about it.
            Err(Problem::Unprocessed) => {
                tally.unprocessed += 1;
                continue;
            }
            seen => seen?,
        };
        tally.done(&plan, start.elapsed());
        let stay = visit.judge(&seen, options.sticky).await?;
        tally.moves += u64::from(stay == Stay::Moved);
        return Ok(());
    }
}

impl Way {
    /// Asks; a connection with a problem, and one that is not to be kept, is gone afterwards.
    async fn ask(
        &mut self,
        plan: &Plan,
        cookies: Option<String>,
        address: SocketAddr,
        tally: &mut Tally,
    ) -> Result<Seen, Problem> {
        match self {
            Way::One(kept) => {
                let mut client = match kept.take() {
                    Some(client) => client,
                    None => Client::open(address, tally).await?,
                };
                let seen = client.exchange(plan, cookies).await?;
                if seen.keep {
                    *kept = Some(client);
                }
                Ok(seen)
            }
            Way::Two(shared) => {
                let mux = {
                    let mut shared = shared.lock().await;
                    match shared.as_ref().filter(|mux| !mux.is_leaving()) {
                        Some(mux) => Arc::clone(mux),
                        None => shared.insert(Mux::open(address, tally).await?).clone(),
                    }
                };
                mux.exchange(plan, cookies).await
            }
        }
    }
}
