//! A shard in its stride allocates nothing: not for a request, not for its stickiness, not for its log
//! line, on either engine.
//!
//! Counts what one thread asks of the allocator, the shard's, in a whole data plane between a client
//! and two targets of the test's own. The first places that allocate all the same are printed.
#![allow(unsafe_code, reason = "gettid(2) names the thread that is counted")]

mod counting;
mod http2;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use counting::asked_for;
use limpet::cli::{server, start};
use limpet::shard::server::Server;
use limpet::snapshot::Bind;
use limpet::telemetry::counters::Counter;
use limpet::uring::Engine;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

/// A name of the listener over TLS.
const NAME: &str = "shop.example.com";
/// How often requests are measured until one time nothing was allocated.
const TRIES: usize = 10;
/// How many places that allocate are printed, where none should.
const PLACES_SHOWN: u64 = 5;
/// Content of a response that does not fit in one buffer.
const LARGE_BYTES: usize = 100_000;
const PATIENCE: Duration = Duration::from_secs(20);

/// One thread is watched at a time.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The threads of shards in this process, one of which may be left over from a test that failed.
fn shard_threads() -> Vec<i32> {
    let tasks = fs::read_dir("/proc/self/task").expect("the threads of this process");
    let shards = tasks.filter_map(|task| {
        let task = task.ok()?;
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        (name.trim_end() == "shard-0").then(|| task.file_name().into_string().ok())?
    });
    shards.map(|thread| thread.parse().expect("a thread id")).collect()
}

/// A target that keeps every connection and answers every request with its name.
struct Target {
    address: SocketAddr,
}

impl Target {
    fn start(name: &'static str) -> Target {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
        let address = listener.local_addr().expect("address");
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let connection = connection.expect("accept");
                std::thread::spawn(move || serve(connection, name));
            }
        });
        Target { address }
    }
}

fn serve(mut connection: TcpStream, name: &str) {
    connection.set_nodelay(true).expect("nodelay");
    let response = |length: usize, field: &str| {
        let content = name.repeat(length);
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{field}Content-Length: {length}\r\n\r\n{content}"
        )
    };
    let (small, large) = (response(1, ""), response(LARGE_BYTES, ""));
    let named = response(1, "Mcp-Session-Id: 4f6c1e0a9b7d42538f10c2d3e4a5b697\r\n");
    let mut message = Message::default();
    while message.read(&mut connection) {
        let response = match message.head().split(' ').nth(1) {
            Some("/large") => &large,
            Some("/mcp") => &named,
            _ => &small,
        };
        connection.write_all(response.as_bytes()).expect("answer");
    }
}

/// One HTTP message with a Content-Length or without content.
#[derive(Default)]
struct Message {
    /// From the message's first byte on.
    bytes: Vec<u8>,
    head_bytes: usize,
}

impl Message {
    /// Reads the next one in place of what was read before; `false` at the end of the stream.
    fn read(&mut self, connection: &mut impl Read) -> bool {
        self.bytes.clear();
        self.head_bytes = 0;
        let mut piece = [0; 64 * 1024];
        loop {
            let end = memchr::memmem::find(&self.bytes, b"\r\n\r\n");
            if let Some(end) = end {
                self.head_bytes = end + 4;
                let length = self
                    .field("content-length")
                    .map_or(0, |length| length.parse::<usize>().expect("a length"));
                if self.bytes.len() >= self.head_bytes + length {
                    assert_eq!(self.bytes.len(), self.head_bytes + length, "one at a time");
                    return true;
                }
            }
            match connection.read(&mut piece) {
                Ok(count) if count > 0 => self.bytes.extend_from_slice(&piece[..count]),
                Ok(_) => return false,
                // A ring that this thread probed interrupts it once more when it goes.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{} bytes and then: {error}", self.bytes.len()),
            }
        }
    }

    fn head(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.head_bytes]).expect("a head in ASCII")
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.head().lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn content(&self) -> &[u8] {
        &self.bytes[self.head_bytes..]
    }
}

/// A whole data plane with one shard, its log in a file, and two targets behind stickiness.
struct Limpet {
    server: Server,
    address: SocketAddr,
    /// Of the listener with the same rules over TLS.
    secure: SocketAddr,
    /// The thread of its one shard.
    shard: i32,
    folder: tempfile::TempDir,
}

