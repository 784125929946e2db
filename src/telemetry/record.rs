//! The access record of one request, and the batches in which records travel to the log thread.
//!
//! A [`Record`] borrows its texts; [`RecordBuffer::push`] copies it, clipped to the limits below, into
//! a byte batch that never grows. The log thread reads it back with [`RecordBuffer::records`]. Nothing
//! here allocates after a buffer was made. Tested by writing records and reading them back.
//!
//! ```text
//! batch:  record record record …
//! record: length u32 | fixed part | (length u16, bytes) for each text in the order of the struct
//! ```
//! Numbers are little-endian; the format lives in memory only.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ended::{By, Cause, Ended, Phase};
use crate::http1::head::Version;
use crate::target::stickiness::Reason;

/// Longest texts of a record, in bytes; what is longer is cut there.
pub const NAME_BYTES_MAX: usize = 128;
pub const CODE_BYTES_MAX: usize = 64;
pub const METHOD_BYTES_MAX: usize = 32;
pub const HOST_BYTES_MAX: usize = 255;
pub const PATH_BYTES_MAX: usize = 2048;
pub const REFERER_BYTES_MAX: usize = 512;
pub const USER_AGENT_BYTES_MAX: usize = 512;
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// Limits of [`Record::texts`], in its order.
const TEXT_BYTES_MAX: [usize; TEXT_COUNT] = [
    NAME_BYTES_MAX,
    NAME_BYTES_MAX,
    NAME_BYTES_MAX,
    NAME_BYTES_MAX,
    CODE_BYTES_MAX,
    METHOD_BYTES_MAX,
    HOST_BYTES_MAX,
    PATH_BYTES_MAX,
    REFERER_BYTES_MAX,
    USER_AGENT_BYTES_MAX,
    REQUEST_ID_BYTES_MAX,
];
const TEXT_COUNT: usize = 11;

/// Bytes of a record without its texts.
const FIXED_BYTES: usize = 4 + 8 + 9 * 8 + 3 * 2 + 4 + 2 + 3 + 2 * 17;

/// Most bytes a record takes in a batch.
pub const RECORD_BYTES_MAX: usize = {
    let mut total = FIXED_BYTES;
    let mut at = 0;
    while at < TEXT_COUNT {
        total += 2 + TEXT_BYTES_MAX[at];
        at += 1;
    }
    total
};

/// Everything the log says of one request. Empty texts stand for "none".
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Record<'a> {
    /// When the first byte of the request arrived, in milliseconds since the Unix epoch.
    pub time_unix_ms: u64,
    /// The client as the trusted hops tell it; `None` on Unix sockets.
    pub client: Option<IpAddr>,
    /// 0 where it is not known.
    pub client_port: u16,
    /// The peer of the connection where it is another than `client`.
    pub peer: Option<IpAddr>,
    /// `None` when no request line was understood.
    pub version: Option<Version>,
    /// Status sent to the client, 499 when it went away first, 0 when nothing was sent.
    pub status: u16,
    /// Status of the target's final response; 0 when there was none.
    pub target_status: u16,
    /// Bytes received from and sent to the client: heads and content with its framing.
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Content alone, without heads and chunk lines.
    pub content_bytes_in: u64,
    pub content_bytes_out: u64,
    pub timings: Timings,
    pub retries: u32,
    /// Whether the target's connection came from the pool; `None` when no target was reached.
    pub target_reused: Option<bool>,
    pub sticky: Option<Reason>,
    /// The exchange became a tunnel (101).
    pub upgraded: bool,
    pub ended: Ended,
    pub listener: &'a str,
    pub group: &'a str,
    /// The target's id.
    pub target: &'a str,
    pub rule: &'a str,
    /// Why limpet refused or failed the request: the stable word of a refusal or an error.
    pub code: &'a str,
    pub method: &'a [u8],
    pub host: &'a [u8],
    /// With the query.
    pub path: &'a [u8],
    pub referer: &'a [u8],
    pub user_agent: &'a [u8],
    pub request_id: &'a [u8],
}

