//! The access log of AWS Application Load Balancer, field for field.
//!
//! Fields and order as "Access logs for your Application Load Balancer" documents them, 33 in all, so that
//! what reads ALB's logs reads limpet's. What limpet does not know is `-`:
//!
//! | # | field | limpet |
//! |---|---|---|
//! | 1 | `type` | `http`, `https`; `ws`, `wss` for every upgrade |
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
//! | 15, 16 | `ssl_cipher`, `ssl_protocol` | `-` |
//! | 17 | `target_group_arn` | the group's name |
//! | 18 | `"trace_id"` | the request id |
//! | 19, 20 | `"domain_name"`, `"chosen_cert_arn"` | `-` |
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
//! Quotes, backslashes and what is not visible ASCII are `\xhh`: no reader has to know about `\"`.
//! Tested by whole lines, read back by ALB's rules.
use super::fields::scheme;
use super::text::{
    SecondText, push_fraction, push_hex_escaped, push_number, push_socket_address, push_word,
    version_text,
};
use crate::telemetry::ended::{By, Cause, Phase};
use crate::telemetry::record::{Acted, DEFAULT_PRIORITY, Record};
use std::net::SocketAddr;

/// limpet's status of a client that went away, and ALB's.
const CLIENT_GONE: u16 = 499;
const CLIENT_GONE_AT_ALB: u16 = 460;

/// Appends the line, without a line feed.
pub fn push(
    record: &Record<'_>,
    arrival: &mut SecondText,
    response: &mut SecondText,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(kind(record));
    out.push(b' ');
    let end_us = record.time_unix_ms.saturating_mul(1000).saturating_add(record.timings.total_us);
    push_time(end_us, response, out);
    word(record.listener.as_bytes(), out);
    address(record.client.map(|ip| SocketAddr::new(ip, record.client_port)), out);
    address(record.target_address, out);
    times(record, out);
    status(if record.status == CLIENT_GONE { CLIENT_GONE_AT_ALB } else { record.status }, out);
    status(record.target_status, out);
    for bytes in [record.bytes_in, record.bytes_out] {
        out.push(b' ');
        push_number(bytes, out);
    }
    request(record, out);
    quoted(record.user_agent, out);
    out.extend_from_slice(b" - -");
    word(record.group.as_bytes(), out);
    quoted(record.request_id, out);
    out.extend_from_slice(b" \"-\" \"-\" ");
    match record.rule_priority {
        None => out.push(b'-'),
        Some(DEFAULT_PRIORITY) => out.push(b'0'),
        Some(priority) => push_number(priority, out),
    }
    out.push(b' ');
    push_time(record.time_unix_ms.saturating_mul(1000), arrival, out);
    quoted(action(record), out);
    quoted(record.location, out);
    quoted(record.code.as_bytes(), out);
    lists(record, out);
    let is_refused = (record.ended.by, record.ended.phase, record.ended.cause)
        == (By::Client, Phase::RequestHead, Cause::Invalid);
    quoted(if is_refused { b"Severe" } else { b"" }, out);
    quoted(if is_refused { record.code.as_bytes() } else { b"" }, out);
    out.extend_from_slice(b" - \"-\" \"-\" \"-\"");
}

fn kind(record: &Record<'_>) -> &'static [u8] {
    match (record.upgraded, record.encrypted) {
        (false, false) => b"http",
        (false, true) => b"https",
        (true, false) => b"ws",
        (true, true) => b"wss",
    }
}

fn action(record: &Record<'_>) -> &'static [u8] {
    match record.action {
        None => b"",
        Some(Acted::Forward) => b"forward",
        Some(Acted::Redirect) => b"redirect",
        Some(Acted::Respond) => b"fixed-response",
    }
}

/// "2018-07-02T22:23:00.186641Z"
fn push_time(time_unix_us: u64, second: &mut SecondText, out: &mut Vec<u8>) {
    second.push(time_unix_us / 1_000_000, out);
    out.push(b'.');
    push_fraction(time_unix_us % 1_000_000, 6, out);
    out.push(b'Z');
}

/// Request, target and response processing time.
fn times(record: &Record<'_>, out: &mut Vec<u8>) {
    let timings = &record.timings;
    let before_head = timings.request_us;
    let waited = timings.queue_us.unwrap_or(0).saturating_add(timings.connect_us.unwrap_or(0));
    let sent = record.target_reused.map(|_| before_head.saturating_add(waited));
    let responded = record.target_status != 0;
    let answered = timings.first_byte_us.filter(|_| responded);
    seconds(sent, out);
    seconds(answered.map(|first_byte_us| first_byte_us.saturating_sub(waited)), out);
    seconds(responded.then_some(0), out);
}

fn seconds(us: Option<u64>, out: &mut Vec<u8>) {
    out.push(b' ');
    match us {
        None => out.extend_from_slice(b"-1"),
        Some(us) => {
            push_number(us / 1_000_000, out);
            out.push(b'.');
            push_fraction(us / 1000 % 1000, 3, out);
        }
    }
}

/// `"GET http://www.example.com:80/path?query HTTP/1.1"`
fn request(record: &Record<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b" \"");
    if record.method.is_empty() {
        out.extend_from_slice(b"- - -");
    } else {
        push_word(record.method, out);
        out.push(b' ');
        out.extend_from_slice(scheme(record).as_bytes());
        out.extend_from_slice(b"://");
        push_word(record.host, out);
        if !has_port(record.host) && record.listener_port != 0 {
            out.push(b':');
            push_number(record.listener_port, out);
        }
        push_word(record.path, out);
        out.push(b' ');
        out.extend_from_slice(version_text(record.version).as_bytes());
    }
    out.push(b'"');
}

/// Whether a host names its port; colons inside of brackets belong to an address.
fn has_port(host: &[u8]) -> bool {
    memchr::memrchr(b':', host)
        .is_some_and(|colon| !host.get(colon..).unwrap_or_default().contains(&b']'))
}

/// The targets of the request and their statuses, of which limpet tells the last.
fn lists(record: &Record<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b" \"");
    match record.target_address {
        None => out.push(b'-'),
        Some(target) => push_socket_address(target, out),
    }
    out.extend_from_slice(b"\" \"");
    match record.target_status {
        0 => out.push(b'-'),
        status => push_number(status, out),
    }
    out.push(b'"');
}

fn word(text: &[u8], out: &mut Vec<u8>) {
    out.push(b' ');
    push_word(if text.is_empty() { b"-" } else { text }, out);
}

fn quoted(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b" \"");
    push_hex_escaped(if text.is_empty() { b"-" } else { text }, out);
    out.push(b'"');
}

fn address(address: Option<SocketAddr>, out: &mut Vec<u8>) {
    out.push(b' ');
    match address {
        None => out.push(b'-'),
        Some(address) => push_socket_address(address, out),
    }
}

fn status(status: u16, out: &mut Vec<u8>) {
    out.push(b' ');
    match status {
        0 => out.push(b'-'),
        status => push_number(status, out),
    }
}
