//! Frames (RFC 9113 §4, §6; RFC 9218 §7): from bytes, one at a time, with the rules that a frame by itself can break.
//!
//! [`Header::read`] and [`Header::fits`] judge the nine bytes in front; [`parse`] splits a payload in place. Rules that
//! need the state of a stream are the connection's; those on the order of frames stand in [`order`]. Tested by a table
//! with every clause of RFC 9113 §6 and by the fuzz target `frame`.

pub mod error_code;
pub mod fault;
pub mod order;
pub mod write;

use fault::FrameFault;

/// Length of a frame's header.
pub const HEADER_BYTES: usize = 9;

/// Bytes that open a client's side of a connection (RFC 9113 §3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Greatest stream id, and greatest window (RFC 9113 §5.1.1, §6.9.1).
pub const MAX_31: u32 = 0x7fff_ffff;

/// Flags by the type that has them (RFC 9113 §6).
pub mod flags {
    pub const ACK: u8 = 0x01;
    pub const END_STREAM: u8 = 0x01;
    pub const END_HEADERS: u8 = 0x04;
    pub const PADDED: u8 = 0x08;
    pub const PRIORITY: u8 = 0x20;
}

/// The type of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Data,
    Headers,
    Priority,
    RstStream,
    Settings,
    PushPromise,
    Ping,
    Goaway,
    WindowUpdate,
    Continuation,
    PriorityUpdate,
    /// To be ignored (RFC 9113 §4.1).
    Unknown(u8),
}

impl Kind {
    pub const fn of(code: u8) -> Kind {
        match code {
            0x00 => Kind::Data,
            0x01 => Kind::Headers,
            0x02 => Kind::Priority,
            0x03 => Kind::RstStream,
            0x04 => Kind::Settings,
            0x05 => Kind::PushPromise,
            0x06 => Kind::Ping,
            0x07 => Kind::Goaway,
            0x08 => Kind::WindowUpdate,
            0x09 => Kind::Continuation,
            0x10 => Kind::PriorityUpdate,
            code => Kind::Unknown(code),
        }
    }

    pub const fn code(self) -> u8 {
        match self {
            Kind::Data => 0x00,
            Kind::Headers => 0x01,
            Kind::Priority => 0x02,
            Kind::RstStream => 0x03,
            Kind::Settings => 0x04,
            Kind::PushPromise => 0x05,
            Kind::Ping => 0x06,
            Kind::Goaway => 0x07,
            Kind::WindowUpdate => 0x08,
            Kind::Continuation => 0x09,
            Kind::PriorityUpdate => 0x10,
            Kind::Unknown(code) => code,
        }
    }
}

/// Which side of the connection limpet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It answers clients.
    Server,
    /// It asks targets.
    Client,
}

/// The nine bytes in front of a payload (RFC 9113 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the payload.
    pub length: u32,
    pub kind: Kind,
    pub flags: u8,
    /// 0 for the connection; the reserved bit is left out.
    pub stream: u32,
}

impl Header {
    #[inline]
    pub fn read(bytes: &[u8; HEADER_BYTES]) -> Header {
        let [a, b, c, kind, flags, stream @ ..] = *bytes;
        Header {
            length: u32::from_be_bytes([0, a, b, c]),
            kind: Kind::of(kind),
            flags,
            stream: u32::from_be_bytes(stream) & MAX_31,
        }
    }

    #[inline]
    pub fn bytes(self) -> [u8; HEADER_BYTES] {
        let [_, a, b, c] = self.length.to_be_bytes();
        let [d, e, f, g] = self.stream.to_be_bytes();
        [a, b, c, self.kind.code(), self.flags, d, e, f, g]
    }

    /// RFC 9113 §4.2: no payload is longer than the SETTINGS_MAX_FRAME_SIZE that limpet has announced.
    ///
    /// # Errors
    /// For every type, because one that is too long would have to be skipped to go on.
    #[inline]
    pub fn fits(self, frame_bytes_max: u32) -> Result<(), FrameFault> {
        if self.length > frame_bytes_max { Err(FrameFault::TooLong) } else { Ok(()) }
    }