/// Durations in microseconds; `None` where the phase was not reached or not needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// From the first byte of the request to the end of its head.
    pub request_us: u64,
    /// Spent in the queue of a target that was at its connection limit.
    pub queue_us: Option<u64>,
    /// Connecting to the target, all attempts; `None` when a pooled connection was used.
    pub connect_us: Option<u64>,
    /// From the end of the request's head to the first byte of the response.
    pub first_byte_us: Option<u64>,
    /// From the first byte of the request to the last of the response.
    pub total_us: u64,
}

impl<'a> Record<'a> {
    fn texts(&self) -> [&'a [u8]; TEXT_COUNT] {
        [
            clip_name(self.listener),
            clip_name(self.group),
            clip_name(self.target),
            clip_name(self.rule),
            self.code.as_bytes(),
            self.method,
            self.host,
            self.path,
            self.referer,
            self.user_agent,
            self.request_id,
        ]
    }
}

fn clip_name(name: &str) -> &[u8] {
    name.get(..name.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or_default().as_bytes()
}

/// The texts of a request, kept from its head until its record is written, because the head's buffer is
/// reused before. Allocates only to grow; meant to be reused.
#[derive(Debug, Default)]
pub struct RequestText {
    bytes: Vec<u8>,
    /// Where each text ends in `bytes`; each begins where the one before ends.
    ends: [usize; 6],
}

/// What [`RequestText::fill`] copies.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestTextParts<'a> {
    pub method: &'a [u8],
    pub host: &'a [u8],
    pub path: &'a [u8],
    /// Without the "?".
    pub query: Option<&'a [u8]>,
    pub referer: &'a [u8],
    pub user_agent: &'a [u8],
    pub request_id: &'a [u8],
}

impl RequestText {
    /// Replaces what was there, each text cut at its limit.
    pub fn fill(&mut self, parts: &RequestTextParts<'_>) {
        self.bytes.clear();
        let query = parts.query.map_or([&b""[..], b""], |query| [b"?", query]);
        let texts: [(&[&[u8]], usize); 6] = [
            (&[parts.method], METHOD_BYTES_MAX),
            (&[parts.host], HOST_BYTES_MAX),
            (&[parts.path, query[0], query[1]], PATH_BYTES_MAX),
            (&[parts.referer], REFERER_BYTES_MAX),
            (&[parts.user_agent], USER_AGENT_BYTES_MAX),
            (&[parts.request_id], REQUEST_ID_BYTES_MAX),
        ];
        for ((pieces, limit), end) in texts.into_iter().zip(&mut self.ends) {
            let most = self.bytes.len().saturating_add(limit);
            for piece in pieces {
                self.bytes.extend_from_slice(clip(piece, most.saturating_sub(self.bytes.len())));
            }
            *end = self.bytes.len();
        }
    }

    /// Replaces the request id, which is made or kept only after the head was judged.
    pub fn set_request_id(&mut self, request_id: &[u8]) {
        let [.., start, end] = &mut self.ends;
        self.bytes.truncate(*start);
        self.bytes.extend_from_slice(clip(request_id, REQUEST_ID_BYTES_MAX));
        *end = self.bytes.len();
    }

    /// `record` with these texts.
    pub fn apply<'a>(&'a self, record: Record<'a>) -> Record<'a> {
        let mut start = 0;
        let mut texts = self.ends.iter().map(|&end| {
            let text = self.bytes.get(start..end).unwrap_or_default();
            start = end;
            text
        });
        let mut next = || texts.next().unwrap_or_default();
        Record {
            method: next(),
            host: next(),
            path: next(),
            referer: next(),
            user_agent: next(),
            request_id: next(),
            ..record
        }
    }

    /// Forgets the texts and, when they needed more than `keep_bytes`, their memory.
    pub fn clear(&mut self, keep_bytes: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(keep_bytes);
        self.ends = [0; 6];
    }
}

fn clip(bytes: &[u8], limit: usize) -> &[u8] {
    bytes.get(..limit).unwrap_or(bytes)
}