impl Limpet {
    fn start(engine: &str) -> Limpet {
        let folder = tempfile::tempdir().expect("folder");
        let (a, b) = (Target::start("a"), Target::start("b"));
        let multiplexed = ["a", "b"].map(http2::target);
        let chain = folder.path().join("shop.pem");
        certify(&chain);
        let text = format!(
            r#"
            [process]
            shards = 1
            engine = "{engine}"
            [access_log]
            output = "{log}"
            [stickiness_keys]
            keys = [{{ id = 1, secret = "bGltcGV0cyBmaW5kIHRoZWlyIGhvbWUgc2NhciBhZ2E=" }}]
            [[listener]]
            name = "web"
            address = "127.0.0.1:0"
            http2 = true
            limits = {{ requests_per_connection = 0 }}
            forward = "app"
            [[listener.rule]]
            priority = 1
            when.path = ["/mcp"]
            forward = "sessions"
            [[listener.rule]]
            priority = 2
            when.path = ["/multiplexed/*"]
            forward = "multiplexed"
            [[listener]]
            name = "secure"
            address = "127.0.0.1:0"
            limits = {{ requests_per_connection = 0 }}
            forward = "app"
            tls.certificates = [{{ chain = "{chain}" }}]
            [[target_group]]
            name = "app"
            stickiness = {{ enabled = true }}
            target = [{{ id = "a", address = "{a}" }}, {{ id = "b", address = "{b}" }}]
            [[target_group]]
            name = "sessions"
            stickiness = {{ enabled = true, type = "app_header", app_header = "Mcp-Session-Id" }}
            target = [{{ id = "a", address = "{a}" }}, {{ id = "b", address = "{b}" }}]
            [[target_group]]
            name = "multiplexed"
            protocol_version = "http2"
            stickiness = {{ enabled = true }}
            target = [{{ id = "a", address = "{a2}" }}, {{ id = "b", address = "{b2}" }}]
            "#,
            a2 = multiplexed[0],
            b2 = multiplexed[1],
            a = a.address,
            b = b.address,
            log = folder.path().join("access.log").display(),
            chain = chain.display(),
        );
        let start = start::from_text(&text, "test").unwrap_or_else(|error| panic!("{error}"));
        let others = shard_threads();
        let server = server::start(start.control.published(), &start.process).expect("start");
        assert_eq!(server.handle().engine().name(), engine);
        let address = |name: &str| {
            let all = server.handle().addresses();
            match all.into_iter().find(|(listener, _)| &**listener == name) {
                Some((_, Bind::Tcp(address))) => address,
                other => panic!("{other:?} is no TCP listener"),
            }
        };
        let (address, secure) = (address("web"), address("secure"));
        let shard = shard_threads().into_iter().find(|thread| !others.contains(thread));
        Limpet { address, secure, shard: shard.expect("a shard"), server, folder }
    }

    fn client(&self, over: Over) -> Box<dyn Connection> {
        let connected = |address: SocketAddr| {
            let client = TcpStream::connect(address).expect("connect");
            client.set_nodelay(true).expect("nodelay");
            client.set_read_timeout(Some(PATIENCE)).expect("timeout");
            client
        };
        match over {
            Over::Clear => Box::new(connected(self.address)),
            Over::Tls(version) => {
                let config = Arc::new(trust(self, version));
                let name = NAME.try_into().expect("a name");
                let session = ClientConnection::new(config, name).expect("a client");
                Box::new(StreamOwned::new(session, connected(self.secure)))
            }
        }
    }

    /// Ends, and says how many requests were logged, or would have been by a faster disk.
    fn finish(self) -> u64 {
        let counters = Arc::clone(self.server.handle().counters());
        assert!(self.server.shutdown(PATIENCE).is_finished, "it did not end by itself");
        let log = fs::read_to_string(self.folder.path().join("access.log")).expect("the log");
        log.lines().count() as u64 + counters.snapshot().get(Counter::LogLinesDropped)
    }
}

