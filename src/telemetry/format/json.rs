//! JSON: one object a line with every key of the table in `fields`, always in its order; `null` where a
//! value does not apply. Bytes that are not UTF-8 become U+FFFD.
//!
//! Tested with the other formats, and by reading any line back.
use super::fields::{FIELDS, JSON_COUNT, Value};
use super::text::{SecondText, is_plain, push_address, push_hex, push_number, push_socket_address};
use crate::telemetry::record::Record;

/// Appends the object, without a line feed.
pub fn push(record: &Record<'_>, arrival: &mut SecondText, out: &mut Vec<u8>) {
    for info in FIELDS.iter().take(JSON_COUNT) {
        out.extend_from_slice(info.key.as_bytes());
        push_value(info.field.value(record), record.time_unix_ms, arrival, out);
    }
    out.push(b'}');
}

/// Appends one value as JSON.
pub fn push_value(
    value: Value<'_>,
    time_unix_ms: u64,
    arrival: &mut SecondText,
    out: &mut Vec<u8>,
) {
    match value {
        Value::None => return out.extend_from_slice(b"null"),
        Value::Number(number) => return push_number(number, out),
        Value::Flag(flag) => {
            return out.extend_from_slice(if flag { b"true" } else { b"false" });
        }
        Value::Time | Value::Text(_) | Value::Code(_) | Value::Ip(_) | Value::Address(_) => {}
    }
    out.push(b'"');
    match value {
        Value::Time => super::push_time(time_unix_ms, arrival, out),
        Value::Text(text) => push_text(text, out),
        Value::Code(code) => push_text(&code, out),
        Value::Ip(ip) => push_address(ip, out),
        Value::Address(address) => push_socket_address(address, out),
        Value::None | Value::Number(_) | Value::Flag(_) => {}
    }
    out.push(b'"');
}

fn push_text(text: &[u8], out: &mut Vec<u8>) {
    if text.iter().all(|&byte| is_plain(byte)) {
        out.extend_from_slice(text);
        return;
    }
    for chunk in text.utf8_chunks() {
        push_escaped(chunk.valid(), out);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn push_escaped(text: &str, out: &mut Vec<u8>) {
    for &byte in text.as_bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..=0x1f | 0x7f => {
                out.extend_from_slice(b"\\u00");
                push_hex(byte, out);
            }
            byte => out.push(byte),
        }
    }
}