/// A batch of records in one piece of memory that never grows.
#[derive(Debug)]
pub struct RecordBuffer {
    bytes: Vec<u8>,
    capacity: usize,
    count: usize,
}

impl RecordBuffer {
    /// Room for `capacity` bytes, at least for one record.
    pub fn new(capacity: usize) -> RecordBuffer {
        let capacity = capacity.max(RECORD_BYTES_MAX);
        RecordBuffer { bytes: Vec::with_capacity(capacity), capacity, count: 0 }
    }

    /// Copies `record` behind the others; `false`, and nothing is copied, when there is no room for it.
    pub fn push(&mut self, record: &Record<'_>) -> bool {
        let mut texts = record.texts();
        let mut length = FIXED_BYTES;
        for (text, limit) in texts.iter_mut().zip(TEXT_BYTES_MAX) {
            *text = clip(text, limit);
            length += 2 + text.len();
        }
        if length > self.capacity.saturating_sub(self.bytes.len()) {
            return false;
        }
        let out = &mut self.bytes;
        put_u32(out, u32::try_from(length).unwrap_or(u32::MAX));
        put_fixed(record, out);
        for text in texts {
            put_u16(out, u16::try_from(text.len()).unwrap_or(u16::MAX));
            out.extend_from_slice(text);
        }
        self.count += 1;
        true
    }

    /// The records in the order in which they were pushed.
    pub fn records(&self) -> Records<'_> {
        Records { rest: &self.bytes }
    }

    /// Count of records.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Forgets the records, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }
}

fn put_fixed(record: &Record<'_>, out: &mut Vec<u8>) {
    let timings = &record.timings;
    put_u64(out, record.time_unix_ms);
    put_u64(out, record.bytes_in);
    put_u64(out, record.bytes_out);
    put_u64(out, record.content_bytes_in);
    put_u64(out, record.content_bytes_out);
    put_u64(out, timings.request_us);
    put_u64(out, timings.queue_us.unwrap_or(u64::MAX));
    put_u64(out, timings.connect_us.unwrap_or(u64::MAX));
    put_u64(out, timings.first_byte_us.unwrap_or(u64::MAX));
    put_u64(out, timings.total_us);
    put_u16(out, record.status);
    put_u16(out, record.target_status);
    put_u16(out, record.client_port);
    put_u32(out, record.retries);
    let version = match record.version {
        None => 0,
        Some(Version::Http10) => 1,
        Some(Version::Http11) => 2,
    };
    let reused = match record.target_reused {
        None => 0,
        Some(false) => 1,
        Some(true) => 2,
    };
    out.push(version | reused << 2 | u8::from(record.upgraded) << 4);
    out.push(record.sticky.map_or(u8::MAX, reason_position));
    let ended = record.ended;
    out.extend_from_slice(&[ended.by as u8, ended.phase as u8, ended.cause as u8]);
    put_address(out, record.client);
    put_address(out, record.peer);
}

fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// A kind (0, 4 or 6) and 16 bytes.
fn put_address(out: &mut Vec<u8>, address: Option<IpAddr>) {
    let mut bytes = [0; 17];
    match address {
        None => {}
        Some(IpAddr::V4(v4)) => {
            let [kind, a, b, c, d, ..] = &mut bytes;
            (*kind, [*a, *b, *c, *d]) = (4, v4.octets());
        }
        Some(IpAddr::V6(v6)) => {
            let [kind, rest @ ..] = &mut bytes;
            (*kind, *rest) = (6, v6.octets());
        }
    }
    out.extend_from_slice(&bytes);
}

/// Reads a batch back.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let length = u32::from_le_bytes(*self.rest.first_chunk()?) as usize;
        let (record, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        let mut reader = Reader { rest: record.get(4..)? };
        let fixed = reader.fixed()?;
        reader.texts(fixed)
    }
}

