//! The batches in which records travel from a shard to the log thread.
//!
//! [`RecordBuffer::push`] copies a record into memory that never grows, [`RecordBuffer::records`] reads it there.
//! Nothing here allocates after a buffer was made, and a record is never cut. Tested by writing records and reading
//! them back.
//!
//! ```text
//! facts:   ┌ facts ┬ facts ┬ free … ┐       the parts of fixed size, copied unchanged
//! lengths: ┌ 13 ┬ 13 ┬ free … ┐             of the texts, in the order of the struct
//! texts:   ┌ names, method, host … ┬ names, method, host … ┬ free … ┐
//! ```
use std::ops::Deref;

use super::copy::{self, clip};
use super::rare::{CERTIFICATE_BYTES_MAX, RARE_BYTES_MAX, Rare};
use super::record::{
    CODE_BYTES_MAX, Facts, HOST_BYTES_MAX, LOCATION_BYTES_MAX, METHOD_BYTES_MAX, NAME_BYTES_MAX,
    PATH_BYTES_MAX, REFERER_BYTES_MAX, REQUEST_ID_BYTES_MAX, Record, USER_AGENT_BYTES_MAX,
};

/// Most bytes of a record's texts together, without a certificate.
const TEXTS_BYTES_MAX: usize = 4 * NAME_BYTES_MAX
    + CODE_BYTES_MAX
    + METHOD_BYTES_MAX
    + HOST_BYTES_MAX
    + PATH_BYTES_MAX
    + REFERER_BYTES_MAX
    + USER_AGENT_BYTES_MAX
    + REQUEST_ID_BYTES_MAX
    + LOCATION_BYTES_MAX
    + RARE_BYTES_MAX;
const TEXT_COUNT: usize = 13;

/// Most bytes that a record takes in a batch, without a certificate.
#[cfg(any(test, feature = "internals"))]
pub const RECORD_BYTES_MAX: usize = FIXED_BYTES + TEXTS_BYTES_MAX;

/// The lengths of a record's texts, in the order of the struct.
type Lengths = [u16; TEXT_COUNT];

/// The size of a record without its texts.
const FIXED_BYTES: usize = size_of::<Facts>() + size_of::<Lengths>();

/// A record as it lies in a batch. Texts are as in [`Record`], clipped.
#[derive(Debug, Clone, Copy)]
pub struct Logged<'a> {
    facts: &'a Facts,
    pub listener: &'a [u8],
    pub group: &'a [u8],
    pub target: &'a [u8],
    pub rule: &'a [u8],
    pub code: &'a [u8],
    pub method: &'a [u8],
    pub host: &'a [u8],
    pub path: &'a [u8],
    pub referer: &'a [u8],
    pub user_agent: &'a [u8],
    pub request_id: &'a [u8],
    pub location: &'a [u8],
    /// See [`Rare::put`]; empty where there is none.
    rare: &'a [u8],
}

impl<'a> Logged<'a> {
    /// The facts that only some requests have.
    #[inline(always)]
    pub fn rare(&self) -> Option<Rare<'a>> {
        if self.rare.is_empty() { None } else { Rare::read(self.rare) }
    }
}

impl Deref for Logged<'_> {
    type Target = Facts;

    #[inline]
    fn deref(&self) -> &Facts {
        self.facts
    }
}

#[inline]
fn clip_name(name: &str, limit: usize) -> &[u8] {
    if name.len() <= limit { name.as_bytes() } else { cut_name(name, limit) }
}

#[cold]
#[inline(never)]
fn cut_name(name: &str, limit: usize) -> &[u8] {
    name.get(..name.floor_char_boundary(limit)).unwrap_or_default().as_bytes()
}

/// A batch of records in memory that never grows.
#[derive(Debug)]
pub struct RecordBuffer {
    /// One of each for a record; neither grows.
    facts: Vec<Facts>,
    lengths: Vec<Lengths>,
    /// All of it is allocated from the start; texts fill it from the front.
    texts: Box<[u8]>,
    texts_used: usize,
    /// Most bytes of the texts of one record.
    texts_bytes_max: usize,
}

impl RecordBuffer {
    /// Room for `capacity` bytes, and at least for one record: half of them for texts.
    pub fn new(capacity: usize) -> RecordBuffer {
        let count_max = (capacity / 2 / FIXED_BYTES).max(1);
        RecordBuffer {
            facts: Vec::with_capacity(count_max),
            lengths: Vec::with_capacity(count_max),
            texts: vec![0; (capacity / 2).max(TEXTS_BYTES_MAX + CERTIFICATE_BYTES_MAX)]
                .into_boxed_slice(),
            texts_used: 0,
            texts_bytes_max: TEXTS_BYTES_MAX,
        }
    }

    /// Whether the whole certificates of clients are copied, too, from now on.
    pub fn carry_certificates(&mut self, carries: bool) {
        let certificate = if carries { CERTIFICATE_BYTES_MAX } else { 0 };
        self.texts_bytes_max = TEXTS_BYTES_MAX + certificate;
    }

    fn carries_certificates(&self) -> bool {
        self.texts_bytes_max > TEXTS_BYTES_MAX
    }

