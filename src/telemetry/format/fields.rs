//! The fields of a line, in one table: the keys of JSON, the names that a template may use, and what
//! `limpet help access-log` lists.
//!
//! Owns what each field says of a record. Never: how it is written. Tested with the formats.
use std::net::{IpAddr, SocketAddr};

use super::text::version_text;
use crate::target::stickiness::Reason;
use crate::telemetry::record::{Acted, DEFAULT_PRIORITY, Record};

/// A field and what it means.
#[derive(Debug)]
pub struct FieldInfo {
    pub field: Field,
    pub name: &'static str,
    /// The key as JSON writes it, with the comma before it; the first one has a brace.
    pub(super) key: &'static str,
    pub about: &'static str,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Does not apply, or is not known.
    None,
    /// The time of arrival.
    Time,
    Text(&'a [u8]),
    /// Three letters of a termination.
    Code([u8; 3]),
    Number(u64),
    Flag(bool),
    Ip(IpAddr),
    Address(SocketAddr),
}

macro_rules! fields {
    ($first:ident $first_name:literal $first_about:literal,
     $($field:ident $name:literal $about:literal,)*) => {
        /// One field of a line.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Field { $first, $($field),* }

        /// Every field; the first [`JSON_COUNT`] are the keys of JSON, in its order.
        pub static FIELDS: &[FieldInfo] = &[
            FieldInfo {
                field: Field::$first,
                name: $first_name,
                key: concat!("{\"", $first_name, "\":"),
                about: $first_about,
            },
            $(FieldInfo {
                field: Field::$field,
                name: $name,
                key: concat!(",\"", $name, "\":"),
                about: $about,
            }),*
        ];
    };
}

/// How many fields JSON writes; the others are for templates.
pub const JSON_COUNT: usize = 35;

fields! {
    Time "time" "arrival of the request's first byte: RFC 3339, UTC, milliseconds",
    Listener "listener" "the listener's name",
    Client "client" "address of the client, as trusted proxies tell it",
    ClientPort "client_port" "its port; none when a proxy told the address",
    Peer "peer" "address of the connection's peer where that is not the client",
    Method "method" "the request's method",
    Host "host" "the request's host",
    Path "path" "path and query, as access_log.query lets them stand",
    Version "version" "\"HTTP/1.1\" or \"HTTP/1.0\"",
    Status "status" "status sent to the client; 499: it went away first",
    TargetStatus "target_status" "status of the target's response",
    Rule "rule" "the matching rule's name",
    Group "group" "the target group's name",
    Target "target" "the target's id",
    Sticky "sticky" "reason of the stickiness verdict (limpet help stickiness)",
    BytesIn "bytes_in" "bytes from the client, heads and content",
    BytesOut "bytes_out" "bytes to the client, heads and content",
    ContentBytesIn "content_bytes_in" "bytes of content from the client",
    ContentBytesOut "content_bytes_out" "bytes of content to the client",
    RequestUs "request_us" "receiving the request's head, in microseconds",
    QueueUs "queue_us" "waiting for a place on a target, in microseconds",
    ConnectUs "connect_us" "connecting to the target, in microseconds; none with a pooled connection",
    FirstByteUs "first_byte_us" "from the request's head to the response's first byte, in microseconds",
    TotalUs "total_us" "from the first byte of the request to the last of the response, in microseconds",
    Retries "retries" "attempts beyond the first",
    TargetReused "target_reused" "whether the target's connection came from the pool",
    Upgraded "upgraded" "whether it became a tunnel, such as a WebSocket",
    Ended "ended" "who ended it, in which phase, why: three letters, \"---\" when all went well",
    EndedBy "ended_by" "nobody, client, target or limpet",
    EndedPhase "ended_phase" "request_head, request_content, queue, connect, response_head, response_content, tunnel or done",
    EndedCause "ended_cause" "none, closed, reset, timeout, invalid, limit, refused, unusable, full, rule, shutdown or exhausted",
    Code "code" "the word of limpet's refusal or error",
    RequestId "request_id" "the request's id",
    Referer "referer" "the Referer field, as access_log.query lets it stand",
    UserAgent "user_agent" "the User-Agent field",
    Action "action" "what the rule wanted: forward, redirect or respond",
    Location "location" "where a rule redirected to, as access_log.query lets it stand",
    RulePriority "rule_priority" "the matching rule's priority; none for the default",
    TargetAddress "target_address" "the target's address and port; none for Unix sockets",
    Scheme "scheme" "\"http\" or \"https\", between the client and limpet",
}

impl Field {
    /// The field of that name.
    pub fn named(name: &str) -> Option<Field> {
        FIELDS.iter().find(|info| info.name == name).map(|info| info.field)
    }

