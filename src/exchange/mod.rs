//! One request and its response between a client and a target.
//!
//! In the order in which a request meets them:
//!
//! * `connection`: a client's connection, asleep between requests;
//! * `busy`: requests back to back, while they come;
//! * `prepare`: from the bytes of a head to a plan (parse, route, verdict, pick, rewrite), without I/O;
//! * `forward`: a place on the target, a connection to it, retries;
//! * `converse`: the request out and the response back, over one connection;
//! * `response`, `interim`, `incoming`, `upload`, `content`: the two directions of the exchange;
//! * `watch`: waiting for any of that with an eye on the client;
//! * `tunnel`: what follows a 101;
//! * `answer`: responses of limpet's own; `failure`: what can go wrong, and what then;
//! * `entry`: what the access log will say.
//!
//! Sockets are held by `stream`. Must never parse anything itself (`http1`
//! does), or look at configuration files. Tested by the black-box suite over real sockets.

pub mod answer;
pub mod busy;
pub mod connection;
pub mod content;
pub mod converse;
pub mod early;
pub mod entry;
pub mod failure;
pub mod forward;
pub mod incoming;
pub mod input;
pub mod interim;
mod pace;
pub mod prepare;
pub mod proxy_protocol;
pub mod response;
#[cfg(test)]
pub mod simulation;
pub mod stream;
pub mod target_side;
pub mod tunnel;
pub mod upload;
pub mod watch;
