//! One thing at a time: whoever speaks to the counted limpet waits until its shard has gone to sleep.
//!
//! Owns: knowing whether the shard sleeps. Never: a guess by time. Tested here with threads of the test.
//!
//! Whether two events meet in one turn of the shard is chance, and costs thousands of instructions either way. So
//! nothing is sent while the shard is at work: every event finds it asleep, on every machine and however busy.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::compare::Failure;

/// Longest wait for a shard to go to sleep.
const PATIENCE: Duration = Duration::from_secs(20);

/// Looks in a row that must find it asleep: an event may be on its way for a moment.
const LOOKS: usize = 3;

/// System calls that a shard on epoll sleeps in.
const SLEEPS: &[i64] = &[
    libc::SYS_epoll_pwait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
];

/// A thread whose sleep can be waited for.
#[derive(Debug, Clone)]
pub struct Pace {
    thread: u32,
    /// `/proc/PID/task/TID/syscall`.
    call: Arc<PathBuf>,
}

impl Pace {
    /// The thread of that name in a process.
    ///
    /// # Errors
    /// When there is none.
    pub fn of(process: u32, name: &str) -> Result<Pace, Failure> {
        let tasks = PathBuf::from(format!("/proc/{process}/task"));
        for entry in fs::read_dir(&tasks).into_iter().flatten().flatten() {
            let its_name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            let thread = entry.file_name().to_str().and_then(|id| id.parse().ok());
            if let (Some(thread), true) = (thread, its_name.trim_end() == name) {
                return Ok(Pace { thread, call: Arc::new(entry.path().join("syscall")) });
            }
        }
        Err(Failure::NotReady {
            name: "limpet under valgrind".to_owned(),
            said: format!("no thread of it is called {name}"),
        })
    }

    /// The kernel's id of the thread.
    pub fn thread(&self) -> u32 {
        self.thread
    }

    /// Waits until the thread sleeps for want of events.
    ///
    /// # Errors
    /// When it does not come to sleep, or is gone.
    pub fn settle(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        let mut asleep = 0;
        while asleep < LOOKS {
            let text = fs::read_to_string(&*self.call)
                .map_err(|error| Failure::File { path: self.call.to_path_buf(), error })?;
            asleep = if sleeps(&text) { asleep + 1 } else { 0 };
            if Instant::now() > deadline {
                return Err(Failure::NotReady {
                    name: "limpet under valgrind".to_owned(),
                    said: format!("its shard does not come to rest: {}", text.trim_end()),
                });
            }
            thread::yield_now();
        }
        Ok(())
    }
}

/// Whether a line of `/proc/PID/task/TID/syscall` is one of a thread that waits for events: a running thread's says
/// "running" from the moment it is woken.
fn sleeps(line: &str) -> bool {
    let number = line.split(' ').next().and_then(|number| number.parse::<i64>().ok());
    number.is_some_and(|number| SLEEPS.contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    use tokio::io::AsyncReadExt as _;

    #[test]
    fn only_a_wait_for_events_is_sleep() {
        let wait = libc::SYS_epoll_pwait;
        assert!(sleeps(&format!("{wait} 0x3 0x7fb2 0x400 0x32 0x0 0x0 0x7ffc 0x7fb2\n")));
        for line in ["running\n", "0 0x3 0x7fb2\n", "-1 0x7ffc 0x7fb2\n", ""] {
            assert!(!sleeps(line), "{line:?}");
        }
    }

    #[test]
    fn a_thread_on_epoll_is_found_and_waited_for_while_it_works() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let name = format!("pace-{}", std::process::id() % 10_000);
        let worker = thread::Builder::new().name(name.clone());
        let worker = worker.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                far.set_nonblocking(true).unwrap();
                let mut far = tokio::net::UnixStream::from_std(far).unwrap();
                far.read_u8().await.unwrap();
                let began = Instant::now();
                while began.elapsed() < Duration::from_millis(30) {}
                far.read_u8().await.unwrap();
                began
            })
        });
        let pace = loop {
            if let Ok(pace) = Pace::of(std::process::id(), &name) {
                break pace;
            }
        };
        pace.settle().unwrap();
        near.write_all(b"x").unwrap();
        pace.settle().unwrap();
        let rested = Instant::now();
        near.write_all(b"x").unwrap();
        let began = worker.unwrap().join().unwrap();
        assert!(rested >= began + Duration::from_millis(30));
    }

    #[test]
    fn a_thread_that_is_not_there_is_named() {
        let error = Pace::of(std::process::id(), "no-such-thread").unwrap_err().to_string();
        assert!(error.contains("no-such-thread"), "{error}");
    }
}
