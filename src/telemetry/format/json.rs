//! Values as JSON, with their keys: `null` for a value that does not apply. Bytes that are not UTF-8 become U+FFFD.
//!
//! `fields` gives the object's fields and their order.
//! Tested with the other formats, and by reading any line back.
use super::line::Line;
use super::text::{SecondText, hex, push_address, push_socket_address, push_time};
use super::value::{Key, Value};

/// Appends one value as JSON.
pub fn push_value(value: Value<'_>, arrival: &mut SecondText, line: &mut Line<'_>) {
    push_field(Key { bare: "", null: "null", quote: "\"" }, value, arrival, line);
}

/// Appends a key and its value. Inlined whole, so that the compiler can drop the kinds that a field never has.
#[inline(always)]
pub(super) fn push_field(
    key: Key,
    value: Value<'_>,
    arrival: &mut SecondText,
    line: &mut Line<'_>,
) {
    match value {
        Value::None => return line.put(key.null.as_bytes()),
        Value::Number(number) => {
            line.put(key.bare.as_bytes());
            return line.put_number(number);
        }
        Value::Flag(flag) => {
            line.put(key.bare.as_bytes());
            return line.put(if flag { b"true" } else { b"false" });
        }
        Value::Time(_)
        | Value::Text(_)
        | Value::Word(_)
        | Value::Code(_)
        | Value::Ip(_)
        | Value::Address(_) => {}
    }
    line.put(key.quote.as_bytes());
    match value {
        Value::Time(unix_ms) => push_time(unix_ms, arrival, line),
        Value::Text(text) => push_text(text, line),
        Value::Word(word) => line.put_short(word.as_bytes()),
        Value::Code(code) => line.put(&code),
        Value::Ip(ip) => push_address(ip, line),
        Value::Address(address) => push_socket_address(address, line),
        Value::None | Value::Number(_) | Value::Flag(_) => {}
    }
    line.put(b"\"");
}

fn push_text(text: &[u8], line: &mut Line<'_>) {
    if !line.put_if_plain::<b' '>(text) {
        push_odd_text(text, line);
    }
}

#[cold]
fn push_odd_text(text: &[u8], line: &mut Line<'_>) {
    for chunk in text.utf8_chunks() {
        push_escaped(chunk.valid(), line);
        if !chunk.invalid().is_empty() {
            line.put("\u{fffd}".as_bytes());
        }
    }
}

fn push_escaped(text: &str, line: &mut Line<'_>) {
    for &byte in text.as_bytes() {
        match byte {
            b'"' => line.put(b"\\\""),
            b'\\' => line.put(b"\\\\"),
            b'\n' => line.put(b"\\n"),
            b'\r' => line.put(b"\\r"),
            b'\t' => line.put(b"\\t"),
            0..=0x1f | 0x7f => {
                line.put(b"\\u00");
                line.put(&hex(byte));
            }
            byte => line.put_byte(byte),
        }
    }
}
