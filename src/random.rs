//! Randomness of one shard: unguessable bytes, fetched in batches, and a fast generator for picks.

use std::cell::{Cell, RefCell};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

const BATCH_BYTES: usize = 4096;

/// Unguessable bytes are drawn from the system's generator a page at a time; picks between targets
/// need only be even, and come from a small generator seeded with such bytes.
pub struct Random {
    source: SystemRandom,
    batch: RefCell<Batch>,
    picks: Cell<u64>,
}

struct Batch {
    bytes: Box<[u8; BATCH_BYTES]>,
    used: usize,
}

impl Random {
    pub fn seeded() -> Random {
        let random = Random {
            source: SystemRandom::new(),
            batch: RefCell::new(Batch { bytes: Box::new([0; BATCH_BYTES]), used: BATCH_BYTES }),
            picks: Cell::new(0),
        };
        random.picks.set(u64::from_ne_bytes(random.secret()));
        random
    }

    /// `N` unguessable bytes.
    pub fn secret<const N: usize>(&self) -> [u8; N] {
        let mut batch = self.batch.borrow_mut();
        if batch.used + N > BATCH_BYTES {
            let Batch { bytes, used } = &mut *batch;
            #[cfg(test)]
            let is_filled = simulate(&mut bytes[..]) || self.source.fill(&mut bytes[..]).is_ok();
            #[cfg(not(test))]
            let is_filled = self.source.fill(&mut bytes[..]).is_ok();
            if !is_filled {
                // Without randomness no sealed cookie is safe. Linux's generator cannot fail once it has been seeded,
                // which the system waits for at boot.
                tracing::error!("the system's random generator failed; ending");
                std::process::abort();
            }
            *used = 0;
        }
        let mut out = [0; N];
        let used = batch.used;
        if let Some(bytes) = batch.bytes.get_mut(used..used + N) {
            out.copy_from_slice(bytes);
            bytes.fill(0);
        }
        batch.used += N;
        out
    }

    /// An evenly distributed, guessable number (SplitMix64: Steele, Lea and Flood, OOPSLA 2014).
    #[inline]
    pub fn pick(&self) -> u64 {
        let state = self.picks.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.picks.set(state);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// Draws from the simulated world's sequence, where there is one.
#[cfg(test)]
fn simulate(bytes: &mut [u8]) -> bool {
    for chunk in bytes.chunks_mut(8) {
        let Some(drawn) = crate::uring::simulated::draw() else { return false };
        chunk.copy_from_slice(&drawn.to_ne_bytes()[..chunk.len()]);
    }
    true
}
