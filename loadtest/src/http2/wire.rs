//! One connection's frames as they come: what they mean for the connection is done here, the rest are events.
//!
//! Owns: frames that have come in part, both tables, the connection's windows, and what is owed at once
//! (acknowledgements, the connection's credit). Never: a stream, which is the caller's; tolerance of what RFC 9113
//! forbids. Tested in `wire_tests.rs` whole, byte by byte, and cut at every place.

use super::content::Allowance;
use super::encoder::Encoder;
use super::frame::{self, HEAD_BYTES, Head, PREFACE, flag, kind, setting};
use super::hpack::{Decoder, Fields};
pub use super::wrong::Wrong;

/// Longest coded head.
const BLOCK_BYTES_MAX: usize = 256 * 1024;

/// What has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole head or trailers: [`Wire::fields`] has them.
    Head { stream: u32, ends: bool },
    /// Content, or a part of it; `ends` with the last one.
    Data { stream: u32, bytes: &'a [u8], ends: bool },
    /// RST_STREAM.
    Reset { stream: u32, code: u32 },
    /// GOAWAY.
    Away { last: u32, code: u32 },
    /// More may be sent on a stream, or, with 0, on the connection.
    Window { stream: u32, by: u32 },
    /// The other side's settings: each open stream's window changes by so much.
    Settings { delta: i64 },
}

/// What this side says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    pub is_client: bool,
    /// What each stream may receive before more is allowed.
    pub stream_window: u32,
    /// What the connection may receive; it is given back by itself.
    pub window: u32,
    /// Streams at a time that the other side may open; none, if it is a server.
    pub streams_max: u32,
}

impl Terms {
    /// A client with windows that nothing it asks for fills.
    pub const CLIENT: Terms =
        Terms { is_client: true, stream_window: 1 << 30, window: 1 << 30, streams_max: 0 };

    /// A server of the same kind.
    pub const SERVER: Terms = Terms { is_client: false, streams_max: 1000, ..Terms::CLIENT };
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// Bytes of the client's preface that have not come.
    Preface(usize),
    Head,
    Payload(Head),
    Data(Data),
    /// Padding.
    Skip(u32),
}

/// In a frame of content.
#[derive(Debug, Clone, Copy)]
struct Data {
    stream: u32,
    left: u32,
    padding: u32,
    /// The length of the padding has not come.
    is_padded: bool,
    ends: bool,
}

/// See the module's head.
#[derive(Debug)]
pub struct Wire {
    terms: Terms,
    place: Place,
    /// A frame's head or payload that has come in part.
    held: Vec<u8>,
    /// A head whose CONTINUATION is awaited: its stream, whether the stream ends, and its block so far.
    continued: Option<(u32, bool)>,
    block: Vec<u8>,
    decoder: Decoder,
    pub encoder: Encoder,
    /// What the last head had.
    pub fields: Fields,
    has_settings: bool,
    /// Bytes that have come and have not been given back to the connection's window.
    owed: u32,
    /// What may be sent.
    pub allowance: Allowance,
    /// Streams at a time that the other side allows.
    pub streams_max: u32,
    /// A new stream's window.
    pub stream_window: i64,
}

impl Wire {
    pub fn new(terms: Terms) -> Wire {
        Wire {
            terms,
            place: if terms.is_client { Place::Head } else { Place::Preface(PREFACE.len()) },
            held: Vec::new(),
            continued: None,
            block: Vec::new(),
            decoder: Decoder::new(),
            encoder: Encoder::new(),
            fields: Fields::default(),
            has_settings: false,
            owed: 0,
            allowance: Allowance::new(),
            // RFC 9113 §6.5.2: no limit until there is one; a hundred is what is sensible.
            streams_max: 100,
            stream_window: i64::from(frame::WINDOW),
        }
    }

    /// Says what comes first.
    pub fn begin(&self, out: &mut Vec<u8>) {
        let window = (setting::INITIAL_WINDOW_SIZE, self.terms.stream_window);
        if self.terms.is_client {
            out.extend_from_slice(PREFACE);
            frame::write_settings(&[(setting::ENABLE_PUSH, 0), window], out);
        } else {
            let streams = (setting::MAX_CONCURRENT_STREAMS, self.terms.streams_max);
            frame::write_settings(&[streams, window], out);
        }
        if let by @ 1.. = self.terms.window.saturating_sub(frame::WINDOW) {
            frame::write_window(0, by, out);
        }
    }

