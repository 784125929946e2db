//! The real binary under test: started with a file, known by what it says from outside.
//!
//! It is ready when it has written the file that LIMPET_READY_FILE names, one line `name address`
//! for each listener. Only the child that was spawned here is ever signalled, by its id.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::access_log::Record;
use super::admin::Admin;
use super::client::Client;
use super::config::DIRECTORY;
use super::kernel;
use super::tls;
use super::wire::DEADLINE;

/// How often a condition outside of this process is looked at.
const POLL: Duration = Duration::from_millis(3);

/// Runs `look` until it finds something; `None` when the test deadline passes first.
pub fn poll<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > until {
            return None;
        }
        pause(POLL);
    }
}

/// Lets time pass: between two looks at a condition, or for a peer that is slow on purpose. Never to
/// wait for something to have happened.
#[allow(clippy::disallowed_methods, reason = "the one function of the tests that sleeps")]
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

#[derive(Debug)]
pub struct Limpet {
    child: Child,
    exited: Option<ExitStatus>,
    directory: tempfile::TempDir,
    /// Name and address as the ready file says.
    listeners: Vec<(String, String)>,
}

/// What a limpet that did not start left behind.
#[derive(Debug)]
pub struct Refused {
    pub status: ExitStatus,
    pub stderr: String,
}

impl Limpet {
    /// Starts and waits until every listener accepts. The text `{dir}` stands for the test's directory.
    #[track_caller]
    pub fn start(config: &str) -> Limpet {
        Limpet::start_with(config, |_| {})
    }

    /// As [`Limpet::start`]; `furnish` puts files into the test's directory first.
    #[track_caller]
    pub fn start_in(config: &str, furnish: impl FnOnce(&Path)) -> Limpet {
        let mut limpet = Limpet::spawn_in(config, furnish, |_| {});
        limpet.wait_until_ready();
        limpet
    }

    /// As [`Limpet::start`]; `prepare` may change the command (environment, limits, `pre_exec`).
    #[track_caller]
    pub fn start_with(config: &str, prepare: impl FnOnce(&mut Command)) -> Limpet {
        let mut limpet = Limpet::spawn(config, prepare);
        limpet.wait_until_ready();
        limpet
    }

