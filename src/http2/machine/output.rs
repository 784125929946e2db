//! The bytes that are to be sent: control frames, and behind them the frames of streams in their order.
//!
//! ```text
//! control: | PING ack | WINDOW_UPDATE | …            goes first
//! frames:  | HEADERS 1 | DATA 1 | RST_STREAM 3 | …   keeps its order: no stream's frame overtakes another of its own,
//!                                                    and none that was written under older settings their ack
//! ```
//! Content is copied once, into `frames`, and no more of it than [`ROOM_BYTES`] between two sends. Tested through the
//! machine.

use super::budgets::unsent_control;
use super::fault::Abuse;
use crate::http2::frame::error_code::ErrorCode;
use crate::http2::frame::write;

/// Most bytes of content that wait to be sent.
pub const ROOM_BYTES: u32 = 64 * 1024;
/// Capacity that an idle connection's buffer keeps.
const KEPT_BYTES: usize = 0;

#[derive(Debug, Default)]
pub struct Output {
    pub control: Vec<u8>,
    pub frames: Vec<u8>,
    /// Bytes of content in `frames`.
    pub content_bytes: u32,
    /// Control frames that wait, wherever.
    control_count: u32,
}

impl Output {
    /// Bytes of content that may still be written.
    #[inline]
    pub fn room(&self) -> u32 {
        ROOM_BYTES.saturating_sub(self.content_bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.control.is_empty() && self.frames.is_empty()
    }

    /// Bytes that wait to be sent.
    pub fn len(&self) -> usize {
        self.control.len() + self.frames.len()
    }

    /// Moves everything to the end of `out`.
    #[inline]
    pub fn drain(&mut self, out: &mut Vec<u8>) {
        if out.is_empty() && self.control.is_empty() {
            std::mem::swap(out, &mut self.frames);
        } else {
            out.append(&mut self.control);
            out.append(&mut self.frames);
        }
        self.content_bytes = 0;
        self.control_count = 0;
    }

    pub fn rst_stream(&mut self, id: u32, code: ErrorCode) {
        self.control_count += 1;
        write::rst_stream(id, code, &mut self.frames);
    }

    pub fn settings_ack(&mut self) {
        self.control_count += 1;
        write::settings_ack(&mut self.frames);
    }

    pub fn ping(&mut self, is_ack: bool, data: [u8; 8]) {
        self.control_count += 1;
        write::ping(is_ack, data, &mut self.control);
    }

    /// A PING behind all frames that wait: its answer tells that they have been read.
    pub fn ping_behind(&mut self, data: [u8; 8]) {
        self.control_count += 1;
        write::ping(false, data, &mut self.frames);
    }

    #[inline]
    pub fn window_update(&mut self, id: u32, increment: u32) {
        self.control_count += 1;
        write::window_update(id, increment, &mut self.control);
    }

    pub fn goaway(&mut self, last: u32, code: ErrorCode, word: &str) {
        write::goaway(last, code, word, &mut self.frames);
    }

    /// Judges the frames that wait: a peer that makes limpet answer has to read the answers.
    ///
    /// # Errors
    /// There are too many.
    #[inline]
    pub fn judge(&self) -> Result<(), Abuse> {
        unsent_control(self.control_count)
    }

    pub fn shrink(&mut self) {
        self.control.shrink_to(KEPT_BYTES);
        self.frames.shrink_to(KEPT_BYTES);
    }

    pub fn capacity_bytes(&self) -> usize {
        self.control.capacity() + self.frames.capacity()
    }
}
