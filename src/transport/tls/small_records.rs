//! Small records at the beginning of data, where a listener asks for them: a client can open what it has as soon as the
//! first packet is there, and need not wait for the rest of a large record while the connection still finds its speed.
//!
//! Behind a silence the kernel's congestion window may be small again (RFC 5681 §4.1), so that the beginning is one.
//! Tested beside it.

use rustls::Error;

use super::session::{RECORD_OVERHEAD, Session};
use crate::time::clock::monotonic_us;

/// The data of a small record, which fits into one packet.
pub const RECORD_BYTES: usize = 1400;

/// How much data the beginning is: 64 KiB but one byte.
const BEGINNING_BYTES: u16 = u16::MAX;

/// After so much time without data, in tenths of a second, there is a beginning again.
const SILENCE: u16 = 10;

/// How much of the beginning is left. Four bytes, because every stream has them.
#[derive(Debug, Clone, Copy)]
pub(super) struct SmallRecords {
    left: u16,
    /// When data was sealed, in tenths of a second, of which 65 536 are a round: once in so many a silence of hours is not
    /// seen, and costs nothing but its small records.
    last: u16,
}

impl Default for SmallRecords {
    fn default() -> SmallRecords {
        SmallRecords { left: BEGINNING_BYTES, last: 0 }
    }
}

fn tenths() -> u16 {
    (monotonic_us().unwrap_or(0) / 100_000) as u16
}

impl SmallRecords {
    /// As [`Session::seal`], in small records while there is a beginning.
    ///
    /// # Errors
    /// As [`Session::seal`].
    #[inline(never)]
    pub(super) fn seal(
        &mut self,
        session: &mut Session,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize, Error> {
        let now = tenths();
        if now.wrapping_sub(self.last) >= SILENCE {
            self.left = BEGINNING_BYTES;
        }
        self.last = now;
        let mut sealed = 0;
        loop {
            let rest = data.get(sealed..).unwrap_or_default();
            let part = if self.left > 0 { rest.get(..RECORD_BYTES).unwrap_or(rest) } else { rest };
            let count = session.seal(part, out)?;
            sealed += count;
            self.left = self.left.saturating_sub(u16::try_from(count).unwrap_or(u16::MAX));
            // What has no room goes with the next buffer.
            if count < part.len() || sealed >= data.len() {
                return Ok(sealed);
            }
        }
    }

    /// The bytes that so much data may become, besides itself, more than in records of full size.
    #[cold]
    pub(super) fn overhead_bytes(data_bytes: usize) -> usize {
        data_bytes.min(BEGINNING_BYTES.into()) / RECORD_BYTES * RECORD_OVERHEAD
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::SupportedProtocolVersion;
    use rustls::version::{TLS12, TLS13};

    use super::*;
    use crate::transport::tls::tests::session::Ends;
    use crate::uring::simulated::{Knobs, run, wait};

    /// A server that wants small records, and its client.
    struct Speaker {
        ends: Ends,
        small: SmallRecords,
    }

    impl Speaker {
        fn new(version: &'static SupportedProtocolVersion) -> Speaker {
            Speaker { ends: Ends::ready(version), small: SmallRecords::default() }
        }

        /// The lengths of the records that so much data becomes, without what encryption adds.
        fn records(&mut self, bytes: usize) -> Vec<usize> {
            let data: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
            let mut out = Vec::with_capacity(2 * bytes + 1000);
            let sealed = self.small.seal(&mut self.ends.server, &data, &mut out).unwrap();
            assert_eq!(sealed, bytes);
            let (mut lengths, mut opened) = (Vec::new(), Vec::new());
            let mut rest = &mut *out;
            while rest.len() >= 5 {
                let length = 5 + usize::from(u16::from_be_bytes([rest[3], rest[4]]));
                let (record, behind) = rest.split_at_mut(length);
                let before = opened.len();
                let mut room = Vec::with_capacity(20_000);
                self.ends.client.open(record, Some(&mut room)).unwrap();
                opened.extend_from_slice(&room);
                lengths.push(opened.len() - before);
                rest = behind;
            }
            assert!(opened == data);
            lengths
        }
    }

    fn play(test: impl AsyncFn(Speaker)) {
        for version in [&TLS13, &TLS12] {
            let (_, left) = run(1, Knobs::default(), async { test(Speaker::new(version)).await });
            assert!(left.broken.is_empty());
        }
    }

    #[test]
    fn the_first_64_kib_are_small_records_and_the_rest_full_ones() {
        play(async |mut speaker| {
            let lengths = speaker.records(200_000);
            assert_eq!(lengths[..47], [RECORD_BYTES; 47]);
            assert_eq!(lengths[47..50], [16_384; 3]);
            assert_eq!(speaker.records(16_384), [16_384]);
        });
    }

    #[test]
    fn data_counts_however_it_is_cut() {
        play(async |mut speaker| {
            for _ in 0..655 {
                assert_eq!(speaker.records(100), [100]);
            }
            assert_eq!(speaker.records(2000), [1400, 600]);
            assert_eq!(speaker.records(2000), [2000]);
        });
    }

    #[test]
    fn a_second_of_silence_is_a_beginning_again_and_less_is_not() {
        play(async |mut speaker| {
            speaker.records(70_000);
            for _ in 0..5 {
                wait(Duration::from_millis(800)).await;
                assert_eq!(speaker.records(3000), [3000]);
            }
            wait(Duration::from_millis(1100)).await;
            assert_eq!(speaker.records(3000), [1400, 1400, 200]);
        });
    }

    #[test]
    fn what_has_no_room_is_sealed_by_the_next_call() {
        play(async |mut speaker| {
            let data = [7; 5000];
            let mut at = 0;
            let mut buffers = 0;
            while at < data.len() {
                let mut out = Vec::with_capacity(4096);
                let Speaker { ends, small } = &mut speaker;
                at += small.seal(&mut ends.server, &data[at..], &mut out).unwrap();
                assert!(out.len() <= 4096);
                ends.client.open(&mut out, None).unwrap();
                buffers += 1;
            }
            assert_eq!(buffers, 2);
            let mut opened = Vec::with_capacity(6000);
            assert_eq!(speaker.ends.client.take_data(&mut opened), data.len());
            assert_eq!(opened, data);
        });
    }
}
