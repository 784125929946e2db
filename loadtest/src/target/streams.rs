//! A target's side of a connection over HTTP/2, without its socket.
//!
//! Owns: the streams and their answers. Never: an answer to a request whose id does not agree with itself. Tested by
//! `tests/soak.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::asked::{Answers, Asked};
use crate::http2::content::Outlet;
use crate::http2::encoder::Keep;
use crate::http2::frame::{self, WINDOW};
use crate::http2::wire::{Event, Terms, Wire, Wrong};
use crate::pattern::Pattern;

/// A stream gives back its credit once it owes so much.
const CREDIT_BYTES: u32 = 16 * 1024;

/// Windows as they are without a word, so that they are used up and given back.
const TERMS: Terms = Terms { stream_window: WINDOW, window: WINDOW, ..Terms::SERVER };

/// See the module's head.
#[derive(Debug)]
pub struct Streams {
    wire: Wire,
    answers: Arc<Answers>,
    out: Vec<u8>,
    open: BTreeMap<u32, Stream>,
    /// The newest stream that was opened.
    newest: u32,
    is_leaving: bool,
}

#[derive(Debug)]
struct Stream {
    asked: Asked,
    received: Pattern,
    owed: u32,
    outlet: Outlet,
    /// The answer's content, once it is due, and how much of it has gone out.
    content: Option<Vec<u8>>,
    sent: usize,
}

impl Streams {
    pub fn new(answers: Arc<Answers>) -> Streams {
        let (wire, mut out) = (Wire::new(TERMS), Vec::new());
        wire.begin(&mut out);
        Streams { wire, answers, out, open: BTreeMap::new(), newest: 0, is_leaving: false }
    }

    pub fn take_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    pub fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// All that had begun is answered, and nothing else will be.
    pub fn is_done(&self) -> bool {
        self.is_leaving && self.open.is_empty()
    }

    /// From now on no more is taken.
    pub fn leave(&mut self) {
        if !self.is_leaving {
            self.is_leaving = true;
            frame::write_away(self.newest, frame::code::NO_ERROR, &mut self.out);
        }
    }

    /// Takes in what has come.
    ///
    /// # Errors
    /// When it is not HTTP/2; the other side has been told.
    pub fn take_in(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        let taken = self.take_all(bytes);
        if let Err(wrong) = taken {
            frame::write_away(self.newest, wrong.code, &mut self.out);
        }
        taken
    }

    fn take_all(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        let mut input = bytes;
        while let Some(event) = self.wire.next(&mut input, &mut self.out)? {
            match event {
                Event::Head { stream, ends } => {
                    if !self.open.contains_key(&stream) && !self.open(stream)? {
                        continue;
                    }
                    if ends {
                        self.answer(stream);
                    }
                }
                Event::Data { stream: id, bytes, ends } => {
                    let Some(stream) = self.open.get_mut(&id) else { continue };
                    stream.received.check(bytes);
                    stream.owed += bytes.len() as u32;
                    if stream.owed > WINDOW {
                        return Err(Wrong::protocol("more content than the stream's window"));
                    }
                    if stream.owed >= CREDIT_BYTES && !ends {
                        let credit = std::mem::take(&mut stream.owed);
                        frame::write_window(id, credit, &mut self.out);
                    }
                    if ends {
                        self.answer(id);
                    }
                }
                Event::Reset { stream, .. } => drop(self.open.remove(&stream)),
                Event::Away { .. } => self.is_leaving = true,
                Event::Window { stream, by } => {
                    if let Some(stream) = self.open.get_mut(&stream) {
                        stream.outlet.window += i64::from(by);
                    }
                    self.send_more();
                }
                Event::Settings { delta } => {
                    self.open.values_mut().for_each(|one| one.outlet.window += delta);
                    self.send_more();
                }
            }
        }
        Ok(())
    }

    /// A request has begun; `false` when it comes too late.
    fn open(&mut self, id: u32) -> Result<bool, Wrong> {
        if id.is_multiple_of(2) || id <= self.newest {
            return Err(Wrong::protocol("a head on a stream that cannot be opened"));
        }
        if self.is_leaving {
            return Ok(false);
        }
        self.newest = id;
        let text = |name: &[u8]| {
            let value = self.wire.fields.get(name).and_then(|value| str::from_utf8(value).ok());
            value.map(str::to_owned)
        };
        let mut asked = Asked {
            id: None,
            mixed: false,
            size: 0,
            chunked: false,
            head_only: text(b":method").as_deref() == Some("HEAD"),
            close: false,
            expects: false,
            framing: None,
        };
        let path = text(b":path").unwrap_or_default();
        if asked.take(&path, text(b"x-soak-id").as_deref()).is_none() {
            return Err(Wrong::protocol("a path that means nothing"));
        }
        let stream = Stream {
            received: Pattern::new(asked.id.unwrap_or_default()),
            owed: 0,
            outlet: Outlet { stream: id, window: self.wire.stream_window },
            content: None,
            sent: 0,
            asked,
        };
        self.open.insert(id, stream);
        Ok(true)
    }

    /// A request has come to its end.
    fn answer(&mut self, id: u32) {
        let Streams { wire, answers, out, open, .. } = self;
        let Some(stream) = open.get_mut(&id) else { return };
        let (asked, received) = (&stream.asked, &stream.received);
        let size = asked.id.map_or(answers.plain.len(), |_| asked.size);
        let mut block = Vec::new();
        wire.encoder.begin(&mut block);
        let mut field = |name: &[u8], value: &[u8], keep| {
            wire.encoder.field(name, value, keep, &mut block);
        };
        field(b":status", if asked.mixed { b"409" } else { b"200" }, Keep::Yes);
        field(b"content-type", b"text/plain", Keep::Yes);
        field(b"x-target", answers.id.as_bytes(), Keep::Yes);
        if let Some(id) = &asked.id {
            field(b"x-soak-id", id, Keep::No);
            let count = received.count.to_string();
            let received = if received.intact { count.as_bytes() } else { b"damaged" };
            field(b"x-soak-received", received, Keep::No);
        }
        if !asked.chunked {
            field(b"content-length", size.to_string().as_bytes(), Keep::No);
        }
        let has_content = !asked.head_only && size > 0;
        frame::write_head(id, !has_content, &block, out);
        if !has_content {
            open.remove(&id);
            return;
        }
        let mut content = Vec::new();
        match asked.id {
            Some(id) => Pattern::new(id).make(size, &mut content),
            None => content.extend_from_slice(&answers.plain),
        }
        stream.content = Some(content);
        self.send_more();
    }

    /// Sends content that windows have room for.
    fn send_more(&mut self) {
        let Streams { wire, out, open, .. } = self;
        open.retain(|_, stream| {
            let Some(content) = &stream.content else { return true };
            let rest = &content[stream.sent..];
            stream.sent += wire.allowance.write(&mut stream.outlet, rest, true, out);
            stream.sent < content.len()
        });
    }
}
