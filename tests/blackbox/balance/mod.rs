//! Which target gets a request: exact where the algorithm is exact, with bounds that chance does
//! not leave otherwise, and what happens when a target is full or gone.

mod algorithms;
mod full;
mod pool;

use std::collections::HashMap;

use crate::support::Client;

/// How often each target answered `count` requests on one connection.
#[track_caller]
fn counts(client: &mut Client, count: usize) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for _ in 0..count {
        *counts.entry(client.get("/").target()).or_default() += 1;
    }
    counts
}
