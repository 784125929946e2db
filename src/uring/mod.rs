//! The boundary to the kernel: owned-buffer sockets, timers and tasks of one shard.
//!
//! This is the only module that names tokio-uring or io-uring and the only one with `unsafe`. What it
//! gives is small: listen, connect, receive, send, shut down, spawn and sleep, on any of three engines:
//!
//! * **io_uring** through a driver of limpet's own (`driver`), where a connection that brings small messages only is
//!   received from by one operation that goes on (`driver/flow.rs`);
//! * **io_uring** through tokio-uring (`tokio_ring`). For both, receive, send and connect are their own
//!   opcodes (`ring`), and idle receives take their buffer from a ring that the kernel draws
//!   from (`provided`);
//! * **epoll** through tokio's readiness (`ready`), for kernels and containers that refuse io_uring.
//!
//! Operations are *hot*: they are handed to the kernel when they are made, not when they are first polled, so that a
//! receive and a send can be submitted together before either is awaited. An operation owns its buffer and holds its
//! socket until it completes. None may be dropped while in flight: to end one, shut its socket down and still await it.
//! The types enforce the rest: an operation that is dropped all the same shuts its socket down and is awaited in the
//! background.
//!
//! Beside the engines stand the other calls without a safe interface: options of sockets, limits of the process, the
//! timer that makes a computing thread offer its core (`courtesy`), and signals that end a process while it starts
//! (`early_end`).
//!
//! Nothing outside may depend on the engine. Tested by `uring/tests.rs`, each test on every engine, and
//! by the black-box suite, which serves on each.
#![allow(
    unsafe_code,
    reason = "the kernel reads and writes our buffers; this module alone proves that they live long enough"
)]

mod apart;
pub mod buffers;
mod connect;
mod courtesy;
mod driver;
mod early_end;
mod engine;
mod listening;
mod operation;
mod options;
mod place;
mod provided;
mod pulse;
mod ready;
mod receive;
mod registration;
mod ring;
mod running;
mod send;
#[cfg(test)]
pub mod simulated;
mod socket;
#[cfg(test)]
mod tests;
mod tokio_ring;

pub use apart::Apart;
pub use connect::{Connect, ConnectAddress, connect};
pub use courtesy::Courtesy;
pub use early_end::EarlyEnd;
pub use engine::Engine;
pub use listening::{Accepted, Listening};
pub use options::{disable_huge_pages, raise_descriptor_limit, set_defer_accept, set_fast_open};
pub use pulse::Pulse;
pub use receive::{Recv, RecvAny};
pub use running::{EngineRefused, pause, probe, run, sleep, spawn, trim, yield_now};
pub use send::Send;
pub use socket::{Presence, Shutdown, Socket};
