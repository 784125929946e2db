//! The access log of AWS Application Load Balancer, field for field.
//!
//! Fields and order as "Access logs for your Application Load Balancer" documents them, 33 in all, so that a reader of
//! ALB's logs can read limpet's. A field that limpet does not know is `-`:
//!
//! | # | field | limpet |
//! |---|---|---|
//! | 1 | `type` | `http`, `https`, `h2` (HTTP/2 over TLS), `grpcs`; `ws`, `wss` for every upgrade |
//! | 2 | `time` | the end of the response |
//! | 3 | `elb` | the listener's name |
//! | 4 | `client:port` | the client as trusted proxies tell it, port 0 then; `-` on Unix sockets |
//! | 5 | `target:port` | the target tried last; `-` without one, and for Unix sockets |
//! | 6 | `request_processing_time` | head, queue and connect; -1 when no target was reached |
//! | 7 | `target_processing_time` | from then to the response's first byte; -1 without a response |
//! | 8 | `response_processing_time` | 0.000, the head is passed on at once; -1 without a response |
//! | 9 | `elb_status_code` | status; 499 (the client went away) is ALB's 460; `-` when nothing was sent |
//! | 10 | `target_status_code` | the target's status |
//! | 11, 12 | `received_bytes`, `sent_bytes` | heads and content |
//! | 13 | `"request"` | method, URL with scheme, host and port, version; `- - -` when it was not understood |
//! | 14 | `"user_agent"` | the field |
//! | 15, 16 | `ssl_cipher`, `ssl_protocol` | of the client's connection; `-` without TLS |
//! | 17 | `target_group_arn` | the group's name |
//! | 18 | `"trace_id"` | the request id |
//! | 19, 20 | `"domain_name"`, `"chosen_cert_arn"` | the name that the client asked for (SNI), `-` without TLS; `-` |
//! | 21 | `matched_rule_priority` | the priority, 0 for the default, `-` before a rule matched |
//! | 22 | `request_creation_time` | arrival of the first byte |
//! | 23 | `"actions_executed"` | `forward`, `redirect` or `fixed-response` |
//! | 24 | `"redirect_url"` | the Location sent |
//! | 25 | `"error_reason"` | limpet's own word for its refusal or error |
//! | 26 | `"target:port_list"` | as 5 |
//! | 27 | `"target_status_code_list"` | as 10 |
//! | 28, 29 | `"classification"`, `"classification_reason"` | `Severe` and limpet's word for a head that was refused |
//! | 30 | `conn_trace_id` | `-` |
//! | 31, 32, 33 | `"transformed_host"`, `"transformed_uri"`, `"request_transform_status"` | `-` |
//!
//! Quotes, backslashes and bytes that are not visible ASCII are `\xhh`: no reader needs to understand `\"`. Tested by
//! whole lines, read back by ALB's rules.
use super::fields::scheme;
use super::line::Line;
use super::text::{SecondText, push_hex_escaped, push_socket_address, push_word, version_text};
use crate::http::head::Version;
use crate::telemetry::batch::Logged;
use crate::telemetry::ended::{By, Cause, Phase};
use crate::telemetry::rare::{ProtocolVersion, Rare};
use crate::telemetry::record::{Acted, DEFAULT_PRIORITY};
use std::net::SocketAddr;

/// limpet's and ALB's status for a client that went away.
const CLIENT_GONE: u16 = 499;
const CLIENT_GONE_AT_ALB: u16 = 460;

/// Appends the line, without a line feed.
pub fn push(
    record: &Logged<'_>,
    arrival: &mut SecondText,
    response: &mut SecondText,
    line: &mut Line<'_>,
) {
    let rare = record.rare();
    let tls = rare.and_then(|rare| rare.tls);
    line.put(kind(record, rare));
    line.put_byte(b' ');
    let end_us = record.time_unix_ms.saturating_mul(1000).saturating_add(record.timings.total_us);
    push_time(end_us, response, line);
    word(record.listener, line);
    address(record.client.map(|ip| SocketAddr::new(ip, record.client_port)), line);
    address(record.target_address, line);
    times(record, line);
    status(if record.status == CLIENT_GONE { CLIENT_GONE_AT_ALB } else { record.status }, line);
    status(record.target_status, line);
    for bytes in [record.bytes_in, record.bytes_out] {
        line.put_byte(b' ');
        line.put_number(bytes);
    }
    request(record, line);
    quoted(record.user_agent, line);
    word(tls.map_or(b"", |tls| tls.cipher), line);
    word(tls.map_or(b"", |tls| tls.version), line);
    word(record.group, line);
    quoted(record.request_id, line);
    quoted(tls.map_or(b"", |tls| tls.server_name), line);
    line.put(b" \"-\" ");
    match record.rule_priority {
        None => line.put_byte(b'-'),
        Some(DEFAULT_PRIORITY) => line.put_byte(b'0'),
        Some(priority) => line.put_number(priority.into()),
    }
    line.put_byte(b' ');
    push_time(record.time_unix_ms.saturating_mul(1000), arrival, line);
    quoted(action(record), line);
    quoted(record.location, line);
    quoted(record.code, line);
    lists(record, line);
    let is_refused = (record.ended.by, record.ended.phase, record.ended.cause)
        == (By::Client, Phase::RequestHead, Cause::Invalid);
    quoted(if is_refused { b"Severe" } else { b"" }, line);
    quoted(if is_refused { record.code } else { b"" }, line);
    line.put(b" - \"-\" \"-\" \"-\"");
}

