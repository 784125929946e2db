//! Many streams of one connection, and streams of one shared target: the form that an exchange has in a version of HTTP
//! with streams. Both sides are doubles in memory; the exchange between them is the real one.

mod line;
mod share;
mod stream;

use super::plan::Chance;
use super::quiet_log;
use crate::control::compile::compile;
use crate::control::config;
use crate::exchange::caller::{Caller, Origin, Peer, PortText};
use crate::exchange::end::End;
use crate::exchange::entry::Entry;
use crate::exchange::failure::Failure;
use crate::exchange::forward::Exchange;
use crate::exchange::local::Local;
use crate::exchange::plan::Outgoing;
use crate::exchange::prepared::Prepared;
use crate::exchange::scene::Scene;
use crate::group::state::Registry;
use crate::shard::TICK;
use crate::snapshot::{Listener, Snapshot, View};
use crate::stickiness::keyring::KeyRing;
use crate::telemetry::counters::ShardCounters;
use crate::time::Time;
use crate::time::stop::Stop;
use crate::time::timers::Timers;
use crate::uring::simulated::{self, Knobs, Left};
use crate::uring::spawn;
use line::{Line, Upwards};
use share::{Shared, ToShared};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use stream::{Connection, Down, Frame, Stream, Up, with_head};

const STREAMS: u8 = 32;
/// The stream whose client takes nothing of its response.
const STALLED: u8 = 7;
/// The stream that its client resets while it goes on.
const RESET: u8 = 11;
/// The target resets this stream inside its response.
const CUT: u8 = 19;
const LENGTH_MAX: usize = 200_000;

const CONFIGURATION: &str = r#"
[[listener]]
name = "web"
address = "127.0.0.1:8080"
forward = "app"
timeouts.send_idle = "2s"
[[target_group]]
name = "app"
timeouts.response = "30s"
[[target_group.target]]
id = "a"
address = "127.0.0.1:1"
"#;

/// Answers each stream with as many bytes as it asks for, all of the stream's own value, in pieces.
async fn serve(shared: Rc<Shared>, seed: u64) {
    let mut streams = 0;
    while let Some((head, from_client, to_client)) = shared.asked.hear().await {
        streams += 1;
        let mut chance = Chance::new(seed ^ (streams << 32));
        spawn(async move {
            let (id, length) = asked_for(&head);
            while let Some((bytes, is_last)) = from_client.hear().await {
                assert!(bytes.iter().all(|byte| *byte == id), "stream {id} got another's content");
                if is_last {
                    break;
                }
            }
            pause(&mut chance, 20).await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
            let at = chance.below(head.len() as u64) as usize;
            to_client.say(head[..at.max(1)].to_vec());
            pause(&mut chance, 5).await;
            to_client.say(head[at.max(1)..].to_vec());
            let mut left = length;
            while left > 0 {
                if id == CUT && left <= length / 2 {
                    return to_client.cut();
                }
                let count = (chance.below(20_000) as usize + 1).min(left);
                to_client.say(vec![id; count]);
                left -= count;
                pause(&mut chance, 5).await;
            }
        });
    }
}

async fn pause(chance: &mut Chance, most_ms: u64) {
    simulated::wait(Duration::from_millis(chance.below(most_ms + 1))).await;
}

/// Stream and length that the path of a request asks for.
fn asked_for(head: &[u8]) -> (u8, usize) {
    with_head(head, |head| {
        let path = std::str::from_utf8(head.target.path).expect("ASCII");
        let mut parts = path.trim_start_matches('/').split('/');
        let mut number = || parts.next().and_then(|part| part.parse::<usize>().ok());
        let (id, length) = (number().expect("a stream"), number().expect("a length"));
        (u8::try_from(id).expect("a stream"), length)
    })
}

/// The state that all streams of a run share.
struct World {
    local: Local,
    caller: Caller,
    view: View,
    listener: Arc<Listener>,
    connection: Rc<Connection>,
    shared: Rc<Shared>,
    ends: RefCell<Vec<(u8, usize, End)>>,
}

