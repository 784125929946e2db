//! How a user comes back to the same target. Pure; time and randomness are arguments.
//!
//! [`verdict`] says what a request's cookie, or the [`seal`] in a field, is worth: it opens the [`cookie`] under the
//! [`keyring`], through the [`memo`] of what was opened before; [`set_cookie`] and [`session_field`] answer the client,
//! [`response_cookie`] and [`session_match`] watch the application's own cookies; [`sketch`] knows about how many
//! sessions a target has.

pub mod cookie;
pub mod keyring;
mod lines;
pub mod memo;
pub mod options;
pub mod response_cookie;
pub mod seal;
mod sealed_box;
pub mod session_field;
pub mod session_match;
pub mod set_cookie;
pub mod sketch;
pub mod stable_key;
pub mod verdict;
