//! Content that belongs to one exchange: its request id, over and over. A single byte of another
//! exchange, or a byte too many or too few, does not fit.
//!
//! Owns: making and checking such content. Pure; tested below.

/// Bytes of a request id: 128 random bits as hexadecimal digits.
pub const ID_BYTES: usize = 32;

/// A request id as it stands in fields, paths and content.
pub type Id = [u8; ID_BYTES];

/// 128 bits as digits.
pub fn id(bits: u128) -> Id {
    let mut id = [0; ID_BYTES];
    for (index, digit) in id.iter_mut().enumerate() {
        let nibble = (bits >> (4 * index)) & 0xf;
        *digit = b"0123456789abcdef"[nibble as usize];
    }
    id
}

/// Where in an exchange's content the next byte is.
#[derive(Debug, Clone)]
pub struct Pattern {
    id: Id,
    /// Bytes made or checked so far.
    pub count: u64,
    /// No byte was wrong so far.
    pub intact: bool,
}

impl Pattern {
    pub fn new(id: Id) -> Pattern {
        Pattern { id, count: 0, intact: true }
    }

    /// Appends the next `size` bytes to `out`.
    pub fn make(&mut self, mut size: usize, out: &mut Vec<u8>) {
        while size > 0 {
            let run = self.run(size);
            out.extend_from_slice(run);
            size -= run.len();
            self.count += run.len() as u64;
        }
    }

    /// Checks the next bytes.
    pub fn check(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let run = self.run(bytes.len());
            let (now, later) = bytes.split_at(run.len());
            self.intact &= now == run;
            bytes = later;
            self.count += now.len() as u64;
        }
    }

    /// The bytes from here to the end of the id, at most `size`.
    fn run(&self, size: usize) -> &[u8] {
        let start = (self.count % ID_BYTES as u64) as usize;
        let end = ID_BYTES.min(start + size);
        &self.id[start..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_in_pieces_is_intact_when_checked_in_other_pieces() {
        let mut content = Vec::new();
        let mut made = Pattern::new(id(0x1234_5678_9abc_def0));
        for size in [0, 1, 31, 32, 33, 100] {
            made.make(size, &mut content);
        }
        assert_eq!(content.len() as u64, made.count);
        for size in 1..70 {
            let mut checked = Pattern::new(id(0x1234_5678_9abc_def0));
            content.chunks(size).for_each(|piece| checked.check(piece));
            assert!(checked.intact && checked.count == made.count, "pieces of {size}");
        }
    }

    #[test]
    fn one_wrong_byte_is_noticed_wherever_it_is() {
        let mut content = Vec::new();
        Pattern::new(id(7)).make(100, &mut content);
        for position in 0..content.len() {
            let mut wrong = content.clone();
            wrong[position] ^= 1;
            let mut checked = Pattern::new(id(7));
            checked.check(&wrong);
            assert!(!checked.intact, "at {position}");
        }
    }

    #[test]
    fn different_bits_are_different_ids() {
        assert_ne!(id(1), id(2));
        assert_ne!(id(1), id(1 << 127));
        assert!(id(u128::MAX).iter().all(|digit| *digit == b'f'));
    }
}
