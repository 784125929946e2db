//! Target groups: which targets may get a request, and which gets it. Pure but for atomics in [`state`]; time and
//! randomness are arguments.
//!
//! The exchange calls [`select`]: it has the scope's stickiness judge a cookie and [`placing`] find its target, and
//! without a cookie has the [`target_group`] [`balance`]. [`state`] counts the place; a [`ticket`] is held by a request
//! that waits in the [`queue`] for a place, where [`on_full`] says so. [`retry`] decides after a failure, within the [`retry_budget`].

pub mod address;
pub mod balance;
mod maglev;
pub mod on_full;
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
