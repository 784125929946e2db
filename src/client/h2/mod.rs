//! Clients that speak HTTP/2: one task owns the socket and the machine, and each stream's exchange is a task of its own.
//!
//! ```text
//!   socket ─ receive ─▶ serve ─ Machine ─▶ slots ─▶ stream: judged, exchange, record
//!   socket ◀─ one send ─ serve ◀─ Machine ◀──────── response: heads and content
//! ```
//! * `serve`: the connection's task: receives, lets the machine take it in, opens streams, sends what they have written
//!   by the end of the turn in one send; drains and ends the connection;
//! * `shared`: the state that the task and its streams share: the machine, and for each stream what has come for it;
//! * `stream`: one request and its response; `content`: the content of one; `response`: its response; `side`: a stream
//!   as one end of a tunnel.

mod content;
mod response;
pub mod serve;
mod shared;
mod side;
mod stream;
