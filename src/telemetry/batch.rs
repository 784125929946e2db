//! The batches in which records travel from a shard to the log thread.
//!
//! [`RecordBuffer::push`] copies a record into one piece of memory that never grows,
//! [`RecordBuffer::records`] reads it back. Nothing here allocates after a buffer was made, and a
//! record is never cut. Tested by writing records and reading them back.
//!
//! ```text
//! batch:  record record record …
//! record: length u32 | fixed part | (length u16, bytes) for each text in the order of the struct
//! ```
//! Numbers are little-endian; the format lives in memory only.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::ended::{By, Cause, Ended, Phase};
use super::record::{
    Acted, CODE_BYTES_MAX, HOST_BYTES_MAX, LOCATION_BYTES_MAX, METHOD_BYTES_MAX, NAME_BYTES_MAX,
    PATH_BYTES_MAX, REFERER_BYTES_MAX, REQUEST_ID_BYTES_MAX, Record, Timings, USER_AGENT_BYTES_MAX,
    clip, reason_position,
};
use crate::http1::head::Version;
use crate::target::stickiness::Reason;

/// Limits of [`texts_of`], in its order.
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
    LOCATION_BYTES_MAX,
];
const TEXT_COUNT: usize = 12;

/// Bytes of a record without its texts.
const FIXED_BYTES: usize = 4 + 8 + 9 * 8 + 5 * 2 + 2 * 4 + 6 + 3 * 17;

/// Most bytes a record takes in a batch.
#[expect(
    clippy::indexing_slicing,
    reason = "the compiler evaluates it, and refuses an index that is out of bounds"
)]
pub const RECORD_BYTES_MAX: usize = {
    let mut total = FIXED_BYTES;
    let mut at = 0;
    while at < TEXT_COUNT {
        total += 2 + TEXT_BYTES_MAX[at];
        at += 1;
    }
    total
};

/// The texts of a record in the order of the struct.
fn texts_of<'a>(record: &Record<'a>) -> [&'a [u8]; TEXT_COUNT] {
    [
        clip_name(record.listener),
        clip_name(record.group),
        clip_name(record.target),
        clip_name(record.rule),
        record.code.as_bytes(),
        record.method,
        record.host,
        record.path,
        record.referer,
        record.user_agent,
        record.request_id,
        record.location,
    ]
}

fn clip_name(name: &str) -> &[u8] {
    name.get(..name.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or_default().as_bytes()
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
        let mut texts = texts_of(record);
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
    put_u16(out, record.listener_port);
    put_u16(out, record.target_address.map_or(0, |address| address.port()));
    put_u32(out, record.retries);
    put_u32(out, record.rule_priority.unwrap_or(0));
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
    let flags = u8::from(record.upgraded)
        | u8::from(record.encrypted) << 1
        | u8::from(record.rule_priority.is_some()) << 2;
    out.push(version | reused << 2 | flags << 4);
    out.push(record.action.map_or(u8::MAX, |action| action as u8));
    out.push(record.sticky.map_or(u8::MAX, reason_position));
    let ended = record.ended;
    out.extend_from_slice(&[ended.by as u8, ended.phase as u8, ended.cause as u8]);
    put_address(out, record.client);
    put_address(out, record.peer);
    put_address(out, record.target_address.map(|address| address.ip()));
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
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        let mut reader = Reader { rest: bytes.get(4..)? };
        let mut record = reader.fixed()?;
        reader.texts(&mut record)?;
        Some(record)
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

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
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
            listener_port: self.u16()?,
            ..Record::default()
        };
        let target_port = self.u16()?;
        record.retries = self.u32()?;
        let priority = self.u32()?;
        let [flags, action, sticky, by, phase, cause] = self.take()?;
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
        record.encrypted = flags >> 5 & 1 == 1;
        record.rule_priority = (flags >> 6 & 1 == 1).then_some(priority);
        record.action = Acted::ALL.get(usize::from(action)).copied();
        record.sticky = Reason::ALL.get(usize::from(sticky)).copied();
        record.ended = Ended {
            by: By::ALL.get(usize::from(by)).copied()?,
            phase: Phase::ALL.get(usize::from(phase)).copied()?,
            cause: Cause::ALL.get(usize::from(cause)).copied()?,
        };
        record.client = self.address()?;
        record.peer = self.address()?;
        record.target_address = self.address()?.map(|ip| SocketAddr::new(ip, target_port));
        Some(record)
    }

    /// In the order of [`texts_of`].
    fn texts(&mut self, record: &mut Record<'a>) -> Option<()> {
        record.listener = self.name()?;
        record.group = self.name()?;
        record.target = self.name()?;
        record.rule = self.name()?;
        record.code = self.name()?;
        record.method = self.text()?;
        record.host = self.text()?;
        record.path = self.text()?;
        record.referer = self.text()?;
        record.user_agent = self.text()?;
        record.request_id = self.text()?;
        record.location = self.text()?;
        Some(())
    }
}
