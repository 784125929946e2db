//! A bar that says how far it is, for whoever watches.
//!
//! Owns: standard error while it runs. Never: anything the threads would have to wait for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::phase::Span;

/// What a thread lets others see, written when it happens to be at it; in cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Live {
    pub responses: AtomicU64,
    pub errors: AtomicU64,
}

/// The bar.
pub struct Progress {
    bar: ProgressBar,
    start: Instant,
    span: Span,
    warmup_ns: u64,
    last: (Instant, u64),
}

impl Progress {
    pub fn new(span: Span, warmup_ns: u64) -> Progress {
        let length = match span {
            Span::Time(time_ns) => (warmup_ns + time_ns) / 1_000_000,
            Span::Requests(count) => count,
        };
        let target = ProgressDrawTarget::stderr_with_hz(10);
        let bar = ProgressBar::with_draw_target(Some(length), target);
        if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} {wide_bar} {msg}") {
            bar.set_style(style);
        }
        Progress { bar, start: Instant::now(), span, warmup_ns, last: (Instant::now(), 0) }
    }

    pub fn show(&mut self, live: &[Live]) {
        let sum = |of: fn(&Live) -> &AtomicU64| -> u64 {
            live.iter().map(|live| of(live).load(Ordering::Relaxed)).sum()
        };
        let (responses, errors) = (sum(|live| &live.responses), sum(|live| &live.errors));
        let elapsed = self.start.elapsed();
        self.bar.set_position(match self.span {
            Span::Time(_) => elapsed.as_millis() as u64,
            Span::Requests(_) => responses,
        });
        let seconds = self.last.0.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
        let rate = responses.saturating_sub(self.last.1) as f64 / seconds;
        self.last = (Instant::now(), responses);
        let part = if (elapsed.as_nanos() as u64) < self.warmup_ns { "warming up, " } else { "" };
        let text = format!("{part}{responses} responses, {rate:.0} per second, {errors} errors");
        // Where the bar is not drawn, because nobody looks at a terminal, lines do.
        if self.bar.is_hidden() {
            eprintln!("{:>5.1} s  {text}", elapsed.as_secs_f64());
        } else {
            self.bar.set_message(text);
        }
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
