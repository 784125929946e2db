//! Black-box tests: raw bytes against the real binary, one folder for each behaviour.

mod support;

mod harness;
