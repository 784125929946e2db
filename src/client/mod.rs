//! Who asks: clients' connections, asleep between requests, and the requests that come on them.
//!
//! * `connection`: a client's connection, asleep between requests; `proxy_protocol`: who a balancer in front says
//!   that the client is;
//! * `h1`: requests of HTTP/1 back to back, while they come; `request`: one's content; `response`: what it is
//!   answered; `reply`: answers of limpet's own; `input`: what has come and is not used yet; `early`: operations that
//!   were handed to the kernel before their result is needed.

pub mod connection;
pub mod early;
pub mod h1;
pub mod input;
pub mod proxy_protocol;
mod reply;
mod request;
mod response;