/// One stream: its exchange, and its client beside.
async fn stream(world: Rc<World>, id: u8, mut chance: Chance) {
    pause(&mut chance, 20).await;
    let length = match id {
        STALLED | CUT => LENGTH_MAX,
        _ => chance.below(LENGTH_MAX as u64) as usize,
    };
    let uploads = chance.one_in(2);
    let size = if uploads { chance.below(60_000) as usize + 1 } else { 0 };
    let framing = if uploads { format!("Content-Length: {size}\r\n") } else { String::new() };
    let method = if uploads { "POST" } else { "GET" };
    let head = format!("{method} /{id}/{length} HTTP/1.1\r\nHost: h\r\n{framing}\r\n");
    let (more, credit, presence) = (Line::default(), Line::default(), Line::default());
    let along = if uploads { vec![id; chance.below(size as u64) as usize] } else { Vec::new() };
    let first = along.len();
    let mut client = Stream {
        head: head.into_bytes(),
        up: Up { along, more: more.clone(), is_whole: !uploads, received: first as u64 },
        down: Down {
            id,
            connection: Rc::clone(&world.connection),
            credit: credit.clone(),
            presence: presence.clone(),
            head: None,
            data: Vec::new(),
        },
    };
    spawn(speak((id, size - first), more, Chance::new(chance.below(u64::MAX))));
    let is_over = Rc::new(Cell::new(false));
    if id != STALLED {
        let mut chance = Chance::new(chance.below(u64::MAX));
        let is_over = Rc::clone(&is_over);
        spawn(async move {
            while !is_over.get() {
                pause(&mut chance, 2).await;
                credit.say(());
            }
        });
    }
    if id == RESET {
        let mut chance = Chance::new(chance.below(u64::MAX));
        spawn(async move {
            pause(&mut chance, 60).await;
            presence.cut();
        });
    }
    let World { local, caller, view, listener, shared, .. } = &*world;
    let scene = Scene::new((local, caller), "192.0.2.1", view, listener);
    let (mut out, mut entry) = (Outgoing::default(), Entry::default());
    entry.begin(local, caller);
    let prepared = with_head(&client.head, |head| scene.prepare(head, &mut out, &mut entry));
    assert!(matches!(prepared, Prepared::Forward));
    let along = uploads.then(|| client.up.along.clone());
    let upstream = ToShared(Rc::clone(shared), RefCell::new(along));
    let alarm = local.alarms.alarm();
    let timers = Timers::new(&alarm, &local.clock);
    let mut exchange = Exchange {
        scene: &scene,
        out: &mut out,
        client: &mut client,
        upstream: &upstream,
        timers: &timers,
    };
    let end = exchange.run(&mut entry).await;
    is_over.set(true);
    world.ends.borrow_mut().push((id, length, end));
}

/// The content of a request, in pieces.
async fn speak((id, mut left): (u8, usize), more: Upwards, mut chance: Chance) {
    while left > 0 {
        pause(&mut chance, 3).await;
        let count = (chance.below(8_000) as usize + 1).min(left);
        left -= count;
        more.say((vec![id; count], left == 0));
    }
}

fn snapshot() -> Arc<Snapshot> {
    let file = config::parse(CONFIGURATION, "streams.toml").expect("a configuration");
    let ring = Arc::new(KeyRing::from_secrets(&[(1, [7; 32])]).expect("a ring"));
    Arc::new(compile(&file, &Registry::new(), &ring, None, &[]).expect("a snapshot"))
}

