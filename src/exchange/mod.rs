//! One request and its response between a client and a target, whatever version of HTTP either speaks.
//!
//! In the order in which a request passes them:
//!
//! * `scene`: from a head to a `plan` (route, verdict, pick, draft), without I/O; `prepared`: what becomes of it; `pins`:
//!   first visits that lead others;
//! * `forward`: a `place` on the target, a lease on a connection to it; `attempts`: which attempts may follow;
//! * `converse`: sends the request and relays the response over one lease; `upload`, `respond`: the two directions;
//!   `progress`: what each sees of the other; `interim`, `cookies`, `session_id` (with `session_scopes`): rules for a
//!   response's heads;
//! * `watch`: waits for any of these while it watches the client;
//! * `tunnel`: the bytes behind a 101; `websocket`: the handshake before it;
//! * `answer`: responses of limpet's own; `failure`: what can go wrong, and its consequences; `end`: how it ended;
//! * `entry`: the access record.
//!
//! `client` and `target` are the traits through which an exchange uses its client and its target; `content` goes from
//! one to the other in pieces. `local` is the exchange's view of its shard, `caller` the client of the connection,
//! `alone` the connections to targets that serve that client only. Uses no socket and sees no byte of a wire.

pub mod alone;
pub mod answer;
pub mod attempts;
pub mod caller;
pub mod client;
pub mod content;
mod converse;
mod cookies;
#[cfg(test)]
#[path = "doubles_tests.rs"]
pub mod doubles;
pub mod end;
pub mod entry;
pub mod failure;
pub mod forward;
pub mod grpc;
pub mod interim;
pub mod local;
mod pins;
mod place;
pub mod plan;
pub mod prepared;
mod progress;
mod respond;
pub mod scene;
pub mod session_id;
mod session_scopes;
pub mod target;
pub mod tunnel;
mod upload;
mod watch;
pub mod websocket;