    /// What the field says of `record`.
    pub fn value<'a>(self, record: &Record<'a>) -> Value<'a> {
        let timings = &record.timings;
        match self {
            Field::Time => Value::Time,
            Field::Listener => text(record.listener.as_bytes()),
            Field::Client => record.client.map_or(Value::None, Value::Ip),
            Field::ClientPort => nonzero(record.client_port),
            Field::Peer => record.peer.map_or(Value::None, Value::Ip),
            Field::Method => text(record.method),
            Field::Host => text(record.host),
            Field::Path => text(record.path),
            Field::Version => text(version_text(record.version).as_bytes()),
            Field::Status => nonzero(record.status),
            Field::TargetStatus => nonzero(record.target_status),
            Field::Rule => text(record.rule.as_bytes()),
            Field::Group => text(record.group.as_bytes()),
            Field::Target => text(record.target.as_bytes()),
            Field::Sticky => text(record.sticky.map_or("", Reason::code).as_bytes()),
            Field::BytesIn => Value::Number(record.bytes_in),
            Field::BytesOut => Value::Number(record.bytes_out),
            Field::ContentBytesIn => Value::Number(record.content_bytes_in),
            Field::ContentBytesOut => Value::Number(record.content_bytes_out),
            Field::RequestUs => Value::Number(timings.request_us),
            Field::QueueUs => timings.queue_us.map_or(Value::None, Value::Number),
            Field::ConnectUs => timings.connect_us.map_or(Value::None, Value::Number),
            Field::FirstByteUs => timings.first_byte_us.map_or(Value::None, Value::Number),
            Field::TotalUs => Value::Number(timings.total_us),
            Field::Retries => Value::Number(u64::from(record.retries)),
            Field::TargetReused => record.target_reused.map_or(Value::None, Value::Flag),
            Field::Upgraded => Value::Flag(record.upgraded),
            Field::Ended => Value::Code(record.ended.code()),
            Field::EndedBy => text(record.ended.by.word().as_bytes()),
            Field::EndedPhase => text(record.ended.phase.word().as_bytes()),
            Field::EndedCause => text(record.ended.cause.word().as_bytes()),
            Field::Code => text(record.code.as_bytes()),
            Field::RequestId => text(record.request_id),
            Field::Referer => text(record.referer),
            Field::UserAgent => text(record.user_agent),
            Field::Action => text(record.action.map_or("", Acted::word).as_bytes()),
            Field::Location => text(record.location),
            Field::RulePriority => priority(record.rule_priority),
            Field::TargetAddress => record.target_address.map_or(Value::None, Value::Address),
            Field::Scheme => text(scheme(record).as_bytes()),
        }
    }
}

/// "http" or "https", as the client came.
pub fn scheme(record: &Record<'_>) -> &'static str {
    if record.encrypted { "https" } else { "http" }
}

fn text(text: &[u8]) -> Value<'_> {
    if text.is_empty() { Value::None } else { Value::Text(text) }
}

fn nonzero(number: u16) -> Value<'static> {
    if number == 0 { Value::None } else { Value::Number(u64::from(number)) }
}

fn priority(priority: Option<u32>) -> Value<'static> {
    match priority {
        None | Some(DEFAULT_PRIORITY) => Value::None,
        Some(priority) => Value::Number(u64::from(priority)),
    }
}
