//! One connection over HTTP/2 for what is not load: readiness, idle clients, counting instructions.
//!
//! Owns: requests out, responses in, wholly read. Never: speed, or a judgement. Tested by `instructions/targets.rs`
//! against targets of the test's own, and by `tests/compare.rs`.

use std::collections::BTreeMap;
use std::io;

use super::client::{Answer, Client, Door};
use super::render::HOST;
use crate::http2::encoder::Keep;
use crate::http2::frame;
use crate::http2::wire::{Event, Terms, Wire};

/// A field: its name in small letters, its value, and whether it comes again.
pub type Field<'a> = (&'static str, &'a str, Keep);

/// Somebody who asks now and then, in the version that is spoken.
#[derive(Debug)]
pub enum Visitor {
    One(Client),
    Two(Box<Talk>),
}

impl Visitor {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens, or does not speak as expected.
    pub fn enter(door: &Door, http2: bool) -> io::Result<Visitor> {
        let client = door.enter()?;
        Ok(match http2 {
            true => Visitor::Two(Box::new(Talk::begin(client)?)),
            false => Visitor::One(client),
        })
    }

    /// Asks for a path, without a cookie.
    ///
    /// # Errors
    /// When the connection ends, or what comes is no response.
    pub fn ask(&mut self, path: &str) -> io::Result<Answer> {
        match self {
            Visitor::One(client) => {
                client.ask(format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes())
            }
            Visitor::Two(talk) => {
                let scheme = if talk.client.is_secure() { "https" } else { "http" };
                let fields = [
                    (":method", "GET", Keep::Yes),
                    (":scheme", scheme, Keep::Yes),
                    (":authority", HOST, Keep::Yes),
                    (":path", path, Keep::Yes),
                ];
                let answers = talk.ask(&[fields.to_vec()], || Ok(()))?;
                talk.settle_debts()?;
                answers.into_iter().next().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            }
        }
    }

    /// Whether the other side has left it open. Over HTTP/2 it may say something unasked.
    pub fn is_open(&mut self) -> bool {
        match self {
            Visitor::One(client) => client.is_open(),
            Visitor::Two(talk) => !talk.client.has_ended(),
        }
    }
}

/// A connection that speaks HTTP/2.
#[derive(Debug)]
pub struct Talk {
    client: Client,
    wire: Wire,
    next: u32,
    /// What is owed, until the next requests go out.
    out: Vec<u8>,
}

impl Talk {
    /// Begins to speak on a connection.
    ///
    /// # Errors
    /// When it ends.
    pub fn begin(mut client: Client) -> io::Result<Talk> {
        let (wire, mut out) = (Wire::new(Terms::CLIENT), Vec::new());
        wire.begin(&mut out);
        client.tell(&out)?;
        Ok(Talk { client, wire, next: 1, out: Vec::new() })
    }

    /// Asks once for each list of fields, all at once; `pause` is called before anything is sent.
    ///
    /// # Errors
    /// When the connection ends, or what comes is no response.
    pub fn ask(
        &mut self,
        requests: &[Vec<Field<'_>>],
        pause: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<Vec<Answer>> {
        let mut block = Vec::new();
        let mut open = BTreeMap::new();
        for fields in requests {
            block.clear();
            self.wire.encoder.begin(&mut block);
            for (name, value, keep) in fields {
                self.wire.encoder.field(name.as_bytes(), value.as_bytes(), *keep, &mut block);
            }
            frame::write_head(self.next, true, &block, &mut self.out);
            open.insert(self.next, Answer::default());
            self.next += 2;
        }
        pause()?;
        self.client.tell(&std::mem::take(&mut self.out))?;
        let mut answers = Vec::new();
        while !open.is_empty() {
            let bytes = self.client.take()?;
            let mut input = &bytes[..];
            while let Some(event) = self.next_event(&mut input)? {
                if let Some(stream) = take_in(&event, &self.wire, &mut open)? {
                    answers.extend(open.remove(&stream));
                }
            }
        }
        Ok(answers)
    }

    /// Sends what is owed, rather than with the next request: for who has none.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn settle_debts(&mut self) -> io::Result<()> {
        match self.out.is_empty() {
            true => Ok(()),
            false => self.client.tell(&std::mem::take(&mut self.out)),
        }
    }

    fn next_event<'a>(&mut self, input: &mut &'a [u8]) -> io::Result<Option<Event<'a>>> {
        self.wire.next(input, &mut self.out).map_err(io::Error::other)
    }
}

/// Takes in what has come; the stream that ends with it.
fn take_in(
    event: &Event<'_>,
    wire: &Wire,
    open: &mut BTreeMap<u32, Answer>,
) -> io::Result<Option<u32>> {
    let (stream, ends) = match *event {
        Event::Head { stream, ends } => (stream, ends),
        Event::Data { stream, bytes, ends } => {
            if let Some(answer) = open.get_mut(&stream) {
                answer.content_bytes += bytes.len() as u64;
            }
            return Ok(ends.then_some(stream));
        }
        Event::Window { .. } | Event::Settings { .. } => return Ok(None),
        Event::Reset { .. } | Event::Away { .. } => {
            return Err(io::Error::other(format!("a stream or the connection ends: {event:?}")));
        }
    };
    let Some(answer) = open.get_mut(&stream) else {
        return Err(io::Error::other("a response that nobody asked for"));
    };
    for (name, value) in wire.fields.iter() {
        let value = || String::from_utf8_lossy(value).into_owned();
        match name {
            b":status" => answer.status = value().parse().unwrap_or(0),
            b"x-target" => answer.target = Some(value()),
            b"set-cookie" => answer.cookies.extend(value().split(';').next().map(str::to_owned)),
            _ => {}
        }
    }
    Ok(ends.then_some(stream))
}
