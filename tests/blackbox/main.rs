//! Black-box tests: raw bytes against the real binary, one folder for each behaviour.

mod support;

mod framing;
mod harness;
mod smuggling;
mod stickiness;
