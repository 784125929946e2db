//! Which engine drives this thread. Who runs it by which is `running`'s.

use std::cell::Cell;

/// What drives a shard's sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// io_uring through limpet's own driver.
    IoUring,
    /// io_uring through tokio-uring.
    TokioUring,
    Epoll,
    /// No kernel at all: a world of tests.
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

/// Makes this thread one of a simulated world, or no longer one.
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

/// Takes up a run of this engine on this thread.
pub(super) fn begin(engine: Engine) {
    ENGINE.set(engine);
    ENDING.set(false);
}

/// Whether the main future of this thread has ended, and its tasks go.
pub(super) fn set_ending(is_ending: bool) {
    ENDING.set(is_ending);
}
