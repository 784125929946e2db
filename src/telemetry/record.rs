//! The access record of one request, and the texts that are kept for it.
//!
//! A [`Record`] borrows its texts and is filled once, when the exchange has ended; `batch` carries it to
//! the log thread, clipped to the limits below. Nothing here allocates but a [`RequestText`] that grows.
//! Tested with `batch`, by writing records and reading them back.
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;

use super::copy::{self, clip};
use super::ended::{Cause, Ended};
use crate::http::head::Version;
use crate::telemetry::rare::Rare;
use crate::telemetry::reason::Reason;

/// Longest texts of a record, in bytes; longer ones are cut there.
pub const NAME_BYTES_MAX: usize = 128;
pub const CODE_BYTES_MAX: usize = 64;
pub const METHOD_BYTES_MAX: usize = 32;
pub const HOST_BYTES_MAX: usize = 255;
pub const PATH_BYTES_MAX: usize = 2048;
pub const REFERER_BYTES_MAX: usize = 512;
pub const USER_AGENT_BYTES_MAX: usize = 512;
pub const REQUEST_ID_BYTES_MAX: usize = 128;
pub const LOCATION_BYTES_MAX: usize = 2048;

/// Priority of a listener's default rule.
pub const DEFAULT_PRIORITY: u32 = u32::MAX;

/// The action of the matching rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Acted {
    Forward,
    Redirect,
    Respond,
}

impl Acted {
    #[cfg(any(test, feature = "internals"))]
    pub const ALL: [Acted; 3] = [Acted::Forward, Acted::Redirect, Acted::Respond];

    /// The word of the file.
    pub fn word(self) -> &'static str {
        match self {
            Acted::Forward => "forward",
            Acted::Redirect => "redirect",
            Acted::Respond => "respond",
        }
    }
}

/// The log's facts about one request. Empty texts stand for "none".
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Record<'a> {
    pub facts: Facts,
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
    /// The URL that a rule redirected the client to.
    pub location: &'a [u8],
    /// The facts that only some requests have.
    pub rare: Option<&'a Rare<'a>>,
}

/// The facts of a record without its texts: they have a fixed size, and are copied unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Facts {
    /// When the first byte of the request arrived, in milliseconds since the Unix epoch.
    pub time_unix_ms: u64,
    /// The client's address as trusted hops give it; `None` on Unix sockets.
    pub client: Option<IpAddr>,
    /// 0 where it is not known.
    pub client_port: u16,
    /// The peer of the connection where it differs from `client`.
    pub peer: Option<IpAddr>,
    /// Whether the client's connection is encrypted.
    pub encrypted: bool,
    /// Port of the listener; 0 on Unix sockets.
    pub listener_port: u16,
    /// `None` when the request line could not be parsed.
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
    /// Priority of the matching rule, [`DEFAULT_PRIORITY`] for the default; `None` before one matched.
    pub rule_priority: Option<u32>,
    pub action: Option<Acted>,
    /// The target that was tried last; `None` without one, and for Unix sockets.
    pub target_address: Option<SocketAddr>,
    /// Whether the exchange became a tunnel (101).
    pub upgraded: bool,
    pub ended: Ended,
}

impl Deref for Record<'_> {
    type Target = Facts;

    #[inline]
    fn deref(&self) -> &Facts {
        &self.facts
    }
}

/// A record without texts.
impl From<Facts> for Record<'_> {
    fn from(facts: Facts) -> Self {
        Record { facts, ..Record::default() }
    }
}

impl Record<'_> {
    /// Whether something went wrong: nothing was sent, a server error, or an end before its time. A rule's own answer
    /// is no failure.
    pub fn is_failure(&self) -> bool {
        let is_regular = matches!(self.ended.cause, Cause::None | Cause::Rule);
        self.status == 0 || self.status >= 500 || !is_regular
    }
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

/// The texts of a request, kept from its head until its record is written, because the buffer of the head is reused
/// earlier. Allocates only to grow; meant to be reused.
#[derive(Debug, Default)]
pub struct RequestText {
    /// All of it is initialised; texts fill it from the front.
    bytes: Vec<u8>,
    /// Where each text ends in `bytes`; each begins where the one before ends.
    ends: [usize; 7],
}

/// The texts that [`RequestText::fill`] copies.
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
    /// Replaces the texts, each cut at its limit; the location becomes empty.
    pub fn fill(&mut self, parts: &RequestTextParts<'_>) {
        let method = clip(parts.method, METHOD_BYTES_MAX);
        let host = clip(parts.host, HOST_BYTES_MAX);
        let path = clip(parts.path, PATH_BYTES_MAX);
        let (mark, query) = parts.query.map_or((&b""[..], &b""[..]), |query| (b"?", query));
        let mark = clip(mark, PATH_BYTES_MAX - path.len());
        let query = clip(query, PATH_BYTES_MAX - path.len() - mark.len());
        let referer = clip(parts.referer, REFERER_BYTES_MAX);
        let user_agent = clip(parts.user_agent, USER_AGENT_BYTES_MAX);
        let request_id = clip(parts.request_id, REQUEST_ID_BYTES_MAX);
        let method_end = method.len();
        let host_end = method_end + host.len();
        let path_end = host_end + path.len() + mark.len() + query.len();
        let referer_end = path_end + referer.len();
        let user_agent_end = referer_end + user_agent.len();
        let end = user_agent_end + request_id.len();
        self.ends = [method_end, host_end, path_end, referer_end, user_agent_end, end, end];
        let mut place = self.from(0, end);
        for text in [method, host, path, mark, query, referer, user_agent, request_id] {
            place = copy::put(text, place);
        }
    }

    /// Replaces the request id, which is made or kept only after the head was judged, and clears the location.
    pub fn set_request_id(&mut self, request_id: &[u8]) {
        let request_id = clip(request_id, REQUEST_ID_BYTES_MAX);
        let [.., start, end, last] = &mut self.ends;
        let start = *start;
        *end = start + request_id.len();
        *last = *end;
        copy::put(request_id, self.from(start, request_id.len()));
    }

    /// Replaces the URL that a rule redirects to.
    pub fn set_location(&mut self, location: &[u8]) {
        let location = clip(location, LOCATION_BYTES_MAX);
        let [.., start, end] = &mut self.ends;
        let start = *start;
        *end = start + location.len();
        copy::put(location, self.from(start, location.len()));
    }

    /// Memory for `length` bytes behind the first `start`.
    #[inline]
    fn from(&mut self, start: usize, length: usize) -> &mut [u8] {
        let end = start.saturating_add(length);
        if self.bytes.len() < end {
            self.bytes.resize(end.max(self.bytes.capacity()), 0);
        }
        self.bytes.get_mut(start..).unwrap_or_default()
    }

    /// Method, host, path, referer, user agent, request id and location: the order of [`Record`].
    pub fn texts(&self) -> [&[u8]; 7] {
        let mut start = 0;
        self.ends.map(|end| {
            let text = self.bytes.get(start..end).unwrap_or_default();
            start = end;
            text
        })
    }

    /// Forgets the texts, and frees their memory if it is more than `keep_bytes`.
    pub fn clear(&mut self, keep_bytes: usize) {
        if self.bytes.len() > keep_bytes {
            self.bytes.truncate(keep_bytes);
            self.bytes.shrink_to(keep_bytes);
        }
        self.ends = [0; 7];
    }
}

/// Position in [`Reason::ALL`]: the form in which a reason is counted and carried to the log.
pub fn reason_position(reason: Reason) -> u8 {
    reason as u8
}
