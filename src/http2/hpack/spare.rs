//! Empty blocks for heads to come: those of a shard, which all of its connections use, so that a stream costs no
//! allocation and a connection without streams keeps none.
//!
//! The one that was used last is used next. Blocks beyond the limit are freed.

use std::cell::RefCell;

use super::block::Block;

/// Most memory of blocks that are kept, in bytes.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

#[derive(Debug)]
struct Spare {
    #[expect(clippy::vec_box, reason = "a block is moved to its reader as one word")]
    blocks: Vec<Box<Block>>,
    bytes: usize,
}

thread_local! {
    static SPARE: RefCell<Spare> =
        const { RefCell::new(Spare { blocks: Vec::new(), bytes: 0 }) };
}

fn bytes_of(block: &Block) -> usize {
    size_of::<Block>() + block.capacity_bytes()
}

impl Spare {
    fn take(&mut self) -> Option<Box<Block>> {
        let block = self.blocks.pop()?;
        self.bytes -= bytes_of(&block);
        Some(block)
    }

    fn put(&mut self, mut block: Box<Block>) {
        block.clear();
        let bytes = bytes_of(&block);
        if self.bytes + bytes <= KEPT_BYTES_MAX {
            self.bytes += bytes;
            self.blocks.push(block);
        }
    }
}

/// An empty block.
#[inline]
pub fn take() -> Box<Block> {
    SPARE.with_borrow_mut(Spare::take).unwrap_or_else(|| Box::new(Block::with_room()))
}

/// Takes back a block whose head is not needed any more.
#[inline]
pub fn give_back(block: Box<Block>) {
    SPARE.with_borrow_mut(|spare| spare.put(block));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2::hpack::block::Limits;
    use crate::http2::hpack::decoder::Decoder;
    use crate::http2::hpack::encoder::{Encoder, Indexing};

    fn filled(value_bytes: usize) -> Box<Block> {
        let mut coded = Vec::new();
        Encoder::default().field(b"x-a", &vec![b'x'; value_bytes], Indexing::Allowed, &mut coded);
        let (limits, mut block) = (Limits::new(1 << 20, 100), Box::<Block>::default());
        Decoder::default().decode(&coded, true, &limits, &mut block).expect("a block");
        block
    }

    #[test]
    fn the_block_that_was_used_last_is_used_next_and_is_empty() {
        let (first, second) = (filled(100), filled(200));
        let address = &raw const *second;
        give_back(first);
        give_back(second);
        let block = take();
        assert_eq!(&raw const *block, address);
        assert!(block.raw().is_empty() && block.lines().is_empty());
        assert!(block.capacity_bytes() > 200);
    }

    #[test]
    fn no_more_is_kept_than_the_limit() {
        let blocks: Vec<Box<Block>> = (0..1_000).map(|_| filled(12_000)).collect();
        blocks.into_iter().for_each(give_back);
        let kept = || SPARE.with_borrow(|spare| (spare.blocks.len(), spare.bytes));
        let (count, bytes) = kept();
        assert!((50..100).contains(&count) && bytes <= KEPT_BYTES_MAX, "{count}, {bytes} bytes");
        let used: Vec<Box<Block>> = (0..count).map(|_| take()).collect();
        assert_eq!(kept(), (0, 0));
        used.into_iter().for_each(give_back);
        assert_eq!(kept(), (count, bytes));
    }
}