/// How clients trust the listener over TLS.
fn trust(limpet: &Limpet, version: &'static SupportedProtocolVersion) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let chain = CertificateDer::from_pem_file(limpet.folder.path().join("shop.pem"));
    roots.add(chain.expect("a certificate")).expect("an authority");
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// What a client speaks HTTP over.
#[derive(Debug, Clone, Copy)]
enum Over {
    Clear,
    Tls(&'static SupportedProtocolVersion),
}

impl Over {
    /// Requests until every buffer, slot and connection is there that the others will need, and requests that must do
    /// with those. The test's own client is the slower one over TLS.
    fn requests(self) -> (usize, usize) {
        match self {
            Over::Clear => (2_000, 10_000),
            Over::Tls(_) => (500, 2_000),
        }
    }
}

trait Connection: Read + Write {}

impl<T: Read + Write> Connection for T {}

/// Writes a certificate for [`NAME`] and its key.
fn certify(path: &Path) {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
    let both = [made.cert.pem(), made.signing_key.serialize_pem()].concat();
    fs::write(path, both).expect("a certificate's file");
}

/// How a request's bytes are sent.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Get,
    /// A GET whose response is moved through content buffers.
    GetLarge,
    /// A GET whose session id in a field is opened, and named again by the response.
    GetByField,
    /// Head and content in one write.
    Post,
    /// The content follows when the head has been sent.
    PostInTwo,
}

impl Shape {
    /// The field by which a user is known in requests, and the one that says so in responses.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Shape::GetByField => ("Mcp-Session-Id", "mcp-session-id"),
            Shape::Get | Shape::GetLarge | Shape::Post | Shape::PostInTwo => {
                ("Cookie", "set-cookie")
            }
        }
    }

    fn parts(self, token: Option<&str>) -> (String, &'static str) {
        let (name, _) = self.names();
        let cookie = token.map(|token| format!("{name}: {token}\r\n")).unwrap_or_default();
        let fields = format!(
            "Host: shop.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\n{cookie}"
        );
        match self {
            Shape::Get => (format!("GET /cart?item=17 HTTP/1.1\r\n{fields}\r\n"), ""),
            Shape::GetByField => (format!("GET /mcp HTTP/1.1\r\n{fields}\r\n"), ""),
            Shape::GetLarge => (format!("GET /large HTTP/1.1\r\n{fields}\r\n"), ""),
            Shape::Post | Shape::PostInTwo => (
                format!("POST /cart HTTP/1.1\r\n{fields}Content-Length: 12\r\n\r\n"),
                "item=17&n=02",
            ),
        }
    }
}

/// Sends `request` and reads its response into `message`.
fn exchange(
    mut client: &mut dyn Connection,
    shape: Shape,
    parts: (&str, &str),
    message: &mut Message,
) {
    let (head, content) = parts;
    match shape {
        Shape::Get | Shape::GetLarge | Shape::GetByField => {
            client.write_all(head.as_bytes()).expect("send");
        }
        Shape::Post => client.write_all([head, content].concat().as_bytes()).expect("send"),
        Shape::PostInTwo => {
            client.write_all(head.as_bytes()).expect("send");
            std::thread::yield_now();
            client.write_all(content.as_bytes()).expect("send");
        }
    }
    assert!(message.read(&mut client), "the connection was closed");
    assert!(message.head().starts_with("HTTP/1.1 200 "), "{}", message.head());
}

/// Asserts that a shard serves sticky requests of one shape without its allocator.
fn serves_without_allocating(engine: &str, over: Over, shape: Shape) {
    let _one_at_a_time = one_at_a_time();
    let limpet = Limpet::start(engine);
    let mut client = limpet.client(over);
    let mut message = Message::default();
    let (head, content) = shape.parts(None);
    let shard = limpet.shard;
    let (at_first, _) =
        asked_for(shard, 0, || exchange(&mut *client, shape, (&head, content), &mut message));
    assert!(at_first > 0, "a connection's beginning allocates: this is not the shard's thread");
    let token = message.field(shape.names().1).expect("a cookie or a session id");
    let token = token.split(';').next().unwrap_or_default().to_owned();
    let home = message.content().to_vec();
    let (head, content) = shape.parts(Some(&token));
    let again = matches!(shape, Shape::GetByField).then_some(&*token);
    let mut request = || {
        exchange(&mut *client, shape, (&head, content), &mut message);
        assert_eq!(message.content(), home, "the session's own target answers");
        assert_eq!(message.field(shape.names().1), again, "what is valid is not issued anew");
    };
    let asked = counts(shard, over.requests(), &mut request);
    drop(client);
    let said = format!("{engine} {over:?} {shape:?}");
    asked.assert_none(&said);
    assert_eq!(limpet.finish(), 1 + asked.requests, "every request has its line");
}

/// What a shard asked of the allocator.
struct Asked {
    allocations: u64,
    releases: u64,
    /// Requests that were counted, and those before them.
    requests: u64,
}

