//! Targets that speak HTTP/2: connections that exchanges share, and the streams on them.
//!
//! * [`lines`]: the connections of a shard, each from the moment that it is asked for ([`line`]);
//! * [`task`]: the task of one; [`stream`]: the two directions of one exchange on it.
//!
//! Tested over real sockets in `tests/blackbox/http2`.

pub mod line;
pub mod lines;
pub mod stream;
pub mod task;
