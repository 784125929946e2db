//! Whole exchanges in a simulated world: clients and targets that misbehave, and rules that must hold all the same.
//!
//! A seed decides everything: the kernel's whims, the settings, the requests and their pieces, where each side cuts,
//! stalls or resets. `judge` has the rules that a run must keep. A seed that fails is printed;
//! `LIMPET_SEED=<seed> cargo test --lib simulation` runs it alone, and `LIMPET_SEEDS=<count>` runs as many, up to
//! `LIMPET_FAILURES=<count>` that fail. Each run prints which faults have met exchanges in which stages (`table`); a
//! standard run has met all possible ones.

mod client;
mod fate;
mod judge;
mod message;
mod plan;
pub mod records;
mod streams;
mod strike;
mod table;
mod target;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};

use self::judge::Report;
use self::plan::{Chance, Plan};
use crate::cli::server;
use crate::client::clients::Clients;
use crate::client::connection::Arrival;
use crate::client::serving::Serving;
use crate::control::compile::compile;
use crate::control::config;
use crate::exchange::caller::{Origin, Peer, PortText};
use crate::group::state::Registry;
use crate::shard::TICK;
use crate::shard::admission::Admission;
use crate::shard::admitted::{Admitted, Served};
use crate::shard::local::{Shard, Shared};
use crate::shard::reclaim::hear_wishes;
use crate::shard::serve::Lent;
use crate::snapshot::{Published, Snapshot};
use crate::stickiness::keyring::KeyRing;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::counters::ShardCounters;
use crate::telemetry::ended::Phase;
use crate::telemetry::options::{AccessLogOptions, LogFormat, LogOutput, LogQuery};
use crate::telemetry::record::{Facts, Record};
use crate::time::stop::Stop;
use crate::transport::stream::Stream;
use crate::uring::simulated::{self, Knobs, Left, Stage};
use crate::uring::spawn;

/// Seeds of an ordinary test; `LIMPET_SEEDS` sets another number.
const SEEDS: u64 = 5000;
/// All waits of an exchange together are shorter than this.
const PATIENCE: Duration = Duration::from_secs(600);

/// The record of one request.
#[derive(Debug, Clone)]
pub(super) struct Noted {
    pub path: String,
    pub facts: Facts,
    pub at_us: u64,
}

thread_local! {
    static NOTED: RefCell<Vec<Noted>> = const { RefCell::new(Vec::new()) };
}

/// Keeps a record for the judge.
pub fn note(record: &Record<'_>) {
    let Some(at_us) = simulated::now_us() else { return };
    simulated::enter(Stage::Idle);
    let path = String::from_utf8_lossy(record.path).into_owned();
    let noted = Noted { path, facts: record.facts, at_us };
    NOTED.with_borrow_mut(|all| all.push(noted));
}

/// Notes that an exchange comes to a phase of its record.
pub fn enter(phase: Phase) {
    simulated::enter(match phase {
        Phase::RequestHead => Stage::Head,
        Phase::RequestContent => Stage::Content,
        Phase::Queue => Stage::Queue,
        Phase::Connect => Stage::Connect,
        Phase::ResponseHead => Stage::Response,
        Phase::ResponseContent => Stage::Relay,
        Phase::Tunnel => Stage::Tunnel,
        Phase::Done => Stage::Idle,
    });
}

/// Notes that an upload begins, or is over; once the response has begun, only that counts.
pub fn uploads(begins: bool) {
    if begins {
        simulated::enter(Stage::Content);
    } else if simulated::is_at(Stage::Content) {
        simulated::enter(Stage::Response);
    }
}

/// The state that the parts of a run share.
#[derive(Default)]
struct Board {
    /// The observations of each client's connection.
    clients: RefCell<Vec<client::Seen>>,
    /// The targets' observations of each request, in their order.
    targets: RefCell<BTreeMap<u32, Vec<target::Seen>>>,
    clients_running: Cell<usize>,
    /// Whether a target has closed a connection before its time.
    has_target_closed: Cell<bool>,
}

