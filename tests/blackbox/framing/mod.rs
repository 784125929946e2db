//! Message framing on both sides: content keeps its meaning and its kind of framing on its way
//! through, streams in both directions, and ends exactly where it says. RFC 9112 §6 and §7.

mod chunked;
mod closing;
mod cut_off;
mod early;
mod interim;
mod length;
mod lingering;
mod pipelining;
mod request_target;
mod streaming;
mod without_content;
