//! Targets that do exactly what a test scripts, and record all that reaches them.
//!
//! A target keeps its port reserved for its whole life, also while it is down: a second socket is
//! bound to it that never listens, so a connect is refused and nobody else can take the port.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::{Deref, DerefMut};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Instant;

use socket2::{Domain, Protocol, Socket, Type};

use super::message::{Request, latin1};
use super::wire::{DEADLINE, Wire};

/// What a connection of a target does; an I/O error ends it quietly, a panic fails the test.
type Script = dyn Fn(&mut Connection) -> io::Result<()> + Send + Sync;

/// What has reached a target so far.
#[derive(Default)]
struct Log {
    state: Mutex<LogState>,
    changed: Condvar,
}

#[derive(Default)]
struct LogState {
    requests: Vec<Request>,
    connections: Vec<Arc<Mutex<Vec<u8>>>>,
    /// Handles to cut connections with, by index; `None` once they have ended.
    handles: Vec<Option<Wire>>,
    open: usize,
    panics: Vec<String>,
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut LogState)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    #[track_caller]
    fn wait(&self, what: &str, mut holds: impl FnMut(&LogState) -> bool) {
        let until = Instant::now() + DEADLINE;
        let mut state = self.lock();
        while !holds(&state) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "target: {what} did not happen in time");
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .0;
        }
    }
}

/// An accepted connection, seen by its script.
pub struct Connection {
    wire: Wire,
    log: Arc<Log>,
    /// 0 for the target's first connection.
    pub index: usize,
}

