//! `loadtest soak`: clients that wait for each response before they send the next request, over
//! connections that they keep, and that believe nothing they have not checked.
//!
//! Owns: the options, the threads, the progress line and the verdict. Tested by `tests/soak.rs`.

mod client;
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
use tokio::task::JoinSet;

use client::Client;
use plan::Kind;
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
            clients.spawn(run_client(soak.clone()));
        }
        let mut tally = Tally::new();
        while let Some(part) = clients.join_next().await {
            tally.add(&part.map_err(std::io::Error::other)?);
        }
        Ok(tally)
    })
}

/// One client: a connection at a time, request after request.
async fn run_client(soak: Arc<Soak>) -> Tally {
    let mut tally = Tally::new();
    let mut client = None;
    let wait_max = Duration::from_secs(soak.options.wait_max_s);
    while soak.begin() {
        let exchange = exchange(&soak, &mut client, &mut tally);
        let done = tokio::time::timeout(wait_max, exchange).await;
        if let Err(problem) = done.unwrap_or(Err(Problem::Late)) {
            client = None;
            tally.problem(&problem);
            soak.problems.fetch_add(1, Ordering::Relaxed);
        }
        soak.ended.fetch_add(1, Ordering::Relaxed);
    }
    tally
}

/// One request and its response, on the connection that there is or on a new one.
async fn exchange(
    soak: &Soak,
    kept: &mut Option<Client>,
    tally: &mut Tally,
) -> Result<(), Problem> {
    let options = &soak.options;
    let plan = plan::draw(options);
    let visit = soak.sessions.visit(plan.session).await;
    let start = Instant::now();
    let mut client = match kept.take() {
        Some(client) => client,
        None => Client::open(options.address, tally).await?,
    };
    let seen = client.exchange(&plan, visit.cookies()).await?;
    tally.done(&plan, start.elapsed());
    if seen.keep {
        *kept = Some(client);
    }
    let stay = visit.judge(&seen, options.sticky).await?;
    tally.moves += u64::from(stay == Stay::Moved);
    Ok(())
}
