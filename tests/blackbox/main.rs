//! Black-box tests: raw bytes against the real binary, one folder for each behaviour.
#![allow(
    unsafe_code,
    reason = "signals, limits and seccomp filters of the processes under test are set by system calls"
)]

mod support;

mod access_log;
mod balance;
mod changes;
mod ctl;
mod deadlines;
mod drain;
mod engines;
mod faults;
mod framing;
mod harness;
mod health;
mod hop_by_hop;
mod limits;
mod listeners;
mod operators;
mod reload;
mod retries;
mod routing;
mod service;
mod shutdown;
mod smuggling;
mod stickiness;
mod upgrades;
