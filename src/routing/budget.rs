//! What finding the rule of one request may cost, whatever the rules and the request.
//!
//! A thousand rules that each walk a long query cost as much as ten thousand ordinary requests, and all that while no
//! other connection of the shard is served. Whatever depends on both the rules and the request is paid for here, in
//! instructions: estimates, rather too high than too low. What is found once it is spent is not to be used. Tested
//! through `table`.

use std::cell::Cell;

/// Instructions that finding the rule of one request may take: with what an estimate may be too low by, and with the
/// normal form of its path, 2 million.
pub const INSTRUCTIONS_MAX: u32 = 1_700_000;

/// What is left of it.
#[derive(Debug)]
pub struct Budget(Cell<u64>);

impl Budget {
    /// Of one request.
    pub fn of_request() -> Budget {
        Budget(Cell::new(u64::from(INSTRUCTIONS_MAX)))
    }

    /// For whoever asks on the control plane.
    pub fn unlimited() -> Budget {
        Budget(Cell::new(u64::MAX))
    }

    /// Pays for what comes next; `false` when there is not that much.
    #[inline]
    pub fn spend(&self, instructions: usize) -> bool {
        let left = self.0.get().saturating_sub(instructions as u64);
        self.0.set(left);
        left > 0
    }

    /// How many steps at this price there is enough for.
    #[inline]
    pub(super) fn steps(&self, price: usize) -> usize {
        usize::try_from(self.0.get() / price.max(1) as u64).unwrap_or(usize::MAX)
    }

    #[inline]
    pub fn is_spent(&self) -> bool {
        self.0.get() == 0
    }

    /// There was not enough.
    #[cold]
    pub(super) fn exhaust(&self) {
        self.0.set(0);
    }

    #[cfg(test)]
    pub(super) fn spent(&self) -> u64 {
        u64::from(INSTRUCTIONS_MAX) - self.0.get()
    }
}
