//! One hostile connection: it sends without end, and sees how it is ended.
//!
//! Owns: the socket. Never: patience with a server that is done with it. Tested by `tests/hostile.rs`.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::flood::{Flood, LEFT_STREAMS};
use crate::http2::frame::{self, kind};
use crate::http2::wire::{Event, Terms, Wire};

/// So many are written at once.
const BATCH: u64 = 16;

/// How long a server may take to end a connection after the last of them.
const LINGER: Duration = Duration::from_millis(500);

/// Between two looks at a connection that waits.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By GOAWAY, with that code.
    Away(u32),
    /// Without one.
    Closed,
    /// By the reset of all streams that were left.
    Reset,
    /// Not at all.
    Open,
}

/// What became of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// How many were sent until the end was seen.
    pub sent: u64,
    pub end: End,
    /// Streams that the server has reset.
    pub resets: u64,
}

/// Floods a server on one connection: at most so many, and for so long.
///
/// # Errors
/// When nobody listens.
pub fn flood(
    address: SocketAddr,
    flood: Flood,
    host: &str,
    most: u64,
    patience: Duration,
) -> io::Result<Outcome> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let (stream_window, window) = flood.windows();
    let terms = Terms { stream_window, window, ..Terms::CLIENT };
    let (wire, mut out) = (Wire::new(terms), Vec::new());
    wire.begin(&mut out);
    let outcome = Outcome { sent: 0, end: End::Open, resets: 0 };
    let mut client = Client { stream, wire, out, outcome, is_settled: false };
    let deadline = Instant::now() + patience;
    // Who does not acknowledge the server's settings is ended for that.
    while flood.waits() && !client.is_settled && Instant::now() < deadline {
        client.exchange(deadline);
        thread::yield_now();
    }
    flood.begin(host, &mut client.out);
    if flood.waits() {
        client.outcome.sent = u64::from(LEFT_STREAMS);
        client.wait(flood, deadline);
        return Ok(client.outcome);
    }
    while client.outcome.end == End::Open && client.outcome.sent < most && Instant::now() < deadline
    {
        for _ in 0..BATCH {
            flood.write(client.outcome.sent, host, &mut client.out);
            client.outcome.sent += 1;
        }
        client.exchange(deadline);
    }
    let linger = Instant::now() + LINGER;
    while client.outcome.end == End::Open && Instant::now() < linger {
        client.exchange(linger);
        thread::yield_now();
    }
    Ok(client.outcome)
}

struct Client {
    stream: TcpStream,
    wire: Wire,
    out: Vec<u8>,
    outcome: Outcome,
    /// The server's settings have come.
    is_settled: bool,
}

impl Client {
    /// Sends what there is, and reads what has come.
    fn exchange(&mut self, deadline: Instant) {
        let mut sent = 0;
        let bytes = std::mem::take(&mut self.out);
        while sent < bytes.len() && self.outcome.end == End::Open && Instant::now() < deadline {
            match self.stream.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.read();
                    thread::yield_now();
                }
                Err(_) => {
                    // What was said before the end is read first.
                    self.read();
                    self.over(End::Closed);
                }
            }
        }
        self.read();
    }

    fn read(&mut self) {
        let mut buffer = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return self.over(End::Closed),
                Ok(count) => self.take_in(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.over(End::Closed),
            }
        }
    }

    fn take_in(&mut self, bytes: &[u8]) {
        let mut input = bytes;
        loop {
            match self.wire.next(&mut input, &mut self.out) {
                Ok(Some(Event::Away { code, .. })) => self.over(End::Away(code)),
                Ok(Some(Event::Reset { .. })) => self.outcome.resets += 1,
                Ok(Some(Event::Settings { .. })) => self.is_settled = true,
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => return self.over(End::Closed),
            }
        }
    }

    fn over(&mut self, end: End) {
        if self.outcome.end == End::Open {
            self.outcome.end = end;
        }
    }

    /// Sends once, and looks now and then whether it is over. Who reads nothing notices when it says something.
    fn wait(&mut self, flood: Flood, deadline: Instant) {
        let mut next = Instant::now();
        let mut bytes = std::mem::take(&mut self.out);
        while self.outcome.end == End::Open && Instant::now() < deadline {
            match self.stream.write(&bytes) {
                Ok(count) => drop(bytes.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.over(End::Closed),
            }
            if flood != Flood::Unread {
                self.read();
                bytes.append(&mut self.out);
                if self.outcome.resets >= u64::from(LEFT_STREAMS) {
                    self.over(End::Reset);
                }
            } else if bytes.is_empty() && Instant::now() > next {
                next = Instant::now() + Duration::from_secs(1);
                frame::write(kind::PING, 0, 0, &[0; 8], &mut bytes);
            }
            thread::park_timeout(LOOK_EVERY);
        }
    }
}