fn kernel(chance: &mut Chance) -> Knobs {
    if chance.one_in(4) {
        return Knobs::default();
    }
    Knobs {
        late: chance.of(&[0, 50, 500]),
        late_us: chance.of(&[50, 5000, 80_000]),
        short_receive: chance.of(&[0, 100, 700]),
        short_send: chance.of(&[0, 100, 700]),
        no_buffer: chance.of(&[0, 300, 300]),
        no_socket: chance.of(&[0, 0, 0, 300]),
        reset_destroys: chance.of(&[0, 500]),
        latency_us: chance.of(&[0, 200, 20_000]),
        room_bytes: chance.of(&[600, 16_384, 262_144]),
        target_room_bytes: chance.of(&[600, 16_384, 262_144]),
    }
}

/// One run from its seed to its verdict.
fn play(seed: u64, log: &AccessLog) -> Result<Report, String> {
    NOTED.take();
    let mut chance = Chance::new(seed);
    let mut knobs = kernel(&mut chance);
    let plan = Rc::new(Plan::draw(seed, &mut chance));
    if plan.is_slow {
        knobs.latency_us = 20_000;
    }
    if plan.has_surplus {
        (knobs.late, knobs.latency_us, knobs.short_receive) = (0, 0, 0);
        knobs.target_room_bytes = 262_144;
    } else if plan.is_unkind {
        (knobs.short_receive, knobs.short_send, knobs.no_buffer) = (700, 700, 500);
        (knobs.late, knobs.late_us) = (500, 5_000);
    }
    let _speaking = records::ToTargets::speak(plan.records.to_targets);
    let snapshot = snapshot(&plan);
    let board = Rc::new(Board::default());
    let counters = Arc::new(ShardCounters::default());
    let main = stage(Rc::clone(&plan), Arc::clone(&snapshot), Rc::clone(&board), log, &counters);
    let (held, left): (judge::Held, Left) = simulated::run(seed, knobs.clone(), main);
    let noted = NOTED.take();
    let fates = fate::fates(&plan, &knobs);
    let (plan, board, snapshot) = (&*plan, &*board, &snapshot);
    let run = judge::Run { plan, fates, board, snapshot, held, left, noted };
    judge::judge(&run, &counters.snapshot())
}

fn snapshot(plan: &Plan) -> Arc<Snapshot> {
    let file = config::parse(&plan.configuration(), "simulation.toml").expect("a configuration");
    let ring = Arc::new(KeyRing::from_secrets(&[(1, [7; 32])]).expect("a ring"));
    Arc::new(compile(&file, &Registry::new(), &ring, None, &[]).expect("a snapshot"))
}

/// Sets up a run, waits until all peers have gone, and returns what limpet still holds.
async fn stage(
    plan: Rc<Plan>,
    snapshot: Arc<Snapshot>,
    board: Rc<Board>,
    log: &AccessLog,
    counters: &Arc<ShardCounters>,
) -> judge::Held {
    let admission = Arc::new(Admission::new(1000, 0));
    let shared = Shared { admission: Arc::clone(&admission), stop: Arc::new(Stop::default()) };
    let shard = Shard::new(0, &shared, Arc::clone(counters));
    let lent = Lent { shard: Rc::clone(&shard), log: log.shard_writer() };
    let clients = Rc::new(server::clients(Arc::new(Published::new(snapshot)), lent));
    let is_over = Rc::new(Cell::new(false));
    spawn(tick(Rc::clone(&shard), Rc::clone(&clients), Rc::clone(&is_over)));
    spawn(hear_wishes(Rc::clone(&shard), Rc::clone(&clients)));
    for address in plan.targets() {
        target::listen(address, &plan, &board);
    }
    board.clients_running.set(plan.clients.len());
    for index in 0..plan.clients.len() {
        let (near, far) = simulated::pair();
        let (shard, plan, board) = (Rc::clone(&shard), Rc::clone(&plan), Rc::clone(&board));
        let clients = Rc::clone(&clients);
        spawn(async move {
            simulated::wait(plan.clients[index].starts_after).await;
            let far = plan.records.of_client(far);
            let strikes = strike::prepare(&near, &far, &plan, index, &board);
            accept(&shard, clients, plan.records.to_client(near), index);
            client::run(far, &plan, index, &board, strikes).await;
            board.clients_running.set(board.clients_running.get() - 1);
        });
    }
    let is_quiet = || board.clients_running.get() == 0 && shard.connections.get() == 0;
    let mut waited = Duration::ZERO;
    while !is_quiet() && waited < PATIENCE {
        simulated::wait(TICK).await;
        waited += TICK;
    }
    shard.stop_idle(&*clients);
    // Leaves time for closes in the background.
    simulated::wait(Duration::from_secs(5)).await;
    is_over.set(true);
    simulated::wait(TICK * 2).await;
    judge::Held {
        is_quiet: is_quiet(),
        connections: shard.connections.get(),
        places: admission.open(),
        alarms: shard.time.alarms.count(),
        pooled: clients.pool.borrow().len(),
    }
}

