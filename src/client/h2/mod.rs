//! Clients that speak HTTP/2: one task owns the socket and the machine, and each stream's exchange is a task of its own.
//!
//! ```text
//!   socket ─ receive ─▶ serve ─ Machine ─▶ slots ─▶ stream: judged, exchange, record
//!   socket ◀─ one send ─ serve ◀─ Machine ◀──────── response: heads and content
//! ```
//! * `serve`: the connection's task: opens streams, drains and ends the connection; [`multiplex`](crate::multiplex) drives
//!   its socket; `shared`: the state that it and its streams share;
//! * `workers`: the tasks that serve streams, one after the other;
//! * `stream`: one request and its response; `content`: the content of one; `response`: its response;
//!   `grpc`: answers of limpet's own to calls of gRPC.

mod content;
mod grpc;
mod response;
pub mod serve;
mod shared;
mod stream;
mod workers;
