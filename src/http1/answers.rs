//! Responses of limpet's own on the wire: small, framed by Content-Length, no version banner.
//!
//! Never reads a clock: the caller passes Date, where it is wanted, in `extra`. Tested beside the code.

use crate::http::answers::{Answer, reason};

/// One response of limpet's own.
#[derive(Debug, Clone, Copy)]
pub struct OwnResponse<'a> {
    pub status: u16,
    pub answer: &'a Answer,
    /// Whole field lines (each with CRLF), e.g. Location or Allow.
    pub extra: &'a [u8],
    /// Whether the connection stays open after the response.
    pub keep: bool,
    /// The request's method is HEAD: the body is left out, Content-Length stays.
    pub head_only: bool,
    /// The client speaks HTTP/1.0, which closes a connection unless it is told otherwise.
    pub http10: bool,
}

impl OwnResponse<'_> {
    /// Appends the whole response.
    ///
    /// 204 and 304 have neither content nor Content-Length, whatever `answer` holds (RFC 9110 §8.6).
    pub fn write(&self, out: &mut Vec<u8>) {
        let OwnResponse { status, answer, .. } = *self;
        let mut number = itoa::Buffer::new();
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(number.format(status).as_bytes());
        out.push(b' ');
        out.extend_from_slice(reason(status).as_bytes());
        out.extend_from_slice(b"\r\n");
        let has_content = !matches!(status, 100..=199 | 204 | 304);
        if has_content {
            if !answer.content_type.is_empty() && !answer.body.is_empty() {
                out.extend_from_slice(b"Content-Type: ");
                out.extend_from_slice(answer.content_type.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"Content-Length: ");
            out.extend_from_slice(number.format(answer.body.len()).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(self.extra);
        out.extend_from_slice(match (self.keep, self.http10) {
            (false, _) => b"Connection: close\r\n\r\n",
            (true, true) => b"Connection: keep-alive\r\n\r\n",
            (true, false) => b"\r\n",
        });
        if has_content && !self.head_only {
            out.extend_from_slice(&answer.body);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::http::answers::{reason, standard};
    use crate::http1::answers::*;

    fn written(status: u16, extra: &[u8], keep: bool, head_only: bool, http10: bool) -> String {
        let mut out = b"before ".to_vec();
        let answer = &standard(status);
        OwnResponse { status, answer, extra, keep, head_only, http10 }.write(&mut out);
        let text = String::from_utf8(out).expect("ASCII");
        text.strip_prefix("before ").expect("appended").to_owned()
    }

    #[test]
    fn an_answer_is_framed_by_content_length() {
        assert_eq!(
            written(503, b"", false, false, false),
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: 24\r\nConnection: close\r\n\r\n503 Service Unavailable\n"
        );
    }

    #[test]
    fn head_gets_the_length_without_the_body() {
        assert_eq!(
            written(405, b"Allow: GET\r\n", true, true, false),
            "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: 23\r\nAllow: GET\r\n\r\n"
        );
    }

    #[test]
    fn a_kept_http10_connection_is_told_so() {
        assert!(
            written(404, b"", true, false, true).contains("\r\nConnection: keep-alive\r\n\r\n")
        );
        assert!(written(404, b"", false, false, true).contains("\r\nConnection: close\r\n\r\n"));
        assert!(!written(404, b"", true, false, false).contains("Connection"));
    }

    #[test]
    fn statuses_without_content_have_none_and_no_length() {
        for status in [204, 304] {
            let text = written(status, b"", true, false, false);
            assert_eq!(text, format!("HTTP/1.1 {status} {}\r\n\r\n", reason(status)));
        }
    }

    #[test]
    fn every_status_has_a_body_even_an_unknown_one() {
        for status in 400..600 {
            let body = standard(status).body;
            assert!(body.starts_with(status.to_string().as_bytes()) && body.ends_with(b"\n"));
        }
        assert_eq!(reason(299), "");
        assert_eq!(written(599, b"", true, false, false).lines().next(), Some("HTTP/1.1 599 "));
    }
}
