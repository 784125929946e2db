//! What a client's requests leave in the metrics of a whole data plane, scraped while it runs.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use limpet::cli::server;
use limpet::cli::start::{self, Start};
use limpet::control::metrics::{
    CertificateFacts, ConfigFacts, LogCounts, Machine, Plane, Sources, exposition,
};
use limpet::group::state::Health;
use limpet::shard::server::Server;
use limpet::snapshot::{Bind, Snapshot};
use limpet::telemetry::handshakes::Handshakes;

const PATIENCE: Duration = Duration::from_secs(20);

/// A target that answers every request with 200 and keeps its connections.
fn target() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
    let address = listener.local_addr().expect("address");
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.expect("accept");
            std::thread::spawn(move || {
                while read_head(&mut connection).is_some() {
                    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    connection.write_all(response).expect("answer");
                }
            });
        }
    });
    address
}

/// One head, with what came with it; `None` at the end of the stream.
fn read_head(connection: &mut TcpStream) -> Option<String> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match connection.read(&mut piece) {
            Ok(count) if count > 0 => bytes.extend_from_slice(piece.get(..count)?),
            Ok(_) => return None,
            // A ring that this thread probed interrupts it once more when it goes.
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
        if memchr::memmem::find(&bytes, b"\r\n\r\n").is_some() {
            return String::from_utf8(bytes).ok();
        }
    }
}

/// The server behind the trait, without what only its own handle knows.
struct Running {
    server: Server,
}

impl Machine for Running {
    fn engine(&self) -> &'static str {
        self.server.handle().engine().name()
    }

    fn shard_count(&self) -> usize {
        self.server.handle().shard_count()
    }

    fn connections(&self) -> usize {
        self.server.handle().connections()
    }

    fn shard_connections(&self, _: usize) -> usize {
        0
    }

    fn busy(&self, _: usize) -> Duration {
        Duration::ZERO
    }

    fn log(&self) -> LogCounts {
        LogCounts::default()
    }
}

struct Unknown;

impl Plane for Unknown {
    fn config(&self) -> ConfigFacts {
        ConfigFacts::default()
    }

    fn certificates(&self) -> CertificateFacts {
        CertificateFacts::default()
    }

    fn refused_requests(&self) -> [(&'static str, u64); 4] {
        limpet::control::refusals::Refusals::default().counts()
    }
    fn admin_handshakes(&self) -> Handshakes {
        Handshakes::default()
    }
    fn group_sessions(&self, _: &str) -> Option<u64> {
        None
    }

    fn target_sessions(&self, _: &str, _: &str) -> Option<u64> {
        None
    }
}

/// Two listeners, a group behind both of them and an empty one.
struct Limpet {
    start: Start,
    sources: Sources,
    addresses: Vec<SocketAddr>,
}

impl Limpet {
    fn start() -> Limpet {
        let target = target();
        let text = format!(
            r#"
            [process]
            shards = 2
            [access_log]
            output = "off"
            [stickiness_keys]
            keys = [{{ id = 1, secret = "bGltcGV0cyBmaW5kIHRoZWlyIGhvbWUgc2NhciBhZ2E=" }}]
            [[listener]]
            name = "first"
            address = "127.0.0.1:0"
            forward = "app"
            [[listener.rule]]
            name = "nowhere"
            priority = 1
            when.path = ["/nowhere"]
            forward = "empty"
            [[listener]]
            name = "second"
            address = "127.0.0.1:0"
            forward = "app"
            [[target_group]]
            name = "app"
            target = [{{ id = "a", address = "{target}" }}]
            [[target_group]]
            name = "empty"
            "#
        );
        let start = start::from_text(&text, "test").unwrap_or_else(|error| panic!("{error}"));
        let server = server::start(start.control.published(), &start.process).expect("start");
        let addresses = server.handle().addresses().into_iter().map(|(_, bound)| match bound {
            Bind::Tcp(address) => address,
            Bind::Unix(_) => panic!("a TCP listener"),
        });
        let addresses = addresses.collect();
        let sources = Sources {
            published: start.control.published(),
            counters: Arc::clone(server.handle().counters()),
            machine: Arc::new(Running { server }),
            plane: Arc::new(Unknown),
            started_unix_ms: 0,
        };
        Limpet { start, sources, addresses }
    }

