//! Certificates that limpet obtains from an authority and renews (ACME, RFC 8555).
//!
//! * `wanted`: what the file asks for; `schedule`: when it is ordered, pure;
//! * `driver`: looks at both, and orders; `order`: one order; `account`: who orders; `http`: how the authority is asked;
//!   `fault`: why there is no certificate;
//! * `proof`: what proves a name; `questions`: proofs that another node has given;
//! * `store`: files for their owner alone; `lock`: one node orders at a time.
//!
//! A certificate that was obtained is a file, which `certificates` reads and publishes like any other. Touches no
//! connection. Tested beside its parts, and against pebble by the black-box suite.

mod account;
mod driver;
mod fault;
mod http;
mod lock;
mod order;
mod proof;
mod questions;
mod schedule;
mod store;
#[cfg(test)]
pub(super) mod test_client;
pub mod wanted;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::challenges::Challenges;
use crate::control::metrics::OrderCounts;

pub use driver::run;

/// What is known of the orders of a certificate, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub names: Vec<String>,
    pub directory: String,
    /// When it is ordered next, in seconds since 1970; in the past: as soon as possible.
    pub order_at: i64,
    /// Failed orders since the last good one.
    pub failures: u32,
    /// Why the last one failed.
    pub fault: Option<String>,
    /// Whether there is a certificate.
    pub is_obtained: bool,
}

/// The part of ACME that others see: the proofs for the data plane, and how the orders stand.
#[derive(Debug, Default)]
pub struct Desk {
    challenges: Arc<Challenges>,
    standing: Mutex<Vec<Standing>>,
    issued: AtomicU64,
    failed: AtomicU64,
}

impl Desk {
    pub fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    /// How the orders stand, in the order of the file.
    pub fn standing(&self) -> Vec<Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Orders of this process since its start.
    pub fn orders(&self) -> OrderCounts {
        OrderCounts {
            issued: self.issued.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    fn show(&self, standing: Vec<Standing>) {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }
}