    #[inline]
    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A payload, split. All ranges are of the payload itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'p> {
    Data {
        content: &'p [u8],
        /// All of the payload counts against the windows, padding included (RFC 9113 §6.9.1).
        flow_bytes: u32,
        end_stream: bool,
    },
    Headers {
        fragment: &'p [u8],
        end_stream: bool,
        end_headers: bool,
        /// The stream that the priority of RFC 7540 depends on, which is ignored unless it is the stream itself: then
        /// it is a stream error (RFC 7540 §5.3.1), once the fragment has been decoded.
        depends_on: Option<u32>,
    },
    Priority,
    RstStream {
        code: u32,
    },
    /// Whole settings of six bytes each; for [`super::settings`].
    Settings(&'p [u8]),
    SettingsAck,
    Ping {
        is_ack: bool,
        data: [u8; 8],
    },
    Goaway {
        last_stream: u32,
        code: u32,
        debug: &'p [u8],
    },
    WindowUpdate {
        increment: u32,
    },
    Continuation {
        fragment: &'p [u8],
        end_headers: bool,
    },
    /// RFC 9218 §7.1; `value` is for [`super::priority`].
    PriorityUpdate {
        stream: u32,
        value: &'p [u8],
    },
    Unknown,
}

/// Splits a payload of `header.length` bytes.
///
/// # Errors
/// The first rule of RFC 9113 §6 that the frame breaks by itself.
#[inline]
pub fn parse<'p>(header: Header, payload: &'p [u8], side: Side) -> Result<Frame<'p>, FrameFault> {
    match header.kind {
        Kind::Data => data(header, payload),
        Kind::Headers => headers(header, payload),
        Kind::WindowUpdate => window_update(header, payload),
        Kind::Continuation => {
            on_stream(header)?;
            let end_headers = header.has(flags::END_HEADERS);
            Ok(Frame::Continuation { fragment: payload, end_headers })
        }
        Kind::RstStream => {
            on_stream(header)?;
            let code = exactly::<4>(payload)?;
            Ok(Frame::RstStream { code: u32::from_be_bytes(code) })
        }
        Kind::Settings => settings(header, payload),
        Kind::Ping => {
            on_connection(header)?;
            Ok(Frame::Ping { is_ack: header.has(flags::ACK), data: exactly::<8>(payload)? })
        }
        Kind::Priority => priority(header, payload),
        Kind::Goaway => {
            on_connection(header)?;
            let (last_stream, rest) = number(payload)?;
            let (code, debug) = number(rest)?;
            Ok(Frame::Goaway { last_stream: last_stream & MAX_31, code, debug })
        }
        Kind::PriorityUpdate => priority_update(header, payload, side),
        // Clients cannot push (RFC 9113 §8.4), and limpet tells targets that they must not (§6.6).
        Kind::PushPromise => Err(FrameFault::Push),
        Kind::Unknown(_) => Ok(Frame::Unknown),
    }
}

/// RFC 9113 §6.1.
#[inline]
fn data(header: Header, payload: &[u8]) -> Result<Frame<'_>, FrameFault> {
    on_stream(header)?;
    let (padding, rest) = padding(header, payload)?;
    let content = without(padding, rest)?;
    let end_stream = header.has(flags::END_STREAM);
    Ok(Frame::Data { content, flow_bytes: header.length, end_stream })
}

/// RFC 9113 §6.2.
#[inline]
fn headers(header: Header, payload: &[u8]) -> Result<Frame<'_>, FrameFault> {
    on_stream(header)?;
    let (padding, mut rest) = padding(header, payload)?;
    let mut depends_on = None;
    if header.has(flags::PRIORITY) {
        let (dependency, after) = number(rest)?;
        depends_on = Some(dependency & MAX_31);
        // One more byte for the weight.
        rest = after.get(1..).ok_or(FrameFault::Length)?;
    }
    Ok(Frame::Headers {
        fragment: without(padding, rest)?,
        end_stream: header.has(flags::END_STREAM),
        end_headers: header.has(flags::END_HEADERS),
        depends_on,
    })
}

