//! The client's side: clients' connections, asleep between requests, and the requests that come on them.
//!
//! * `clients`: the state that the clients of one shard share; `views`: the snapshot as they see it;
//! * `connection`: the state that lasts as long as a client's connection; `serving`: its task, asleep between requests;
//!   `first_bytes`: what must be known before anybody serves them;
//!   `proxy_protocol`: the client that a balancer in front announces; `security`: the TLS handshake;
//! * `h1`: requests of HTTP/1 back to back, while they come; `request`: the content of one; `response`: its response;
//!   `reply`: answers of limpet's own; `input`: received bytes that are not used yet; `early`: operations that are
//!   handed to the kernel before their result is needed;
//! * `h2`: connections of HTTP/2, with a task for each stream.

pub mod clients;
pub mod connection;
pub mod early;
mod first_bytes;
pub mod h1;
pub mod h2;
pub mod input;
pub mod proxy_protocol;
mod reply;
mod request;
mod response;
mod security;
pub mod serving;
pub mod views;
