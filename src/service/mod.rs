//! Being a good service: the messages to the service manager, and the rights of the process.
//!
//! Has no settings of its own, and nothing that a request waits for. Tested beside each part, and by
//! `tests/blackbox/service` against the real program.

mod account;
mod belongings;
mod notify;
mod rights;

pub use belongings::Belongings;
pub use notify::{ready, reloading, stopping, watch};
pub use rights::{BecomeError, become_user, is_root};
