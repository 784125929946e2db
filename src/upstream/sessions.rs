//! The TLS sessions that one shard keeps of its targets, each target's with the configuration that they belong to.
//!
//! A configuration with its own store of sessions is made when the shard first connects to a target, and again when the
//! group's settings have changed: sessions of other settings are never resumed. Those of targets that are gone are
//! dropped. Shards share none, so none waits for another. Tested with the targets.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use rustls::ClientConfig;

use crate::group::state::TargetState;
use crate::group::target_group::Target;
use crate::tls::target::{ConnectionId, TargetTls};

/// With fewer targets than this, those that are gone are not looked for.
const SWEPT_FROM: usize = 64;

struct Kept {
    target: Weak<TargetState>,
    id: ConnectionId,
    config: Arc<ClientConfig>,
}

/// The sessions of one shard.
#[derive(Default)]
pub struct Sessions {
    /// By slot.
    kept: HashMap<u32, Kept, ahash::RandomState>,
    /// At this many, those of targets that are gone are dropped.
    sweep_at: usize,
}

impl Sessions {
    /// The configuration for a handshake with a target.
    pub fn config(&mut self, target: &Target, tls: &TargetTls) -> Arc<ClientConfig> {
        let state = &target.state;
        if let Some(kept) = self.kept.get(&state.slot)
            && kept.id == tls.id()
            && kept.target.as_ptr() == Arc::as_ptr(state)
        {
            return Arc::clone(&kept.config);
        }
        let config = tls.config();
        let kept =
            Kept { target: Arc::downgrade(state), id: tls.id(), config: Arc::clone(&config) };
        self.kept.insert(state.slot, kept);
        if self.kept.len() >= self.sweep_at.max(SWEPT_FROM) {
            self.kept.retain(|_, kept| kept.target.strong_count() > 0);
            self.sweep_at = self.kept.len() * 2;
        }
        config
    }

    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.kept.len()
    }
}
