//! The floor that every figure is put against: a relay that does nothing but move bytes.
//!
//! Owns: its listener and its relayed connections. Never: a look at what it moves; with `--parse` it
//! reads the heads, and still changes nothing. Tested by `tests/floor.rs`.

mod heads;
mod relay;

use std::error::Error;
use std::net::SocketAddr;

use crate::respond::address::listen_tcp;
use crate::service::{self, Cores, Readiness};

/// Options of `loadtest floor`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Where to listen; port 0 takes a free one, which is printed
    #[arg(long, value_name = "IP:PORT")]
    listen: SocketAddr,
    /// Where each client's connection goes on to
    #[arg(long, value_name = "IP:PORT")]
    target: SocketAddr,
    /// Parse the heads of requests and responses as well: what no balancer can do without
    #[arg(long)]
    parse: bool,
    #[command(flatten)]
    cores: Cores,
}

/// Relays until SIGTERM or SIGINT.
///
/// # Errors
/// When the address cannot be had, or the kernel refuses the ring.
pub fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let mut address = options.listen;
    let mut workers = Vec::new();
    for _ in 0..options.cores.count() {
        let listener = listen_tcp(address, options.cores.count() > 1)
            .map_err(|error| format!("cannot listen on {address}: {error}"))?;
        address = listener.local_addr()?.as_socket().unwrap_or(address);
        let (target, parse) = (options.target, options.parse);
        workers.push(move |readiness: &Readiness| relay::run(listener, target, parse, readiness));
    }
    service::run(&address.to_string(), &options.cores, workers)
}
