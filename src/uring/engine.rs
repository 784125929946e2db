//! Which engine drives this thread. `running` runs a thread by its engine.

use std::cell::Cell;

/// What drives a shard's sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// io_uring through limpet's own driver.
    IoUring,
    /// io_uring through tokio-uring.
    TokioUring,
    Epoll,
    /// No kernel at all: the simulated world of tests.
    #[cfg(test)]
    Simulated,
}

impl Engine {
    pub fn name(self) -> &'static str {
        match self {
            Engine::IoUring => "io_uring",
            Engine::TokioUring => "tokio_uring",
            Engine::Epoll => "epoll",
            #[cfg(test)]
            Engine::Simulated => "simulated",
        }
    }
}

thread_local! {
    static ENGINE: Cell<Engine> = const { Cell::new(Engine::Epoll) };
    /// No more tasks may be spawned: the runtime of this thread is going away.
    static ENDING: Cell<bool> = const { Cell::new(false) };
}

/// The engine of this thread.
pub(super) fn current() -> Engine {
    ENGINE.get()
}

/// Puts this thread into a simulated world, or takes it out.
#[cfg(test)]
pub(super) fn simulate(is_simulated: bool) {
    ENGINE.set(if is_simulated { Engine::Simulated } else { Engine::Epoll });
}

#[cfg(test)]
pub(super) fn is_simulated() -> bool {
    current() == Engine::Simulated
}

pub(super) fn is_ending() -> bool {
    ENDING.get()
}

/// Starts a run of this engine on this thread.
pub(super) fn begin(engine: Engine) {
    ENGINE.set(engine);
    ENDING.set(false);
}

/// Notes whether the main future of this thread has ended and its tasks are being dropped.
pub(super) fn set_ending(is_ending: bool) {
    ENDING.set(is_ending);
}