/// Runs all streams of one connection, and judges them.
async fn play(seed: u64) {
    let snapshot = snapshot();
    let log = quiet_log();
    let counters = Arc::new(ShardCounters::default());
    let local = Local::new(0, Time::start(Arc::new(Stop::default())), log.shard_writer(), counters);
    let origin = Origin { listener_name: "web".into(), port: 8080, port_text: PortText::new() };
    let peer = Peer::new(Some(([192, 0, 2, 1], 40_000).into()));
    let world = Rc::new(World {
        local,
        caller: Caller::new(Rc::new(origin), peer, false),
        listener: Arc::clone(&snapshot.listeners[0]),
        view: Rc::new(Arc::clone(&snapshot)),
        connection: Rc::default(),
        shared: Rc::default(),
        ends: RefCell::default(),
    });
    spawn(serve(Rc::clone(&world.shared), seed));
    for id in 0..STREAMS {
        spawn(stream(Rc::clone(&world), id, Chance::new(seed ^ (u64::from(id) << 40))));
    }
    let mut chance = Chance::new(!seed);
    if chance.one_in(4) {
        let shared = Rc::clone(&world.shared);
        spawn(async move {
            pause(&mut chance, 300).await;
            shared.lose();
        });
    }
    let mut waited = Duration::ZERO;
    while world.ends.borrow().len() < usize::from(STREAMS) {
        assert!(waited < Duration::from_secs(60), "only {:?} have ended", world.ends.borrow());
        simulated::wait(TICK).await;
        world.local.clock.tick();
        world.local.alarms.scan(world.local.clock.now_ms());
        waited += TICK;
    }
    judge(&world);
    world.shared.asked.cut();
}

fn judge(world: &World) {
    let frames = world.connection.frames.borrow();
    for (id, length, end) in &*world.ends.borrow() {
        let own: Vec<&Frame> =
            frames.iter().filter(|(of, _)| of == id).map(|(_, frame)| frame).collect();
        let (mut data, mut ends) = (0, 0);
        for (at, frame) in own.iter().enumerate() {
            match frame {
                Frame::Head(status) => assert_eq!((at, *status), (0, 200), "stream {id}"),
                Frame::Data(bytes) => {
                    assert!(bytes.iter().all(|byte| byte == id), "stream {id} got another's");
                    data += bytes.len();
                }
                Frame::End => ends += 1,
            }
        }
        let is_whole = (data, ends) == (*length, 1);
        let is_lost = world.shared.is_lost.get() && ends == 0;
        match *id {
            // Streams that were complete by then, or were begun later, are not affected.
            _ if is_lost && is_loss(*end) => {}
            STALLED => assert_eq!((*end, ends), (End::Aborted(Failure::ClientSendTimeout), 0)),
            CUT => assert_eq!((*end, ends), (End::Aborted(Failure::TargetContentReset), 0)),
            RESET if *end == End::Aborted(Failure::ClientGone) => assert_eq!(ends, 0),
            _ => assert!(*end == End::Complete && is_whole, "stream {id}: {end:?}, {data} bytes"),
        }
    }
    let shared = &world.shared;
    assert_eq!(shared.open.get(), 0, "leases that nobody gave back");
    let leases = shared.given_back.get() + shared.closed.get();
    // A stream that was lost before the first byte of its response may have been tried again.
    assert!(leases == u32::from(STREAMS) || leases > u32::from(STREAMS) && shared.is_lost.get());
    assert_eq!(world.view.groups[0].targets[0].state.in_flight(), 0, "places");
    assert_eq!(world.local.alarms.count(), 0, "alarms");
}

/// Whether a stream ended because its target's connection was lost.
fn is_loss(end: End) -> bool {
    matches!(
        end,
        End::Refused(Failure::TargetReset { .. })
            | End::Aborted(Failure::TargetReset { .. } | Failure::TargetContentReset)
    )
}

#[test]
fn streams_of_one_connection_and_of_a_shared_target_are_exchanges_like_any_other() {
    let seeds = match super::asked("LIMPET_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..super::asked("LIMPET_SEEDS").unwrap_or(20),
    };
    for seed in seeds {
        println!("seed {seed}");
        let ((), _): ((), Left) = simulated::run(seed, Knobs::default(), play(seed));
    }
}
