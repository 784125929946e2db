//! Clients and targets that speak HTTP/2, in clear and under TLS.

mod backpressure;
mod clients;
mod content;
mod endings;
mod first_visits;
mod floods;

mod frames;
mod framing;
mod goodbyes;
mod limits;
mod metrics;
mod refused;
mod silence;
mod targets;
mod tunnels;
mod websocket;

use crate::support::http2::{both, clear};
use crate::support::{Section, group};

fn app() -> Section {
    group("app")
}
