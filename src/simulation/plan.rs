//! The clients, targets and settings of a seed.

use std::net::SocketAddr;
use std::time::Duration;

use super::records::{self, Manner};
use crate::transport::stream::Stream;
use crate::uring::Socket;
use crate::uring::simulated::Stage;

/// A sequence of numbers of its own, apart from the world's (SplitMix64).
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x2545_F491_4F6C_DD1D).wrapping_add(1))
    }

    /// Below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end.max(1)
    }

    pub(super) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub(super) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn millis(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.below(most))
    }
}

/// How content is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length,
    Chunked,
    /// Responses only: until the connection closes.
    Close,
}

/// How a side leaves before everything is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// Nothing more is sent, and bytes are still received.
    HalfClose,
    Close,
    Reset,
    /// Nothing more is sent, and nothing is closed.
    Stall,
}

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub id: u32,
    pub method: &'static str,
    pub version: &'static str,
    pub content: Option<(Framing, usize)>,
    pub expects_continue: bool,
    pub upgrades: bool,
    /// The bytes of the tunnel, once it is granted.
    pub tunnel: Tunnel,
    /// Whether it asks for its connection to be closed.
    pub is_last: bool,
    /// The cut, and after how many of its bytes.
    pub cut: Option<(usize, Cut)>,
    /// The size of the pieces in which its bytes are sent.
    pub piece: usize,
    /// The pause between two pieces.
    pub pause: Duration,
    pub response: Response,
}

/// The bytes of a tunnel; each side sends back those that it receives.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tunnel {
    /// Sent by the client right behind its request, before it knows whether there will be a tunnel.
    pub early: usize,
    /// Sent by the client once the tunnel is there.
    pub late: usize,
    /// Sent by the target right behind its 101.
    pub greets: usize,
}

impl Request {
    /// Whether its target grants the upgrade.
    pub(super) fn is_tunnel(&self) -> bool {
        self.upgrades && self.response.upgrades
    }
}

/// How a target handles a request; each attempt is the same.
#[derive(Debug, Clone)]
pub(super) struct Response {
    pub interims: u32,
    pub status: u16,
    pub framing: Framing,
    pub length: usize,
    /// Whether it answers before it has read the content, and then whether it reads it.
    pub early: Option<bool>,
    /// Whether it answers 101 to a request that asks for it.
    pub upgrades: bool,
    pub after: Duration,
    pub cut: Option<(usize, Cut)>,
    pub piece: usize,
    pub pause: Duration,
    /// The target's behaviour after the response.
    pub then: Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Keep,
    /// Announces that it closes, and closes.
    Close,
    /// Closes without announcing it.
    Drop,
    /// Sends bytes right behind it that belong to no response.
    Surplus,
}

/// Most content of a response with surplus bytes behind it.
const BEFORE_SURPLUS_MAX: usize = 5_000;

#[derive(Debug, Clone)]
pub(super) struct Client {
    pub starts_after: Duration,
    pub requests: Vec<Request>,
    /// Whether it sends the next request without waiting for the response.
    pub pipelines: bool,
    /// The pause between two requests.
    pub pause: Duration,
    /// A pause before each receive, which sets how fast it reads.
    pub reads_after: Duration,
    /// Whether it goes away, and how long after it has sent a request that it waits for.
    pub leaves: Option<(Duration, Cut)>,
    pub strike: Option<Strike>,
}

/// A strike at a connection whose exchange has come to a stage.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strike {
    /// Whether the target strikes, instead of the client.
    pub by_target: bool,
    pub how: Cut,
    pub at: Stage,
    pub after_us: u64,
}

/// The settings of the file that vary with the seed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub keep_alive_ms: u64,
    /// Requests in flight to one target; 0: as many as there are.
    pub limit: usize,
    queue: u32,
    pub response_ms: u64,
    pub idle_ms: u64,
    pub retries: u32,
    is_sticky: bool,
}

/// How the peers of a run behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// Any peer may cut, stall and reset.
    Wild,
    /// Only the kernel is unkind, and targets as far as the protocol allows.
    Calm,
    /// Targets are as kind as possible, too.
    Kind,
}

/// Which connections of a run are streams of records, and how peers treat their ends.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Records {
    to_clients: bool,
    pub to_targets: bool,
    /// Whether a peer that cuts closes its socket without the record of the end.
    is_rude: bool,
}

impl Records {
    /// Drawn from separate numbers, so that the rest of a plan is the same for streams of each kind.
    fn draw(seed: u64) -> Records {
        let chance = &mut Chance::new(seed ^ 0x5EA1_ED00_0000_0000);
        let (to_clients, to_targets) = chance.of(&[
            (false, false),
            (false, false),
            (false, false),
            (true, false),
            (false, true),
            (true, true),
        ]);
        Records { to_clients, to_targets, is_rude: chance.one_in(2) }
    }

