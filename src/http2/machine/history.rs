//! How the latest streams have ended, when nothing else of them is kept (RFC 9113 §5.1).
//!
//! ```text
//! number of the stream (its id / 2):   last − 255 … last
//! two bits each:                       how it ended
//! ```
//! Frames may still be on their way on a stream that limpet has reset, and are to be ignored; on others they are
//! errors. Pure. Tested against a plain list.

/// How a stream that has no place any more has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was never opened: a later one was, which closes it (RFC 9113 §5.1.1).
    Skipped,
    ByBoth,
    ResetByLimpet,
    ResetByPeer,
    /// Too long ago to be known.
    LongAgo,
}

const REMEMBERED: u32 = 256;
const PER_WORD: u32 = 32;
const WORDS: usize = (REMEMBERED / PER_WORD) as usize;

/// The latest streams of one side.
#[derive(Debug, Default)]
pub struct History {
    words: [u64; WORDS],
    /// The number behind the last stream's.
    next: u32,
}

impl History {
    /// Stream `number` opens, which is greater than all before it.
    #[inline]
    pub fn open(&mut self, number: u32) {
        if number != self.next {
            self.skip_to(number);
        }
        self.next = number.saturating_add(1);
    }

    #[cold]
    fn skip_to(&mut self, number: u32) {
        let first = self.next.max(number.saturating_sub(REMEMBERED));
        for skipped in first..number {
            self.set(skipped, Ended::Skipped);
        }
    }

    #[inline]
    pub fn set(&mut self, number: u32, ended: Ended) {
        let bits: u64 = match ended {
            Ended::Skipped => 0,
            Ended::ByBoth => 1,
            Ended::ResetByLimpet => 2,
            Ended::ResetByPeer => 3,
            Ended::LongAgo => return,
        };
        if self.next.saturating_sub(number) > REMEMBERED {
            return;
        }
        let (word, shift) = place(number);
        if let Some(word) = self.words.get_mut(word) {
            *word = *word & !(3 << shift) | bits << shift;
        }
    }

    /// How stream `number` has ended, which is lower than the next one's.
    pub fn get(&self, number: u32) -> Ended {
        if self.next.saturating_sub(number) > REMEMBERED {
            return Ended::LongAgo;
        }
        let (word, shift) = place(number);
        match self.words.get(word).map_or(0, |word| word >> shift & 3) {
            0 => Ended::Skipped,
            1 => Ended::ByBoth,
            2 => Ended::ResetByLimpet,
            _ => Ended::ResetByPeer,
        }
    }
}

#[inline]
fn place(number: u32) -> (usize, u32) {
    ((number % REMEMBERED / PER_WORD) as usize, number % PER_WORD * 2)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_latest_are_remembered(steps in proptest::collection::vec((0_u32..400, 0_u8..4), 1..400)) {
            let (mut history, mut plain) = (History::default(), HashMap::new());
            let mut next = 0;
            for (gap, how) in steps {
                // Mostly the next one.
                let number = next + if gap < 350 { 0 } else { gap };
                let ended = match how {
                    0 => Ended::Skipped,
                    1 => Ended::ByBoth,
                    2 => Ended::ResetByLimpet,
                    _ => Ended::ResetByPeer,
                };
                history.open(number);
                history.set(number, ended);
                plain.insert(number, ended);
                next = number + 1;
                for number in next.saturating_sub(600)..next {
                    let expected = match next - number > 256 {
                        true => Ended::LongAgo,
                        false => plain.get(&number).copied().unwrap_or(Ended::Skipped),
                    };
                    prop_assert_eq!(history.get(number), expected);
                }
            }
        }
    }

    #[test]
    fn one_that_ends_long_after_it_was_opened_changes_no_other() {
        let mut history = History::default();
        history.open(0);
        for number in 1..=256 {
            history.open(number);
            history.set(number, Ended::ByBoth);
        }
        history.set(0, Ended::ResetByLimpet);
        assert_eq!((history.get(0), history.get(256)), (Ended::LongAgo, Ended::ByBoth));
    }
}
