//! A client that speaks HTTP/2 frame by frame, and does only what it is told.

use std::net::SocketAddr;
use std::sync::Arc;

use super::client::Client;
use super::http2::{
    ACK, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, block, frame,
};
use super::tls;
use super::wire::{Wire, closed_kind, find};

pub const PRIORITY: u8 = 2;
pub const PING: u8 = 6;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const PRIORITY_UPDATE: u8 = 16;

/// Settings by their numbers.
pub const INITIAL_WINDOW_SIZE: u16 = 4;
pub const MAX_FRAME_SIZE: u16 = 5;

/// The largest window.
pub const WINDOW_MAX: u32 = 0x7fff_ffff;
/// What a connection's window lacks of that at first.
pub const WINDOW_REST: u32 = WINDOW_MAX - 65_535;

/// A frame that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn read(wire: &mut Wire) -> std::io::Result<Frame> {
        let head = wire.read_exactly(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let payload = wire.read_exactly(length as usize)?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Ok(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    pub fn is(&self, kind: u8, stream: u32) -> bool {
        (self.kind, self.stream) == (kind, stream)
    }

    pub fn ends(&self) -> bool {
        matches!(self.kind, super::http2::DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// The status of a response, as limpet writes it: by the static table, or in digits.
    #[track_caller]
    pub fn status(&self) -> u16 {
        assert_eq!(self.kind, HEADERS, "{self:?}");
        match self.payload[..] {
            [byte @ 0x88..=0x8e, ..] => {
                [200, 204, 206, 304, 400, 404, 500][usize::from(byte - 0x88)]
            }
            [0x08, 3, hundred, ten, one, ..] => {
                [hundred, ten, one].iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))
            }
            _ => panic!("no status: {self:?}"),
        }
    }

    /// Whether a field block has this text, in a literal as limpet writes them.
    pub fn says(&self, text: &str) -> bool {
        find(&self.payload, text.as_bytes()).is_some()
    }

    /// The code of a RST_STREAM.
    #[track_caller]
    pub fn code(&self) -> u32 {
        assert_eq!(self.kind, RST_STREAM, "{self:?}");
        u32::from_be_bytes(self.payload[..].try_into().unwrap())
    }

    /// The last stream and the code of a GOAWAY.
    #[track_caller]
    pub fn goodbye(&self) -> (u32, u32) {
        assert_eq!(self.kind, GOAWAY, "{self:?}");
        let number = |at: usize| u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap());
        (number(0), number(4))
    }
}

/// The payload of SETTINGS.
pub fn settings(all: &[(u16, u32)]) -> Vec<u8> {
    let one = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &all.iter().flat_map(one).collect::<Vec<u8>>())
}

pub fn window_update(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

/// A request; `ends`: without content.
pub fn request(stream: u32, fields: &[(&str, &str)], ends: bool) -> Vec<u8> {
    let end = if ends { END_STREAM } else { 0 };
    frame(HEADERS, END_HEADERS | end, stream, &block(fields))
}

/// The pseudo-fields of a GET.
pub fn get(path: &str) -> [(&str, &str); 4] {
    [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", tls::NAME)]
}

/// The pseudo-fields of a POST.
pub fn post(path: &str) -> [(&str, &str); 4] {
    [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", tls::NAME)]
}

/// One connection.
pub struct Frames {
    pub client: Client,
}

impl Frames {
    /// Begins with these settings, and acknowledges limpet's.
    #[track_caller]
    pub fn begin(mut client: Client, own: &[(u16, u32)]) -> Frames {
        client.send(PREFACE).send(settings(own)).send(frame(SETTINGS, ACK, 0, b""));
        Frames { client }
    }

    /// As [`Frames::begin`], under TLS.
    #[track_caller]
    pub fn begin_tls(address: SocketAddr, own: &[(u16, u32)]) -> Frames {
        let mut config = (*tls::client()).clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Frames::begin(Client::connect_tls(address, Arc::new(config), tls::NAME), own)
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Frames {
        self.client.send(bytes);
        self
    }

    /// GET on a stream.
    #[track_caller]
    pub fn get(&mut self, stream: u32, path: &str) -> &mut Frames {
        self.send(request(stream, &get(path), true))
    }

    /// The next frame; `None` at the end of the connection.
    #[track_caller]
    pub fn next(&mut self) -> Option<Frame> {
        match Frame::read(&mut self.client.wire) {
            Ok(frame) => Some(frame),
            Err(error) if closed_kind(&error) => None,
            Err(error) => panic!("no frame: {error}"),
        }
    }

    /// The next frame of a stream that is no WINDOW_UPDATE, or GOAWAY.
    #[track_caller]
    pub fn next_of_streams(&mut self) -> Frame {
        loop {
            let frame = self.next().expect("a frame, and not the end of the connection");
            if frame.kind == GOAWAY || frame.stream != 0 && frame.kind != WINDOW_UPDATE {
                return frame;
            }
        }
    }

    /// The frames that come before the answer to a PING, or until the connection ends; a goodbye is among them.
    #[track_caller]
    pub fn round_trip(&mut self) -> Vec<Frame> {
        self.send(frame(PING, 0, 0, b"how-long"));
        let mut frames = Vec::new();
        while let Some(frame) = self.next() {
            if frame.kind == PING && frame.flags == ACK && frame.payload == b"how-long" {
                break;
            }
            frames.push(frame);
        }
        frames
    }

    /// The response on this stream, and nothing else of streams: status and content.
    #[track_caller]
    pub fn response(&mut self, stream: u32) -> (u16, Vec<u8>) {
        let head = self.next_of_streams();
        assert!(head.is(HEADERS, stream), "{head:?}");
        let (mut ends, mut content) = (head.ends(), Vec::new());
        while !ends {
            let frame = self.next_of_streams();
            assert!(frame.is(super::http2::DATA, stream), "{frame:?}");
            content.extend_from_slice(&frame.payload);
            ends = frame.ends();
        }
        (head.status(), content)
    }

    /// The answer to a PING, where limpet has sent this frame.
    #[track_caller]
    pub fn answer_ping(&mut self, ping: &Frame) -> &mut Frames {
        assert_eq!((ping.kind, ping.flags), (PING, 0), "{ping:?}");
        let payload = ping.payload.clone();
        self.send(frame(PING, ACK, 0, &payload))
    }
}
