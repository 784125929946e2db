//! The load tool: what limpet is loaded and checked with, from the outside.
//!
//! Owns: its commands. Never: anything of the balancer's own code, so that no mistake can be made on
//! both sides; and nothing of this tool's dependencies reaches the balancer. Tested by
//! `tests/soak.rs` against its own target, with and without something in between that goes wrong, and
//! by `tests/respond.rs` and `tests/floor.rs` with raw clients, and by `tests/compare.rs` with a limpet.

#[cfg(test)]
mod command_line;
mod compare;
mod floor;
mod hostile;
mod http2;
mod instructions;
mod load;
mod pattern;
mod respond;
mod ring;
mod service;
mod soak;
mod target;
mod tls;
mod wire;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Loads a balancer from the outside, and checks every byte that comes back
#[derive(Debug, Parser)]
#[command(version, about, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare limpet with other balancers, or two builds of it with each other
    Compare(compare::Options),
    /// Count limpet's instructions for one request of each kind
    Instructions(instructions::Options),
    /// Send load over io_uring, in a closed or an open loop, and measure
    Load(Box<load::Options>),
    /// Be a burden over HTTP/2 in every way that has a budget, and see what the server does about it
    Hostile(hostile::Options),
    /// Send requests over kept connections, as fast as they are answered, and check each response
    Soak(soak::Options),
    /// Answer requests, echoing what `soak` needs in order to check them
    Target(target::Options),
    /// Answer requests at next to no cost, with the sizes, delays, statuses and faults asked for
    Respond(respond::Options),
    /// Relay bytes and do nothing else: the floor that the cost of a balancer is put against
    Floor(floor::Options),
    /// Make a certificate for a server that is to be loaded over TLS
    Certificate(tls::certificates::Options),
    /// Become a program that ends with whoever started it
    #[command(hide = true)]
    Leash(compare::ending::Leash),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Compare(options) => compare::run(&options).map_err(Into::into),
        Command::Instructions(options) => instructions::run(&options).map_err(Into::into),
        Command::Load(options) => load::run(&options),
        Command::Hostile(options) => hostile::run(&options),
        Command::Soak(options) => soak::run(&options),
        Command::Target(options) => target::run(&options).map(|()| true),
        Command::Respond(options) => respond::run(&options).map(|()| true),
        Command::Floor(options) => floor::run(&options).map(|()| true),
        Command::Certificate(options) => tls::certificates::run(&options).map(|()| true),
        Command::Leash(options) => Err(compare::ending::leash(&options).into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("loadtest: {error}");
            ExitCode::from(2)
        }
    }
}
