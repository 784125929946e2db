//! How a thread is run by its engine, and whether it can be: the dispatch over all of them.

use std::future::Future;
use std::io;
use std::time::{Duration, Instant};

use super::engine::{self, Engine};
#[cfg(test)]
use super::simulated;
use super::{driver, provided, tokio_ring};

/// Why io_uring cannot be used here, and what to do about it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("io_uring is not available: {cause} ({remedy})")]
pub struct EngineRefused {
    pub cause: String,
    pub remedy: &'static str,
}

/// Makes a ring as a shard of this engine would and lets it go again; epoll is always there.
///
/// # Errors
/// The kernel's reason with the remedy: old kernel, `kernel.io_uring_disabled`, a seccomp profile,
/// or too little locked memory.
pub fn probe(engine: Engine) -> Result<(), EngineRefused> {
    let builder = match engine {
        Engine::IoUring => driver::ring_builder(8),
        Engine::TokioUring => tokio_ring::ring_builder(8),
        Engine::Epoll => return Ok(()),
        #[cfg(test)]
        Engine::Simulated => return Ok(()),
    };
    let _one_at_a_time = provided::one_at_a_time();
    match builder.build(8) {
        Ok(_ring) => Ok(()),
        Err(error) => Err(refusal(&error)),
    }
}

fn refusal(error: &io::Error) -> EngineRefused {
    let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled")
        .ok()
        .and_then(|text| text.trim().parse::<u8>().ok())
        .unwrap_or(0);
    let remedy = match error.raw_os_error() {
        Some(libc::ENOSYS) => {
            "the kernel lacks it, or a seccomp profile hides it; allow io_uring_setup, io_uring_enter and io_uring_register, or set process.engine = \"epoll\""
        }
        Some(libc::EPERM | libc::EACCES) if disabled > 0 => {
            "set the sysctl kernel.io_uring_disabled = 0, or 1 with kernel.io_uring_group, or set process.engine = \"epoll\""
        }
        Some(libc::EPERM | libc::EACCES) => {
            "a seccomp profile or security module forbids it; allow io_uring_setup, io_uring_enter and io_uring_register, or set process.engine = \"epoll\""
        }
        Some(libc::EINVAL) => {
            "Linux 6.1 or newer is needed (6.0 for process.engine = \"tokio_uring\"); or set process.engine = \"epoll\""
        }
        Some(libc::ENOMEM) => {
            "raise RLIMIT_MEMLOCK or lower process.ring_entries, or set process.engine = \"epoll\""
        }
        _ => "or set process.engine = \"epoll\"",
    };
    EngineRefused { cause: error.to_string(), remedy }
}

/// Runs `main` on this thread until it ends, with the engine's sockets, timers and tasks.
///
/// # Errors
/// When the engine cannot be set up.
pub fn run<F: Future>(engine: Engine, ring_entries: u32, main: F) -> io::Result<F::Output> {
    engine::begin(engine);
    let output = match engine {
        Engine::IoUring => driver::run(ring_entries, ended(main))?,
        Engine::TokioUring => tokio_ring::run(ring_entries, ended(main))?,
        Engine::Epoll => run_epoll(main)?,
        #[cfg(test)]
        Engine::Simulated => simulated::run(0, simulated::Knobs::default(), main).0,
    };
    engine::set_ending(false);
    Ok(output)
}

fn run_epoll<F: Future>(main: F) -> io::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let output = runtime.block_on(local.run_until(ended(main)));
    drop(local);
    Ok(output)
}

/// Awaits `main`; when it has ended, by a panic too, no more tasks are spawned.
async fn ended<F: Future>(main: F) -> F::Output {
    struct Ending;
    impl Drop for Ending {
        fn drop(&mut self) {
            engine::set_ending(true);
        }
    }
    let _ending = Ending;
    main.await
}

/// Starts a task on this thread. It is dropped when the shard's main future ends.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    match engine::current() {
        Engine::IoUring if engine::is_ending() => drop(task),
        Engine::IoUring => driver::spawn(task),
        Engine::TokioUring | Engine::Epoll => drop(tokio::task::spawn_local(task)),
        #[cfg(test)]
        Engine::Simulated => simulated::spawn(task),
    }
}

/// Gives back memory of this thread's tables that a peak has left behind; for a shard's tick, about once a second.
pub fn trim() {
    match engine::current() {
        Engine::IoUring => driver::trim(),
        // Tokio's tables cannot be trimmed from here.
        Engine::TokioUring | Engine::Epoll => {}
        #[cfg(test)]
        Engine::Simulated => {}
    }
}

/// Waits until `at`, with the timer's resolution of a millisecond.
pub async fn sleep(at: Instant) {
    match engine::current() {
        Engine::IoUring => driver::sleep(at).await,
        Engine::TokioUring | Engine::Epoll => tokio::time::sleep_until(at.into()).await,
        #[cfg(test)]
        Engine::Simulated => simulated::sleep(at).await,
    }
}

/// Waits for so long.
pub async fn pause(time: Duration) {
    #[cfg(test)]
    if engine::current() == Engine::Simulated {
        return simulated::wait(time).await;
    }
    sleep(Instant::now() + time).await;
}

/// Lets every other ready task of the shard run first.
pub async fn yield_now() {
    match engine::current() {
        Engine::IoUring => driver::yield_now().await,
        Engine::TokioUring | Engine::Epoll => tokio::task::yield_now().await,
        #[cfg(test)]
        Engine::Simulated => simulated::yield_now().await,
    }
}
