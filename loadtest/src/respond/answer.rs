//! The bytes of an answer.
//!
//! Owns: heads, content and chunks as they go out. Never: a copy of large content; that is sent from
//! memory which all answers share. Tested below.

use std::ops::Range;
use std::sync::Arc;

use http::StatusCode;

use super::mix::Status;
use super::request::Refusal;
use super::script::Plan;

/// Up to here, content goes out in one piece with its head.
const INLINE_BYTES: usize = 8 * 1024;

/// Content of one chunk; the last one is shorter.
const CHUNK_BYTES: usize = 8 * 1024;

/// Chunks, or as many bytes as are in them, that go out at once.
const CHUNK_COUNT: usize = 32;

/// What all content is made of.
const FILLER: u8 = b'x';

/// What is sent instead of an answer that is to be garbage.
pub const GARBAGE: &[u8] = b"\x16\x03garbage \0\xff\xfe, which no HTTP is\r\n\r\n\x80";

/// What is still to be sent of an answer's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    left: u64,
    chunked: bool,
}

/// What the answers of a responder have in common.
#[derive(Debug, Clone)]
pub struct Answers {
    /// Value of X-Target.
    id: String,
    /// Content without framing.
    plain: Arc<[u8]>,
    /// Whole chunks, each of `unit` bytes with its framing.
    chunks: Arc<[u8]>,
    unit: usize,
}

impl Answers {
    pub fn new(id: &str) -> Answers {
        let mut unit = Vec::new();
        write_chunk(CHUNK_BYTES, &mut unit);
        Answers {
            id: id.to_owned(),
            plain: vec![FILLER; CHUNK_COUNT * CHUNK_BYTES].into(),
            chunks: unit.repeat(CHUNK_COUNT).into(),
            unit: unit.len(),
        }
    }

    /// Value of X-Target.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What content is taken from.
    pub fn content(&self) -> &[u8] {
        &self.plain
    }

