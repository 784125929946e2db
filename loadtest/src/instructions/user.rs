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
use crate::compare::talk::Talk;

/// Users in turn: what their cookies hold is drawn by lot, and some are searched a few instructions quicker.
const COUNT: usize = 40;

/// Clients that send one kind of request.
#[derive(Debug)]
pub struct Users {
    door: Door,
    client: Option<Client>,
    /// Over HTTP/2 it has the connection instead.
    talk: Option<Talk>,
    /// Cookies, or session ids.
    tokens: Vec<String>,
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
        let mut tokens = Vec::new();
        let mut talk = None;
        if kind.streams > 0 {
            let talk = talk.insert(Talk::begin(client).map_err(failed)?);
            for _ in 0..COUNT {
                let answers = talk.ask(&[visit.fields("")], || Ok(())).map_err(failed)?;
                tokens.extend(answers.into_iter().map(|answer| answer.cookies.join("; ")));
            }
        } else {
            for _ in 0..COUNT {
                let answer = client.ask(&visit.request("")).map_err(failed)?;
                tokens.push(match kind.known {
                    Known::No | Known::ByCookie => answer.cookies.join("; "),
                    Known::ByField => answer.session.unwrap_or_default(),
                });
            }
        }
        let requests = tokens.iter().map(|token| kind.request(token)).collect();
        let (next, kind, pace) = (0, *kind, pace.clone());
        Ok(Users { door, client: None, talk: None, tokens, requests, next, kind, pace })
    }

    /// The next request goes over another connection, which has other buffers.
    pub fn reconnect(&mut self) {
        (self.client, self.talk) = (None, None);
    }

    /// Asks so often, a whole number of batches.
    ///
    /// # Errors
    /// When it is not answered as it must be.
    pub fn ask(&mut self, count: usize) -> Result<(), Failure> {
        for _ in 0..count / self.kind.batch() {
            let once = if self.kind.streams > 0 { Users::together } else { Users::once };
            let answer = once(self).map_err(|error| Failure::File {
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

    /// As many as the kind has streams, sent at once; the status that all are answered with, or one that is not the
    /// right one.
    fn together(&mut self) -> io::Result<u16> {
        self.settle()?;
        let mut talk = match self.talk.take() {
            Some(talk) => talk,
            None => {
                let client = self.door.enter_at(|| self.settle())?;
                self.settle()?;
                Talk::begin(client)?
            }
        };
        let count = self.kind.streams;
        let places = (self.next..self.next + count).map(|place| place % self.tokens.len());
        let requests: Vec<_> = places.map(|place| self.kind.fields(&self.tokens[place])).collect();
        let answers = talk.ask(&requests, || self.settle())?;
        self.next += count;
        self.settle()?;
        self.talk = Some(talk);
        let statuses = answers.iter().map(|answer| answer.status);
        Ok(statuses.clone().find(|status| *status != self.kind.status).unwrap_or(self.kind.status))
    }

    fn settle(&self) -> io::Result<()> {
        self.pace.settle().map_err(io::Error::other)
    }
}