impl Deref for Connection {
    type Target = Wire;
    fn deref(&self) -> &Wire {
        &self.wire
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

impl Connection {
    /// The next whole request, recorded; `None` when the connection ends instead.
    pub fn next_request(&mut self) -> io::Result<Option<Request>> {
        let request = self.wire.read_request()?;
        if let Some(request) = &request {
            self.log.update(|state| state.requests.push(request.clone()));
        }
        Ok(request)
    }

    /// The next request's head, recorded without content.
    pub fn next_head(&mut self) -> io::Result<Option<Request>> {
        let request = self.wire.read_request_head()?;
        if let Some(request) = &request {
            self.log.update(|state| state.requests.push(request.clone()));
        }
        Ok(request)
    }

    /// Closes with a reset when the script ends.
    pub fn reset_at_end(&mut self) -> io::Result<()> {
        self.wire.writer()?.reset()
    }
}

enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listening {
    fn accept(&self) -> io::Result<Wire> {
        match self {
            Listening::Tcp(listener) => Wire::tcp(listener.accept()?.0),
            Listening::Unix(listener) => Wire::unix(listener.accept()?.0),
        }
    }
}

#[derive(Clone, Debug)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

pub struct Target {
    place: Place,
    _reserved: Option<Socket>,
    script: Arc<Script>,
    log: Arc<Log>,
    running: Option<Running>,
}

impl Target {
    /// A target whose connections each run `script`.
    pub fn scripted(
        script: impl Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static,
    ) -> Target {
        Target::scripted_on(Ipv4Addr::LOCALHOST.into(), script)
    }

    pub fn scripted_on(
        ip: std::net::IpAddr,
        script: impl Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static,
    ) -> Target {
        let (reserved, address) = reserve(SocketAddr::new(ip, 0));
        let mut target = Target {
            place: Place::Tcp(address),
            _reserved: Some(reserved),
            script: Arc::new(script),
            log: Arc::default(),
            running: None,
        };
        target.up();
        target
    }

    /// A target on a Unix socket.
    pub fn scripted_unix(
        path: &Path,
        script: impl Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static,
    ) -> Target {
        let mut target = Target {
            place: Place::Unix(path.to_owned()),
            _reserved: None,
            script: Arc::new(script),
            log: Arc::default(),
            running: None,
        };
        target.up();
        target
    }

    /// A target that answers each request with the bytes that `answer` makes, on connections that
    /// stay as long as limpet wants them.
    pub fn answering(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Target {
        Target::scripted(move |connection| {
            while let Some(request) = connection.next_request()? {
                connection.send(&answer(&request))?;
            }
            Ok(())
        })
    }

    /// A target that answers each request with the same bytes.
    pub fn fixed(bytes: impl Into<Vec<u8>>) -> Target {
        let bytes = bytes.into();
        Target::answering(move |_| bytes.clone())
    }

    /// A well-behaved target that says what it saw; see [`super::message::Response::echo`].
    pub fn echo(id: &str) -> Target {
        let id = id.to_owned();
        Target::answering(move |request| echo_response(&id, request, ""))
    }

    /// As [`Target::echo`], with further field lines in each response.
    pub fn echo_with(
        id: &str,
        lines: impl Fn(&Request) -> String + Send + Sync + 'static,
    ) -> Target {
        let id = id.to_owned();
        Target::answering(move |request| echo_response(&id, request, &lines(request)))
    }

    pub fn echo_on(id: &str, ip: Ipv6Addr) -> Target {
        let id = id.to_owned();
        Target::scripted_on(ip.into(), move |connection| echo_connection(&id, connection))
    }

    pub fn echo_unix(id: &str, path: &Path) -> Target {
        let id = id.to_owned();
        Target::scripted_unix(path, move |connection| echo_connection(&id, connection))
    }

    /// A target that accepts nothing: its port refuses connections until [`Target::up`].
    pub fn refusing(id: &str) -> Target {
        let mut target = Target::echo(id);
        target.down();
        target
    }

    /// As it stands in the file.
    pub fn address(&self) -> String {
        match &self.place {
            Place::Tcp(address) => address.to_string(),
            Place::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// Accepts (again), on the same port.
    pub fn up(&mut self) {
        if self.running.is_some() {
            return;
        }
        let listener = match &self.place {
            Place::Tcp(address) => {
                let socket = reusable(*address);
                socket.listen(1024).expect("listen");
                Listening::Tcp(socket.into())
            }
            Place::Unix(path) => {
                let _ = std::fs::remove_file(path);
                Listening::Unix(UnixListener::bind(path).expect("bind a Unix socket"))
            }
        };
        let stop = Arc::new(AtomicBool::new(false));
        let (script, log, flag) = (self.script.clone(), self.log.clone(), stop.clone());
        let thread = std::thread::spawn(move || accept_all(&listener, &script, &log, &flag));
        self.running = Some(Running { stop, thread });
    }

    /// Dies as a process does: new connections are refused, open ones are closed.
    pub fn down(&mut self) {
        self.refuse();
        for handle in self.log.lock().handles.iter().flatten() {
            handle.cut();
        }
        self.wait_until_idle();
    }

    fn refuse(&mut self) {
        let Some(running) = self.running.take() else { return };
        running.stop.store(true, Ordering::SeqCst);
        // A connection of our own wakes the accepting thread.
        match &self.place {
            Place::Tcp(address) => drop(TcpStream::connect(address)),
            Place::Unix(path) => drop(UnixStream::connect(path)),
        }
        running.thread.join().expect("the accepting thread");
    }

    pub fn request_count(&self) -> usize {
        self.log.lock().requests.len()
    }

    pub fn connection_count(&self) -> usize {
        self.log.lock().connections.len()
    }

    pub fn requests(&self) -> Vec<Request> {
        self.log.lock().requests.clone()
    }

    /// The last request that reached it.
    #[track_caller]
    pub fn last_request(&self) -> Request {
        self.requests().pop().expect("a request reached the target")
    }

    /// Every byte that reached it, one string per connection.
    pub fn received(&self) -> Vec<String> {
        let connections = self.log.lock().connections.clone();
        connections.iter().map(|bytes| latin1(&bytes.lock().unwrap())).collect()
    }

    #[track_caller]
    pub fn wait_for_requests(&self, count: usize) {
        self.log.wait(&format!("request {count}"), |state| state.requests.len() >= count);
    }

    #[track_caller]
    pub fn wait_for_connections(&self, count: usize) {
        self.log.wait(&format!("connection {count}"), |state| state.connections.len() >= count);
    }

    /// Waits until every accepted connection has ended and been read to its end.
    #[track_caller]
    pub fn wait_until_idle(&self) {
        self.log.wait("the end of all connections", |state| state.open == 0);
    }

    /// Waits until at most `count` connections are open.
    #[track_caller]
    pub fn wait_for_open(&self, count: usize) {
        self.log.wait(&format!("{count} open connections"), |state| state.open <= count);
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.refuse();
        let panics = std::mem::take(&mut self.log.lock().panics);
        if !panics.is_empty() && !std::thread::panicking() {
            panic!("a target's script failed: {panics:?}");
        }
    }
}

/// A socket bound to a free port that never listens.
fn reserve(address: SocketAddr) -> (Socket, SocketAddr) {
    let socket = reusable(address);
    let address = socket.local_addr().expect("local address").as_socket().expect("an IP address");
    (socket, address)
}

fn reusable(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP));
    let socket = socket.expect("a socket");
    socket.set_reuse_address(true).expect("SO_REUSEADDR");
    socket.bind(&address.into()).unwrap_or_else(|error| panic!("bind {address}: {error}"));
    socket
}

fn accept_all(listener: &Listening, script: &Arc<Script>, log: &Arc<Log>, stop: &AtomicBool) {
    loop {
        let accepted = listener.accept();
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(mut wire) = accepted else { continue };
        let seen = Arc::new(Mutex::new(Vec::new()));
        wire.record_into(seen.clone());
        let handle = wire.writer().ok();
        let mut index = 0;
        log.update(|state| {
            index = state.connections.len();
            state.handles.push(handle);
            state.connections.push(seen);
            state.open += 1;
        });
        let (script, log) = (script.clone(), log.clone());
        std::thread::spawn(move || {
            let mut connection = Connection { wire, log: log.clone(), index };
            let run = std::panic::AssertUnwindSafe(|| script(&mut connection));
            let outcome = std::panic::catch_unwind(run);
            drop(connection);
            log.update(|state| {
                state.open -= 1;
                state.handles[index] = None;
                if let Err(panic) = outcome {
                    let text = panic.downcast_ref::<String>().cloned();
                    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).into()));
                    state.panics.push(text.unwrap_or_default());
                }
            });
        });
    }
}

fn echo_connection(id: &str, connection: &mut Connection) -> io::Result<()> {
    while let Some(request) = connection.next_request()? {
        connection.send(&echo_response(id, &request, ""))?;
    }
    Ok(())
}

/// The response of an echo target; `lines` are further field lines, each with its CRLF.
pub fn echo_response(id: &str, request: &Request, lines: &str) -> Vec<u8> {
    let fields: Vec<[&str; 2]> = request.fields.0.iter().map(|(n, v)| [&**n, &**v]).collect();
    let content = serde_json::json!({
        "target": id,
        "method": request.method,
        "path": request.target,
        "fields": fields,
        "content": latin1(&request.content),
    });
    let content = content.to_string();
    let length = content.len();
    let mut out = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Target: {id}\r\n{lines}Content-Length: {length}\r\n\r\n"
    );
    if request.method != "HEAD" {
        out.push_str(&content);
    }
    out.into_bytes()
}
