//! A request's head, and what in it the answer depends on.
//!
//! Owns: reading the head, the framing of the content (RFC 9112 §6.3) and whether the connection is
//! kept (§9.3). Never: tolerance where two readers could disagree on where a message ends; such a
//! request is refused, so that a balancer that lets one through is found out. Tested below as tables.

use std::mem::MaybeUninit;

use super::mix::Status;
use crate::wire::Framing;

/// Most field lines of a request.
const FIELD_COUNT_MAX: usize = 128;

/// Longest head.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What is asked in a request's head; `'h` is the head.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'h> {
    /// Size of the head with its empty line.
    pub head_bytes: usize,
    /// What follows the question mark of the request-target; empty without one.
    pub query: &'h str,
    /// Asked with HEAD: the answer has no content.
    pub head_only: bool,
    /// HTTP/1.0: knows neither chunks nor 100 Continue.
    pub old: bool,
    /// The client wishes to go on with the connection.
    pub keep: bool,
    /// Waits for 100 Continue before it sends content.
    pub expects: bool,
    /// How the end of the content is found; `None` without content.
    pub framing: Option<Framing>,
    /// Value of X-Echo.
    pub echo: Option<&'h [u8]>,
}

/// Why a request is not answered as asked. The connection closes after each of them, because nobody
/// knows where the next request begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the head is not one of HTTP/1")]
    Head,
    #[error("the head has more than {FIELD_COUNT_MAX} fields or {HEAD_BYTES_MAX} bytes")]
    HeadTooLarge,
    #[error("Content-Length is not one number")]
    Length,
    #[error("Content-Length and Transfer-Encoding exclude each other")]
    TwoFramings,
    #[error("the only transfer coding known here is chunked, in HTTP/1.1")]
    Coding,
    #[error("the content is not in chunks as RFC 9112 §7.1 says")]
    Chunk,
    #[error("size, delay, chunked, status or fault in the query cannot be read")]
    Query,
}

impl Refusal {
    /// The status that says it.
    pub fn status(self) -> Status {
        match self {
            Refusal::Head
            | Refusal::Length
            | Refusal::TwoFramings
            | Refusal::Chunk
            | Refusal::Query => Status::BAD_REQUEST,
            Refusal::HeadTooLarge => Status::HEAD_TOO_LARGE,
            Refusal::Coding => Status::NOT_IMPLEMENTED,
        }
    }
}

impl<'h> Request<'h> {
    /// Reads the head at the beginning of `bytes`; `None` when it has not arrived whole.
    ///
    /// # Errors
    /// When no head begins there, or one that cannot be answered.
    pub fn read(bytes: &'h [u8]) -> Result<Option<Request<'h>>, Refusal> {
        let mut storage = [const { MaybeUninit::uninit() }; FIELD_COUNT_MAX];
        let mut head = httparse::Request::new(&mut []);
        let head_bytes = match head.parse_with_uninit_headers(bytes, &mut storage) {
            Ok(httparse::Status::Complete(size)) if size <= HEAD_BYTES_MAX => size,
            Ok(httparse::Status::Partial) if bytes.len() <= HEAD_BYTES_MAX => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
            Err(_) => return Err(Refusal::Head),
        };
        let old = head.version == Some(0);
        let mut request = Request {
            head_bytes,
            query: head.path.and_then(|path| path.split_once('?')).map_or("", |(_, query)| query),
            head_only: head.method == Some("HEAD"),
            old,
            keep: !old,
            expects: false,
            framing: None,
            echo: None,
        };
        for field in &*head.headers {
            request.take(field.name, field.value)?;
        }
        if matches!(request.framing, Some(Framing::Length(0))) {
            request.framing = None;
        }
        Ok(Some(request))
    }

    /// Takes one field into account.
    fn take(&mut self, name: &str, value: &'h [u8]) -> Result<(), Refusal> {
        // Most fields are none of these, and their length says so.
        match name.len() {
            6 if name.eq_ignore_ascii_case("X-Echo") => self.echo = Some(value),
            6 if name.eq_ignore_ascii_case("Expect") => {
                // RFC 9110 §10.1.1: an expectation in HTTP/1.0 is ignored.
                self.expects = !self.old && value.eq_ignore_ascii_case(b"100-continue");
            }
            10 if name.eq_ignore_ascii_case("Connection") => {
                for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    if option.eq_ignore_ascii_case(b"close") {
                        self.keep = false;
                    } else if self.old && option.eq_ignore_ascii_case(b"keep-alive") {
                        self.keep = true;
                    }
                }
            }
            14 if name.eq_ignore_ascii_case("Content-Length") => {
                let length = Framing::Length(number(value).ok_or(Refusal::Length)?);
                match self.framing {
                    Some(Framing::Chunked) => return Err(Refusal::TwoFramings),
                    Some(before) if before != length => return Err(Refusal::Length),
                    _ => self.framing = Some(length),
                }
            }
            17 if name.eq_ignore_ascii_case("Transfer-Encoding") => {
                if self.framing.is_some() {
                    return Err(Refusal::TwoFramings);
                }
                if self.old || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Refusal::Coding);
                }
                self.framing = Some(Framing::Chunked);
            }
            _ => {}
        }
        Ok(())
    }
}

