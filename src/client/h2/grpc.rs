//! Calls of gRPC as a client of HTTP/2 makes them: what a head asks for, and how the client is told what limpet itself
//! answers: by "trailers-only" responses with a status of gRPC in the place of HTTP's (gRPC over HTTP/2). Pure. Tested
//! beside it.

use crate::http::fields::Field;
use crate::http::grpc::{is_type_of_call, status, status_of, timeout_ms};
use crate::http::head::Method;
use crate::http2::hpack::block::Block;
use crate::http2::hpack::line::Pseudo;

/// The content type of every call and response; a format may follow behind a plus sign.
pub const CONTENT_TYPE: &[u8] = b"application/grpc";

/// What a head says of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    pub is_call: bool,
    /// How long the call may take from now on, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Its `grpc-timeout` is none.
    pub is_timeout_invalid: bool,
}

/// Looks whether a request is a call, which is a POST of that content type, and how long it may take.
pub fn asked(method: Method, fields: &[Field<'_>]) -> Asked {
    let mut asked = Asked::default();
    if method != Method::Post {
        return asked;
    }
    for &Field { name, value, .. } in fields {
        if name == b"content-type" {
            asked.is_call = is_type_of_call(value);
        } else if name == b"grpc-timeout" {
            // A second one would contradict the first.
            let timeout = timeout_ms(value).filter(|_| asked.timeout_ms.is_none());
            asked.is_timeout_invalid |= timeout.is_none();
            asked.timeout_ms = timeout;
        }
    }
    if asked.is_call { asked } else { Asked::default() }
}

/// Whether the client of this head takes answers for those to a call.
pub fn is_call(head: &Block) -> bool {
    let mut parts = head.lines().iter().map(|line| head.parts(line));
    let is_post = head.pseudo(Pseudo::Method) == Some(b"POST");
    is_post && parts.any(|(name, value)| name == b"content-type" && is_type_of_call(value))
}

/// The status that stands for an answer of limpet's own: what gRPC's own table makes of the HTTP status
/// ("HTTP to gRPC status code mapping"), and the codes that say more. `why` is the answer's word in the log.
pub fn status(http: u16, why: &str) -> u32 {
    if let Some(status) = why.strip_prefix("grpc_").and_then(status_of) {
        return status;
    }
    match (http, why) {
        (_, "response_timeout" | "grpc_timeout") => status::DEADLINE_EXCEEDED,
        (_, "head_too_long" | "too_many_fields" | "content_too_large") => {
            status::RESOURCE_EXHAUSTED
        }
        (400, _) => status::INTERNAL,
        (401, _) => status::UNAUTHENTICATED,
        (403, _) => status::PERMISSION_DENIED,
        (404 | 501, _) => status::UNIMPLEMENTED,
        (429 | 502..=504, _) => status::UNAVAILABLE,
        _ => status::UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use crate::client::h2::grpc::*;
    use crate::http::fields::FieldId;

    fn of(method: Method, fields: &[(&'static str, &'static str)]) -> Asked {
        let fields: Vec<Field<'_>> = fields
            .iter()
            .map(|(name, value)| {
                let (name, value) = (name.as_bytes(), value.as_bytes());
                Field::new(name, value, FieldId::Other)
            })
            .collect();
        asked(method, &fields)
    }

    const TYPE: (&str, &str) = ("content-type", "application/grpc+proto");

    #[test]
    fn a_call_is_a_post_of_its_type() {
        assert!(of(Method::Post, &[("a", "b"), TYPE]).is_call);
        assert!(!of(Method::Get, &[TYPE]).is_call);
        assert!(!of(Method::Post, &[("content-type", "application/grpc-web")]).is_call);
        let timed = [("grpc-timeout", "1S")];
        assert_eq!(of(Method::Post, &timed), Asked::default(), "its time means nothing else");
    }

    #[test]
    fn a_call_has_one_timeout_or_none() {
        let timed = |fields: &[(&'static str, &'static str)]| {
            let asked = of(Method::Post, &[&[TYPE], fields].concat());
            (asked.timeout_ms, asked.is_timeout_invalid)
        };
        assert_eq!(timed(&[]), (None, false));
        assert_eq!(timed(&[("grpc-timeout", "5S")]), (Some(5000), false));
        assert!(timed(&[("grpc-timeout", "5s")]).1);
        assert!(timed(&[("grpc-timeout", "5S"), ("grpc-timeout", "5S")]).1, "one is too many");
        assert!(timed(&[("grpc-timeout", "x"), ("grpc-timeout", "5S")]).1);
    }

    #[test]
    fn every_status_has_its_own() {
        let cases = [
            (503, "no_target", 14),
            (502, "connect_refused", 14),
            (504, "connect_timeout", 14),
            (504, "response_timeout", 4),
            (504, "grpc_timeout", 4),
            (503, "grpc_unavailable", 14),
            (503, "grpc_aborted", 10),
            (400, "bad_grpc_timeout", 13),
            (429, "rate", 14),
            (400, "bad_path", 13),
            (401, "", 16),
            (403, "", 7),
            (404, "", 12),
            (501, "", 12),
            (413, "content_too_large", 8),
            (431, "head_too_long", 8),
            (302, "", 2),
        ];
        for (http, why, wanted) in cases {
            assert_eq!(status(http, why), wanted, "{http} {why}");
        }
    }
}
