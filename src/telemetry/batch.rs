//! The batches in which records travel from a shard to the log thread.
//!
//! [`RecordBuffer::push`] copies a record into memory that never grows, [`RecordBuffer::records`] shows it
//! there. Nothing here allocates after a buffer was made, and a record is never cut. Tested by writing
//! records and reading them back.
//!
//! ```text
//! facts: ┌ Facts ┬ Facts ┬ Facts ┬ free … ┐   what has a fixed size, as the shard had it
//! texts: ┌ names, method, host … ┬ names, method, host … ┬ free … ┐   in the order of the struct
//! ```
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;

use super::copy;
use super::ended::Ended;
use super::record::{
    Acted, CODE_BYTES_MAX, HOST_BYTES_MAX, LOCATION_BYTES_MAX, METHOD_BYTES_MAX, NAME_BYTES_MAX,
    PATH_BYTES_MAX, REFERER_BYTES_MAX, REQUEST_ID_BYTES_MAX, Record, Timings, USER_AGENT_BYTES_MAX,
    clip,
};
use crate::http1::head::Version;
use crate::target::stickiness::Reason;

/// Most bytes of a record's texts together.
const TEXTS_BYTES_MAX: usize = 4 * NAME_BYTES_MAX
    + CODE_BYTES_MAX
    + METHOD_BYTES_MAX
    + HOST_BYTES_MAX
    + PATH_BYTES_MAX
    + REFERER_BYTES_MAX
    + USER_AGENT_BYTES_MAX
    + REQUEST_ID_BYTES_MAX
    + LOCATION_BYTES_MAX;
const TEXT_COUNT: usize = 12;

/// Most bytes a record takes in a batch.
pub const RECORD_BYTES_MAX: usize = size_of::<Facts>() + TEXTS_BYTES_MAX;

/// What a record says without its texts. Fields are those of [`Record`].
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    pub time_unix_ms: u64,
    pub client: Option<IpAddr>,
    pub client_port: u16,
    pub peer: Option<IpAddr>,
    pub encrypted: bool,
    pub listener_port: u16,
    pub version: Option<Version>,
    pub status: u16,
    pub target_status: u16,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub content_bytes_in: u64,
    pub content_bytes_out: u64,
    pub timings: Timings,
    pub retries: u32,
    pub target_reused: Option<bool>,
    pub sticky: Option<Reason>,
    pub rule_priority: Option<u32>,
    pub action: Option<Acted>,
    pub target_address: Option<SocketAddr>,
    pub upgraded: bool,
    pub ended: Ended,
    /// How long the texts are, in the order of the struct.
    lengths: [u16; TEXT_COUNT],
}

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
    facts: Vec<Facts>,
    /// Most records that `facts` takes without growing.
    count_max: usize,
    /// All of it is there from the start; texts fill it from the front.
    texts: Box<[u8]>,
    texts_used: usize,
}

impl RecordBuffer {
    /// Room for `capacity` bytes, at least for one record: half of them for texts.
    pub fn new(capacity: usize) -> RecordBuffer {
        let count_max = (capacity / 2 / size_of::<Facts>()).max(1);
        RecordBuffer {
            facts: Vec::with_capacity(count_max),
            count_max,
            texts: vec![0; (capacity / 2).max(TEXTS_BYTES_MAX)].into_boxed_slice(),
            texts_used: 0,
        }
    }

    /// Copies `record` behind the others; `false`, and nothing is copied, when there is no room for it.
    pub fn push(&mut self, record: &Record<'_>) -> bool {
        let place = self.texts.get_mut(self.texts_used..).unwrap_or_default();
        let room = place.len();
        // Where the largest record has room, nothing is to be added up.
        if self.facts.len() >= self.count_max
            || room < TEXTS_BYTES_MAX && room < texts_bytes_of(record)
        {
            return false;
        }
        self.facts.push(Facts::of(record));
        let Some(facts) = self.facts.last_mut() else { return false };
        let rest = put_texts(record, &mut facts.lengths, place);
        self.texts_used += room - rest;
        true
    }

    /// The records in the order in which they were pushed.
    pub fn records(&self) -> impl Iterator<Item = Logged<'_>> {
        let mut rest = &*self.texts;
        self.facts.iter().map(move |facts| {
            let (logged, behind) = facts.with_texts(rest);
            rest = behind;
            logged
        })
    }

    /// Count of records.
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// Forgets the records, keeps the memory.
    pub fn clear(&mut self) {
        self.facts.clear();
        self.texts_used = 0;
    }
}

/// Copies the texts of `record` in the order of the struct, clipped, and returns how many bytes are left.
#[inline]
fn put_texts(record: &Record<'_>, lengths: &mut [u16; TEXT_COUNT], place: &mut [u8]) -> usize {
    let mut rest = place;
    let mut put = |text: &[u8]| {
        if !text.is_empty() {
            rest = copy::put(text, std::mem::take(&mut rest));
        }
        // Every limit of a text fits.
        u16::try_from(text.len()).unwrap_or(u16::MAX)
    };
    *lengths = [
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
    ];
    rest.len()
}

/// At least what the texts of `record` need.
#[cold]
fn texts_bytes_of(record: &Record<'_>) -> usize {
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
    names.chain(others.iter().map(|(text, limit)| text.len().min(*limit))).sum()
}

impl Facts {
    /// Without the lengths of its texts.
    #[inline]
    fn of(record: &Record<'_>) -> Facts {
        Facts {
            time_unix_ms: record.time_unix_ms,
            client: record.client,
            client_port: record.client_port,
            peer: record.peer,
            encrypted: record.encrypted,
            listener_port: record.listener_port,
            version: record.version,
            status: record.status,
            target_status: record.target_status,
            bytes_in: record.bytes_in,
            bytes_out: record.bytes_out,
            content_bytes_in: record.content_bytes_in,
            content_bytes_out: record.content_bytes_out,
            timings: record.timings,
            retries: record.retries,
            target_reused: record.target_reused,
            sticky: record.sticky,
            rule_priority: record.rule_priority,
            action: record.action,
            target_address: record.target_address,
            upgraded: record.upgraded,
            ended: record.ended,
            lengths: [0; TEXT_COUNT],
        }
    }

    /// Cuts the texts of this record from the front of `texts`, and returns what is behind them.
    #[inline]
    fn with_texts<'a>(&'a self, texts: &'a [u8]) -> (Logged<'a>, &'a [u8]) {
        let mut rest = texts;
        let [listener, group, target, rule, code, method, host, path, referer, agent, id, location] =
            self.lengths.map(|length| {
                let (text, behind) = rest.split_at_checked(length.into()).unwrap_or_default();
                rest = behind;
                text
            });
        let logged = Logged {
            facts: self,
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
        };
        (logged, rest)
    }
}
