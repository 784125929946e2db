//! Frames: their heads, and those that are written whole.
//!
//! Owns: the layout (RFC 9113 §4.1, §6). Never: what a frame means. Tested below.

/// What a client says first (RFC 9113 §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of a frame's head.
pub const HEAD_BYTES: usize = 9;

/// Largest payload until somebody allows more (RFC 9113 §6.5.2), and what we allow.
pub const PAYLOAD_MAX: u32 = 16_384;

/// Largest stream and connection window (RFC 9113 §6.9.1).
pub const WINDOW_MAX: u32 = (1 << 31) - 1;

/// A window until somebody says otherwise.
pub const WINDOW: u32 = 65_535;

/// Types of frames.
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    pub const ACK: u8 = 0x1;
    pub const END_STREAM: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;
    pub const PADDED: u8 = 0x8;
    pub const PRIORITY: u8 = 0x20;
}

/// Names of settings (RFC 9113 §6.5.2).
pub mod setting {
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
}

/// Error codes (RFC 9113 §7).
pub mod code {
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const INTERNAL_ERROR: u32 = 2;
    pub const FLOW_CONTROL_ERROR: u32 = 3;
    pub const FRAME_SIZE_ERROR: u32 = 6;
    pub const CANCEL: u32 = 8;
    pub const COMPRESSION_ERROR: u32 = 9;

    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];

    /// A code's name.
    pub fn name(code: u32) -> &'static str {
        NAMES.get(code as usize).copied().unwrap_or("unknown")
    }
}

/// A frame's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the payload.
    pub length: u32,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl Head {
    pub fn read(bytes: [u8; HEAD_BYTES]) -> Head {
        let [a, b, c, kind, flags, s0, s1, s2, s3] = bytes;
        Head {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & WINDOW_MAX,
        }
    }

    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub fn write(self, out: &mut Vec<u8>) {
        let [_, a, b, c] = self.length.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        out.extend_from_slice(&[a, b, c, self.kind, self.flags, s0, s1, s2, s3]);
    }
}

/// Writes any frame, as it is asked for.
pub fn write(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    Head { length: payload.len() as u32, kind, flags, stream }.write(out);
    out.extend_from_slice(payload);
}

/// Writes SETTINGS with these.
pub fn write_settings(settings: &[(u16, u32)], out: &mut Vec<u8>) {
    Head { length: settings.len() as u32 * 6, kind: kind::SETTINGS, flags: 0, stream: 0 }
        .write(out);
    for (name, value) in settings {
        out.extend_from_slice(&name.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Writes WINDOW_UPDATE of a stream, or of the connection, which is 0.
pub fn write_window(stream: u32, by: u32, out: &mut Vec<u8>) {
    write(kind::WINDOW_UPDATE, 0, stream, &by.to_be_bytes(), out);
}

/// Writes RST_STREAM.
pub fn write_reset(stream: u32, code: u32, out: &mut Vec<u8>) {
    write(kind::RST_STREAM, 0, stream, &code.to_be_bytes(), out);
}

/// Writes GOAWAY.
pub fn write_away(last: u32, code: u32, out: &mut Vec<u8>) {
    let [last, code] = [last.to_be_bytes(), code.to_be_bytes()];
    write(kind::GOAWAY, 0, 0, &[last, code].concat(), out);
}

/// Writes a coded head: HEADERS, and CONTINUATION where it is longer than a frame may be.
pub fn write_head(stream: u32, ends: bool, block: &[u8], out: &mut Vec<u8>) {
    let mut pieces = block.chunks(PAYLOAD_MAX as usize).peekable();
    let first = pieces.next().unwrap_or_default();
    let end = |is_last: bool| if is_last { flag::END_HEADERS } else { 0 };
    let ending = if ends { flag::END_STREAM } else { 0 };
    write(kind::HEADERS, ending | end(pieces.peek().is_none()), stream, first, out);
    while let Some(piece) = pieces.next() {
        write(kind::CONTINUATION, end(pieces.peek().is_none()), stream, piece, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_they_were_written() {
        let head = Head { length: 0x01_0203, kind: 7, flags: 0x25, stream: 0x7102_0304 };
        let mut out = Vec::new();
        head.write(&mut out);
        assert_eq!(out, [1, 2, 3, 7, 0x25, 0x71, 2, 3, 4]);
        assert_eq!(Head::read(out.try_into().unwrap()), head);
        // The first bit of a stream's number is reserved (RFC 9113 §4.1).
        assert_eq!(Head::read([0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]).stream, WINDOW_MAX);
    }

    #[test]
    fn a_long_head_is_continued() {
        let mut out = Vec::new();
        write_head(5, true, &[7; 40_000], &mut out);
        let mut found = Vec::new();
        while !out.is_empty() {
            let head = Head::read(*out.first_chunk().unwrap());
            out.drain(..HEAD_BYTES + head.length as usize);
            found.push((head.kind, head.flags, head.length, head.stream));
        }
        assert_eq!(found, [(1, 1, 16_384, 5), (9, 0, 16_384, 5), (9, 4, 7_232, 5)]);
    }
}
