//! Who asks the counted limpet: one user on one connection, or on a connection for each request.
//!
//! Owns: the client's side of the pace. Never: a request before the shard has done with the last one. Tested by
//! `tests/compare.rs` with a limpet.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::kinds::Kind;
use super::pace::Pace;
use super::targets::PIECE_BYTES;
use crate::compare::Failure;
use crate::compare::client::Client;

/// A client that sends one kind of request.
#[derive(Debug)]
pub struct User {
    address: SocketAddr,
    client: Option<Client>,
    request: Vec<u8>,
    kind: Kind,
    pace: Pace,
}

impl User {
    /// Connects and asks once for a cookie.
    ///
    /// # Errors
    /// When limpet does not answer.
    pub fn new(address: SocketAddr, kind: &Kind, pace: &Pace) -> Result<User, Failure> {
        let failed = |error| Failure::File { path: PathBuf::from(address.to_string()), error };
        let visit = Kind { returning: false, method: "GET", body_size: 0, path: "/", ..*kind };
        let mut client = Client::connect(address).map_err(failed)?;
        let cookies = client.ask(&visit.request("")).map_err(failed)?.cookies;
        let request = kind.request(&cookies.join("; "));
        Ok(User { address, client: Some(client), request, kind: *kind, pace: pace.clone() })
    }

    /// Asks so often.
    ///
    /// # Errors
    /// When it is not answered as it must be.
    pub fn ask(&mut self, count: usize) -> Result<(), Failure> {
        for _ in 0..count {
            let answer = self.once().map_err(|error| Failure::File {
                path: PathBuf::from(format!("{} at {}", self.kind.name, self.address)),
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
        let mut client = kept.map_or_else(|| Client::connect(self.address), Ok)?;
        for piece in self.request.chunks(PIECE_BYTES) {
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
