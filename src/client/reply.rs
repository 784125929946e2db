//! Answers of limpet's own, as HTTP/1.

use crate::exchange::answer::Reply;
use crate::http1::answers::OwnResponse;
use crate::snapshot::Listener;

/// Appends the whole response. `date` is the value of Date.
pub fn write(reply: &mut Reply, listener: Option<&Listener>, date: &str, out: &mut Vec<u8>) {
    reply.extra.extend_from_slice(b"Date: ");
    reply.extra.extend_from_slice(date.as_bytes());
    reply.extra.extend_from_slice(b"\r\n");
    let answer = &reply.answer(listener);
    let Reply { status, ref extra, keep, head_only, http10, .. } = *reply;
    OwnResponse { status, answer, extra, keep, head_only, http10 }.write(out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::failure::Failure;
    use crate::http::head::{Method, Version};

    fn written(method: Method, version: Version, request_bytes: Option<usize>) -> String {
        let mut reply = Reply::failure(Failure::NoTarget).after(method, version, request_bytes);
        let mut out = b"before".to_vec();
        write(&mut reply, None, "Sun, 06 Nov 1994 08:49:37 GMT", &mut out);
        String::from_utf8(out.split_off(6)).unwrap()
    }

    #[test]
    fn an_answer_has_a_date_and_says_whether_its_connection_goes_on() {
        let whole = written(Method::Get, Version::Http11, Some(7));
        assert!(whole.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{whole:?}");
        assert!(whole.contains("\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
        assert!(whole.ends_with("\r\n\r\n503 Service Unavailable\n"));
        assert!(!whole.contains("Connection:"));
        assert!(written(Method::Get, Version::Http11, None).contains("Connection: close\r\n"));
        let old = written(Method::Get, Version::Http10, Some(7));
        assert!(old.contains("Connection: keep-alive\r\n"));
    }

    #[test]
    fn an_answer_to_head_says_how_long_it_would_be() {
        let head = written(Method::Head, Version::Http11, Some(7));
        assert!(head.contains("Content-Length: 24\r\n") && head.ends_with("\r\n\r\n"), "{head:?}");
    }
}
