//! Target groups: who may get a request, who gets it, and how a user comes back to the same one.
//! Pure but for atomics in [`state`]; time and randomness are arguments.
pub mod balance;
pub mod cookie;
pub mod group;
pub mod keyring;
pub mod pool;
pub mod queue;
pub mod retry;
pub mod session_match;
pub mod state;
pub mod stickiness;
