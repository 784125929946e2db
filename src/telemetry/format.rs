//! One record as one line: as JSON, in Apache's combined format, as AWS ALB writes it, or by a template.
//!
//! Runs on the log thread only; appends to a buffer that is reused and formats a timestamp once a
//! second. Bytes of a request never end a line and never leave their string; values of queries stand in
//! it only where the operator wants them (`redact`).
//!
//! The fields of JSON and of templates are in `fields`, those of ALB's format in `alb`. Tested by tables
//! and, for JSON, by reading any line back.

mod alb;
pub mod fields;
mod json;
mod redact;
mod text;

use self::fields::Value;
use self::redact::redact;
use self::text::{
    SecondText, is_plain, push_address, push_fraction, push_hex, push_hex_escaped, push_number,
    push_socket_address, version_text,
};
use super::record::Record;
use super::template::{Form, Part, Template, TemplateFault};
use crate::snapshot::{AccessLogOptions, LogFormat, LogQuery};

/// How lines look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Style {
    line: Line,
    query: LogQuery,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Json,
    Combined,
    Alb,
    Template(Template),
}

impl Style {
    /// What the options ask for.
    ///
    /// # Errors
    /// A template that is not understood; without one, its format writes empty lines.
    pub fn of(options: &AccessLogOptions) -> Result<Style, TemplateFault> {
        let line = match options.format {
            LogFormat::Json => Line::Json,
            LogFormat::Combined => Line::Combined,
            LogFormat::Alb => Line::Alb,
            LogFormat::Template => {
                Line::Template(Template::parse(options.template.as_deref().unwrap_or_default())?)
            }
        };
        Ok(Style { line, query: options.query })
    }
}

/// Formats records of one log; keeps the text of the last second.
#[derive(Debug)]
pub struct Formatter {
    style: Style,
    /// Arrivals, and the times of responses.
    arrival: SecondText,
    response: SecondText,
    path: Vec<u8>,
    referer: Vec<u8>,
    location: Vec<u8>,
}

impl Formatter {
    pub fn new(style: Style) -> Formatter {
        let pattern = match style.line {
            Line::Json | Line::Alb | Line::Template(_) => "%Y-%m-%dT%H:%M:%S",
            Line::Combined => "%d/%b/%Y:%H:%M:%S +0000",
        };
        Formatter {
            style,
            arrival: SecondText::new(pattern),
            response: SecondText::new(pattern),
            path: Vec::new(),
            referer: Vec::new(),
            location: Vec::new(),
        }
    }

    /// Appends the line of `record`, with its line feed.
    pub fn line(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let query = self.style.query;
        let record = &Record {
            path: redact(record.path, query, &mut self.path),
            referer: redact(record.referer, query, &mut self.referer),
            location: redact(record.location, query, &mut self.location),
            ..*record
        };
        let arrival = &mut self.arrival;
        match &self.style.line {
            Line::Json => json::push(record, arrival, out),
            Line::Combined => combined(record, arrival, out),
            Line::Alb => alb::push(record, arrival, &mut self.response, out),
            Line::Template(template) => by_template(template, record, arrival, out),
        }
        out.push(b'\n');
    }
}

/// `client - - [time] "request line" status content-bytes "referer" "user agent"`
fn combined(record: &Record<'_>, arrival: &mut SecondText, out: &mut Vec<u8>) {
    match record.client {
        Some(client) => push_address(client, out),
        None => out.push(b'-'),
    }
    out.extend_from_slice(b" - - [");
    arrival.push(record.time_unix_ms / 1000, out);
    out.extend_from_slice(b"] \"");
    if record.method.is_empty() {
        out.push(b'-');
    } else {
        push_escaped(record.method, out);
        out.push(b' ');
        push_escaped(record.path, out);
        out.push(b' ');
        out.extend_from_slice(version_text(record.version).as_bytes());
    }
    out.extend_from_slice(b"\" ");
    match record.status {
        0 => out.push(b'-'),
        status => push_number(status, out),
    }
    out.push(b' ');
    match record.content_bytes_out {
        0 => out.push(b'-'),
        bytes => push_number(bytes, out),
    }
    for text in [record.referer, record.user_agent] {
        out.extend_from_slice(b" \"");
        push_escaped(if text.is_empty() { b"-" } else { text }, out);
        out.push(b'"');
    }
}

/// As Apache does it: `\"`, `\\` and `\xhh` for what is not visible ASCII.
fn push_escaped(text: &[u8], out: &mut Vec<u8>) {
    if text.iter().all(|&byte| is_plain(byte)) {
        out.extend_from_slice(text);
        return;
    }
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            byte => {
                out.extend_from_slice(b"\\x");
                push_hex(byte, out);
            }
        }
    }
}

fn by_template(
    template: &Template,
    record: &Record<'_>,
    arrival: &mut SecondText,
    out: &mut Vec<u8>,
) {
    for part in template.parts() {
        match part {
            Part::Literal(text) => out.extend_from_slice(text.as_bytes()),
            Part::Field(field, Form::Json) => {
                json::push_value(field.value(record), record.time_unix_ms, arrival, out);
            }
            Part::Field(field, Form::Plain) => match field.value(record) {
                Value::None => out.push(b'-'),
                Value::Time => push_time(record.time_unix_ms, arrival, out),
                Value::Text(text) => push_hex_escaped(text, out),
                Value::Code(code) => out.extend_from_slice(&code),
                Value::Number(number) => push_number(number, out),
                Value::Flag(flag) => out.extend_from_slice(if flag { b"true" } else { b"false" }),
                Value::Ip(ip) => push_address(ip, out),
                Value::Address(address) => push_socket_address(address, out),
            },
        }
    }
}

/// "2025-11-22T16:30:00.123Z"
fn push_time(time_unix_ms: u64, second: &mut SecondText, out: &mut Vec<u8>) {
    second.push(time_unix_ms / 1000, out);
    out.push(b'.');
    push_fraction(time_unix_ms % 1000, 3, out);
    out.push(b'Z');
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
