//! limpet: a layer-7 load balancer and edge proxy on io_uring.
//!
//! The modules stand in the order in which a request meets them. Two planes share nothing but
//! published [`snapshot::Snapshot`]s and atomics: the data plane (`listener` to `telemetry`) never
//! imports `control` or `cli`; `tests/layering.rs` holds it to that.

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
pub mod control;
pub mod exchange;
pub mod http1;
pub mod listener;
pub mod routing;
pub mod service;
pub mod shard;
pub mod snapshot;
pub mod target;
pub mod telemetry;
pub mod uring;
