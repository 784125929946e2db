//! Target groups: who may get a request, and who gets it. Pure but for atomics in [`state`]; time and
//! randomness are arguments.
//!
//! [`select`] is what the exchange calls: it asks the scope's stickiness what a cookie is worth and [`placing`]
//! where it leads, and without one asks the [`target_group`] to [`balance`]; [`state`] counts the place, and a
//! [`ticket`] stands for one who waits for one in the [`queue`]; [`retry`] decides after a failure, within the
//! [`retry_budget`].

pub mod address;
pub mod balance;
mod maglev;
pub mod placing;
pub mod queue;
mod rendezvous;
pub mod retry;
pub mod retry_budget;
mod schedule;
pub mod select;
pub mod state;
pub mod target_group;
pub mod ticket;
