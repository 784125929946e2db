//! Content still to come from the target, and what the client is sent of it.

use std::io;

use super::content::{self, CHUNK_ROOM};
use super::converse::Finished;
use super::entry::Entry;
use super::failure::Failure;
use crate::http1::chunked::{self, Decoder};
use crate::http1::framing::ResponseFraming;
use crate::uring::buffers;

/// A response whose head has been written, with the content that came along.
#[derive(Default)]
pub(super) struct Started {
    pub(super) out: Vec<u8>,
    pub(super) incoming: Incoming,
    /// The content goes to the client in chunks.
    pub(super) as_chunks: bool,
    /// What becomes of both connections if the rest goes well.
    pub(super) finished: Finished,
}

/// Content still to come from the target.
#[derive(Default)]
pub(super) enum Incoming {
    #[default]
    Ended,
    Length(u64),
    Chunked(Decoder),
    UntilClose,
}

impl From<ResponseFraming> for Incoming {
    fn from(framing: ResponseFraming) -> Incoming {
        match framing {
            ResponseFraming::None | ResponseFraming::Length(0) => Incoming::Ended,
            ResponseFraming::Length(length) => Incoming::Length(length),
            ResponseFraming::Chunked => Incoming::Chunked(Decoder::of_response()),
            ResponseFraming::UntilClose => Incoming::UntilClose,
        }
    }
}

impl Started {
    /// Appends the content that came with the head.
    pub(super) fn take_content(
        &mut self,
        bytes: &mut [u8],
        entry: &mut Entry,
    ) -> Result<(), Failure> {
        if self.out.len() + bytes.len() + 64 > self.out.capacity() {
            let mut larger = buffers::large();
            larger.extend_from_slice(&self.out);
            buffers::give_back(std::mem::replace(&mut self.out, larger));
        }
        match &mut self.incoming {
            Incoming::Ended => self.finished.keep_target &= bytes.is_empty(),
            Incoming::Length(rest) => {
                let taken = usize::try_from(*rest).unwrap_or(usize::MAX).min(bytes.len());
                self.out.extend_from_slice(bytes.get(..taken).unwrap_or_default());
                self.finished.keep_target &= taken == bytes.len();
                entry.response_content_bytes += taken as u64;
                *rest -= taken as u64;
                if *rest == 0 {
                    self.incoming = Incoming::Ended;
                }
            }
            Incoming::Chunked(decoder) => {
                let length = bytes.len();
                let decoded =
                    decoder.decode_in_place(bytes).map_err(Failure::TargetContentInvalid)?;
                let content = bytes.get(..decoded.content).unwrap_or_default();
                entry.response_content_bytes += decoded.content as u64;
                if self.as_chunks {
                    content::append_chunk(content, &mut self.out);
                } else {
                    self.out.extend_from_slice(content);
                }
                if decoded.end {
                    if self.as_chunks {
                        chunked::write_end(decoder.trailers(), &mut self.out);
                    }
                    self.finished.keep_target &= decoded.consumed == length;
                    self.incoming = Incoming::Ended;
                }
            }
            Incoming::UntilClose => {
                entry.response_content_bytes += bytes.len() as u64;
                if self.as_chunks {
                    content::append_chunk(bytes, &mut self.out);
                } else {
                    self.out.extend_from_slice(bytes);
                }
            }
        }
        Ok(())
    }
}

impl Incoming {
    /// Turns one receive from the target into what the client is sent: buffer and where it starts.
    pub(super) fn accept(
        &mut self,
        result: io::Result<usize>,
        expired: bool,
        mut buffer: Vec<u8>,
        as_chunks: bool,
        keep_target: &mut bool,
        entry: &mut Entry,
    ) -> Result<(Vec<u8>, usize), Failure> {
        let count = match result {
            Ok(count) if count > 0 => count,
            Ok(_) if matches!(self, Incoming::UntilClose) && !expired => {
                *self = Incoming::Ended;
                let end = as_chunks.then_some(&b""[..]);
                let from = content::close_chunk(&mut buffer, end);
                return Ok((buffer, from));
            }
            Ok(_) | Err(_) if expired => return Err(Failure::TargetContentTimeout),
            Ok(_) => return Err(Failure::TargetContentShort),
            Err(_) => return Err(Failure::TargetContentReset),
        };
        match self {
            Incoming::Ended => {}
            Incoming::UntilClose => {
                entry.response_content_bytes += count as u64;
                if as_chunks {
                    let from = content::close_chunk(&mut buffer, None);
                    return Ok((buffer, from));
                }
            }
            Incoming::Length(rest) => {
                let taken = (*rest).min(count as u64);
                *keep_target &= taken == count as u64;
                entry.response_content_bytes += taken;
                buffer.truncate(CHUNK_ROOM + usize::try_from(taken).unwrap_or(count));
                *rest -= taken;
                if *rest == 0 {
                    *self = Incoming::Ended;
                }
            }
            Incoming::Chunked(decoder) => {
                let input = buffer.get_mut(CHUNK_ROOM..).unwrap_or_default();
                let decoded =
                    decoder.decode_in_place(input).map_err(Failure::TargetContentInvalid)?;
                *keep_target &= !decoded.end || decoded.consumed == count;
                entry.response_content_bytes += decoded.content as u64;
                buffer.truncate(CHUNK_ROOM + decoded.content);
                let mut from = CHUNK_ROOM;
                if as_chunks {
                    let trailers = decoded.end.then(|| decoder.trailers());
                    from = content::close_chunk(&mut buffer, trailers);
                }
                if decoded.end {
                    *self = Incoming::Ended;
                }
                return Ok((buffer, from));
            }
        }
        Ok((buffer, CHUNK_ROOM))
    }
}
