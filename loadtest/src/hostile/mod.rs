//! `loadtest hostile`: a client of HTTP/2 that is a burden in every way that has a budget, and what it costs the server.
//!
//! Owns: the order, and the report. Tested by `tests/hostile.rs` with the responder, which has no budgets.
//!
//! Each flood is sent on one connection until the server ends it; then, for a while, on one connection after the other.

mod client;
mod flood;

use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use client::{End, Outcome};
use flood::Flood;

use crate::compare::meter::Meter;
use crate::compare::process::memory_of;
use crate::http2::frame::code;

/// Options of `loadtest hostile`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The balancer, where it speaks HTTP/2 in clear
    #[arg(long, value_name = "IP:PORT")]
    address: SocketAddr,
    /// Its process, whose processor time and memory are told
    #[arg(long, value_name = "PID")]
    process: Option<u32>,
    /// What to do; everything that a budget ends soon when absent
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KIND,…")]
    kind: Vec<Flood>,
    /// Most frames, or pairs of a request and its end, on one connection
    #[arg(long, default_value_t = 50_000)]
    frames: u64,
    /// How long to wait for the end of a connection, in seconds
    #[arg(long, default_value_t = 10)]
    patience_s: u64,
    /// How long to come back at once after each end, in milliseconds
    #[arg(long, default_value_t = 500)]
    again_ms: u64,
    /// Whom requests are for
    #[arg(long, default_value = "www.example.com")]
    host: String,
}

/// Floods and tells; `false` when a flood was not ended by the server.
///
/// # Errors
/// When nobody listens.
pub fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let floods = match options.kind.as_slice() {
        [] => &Flood::SOON[..],
        named => named,
    };
    println!(
        "{:19}{:>9}  {:28}{:>8}{:>12}{:>10}   again: {:>8}{:>10}{:>12}{:>6}{:>10}",
        "flood",
        "frames",
        "ended by",
        "resets",
        "µs/1000",
        "KiB more",
        "ends",
        "frames",
        "µs/1000",
        "CPU",
        "KiB more"
    );
    let mut are_ended = true;
    for flood in floods {
        let (first, cost) = measured(options, || once(options, *flood))?;
        are_ended &= first.end != End::Open;
        let (again, cost_again) = match flood.waits() {
            true => Default::default(),
            false => measured(options, || over_and_over(options, *flood))?,
        };
        println!(
            "{:19}{:>9}  {:28}{:>8}{:>12.0}{:>10}          {:>8}{:>10}{:>12.0}{:>5.0}%{:>10}",
            name(*flood),
            first.sent,
            told(first.end),
            first.resets,
            cost.us_per_1000(first.sent),
            cost.grown_kib,
            again.ends,
            again.sent,
            cost_again.us_per_1000(again.sent),
            cost_again.share() * 100.0,
            cost_again.grown_kib,
        );
    }
    Ok(are_ended)
}

fn name(flood: Flood) -> String {
    use clap::ValueEnum as _;
    flood.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn told(end: End) -> String {
    match end {
        End::Away(reason) => format!("GOAWAY {}", code::name(reason)),
        End::Closed => "closing".to_owned(),
        End::Reset => "resetting each stream".to_owned(),
        End::Open => "NOBODY".to_owned(),
    }
}

fn once(options: &Options, flood: Flood) -> std::io::Result<Outcome> {
    let patience = Duration::from_secs(options.patience_s);
    client::flood(options.address, flood, &options.host, options.frames, patience)
}

/// Connections one after the other.
#[derive(Debug, Default)]
struct Again {
    ends: u64,
    sent: u64,
}

fn over_and_over(options: &Options, flood: Flood) -> std::io::Result<Again> {
    let mut again = Again::default();
    let deadline = Instant::now() + Duration::from_millis(options.again_ms);
    while Instant::now() < deadline {
        let outcome = once(options, flood)?;
        again.ends += u64::from(outcome.end != End::Open);
        again.sent += outcome.sent;
    }
    Ok(again)
}

/// What something cost the server.
#[derive(Debug, Default)]
struct Cost {
    cpu_ns: u64,
    took: Duration,
    grown_kib: i64,
}

impl Cost {
    /// Processor time in microseconds for a thousand frames.
    fn us_per_1000(&self, frames: u64) -> f64 {
        self.cpu_ns as f64 / frames.max(1) as f64
    }

    /// Part of one processor.
    fn share(&self) -> f64 {
        self.cpu_ns as f64 / self.took.as_nanos().max(1) as f64
    }
}

fn measured<T>(
    options: &Options,
    act: impl FnOnce() -> std::io::Result<T>,
) -> std::io::Result<(T, Cost)> {
    let roots: Vec<u32> = options.process.into_iter().collect();
    let before = memory_of(&roots).proportional_bytes;
    let (meter, began) = (Meter::start(&roots), Instant::now());
    let done = act()?;
    let (took, cpu_ns) = (began.elapsed(), meter.stop());
    let grown_bytes = memory_of(&roots).proportional_bytes as i64 - before as i64;
    Ok((done, Cost { cpu_ns, took, grown_kib: grown_bytes / 1024 }))
}
