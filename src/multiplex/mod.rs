//! Connections of HTTP/2, on either side: one task owns the socket and the machine, each stream is the work of a task of
//! its own.
//!
//! * [`shared`]: the state that a connection's task and its streams share; [`task`]: the socket, driven for the machine;
//! * [`flush`]: the send in flight; `stall`: a stream that its peer does not let send;
//! * [`reading`]: content that comes on a stream; [`writing`]: content that goes; [`side`]: a stream as a tunnel's end;
//! * `tally`: what a connection adds to the shard's numbers.
//!
//! Knows neither clients nor targets: what a head or the end of a connection means is its [`shared::Owner`]'s business.

pub mod flush;
pub mod reading;
pub mod shared;
pub mod side;
mod stall;
mod tally;
pub mod task;
pub mod writing;
