//! Black-box tests: raw bytes against the real binary, one folder for each behaviour.

mod support;

mod balance;
mod deadlines;
mod engines;
mod framing;
mod harness;
mod hop_by_hop;
mod limits;
mod listeners;
mod retries;
mod routing;
mod shutdown;
mod smuggling;
mod stickiness;
mod upgrades;
