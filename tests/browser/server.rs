//! The real program for a browser to look at; ended when dropped.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::tab::WAIT_MAX;

const FILE: &str = "limpet.toml";

pub struct Server {
    /// `http://127.0.0.1:9901`, without a path.
    pub console: String,
    child: Child,
    /// Where the file of the configuration lies; the demo has none.
    folder: Option<tempfile::TempDir>,
    /// Of a console with TLS.
    certificates: Option<tempfile::TempDir>,
}

/// What the admin API of [`Server::guarded`] asks for.
pub const TOKEN: &str = "correct-horse-battery-staple";

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// `limpet demo`, which prints where its console is.
    pub fn demo() -> Server {
        Server::demo_with(&[])
    }

    /// The same over HTTPS, with a certificate of its own making.
    pub fn demo_over_tls() -> Server {
        Server::demo_with(&["--tls"])
    }

    fn demo_with(options: &[&str]) -> Server {
        let arguments = ["demo", "--address", "127.0.0.1:0", "--console", "127.0.0.1:0"];
        let mut child = Command::new(env!("CARGO_BIN_EXE_limpet"))
            .args(arguments)
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (send, printed) = mpsc::channel();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| send.send(line)));
        let deadline = Instant::now() + WAIT_MAX;
        let console = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = printed.recv_timeout(left).expect("the demo prints where its console is");
            let mut words = line.split_whitespace();
            if words.next() == Some("console") {
                break words.find(|word| word.starts_with("http://")).unwrap().to_owned();
            }
        };
        // What else it prints is read and dropped, so that it never waits for a reader.
        thread::spawn(move || printed.iter().for_each(drop));
        Server {
            console: console.trim_end_matches('/').to_owned(),
            child,
            folder: None,
            certificates: None,
        }
    }

    /// `limpet run` before an application whose session lives for twelve hours, with stickiness of one hour.
    pub fn mismatch() -> Server {
        Server::with_sessions("")
    }

    /// The same, whose admin API asks for a token and then allows everything.
    pub fn trusted() -> Server {
        Server::with_sessions(&format!("token = \"{TOKEN}\""))
    }

    fn with_sessions(admin_settings: &str) -> Server {
        let stickiness = "stickiness = { enabled = true, duration = \"1h\" }";
        let (server, web) = Server::run(admin_settings, stickiness);
        wait_until("the application answers", || get(web, "/").contains("PHPSESSID"));
        server
    }

    /// `limpet run` whose admin API asks for a token.
    pub fn guarded() -> Server {
        Server::run(&format!("token = \"{TOKEN}\""), "").0
    }

    /// `limpet run` whose targets are spoken to in HTTP/2.
    pub fn http2() -> Server {
        Server::run("", "protocol_version = \"http2\"").0
    }

    /// `limpet run` whose admin API asks for a token, over TLS, with every certificate in the folder.
    pub fn secured(certificates: tempfile::TempDir) -> Server {
        let tls = format!("tls.directory = {:?}", certificates.path());
        let mut server = Server::run(&format!("token = \"{TOKEN}\"\n{tls}"), "").0;
        server.console = server.console.replace("http://", "https://");
        server.certificates = Some(certificates);
        server
    }

    /// The certificates of a console with TLS.
    pub fn certificates(&self) -> PathBuf {
        self.certificates.as_ref().expect("the console has TLS").path().to_owned()
    }

    /// `limpet run` that checks two targets: `a`, which answers, and `b` at an address of the test's.
    pub fn two_targets(other: SocketAddr) -> Server {
        let checks =
            "health_check = { type = \"http\", interval = \"200ms\", timeout = \"200ms\" }";
        Server::run(
            "",
            &format!("{checks}\n[[target_group.target]]\nid = \"b\"\naddress = \"{other}\""),
        )
        .0
    }

    /// The file of the configuration.
    pub fn file(&self) -> PathBuf {
        self.folder.as_ref().expect("the demo has no file").path().join(FILE)
    }

    /// `limpet run` whose listener has TLS, with every certificate in the folder, and the address of its listener.
    pub fn over_tls(certificates: &Path) -> (Server, SocketAddr) {
        Server::listening(&format!("tls.directory = {certificates:?}"), "", "")
    }

    /// `limpet run` with settings of its admin API and of its target group, and the address of its listener.
    fn run(admin_settings: &str, group_settings: &str) -> (Server, SocketAddr) {
        Server::listening("http2 = true", admin_settings, group_settings)
    }

    /// The same with settings of its listener.
    fn listening(
        listener_settings: &str,
        admin_settings: &str,
        group_settings: &str,
    ) -> (Server, SocketAddr) {
        let folder = tempfile::tempdir().unwrap();
        let (web, admin) = (free_address(), free_address());
        let path = folder.path().join(FILE);
        let state = folder.path().join("state");
        std::fs::create_dir(&state).unwrap();
        let text = format!(
            "# The configuration of this test.\n\
             [process]\nstate_directory = {state:?}\ngrace_period = \"1s\"\n\
             [access_log]\noutput = \"off\"\n\
             [admin]\naddress = \"{admin}\"\n{admin_settings}\n\
             [[listener]]\nname = \"web\"\naddress = \"{web}\"\n{listener_settings}\nforward = \"app\"\n\
             [[target_group]]\nname = \"app\"\n{group_settings}\n\
             [[target_group.target]]\nid = \"a\"\naddress = \"{}\"\n",
            application()
        );
        std::fs::write(&path, text).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_limpet"))
            .args(["run", "--config"])
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Server {
            console: format!("http://{admin}"),
            child,
            folder: Some(folder),
            certificates: None,
        };
        // One with TLS tells a client without it what it speaks.
        let answers = |text: &str| text.contains(" 200 ") || text.contains("speaks HTTPS");
        wait_until("the admin API answers", || answers(&get(admin, "/healthz")));
        (server, web)
    }
}

/// A port that nobody has now.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Requests for this are never answered by the application.
pub const UNANSWERED: &str = "/unanswered";

/// An application that starts a session of twelve hours with every response.
fn application() -> SocketAddr {
    serve(([127, 0, 0, 1], 0).into())
}

/// The same at an address.
pub fn serve(address: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(mut stream: TcpStream) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    // Requests of these tests have no content.
    while let Some(request) = lines.next() {
        if !lines.by_ref().any(|line| line.is_empty()) {
            return;
        }
        if request.starts_with(&format!("GET {UNANSWERED}")) {
            continue;
        }
        let response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\
                        Set-Cookie: PHPSESSID=x; Path=/; Max-Age=43200\r\n\r\nok";
        if stream.write_all(response.as_bytes()).is_err() {
            return;
        }
    }
}

/// The whole response; empty while nobody answers.
pub fn get(address: SocketAddr, path: &str) -> String {
    ask(address, path, "")
}

/// As [`get`], with a cookie.
pub fn get_with(address: SocketAddr, path: &str, cookie: &str) -> String {
    ask(address, path, &format!("Cookie: {cookie}\r\n"))
}

fn ask(address: SocketAddr, path: &str, field: &str) -> String {
    let mut text = String::new();
    let Ok(mut stream) = TcpStream::connect(address) else { return text };
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{field}\r\n");
    let sent = stream.write_all(request.as_bytes());
    if sent.and_then(|()| stream.read_to_string(&mut text)).is_err() {
        text.clear();
    }
    text
}

#[expect(clippy::disallowed_methods, reason = "the one place that polls, until a deadline")]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT_MAX;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {WAIT_MAX:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