    /// Waits until every listener of a limpet that was only spawned accepts.
    #[track_caller]
    pub fn wait_until_ready(&mut self) {
        let ready = self.path("ready");
        let found = poll(|| match std::fs::read_to_string(&ready) {
            Ok(text) => Some(Some(text)),
            Err(_) => self.has_exited().map(|_| None),
        });
        let Some(Some(text)) = found else {
            let state = self.has_exited().map_or("not ready in time".to_owned(), |s| s.to_string());
            let config = self.file_text();
            panic!("limpet did not start ({state}):\n{}\nwith\n{config}", self.stderr());
        };
        self.listeners = text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, address)| (name.to_owned(), address.to_owned()))
            .collect();
    }

    /// Starts a limpet that must refuse to run, and waits for its end.
    #[track_caller]
    pub fn refused(config: &str, prepare: impl FnOnce(&mut Command)) -> Refused {
        let mut limpet = Limpet::spawn(config, prepare);
        match poll(|| limpet.has_exited()) {
            Some(status) => Refused { status, stderr: limpet.stderr() },
            None => panic!("limpet should have refused to run:\n{}", limpet.stderr()),
        }
    }

    /// As [`Limpet::start_with`], without waiting for anything.
    pub fn spawn(config: &str, prepare: impl FnOnce(&mut Command)) -> Limpet {
        Limpet::spawn_in(config, |_| {}, prepare)
    }

    fn spawn_in(
        config: &str,
        furnish: impl FnOnce(&Path),
        prepare: impl FnOnce(&mut Command),
    ) -> Limpet {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        let text = config.replace(DIRECTORY, &directory.path().to_string_lossy());
        std::fs::write(path("limpet.toml"), text).expect("write the configuration");
        std::fs::create_dir(path("state")).expect("create the state directory");
        tls::identity().write(directory.path(), "common");
        furnish(directory.path());
        let mut command = Command::new(env!("CARGO_BIN_EXE_limpet"));
        command
            .args(["run", "--config"])
            .arg(path("limpet.toml"))
            .env("LIMPET_READY_FILE", path("ready"))
            .env_remove("RUST_LOG")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(File::create(path("stdout")).expect("create stdout"))
            .stderr(File::create(path("stderr")).expect("create stderr"));
        kernel::die_with_parent(&mut command);
        prepare(&mut command);
        let child = command.spawn().expect("spawn limpet");
        Limpet { child, exited: None, directory, listeners: Vec::new() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts another configuration in the place of the file; nothing is told of it.
    pub fn write_config(&self, config: &str) {
        std::fs::write(self.path("limpet.toml"), self.text_of(config))
            .expect("write the configuration");
    }

    /// A configuration as it stands in this limpet's file.
    pub fn text_of(&self, config: &str) -> String {
        config.replace(DIRECTORY, &self.directory.path().to_string_lossy())
    }

    /// The configuration file on disk.
    pub fn file_text(&self) -> String {
        std::fs::read_to_string(self.path("limpet.toml")).expect("the configuration file")
    }

    /// The admin API, for a configuration made by `Config::with_admin`.
    pub fn admin(&self) -> Admin {
        Admin { socket: self.path("admin.sock") }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where the first listener accepts.
    #[track_caller]
    pub fn address(&self) -> SocketAddr {
        parse(&self.listeners.first().expect("a listener").1)
    }

    /// Where the listener of that name accepts.
    #[track_caller]
    pub fn address_of(&self, name: &str) -> SocketAddr {
        let found = self.listeners.iter().find(|(n, _)| n == name);
        parse(&found.unwrap_or_else(|| panic!("no listener {name}: {:?}", self.listeners)).1)
    }

    /// A new connection to the first listener.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(self.address())
    }

    #[track_caller]
    pub fn client_of(&self, listener: &str) -> Client {
        Client::connect(self.address_of(listener))
    }

    /// A new connection over TLS, for the server of this name.
    #[track_caller]
    pub fn tls_client(&self, config: &Arc<ClientConfig>, name: &str) -> Client {
        Client::connect_tls(self.address(), Arc::clone(config), name)
    }

    /// GET on a connection of its own.
    #[track_caller]
    pub fn get(&self, path: &str) -> super::message::Response {
        self.client().get(path)
    }

    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.path("stderr")).unwrap_or_default()
    }

    pub fn stdout(&self) -> String {
        std::fs::read_to_string(self.path("stdout")).unwrap_or_default()
    }

    /// The first `count` records of the access log, once they are written.
    #[track_caller]
    pub fn access_log(&self, count: usize) -> Vec<Record> {
        self.log_lines(count).iter().map(|line| Record::parse(line)).collect()
    }

    /// The last of `count` records.
    #[track_caller]
    pub fn record(&self, count: usize) -> Record {
        self.access_log(count).pop().expect("at least one record")
    }

    /// The first record for which `wanted` holds, once it is written.
    #[track_caller]
    pub fn record_where(&self, what: &str, wanted: impl Fn(&Record) -> bool) -> Record {
        let text = || std::fs::read_to_string(self.path("access.log")).unwrap_or_default();
        let found = poll(|| {
            let text = text();
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            whole.lines().map(Record::parse).find(|record| wanted(record))
        });
        found.unwrap_or_else(|| panic!("no record {what} in the access log:\n{}", text()))
    }

    /// The first `count` lines of the access log, once they are written.
    #[track_caller]
    pub fn log_lines(&self, count: usize) -> Vec<String> {
        let text = || std::fs::read_to_string(self.path("access.log")).unwrap_or_default();
        let lines = poll(|| {
            let text = text();
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            let lines: Vec<String> = whole.lines().map(str::to_owned).collect();
            (lines.len() >= count).then_some(lines)
        });
        let lines = lines.unwrap_or_else(|| {
            panic!("fewer than {count} records in the access log:\n{}\n{}", text(), self.stderr())
        });
        lines.into_iter().take(count).collect()
    }

    /// Sends `signal` to the child.
    pub fn signal(&self, signal: i32) {
        kernel::send_signal(self.child.id(), signal);
    }

    /// The exit status, when the child has ended.
    pub fn has_exited(&mut self) -> Option<ExitStatus> {
        if self.exited.is_none() {
            self.exited = self.child.try_wait().expect("wait for the child");
        }
        self.exited
    }

    /// Waits for the child's own end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let status = poll(|| self.has_exited());
        status.unwrap_or_else(|| panic!("limpet does not end:\n{}", self.stderr()))
    }

    /// SIGTERM, and the exit status.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        if self.has_exited().is_none() {
            self.signal(libc::SIGTERM);
        }
        self.wait()
    }
}

#[track_caller]
fn parse(address: &str) -> SocketAddr {
    address.parse().unwrap_or_else(|error| panic!("{address:?} is no IP address: {error}"))
}

impl Drop for Limpet {
    fn drop(&mut self) {
        if self.has_exited().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- limpet's stderr\n{}---", self.stderr());
        }
    }
}
