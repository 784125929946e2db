//! What part of a run it is: warming up, measuring, waiting for the last responses, over.
//!
//! Owns: the clock, which requests are measured, and the end. Never: a response thrown away because the
//! time was up; whoever asked waits for the answer. Tested below with invented clocks.

use std::time::Instant;

use super::tally::Tally;

/// Nanoseconds of this thread's run.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    pub fn start() -> Clock {
        Clock(Instant::now())
    }

    pub fn now_ns(self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }

    pub fn instant(self, time_ns: u64) -> Instant {
        self.0 + std::time::Duration::from_nanos(time_ns)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    WarmUp,
    Measuring,
    /// The time is up, or all is asked; responses are still to come.
    Draining,
    Over,
}

/// How long to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    Time(u64),
    Requests(u64),
}

#[derive(Debug)]
pub struct Phases {
    phase: Phase,
    warmup_ns: u64,
    span: Span,
    /// When measuring began.
    start_ns: u64,
    /// Processor time of this thread when measuring began.
    cpu_start_ns: u64,
    /// Requests that may still be asked; counted only when the span is one of requests.
    left: u64,
    cpu_ns: fn() -> u64,
}

impl Phases {
    /// `cpu_ns` says how much processor time this thread has used.
    pub fn new(warmup_ns: u64, span: Span, cpu_ns: fn() -> u64) -> Phases {
        let left = match span {
            Span::Time(_) => u64::MAX,
            Span::Requests(count) => count,
        };
        Phases {
            phase: Phase::WarmUp,
            warmup_ns,
            span,
            start_ns: u64::MAX,
            cpu_start_ns: 0,
            left,
            cpu_ns,
        }
    }

    pub fn is_measuring(&self) -> bool {
        match self.span {
            Span::Time(_) => self.phase == Phase::Measuring,
            // The last responses belong to it.
            Span::Requests(_) => matches!(self.phase, Phase::Measuring | Phase::Draining),
        }
    }

    /// Requests may be asked.
    pub fn is_asking(&self) -> bool {
        matches!(self.phase, Phase::WarmUp | Phase::Measuring)
    }

    /// A request that was due at `intended_ns` is to be asked: whether it is measured; `None` when it
    /// may not be.
    pub fn begin(&mut self, intended_ns: u64) -> Option<bool> {
        match self.phase {
            Phase::WarmUp => Some(false),
            Phase::Measuring if intended_ns < self.start_ns => Some(false),
            Phase::Measuring => {
                self.left = self.left.checked_sub(1)?;
                Some(true)
            }
            Phase::Draining | Phase::Over => None,
        }
    }

    /// One more may be asked, beside so many that are about to.
    pub fn has_more(&self, pending: usize) -> bool {
        self.phase == Phase::WarmUp || (pending as u64) < self.left
    }

    /// A request that could not even be sent counts as one that was asked.
    pub fn forfeit(&mut self) {
        if self.phase == Phase::Measuring {
            self.left = self.left.saturating_sub(1);
        }
    }

    /// A request that was asked will not be answered, and is to be asked again.
    pub fn take_back(&mut self) {
        if matches!(self.span, Span::Requests(_)) {
            self.left += 1;
            if self.phase == Phase::Draining {
                self.phase = Phase::Measuring;
            }
        }
    }

    /// When the measured time ends; `None` before it has begun, and where requests are counted.
    pub fn end_ns(&self) -> Option<u64> {
        match self.span {
            Span::Time(time_ns) => self.start_ns.checked_add(time_ns),
            Span::Requests(_) => None,
        }
    }

    /// When this changes by itself, at the latest.
    pub fn next_ns(&self) -> u64 {
        match (self.phase, self.span) {
            (Phase::WarmUp, _) => self.warmup_ns,
            (Phase::Measuring, Span::Time(time_ns)) => self.start_ns.saturating_add(time_ns),
            _ => u64::MAX,
        }
    }

    /// Goes on to the phase that it is at `now_ns`, with so many requests waiting for a response.
    pub fn advance(&mut self, now_ns: u64, waiting: usize, tally: &mut Tally) -> Phase {
        if self.phase == Phase::WarmUp && now_ns >= self.warmup_ns {
            self.phase = Phase::Measuring;
            // From when it was to begin: what was due since then is measured, however late it is.
            (self.start_ns, self.cpu_start_ns) = (self.warmup_ns, (self.cpu_ns)());
        }
        if self.phase == Phase::Measuring && (now_ns >= self.next_ns() || self.left == 0) {
            self.phase = Phase::Draining;
            if matches!(self.span, Span::Time(_)) {
                self.close(now_ns, tally);
            }
        }
        if self.phase == Phase::Draining && waiting == 0 {
            self.phase = Phase::Over;
            if matches!(self.span, Span::Requests(_)) {
                self.close(now_ns, tally);
            }
        }
        self.phase
    }

    fn close(&self, now_ns: u64, tally: &mut Tally) {
        tally.measured_ns = now_ns.saturating_sub(self.start_ns);
        tally.cpu_ns = (self.cpu_ns)().saturating_sub(self.cpu_start_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_ends_by_the_clock_and_waits_for_the_last_responses() {
        let mut tally = Tally::new();
        let mut phases = Phases::new(100, Span::Time(1000), || 7);
        assert_eq!(phases.advance(0, 1, &mut tally), Phase::WarmUp);
        assert_eq!((phases.begin(50), phases.next_ns()), (Some(false), 100));
        assert_eq!(phases.advance(110, 1, &mut tally), Phase::Measuring);
        // Due before measuring began, but sent after it.
        assert_eq!((phases.begin(99), phases.begin(100)), (Some(false), Some(true)));
        assert_eq!((phases.next_ns(), phases.end_ns()), (1100, Some(1100)));
        assert_eq!(phases.advance(1100, 1, &mut tally), Phase::Draining);
        assert_eq!((phases.begin(1100), phases.is_measuring()), (None, false));
        assert_eq!(phases.advance(2000, 0, &mut tally), Phase::Over);
        assert_eq!(tally.measured_ns, 1000);
    }

    #[test]
    fn a_count_ends_with_its_last_response() {
        let mut tally = Tally::new();
        let mut phases = Phases::new(0, Span::Requests(3), || 7);
        assert_eq!(phases.advance(5, 0, &mut tally), Phase::Measuring);
        assert_eq!((phases.begin(5), phases.begin(5)), (Some(true), Some(true)));
        assert!(phases.has_more(0) && !phases.has_more(1));
        phases.forfeit();
        assert!(!phases.has_more(0));
        assert_eq!(phases.begin(5), None);
        assert_eq!(phases.advance(40, 2, &mut tally), Phase::Draining);
        phases.take_back();
        assert_eq!((phases.begin(5), phases.begin(5)), (Some(true), None));
        assert_eq!(phases.advance(50, 2, &mut tally), Phase::Draining);
        assert!(phases.is_measuring() && !phases.is_asking());
        assert_eq!(phases.advance(105, 0, &mut tally), Phase::Over);
        assert_eq!(tally.measured_ns, 105);
    }
}
