//! Target groups: which targets may get a request, and which gets it. Pure but for atomics in [`state`]; time and
//! randomness are arguments.
//!
//! The exchange calls [`select`]: it has the scope's stickiness judge a cookie and [`placing`] find its target, and
//! without a cookie has the [`target_group`] [`balance`], or look for [`room`] by its sessions and [`newcomers`].
//! [`state`] counts the place; [`on_full`] says what follows where there is none; a [`ticket`] is held by a request
//! that waits in the [`queue`]. [`retry`] decides after a failure, within the [`retry_budget`].

pub mod address;
pub mod balance;
mod maglev;
pub mod newcomers;
pub mod on_full;
pub mod placing;
pub mod queue;
mod rendezvous;
pub mod retry;
pub mod retry_budget;
pub mod room;
mod schedule;
pub mod select;
pub mod state;
pub mod target_group;
pub mod ticket;