/// A number in decimal digits and nothing else.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &str) -> Result<Option<Request<'_>>, Refusal> {
        Request::read(head.as_bytes())
    }

    fn whole(head: &str) -> Request<'_> {
        read(head).unwrap().unwrap()
    }

    #[test]
    fn a_head_is_read_once_it_is_whole_and_whatever_follows_it() {
        let head = "GET /a?size=3&x HTTP/1.1\r\nHost: a\r\nx-echo: 17 b\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(read(&head[..end]), Ok(None), "{end} bytes");
        }
        for rest in ["", "GET / HTTP/1.1\r\n\r\n", "\0\0"] {
            let all = format!("{head}{rest}");
            let request = whole(&all);
            assert_eq!(request.head_bytes, head.len());
            assert_eq!((request.query, request.echo), ("size=3&x", Some(b"17 b".as_slice())));
            assert_eq!((request.framing, request.keep, request.head_only), (None, true, false));
        }
    }

    #[test]
    fn the_connection_is_kept_as_version_and_options_say() {
        let table = [
            ("HTTP/1.1\r\n", true),
            ("HTTP/1.1\r\nConnection: close\r\n", false),
            ("HTTP/1.1\r\nConnection: x, CLOSE\r\n", false),
            ("HTTP/1.1\r\nConnection: closed\r\n", true),
            ("HTTP/1.0\r\n", false),
            ("HTTP/1.0\r\nConnection: Keep-Alive\r\n", true),
        ];
        for (rest, keep) in table {
            assert_eq!(whole(&format!("GET / {rest}\r\n")).keep, keep, "{rest:?}");
        }
    }

    #[test]
    fn framing_is_read_and_what_two_could_read_differently_is_refused() {
        let table = [
            ("", Ok(None)),
            ("Content-Length: 0\r\n", Ok(None)),
            ("Content-Length: 12\r\n", Ok(Some(Framing::Length(12)))),
            ("Content-Length: 12\r\nContent-Length: 12\r\n", Ok(Some(Framing::Length(12)))),
            ("Transfer-Encoding: Chunked\r\n", Ok(Some(Framing::Chunked))),
            ("Content-Length: 12\r\nContent-Length: 13\r\n", Err(Refusal::Length)),
            ("Content-Length: 12, 12\r\n", Err(Refusal::Length)),
            ("Content-Length: +12\r\n", Err(Refusal::Length)),
            ("Content-Length:\r\n", Err(Refusal::Length)),
            ("Content-Length: 18446744073709551616\r\n", Err(Refusal::Length)),
            ("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", Err(Refusal::TwoFramings)),
            ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", Err(Refusal::TwoFramings)),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", Err(Refusal::TwoFramings)),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(Refusal::Coding)),
        ];
        for (fields, expected) in table {
            let head = format!("POST / HTTP/1.1\r\n{fields}\r\n");
            assert_eq!(read(&head).map(|request| request.unwrap().framing), expected, "{fields:?}");
        }
        let old = read("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(old.unwrap_err(), Refusal::Coding);
    }

    #[test]
    fn an_expectation_counts_in_http_1_1_only() {
        for (version, expects) in [("1.1", true), ("1.0", false)] {
            let head = format!("PUT / HTTP/{version}\r\nExpect: 100-Continue\r\n\r\n");
            assert_eq!(whole(&head).expects, expects);
        }
    }

    #[test]
    fn what_is_no_head_or_too_large_is_refused() {
        assert_eq!(read("\x16\x03\x01 hello"), Err(Refusal::Head));
        assert_eq!(read("GET / HTTP/2.0\r\n\r\n"), Err(Refusal::Head));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(FIELD_COUNT_MAX + 1));
        assert_eq!(read(&many), Err(Refusal::HeadTooLarge));
        let long = format!("GET / HTTP/1.1\r\na: {}", "b".repeat(HEAD_BYTES_MAX));
        assert_eq!(read(&long), Err(Refusal::HeadTooLarge));
        assert_eq!(read(&format!("{long}\r\n\r\n")), Err(Refusal::HeadTooLarge));
    }
}
