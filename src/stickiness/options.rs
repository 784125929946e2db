//! The settings of one scope's stickiness, and why some are refused.

use std::time::Duration;

#[derive(Debug, Clone, PartialEq)]
pub enum StickinessKind {
    LbCookie,
    AppCookie {
        name: Box<str>,
    },
    /// The session id that the application hands out in a response field of this name.
    AppHeader {
        name: Box<str>,
        on_lost: OnLost,
    },
}

/// What becomes of a request whose session has been lost: it is of an earlier generation, it is too old, or its target
/// is gone or unhealthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLost {
    Balance,
    /// limpet answers with this status.
    Answer(u16),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failback {
    Never,
    Healthy,
}

/// Where first visits go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewSessions {
    /// As the group's algorithm says.
    Algorithm,
    /// Where the fewest sessions live, by weight.
    LeastSessions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    Lax,
    Strict,
    None,
}

/// Settings as the file and the admin API give them.
#[derive(Debug, Clone, PartialEq)]
pub struct StickinessOptions {
    pub enabled: bool,
    pub kind: StickinessKind,
    pub duration: Duration,
    pub max_age: Duration,
    /// `None` = `limpet_<name of the scope>`.
    pub cookie_name: Option<Box<str>>,
    pub domain: Option<Box<str>>,
    pub path: Box<str>,
    pub same_site: SameSite,
    pub partitioned: bool,
    /// Twin for cross-site use (SameSite=None; Secure), named `<cookie>_cors`.
    pub cross_site_twin: bool,
    /// Keep the cookie in the request that the target sees.
    pub forward_cookie: bool,
    pub failback: Failback,
    pub new_sessions: NewSessions,
    /// "Flush stickiness" bumps it.
    pub generation: u32,
    /// Further names of session cookies to watch.
    pub session_cookies: Vec<Box<str>>,
}

impl Default for StickinessOptions {
    /// The documentation's defaults; off.
    fn default() -> StickinessOptions {
        const DAY: Duration = Duration::from_secs(86_400);
        StickinessOptions {
            enabled: false,
            kind: StickinessKind::LbCookie,
            duration: DAY,
            max_age: DAY * 7,
            cookie_name: None,
            domain: None,
            path: "/".into(),
            same_site: SameSite::Lax,
            partitioned: false,
            cross_site_twin: false,
            forward_cookie: false,
            failback: Failback::Never,
            new_sessions: NewSessions::Algorithm,
            generation: 0,
            session_cookies: Vec::new(),
        }
    }
}

/// Shortest and longest idle duration.
pub const DURATION_MIN: Duration = Duration::from_secs(1);
pub const DURATION_MAX: Duration = Duration::from_secs(7 * 86_400);

/// Why settings were refused; says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StickinessFault {
    #[error("the idle duration must be between 1s and 7d")]
    Duration,
    #[error("the maximum age must be at least 1s")]
    MaxAge,
    #[error("{0:?} is not a cookie name: letters, digits and !#$%&'*+-.^_`|~ are allowed")]
    CookieName(Box<str>),
    #[error("the balancer's cookie and the application's have the same name {0:?}")]
    SameName(Box<str>),
    #[error("{0:?} is not a cookie domain: letters, digits, dots and hyphens are allowed")]
    Domain(Box<str>),
    #[error("{0:?} is not a cookie path: it starts with \"/\" and has no \";\", space or control")]
    Path(Box<str>),
    #[error("a cookie named __Host-… must have the path \"/\" and no domain")]
    HostPrefix,
}
