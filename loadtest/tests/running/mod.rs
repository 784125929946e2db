//! A command of the load tool that runs until it is told to stop, and a raw client for it.

#![allow(dead_code, reason = "each test binary takes what it needs")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// What takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running command; killed when dropped.
pub struct Running {
    child: Child,
    /// What it has said that it listens on.
    pub address: String,
}

impl Running {
    /// Starts a command and waits until it is ready.
    pub fn start(arguments: &[&str]) -> Running {
        let mut child = Command::new(env!("CARGO_BIN_EXE_loadtest"))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("ready ").expect("it is ready").to_owned();
        Running { child, address }
    }

    /// Starts a responder on a free port.
    pub fn responder(arguments: &[&str]) -> Running {
        Running::start(&[&["respond", "--address", "127.0.0.1:0"], arguments].concat())
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends `request` on a connection of its own and returns all that comes until it ends.
    pub fn exchange(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_ref()).unwrap();
        read_all(&mut stream)
    }

    /// Asks it to end, and waits until it has.
    pub fn terminate(&mut self) -> ExitStatus {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have been asked to end before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All that comes until the other side ends in an orderly way.
pub fn read_all(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    String::from_utf8(all).unwrap()
}

/// What comes next, as many bytes as `expected` has.
pub fn expect(stream: &mut TcpStream, expected: &str) {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

/// The answer of a responder with the id `a`.
pub fn answer(fields: &str, content: &str) -> String {
    let size = content.len();
    format!(
        "HTTP/1.1 200 OK\r\nX-Target: a\r\n{fields}Content-Type: text/plain\r\n\
         Content-Length: {size}\r\n\r\n{content}"
    )
}

/// A request for `target` after which the connection closes.
pub fn last(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
}

/// What the answer to [`last`] says about the connection.
pub const CLOSE: &str = "Connection: close\r\n";
