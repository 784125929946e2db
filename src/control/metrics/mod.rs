//! The metrics: for Prometheus and for the console, both read from the same numbers.
//!
//! Reads the shards' counts through the published snapshot, whenever they are requested; a shard never notices.
//! [`names`] has the table of metrics and their limits. The data plane and the rest of the control plane are reached
//! through two small traits. Tested beside it.

mod exposition;
mod family;
pub mod names;
pub mod process;
mod rates;
pub mod sampler;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

pub use exposition::{CONTENT_TYPE, exposition};
pub use rates::Overview;
pub use sampler::Sampler;

use crate::shard::Handle;
use crate::snapshot::Published;
pub use crate::telemetry::access_log::LogCounts;
use crate::telemetry::counters::Counters;
use crate::telemetry::handshakes::Handshakes;

/// The running data plane, as the metrics see it.
pub trait Machine: Send + Sync {
    /// "io_uring" or "epoll".
    fn engine(&self) -> &'static str;
    fn shard_count(&self) -> usize;
    /// Client connections open now.
    fn connections(&self) -> usize;
    /// Of these, those of one shard.
    fn shard_connections(&self, shard: usize) -> usize;
    /// CPU time of the shard's thread since start.
    fn busy(&self, shard: usize) -> Duration;
    fn log(&self) -> LogCounts;
}

impl Machine for Handle {
    fn engine(&self) -> &'static str {
        self.engine().name()
    }

    fn shard_count(&self) -> usize {
        self.shard_count()
    }

    fn connections(&self) -> usize {
        self.connections()
    }

    fn shard_connections(&self, shard: usize) -> usize {
        usize::try_from(self.shard_connections(shard)).unwrap_or(usize::MAX)
    }

    fn busy(&self, shard: usize) -> Duration {
        self.busy(shard)
    }

    fn log(&self) -> LogCounts {
        self.log()
    }
}

/// The running configuration, as the metrics see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConfigFacts {
    /// Grows with every change of the configuration.
    pub version: u64,
    /// Whether the last attempt to load a file succeeded.
    pub last_reload_successful: bool,
    /// When a file was last loaded.
    pub loaded_unix_ms: u64,
}

/// The certificates that are presented, as the metrics see them.
#[derive(Debug, Clone, Default)]
pub struct CertificateFacts {
    pub ends: Vec<CertificateEnd>,
    /// Whether the last attempt to read their files succeeded.
    pub last_reading_successful: bool,
    /// Orders from authorities, good and failed ones.
    pub orders: OrderCounts,
}

/// Orders of certificates since the process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OrderCounts {
    pub issued: u64,
    pub failed: u64,
}

/// When a certificate ends.
#[derive(Debug, Clone)]
pub struct CertificateEnd {
    /// Empty where no listener presents it.
    pub listener: String,
    /// The group to whose targets it is presented, or empty.
    pub target_group: String,
    /// The file of its chain.
    pub chain: String,
    /// In seconds since 1970.
    pub not_after: i64,
}

/// Numbers from other parts of the control plane.
pub trait Plane: Send + Sync {
    fn config(&self) -> ConfigFacts;
    fn certificates(&self) -> CertificateFacts;
    /// Requests to the admin API that were refused because of the visitor, by reason.
    fn refused_requests(&self) -> [(&'static str, u64); 4];
    /// The TLS handshakes of the admin API.
    fn admin_handshakes(&self) -> Handshakes;
    /// Live sessions of a group, estimated; `None` where they are not counted.
    fn group_sessions(&self, group: &str) -> Option<u64>;
    /// Live sessions of a target, estimated; `None` where they are not counted.
    fn target_sessions(&self, group: &str, target: &str) -> Option<u64>;
}

/// All sources of an exposition or a sample.
pub struct Sources {
    pub published: Arc<Published>,
    pub counters: Arc<Counters>,
    pub machine: Arc<dyn Machine>,
    pub plane: Arc<dyn Plane>,
    /// When the process started.
    pub started_unix_ms: u64,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Sources").finish_non_exhaustive()
    }
}