    fn client(&self, listener: usize) -> TcpStream {
        let client = TcpStream::connect(self.addresses[listener]).expect("connect");
        client.set_read_timeout(Some(PATIENCE)).expect("timeout");
        client
    }

    /// A request is counted when its response has been sent, a moment after the client has it.
    #[expect(clippy::disallowed_methods, reason = "the one place that polls, until a deadline")]
    fn wait_for(&self, line: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = exposition(&self.sources);
            if text.lines().any(|one| one == line) {
                return;
            }
            let name = line.split('{').next().expect("a name");
            let similar: Vec<&str> = text.lines().filter(|one| one.starts_with(name)).collect();
            assert!(Instant::now() < deadline, "no {line} in\n{}", similar.join("\n"));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn get(client: &mut TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n");
    client.write_all(request.as_bytes()).expect("send");
    read_head(client).expect("a response")
}

#[test]
fn a_request_is_counted_by_listener_rule_group_and_target() {
    let limpet = Limpet::start();
    let mut client = limpet.client(1);
    assert!(get(&mut client, "/").starts_with("HTTP/1.1 200 "));
    for line in [
        r#"limpet_requests_total{listener="second",method="GET",status="2xx"} 1"#,
        r#"limpet_requests_total{listener="first",method="GET",status="2xx"} 0"#,
        r#"limpet_rule_requests_total{listener="second",rule="default"} 1"#,
        r#"limpet_group_requests_total{group="app",status="2xx"} 1"#,
        r#"limpet_group_pool_requests_total{group="app",connection="new"} 1"#,
        r#"limpet_target_requests_total{group="app",target="a",status="2xx"} 1"#,
        r#"limpet_group_connect_duration_seconds_count{group="app"} 1"#,
        r#"limpet_group_first_byte_duration_seconds_count{group="app"} 1"#,
        r#"limpet_request_duration_seconds_count{listener="second"} 1"#,
        "limpet_client_connections_accepted_total 1",
    ] {
        limpet.wait_for(line);
    }
    assert!(get(&mut client, "/").starts_with("HTTP/1.1 200 "));
    limpet.wait_for(r#"limpet_group_pool_requests_total{group="app",connection="reused"} 1"#);
    println!("{}", exposition(&limpet.sources));
}

#[test]
fn a_request_that_finds_nobody_is_its_groups_failure() {
    let limpet = Limpet::start();
    let mut client = limpet.client(0);
    assert!(get(&mut client, "/nowhere").starts_with("HTTP/1.1 503 "));
    limpet.wait_for(r#"limpet_rule_requests_total{listener="first",rule="nowhere"} 1"#);
    limpet.wait_for(r#"limpet_group_requests_total{group="empty",status="5xx"} 1"#);
    limpet.wait_for(r#"limpet_errors_total{code="no_target"} 1"#);
    limpet.wait_for(r#"limpet_group_requests_total{group="app",status="5xx"} 0"#);
}

#[test]
fn a_connection_is_counted_where_it_came_in_when_a_reload_moves_its_listener() {
    let limpet = Limpet::start();
    let mut client = limpet.client(0);
    assert!(get(&mut client, "/").starts_with("HTTP/1.1 200 "));
    limpet.wait_for(r#"limpet_requests_total{listener="first",method="GET",status="2xx"} 1"#);
    let published = limpet.start.control.published();
    let before = published.load_full();
    let listeners = before.listeners.iter().rev().cloned().collect();
    published.store(Arc::new(Snapshot { generation: 2, listeners, groups: before.groups.clone() }));
    assert!(get(&mut client, "/").starts_with("HTTP/1.1 200 "));
    limpet.wait_for(r#"limpet_requests_total{listener="first",method="GET",status="2xx"} 2"#);
    limpet.wait_for(r#"limpet_rule_requests_total{listener="first",rule="default"} 2"#);
    limpet.wait_for(r#"limpet_requests_total{listener="second",method="GET",status="2xx"} 0"#);
}

#[test]
fn health_is_told_as_it_is_now() {
    let limpet = Limpet::start();
    let snapshot = limpet.start.control.published().load_full();
    snapshot.groups[0].targets[0].state.set_health(Health::Draining);
    limpet.wait_for(r#"limpet_target_health{group="app",target="a",state="draining"} 1"#);
    limpet.wait_for(r#"limpet_target_health{group="app",target="a",state="healthy"} 0"#);
    limpet.wait_for(r#"limpet_group_targets{group="app",state="draining"} 1"#);
}