    /// Copies `record` behind the others; `false`, and nothing is copied, when there is no room for it.
    pub fn push(&mut self, record: &Record<'_>) -> bool {
        let carries = self.carries_certificates();
        let place = self.texts.get_mut(self.texts_used..).unwrap_or_default();
        let room = place.len();
        // Where the largest record fits, its texts need not be added up.
        if self.facts.len() == self.facts.capacity()
            || self.lengths.len() == self.lengths.capacity()
            || room < self.texts_bytes_max && room < texts_bytes_of(record, carries)
        {
            return false;
        }
        let (lengths, rest) = put_texts(record, place, carries);
        self.lengths.push(lengths);
        self.facts.push(record.facts);
        self.texts_used += room - rest;
        true
    }

    /// The records in the order in which they were pushed.
    pub fn records(&self) -> impl Iterator<Item = Logged<'_>> {
        let mut rest = &*self.texts;
        self.facts.iter().zip(&self.lengths).map(move |(facts, lengths)| {
            let (logged, behind) = with_texts(facts, *lengths, rest);
            rest = behind;
            logged
        })
    }

    /// Count of records.
    #[cfg(any(test, feature = "internals"))]
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// Bytes of all texts.
    #[cfg(test)]
    pub fn texts_bytes(&self) -> usize {
        self.texts_used
    }

    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// Forgets the records, keeps the memory.
    pub fn clear(&mut self) {
        self.facts.clear();
        self.lengths.clear();
        self.texts_used = 0;
    }
}

/// Copies the texts of `record` in the order of the struct, clipped; returns their lengths and how many bytes are left.
#[inline]
fn put_texts(record: &Record<'_>, place: &mut [u8], carries: bool) -> (Lengths, usize) {
    let mut rest = place;
    let mut put = |text: &[u8]| {
        if !text.is_empty() {
            rest = copy::put(text, std::mem::take(&mut rest));
        }
        // The limits of all texts fit.
        u16::try_from(text.len()).unwrap_or(u16::MAX)
    };
    let lengths = [
        put(clip_name(record.listener, NAME_BYTES_MAX)),
        put(clip_name(record.group, NAME_BYTES_MAX)),
        put(clip_name(record.target, NAME_BYTES_MAX)),
        put(clip_name(record.rule, NAME_BYTES_MAX)),
        put(clip_name(record.code, CODE_BYTES_MAX)),
        put(clip(record.method, METHOD_BYTES_MAX)),
        put(clip(record.host, HOST_BYTES_MAX)),
        put(clip(record.path, PATH_BYTES_MAX)),
        put(clip(record.referer, REFERER_BYTES_MAX)),
        put(clip(record.user_agent, USER_AGENT_BYTES_MAX)),
        put(clip(record.request_id, REQUEST_ID_BYTES_MAX)),
        put(clip(record.location, LOCATION_BYTES_MAX)),
        record.rare.map_or(0, |rare| put_rare(carried(rare, carries), &mut rest)),
    ];
    (lengths, rest.len())
}

/// The facts of `rare` that are copied.
#[cold]
fn carried<'a>(rare: &Rare<'a>, certificates: bool) -> Rare<'a> {
    if certificates { *rare } else { rare.without_certificate() }
}

/// Copies the facts that only some requests have; returns their length.
#[cold]
fn put_rare(rare: Rare<'_>, rest: &mut &mut [u8]) -> u16 {
    let room = rest.len();
    *rest = rare.put(std::mem::take(rest));
    u16::try_from(room - rest.len()).unwrap_or(u16::MAX)
}

/// An upper bound of the bytes that the texts of `record` need.
#[cold]
fn texts_bytes_of(record: &Record<'_>, carries: bool) -> usize {
    let names = [
        (record.listener, NAME_BYTES_MAX),
        (record.group, NAME_BYTES_MAX),
        (record.target, NAME_BYTES_MAX),
        (record.rule, NAME_BYTES_MAX),
        (record.code, CODE_BYTES_MAX),
    ];
    let others = [
        (record.method, METHOD_BYTES_MAX),
        (record.host, HOST_BYTES_MAX),
        (record.path, PATH_BYTES_MAX),
        (record.referer, REFERER_BYTES_MAX),
        (record.user_agent, USER_AGENT_BYTES_MAX),
        (record.request_id, REQUEST_ID_BYTES_MAX),
        (record.location, LOCATION_BYTES_MAX),
    ];
    let names = names.iter().map(|(name, limit)| name.len().min(*limit));
    let others = others.iter().map(|(text, limit)| text.len().min(*limit));
    let rare = record.rare.map(|rare| carried(rare, carries).bytes());
    names.chain(others).chain(rare).sum()
}

/// Cuts the texts of a record from the front of `texts`, and returns the rest.
#[inline]
fn with_texts<'a>(facts: &'a Facts, lengths: Lengths, texts: &'a [u8]) -> (Logged<'a>, &'a [u8]) {
    let mut rest = texts;
    let mut text = |length: u16| {
        let (text, behind) = rest.split_at_checked(length.into()).unwrap_or_default();
        rest = behind;
        text
    };
    let [
        listener,
        group,
        target,
        rule,
        code,
        method,
        host,
        path,
        referer,
        agent,
        id,
        location,
        rare,
    ] = lengths.map(&mut text);
    let logged = Logged {
        facts,
        listener,
        group,
        target,
        rule,
        code,
        method,
        host,
        path,
        referer,
        user_agent: agent,
        request_id: id,
        location,
        rare,
    };
    (logged, rest)
}
