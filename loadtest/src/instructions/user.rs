//! Who asks the counted limpet: users with a cookie each, on one connection or on a connection for each request.
//!
//! Owns: the client's side of the pace. Never: a request before the shard has done with the last one. Tested by
//! `tests/compare.rs` with a limpet.

use std::io;
use std::path::PathBuf;

use super::kinds::{Kind, Known, Tls};
use super::pace::Pace;
use super::targets::PIECE_BYTES;
use crate::compare::Failure;
use crate::compare::client::{Client, Door};

/// Users in turn: what their cookies hold is drawn by lot, and some are searched a few instructions quicker.
const COUNT: usize = 40;

/// Clients that send one kind of request.
#[derive(Debug)]
pub struct Users {
    door: Door,
    client: Option<Client>,
    requests: Vec<Vec<u8>>,
    next: usize,
    kind: Kind,
    pace: Pace,
}

impl Users {
    /// Connects and asks for cookies or session ids.
    ///
    /// # Errors
    /// When limpet does not answer.
    pub fn new(door: Door, kind: &Kind, pace: &Pace) -> Result<Users, Failure> {
        let path = PathBuf::from(door.address().to_string());
        let failed = |error| Failure::File { path: path.clone(), error };
        let visit = Kind { known: Known::No, method: "GET", body_size: 0, path: "/", ..*kind };
        let mut client = door.enter().map_err(failed)?;
        let mut requests = Vec::new();
        for _ in 0..COUNT {
            let answer = client.ask(&visit.request("")).map_err(failed)?;
            let token = match kind.known {
                Known::No | Known::ByCookie => answer.cookies.join("; "),
                Known::ByField => answer.session.unwrap_or_default(),
            };
            requests.push(kind.request(&token));
        }
        Ok(Users { door, client: None, requests, next: 0, kind: *kind, pace: pace.clone() })
    }

    /// The next request goes over another connection, which has other buffers.
    pub fn reconnect(&mut self) {
        self.client = None;
    }

    /// Asks so often.
    ///
    /// # Errors
    /// When it is not answered as it must be.
    pub fn ask(&mut self, count: usize) -> Result<(), Failure> {
        for _ in 0..count {
            let answer = self.once().map_err(|error| Failure::File {
                path: PathBuf::from(format!("{} at {}", self.kind.name, self.door.address())),
                error,
            })?;
            if answer != self.kind.status {
                let said = format!("{} was answered with {answer}", self.kind.name);
                return Err(Failure::Options(said));
            }
        }
        Ok(())
    }

    fn once(&mut self) -> io::Result<u16> {
        let kept = self.client.take().filter(|_| !self.kind.close);
        // A connection that is over is noticed on its own.
        self.settle()?;
        let mut client = kept.map_or_else(|| self.door.enter_at(|| self.settle()), Ok)?;
        if client.is_resumed() != (self.kind.tls == Tls::Resumed) {
            return Err(io::Error::other(
                "a session was resumed that should not be, or not resumed",
            ));
        }
        let request = &self.requests[self.next % self.requests.len()];
        self.next += 1;
        for piece in request.chunks(PIECE_BYTES) {
            self.settle()?;
            client.tell(piece)?;
        }
        let answer = client.answer(self.kind.method == "HEAD")?;
        self.settle()?;
        self.client = Some(client);
        Ok(answer.status)
    }

    fn settle(&self) -> io::Result<()> {
        self.pace.settle().map_err(io::Error::other)
    }
}
