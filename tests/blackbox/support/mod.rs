//! What every black-box test is made of: the real binary, scripted targets, raw clients.
//!
//! Nothing here knows limpet's insides. Waiting is always for a condition with a deadline.

pub mod access_log;
pub mod admin;
pub mod client;
pub mod config;
pub mod http2;
pub mod http2_by_hand;
pub mod http2_frames;
pub mod http2_target;
pub mod kernel;
pub mod limpet;
pub mod load;
pub mod message;
pub mod target;
pub mod tls;
pub mod tls_target;
pub mod wire;

pub use client::Client;
pub use config::{Config, Section, config, group, listener};
pub use limpet::{Limpet, pause, poll};
pub use message::{Cookie, Framing, Request, Response};
pub use target::Target;
