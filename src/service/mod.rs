//! Being a good service: what is said to the service manager, and whose rights the process has.
//!
//! Never: a setting of its own, or anything that a request waits for. Tested beside each part, and by
//! `tests/blackbox/service` against the real program.

mod account;
mod belongings;
mod notify;
mod rights;

pub use belongings::Belongings;
pub use notify::{ready, reloading, stopping, watch};
pub use rights::{BecomeError, become_user, is_root};
