//! Who asks: clients' connections, asleep between requests, and the requests that come on them.
//!
//! * `clients`: what the clients of one shard share; `views`: the snapshot as they see it;
//! * `connection`: what lasts as long as a client's connection; `serving`: its task, asleep between requests;
//!   `proxy_protocol`: who a balancer in front says that the client is;
//! * `h1`: requests of HTTP/1 back to back, while they come; `request`: one's content; `response`: what it is
//!   answered; `reply`: answers of limpet's own; `input`: what has come and is not used yet; `early`: operations that
//!   were handed to the kernel before their result is needed.

pub mod clients;
pub mod connection;
pub mod early;
pub mod h1;
pub mod input;
pub mod proxy_protocol;
mod reply;
mod request;
mod response;
pub mod serving;
pub mod views;
