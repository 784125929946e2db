//! HTTP/2 by hand: clients and targets that send what no library would, and look at every frame.

use std::io;

use super::client::Client;
use super::http2::{
    ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, SETTINGS, block, frame,
};
use super::limpet::Limpet;
use super::target::{Connection, Target};
use super::wire::{Wire, find};

pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const WINDOW_UPDATE: u8 = 8;

/// A frame as it has come.
#[derive(Debug, Clone)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn read(wire: &mut Wire) -> io::Result<Frame> {
        let head = wire.read_exactly(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let payload = wire.read_exactly(length as usize)?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Ok(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Whether it is the last one of its direction.
    pub fn ends(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// Whether a field block has this text, in a literal as limpet writes them.
    pub fn says(&self, text: &str) -> bool {
        find(&self.payload, text.as_bytes()).is_some()
    }

    /// The status that the head of a response begins with.
    #[track_caller]
    pub fn status(&self) -> u16 {
        match self.payload[..] {
            // Of the static table.
            [index @ 0x88..=0x8e, ..] => {
                [200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)]
            }
            [0x08, 3, ref status @ ..] => str::from_utf8(&status[..3]).unwrap().parse().unwrap(),
            _ => panic!("no status: {self:?}"),
        }
    }

    /// The code of a RST_STREAM or GOAWAY.
    #[track_caller]
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// A client that has begun a connection.
pub fn client(limpet: &Limpet) -> Client {
    let mut client = limpet.client();
    client.send(PREFACE).send(frame(SETTINGS, 0, 0, b"")).send(frame(SETTINGS, ACK, 0, b""));
    client
}

/// A GET.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    request(("GET", path), stream, &[], true)
}

/// The head of a POST whose content follows.
pub fn post(stream: u32, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    request(("POST", path), stream, fields, false)
}

fn request(
    (method, path): (&str, &str),
    stream: u32,
    more: &[(&str, &str)],
    ends: bool,
) -> Vec<u8> {
    let pseudo =
        [(":method", method), (":scheme", "http"), (":path", path), (":authority", "limpet.test")];
    fields(stream, &[&pseudo[..], more].concat(), ends)
}

/// The next frame to a client that is about a stream, but for its window, or ends the connection.
#[track_caller]
pub fn next(client: &mut Client) -> Frame {
    loop {
        let frame = Frame::read(&mut client.wire);
        let frame = frame.unwrap_or_else(|error| panic!("no frame: {error}"));
        if frame.stream != 0 && frame.kind != WINDOW_UPDATE || frame.kind == GOAWAY {
            return frame;
        }
    }
}

/// A client that has begun a connection, and numbers its streams.
pub struct ByHand {
    client: Client,
    next: u32,
}

impl ByHand {
    pub fn new(limpet: &Limpet) -> ByHand {
        ByHand { client: client(limpet), next: 1 }
    }

    pub fn send(&mut self, frames: impl AsRef<[u8]>) {
        self.client.send(frames);
    }

    fn open(&mut self, head: impl FnOnce(u32) -> Vec<u8>) -> u32 {
        let stream = self.next;
        self.next += 2;
        self.send(head(stream));
        stream
    }

    /// Opens a stream with a GET.
    pub fn get(&mut self, path: &str) -> u32 {
        self.open(|stream| get(stream, path))
    }

    /// Opens a stream with a POST whose content follows.
    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> u32 {
        self.open(|stream| post(stream, path, fields))
    }

    /// The next frame, of whatever stream.
    #[track_caller]
    pub fn any(&mut self) -> Frame {
        next(&mut self.client)
    }

    /// Waits until limpet has seen all that was sent; no response is due before.
    #[track_caller]
    pub fn ping(&mut self) {
        self.send(frame(PING, 0, 0, b"anything"));
        while Frame::read(&mut self.client.wire).expect("a frame").kind != PING {}
    }

    /// The next frame, which is on this stream.
    #[track_caller]
    pub fn next(&mut self, stream: u32) -> Frame {
        let frame = self.any();
        assert_eq!(frame.stream, stream, "{frame:?}");
        frame
    }

    /// The head of a response.
    #[track_caller]
    pub fn head(&mut self, stream: u32) -> Frame {
        let head = self.next(stream);
        assert_eq!(head.kind, HEADERS, "{head:?}");
        head
    }

    /// A whole response without trailers: its status and its content.
    #[track_caller]
    pub fn response(&mut self, stream: u32) -> (u16, Vec<u8>) {
        let mut last = self.head(stream);
        let (status, mut content) = (last.status(), Vec::new());
        while !last.ends() {
            last = self.next(stream);
            assert_eq!(last.kind, DATA, "{last:?}");
            content.extend_from_slice(&last.payload);
        }
        (status, content)
    }

    /// The status of the whole response to a GET.
    #[track_caller]
    pub fn status(&mut self, path: &str) -> u16 {
        let stream = self.get(path);
        self.response(stream).0
    }
}

/// A target in clear that begins each connection with these settings; `serve` gets the heads of requests, one by one.
pub fn target(
    settings: impl Into<Vec<u8>>,
    serve: impl Fn(&mut Connection, Frame) -> io::Result<()> + Send + Sync + 'static,
) -> Target {
    let settings = settings.into();
    Target::scripted(move |connection| {
        connection.read_exactly(PREFACE.len())?;
        connection.send(&frame(SETTINGS, 0, 0, &settings))?;
        loop {
            let frame = received(connection)?;
            if frame.kind == HEADERS {
                serve(connection, frame)?;
            }
        }
    })
}

/// The next frame to a target; its settings are confirmed.
pub fn received(connection: &mut Connection) -> io::Result<Frame> {
    let received = Frame::read(connection)?;
    if received.kind == SETTINGS && received.flags & ACK == 0 {
        connection.send(&frame(SETTINGS, ACK, 0, b""))?;
    }
    Ok(received)
}

/// The next frame of this kind to a target.
pub fn received_of(connection: &mut Connection, kind: u8) -> io::Result<Frame> {
    loop {
        let frame = received(connection)?;
        if frame.kind == kind {
            return Ok(frame);
        }
    }
}

/// A head, or trailers.
pub fn fields(stream: u32, fields: &[(&str, &str)], ends: bool) -> Vec<u8> {
    let flags = if ends { END_STREAM | END_HEADERS } else { END_HEADERS };
    frame(HEADERS, flags, stream, &block(fields))
}

pub fn data(stream: u32, content: &[u8], ends: bool) -> Vec<u8> {
    frame(DATA, if ends { END_STREAM } else { 0 }, stream, content)
}
