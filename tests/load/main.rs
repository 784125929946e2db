//! Black-box tests that keep both cores of a small machine busy: faults, drains, reloads under load. A binary
//! of its own, because cargo runs binaries one after the other: nothing here starves a test that is about a
//! deadline.
#![allow(
    unsafe_code,
    reason = "signals, limits and seccomp filters of the processes under test are set by system calls"
)]

#[path = "../blackbox/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with tests/blackbox, which uses the rest")]
mod support;

mod contents;
mod drain;
mod faults;
mod many_targets;
mod reloads;
mod renewals;
mod traffic;
mod tunnels;
