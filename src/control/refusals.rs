//! Requests that the admin API refused because of the visitor, not of their content: counted by reason.
//!
//! Numbers and words only; the admin API decides, the audit log records. Tested by `tests/admin`.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a visitor was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No token, or a wrong one.
    Unauthorized,
    /// The request may come from a page of another site.
    CrossSite,
    /// An address without a token requests more than it may.
    NotTrusted,
    /// A host that is not limpet's.
    Misdirected,
}

impl Refusal {
    pub const ALL: [Refusal; 4] =
        [Refusal::Unauthorized, Refusal::CrossSite, Refusal::NotTrusted, Refusal::Misdirected];

    /// The word of metrics and audit log.
    pub fn word(self) -> &'static str {
        match self {
            Refusal::Unauthorized => "unauthorized",
            Refusal::CrossSite => "cross-site",
            Refusal::NotTrusted => "not-trusted",
            Refusal::Misdirected => "misdirected",
        }
    }
}

/// The number of refusals, by reason, since the start.
#[derive(Debug, Default)]
pub struct Refusals {
    unauthorized: AtomicU64,
    cross_site: AtomicU64,
    not_trusted: AtomicU64,
    misdirected: AtomicU64,
}

impl Refusals {
    fn of(&self, refusal: Refusal) -> &AtomicU64 {
        match refusal {
            Refusal::Unauthorized => &self.unauthorized,
            Refusal::CrossSite => &self.cross_site,
            Refusal::NotTrusted => &self.not_trusted,
            Refusal::Misdirected => &self.misdirected,
        }
    }

    pub fn count(&self, refusal: Refusal) {
        self.of(refusal).fetch_add(1, Ordering::Relaxed);
    }

    /// Every reason with its count.
    pub fn counts(&self) -> [(&'static str, u64); 4] {
        Refusal::ALL.map(|one| (one.word(), self.of(one).load(Ordering::Relaxed)))
    }
}