    pub(super) fn is_client_rude(self) -> bool {
        self.to_clients && self.is_rude
    }

    pub(super) fn is_target_rude(self) -> bool {
        self.to_targets && self.is_rude
    }

    /// Limpet's end of a client's connection.
    pub(super) fn to_client(self, socket: Socket) -> Stream {
        stream(socket, self.to_clients, Manner::Terse)
    }

    /// The client's end of it.
    pub(super) fn of_client(self, socket: Socket) -> Stream {
        stream(socket, self.to_clients, Manner::Chatty)
    }

    /// A target's end of its connection.
    pub(super) fn of_target(self, socket: Socket) -> Stream {
        stream(socket, self.to_targets, Manner::Chatty)
    }
}

fn stream(socket: Socket, has_records: bool, manner: Manner) -> Stream {
    if has_records { records::stream(socket, manner) } else { Stream::plain(socket) }
}

/// All parts of one run.
#[derive(Debug)]
pub(super) struct Plan {
    pub seed: u64,
    pub clients: Vec<Client>,
    pub target_count: u8,
    pub settings: Settings,
    pub records: Records,
    /// In how many of a thousand connects.
    pub refuses: u16,
    pub silent: u16,
    pub connects_after_us: u64,
    /// In how many of a thousand the target sends a response before any request, and resets.
    pub speaks_first: u16,
    /// Whether a peer strikes while a request is on its way to a target.
    pub is_slow: bool,
    /// Whether a target sends bytes behind its response, which must arrive together with it.
    pub has_surplus: bool,
    /// Whether the kernel is unkind because a strike needs time: a kind one would hardly do anything meanwhile.
    pub is_unkind: bool,
}

impl Plan {
    pub(super) fn draw(seed: u64, chance: &mut Chance) -> Plan {
        let mut ids = 0..;
        let mood = match seed % 4 {
            0 => chance.of(&[Mood::Calm, Mood::Kind]),
            2 => chance.of(&[Mood::Wild, Mood::Wild, Mood::Kind]),
            _ => Mood::Wild,
        };
        let is_calm = mood != Mood::Wild;
        let mut clients: Vec<Client> =
            (0..1 + chance.below(4)).map(|_| client(chance, &mut ids, mood)).collect();
        let strikes = |clients: &[Client], at| {
            clients.iter().any(|client| client.strike.is_some_and(|strike| strike.at == at))
        };
        let queues = strikes(&clients, Stage::Queue);
        if queues {
            // Another client must hold the place that is waited for.
            clients.push(client(chance, &mut ids, Mood::Calm));
            for client in &mut clients {
                client.requests[0].response.after = Duration::from_millis(200);
            }
        }
        let (connects, is_slow) =
            (strikes(&clients, Stage::Connect), strikes(&clients, Stage::Send));
        let mut requests = clients.iter().flat_map(|client| &client.requests);
        let has_surplus = requests.any(|request| request.response.then == Then::Surplus);
        let records = Records::draw(seed);
        Plan {
            seed,
            has_surplus,
            // Records would separate bytes that must arrive together.
            records: Records { to_targets: records.to_targets && !has_surplus, ..records },
            clients,
            target_count: if queues { 1 } else { 1 + chance.below(3) as u8 },
            settings: Settings::draw(chance, queues, mood),
            speaks_first: if is_calm { 0 } else { chance.of(&[0, 0, 0, 200]) },
            is_slow,
            is_unkind: (is_slow || queues || connects) && !chance.one_in(3),
            refuses: if is_calm { 0 } else { chance.of(&[0, 0, 300]) },
            silent: if is_calm { 0 } else { chance.of(&[0, 0, 200]) },
            connects_after_us: if connects { 50_000 } else { chance.of(&[0, 300, 50_000]) },
        }
    }

    pub(super) fn request(&self, id: u32) -> Option<&Request> {
        self.clients.iter().flat_map(|client| &client.requests).find(|request| request.id == id)
    }

    pub(super) fn targets(&self) -> impl Iterator<Item = SocketAddr> {
        (1..=self.target_count).map(|last| SocketAddr::from(([198, 51, 100, last], 80)))
    }

    pub(super) fn configuration(&self) -> String {
        let targets: Vec<String> =
            self.targets().map(|address| format!("{{ address = \"{address}\" }}")).collect();
        format!("{}\ntarget = [{}]\n", self.settings.text(), targets.join(", "))
    }
}

