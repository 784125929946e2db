//! The content of a message that is still to come, and how its end is found among the arriving bytes.
//!
//! Used for requests and responses, for traffic and for health checks alike, so that a check never passes where all
//! traffic fails. Pure. Tested
//! below.

use super::chunked::Decoder;
use super::framing::ResponseFraming;
use crate::http::head::ContentLength;
use crate::http::refusal::ChunkFault;

/// The remaining content, by its framing.
#[derive(Debug)]
pub enum Rest {
    None,
    Length(u64),
    Chunked(Decoder),
    UntilClose,
}

/// How a piece of the connection's bytes was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// How many bytes at the front are content now.
    pub content: usize,
    /// How many bytes belonged to the message; those behind them do not.
    pub used: usize,
    /// The content has ended.
    pub end: bool,
}

impl Rest {
    /// For a response with this framing.
    #[inline]
    pub fn of(framing: ResponseFraming) -> Rest {
        match framing {
            ResponseFraming::None => Rest::None,
            ResponseFraming::Length(length) => Rest::Length(length),
            ResponseFraming::Chunked => Rest::Chunked(Decoder::of_response()),
            ResponseFraming::UntilClose => Rest::UntilClose,
        }
    }

    /// For a request with so much content: one of unknown length comes in chunks.
    #[inline]
    pub fn of_request(content: ContentLength) -> Rest {
        match content {
            ContentLength::None => Rest::None,
            ContentLength::Exact(length) => Rest::Length(length),
            ContentLength::Unknown => Rest::Chunked(Decoder::default()),
        }
    }

    /// Reads the next bytes; content moves to their front.
    ///
    /// # Errors
    /// Invalid chunks.
    #[inline]
    pub fn take(&mut self, bytes: &mut [u8]) -> Result<Taken, ChunkFault> {
        Ok(match self {
            Rest::None => Taken { content: 0, used: 0, end: true },
            Rest::Length(rest) => {
                let content = usize::try_from(*rest).unwrap_or(usize::MAX).min(bytes.len());
                *rest -= content as u64;
                Taken { content, used: content, end: *rest == 0 }
            }
            Rest::Chunked(decoder) => {
                let decoded = decoder.decode_in_place(bytes)?;
                Taken { content: decoded.content, used: decoded.consumed, end: decoded.end }
            }
            Rest::UntilClose => Taken { content: bytes.len(), used: bytes.len(), end: false },
        })
    }

    /// Whether the content is known to be over before any byte of it has come.
    pub fn is_none(&self) -> bool {
        matches!(self, Rest::None | Rest::Length(0))
    }

    /// Whether the end of the connection is the end of the content.
    pub fn ends_by_close(&self) -> bool {
        matches!(self, Rest::UntilClose)
    }

    /// The trailer lines of chunked content that has ended.
    pub fn trailers(&self) -> &[u8] {
        match self {
            Rest::Chunked(decoder) => decoder.trailers(),
            Rest::None | Rest::Length(_) | Rest::UntilClose => b"",
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::http1::rest::*;

    #[test]
    fn the_end_is_found_wherever_the_bytes_are_cut() {
        let chunks = &b"2\r\nab\r\n1\r\nc\r\n0\r\nX: y\r\n\r\n"[..];
        for (framing, bytes, content, ends) in [
            (ResponseFraming::None, &b""[..], &b""[..], true),
            (ResponseFraming::Length(0), b"", b"", true),
            (ResponseFraming::Length(3), b"abc", b"abc", true),
            (ResponseFraming::Length(4), b"abc", b"abc", false),
            (ResponseFraming::Chunked, chunks, b"abc", true),
            (ResponseFraming::UntilClose, b"abc", b"abc", false),
        ] {
            for cut in 0..=bytes.len() {
                let mut rest = Rest::of(framing);
                let (mut found, mut is_over) = (Vec::new(), rest.is_none());
                for piece in [&bytes[..cut], &bytes[cut..]] {
                    let mut piece = piece.to_vec();
                    let taken = rest.take(&mut piece).expect("valid");
                    assert_eq!(taken.used, piece.len(), "{framing:?} {cut}");
                    found.extend_from_slice(&piece[..taken.content]);
                    is_over |= taken.end;
                }
                assert_eq!((&*found, is_over), (content, ends), "{framing:?} {cut}");
                let trailers = if bytes == chunks { &b"X: y\r\n"[..] } else { b"" };
                assert_eq!(rest.trailers(), trailers);
                assert_eq!(rest.ends_by_close(), framing == ResponseFraming::UntilClose);
            }
        }
    }

    #[test]
    fn what_is_behind_the_content_is_not_used() {
        for (framing, bytes, used) in [
            (ResponseFraming::None, &b"more"[..], 0),
            (ResponseFraming::Length(1), b"a more", 1),
            (ResponseFraming::Chunked, b"0\r\n\r\nmore", 5),
        ] {
            let taken = Rest::of(framing).take(&mut bytes.to_vec()).expect("valid");
            assert_eq!((taken.used, taken.end), (used, true), "{framing:?}");
        }
        let fault = Rest::of(ResponseFraming::Chunked).take(&mut b"x".to_vec());
        assert_eq!(fault, Err(ChunkFault::SizeInvalid));
    }
}
