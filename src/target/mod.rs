//! Target groups: who may get a request, who gets it, and how a user comes back to the same one.
//! Pure but for atomics in [`state`]; time and randomness are arguments.
//!
//! The way of a request: [`select`] is what the exchange calls; it reads the [`stickiness`] of the scope,
//! which opens the [`cookie`] under the [`keyring`] and gives a verdict; without one the [`group`] is
//! asked to [`balance`]; [`state`] counts the place and [`queue`] holds those who wait for one; [`pool`]
//! keeps connections; [`retry`] decides after a failure; [`set_cookie`] answers the client; [`sketch`] knows
//! about how many sessions a target has.
pub mod balance;
pub mod cookie;
pub mod cookie_memo;
pub mod group;
pub mod keyring;
mod maglev;
pub mod pool;
pub mod queue;
mod rendezvous;
pub mod response_cookie;
pub mod retry;
mod schedule;
pub mod select;
pub mod session_match;
pub mod set_cookie;
pub mod sketch;
pub mod state;
pub mod stickiness;
