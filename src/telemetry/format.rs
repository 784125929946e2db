//! One record as one line, in JSON or in Apache's combined format.
//!
//! Runs on the log thread only; appends to a buffer that is reused and formats a timestamp once a
//! second. Bytes of a request never end a line and never leave their string.
//!
//! JSON: one object a line, the keys below always all present and in this order, `null` where a value
//! does not apply. Bytes that are not UTF-8 become U+FFFD.
//!
//! | key | value |
//! |---|---|
//! | `time` | arrival of the first byte, RFC 3339, UTC, milliseconds |
//! | `listener`, `rule`, `group`, `target` | names; `target` is the target's id |
//! | `client`, `client_port`, `peer` | the client as trusted hops tell it; `peer` where that is another |
//! | `method`, `host`, `path`, `version` | of the request; `path` with its query; "HTTP/1.1" |
//! | `status`, `target_status` | sent to the client (499: it went away first), received from the target |
//! | `bytes_in`, `bytes_out` | heads and content, from and to the client |
//! | `content_bytes_in`, `content_bytes_out` | content alone |
//! | `request_us`, `queue_us`, `connect_us`, `first_byte_us`, `total_us` | timings in microseconds |
//! | `retries`, `target_reused` | attempts beyond the first; whether the connection was pooled |
//! | `sticky` | reason of the stickiness verdict |
//! | `upgraded` | whether it became a tunnel |
//! | `ended`, `ended_by`, `ended_phase`, `ended_cause` | termination, see `ended` |
//! | `code` | the word of limpet's refusal or error |
//! | `request_id`, `referer`, `user_agent` | as in the request's fields |
//!
//! Tested by tables and, for JSON, by reading any line back.
use std::net::IpAddr;

use super::ended::Ended;
use super::record::{Record, Timings};
use crate::http1::head::Version;
use crate::snapshot::LogFormat;
use crate::target::stickiness::Reason;

/// Formats records of one log; keeps the text of the last second.
#[derive(Debug)]
pub struct Formatter {
    format: LogFormat,
    second: Option<u64>,
    /// That second as the format writes it, without the milliseconds.
    second_text: String,
}

impl Formatter {
    pub fn new(format: LogFormat) -> Formatter {
        Formatter { format, second: None, second_text: String::new() }
    }

    /// Appends the line of `record`, with its line feed.
    pub fn line(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        self.read_second(record.time_unix_ms / 1000);
        match self.format {
            LogFormat::Json => self.json(record, out),
            LogFormat::Combined | LogFormat::Alb | LogFormat::Template => {
                self.combined(record, out);
            }
        }
    }

    fn read_second(&mut self, second: u64) {
        if self.second == Some(second) {
            return;
        }
        let pattern = match self.format {
            LogFormat::Json => "%Y-%m-%dT%H:%M:%S",
            LogFormat::Combined | LogFormat::Alb | LogFormat::Template => "%d/%b/%Y:%H:%M:%S +0000",
        };
        let timestamp = i64::try_from(second)
            .ok()
            .and_then(|second| jiff::Timestamp::from_second(second).ok())
            .unwrap_or_default();
        self.second = Some(second);
        self.second_text = timestamp.strftime(pattern).to_string();
    }

    fn json(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"time\":\"");
        out.extend_from_slice(self.second_text.as_bytes());
        push_milliseconds(record.time_unix_ms, out);
        out.push(b'"');
        json_text(out, b",\"listener\":", record.listener.as_bytes());
        json_address(out, b",\"client\":", record.client);
        let port = (record.client_port != 0).then_some(record.client_port);
        json_number(out, b",\"client_port\":", port);
        json_address(out, b",\"peer\":", record.peer);
        json_text(out, b",\"method\":", record.method);
        json_text(out, b",\"host\":", record.host);
        json_text(out, b",\"path\":", record.path);
        json_text(out, b",\"version\":", version_text(record.version).as_bytes());
        json_number(out, b",\"status\":", (record.status != 0).then_some(record.status));
        let target_status = (record.target_status != 0).then_some(record.target_status);
        json_number(out, b",\"target_status\":", target_status);
        json_text(out, b",\"rule\":", record.rule.as_bytes());
        json_text(out, b",\"group\":", record.group.as_bytes());
        json_text(out, b",\"target\":", record.target.as_bytes());
        json_text(out, b",\"sticky\":", record.sticky.map_or("", Reason::code).as_bytes());
        json_number(out, b",\"bytes_in\":", Some(record.bytes_in));
        json_number(out, b",\"bytes_out\":", Some(record.bytes_out));
        json_number(out, b",\"content_bytes_in\":", Some(record.content_bytes_in));
        json_number(out, b",\"content_bytes_out\":", Some(record.content_bytes_out));
        json_timings(out, &record.timings);
        json_number(out, b",\"retries\":", Some(record.retries));
        json_flag(out, b",\"target_reused\":", record.target_reused);
        json_flag(out, b",\"upgraded\":", Some(record.upgraded));
        json_ended(out, record.ended);
        json_text(out, b",\"code\":", record.code.as_bytes());
        json_text(out, b",\"request_id\":", record.request_id);
        json_text(out, b",\"referer\":", record.referer);
        json_text(out, b",\"user_agent\":", record.user_agent);
        out.extend_from_slice(b"}\n");
    }

    /// `client - - [time] "request line" status content-bytes "referer" "user agent"`
    fn combined(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        match record.client {
            Some(client) => push_address(client, out),
            None => out.push(b'-'),
        }
        out.extend_from_slice(b" - - [");
        out.extend_from_slice(self.second_text.as_bytes());
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
        out.push(b'\n');
    }
}