impl Settings {
    fn draw(chance: &mut Chance, queues: bool, mood: Mood) -> Settings {
        let is_kind = mood == Mood::Kind;
        Settings {
            keep_alive_ms: chance.of(&[300, 3_000]),
            limit: match queues {
                true => 1,
                false if is_kind => chance.of(&[0, 0, 0, 4]),
                false => chance.of(&[0, 0, 1, 2]),
            },
            queue: if queues { 16 } else { chance.of(&[0, 1, 16]) },
            response_ms: if is_kind { 3_000 } else { chance.of(&[300, 3_000]) },
            idle_ms: chance.of(&[200, 4_000]),
            retries: chance.of(&[0, 1, 2]),
            is_sticky: chance.of(&[true, false]),
        }
    }

    fn text(&self) -> String {
        let Settings { keep_alive_ms, limit, queue, response_ms, idle_ms, retries, is_sticky } =
            self;
        format!(
            r#"
[[listener]]
name = "web"
address = "127.0.0.1:8080"
forward = "app"
timeouts = {{ head = "2s", content_idle = "2s", keep_alive = "{keep_alive_ms}ms", send_idle = "2s" }}
[[target_group]]
name = "app"
connection_limit = {limit}
queue = {queue}
queue_timeout = "1s"
timeouts = {{ connect = "500ms", response = "{response_ms}ms", idle = "{idle_ms}ms", content_idle = "2s", tunnel_idle = "3s" }}
retries = {{ count = {retries} }}
stickiness = {{ enabled = {is_sticky} }}"#
        )
    }
}

fn client(chance: &mut Chance, ids: &mut impl Iterator<Item = u32>, mood: Mood) -> Client {
    let is_calm = mood != Mood::Wild;
    let count = 1 + chance.below(4);
    let requests: Vec<Request> = (0..count)
        .map(|at| {
            let id = ids.next().unwrap_or(0);
            request(chance, id, at + 1 == count, mood)
        })
        .collect();
    let leaves = (!is_calm && chance.one_in(5))
        .then(|| (chance.millis(600), chance.of(&[Cut::Close, Cut::Reset, Cut::HalfClose])));
    let strike = (!is_calm).then(|| strike(chance));
    let requests = match strike {
        Some(strike) => prone(requests, strike.at),
        None => requests,
    };
    let waits = [Stage::Queue, Stage::Connect, Stage::Send];
    let has_wait = strike.is_some_and(|strike| waits.contains(&strike.at));
    Client {
        strike,
        starts_after: chance.millis(20),
        requests,
        pipelines: chance.one_in(if has_wait { 2 } else { 4 }),
        pause: match chance.below(3) {
            0 => chance.millis(400),
            _ if has_wait => chance.millis(20),
            _ => Duration::ZERO,
        },
        reads_after: if chance.one_in(5) { chance.millis(100) } else { Duration::ZERO },
        leaves,
    }
}

/// Stages that a strike waits for; short ones, and those with more to strike at, are listed more often.
const STRUCK: [Stage; 24] = [
    Stage::Head,
    Stage::Content,
    Stage::Queue,
    Stage::Queue,
    Stage::Connect,
    Stage::Send,
    Stage::Send,
    Stage::Send,
    Stage::Send,
    Stage::Send,
    Stage::Send,
    Stage::Send,
    Stage::Send,
    Stage::Response,
    Stage::Response,
    Stage::Response,
    Stage::Relay,
    Stage::Relay,
    Stage::Tunnel,
    Stage::Tunnel,
    Stage::Tunnel,
    Stage::Idle,
    Stage::Idle,
    Stage::Idle,
];

fn strike(chance: &mut Chance) -> Strike {
    let at = chance.of(&STRUCK);
    // Before there is a connection to it, a target has nothing to strike at.
    let has_target = !matches!(at, Stage::Head | Stage::Queue | Stage::Connect);
    Strike {
        by_target: has_target && chance.one_in(2),
        how: chance.of(&[
            Cut::HalfClose,
            Cut::Close,
            Cut::Reset,
            Cut::Reset,
            Cut::Stall,
            Cut::Stall,
            Cut::Stall,
        ]),
        at,
        after_us: chance.of(&[0, 1_000, 1_000, 30_000]),
    }
}

