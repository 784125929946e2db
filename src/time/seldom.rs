//! A limit of once a second, for warnings that would flood the log.

use std::cell::Cell;

use super::clock::Millis;

/// The shortest time between two warnings.
const APART_MS: Millis = 1000;

/// When the last warning was given. The first second of a shard is silent.
#[derive(Debug, Default)]
pub struct Seldom {
    last_ms: Cell<Millis>,
}

impl Seldom {
    /// Whether a warning may be given at `now_ms`; if so, it counts as given.
    pub fn may(&self, now_ms: Millis) -> bool {
        let may = now_ms >= self.last_ms.get().saturating_add(APART_MS);
        if may {
            self.last_ms.set(now_ms);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use crate::time::seldom::*;

    #[test]
    fn what_floods_is_said_once_a_second() {
        let seldom = Seldom::default();
        let said: Vec<Millis> = (0..5000).step_by(10).filter(|at| seldom.may(*at)).collect();
        assert_eq!(said, [1000, 2000, 3000, 4000]);
    }
}