fn kind(record: &Logged<'_>, rare: Option<Rare<'_>>) -> &'static [u8] {
    let target = rare.and_then(|rare| rare.target).map(|target| target.version);
    match (record.upgraded, record.encrypted) {
        (false, false) => b"http",
        (false, true) if target == Some(ProtocolVersion::Grpc) => b"grpcs",
        (false, true) if record.version == Some(Version::Http2) => b"h2",
        (false, true) => b"https",
        (true, false) => b"ws",
        (true, true) => b"wss",
    }
}

fn action(record: &Logged<'_>) -> &'static [u8] {
    match record.action {
        None => b"",
        Some(Acted::Forward) => b"forward",
        Some(Acted::Redirect) => b"redirect",
        Some(Acted::Respond) => b"fixed-response",
    }
}

/// "2018-07-02T22:23:00.186641Z"
fn push_time(time_unix_us: u64, second: &mut SecondText, line: &mut Line<'_>) {
    second.push(time_unix_us / 1_000_000, line);
    line.put_byte(b'.');
    line.put_thousandths(time_unix_us % 1_000_000 / 1000);
    line.put_thousandths(time_unix_us % 1000);
    line.put_byte(b'Z');
}

/// Request, target and response processing time.
fn times(record: &Logged<'_>, line: &mut Line<'_>) {
    let timings = &record.timings;
    let before_head = timings.request_us;
    let waited = timings.queue_us.unwrap_or(0).saturating_add(timings.connect_us.unwrap_or(0));
    let sent = record.target_reused.map(|_| before_head.saturating_add(waited));
    let responded = record.target_status != 0;
    let answered = timings.first_byte_us.filter(|_| responded);
    seconds(sent, line);
    seconds(answered.map(|first_byte_us| first_byte_us.saturating_sub(waited)), line);
    seconds(responded.then_some(0), line);
}

fn seconds(us: Option<u64>, line: &mut Line<'_>) {
    line.put_byte(b' ');
    match us {
        None => line.put(b"-1"),
        Some(us) => {
            line.put_number(us / 1_000_000);
            line.put_byte(b'.');
            line.put_thousandths(us / 1000 % 1000);
        }
    }
}

/// `"GET http://www.example.com:80/path?query HTTP/1.1"`
fn request(record: &Logged<'_>, line: &mut Line<'_>) {
    line.put(b" \"");
    if record.method.is_empty() {
        line.put(b"- - -");
    } else {
        push_word(record.method, line);
        line.put_byte(b' ');
        line.put(scheme(record).as_bytes());
        line.put(b"://");
        push_word(record.host, line);
        if !has_port(record.host) && record.listener_port != 0 {
            line.put_byte(b':');
            line.put_number(record.listener_port.into());
        }
        push_word(record.path, line);
        line.put_byte(b' ');
        line.put(version_text(record.version).as_bytes());
    }
    line.put_byte(b'"');
}

/// Whether a host names its port; colons inside of brackets belong to an address.
fn has_port(host: &[u8]) -> bool {
    memchr::memrchr(b':', host)
        .is_some_and(|colon| !host.get(colon..).unwrap_or_default().contains(&b']'))
}

/// The lists of the request's targets and their statuses, which hold only the last one.
fn lists(record: &Logged<'_>, line: &mut Line<'_>) {
    line.put(b" \"");
    match record.target_address {
        None => line.put_byte(b'-'),
        Some(target) => push_socket_address(target, line),
    }
    line.put(b"\" \"");
    match record.target_status {
        0 => line.put_byte(b'-'),
        status => line.put_number(status.into()),
    }
    line.put_byte(b'"');
}

fn word(text: &[u8], line: &mut Line<'_>) {
    line.put_byte(b' ');
    push_word(if text.is_empty() { b"-" } else { text }, line);
}

fn quoted(text: &[u8], line: &mut Line<'_>) {
    line.put(b" \"");
    push_hex_escaped(if text.is_empty() { b"-" } else { text }, line);
    line.put_byte(b'"');
}

fn address(address: Option<SocketAddr>, line: &mut Line<'_>) {
    line.put_byte(b' ');
    match address {
        None => line.put_byte(b'-'),
        Some(address) => push_socket_address(address, line),
    }
}

fn status(status: u16, line: &mut Line<'_>) {
    line.put_byte(b' ');
    match status {
        0 => line.put_byte(b'-'),
        status => line.put_number(status.into()),
    }
}
