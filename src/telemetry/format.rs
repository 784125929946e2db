//! One record as one line: as JSON, in Apache's combined format, as AWS ALB writes it, or by a template.
//!
//! Runs on the log thread only; writes into memory that is reused (`line`) and formats a timestamp once a second. Bytes
//! of a request never end a line and never leave their string; values of queries appear only where the operator wants
//! them (`redact`).
//!
//! The fields of JSON and of templates are in `fields`, those of ALB's format in `alb`. Tested by tables
//! and, for JSON, by reading any line back.

mod alb;
pub mod fields;
mod json;
pub mod line;
mod redact;
mod text;
mod value;

use self::fields::{Field, RareField};
use self::line::{Line, Lines};
use self::redact::redact;
use self::text::{
    SecondText, push_address, push_hex, push_hex_escaped, push_socket_address, push_time,
    version_text,
};
use self::value::Value;
use super::batch::Logged;
use super::template::{Form, Part, Template, TemplateFault};
use crate::telemetry::options::{AccessLogOptions, LogFormat, LogQuery};

/// The format of the lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Style {
    layout: Layout,
    query: LogQuery,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Layout {
    Json,
    Combined,
    Alb,
    Template(Template),
}

impl Style {
    /// The style that the options ask for.
    ///
    /// # Errors
    /// A template that cannot be parsed; without one, the template format writes empty lines.
    pub fn of(options: &AccessLogOptions) -> Result<Style, TemplateFault> {
        let layout = match options.format {
            LogFormat::Json => Layout::Json,
            LogFormat::Combined => Layout::Combined,
            LogFormat::Alb => Layout::Alb,
            LogFormat::Template => {
                Layout::Template(Template::parse(options.template.as_deref().unwrap_or_default())?)
            }
        };
        Ok(Style { layout, query: options.query })
    }

    /// Whether lines have the whole certificates of clients.
    pub fn has_certificates(&self) -> bool {
        let field = Field::Rare(RareField::TlsClientCertificate);
        matches!(&self.layout, Layout::Template(template) if template.names(field))
    }
}

/// Formats the records of one log; keeps the text of the last second.
#[derive(Debug)]
pub struct Formatter {
    style: Style,
    /// For arrivals, and for the times of responses.
    arrival: SecondText,
    response: SecondText,
    path: Vec<u8>,
    referer: Vec<u8>,
    location: Vec<u8>,
}

impl Formatter {
    pub fn new(style: Style) -> Formatter {
        let pattern = match style.layout {
            Layout::Json | Layout::Alb | Layout::Template(_) => "%Y-%m-%dT%H:%M:%S",
            Layout::Combined => "%d/%b/%Y:%H:%M:%S +0000",
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

    /// Adds the line of `record`; `false`, and adds nothing, when it does not fit.
    pub fn line(&mut self, record: &Logged<'_>, lines: &mut Lines) -> bool {
        let query = self.style.query;
        let mut record = *record;
        record.path = redact(record.path, query, &mut self.path);
        record.referer = redact(record.referer, query, &mut self.referer);
        record.location = redact(record.location, query, &mut self.location);
        let record = &record;
        let arrival = &mut self.arrival;
        lines.add(|line| {
            match &self.style.layout {
                Layout::Json => fields::push_json(record, arrival, line),
                Layout::Combined => combined(record, arrival, line),
                Layout::Alb => alb::push(record, arrival, &mut self.response, line),
                Layout::Template(template) => by_template(template, record, arrival, line),
            }
            line.put_byte(b'\n');
        })
    }
}

/// `client - - [time] "request line" status content-bytes "referer" "user agent"`
fn combined(record: &Logged<'_>, arrival: &mut SecondText, line: &mut Line<'_>) {
    match record.client {
        Some(client) => push_address(client, line),
        None => line.put_byte(b'-'),
    }
    line.put(b" - - [");
    arrival.push(record.time_unix_ms / 1000, line);
    line.put(b"] \"");
    if record.method.is_empty() {
        line.put_byte(b'-');
    } else {
        push_escaped(record.method, line);
        line.put_byte(b' ');
        push_escaped(record.path, line);
        line.put_byte(b' ');
        line.put(version_text(record.version).as_bytes());
    }
    line.put(b"\" ");
    match record.status {
        0 => line.put_byte(b'-'),
        status => line.put_number(status.into()),
    }
    line.put_byte(b' ');
    match record.content_bytes_out {
        0 => line.put_byte(b'-'),
        bytes => line.put_number(bytes),
    }
    for text in [record.referer, record.user_agent] {
        line.put(b" \"");
        push_escaped(if text.is_empty() { b"-" } else { text }, line);
        line.put_byte(b'"');
    }
}

/// As Apache does it: `\"`, `\\`, and `\xhh` for bytes that are not visible ASCII.
fn push_escaped(text: &[u8], line: &mut Line<'_>) {
    if !line.put_if_plain::<b' '>(text) {
        push_odd(text, line);
    }
}

#[cold]
fn push_odd(text: &[u8], line: &mut Line<'_>) {
    for &byte in text {
        match byte {
            b'"' | b'\\' => line.put(&[b'\\', byte]),
            b' '..=b'~' => line.put_byte(byte),
            byte => push_hex(byte, line),
        }
    }
}

fn by_template(
    template: &Template,
    record: &Logged<'_>,
    arrival: &mut SecondText,
    line: &mut Line<'_>,
) {
    for part in template.parts() {
        match part {
            Part::Literal(text) => line.put(text.as_bytes()),
            Part::Field(field, Form::Json) => {
                json::push_value(field.value(record), arrival, line);
            }
            Part::Field(field, Form::Plain) => match field.value(record) {
                Value::None => line.put_byte(b'-'),
                Value::Time(unix_ms) => push_time(unix_ms, arrival, line),
                Value::Text(text) => push_hex_escaped(text, line),
                Value::Word(word) => line.put_short(word.as_bytes()),
                Value::Code(code) => line.put(&code),
                Value::Number(number) => line.put_number(number),
                Value::Flag(flag) => line.put(if flag { b"true" } else { b"false" }),
                Value::Ip(ip) => push_address(ip, line),
                Value::Address(address) => push_socket_address(address, line),
            },
        }
    }
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
