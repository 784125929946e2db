//! Interim heads of a response (1xx): how many are allowed.

use super::failure::Failure;
use crate::http::refusal::ResponseFault;
use crate::time::clock::Millis;

/// A target is at fault when it sends more heads than this at once …
const HEADS_MAX: u64 = 100;
/// … or more bytes than this many of the longest heads that the group allows.
const LONGEST_HEADS_MAX: u64 = 4;
/// How much each second allows in addition: a target that sends a head every few seconds while it works is not at
/// fault, however long that takes.
const BYTES_PER_S: u64 = 1024;
const HEADS_PER_S: u64 = 1;

/// The interim heads of one response so far.
#[derive(Default)]
pub struct Interims {
    heads: u64,
    bytes: u64,
    began_ms: Millis,
}

impl Interims {
    /// Counts one head. `longest` is the group's limit for a response's head.
    ///
    /// # Errors
    /// There are too many heads, or too many bytes of them.
    pub fn count(
        &mut self,
        head_bytes: usize,
        longest: usize,
        now_ms: Millis,
    ) -> Result<(), Failure> {
        if self.heads == 0 {
            self.began_ms = now_ms;
        }
        self.heads += 1;
        self.bytes = self.bytes.saturating_add(head_bytes as u64);
        let seconds = now_ms.saturating_sub(self.began_ms) / 1000;
        let heads_max = HEADS_MAX.saturating_add(seconds.saturating_mul(HEADS_PER_S));
        let bytes_max = LONGEST_HEADS_MAX
            .saturating_mul(longest as u64)
            .saturating_add(seconds.saturating_mul(BYTES_PER_S));
        if self.heads > heads_max || self.bytes > bytes_max {
            return Err(Failure::ResponseInvalid(ResponseFault::TooManyInterim));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::exchange::interim::*;

    const TOO_MANY: Result<(), Failure> =
        Err(Failure::ResponseInvalid(ResponseFault::TooManyInterim));

    #[test]
    fn a_hundred_heads_may_come_at_once_and_no_more() {
        let mut interims = Interims::default();
        assert!((0..100).all(|_| interims.count(25, 1024, 7).is_ok()));
        assert_eq!(interims.count(25, 1024, 7), TOO_MANY);
    }

    #[test]
    fn four_heads_of_the_longest_kind_may_come_and_no_byte_more() {
        let mut interims = Interims::default();
        assert!((0..4).all(|_| interims.count(1024, 1024, 7).is_ok()));
        assert_eq!(interims.count(1, 1024, 7), TOO_MANY);
    }

    #[test]
    fn a_head_each_second_may_come_for_ever() {
        let mut interims = Interims::default();
        assert!((0..100_000).all(|second| interims.count(900, 1024, second * 1000).is_ok()));
    }
}