#[cfg(test)]
impl Records<'_> {
    pub(super) fn bytes_left(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn cut(self, length: usize) -> Self {
        Records { rest: &self.rest[..length] }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn duration(&mut self) -> Option<Option<u64>> {
        self.u64().map(|value| (value != u64::MAX).then_some(value))
    }

    fn address(&mut self) -> Option<Option<IpAddr>> {
        let [kind, octets @ ..] = self.take::<17>()?;
        let [a, b, c, d, ..] = octets;
        Some(match kind {
            4 => Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d))),
            6 => Some(IpAddr::V6(Ipv6Addr::from(octets))),
            _ => None,
        })
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.u16()?);
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(text)
    }

    fn name(&mut self) -> Option<&'a str> {
        self.text().map(|text| std::str::from_utf8(text).unwrap_or_default())
    }

    /// In the order of [`put_fixed`].
    fn fixed(&mut self) -> Option<Record<'a>> {
        let mut record = Record {
            time_unix_ms: self.u64()?,
            bytes_in: self.u64()?,
            bytes_out: self.u64()?,
            content_bytes_in: self.u64()?,
            content_bytes_out: self.u64()?,
            timings: Timings {
                request_us: self.u64()?,
                queue_us: self.duration()?,
                connect_us: self.duration()?,
                first_byte_us: self.duration()?,
                total_us: self.u64()?,
            },
            status: self.u16()?,
            target_status: self.u16()?,
            client_port: self.u16()?,
            retries: self.take().map(u32::from_le_bytes)?,
            ..Record::default()
        };
        let [flags, sticky, by, phase, cause] = self.take()?;
        record.version = match flags & 0b11 {
            1 => Some(Version::Http10),
            2 => Some(Version::Http11),
            _ => None,
        };
        record.target_reused = match flags >> 2 & 0b11 {
            1 => Some(false),
            2 => Some(true),
            _ => None,
        };
        record.upgraded = flags >> 4 & 1 == 1;
        record.sticky = REASONS.get(usize::from(sticky)).copied();
        record.ended = Ended {
            by: By::ALL.get(usize::from(by)).copied()?,
            phase: Phase::ALL.get(usize::from(phase)).copied()?,
            cause: Cause::ALL.get(usize::from(cause)).copied()?,
        };
        record.client = self.address()?;
        record.peer = self.address()?;
        Some(record)
    }

    /// In the order of [`Record::texts`].
    fn texts(&mut self, record: Record<'a>) -> Option<Record<'a>> {
        Some(Record {
            listener: self.name()?,
            group: self.name()?,
            target: self.name()?,
            rule: self.name()?,
            code: self.name()?,
            method: self.text()?,
            host: self.text()?,
            path: self.text()?,
            referer: self.text()?,
            user_agent: self.text()?,
            request_id: self.text()?,
            ..record
        })
    }
}

/// Every reason, at its [`reason_position`].
pub const REASONS: [Reason; 10] = [
    Reason::New,
    Reason::Valid,
    Reason::ExpiredIdle,
    Reason::ExpiredAge,
    Reason::Invalid,
    Reason::Flushed,
    Reason::Draining,
    Reason::Unhealthy,
    Reason::Removed,
    Reason::Full,
];

/// Position in [`REASONS`]: how a reason is counted and how it travels.
pub fn reason_position(reason: Reason) -> u8 {
    match reason {
        Reason::New => 0,
        Reason::Valid => 1,
        Reason::ExpiredIdle => 2,
        Reason::ExpiredAge => 3,
        Reason::Invalid => 4,
        Reason::Flushed => 5,
        Reason::Draining => 6,
        Reason::Unhealthy => 7,
        Reason::Removed => 8,
        Reason::Full => 9,
    }
}

/// The words of [`REASONS`] in the log and the counters, as the documentation's table has them.
pub const REASON_WORDS: [&str; REASONS.len()] = [
    "new",
    "valid",
    "expired_idle",
    "expired_age",
    "invalid",
    "flushed",
    "draining",
    "unhealthy",
    "removed",
    "full",
];

/// The word of one reason.
pub fn reason_word(reason: Reason) -> &'static str {
    REASON_WORDS.get(usize::from(reason_position(reason))).copied().unwrap_or_default()
}
