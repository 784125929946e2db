//! What reading the heads costs: both sides' heads are parsed as they pass, and nothing follows from it.
//!
//! Owns: finding the heads in the pieces that arrive. Never: an opinion; where a head comes in two
//! pieces, or is followed by content whose end only more reading would find, this side's heads are no
//! longer read, and the bytes pass all the same. Tested below.

use std::hint::black_box;
use std::mem::MaybeUninit;

use httparse::{Header, Status};

/// Most field lines of a head.
const FIELD_COUNT_MAX: usize = 128;

/// Which heads come from a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Request,
    Response,
}

/// One direction of a relayed connection.
#[derive(Debug)]
pub struct Heads {
    kind: Kind,
    /// Bytes of content before the next head.
    left: u64,
    /// Where the next head begins is not known.
    lost: bool,
    /// Heads that were parsed.
    count: u64,
}

impl Heads {
    pub fn new(kind: Kind) -> Heads {
        Heads { kind, left: 0, lost: false, count: 0 }
    }

    /// Parses each head that begins in `bytes`.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while !self.lost && !bytes.is_empty() {
            let content =
                usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
            self.left -= content as u64;
            bytes = &bytes[content..];
            if !bytes.is_empty() {
                match self.parse(bytes) {
                    Some((size, left)) => (bytes, self.left) = (&bytes[size..], left),
                    None => self.lost = true,
                }
            }
        }
    }

    /// Parses the head at the beginning of `bytes`; returns its size, and that of its content.
    fn parse(&mut self, bytes: &[u8]) -> Option<(usize, u64)> {
        let mut storage = [const { MaybeUninit::uninit() }; FIELD_COUNT_MAX];
        let (parsed, fields): (_, &[Header<'_>]) = match self.kind {
            Kind::Request => {
                let mut head = httparse::Request::new(&mut []);
                let parsed = head.parse_with_uninit_headers(bytes, &mut storage);
                (parsed, &*black_box(head).headers)
            }
            Kind::Response => {
                let mut head = httparse::Response::new(&mut []);
                let parser = httparse::ParserConfig::default();
                let parsed =
                    parser.parse_response_with_uninit_headers(&mut head, bytes, &mut storage);
                (parsed, &*black_box(head).headers)
            }
        };
        let Ok(Status::Complete(size)) = parsed else { return None };
        self.count += 1;
        let mut left = 0;
        for field in fields {
            if field.name.eq_ignore_ascii_case("Content-Length") {
                left = str::from_utf8(field.value).ok()?.parse().ok()?;
            } else if field.name.eq_ignore_ascii_case("Transfer-Encoding") {
                return None;
            }
        }
        Some((size, left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_found_until_one_cannot_be() {
        let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let post = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n";
        let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab";
        let (request, response) = (Kind::Request, Kind::Response);
        // What arrives in which pieces, how many heads are found, and whether the trail is lost.
        let table: [(Kind, &[&str], u64, bool); 7] = [
            (request, &[get, get], 2, false),
            (request, &[&(get.to_owned() + get)], 2, false),
            (request, &[post, "ab", "c", get], 2, false),
            (request, &[&(post.to_owned() + "abc" + get)], 2, false),
            (request, &[get, "GET / HT", "TP/1.1\r\n\r\n", get], 1, true),
            (response, &[ok, ok], 2, false),
            (response, &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ok], 1, true),
        ];
        for (kind, pieces, count, lost) in table {
            let mut heads = Heads::new(kind);
            pieces.iter().for_each(|piece| heads.pass(piece.as_bytes()));
            assert_eq!((heads.count, heads.lost), (count, lost), "{pieces:?}");
        }
    }
}
