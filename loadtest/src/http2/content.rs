//! Content on its way out: as much of it as both windows allow, in frames.
//!
//! Owns: how far it is. Never: more than a window. Tested below.

use super::frame::{self, Head, flag, kind};

/// What one side may send on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The connection's window.
    pub window: i64,
    /// The largest payload of a frame.
    pub frame_max: u32,
}

/// A stream that content goes out on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlet {
    pub stream: u32,
    /// Its window.
    pub window: i64,
}

impl Allowance {
    pub(super) fn new() -> Allowance {
        Allowance { window: i64::from(frame::WINDOW), frame_max: frame::PAYLOAD_MAX }
    }

    /// Writes DATA with as much of `bytes` as the windows allow; with the last of it, END_STREAM where `ends` says so.
    /// Returns how much that was.
    pub fn write(
        &mut self,
        outlet: &mut Outlet,
        bytes: &[u8],
        ends: bool,
        out: &mut Vec<u8>,
    ) -> usize {
        let mut sent = 0;
        loop {
            let room = outlet.window.min(self.window).min(i64::from(self.frame_max)).max(0);
            let count = (bytes.len() - sent).min(room as usize);
            let is_last = sent + count == bytes.len();
            if count == 0 && !(is_last && bytes.is_empty() && ends) {
                return sent;
            }
            let flags = if is_last && ends { flag::END_STREAM } else { 0 };
            let (length, stream) = (count as u32, outlet.stream);
            Head { length, kind: kind::DATA, flags, stream }.write(out);
            out.extend_from_slice(&bytes[sent..sent + count]);
            outlet.window -= count as i64;
            self.window -= count as i64;
            sent += count;
            if is_last {
                return sent;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(mut bytes: &[u8]) -> Vec<(u32, u8)> {
        let mut found = Vec::new();
        while let Some(head) = bytes.first_chunk() {
            let head = Head::read(*head);
            found.push((head.length, head.flags));
            bytes = &bytes[frame::HEAD_BYTES + head.length as usize..];
        }
        found
    }

    #[test]
    fn content_goes_as_far_as_the_smaller_window() {
        let bytes = [1; 50_000];
        let mut allowance = Allowance { window: 40_000, frame_max: 16_384 };
        let (mut outlet, mut out) = (Outlet { stream: 1, window: 20_000 }, Vec::new());
        assert_eq!(allowance.write(&mut outlet, &bytes, true, &mut out), 20_000);
        assert_eq!(frames(&out), [(16_384, 0), (3616, 0)]);
        assert_eq!((outlet.window, allowance.window), (0, 20_000));
        out.clear();
        assert_eq!(allowance.write(&mut outlet, &bytes[20_000..], true, &mut out), 0);
        outlet.window = 100_000;
        let sent = allowance.write(&mut outlet, &bytes[20_000..], true, &mut out);
        assert_eq!((sent, frames(&out)), (20_000, vec![(16_384, 0), (3616, 0)]));
        allowance.window = 10_000;
        out.clear();
        assert_eq!(allowance.write(&mut outlet, &bytes[40_000..], true, &mut out), 10_000);
        assert_eq!(frames(&out), [(10_000, 1)]);
    }

    #[test]
    fn nothing_ends_a_stream_whatever_the_windows_say() {
        let mut allowance = Allowance { window: 0, frame_max: 16_384 };
        let mut out = Vec::new();
        let mut outlet = Outlet { stream: 1, window: -5 };
        assert_eq!(allowance.write(&mut outlet, &[], true, &mut out), 0);
        assert_eq!(frames(&out), [(0, 1)]);
    }
}