impl Asked {
    fn assert_none(&self, what: &str) {
        let Asked { allocations, releases, requests } = self;
        println!("{what}: {allocations} allocations, {releases} releases; {requests} requests");
        assert_eq!((*allocations, *releases), (0, 0), "{what}");
    }
}

/// Counts what a shard asks of the allocator in so many rounds, behind so many others before.
fn counts(shard: i32, (warm_up, measured): (usize, usize), round: &mut dyn FnMut()) -> Asked {
    (0..warm_up).for_each(|_| round());
    let mut all = || (0..measured).for_each(|_| round());
    // A pool whose greatest need comes this late grows by one buffer. What a request allocates, it allocates in each try.
    let (mut tries, mut asked) = (0, (u64::MAX, u64::MAX));
    while asked != (0, 0) && tries < TRIES {
        asked = asked_for(shard, PLACES_SHOWN, &mut all);
        tries += 1;
    }
    let (allocations, releases) = asked;
    Asked { allocations, releases, requests: (warm_up + tries * measured) as u64 }
}

/// Serves on each of the io_uring engines that are there.
fn on_io_uring(over: Over, shape: Shape) {
    on_each_ring(|engine| serves_without_allocating(engine, over, shape));
}

fn on_each_ring(serve: impl Fn(&str)) {
    for engine in [Engine::IoUring, Engine::TokioUring] {
        match limpet::uring::probe(engine) {
            Ok(()) => serve(engine.name()),
            Err(refused) => println!("not tested on {}: {refused}", engine.name()),
        }
    }
}

#[test]
fn the_count_sees_an_allocation_of_the_watched_thread_and_of_no_other() {
    let _one_at_a_time = one_at_a_time();
    // SAFETY: gettid(2) takes nothing and cannot fail.
    let own = unsafe { libc::gettid() };
    let allocate = || drop(std::hint::black_box(vec![1_u8]));
    assert_eq!(asked_for(own, 0, allocate), (1, 1));
    assert_eq!(asked_for(own + 1_000_000, 0, allocate), (0, 0));
}

#[test]
fn a_get_allocates_nothing_on_io_uring() {
    on_io_uring(Over::Clear, Shape::Get);
}

#[test]
fn a_get_allocates_nothing_on_epoll() {
    serves_without_allocating("epoll", Over::Clear, Shape::Get);
}

#[test]
fn a_session_id_in_a_field_allocates_nothing_on_io_uring() {
    on_io_uring(Over::Clear, Shape::GetByField);
}

#[test]
fn a_session_id_in_a_field_allocates_nothing_on_epoll() {
    serves_without_allocating("epoll", Over::Clear, Shape::GetByField);
}

#[test]
fn a_post_allocates_nothing_on_io_uring() {
    on_io_uring(Over::Clear, Shape::Post);
}

#[test]
fn a_post_allocates_nothing_on_epoll() {
    serves_without_allocating("epoll", Over::Clear, Shape::Post);
}

#[test]
fn a_post_whose_content_comes_later_allocates_nothing_on_io_uring() {
    on_io_uring(Over::Clear, Shape::PostInTwo);
}

#[test]
fn a_post_whose_content_comes_later_allocates_nothing_on_epoll() {
    serves_without_allocating("epoll", Over::Clear, Shape::PostInTwo);
}

#[test]
fn a_large_response_allocates_nothing_on_io_uring() {
    on_io_uring(Over::Clear, Shape::GetLarge);
}

#[test]
fn a_large_response_allocates_nothing_on_epoll() {
    serves_without_allocating("epoll", Over::Clear, Shape::GetLarge);
}

#[test]
fn requests_of_every_shape_over_tls_allocate_nothing_on_io_uring() {
    for shape in [Shape::Get, Shape::Post, Shape::PostInTwo, Shape::GetLarge] {
        on_io_uring(Over::Tls(&TLS13), shape);
    }
    for shape in [Shape::Get, Shape::Post, Shape::GetLarge] {
        on_io_uring(Over::Tls(&TLS12), shape);
    }
}

#[test]
fn requests_of_every_shape_over_tls_allocate_nothing_on_epoll() {
    for (version, shape) in [
        (&TLS13, Shape::Get),
        (&TLS13, Shape::Post),
        (&TLS13, Shape::PostInTwo),
        (&TLS13, Shape::GetLarge),
        (&TLS12, Shape::Get),
        (&TLS12, Shape::GetLarge),
    ] {
        serves_without_allocating("epoll", Over::Tls(version), shape);
    }
}