async fn tick(shard: Rc<Shard>, clients: Rc<Clients>, is_over: Rc<Cell<bool>>) {
    while !is_over.get() {
        simulated::wait(TICK).await;
        shard.tick(&*clients);
    }
}

/// Serves a connection as an acceptor does.
fn accept(shard: &Rc<Shard>, clients: Rc<Clients>, client: Stream, index: usize) {
    let address = SocketAddr::from(([192, 0, 2, 1], 40_000 + u16::try_from(index).unwrap_or(0)));
    let origin = Origin { listener_name: Arc::from("web"), port: 8080, port_text: PortText::new() };
    let arrival = Arrival { client, origin: Rc::new(origin), peer: Peer::new(Some(address)) };
    let place = shard.admission.reserve().expect("a place");
    let admitted = Admitted::new(shard, place);
    spawn(async move {
        // It begins in its own task, by which the world identifies it.
        if let Some(serving) = Serving::begin(&clients, arrival) {
            Served::new(serving, admitted).await;
        }
    });
}

/// A number from the environment.
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn quiet_log() -> AccessLog {
    let options = AccessLogOptions {
        output: LogOutput::Off,
        format: LogFormat::Json,
        template: None,
        sample: 1,
        query: LogQuery::Keep,
        buffer_bytes: 65_536,
    };
    AccessLog::start(&options).expect("no output")
}

/// Runs the seeds, and says which have failed and why.
fn failures(seeds: impl Iterator<Item = u64>) -> (Report, Vec<String>) {
    let log = quiet_log();
    let (mut report, mut failed) = (Report::default(), Vec::new());
    let most = asked("LIMPET_FAILURES").unwrap_or(20) as usize;
    for seed in seeds {
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play(seed, &log)));
        match played {
            Ok(Ok(one)) => report.add(&one),
            Ok(Err(broken)) => failed.push(format!("seed {seed}: {broken}")),
            Err(_) => failed.push(format!("seed {seed}: a panic")),
        }
        if failed.len() >= most {
            break;
        }
    }
    (report, failed)
}

#[test]
fn whatever_clients_targets_and_the_kernel_do_every_exchange_keeps_its_promises() {
    let seeds = match asked("LIMPET_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..asked("LIMPET_SEEDS").unwrap_or(SEEDS),
    };
    let (report, failed) = failures(seeds);
    println!("{report}");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    if report.runs >= SEEDS {
        let missed = table::missed(&report.faults);
        assert!(missed.is_empty(), "{}", missed.join("\n"));
        let Report { undisturbed, requests, .. } = report;
        assert!(undisturbed * 10 > requests, "of {requests} only {undisturbed} had to succeed");
    }
}

#[test]
fn every_exchange_keeps_its_promises_over_tls_too() {
    for (version, part) in [(&TLS13, 20), (&TLS12, 40)] {
        let _tls = records::tls::Tls::speak(version);
        let seeds = match asked("LIMPET_SEED") {
            Some(seed) => seed..seed + 1,
            None => 0..asked("LIMPET_SEEDS").unwrap_or(SEEDS) / part,
        };
        let (_, failed) = failures(seeds);
        assert!(failed.is_empty(), "{:?}: {}", version.version, failed.join("\n"));
    }
}

#[test]
fn a_seed_plays_the_same_each_time_over_tls_too() {
    for version in [&TLS13, &TLS12] {
        let _tls = records::tls::Tls::speak(version);
        plays_the_same(0..20);
    }
}

#[test]
fn a_seed_plays_the_same_each_time() {
    plays_the_same(0..50);
}

fn plays_the_same(seeds: std::ops::Range<u64>) {
    let log = quiet_log();
    for seed in seeds {
        let (one, other) = (play(seed, &log), play(seed, &log));
        assert_eq!(format!("{one:?}"), format!("{other:?}"), "seed {seed}");
    }
}
