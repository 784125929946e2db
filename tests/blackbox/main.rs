//! Black-box tests: raw bytes against the real binary, one folder for each behaviour.
#![allow(
    unsafe_code,
    reason = "signals, limits and seccomp filters of the processes under test are set by system calls"
)]

#[allow(dead_code, reason = "shared with tests/load, which uses the rest")]
mod support;

mod access_log;
mod acme;
mod balance;
mod changes;
mod ctl;
mod deadlines;
mod engines;
mod framing;
mod grpc;
mod harness;
mod health;
mod hop_by_hop;
mod http2;
mod limits;
mod listeners;
mod operators;
mod proxy_protocol;
mod reload;
mod retries;
mod routing;
mod service;
mod shutdown;
mod smuggling;
mod stickiness;
mod targets_tls;
mod tls;
mod upgrades;
