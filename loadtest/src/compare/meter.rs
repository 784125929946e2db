//! What a program uses of the processor, in nanoseconds.
//!
//! Owns: a reading of every thread of every process of a program, kernel workers included, and threads
//! that come and go between two looks. Never: clock ticks, which are a hundred times too coarse. Tested
//! here with threads of the test itself and made-up readings.

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::process::descendants;

/// How often threads are looked at, so that one that ends takes little of what it used with it.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What each thread had used when it was last seen, by its id.
type Seen = HashMap<u32, u64>;

/// Adds up what a program uses, from its making to [`Meter::stop`].
#[derive(Debug)]
pub struct Meter {
    shared: Arc<Shared>,
    looking: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    roots: Vec<u32>,
    first: Seen,
    last: Mutex<Seen>,
    stopped: AtomicBool,
}

impl Meter {
    /// Begins to measure programs, each by the id of the process it was started as.
    pub fn start(roots: &[u32]) -> Meter {
        let first = look(roots);
        let shared = Arc::new(Shared {
            roots: roots.to_vec(),
            last: Mutex::new(first.clone()),
            first,
            stopped: AtomicBool::new(false),
        });
        let watched = Arc::clone(&shared);
        let looking = thread::spawn(move || {
            while !watched.stopped.load(Ordering::Acquire) {
                thread::park_timeout(LOOK_EVERY);
                watched.update();
            }
        });
        Meter { shared, looking: Some(looking) }
    }

    /// Ends measuring; nanoseconds on a processor since the start.
    pub fn stop(mut self) -> u64 {
        self.shared.update();
        self.end();
        let last = self.shared.last.lock().unwrap_or_else(PoisonError::into_inner);
        used(&self.shared.first, &last)
    }

    fn end(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        if let Some(looking) = self.looking.take() {
            looking.thread().unpark();
            let _ = looking.join();
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn update(&self) {
        if self.stopped.load(Ordering::Acquire) {
            return;
        }
        let now = look(&self.roots);
        self.last.lock().unwrap_or_else(PoisonError::into_inner).extend(now);
    }
}

/// Nanoseconds between two looks: a thread that was not there at first began at nothing, and one that
/// is gone had used what it was last seen with.
fn used(first: &Seen, last: &Seen) -> u64 {
    last.iter().map(|(id, now)| now.saturating_sub(first.get(id).copied().unwrap_or(0))).sum()
}

fn look(roots: &[u32]) -> Seen {
    let mut seen = Seen::new();
    for id in roots.iter().flat_map(|&root| descendants(root)) {
        for entry in fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten() {
            let thread = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
            let text = fs::read_to_string(entry.path().join("schedstat")).unwrap_or_default();
            let on_processor = text.split(' ').next().and_then(|text| text.parse::<u64>().ok());
            if let (Some(thread), Some(on_processor)) = (thread, on_processor) {
                seen.insert(thread, on_processor);
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn threads_that_come_and_go_are_counted() {
        let first = Seen::from([(1, 100), (2, 50)]);
        let last = Seen::from([(1, 130), (2, 50), (3, 7)]);
        assert_eq!(used(&first, &last), 37);
    }

    #[test]
    fn a_busy_thread_is_measured_within_what_the_clock_says() {
        let meter = Meter::start(&[std::process::id()]);
        let began = Instant::now();
        thread::spawn(move || while began.elapsed() < Duration::from_millis(60) {}).join().unwrap();
        let used = meter.stop();
        // The thread has ended: what is known of it is from the last look, or it was never seen. What
        // this very thread used is in the sum in any case.
        assert!(used < 10_000_000_000, "{used} ns");
        let meter = Meter::start(&[std::process::id()]);
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(60) {}
        let used = meter.stop();
        assert!(used > 5_000_000, "{used} ns of about 60 ms of work");
    }
}
