//! Requests for hosts of one profile on connections whose handshake was for another one.

use std::fmt::Write as _;
use std::sync::Arc;

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, SupportedProtocolVersion};
use tokio::runtime::Runtime;

use crate::support::http2::{self, Http2};
use crate::support::tls::{self, Authority, NAME};
use crate::support::{Client, Limpet, config, listener, poll};

/// How a profile authenticates its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Nobody,
    WhoWants,
    OfOne,
    OfOther,
}

impl Asks {
    fn lines(self) -> &'static str {
        match self {
            Asks::Nobody => "mode = \"off\"\n",
            Asks::WhoWants => "mode = \"optional\"\nauthorities = \"{dir}/one.pem\"\n",
            Asks::OfOne => "mode = \"required\"\nauthorities = \"{dir}/one.pem\"\n",
            Asks::OfOther => "mode = \"required\"\nauthorities = \"{dir}/other.pem\"\n",
        }
    }
}

/// The hosts, each the name of one profile.
const HOSTS: [&str; 4] = ["w.test", "x.test", "y.test", "z.test"];

/// What the profiles of [`HOSTS`] ask for.
type Layout = [Asks; 4];

const BEFORE: Layout = [Asks::Nobody, Asks::WhoWants, Asks::OfOne, Asks::OfOther];
/// Every profile asks otherwise than before.
const AFTER: Layout = [Asks::WhoWants, Asks::OfOne, Asks::OfOther, Asks::Nobody];

/// The file of a layout. A rule is there for every host, and answers with the number of the round.
fn text(layout: Layout, round: u32) -> String {
    let mut profiles = String::new();
    for (host, asks) in HOSTS.iter().zip(layout) {
        write!(
            profiles,
            "[[listener.tls.profile]]\nnames = [{host:?}]\n[listener.tls.profile.client]\n{}",
            asks.lines()
        )
        .expect("a String takes all");
    }
    let rule = format!(
        "priority = 1\nwhen.host = [\"*.test\"]\nrespond = {{ status = 200, body = \"{round}\" }}"
    );
    let section = listener("web")
        .certificate("hosts")
        .set("tls.alpn", ["h2", "http/1.1"].map(toml::Value::from).to_vec())
        .set("respond.status", 503)
        .below(&profiles);
    config().listener(section.rule(&rule)).text()
}

/// Clients of one version: without a certificate, with one of each authority.
struct Clients {
    anonymous: Arc<ClientConfig>,
    of_one: Arc<ClientConfig>,
    of_other: Arc<ClientConfig>,
}

impl Clients {
    /// Who is let in by such a profile.
    fn of(&self, asks: Asks) -> &Arc<ClientConfig> {
        match asks {
            Asks::Nobody | Asks::WhoWants => &self.anonymous,
            Asks::OfOne => &self.of_one,
            Asks::OfOther => &self.of_other,
        }
    }
}

/// The version of HTTP that clients speak.
#[derive(Clone, Copy)]
enum Speaks {
    Http1,
    Http2,
}

/// An open connection.
enum Connection {
    Http1(Client),
    Http2(Http2),
}

/// An open connection and what its handshake was asked for.
struct Open {
    connection: Connection,
    server_name: &'static str,
    asked: Asks,
}

/// The status and content of a response to a request for this host.
fn ask(client: &mut Client, host: &str) -> (u16, String) {
    client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    let response = client.response();
    (response.status, response.text())
}

impl Connection {
    fn ask(&mut self, runtime: &Runtime, host: &str) -> (u16, String) {
        match self {
            Connection::Http1(client) => ask(client, host),
            Connection::Http2(client) => {
                let answer = runtime.block_on(client.get_of(host, "/"));
                (answer.status, String::from_utf8(answer.content).unwrap())
            }
        }
    }
}

struct Site {
    limpet: Limpet,
    speaks: Speaks,
    /// Of the clients of HTTP/2.
    runtime: Runtime,
    clients: Clients,
    rounds: u32,
    open: Vec<Open>,
    /// Requests whose answers were compared with what they must be.
    cases: usize,
    served: usize,
}