    /// Writes the answer to `out`, but for what it returns: that is to be fetched with
    /// [`piece`](Answers::piece). `echo` is the value of X-Echo; `received` counts the request's content.
    pub fn write(
        &self,
        plan: &Plan,
        echo: Option<&[u8]>,
        received: Option<u64>,
        out: &mut Vec<u8>,
    ) -> Option<Rest> {
        self.write_status(plan.status, out);
        if let Some(echo) = echo {
            write_field(b"X-Request-Echo", echo, out);
        }
        if let Some(received) = received {
            write_number(b"X-Request-Received", received, out);
        }
        if !plan.keep {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if plan.old {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        if !plan.status.is_bare() {
            out.extend_from_slice(b"Content-Type: text/plain\r\n");
            if plan.chunked {
                out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            } else {
                write_number(b"Content-Length", plan.size, out);
            }
        }
        out.extend_from_slice(b"\r\n");
        if plan.head_only {
            return None;
        }
        match usize::try_from(plan.size) {
            Ok(size) if size <= INLINE_BYTES => {
                if plan.chunked {
                    write_last_chunks(size, out);
                } else {
                    out.resize(out.len() + size, FILLER);
                }
                None
            }
            _ => Some(Rest { left: plan.size, chunked: plan.chunked }),
        }
    }

    /// The next piece of `rest`: memory that all answers share and what of it to send behind `out`, or,
    /// where the range is empty, bytes that are now in `out`. `rest` is `None` after the last piece.
    pub fn piece(&self, rest: &mut Option<Rest>, out: &mut Vec<u8>) -> (&Arc<[u8]>, Range<usize>) {
        let Some(Rest { left, chunked }) = rest.take() else { return (&self.plain, 0..0) };
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(self.plain.len());
        if !chunked {
            *rest = remaining(left, count, chunked);
            return (&self.plain, 0..count);
        }
        if count < CHUNK_BYTES {
            write_last_chunks(count, out);
            return (&self.chunks, 0..0);
        }
        let chunks = count / CHUNK_BYTES;
        // Something always remains: the last chunk, of size zero.
        *rest = Some(Rest { left: left - (chunks * CHUNK_BYTES) as u64, chunked });
        (&self.chunks, 0..chunks * self.unit)
    }

    /// Writes the answer to a request that is refused; the connection closes after it.
    pub fn refuse(&self, refusal: Refusal, out: &mut Vec<u8>) {
        let text = format!("{refusal}\n");
        self.write_status(refusal.status(), out);
        out.extend_from_slice(b"Connection: close\r\nContent-Type: text/plain\r\n");
        write_number(b"Content-Length", text.len() as u64, out);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(text.as_bytes());
    }

    fn write_status(&self, status: Status, out: &mut Vec<u8>) {
        let number = status.number();
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        out.push(b' ');
        let known = StatusCode::from_u16(number).ok();
        let reason = known.and_then(|status| status.canonical_reason()).unwrap_or_default();
        out.extend_from_slice(reason.as_bytes());
        out.extend_from_slice(b"\r\n");
        write_field(b"X-Target", self.id.as_bytes(), out);
    }
}

/// What is left when `count` bytes of `left` have gone.
fn remaining(left: u64, count: usize, chunked: bool) -> Option<Rest> {
    let left = left - count as u64;
    (left > 0).then_some(Rest { left, chunked })
}

fn write_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn write_number(name: &[u8], value: u64, out: &mut Vec<u8>) {
    write_field(name, itoa::Buffer::new().format(value).as_bytes(), out);
}

/// Writes less than a whole chunk, or one, and the end of chunked content.
fn write_last_chunks(size: usize, out: &mut Vec<u8>) {
    if size > 0 {
        write_chunk(size, out);
    }
    write_chunk(0, out);
}

/// Writes one chunk of filler; of size zero, it ends the content.
fn write_chunk(size: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{size:x}\r\n").as_bytes());
    out.resize(out.len() + size, FILLER);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::respond::content::Content;
    use crate::wire::Framing;

    fn plan(size: u64) -> Plan {
        Plan {
            status: Status::OK,
            size,
            chunked: false,
            head_only: false,
            old: false,
            keep: true,
            delay: Duration::ZERO,
            fault: None,
        }
    }

    /// The whole answer, and in how many pieces it came.
    fn write(plan: &Plan, echo: Option<&[u8]>, received: Option<u64>) -> (Vec<u8>, usize) {
        let answers = Answers::new("a");
        let (mut all, mut pieces) = (Vec::new(), 1);
        let mut rest = answers.write(plan, echo, received, &mut all);
        while rest.is_some() {
            let mut out = Vec::new();
            let (shared, range) = answers.piece(&mut rest, &mut out);
            assert!(out.is_empty() || range.is_empty(), "a piece is in one place");
            all.extend_from_slice(&out);
            all.extend_from_slice(&shared[range]);
            pieces += 1;
        }
        (all, pieces)
    }

    fn text(plan: &Plan) -> String {
        String::from_utf8(write(plan, None, None).0).unwrap()
    }

    #[test]
    fn a_small_answer_is_one_piece() {
        assert_eq!(
            write(&plan(3), Some(b"17"), Some(5)),
            (
                b"HTTP/1.1 200 OK\r\nX-Target: a\r\nX-Request-Echo: 17\r\nX-Request-Received: 5\r\n\
                  Content-Type: text/plain\r\nContent-Length: 3\r\n\r\nxxx"
                    .to_vec(),
                1
            )
        );
    }

    #[test]
    fn heads_say_what_framing_status_and_connection_need() {
        let head = |fields: &str| format!("HTTP/1.1 200 OK\r\nX-Target: a\r\n{fields}\r\n");
        let content = "Content-Type: text/plain\r\nContent-Length: 2\r\n";
        let chunks = "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n";
        let plan = plan(2);
        let table = [
            (Plan { head_only: true, ..plan }, head(content)),
            (Plan { head_only: true, chunked: true, ..plan }, head(chunks)),
            (Plan { chunked: true, ..plan }, head(chunks) + "2\r\nxx\r\n0\r\n\r\n"),
            (Plan { chunked: true, size: 0, ..plan }, head(chunks) + "0\r\n\r\n"),
            (
                Plan { keep: false, ..plan },
                head(&("Connection: close\r\n".to_owned() + content)) + "xx",
            ),
            (
                Plan { old: true, ..plan },
                head(&("Connection: keep-alive\r\n".to_owned() + content)) + "xx",
            ),
        ];
        for (plan, expected) in table {
            assert_eq!(text(&plan), expected, "{plan:?}");
        }
        let bare = Plan { status: "204".parse().unwrap(), head_only: true, ..plan };
        assert_eq!(text(&bare), "HTTP/1.1 204 No Content\r\nX-Target: a\r\n\r\n");
        let unknown = Plan { status: "299".parse().unwrap(), ..plan };
        assert!(text(&unknown).starts_with("HTTP/1.1 299 \r\n"));
    }

    #[test]
    fn content_of_any_size_is_complete_in_pieces() {
        let block = (CHUNK_COUNT * CHUNK_BYTES) as u64;
        let inline = INLINE_BYTES as u64;
        for size in [0, 1, inline, inline + 1, block - 1, block, block + 1, 3 * block + 5, 1 << 20]
        {
            for (chunked, framing) in [(false, Framing::Length(size)), (true, Framing::Chunked)] {
                let (bytes, pieces) = write(&Plan { chunked, ..plan(size) }, None, None);
                let head = bytes.windows(4).position(|at| at == b"\r\n\r\n").unwrap() + 4;
                let mut content = Content::new(framing);
                let (used, ended) = content.take(&bytes[head..]).unwrap();
                assert!(ended, "{size} {chunked}");
                assert_eq!((used, content.received), (bytes.len() - head, size));
                assert_eq!(pieces == 1, size <= inline, "{size} {chunked}");
            }
        }
    }

    #[test]
    fn a_refusal_says_why_and_closes() {
        let mut out = Vec::new();
        Answers::new("a").refuse(Refusal::Coding, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("HTTP/1.1 501 Not Implemented\r\nX-Target: a\r\n"), "{text}");
        assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
        let (head, content) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("\r\nContent-Length: {}", content.len())), "{text}");
        assert_eq!(content, format!("{}\n", Refusal::Coding));
    }
}
