//! Calls of gRPC: which requests are some, what a response says of one, and how it went (gRPC over HTTP/2, Responses).
//!
//! Only targets that are spoken to in HTTP/2 answer calls. Pure. Tested below and over real sockets.

use crate::http::fields::{Field, trim};
use crate::http::grpc::is_type_of_call;
use crate::http::head::{Method, Version};

const STATUS: &[u8] = b"grpc-status";

/// A request as a call of gRPC.
#[derive(Debug, Clone, Copy, Default)]
pub struct Call {
    /// It came over HTTP/2, by POST and with the content type of calls.
    pub is_call: bool,
    /// Whether it may be tried again after an answer of the target that it now goes to.
    pub again: Again,
}

/// Whether a call may be tried again, where its group retries the status that it was answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Again {
    #[default]
    Never,
    /// If the group's budget has room for it.
    WithinBudget,
    Surely,
}

/// The status that is in place of an answer where targets answer calls only, and this request is none.
pub fn status_for_others(version: Version, method: Method) -> u16 {
    match (version, method) {
        (Version::Http2 | Version::Http3, Method::Post) => 415,
        (Version::Http2 | Version::Http3, _) => 405,
        (Version::Http10 | Version::Http11, _) => 505,
    }
}

/// Whether a request is a call, which is a POST of that content type.
pub fn is_call(method: Method, fields: &[Field<'_>]) -> bool {
    method == Method::Post && is_of_call(fields)
}

/// Whether the response is of a call: its type is `application/grpc`, or `application/grpc+…`. gRPC-Web, which has its
/// status in its content, is none.
pub fn is_of_call(fields: &[Field<'_>]) -> bool {
    value(fields, b"content-type").is_some_and(is_type_of_call)
}

/// The status of a response that is its trailers only.
pub fn status_of_head(fields: &[Field<'_>]) -> Option<u32> {
    number(value(fields, STATUS)?)
}

/// The status in trailer lines, `name: value CRLF` each.
pub fn status_of_trailers(lines: &[u8]) -> Option<u32> {
    let mut lines = lines.split(|byte| *byte == b'\n');
    lines.find_map(|line| {
        let (name, value) = line.split_at_checked(STATUS.len())?;
        let value = value.strip_prefix(b":").filter(|_| name.eq_ignore_ascii_case(STATUS))?;
        number(value.strip_suffix(b"\r").unwrap_or(value))
    })
}

fn value<'b>(fields: &[Field<'b>], name: &[u8]) -> Option<&'b [u8]> {
    fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
}

/// A number of decimal digits; what is none says nothing.
fn number(value: &[u8]) -> Option<u32> {
    let digits = trim(value);
    let is_number = digits.len() <= 9 && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use crate::exchange::grpc::*;
    use crate::http::fields::FieldId;

    fn field(name: &'static str, value: &'static str) -> Field<'static> {
        let (name, value) = (name.as_bytes(), value.as_bytes());
        Field::new(name, value, FieldId::Other)
    }

    #[test]
    fn a_response_is_of_a_call_by_its_type() {
        let typed = [field("x", "y"), field("Content-Type", "application/grpc+proto")];
        assert!(is_of_call(&typed));
        assert!(super::is_call(Method::Post, &typed) && !super::is_call(Method::Get, &typed));
        assert!(!is_of_call(&[field("content-type", "application/grpc-web")]));
        assert!(!is_of_call(&[]));
    }

    #[test]
    fn a_status_is_a_number_in_the_head_or_in_the_trailers() {
        assert_eq!(status_of_head(&[field("a", "1"), field("grpc-status", "14")]), Some(14));
        assert_eq!(status_of_head(&[field("grpc-statuses", "14")]), None);
        for (lines, expected) in [
            ("grpc-status: 0\r\n", Some(0)),
            ("grpc-message: no\r\ngrpc-status: 13\r\nx: y\r\n", Some(13)),
            ("grpc-status:5\n", Some(5)),
            ("grpc-status: 4000000000\r\n", None),
            ("grpc-status: -1\r\n", None),
            ("grpc-status: \r\n", None),
            ("grpc-status-details-bin: 3\r\n", None),
            ("x: grpc-status: 3\r\n", None),
            ("", None),
        ] {
            assert_eq!(status_of_trailers(lines.as_bytes()), expected, "{lines}");
        }
    }
}
