//! The fields of a line, in one table: the keys of JSON, the names that a template may use, and the list of
//! `limpet help access-log`.
//!
//! Gives the value of each field for a record; the formats write it. Tested with the formats.
use super::json::push_field;
use super::line::Line;
use super::text::{SecondText, version_text};
use super::value::{Key, Value};
use crate::telemetry::batch::Logged;
use crate::telemetry::rare::{Rare, TargetProtocol, Tls};
use crate::telemetry::reason::Reason;
use crate::telemetry::record::{Acted, DEFAULT_PRIORITY};

/// A field and its meaning.
#[derive(Debug)]
pub struct FieldInfo {
    pub field: Field,
    pub name: &'static str,
    pub about: &'static str,
}

macro_rules! key {
    ($before:literal $name:literal) => {
        Key {
            bare: concat!($before, "\"", $name, "\":"),
            null: concat!($before, "\"", $name, "\":null"),
            quote: concat!($before, "\"", $name, "\":\""),
        }
    };
}

macro_rules! fields {
    (json {
         $first:ident $first_name:literal $first_about:literal,
         $($json:ident $json_name:literal $json_about:literal,)*
     }
     templates {
         $($other:ident $other_name:literal $other_about:literal,)*
     }
     rare {
         $($rare:ident $rare_name:literal $rare_about:literal,)*
     }
     rare_templates {
         $($wanted:ident $wanted_name:literal $wanted_about:literal,)*
     }) => {
        /// One field of a line.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Field { $first, $($json,)* $($other,)* Rare(RareField) }

        /// One field that only some requests have.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum RareField { $($rare,)* $($wanted,)* }

        /// Every field that any request may have; the first [`JSON_COUNT`] are the keys of JSON, in its order.
        pub static FIELDS: &[FieldInfo] = &[
            FieldInfo { field: Field::$first, name: $first_name, about: $first_about },
            $(FieldInfo { field: Field::$json, name: $json_name, about: $json_about },)*
            $(FieldInfo { field: Field::$other, name: $other_name, about: $other_about },)*
        ];

        /// The fields that only some requests have. JSON writes the first [`RARE_JSON_COUNT`] after the others where they
        /// are known, and leaves their keys out where they are not.
        pub static RARE_FIELDS: &[FieldInfo] = &[
            $(FieldInfo {
                field: Field::Rare(RareField::$rare),
                name: $rare_name,
                about: $rare_about,
            },)*
            $(FieldInfo {
                field: Field::Rare(RareField::$wanted),
                name: $wanted_name,
                about: $wanted_about,
            },)*
        ];

        /// How many fields JSON writes for some requests; the others are for templates.
        pub const RARE_JSON_COUNT: usize = {
            let names: &[&str] = &[$($rare_name),*];
            names.len()
        };

        /// How many fields JSON writes for every request; the others are for templates.
        pub const JSON_COUNT: usize = [$first_name, $($json_name),*].len();

        /// Appends a record as one object of JSON, without a line feed: straight-line code, in which the compiler knows
        /// every key and the kind of every value.
        #[inline(never)]
        pub(super) fn push_json(
            record: &Logged<'_>,
            arrival: &mut SecondText,
            line: &mut Line<'_>,
        ) {
            push_field(key!("{" $first_name), Field::$first.value(record), arrival, line);
            $(push_field(key!("," $json_name), Field::$json.value(record), arrival, line);)*
            if let Some(rare) = record.rare() {
                push_rare(&rare, arrival, line);
            }
            line.put(b"}");
        }

        #[cold]
        fn push_rare(rare: &Rare<'_>, arrival: &mut SecondText, line: &mut Line<'_>) {
            $(match RareField::$rare.value(rare) {
                Value::None => {}
                value => push_field(key!("," $rare_name), value, arrival, line),
            })*
        }
    };
}

fields! {
    json {
        Time "time" "arrival of the request's first byte: RFC 3339, UTC, milliseconds",
        Listener "listener" "the listener's name",
        Client "client" "address of the client, as trusted proxies tell it",
        ClientPort "client_port" "its port; none when a proxy told the address",
        Peer "peer" "address of the connection's peer where that is not the client",
        Method "method" "the request's method",
        Host "host" "the request's host",
        Path "path" "path and query, as access_log.query lets them stand",
        Version "version" "\"HTTP/1.0\", \"HTTP/1.1\" or \"HTTP/2.0\"",
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
    }
    templates {
        Action "action" "what the rule wanted: forward, redirect or respond",
        Location "location" "where a rule redirected to, as access_log.query lets it stand",
        RulePriority "rule_priority" "the matching rule's priority; none for the default",
        TargetAddress "target_address" "the target's address and port; none for Unix sockets",
        Scheme "scheme" "\"http\" or \"https\", between the client and limpet",
    }
    rare {
        Stream "stream" "number of the request's stream on the client's connection",
        TargetProtocol "target_protocol" "\"http\" or \"https\", between limpet and the target",
        TargetProtocolVersion "target_protocol_version" "http1, http2 or grpc, between limpet and the target",
        GrpcStatus "grpc_status" "the status of a gRPC call",
        TlsVersion "tls_version" "\"TLSv1.2\" or \"TLSv1.3\" of the client's connection",
        TlsCipher "tls_cipher" "its cipher suite",
        TlsResumed "tls_resumed" "whether its session was resumed",
        Sni "sni" "the name that the client asked for in its handshake",
        TlsClientSubject "tls_client_subject" "subject of the client's certificate",
        TlsClientIssuer "tls_client_issuer" "its issuer",
        TlsClientNames "tls_client_names" "its alternative names",
        TlsClientSerial "tls_client_serial" "its serial number, in hexadecimal digits",
        TlsClientFingerprint "tls_client_fingerprint" "its SHA-256 fingerprint, in hexadecimal digits",
    }
    rare_templates {
        TlsClientCertificate "tls_client_certificate" "the whole certificate, :base64: as in Client-Cert (RFC 9440)",
    }
}

