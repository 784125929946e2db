//! One request and its response between a client and a target, whatever version of HTTP either speaks.
//!
//! In the order in which a request meets them:
//!
//! * `scene`: from a head to a plan (route, verdict, pick, draft), without I/O;
//! * `forward`: a `place` on the target, a lease on a connection to it; `attempts`: what may be tried again;
//! * `converse`: the request out and the response back, over one lease; `upload`, `respond`: the two directions, and
//!   the `progress` that one sees of the other;
//!   `interim`, `cookies`: what stands in a response's heads;
//! * `watch`: waiting for any of that with an eye on the client;
//! * `tunnel`: what follows a 101;
//! * `answer`: responses of limpet's own; `failure`: what can go wrong, and what then; `end`: how it ended;
//! * `entry`: what the access log will say.
//!
//! `client` and `target` are the traits by which an exchange knows who asks and who answers; `content` goes from one to
//! the other in pieces. `local` is what it finds on its shard, `caller` what the connection tells of the client. Knows
//! no socket and no byte of a wire.

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
pub mod interim;
pub mod local;
mod place;
mod progress;
mod respond;
pub mod scene;
pub mod target;
pub mod tunnel;
mod upload;
mod watch;
