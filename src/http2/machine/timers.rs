//! What a connection waits for, and until when: one place for each reason.
//!
//! Pure. Tested through the machine.

/// The reason of a timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// The preface and the first SETTINGS are due, or the rest of a field block.
    Head,
    /// The acknowledgement of limpet's SETTINGS is due.
    SettingsAck,
    /// The peer may have been silent for too long while streams are open.
    Silence,
    /// The answer to a PING is due.
    PingAnswer,
    /// The second GOAWAY is due.
    Drain,
}

impl Timer {
    const ALL: [Timer; 5] =
        [Timer::Head, Timer::SettingsAck, Timer::Silence, Timer::PingAnswer, Timer::Drain];
}

/// Time for the acknowledgement of SETTINGS.
pub const SETTINGS_ACK_MS: u64 = 10_000;

/// In milliseconds of the caller's clock.
#[derive(Debug)]
pub struct Timers([u64; Timer::ALL.len()]);

const UNSET: u64 = u64::MAX;

impl Default for Timers {
    fn default() -> Timers {
        Timers([UNSET; Timer::ALL.len()])
    }
}

impl Timers {
    #[inline]
    pub fn set(&mut self, timer: Timer, at_ms: u64) {
        if let Some(place) = self.0.get_mut(timer as usize) {
            *place = at_ms;
        }
    }

    #[inline]
    pub fn stop(&mut self, timer: Timer) {
        self.set(timer, UNSET);
    }

    #[inline]
    pub fn is_set(&self, timer: Timer) -> bool {
        self.0.get(timer as usize).is_some_and(|at_ms| *at_ms != UNSET)
    }

    #[inline]
    pub fn is_due(&self, timer: Timer, now_ms: u64) -> bool {
        self.0.get(timer as usize).is_some_and(|at_ms| *at_ms <= now_ms)
    }

    pub fn stop_all(&mut self) {
        self.0 = [UNSET; Timer::ALL.len()];
    }

    #[inline]
    pub fn next(&self) -> Option<u64> {
        self.0.iter().copied().min().filter(|at_ms| *at_ms != UNSET)
    }

    /// Stops and returns the first timer that is due.
    pub fn expired(&mut self, now_ms: u64) -> Option<Timer> {
        let is_due =
            |timer: &Timer| self.0.get(*timer as usize).is_some_and(|at_ms| *at_ms <= now_ms);
        let timer = Timer::ALL.into_iter().find(is_due)?;
        self.stop(timer);
        Some(timer)
    }
}
