//! Targets that speak HTTP/2 frame by frame and send what no library would, and a client for them.

use std::io;

use super::http2::{ACK, DATA, END_STREAM, HEADERS, PREFACE, SETTINGS, frame};
use super::http2_frames::{Frame, Frames, get, post, request, settings};
use super::limpet::Limpet;
use super::target::{Connection, Target};

pub const PUSH_PROMISE: u8 = 5;

/// A client that numbers its streams.
pub struct ByHand {
    frames: Frames,
    next: u32,
}

impl ByHand {
    #[track_caller]
    pub fn new(limpet: &Limpet) -> ByHand {
        ByHand { frames: Frames::begin(limpet.client(), &[]), next: 1 }
    }

    #[track_caller]
    pub fn send(&mut self, frames: impl AsRef<[u8]>) {
        self.frames.send(frames);
    }

    #[track_caller]
    fn open(&mut self, head: &[(&str, &str)], ends: bool) -> u32 {
        let stream = self.next;
        self.next += 2;
        self.send(request(stream, head, ends));
        stream
    }

    /// Opens a stream with a GET.
    pub fn get(&mut self, path: &str) -> u32 {
        self.open(&get(path), true)
    }

    /// Opens a stream with a POST whose content follows.
    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> u32 {
        self.open(&[&post(path), fields].concat(), false)
    }

    /// The next frame, of whatever stream.
    #[track_caller]
    pub fn any(&mut self) -> Frame {
        self.frames.next_of_streams()
    }

    /// Waits until limpet has seen all that was sent; no response is due before.
    #[track_caller]
    pub fn settle(&mut self) {
        let frames = self.frames.round_trip();
        assert!(frames.iter().all(|frame| frame.stream == 0), "{frames:?}");
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
        self.frames.response(stream)
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
    own: &[(u16, u32)],
    serve: impl Fn(&mut Connection, Frame) -> io::Result<()> + Send + Sync + 'static,
) -> Target {
    let own = settings(own);
    Target::scripted(move |connection| {
        connection.read_exactly(PREFACE.len())?;
        connection.send(&own)?;
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
    request(stream, fields, ends)
}

pub fn data(stream: u32, content: &[u8], ends: bool) -> Vec<u8> {
    frame(DATA, if ends { END_STREAM } else { 0 }, stream, content)
}
