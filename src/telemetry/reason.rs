//! Why a request to a sticky group was sent where it was, as logs and metrics report it.

/// Why a request to a sticky group was sent where it was; exactly the table of the documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    New,
    Valid,
    ExpiredIdle,
    ExpiredAge,
    Invalid,
    UnknownKey,
    Flushed,
    Draining,
    Unhealthy,
    Removed,
    Full,
}

impl Reason {
    /// In the order of the table, for counters and their tests.
    pub const ALL: [Reason; 11] = [
        Reason::New,
        Reason::Valid,
        Reason::ExpiredIdle,
        Reason::ExpiredAge,
        Reason::Invalid,
        Reason::UnknownKey,
        Reason::Flushed,
        Reason::Draining,
        Reason::Unhealthy,
        Reason::Removed,
        Reason::Full,
    ];

    /// The word of the access log and the metrics.
    pub fn code(self) -> &'static str {
        match self {
            Reason::New => "new",
            Reason::Valid => "valid",
            Reason::ExpiredIdle => "expired_idle",
            Reason::ExpiredAge => "expired_age",
            Reason::Invalid => "invalid",
            Reason::UnknownKey => "unknown_key",
            Reason::Flushed => "flushed",
            Reason::Draining => "draining",
            Reason::Unhealthy => "unhealthy",
            Reason::Removed => "removed",
            Reason::Full => "full",
        }
    }
}