/// RFC 9113 §6.3; only its length counts, and that a stream does not depend on itself.
fn priority(header: Header, payload: &[u8]) -> Result<Frame<'_>, FrameFault> {
    on_stream(header)?;
    if payload.len() != 5 {
        return Err(FrameFault::PriorityLength);
    }
    let (dependency, _) = number(payload)?;
    match dependency & MAX_31 == header.stream {
        true => Err(FrameFault::DependsOnItself),
        false => Ok(Frame::Priority),
    }
}

/// RFC 9113 §6.5.
fn settings(header: Header, payload: &[u8]) -> Result<Frame<'_>, FrameFault> {
    on_connection(header)?;
    if header.has(flags::ACK) {
        return if payload.is_empty() { Ok(Frame::SettingsAck) } else { Err(FrameFault::Length) };
    }
    match payload.as_chunks::<6>() {
        (_, []) => Ok(Frame::Settings(payload)),
        (_, _) => Err(FrameFault::Length),
    }
}

/// RFC 9113 §6.9.
#[inline]
fn window_update(header: Header, payload: &[u8]) -> Result<Frame<'_>, FrameFault> {
    match (u32::from_be_bytes(exactly::<4>(payload)?) & MAX_31, header.stream) {
        (0, 0) => Err(FrameFault::ConnectionIncrementZero),
        (0, _) => Err(FrameFault::StreamIncrementZero),
        (increment, _) => Ok(Frame::WindowUpdate { increment }),
    }
}

/// RFC 9218 §7.1.
fn priority_update(header: Header, payload: &[u8], side: Side) -> Result<Frame<'_>, FrameFault> {
    if side == Side::Client {
        return Err(FrameFault::PriorityUpdateFromServer);
    }
    on_connection(header)?;
    let (stream, value) = number(payload)?;
    match stream & MAX_31 {
        0 => Err(FrameFault::PrioritizedStreamZero),
        stream => Ok(Frame::PriorityUpdate { stream, value }),
    }
}

#[inline]
fn on_stream(header: Header) -> Result<(), FrameFault> {
    if header.stream == 0 { Err(FrameFault::StreamZero) } else { Ok(()) }
}

#[inline]
fn on_connection(header: Header) -> Result<(), FrameFault> {
    if header.stream == 0 { Ok(()) } else { Err(FrameFault::StreamNotZero) }
}

/// The count of padding bytes, and the payload behind it (RFC 9113 §6.1).
#[inline]
fn padding(header: Header, payload: &[u8]) -> Result<(usize, &[u8]), FrameFault> {
    if !header.has(flags::PADDED) {
        return Ok((0, payload));
    }
    let (padding, rest) = payload.split_first().ok_or(FrameFault::Length)?;
    Ok((usize::from(*padding), rest))
}

#[inline]
fn without(padding: usize, rest: &[u8]) -> Result<&[u8], FrameFault> {
    let end = rest.len().checked_sub(padding).ok_or(FrameFault::Padding)?;
    Ok(rest.get(..end).unwrap_or_default())
}

#[inline]
fn exactly<const N: usize>(payload: &[u8]) -> Result<[u8; N], FrameFault> {
    payload.try_into().map_err(|_| FrameFault::Length)
}

/// Takes a number of 32 bits off the beginning.
#[inline]
fn number(bytes: &[u8]) -> Result<(u32, &[u8]), FrameFault> {
    let (number, rest) = bytes.split_first_chunk::<4>().ok_or(FrameFault::Length)?;
    Ok((u32::from_be_bytes(*number), rest))
}

#[cfg(test)]
#[path = "frame/frame_tests.rs"]
mod tests;