    /// Takes bytes from `input` until something has come or nothing is left. What is owed goes behind what is in
    /// `out`.
    ///
    /// # Errors
    /// When it is not HTTP/2.
    pub fn next<'a>(
        &mut self,
        input: &mut &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'a>>, Wrong> {
        loop {
            let event = match self.place {
                Place::Preface(left) => {
                    let count = left.min(input.len());
                    let at = PREFACE.len() - left;
                    if input[..count] != PREFACE[at..at + count] {
                        return Err(Wrong::protocol("the preface is none"));
                    }
                    *input = &input[count..];
                    if count < left {
                        self.place = Place::Preface(left - count);
                        return Ok(None);
                    }
                    self.place = Place::Head;
                    None
                }
                Place::Head => {
                    let count = (HEAD_BYTES - self.held.len()).min(input.len());
                    self.held.extend_from_slice(&input[..count]);
                    *input = &input[count..];
                    let Some(head) = self.held.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
                    let head = Head::read(*head);
                    self.held.clear();
                    self.enter(head, out)?;
                    None
                }
                Place::Payload(head) => {
                    let size = head.length as usize;
                    if self.held.is_empty() && input.len() >= size {
                        let (payload, rest) = input.split_at(size);
                        *input = rest;
                        self.place = Place::Head;
                        self.frame(head, payload, out)?
                    } else {
                        let count = (size - self.held.len()).min(input.len());
                        self.held.extend_from_slice(&input[..count]);
                        *input = &input[count..];
                        if self.held.len() < size {
                            return Ok(None);
                        }
                        self.place = Place::Head;
                        let mut held = std::mem::take(&mut self.held);
                        let event = self.frame(head, &held, out);
                        held.clear();
                        self.held = held;
                        event?
                    }
                }
                Place::Data(data) => match self.data(data, input)? {
                    Some(event) => Some(event),
                    None => return Ok(None),
                },
                Place::Skip(left) => {
                    let count = input.len().min(left as usize);
                    *input = &input[count..];
                    self.place = match left - count as u32 {
                        0 => Place::Head,
                        left => Place::Skip(left),
                    };
                    if count == 0 && left > 0 {
                        return Ok(None);
                    }
                    None
                }
            };
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    /// Begins a frame.
    fn enter(&mut self, head: Head, out: &mut Vec<u8>) -> Result<(), Wrong> {
        if head.length > frame::PAYLOAD_MAX {
            return Err(Wrong::size("a frame is longer than is allowed"));
        }
        if !self.has_settings && (head.kind != kind::SETTINGS || head.has(flag::ACK)) {
            return Err(Wrong::protocol("the first frame is not SETTINGS"));
        }
        if self.continued.is_some() != (head.kind == kind::CONTINUATION) {
            return Err(Wrong::protocol("a head is interrupted, or continued and not begun"));
        }
        if head.kind != kind::DATA {
            self.place = Place::Payload(head);
            return Ok(());
        }
        if head.stream == 0 {
            return Err(Wrong::protocol("DATA of no stream"));
        }
        self.owed += head.length;
        if self.owed > self.terms.window.max(frame::WINDOW) {
            return Err(Wrong::flow("more DATA than the connection's window"));
        }
        if self.owed > self.terms.window.max(frame::WINDOW) / 2 {
            frame::write_window(0, self.owed, out);
            self.owed = 0;
        }
        self.place = Place::Data(Data {
            stream: head.stream,
            left: head.length,
            padding: 0,
            is_padded: head.has(flag::PADDED),
            ends: head.has(flag::END_STREAM),
        });
        Ok(())
    }

    /// Goes on in a frame of content; `None` when more has to come.
    fn data<'a>(
        &mut self,
        mut data: Data,
        input: &mut &'a [u8],
    ) -> Result<Option<Event<'a>>, Wrong> {
        if data.is_padded {
            let Some((&padding, rest)) = input.split_first() else { return Ok(None) };
            *input = rest;
            (data.padding, data.is_padded) = (u32::from(padding), false);
            data.left = data
                .left
                .checked_sub(1 + data.padding)
                .ok_or(Wrong::protocol("more padding than the frame has room for"))?;
            self.place = Place::Data(data);
        }
        if data.left > 0 && input.is_empty() {
            return Ok(None);
        }
        let (bytes, rest) = input.split_at(input.len().min(data.left as usize));
        *input = rest;
        data.left -= bytes.len() as u32;
        self.place = match (data.left, data.padding) {
            (0, 0) => Place::Head,
            (0, padding) => Place::Skip(padding),
            _ => Place::Data(data),
        };
        let ends = data.ends && data.left == 0;
        Ok(Some(Event::Data { stream: data.stream, bytes, ends }))
    }

    /// Does what a whole frame says.
    fn frame(
        &mut self,
        head: Head,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'static>>, Wrong> {
        let number = |at: usize| {
            let bytes = payload.get(at..at + 4).and_then(|bytes| bytes.first_chunk::<4>());
            bytes.map(|bytes| u32::from_be_bytes(*bytes)).ok_or(Wrong::size("a frame is too short"))
        };
        let exactly = |size: usize| match payload.len() == size {
            true => Ok(()),
            false => Err(Wrong::size("a frame has not the size of its kind")),
        };
        let of_connection = |is_so: bool| match (head.stream == 0) == is_so {
            true => Ok(()),
            false => Err(Wrong::protocol("a frame of a stream on none, or of none on one")),
        };
        match head.kind {
            kind::HEADERS => {
                of_connection(false)?;
                self.head(head, payload)
            }
            kind::CONTINUATION => self.continuation(head, payload),
            kind::RST_STREAM => {
                of_connection(false)?;
                exactly(4)?;
                Ok(Some(Event::Reset { stream: head.stream, code: number(0)? }))
            }
            kind::SETTINGS => {
                of_connection(true)?;
                if head.has(flag::ACK) {
                    return exactly(0).map(|()| None);
                }
                let delta = self.settle(payload)?;
                self.has_settings = true;
                frame::write(kind::SETTINGS, flag::ACK, 0, &[], out);
                Ok(Some(Event::Settings { delta }))
            }
            kind::PING => {
                of_connection(true)?;
                exactly(8)?;
                if !head.has(flag::ACK) {
                    frame::write(kind::PING, flag::ACK, 0, payload, out);
                }
                Ok(None)
            }
            kind::GOAWAY => {
                of_connection(true)?;
                Ok(Some(Event::Away { last: number(0)? & frame::WINDOW_MAX, code: number(4)? }))
            }
            kind::WINDOW_UPDATE => {
                exactly(4)?;
                let by = number(0)? & frame::WINDOW_MAX;
                if by == 0 {
                    return Err(Wrong::protocol("WINDOW_UPDATE by nothing"));
                }
                if head.stream == 0 {
                    self.allowance.window += i64::from(by);
                    if self.allowance.window > i64::from(frame::WINDOW_MAX) {
                        return Err(Wrong::flow("the connection's window is too large"));
                    }
                }
                Ok(Some(Event::Window { stream: head.stream, by }))
            }
            kind::PUSH_PROMISE => Err(Wrong::protocol("PUSH_PROMISE, which nobody allowed")),
            kind::PRIORITY => exactly(5).map(|()| None),
            // RFC 9113 §5.5.
            _ => Ok(None),
        }
    }

    /// Takes settings over; returns how much new streams' windows have grown by.
    fn settle(&mut self, payload: &[u8]) -> Result<i64, Wrong> {
        let before = self.stream_window;
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(Wrong::size("SETTINGS of another size than theirs"));
        }
        for &[n0, n1, v0, v1, v2, v3] in settings {
            let value = u32::from_be_bytes([v0, v1, v2, v3]);
            match u16::from_be_bytes([n0, n1]) {
                setting::HEADER_TABLE_SIZE => self.encoder.allow(value),
                setting::MAX_CONCURRENT_STREAMS => self.streams_max = value,
                setting::INITIAL_WINDOW_SIZE if value > frame::WINDOW_MAX => {
                    return Err(Wrong::flow("a window that is too large"));
                }
                setting::INITIAL_WINDOW_SIZE => self.stream_window = i64::from(value),
                setting::MAX_FRAME_SIZE if !(frame::PAYLOAD_MAX..1 << 24).contains(&value) => {
                    return Err(Wrong::protocol("a largest frame that is too small or too large"));
                }
                // Longer frames than the usual ones are not needed.
                setting::MAX_FRAME_SIZE => {}
                setting::ENABLE_PUSH if value > u32::from(!self.terms.is_client) => {
                    return Err(Wrong::protocol("ENABLE_PUSH that is not for this side to say"));
                }
                _ => {}
            }
        }
        Ok(self.stream_window - before)
    }

    fn head(&mut self, head: Head, payload: &[u8]) -> Result<Option<Event<'static>>, Wrong> {
        let mut block = payload;
        let mut padding = 0;
        if head.has(flag::PADDED) {
            let (&first, rest) = block.split_first().ok_or(Wrong::size("HEADERS are too short"))?;
            (padding, block) = (usize::from(first), rest);
        }
        if head.has(flag::PRIORITY) {
            block = block.get(5..).ok_or(Wrong::size("HEADERS are too short"))?;
        }
        let length = block.len().checked_sub(padding);
        block = &block[..length.ok_or(Wrong::protocol("more padding than there is room for"))?];
        let ends = head.has(flag::END_STREAM);
        if head.has(flag::END_HEADERS) {
            self.decoder.decode(block, &mut self.fields)?;
            return Ok(Some(Event::Head { stream: head.stream, ends }));
        }
        self.continued = Some((head.stream, ends));
        self.block.clear();
        self.block.extend_from_slice(block);
        Ok(None)
    }

    fn continuation(
        &mut self,
        head: Head,
        payload: &[u8],
    ) -> Result<Option<Event<'static>>, Wrong> {
        let Some((stream, ends)) = self.continued.filter(|(stream, _)| *stream == head.stream)
        else {
            return Err(Wrong::protocol("CONTINUATION of another head"));
        };
        self.block.extend_from_slice(payload);
        if self.block.len() > BLOCK_BYTES_MAX {
            return Err(Wrong::compression("a coded head is larger than 256 KiB"));
        }
        if !head.has(flag::END_HEADERS) {
            return Ok(None);
        }
        self.continued = None;
        self.decoder.decode(&self.block, &mut self.fields)?;
        Ok(Some(Event::Head { stream, ends }))
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
