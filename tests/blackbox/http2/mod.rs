//! Clients and targets that speak HTTP/2, in clear and under TLS.

mod backpressure;
mod bad_content;
mod clients;
mod content;
mod early;
mod endings;
mod first_visits;
mod floods;
mod frames;
mod goodbyes;
mod interim;
mod limits;
mod metrics;
mod priorities;
mod refused;
mod silence;
mod slow_clients;
mod targets;
mod tunnels;
mod unprocessed;
mod websocket;
mod wrong_targets;

use crate::support::http2::{both, clear};
use crate::support::{Limpet, Section, Target, config, group};

fn app() -> Section {
    group("app")
}

/// Before one target by hand, which speaks HTTP/2.
fn before(target: &Target) -> Limpet {
    let app = app().set("protocol_version", "http2").target("a", target);
    config().listener(clear("web")).group(app).start()
}