impl Field {
    /// The field with that name.
    pub fn named(name: &str) -> Option<Field> {
        let mut all = FIELDS.iter().chain(RARE_FIELDS);
        all.find(|info| info.name == name).map(|info| info.field)
    }

    /// The value of the field in `record`. For a field that is a constant, the compiler leaves only the code for its
    /// value.
    #[inline(always)]
    pub fn value<'a>(self, record: &Logged<'a>) -> Value<'a> {
        let timings = &record.timings;
        match self {
            Field::Time => Value::Time(record.time_unix_ms),
            Field::Listener => text(record.listener),
            Field::Client => record.client.map_or(Value::None, Value::Ip),
            Field::ClientPort => nonzero(record.client_port),
            Field::Peer => record.peer.map_or(Value::None, Value::Ip),
            Field::Method => text(record.method),
            Field::Host => text(record.host),
            Field::Path => text(record.path),
            Field::Version => word(version_text(record.version)),
            Field::Status => nonzero(record.status),
            Field::TargetStatus => nonzero(record.target_status),
            Field::Rule => text(record.rule),
            Field::Group => text(record.group),
            Field::Target => text(record.target),
            Field::Sticky => word(record.sticky.map_or("", Reason::code)),
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
            Field::EndedBy => word(record.ended.by.word()),
            Field::EndedPhase => word(record.ended.phase.word()),
            Field::EndedCause => word(record.ended.cause.word()),
            Field::Code => text(record.code),
            Field::RequestId => text(record.request_id),
            Field::Referer => text(record.referer),
            Field::UserAgent => text(record.user_agent),
            Field::Action => word(record.action.map_or("", Acted::word)),
            Field::Location => text(record.location),
            Field::RulePriority => priority(record.rule_priority),
            Field::TargetAddress => record.target_address.map_or(Value::None, Value::Address),
            Field::Scheme => word(scheme(record)),
            Field::Rare(field) => record.rare().map_or(Value::None, |rare| field.value(&rare)),
        }
    }
}

impl RareField {
    /// The value of the field in `rare`.
    #[inline(always)]
    fn value<'a>(self, rare: &Rare<'a>) -> Value<'a> {
        let of_target = |word: fn(TargetProtocol) -> &'static str| {
            rare.target.map_or(Value::None, |target| Value::Word(word(target)))
        };
        let of_tls =
            |value: fn(&Tls<'a>) -> Value<'a>| rare.tls.as_ref().map_or(Value::None, value);
        match self {
            RareField::Stream => rare.stream.map_or(Value::None, Value::Number),
            RareField::TargetProtocol => of_target(|target| scheme_of(target.encrypted)),
            RareField::TargetProtocolVersion => of_target(|target| target.version.word()),
            RareField::GrpcStatus => {
                rare.grpc_status.map_or(Value::None, |status| Value::Number(status.into()))
            }
            RareField::TlsVersion => of_tls(|tls| text(tls.version)),
            RareField::TlsCipher => of_tls(|tls| text(tls.cipher)),
            RareField::TlsResumed => of_tls(|tls| tls.resumed.map_or(Value::None, Value::Flag)),
            RareField::Sni => of_tls(|tls| text(tls.server_name)),
            RareField::TlsClientSubject => of_tls(|tls| text(tls.client.subject)),
            RareField::TlsClientIssuer => of_tls(|tls| text(tls.client.issuer)),
            RareField::TlsClientNames => of_tls(|tls| text(tls.client.names)),
            RareField::TlsClientSerial => of_tls(|tls| text(tls.client.serial)),
            RareField::TlsClientFingerprint => of_tls(|tls| text(tls.client.fingerprint)),
            RareField::TlsClientCertificate => of_tls(|tls| text(tls.client.whole)),
        }
    }
}

/// "http" or "https", the scheme of the client's connection.
pub fn scheme(record: &Logged<'_>) -> &'static str {
    scheme_of(record.encrypted)
}

fn scheme_of(is_encrypted: bool) -> &'static str {
    if is_encrypted { "https" } else { "http" }
}

#[inline(always)]
fn text(text: &[u8]) -> Value<'_> {
    if text.is_empty() { Value::None } else { Value::Text(text) }
}

#[inline(always)]
fn word(word: &'static str) -> Value<'static> {
    if word.is_empty() { Value::None } else { Value::Word(word) }
}

#[inline(always)]
fn nonzero(number: u16) -> Value<'static> {
    if number == 0 { Value::None } else { Value::Number(u64::from(number)) }
}

#[inline(always)]
fn priority(priority: Option<u32>) -> Value<'static> {
    match priority {
        None | Some(DEFAULT_PRIORITY) => Value::None,
        Some(priority) => Value::Number(u64::from(priority)),
    }
}
