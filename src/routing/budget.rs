//! The most that finding the rule of one request may cost, whatever the rules and the request.
//!
//! A thousand rules that each walk a long query cost as much as ten thousand ordinary requests, and meanwhile no other
//! connection of the shard is served. Each step whose cost depends on both the rules and the request is paid for here,
//! in instructions: estimates, rather too high than too low. A result that is found after the budget is spent must not
//! be used. Tested through `table`.

use std::cell::Cell;

/// Most instructions, as estimated, for finding the rule of one request. With the errors of the estimates, and the
/// normal form of the path, it is 2 million.
pub const INSTRUCTIONS_MAX: u32 = 1_700_000;

/// The instructions that are left.
#[derive(Debug)]
pub struct Budget(Cell<u64>);

impl Budget {
    /// The budget of one request.
    pub fn of_request() -> Budget {
        Budget(Cell::new(u64::from(INSTRUCTIONS_MAX)))
    }

    /// For the control plane, where nothing waits.
    pub fn unlimited() -> Budget {
        Budget(Cell::new(u64::MAX))
    }

    /// Spends so many instructions; `false` when that leaves none.
    #[inline]
    pub fn spend(&self, instructions: usize) -> bool {
        let left = self.0.get().saturating_sub(instructions as u64);
        self.0.set(left);
        left > 0
    }

    /// How many steps at this price are left.
    #[inline]
    pub(super) fn steps(&self, price: usize) -> usize {
        usize::try_from(self.0.get() / price.max(1) as u64).unwrap_or(usize::MAX)
    }

    #[inline]
    pub fn is_spent(&self) -> bool {
        self.0.get() == 0
    }

    /// Leaves nothing, because a step could not be paid for.
    #[cold]
    pub(super) fn exhaust(&self) {
        self.0.set(0);
    }

    #[cfg(test)]
    pub(super) fn spent(&self) -> u64 {
        u64::from(INSTRUCTIONS_MAX) - self.0.get()
    }
}
