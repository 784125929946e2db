//! limpet: a layer-7 load balancer and edge proxy on io_uring.
//!
//! Two planes share nothing but published [`snapshot::Snapshot`]s and atomics: the data plane never imports
//! `control` or `cli`, and each of its modules only what ARCHITECTURE.md allows it; `tests/layering.rs` holds
//! them to that.
//!
//! The library belongs to the program. Its tests, benches, fuzz targets and load tool use the feature `internals`,
//! which changes nothing but visibility.

// Nothing that comes from a network, or from a file, may end the process. Tests may panic.
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

pub use cli::main;

#[cfg(test)]
mod simulation;

#[cfg(not(feature = "internals"))]
mod challenges;
#[cfg(feature = "internals")]
pub mod challenges;
#[cfg(not(feature = "internals"))]
mod cli;
#[cfg(feature = "internals")]
pub mod cli;
#[cfg(not(feature = "internals"))]
mod client;
#[cfg(feature = "internals")]
pub mod client;
#[cfg(not(feature = "internals"))]
mod control;
#[cfg(feature = "internals")]
pub mod control;
#[cfg(not(feature = "internals"))]
mod exchange;
#[cfg(feature = "internals")]
pub mod exchange;
#[cfg(not(feature = "internals"))]
mod group;
#[cfg(feature = "internals")]
pub mod group;
#[cfg(not(feature = "internals"))]
mod http;
#[cfg(feature = "internals")]
pub mod http;
#[cfg(not(feature = "internals"))]
mod http1;
#[cfg(feature = "internals")]
pub mod http1;
#[cfg(not(feature = "internals"))]
#[expect(
    dead_code,
    reason = "targets are not asked over HTTP/2 yet, and the machine is of either side"
)]
mod http2;
#[cfg(feature = "internals")]
pub mod http2;
#[cfg(not(feature = "internals"))]
mod listener;
#[cfg(feature = "internals")]
pub mod listener;
#[cfg(not(feature = "internals"))]
mod multiplex;
#[cfg(feature = "internals")]
pub mod multiplex;
#[cfg(not(feature = "internals"))]
mod proxy_protocol;
#[cfg(feature = "internals")]
pub mod proxy_protocol;
#[cfg(not(feature = "internals"))]
mod random;
#[cfg(feature = "internals")]
pub mod random;
#[cfg(not(feature = "internals"))]
mod routing;
#[cfg(feature = "internals")]
pub mod routing;
#[cfg(not(feature = "internals"))]
mod service;
#[cfg(feature = "internals")]
pub mod service;
#[cfg(not(feature = "internals"))]
mod shard;
#[cfg(feature = "internals")]
pub mod shard;
#[cfg(not(feature = "internals"))]
mod snapshot;
#[cfg(feature = "internals")]
pub mod snapshot;
#[cfg(not(feature = "internals"))]
mod stickiness;
#[cfg(feature = "internals")]
pub mod stickiness;
#[cfg(not(feature = "internals"))]
mod table;
#[cfg(feature = "internals")]
pub mod table;
#[cfg(not(feature = "internals"))]
mod telemetry;
#[cfg(feature = "internals")]
pub mod telemetry;
#[cfg(not(feature = "internals"))]
mod time;
#[cfg(feature = "internals")]
pub mod time;
#[cfg(not(feature = "internals"))]
mod tls;
#[cfg(feature = "internals")]
pub mod tls;
#[cfg(not(feature = "internals"))]
mod transport;
#[cfg(feature = "internals")]
pub mod transport;
#[cfg(not(feature = "internals"))]
mod upstream;
#[cfg(feature = "internals")]
pub mod upstream;
#[cfg(not(feature = "internals"))]
mod uring;
#[cfg(feature = "internals")]
pub mod uring;