impl Site {
    fn start(version: &'static SupportedProtocolVersion, speaks: Speaks) -> Site {
        let (one, other) = (Authority::new("one"), Authority::new("other"));
        let server = tls::authority();
        let client = |authority: &Authority| {
            server.client_of(&[version], Some(&authority.sign(&["till-7"])))
        };
        let clients = Clients {
            anonymous: server.client_of(&[version], None),
            of_one: client(&one),
            of_other: client(&other),
        };
        let limpet = Limpet::start_in(&text(BEFORE, 0), |directory| {
            std::fs::write(directory.join("one.pem"), one.pem()).unwrap();
            std::fs::write(directory.join("other.pem"), other.pem()).unwrap();
            let names: Vec<&str> = HOSTS.into_iter().chain([NAME]).collect();
            server.sign(&names).write(directory, "hosts");
        });
        let runtime = http2::runtime();
        Site { limpet, speaks, runtime, clients, rounds: 0, open: Vec::new(), cases: 0, served: 0 }
    }

    fn open(&self, asked: Asks, server_name: &'static str) -> (Connection, Option<HandshakeKind>) {
        let config = self.clients.of(asked);
        match self.speaks {
            Speaks::Http1 => {
                let mut client = self.limpet.tls_client(config, server_name);
                assert_eq!(ask(&mut client, server_name).0, 200, "{server_name} {asked:?}");
                let kind = client.wire.tls().unwrap().with(|tls| tls.handshake_kind());
                (Connection::Http1(client), kind)
            }
            Speaks::Http2 => self.runtime.block_on(async {
                let address = self.limpet.address();
                let (client, kind) = Http2::connect_as(address, config, server_name).await;
                assert_eq!(client.get_of(server_name, "/").await.status, 200, "{server_name}");
                (Connection::Http2(client), kind)
            }),
        }
    }

    /// A connection for each host; whether its handshake was resumed must be what `resumes` says of what it is asked for.
    fn connect(&mut self, layout: Layout, resumes: impl Fn(Asks) -> bool) {
        for (server_name, asked) in HOSTS.into_iter().zip(layout) {
            // Behind an answer the ticket has come, too.
            let (connection, kind) = self.open(asked, server_name);
            let is_resumed = kind == Some(HandshakeKind::Resumed);
            assert_eq!(is_resumed, resumes(asked), "{server_name} {asked:?}");
            self.open.push(Open { connection, server_name, asked });
        }
    }

    /// Asks for every host on every open connection: what the handshake asked for is compared with what Host asks for now.
    fn compare(&mut self, now: Layout) {
        for open in &mut self.open {
            for (host, asks) in HOSTS.into_iter().zip(now) {
                let (status, body) = open.connection.ask(&self.runtime, host);
                let is_served = asks == open.asked;
                let wanted = if is_served { 200 } else { 421 };
                let handshake = (open.server_name, open.asked);
                assert_eq!(status, wanted, "{handshake:?}, {host} {asks:?}");
                assert_eq!(body == self.rounds.to_string(), is_served, "{host}: {body}");
                self.cases += 1;
                self.served += usize::from(is_served);
            }
        }
    }

    fn reload(&mut self, layout: Layout) {
        self.rounds += 1;
        self.limpet.write_config(&text(layout, self.rounds));
        self.limpet.signal(libc::SIGHUP);
        let wanted = (200, self.rounds.to_string());
        // The listener's own profile stays as it was.
        let mut client = self.limpet.tls_client(&self.clients.anonymous, NAME);
        assert!(
            poll(|| (ask(&mut client, NAME) == wanted).then_some(())).is_some(),
            "{}",
            self.limpet.stderr()
        );
    }
}

#[test]
fn every_host_is_served_where_it_asks_for_what_the_handshake_asked_for_and_nowhere_else() {
    for (version, speaks) in [&TLS12, &TLS13]
        .into_iter()
        .flat_map(|version| [Speaks::Http1, Speaks::Http2].map(|speaks| (version, speaks)))
    {
        let mut site = Site::start(version, speaks);
        let is_nobody = |asks| asks == Asks::Nobody;
        site.connect(BEFORE, |_| false);
        // Nobody is resumed who shows a certificate, or might.
        site.connect(BEFORE, is_nobody);
        site.compare(BEFORE);
        assert_eq!((site.cases, site.served), (32, 8));

        // The connections stay open while what their hosts ask for is swapped.
        site.reload(AFTER);
        site.compare(AFTER);
        assert_eq!((site.cases, site.served), (64, 16));
        // A session from before the reload is not taken where the profile asks otherwise now.
        site.connect(AFTER, |_| false);
        site.connect(AFTER, is_nobody);
        site.compare(AFTER);
        assert_eq!((site.cases, site.served), (128, 32));

        // Back again: those of the beginning are as good as then.
        site.reload(BEFORE);
        site.compare(BEFORE);
        assert_eq!((site.cases, site.served), (192, 48));
    }
}