/// Makes the first request come to `stage` and stay there for a while.
fn prone(mut requests: Vec<Request>, stage: Stage) -> Vec<Request> {
    let Some(first) = requests.first_mut() else { return requests };
    let millis = Duration::from_millis;
    match stage {
        Stage::Head => {
            (first.method, first.content, first.expects_continue) = ("GET", None, false);
            (first.piece, first.pause) = (10, millis(10));
        }
        Stage::Content => {
            (first.method, first.content) = ("PUT", Some((Framing::Length, 60_000)));
            (first.piece, first.pause, first.cut) = (10_000, millis(8), None);
        }
        Stage::Send => {
            (first.method, first.content) = ("PUT", Some((Framing::Length, 14_000)));
            (first.piece, first.cut) = (usize::MAX, None);
            (first.response.early, first.response.interims) = (Some(true), 2);
        }
        Stage::Queue | Stage::Response => {
            (first.response.after, first.cut) = (millis(200), None);
        }
        Stage::Relay => {
            first.response.length = first.response.length.max(20_000);
            (first.response.piece, first.response.pause) = (5_000, millis(10));
        }
        Stage::Tunnel => {
            (first.method, first.content, first.version) = ("GET", None, "HTTP/1.1");
            (first.upgrades, first.response.upgrades) = (true, true);
            (first.expects_continue, first.cut, first.response.cut) = (false, None, None);
            first.tunnel = Tunnel { late: 60_000, ..first.tunnel };
            (first.piece, first.pause) = (2_000, millis(3));
        }
        Stage::Idle => {
            (first.is_last, first.cut, first.response.cut) = (false, None, None);
            (first.response.framing, first.response.then) = (Framing::Length, Then::Keep);
        }
        Stage::Connect => {}
    }
    requests
}

fn length(chance: &mut Chance) -> usize {
    let most = chance.of(&[1, 100, 5_000, 70_000, 300_000]);
    chance.below(most) as usize
}

fn cut(chance: &mut Chance, mood: Mood) -> Option<(usize, Cut)> {
    if mood != Mood::Wild || !chance.one_in(5) {
        return None;
    }
    let most = chance.of(&[200, 3_000, 100_000]);
    let how = chance.of(&[Cut::HalfClose, Cut::Close, Cut::Reset, Cut::Stall]);
    Some((1 + chance.below(most) as usize, how))
}

fn pace(chance: &mut Chance) -> (usize, Duration) {
    let piece = chance.of(&[usize::MAX, usize::MAX, 20_000, 500]);
    let pause = if piece > 100_000 || chance.one_in(2) { Duration::ZERO } else { chance.millis(3) };
    (piece, pause)
}

fn request(chance: &mut Chance, id: u32, is_last: bool, mood: Mood) -> Request {
    let method = chance.of(&["GET", "GET", "POST", "PUT", "HEAD"]);
    let has_content = matches!(method, "POST" | "PUT");
    let version = if chance.one_in(8) { "HTTP/1.0" } else { "HTTP/1.1" };
    let framings = if version == "HTTP/1.0" {
        &[Framing::Length][..]
    } else {
        &[Framing::Length, Framing::Chunked]
    };
    let content = has_content.then(|| (chance.of(framings), length(chance)));
    let is_modern = version == "HTTP/1.1";
    let upgrades = is_modern && chance.one_in(10);
    let (piece, pause) = pace(chance);
    Request {
        id,
        method,
        version,
        content,
        expects_continue: has_content && is_modern && chance.one_in(5),
        upgrades,
        tunnel: Tunnel {
            early: chance.of(&[0, 0, 1, 300, 6_000]),
            late: chance.of(&[0, 100, 5_000, 40_000]),
            greets: chance.of(&[0, 0, 50, 9_000]),
        },
        is_last: is_last && chance.one_in(2),
        cut: cut(chance, mood),
        piece,
        pause,
        response: response(chance, mood),
    }
}

fn response(chance: &mut Chance, mood: Mood) -> Response {
    let is_kind = mood == Mood::Kind;
    let (piece, pause) = pace(chance);
    let after = match chance.below(12) {
        0..=3 => chance.millis(500),
        4 if !is_kind => Duration::from_millis(chance.of(&[1_200, 2_400, 3_600])),
        _ => Duration::ZERO,
    };
    let length = length(chance);
    let mut then = chance.of(if is_kind { &KIND } else { &ANY });
    if then == Then::Surplus && length > BEFORE_SURPLUS_MAX {
        then = Then::Keep;
    }
    Response {
        interims: if chance.one_in(6) { 1 + chance.below(3) as u32 } else { 0 },
        status: chance.of(&[200, 200, 200, 204, 304, 404, 500, 503]),
        framing: chance.of(&[Framing::Length, Framing::Chunked, Framing::Close]),
        length,
        early: (!is_kind && chance.one_in(6)).then(|| chance.one_in(2)),
        upgrades: !chance.one_in(4),
        after,
        cut: cut(chance, mood),
        piece,
        pause,
        then,
    }
}

const KIND: [Then; 6] =
    [Then::Keep, Then::Keep, Then::Keep, Then::Keep, Then::Close, Then::Surplus];
const ANY: [Then; 4] = [Then::Keep, Then::Keep, Then::Close, Then::Drop];
