//! Black-box tests: raw bytes against the real binary, one folder for each behaviour.

mod support;

mod balance;
mod framing;
mod harness;
mod hop_by_hop;
mod retries;
mod routing;
mod smuggling;
mod stickiness;