fn version_text(version: Option<Version>) -> &'static str {
    match version {
        None => "",
        Some(Version::Http10) => "HTTP/1.0",
        Some(Version::Http11) => "HTTP/1.1",
    }
}

/// ".123Z"
fn push_milliseconds(time_unix_ms: u64, out: &mut Vec<u8>) {
    let digit = |divisor: u64| b'0' + u8::try_from(time_unix_ms / divisor % 10).unwrap_or(0);
    out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1), b'Z']);
}

fn push_number(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn push_address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(v4) => {
            for (at, octet) in v4.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                push_number(octet, out);
            }
        }
        // Writing into memory does not fail.
        IpAddr::V6(v6) => drop(std::io::Write::write_fmt(out, format_args!("{v6}"))),
    }
}

fn json_timings(out: &mut Vec<u8>, timings: &Timings) {
    json_number(out, b",\"request_us\":", Some(timings.request_us));
    json_number(out, b",\"queue_us\":", timings.queue_us);
    json_number(out, b",\"connect_us\":", timings.connect_us);
    json_number(out, b",\"first_byte_us\":", timings.first_byte_us);
    json_number(out, b",\"total_us\":", Some(timings.total_us));
}

fn json_ended(out: &mut Vec<u8>, ended: Ended) {
    json_text(out, b",\"ended\":", &ended.code());
    json_text(out, b",\"ended_by\":", ended.by.word().as_bytes());
    json_text(out, b",\"ended_phase\":", ended.phase.word().as_bytes());
    json_text(out, b",\"ended_cause\":", ended.cause.word().as_bytes());
}

fn json_number(out: &mut Vec<u8>, key: &[u8], value: Option<impl itoa::Integer>) {
    out.extend_from_slice(key);
    match value {
        Some(value) => push_number(value, out),
        None => out.extend_from_slice(b"null"),
    }
}

fn json_flag(out: &mut Vec<u8>, key: &[u8], value: Option<bool>) {
    out.extend_from_slice(key);
    out.extend_from_slice(match value {
        Some(true) => b"true",
        Some(false) => b"false",
        None => b"null",
    });
}

