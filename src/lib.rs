//! limpet: a layer-7 load balancer and edge proxy on io_uring.
//!
//! Two planes share nothing but published [`snapshot::Snapshot`]s and atomics: the data plane never imports
//! `control` or `cli`, and each of its modules only what ARCHITECTURE.md allows it; `tests/layering.rs` holds
//! them to that.

// Nothing that comes from a network, or from a file, may end the process. Tests stop at the first surprise.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing
    )
)]

pub mod cli;
pub mod client;
pub mod control;
pub mod exchange;
pub mod group;
pub mod http;
pub mod http1;
pub mod listener;
pub mod random;
pub mod routing;
pub mod service;
pub mod shard;
#[cfg(test)]
mod simulation;
pub mod snapshot;
pub mod stickiness;
pub mod table;
pub mod telemetry;
pub mod time;
pub mod transport;
pub mod upstream;
pub mod uring;
