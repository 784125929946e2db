//! Courtesy: a thread that computes for long offers its core to the other ready threads, again and again.
//!
//! The kernel lets a thread that computes go on for a whole slice (4 ms at 250 Hz) while a shard of the same core is
//! ready and waits. Parsing a text cannot be split into turns, so a timer interrupts the thread, and the handler of its
//! signal offers the core (`sched_yield(2)`). The result of the computation stays the same. Tested below.

use std::cell::Cell;
use std::ptr;
use std::sync::LazyLock;

/// The time from one offer to the next, in nanoseconds.
const INTERVAL_NS: libc::c_long = 250_000;

/// A thread that has computed less than this since its last offer makes none: the timer also runs while a thread waits
/// for its core, and its signal then arrives as soon as the thread goes on.
const COMPUTED_NS_MIN: u64 = 125_000;

/// A signal that a process ignores by default, and that debuggers pass on silently.
const SIGNAL: libc::c_int = libc::SIGURG;

thread_local! {
    /// The CPU time of this thread at its last offer, in nanoseconds.
    static OFFERED_AT_NS: Cell<u64> = const { Cell::new(0) };
}

/// As long as it lives, its thread offers its core about every 250 µs that it computes; where the kernel refuses a
/// timer, it makes no offers.
#[derive(Debug)]
pub struct Courtesy {
    /// The timer belongs to the thread that made it, so this type is not `Send`.
    timer: Option<libc::timer_t>,
}

impl Courtesy {
    pub fn begin() -> Courtesy {
        let timer = if *HANDLES { timer() } else { None };
        Courtesy { timer }
    }
}

impl Drop for Courtesy {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            // SAFETY: this timer was made by `timer` and is deleted here alone. A signal that is on its way finds
            // the handler, which stays.
            unsafe { libc::timer_delete(timer) };
        }
    }
}

/// Whether the signal has its handler, from now until the process ends.
static HANDLES: LazyLock<bool> = LazyLock::new(|| {
    // SAFETY: a sigaction of zeros has no flags, an empty mask and the default action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = offer as *const () as libc::sighandler_t;
    // Calls that are interrupted go on by themselves.
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: sigaction reads one sigaction, whose handler does only what a handler may do, see `offer`.
    unsafe { libc::sigaction(SIGNAL, &raw const action, ptr::null_mut()) == 0 }
});

/// A timer of the calling thread, running.
fn timer() -> Option<libc::timer_t> {
    // SAFETY: a sigevent is integers and a pointer that is never followed, so zeros are a valid one.
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    event.sigev_notify = libc::SIGEV_THREAD_ID;
    event.sigev_signo = SIGNAL;
    // SAFETY: gettid takes nothing and cannot fail.
    event.sigev_notify_thread_id = unsafe { libc::gettid() };
    let mut timer: libc::timer_t = ptr::null_mut();
    // SAFETY: timer_create reads one sigevent and writes one timer_t.
    let made = unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) };
    if made != 0 {
        return None;
    }
    let interval = libc::timespec { tv_sec: 0, tv_nsec: INTERVAL_NS };
    let times = libc::itimerspec { it_interval: interval, it_value: interval };
    // SAFETY: the timer was just made; timer_settime reads one itimerspec.
    unsafe { libc::timer_settime(timer, 0, &raw const times, ptr::null_mut()) };
    Some(timer)
}

/// Runs in the middle of other code, so it only reads a clock, writes its own thread's cell and yields: all of them
/// system calls or plain memory. It restores the `errno` of the code that it interrupted.
extern "C" fn offer(_: libc::c_int) {
    keeping_errno(|| {
        let computed_ns = computed_ns();
        if computed_ns.saturating_sub(OFFERED_AT_NS.get()) >= COMPUTED_NS_MIN {
            std::thread::yield_now();
            OFFERED_AT_NS.set(computed_ns);
        }
    });
}

fn keeping_errno(work: impl FnOnce()) {
    // SAFETY: it takes nothing and gives the place of this thread's `errno`, which lives as long as the thread.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the place is valid, and only this thread reads and writes it.
    let errno = unsafe { *place };
    work();
    // SAFETY: as above.
    unsafe { *place = errno };
}

/// The CPU time that this thread has used since it began.
fn computed_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime writes one timespec; where it refuses, the time stays 0.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let rest_ns = u64::try_from(time.tv_nsec).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(rest_ns)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::path::Path;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};
    use std::{fs, thread};

    use crate::uring::courtesy::*;

    #[test]
    fn who_computes_offers_its_core() {
        let _courtesy = Courtesy::begin();
        let mut steps: u64 = 0;
        // The thread's clock moves on while it computes, so this ends.
        while OFFERED_AT_NS.get() == 0 {
            steps = std::hint::black_box(steps.wrapping_add(1));
        }
    }

    #[test]
    fn who_is_interrupted_finds_its_error_again() {
        // SAFETY: closing a number that is no descriptor fails and changes nothing but `errno`.
        let fail = || assert_eq!(unsafe { libc::close(-1) }, -1);
        let errno = || std::io::Error::last_os_error().raw_os_error();
        fail();
        keeping_errno(|| {
            assert!(std::fs::File::open("/nowhere at all").is_err());
            assert_eq!(errno(), Some(libc::ENOENT));
        });
        assert_eq!(errno(), Some(libc::EBADF));
    }

    #[test]
    fn the_timer_ends_with_its_courtesy() {
        let courtesy = Courtesy::begin();
        let timer = courtesy.timer.expect("a timer");
        let mut left = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec { tv_sec: 0, tv_nsec: 0 },
        };
        // SAFETY: timer_gettime writes one itimerspec; a timer that is gone is an error.
        assert_eq!(unsafe { libc::timer_gettime(timer, &raw mut left) }, 0);
        assert_eq!(left.it_interval.tv_nsec, INTERVAL_NS);
        drop(courtesy);
        // SAFETY: as above.
        assert_ne!(unsafe { libc::timer_gettime(timer, &raw mut left) }, 0);
    }

    /// How often the thread of this folder in /proc has stopped to wait.
    fn waits(folder: &Path) -> u64 {
        let status = fs::read_to_string(Path::new("/proc").join(folder).join("status")).unwrap();
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count.unwrap().trim().parse().unwrap()
    }

    #[test]
    fn a_call_that_waits_is_not_broken_off() {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        let (told, is_told) = mpsc::channel();
        let reader = thread::spawn(move || {
            let _courtesy = Courtesy::begin();
            told.send(fs::read_link("/proc/thread-self").unwrap()).unwrap();
            one.read(&mut [0])
        });
        let folder = is_told.recv().unwrap();
        // A thread that only reads waits once; each further wait was caused by a signal.
        let deadline = Instant::now() + Duration::from_secs(30);
        let first = waits(&folder);
        while waits(&folder) < first + 20 {
            assert!(Instant::now() < deadline, "no signal comes");
            thread::yield_now();
        }
        other.write_all(b"x").unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), 1);
    }
}