fn json_address(out: &mut Vec<u8>, key: &[u8], value: Option<IpAddr>) {
    out.extend_from_slice(key);
    match value {
        Some(address) => {
            out.push(b'"');
            push_address(address, out);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

/// An empty text is `null`.
fn json_text(out: &mut Vec<u8>, key: &[u8], text: &[u8]) {
    out.extend_from_slice(key);
    if text.is_empty() {
        out.extend_from_slice(b"null");
        return;
    }
    out.push(b'"');
    if text.iter().all(|&byte| is_plain(byte)) {
        out.extend_from_slice(text);
    } else {
        for chunk in text.utf8_chunks() {
            push_json_escaped(chunk.valid(), out);
            if !chunk.invalid().is_empty() {
                out.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
    }
    out.push(b'"');
}

/// Visible ASCII and space that a JSON string may hold as it is.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn push_json_escaped(text: &str, out: &mut Vec<u8>) {
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

fn push_hex(byte: u8, out: &mut Vec<u8>) {
    let digit = |nibble: u8| match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + (nibble - 10),
    };
    out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
}

#[cfg(test)]
mod tests {
    use super::super::record_tests::full;
    use super::*;
    use proptest::prelude::*;

    fn line(format: LogFormat, record: &Record<'_>) -> String {
        let mut out = b"before\n".to_vec();
        Formatter::new(format).line(record, &mut out);
        let text = String::from_utf8(out).expect("UTF-8");
        let line = text.strip_prefix("before\n").and_then(|line| line.strip_suffix('\n'));
        let line = line.expect("appended, with a line feed");
        assert!(!line.contains('\n'));
        line.into()
    }

    #[test]
    fn json_says_everything_of_the_record() {
        assert_eq!(
            line(LogFormat::Json, &full()),
            concat!(
                r#"{"time":"2025-11-22T16:30:00.123Z","listener":"web","client":"203.0.113.9","#,
                r#""client_port":50123,"peer":"2001:db8::7","method":"POST","host":"shop.example.com","#,
                r#""path":"/cart?item=1","version":"HTTP/1.1","status":200,"target_status":201,"#,
                r#""rule":"checkout","group":"shop","target":"shop-1","sticky":"valid","bytes_in":321,"#,
                r#""bytes_out":4567,"content_bytes_in":12,"content_bytes_out":4321,"request_us":15,"#,
                r#""queue_us":7,"connect_us":230,"first_byte_us":1200,"total_us":1456,"retries":1,"#,
                r#""target_reused":true,"upgraded":true,"ended":"TDR","ended_by":"target","#,
                r#""ended_phase":"response_content","ended_cause":"reset","code":"target_reset","#,
                r#""request_id":"abc-123","referer":"https://shop.example.com/","user_agent":"curl/8"}"#,
            )
        );
    }

    #[test]
    fn json_keeps_every_key_where_nothing_is_known() {
        let keys = |record: &Record<'_>| -> Vec<String> {
            let value: serde_json::Value =
                serde_json::from_str(&line(LogFormat::Json, record)).expect("JSON");
            value.as_object().expect("object").keys().cloned().collect()
        };
        assert_eq!(keys(&Record::default()), keys(&full()));
        let bare = line(LogFormat::Json, &Record::default());
        assert!(
            bare.starts_with(r#"{"time":"1970-01-01T00:00:00.000Z","listener":null,"client":null"#)
        );
        assert!(bare.contains(r#""status":null,"target_status":null"#), "{bare}");
        assert!(bare.contains(r#""queue_us":null"#) && bare.contains(r#""ended":"---""#), "{bare}");
    }

    #[test]
    fn combined_is_apaches() {
        assert_eq!(
            line(LogFormat::Combined, &full()),
            "203.0.113.9 - - [22/Nov/2025:16:30:00 +0000] \"POST /cart?item=1 HTTP/1.1\" 200 4321 \
             \"https://shop.example.com/\" \"curl/8\""
        );
        assert_eq!(
            line(LogFormat::Combined, &Record::default()),
            "- - - [01/Jan/1970:00:00:00 +0000] \"-\" - - \"-\" \"-\""
        );
    }

    #[test]
    fn a_request_cannot_leave_its_string() {
        let record =
            Record { path: b"/\"x\\\r\n\t\x01\x7f", user_agent: b"caf\xc3\xa9 \xff\"", ..full() };
        let json = line(LogFormat::Json, &record);
        assert!(json.contains(r#""path":"/\"x\\\r\n\t\u0001\u007f""#), "{json}");
        assert!(json.contains("\"user_agent\":\"café \u{fffd}\\\"\""), "{json}");
        let combined = line(LogFormat::Combined, &record);
        assert!(combined.contains(r#""POST /\"x\\\x0d\x0a\x09\x01\x7f HTTP/1.1""#), "{combined}");
        assert!(combined.ends_with(r#""caf\xc3\xa9 \xff\"""#), "{combined}");
    }

    #[test]
    fn the_second_is_formatted_anew_when_it_changes() {
        let mut formatter = Formatter::new(LogFormat::Json);
        let mut out = Vec::new();
        for time_unix_ms in [999, 1000, 1001, 61_042, 5] {
            formatter.line(&Record { time_unix_ms, ..Record::default() }, &mut out);
        }
        let text = String::from_utf8(out).expect("UTF-8");
        let times: Vec<_> = text.lines().filter_map(|line| line.get(9..33)).collect();
        assert_eq!(
            times,
            [
                "1970-01-01T00:00:00.999Z",
                "1970-01-01T00:00:01.000Z",
                "1970-01-01T00:00:01.001Z",
                "1970-01-01T00:01:01.042Z",
                "1970-01-01T00:00:00.005Z",
            ]
        );
    }

    #[test]
    fn an_impossible_time_is_no_panic() {
        let record = Record { time_unix_ms: u64::MAX, ..Record::default() };
        assert!(line(LogFormat::Json, &record).contains("1970-01-01"));
    }

    proptest! {
        #[test]
        fn any_bytes_make_one_json_object(
            path in proptest::collection::vec(any::<u8>(), 0..64),
            name in ".{0,16}",
        ) {
            let record = Record { path: &path, listener: &name, ..full() };
            let value: serde_json::Value =
                serde_json::from_str(&line(LogFormat::Json, &record)).expect("JSON");
            let text = String::from_utf8_lossy(&path);
            prop_assert_eq!(value["path"].as_str().unwrap_or_default(), text);
            prop_assert_eq!(value["listener"].as_str().unwrap_or_default(), &name);
            let combined = line(LogFormat::Combined, &record);
            prop_assert!(combined.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        }
    }
}
