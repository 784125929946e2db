//! Records of limpet's requests: the access log and the counters.
//!
//! A shard describes each finished exchange by one [`record::Record`] and hands it to its [`access_log::ShardLog`], its
//! [`counters::ShardCounters`] and the [`series`] that it belongs to; all of them only copy or add, without lock,
//! allocation or formatting. Lines are formatted and written by the one log thread. Messages that do not belong to a
//! request are tracing events and have nothing to do with this module.
pub mod access_log;
pub mod batch;
mod copy;
pub mod counters;
pub mod ended;
pub mod format;
pub mod handshakes;
pub mod histogram;
pub mod http2;
mod log_output;
pub mod number;
pub mod options;
pub mod rare;
pub mod reason;
pub mod record;
pub mod series;
mod tally;
pub mod template;

#[cfg(test)]
mod access_log_tests;
#[cfg(test)]
mod record_tests;
