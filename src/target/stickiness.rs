//! The stickiness of one scope (a target group, or a rule over several groups) and its verdicts.
use std::time::Duration;

/// Why a request to a sticky group went where it went; exactly the table of the documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    New,
    Valid,
    ExpiredIdle,
    ExpiredAge,
    Invalid,
    Flushed,
    Draining,
    Unhealthy,
    Removed,
    Full,
}
impl Reason {
    pub fn code(self) -> &'static str {
        todo!()
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum StickinessKind {
    LbCookie,
    AppCookie { name: Box<str> },
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failback {
    Never,
    Healthy,
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
    /// `None` = "limpet_<group>".
    pub cookie_name: Option<Box<str>>,
    pub domain: Option<Box<str>>,
    pub path: Box<str>,
    pub same_site: SameSite,
    pub partitioned: bool,
    /// Twin for cross-site use (SameSite=None; Secure), named "<cookie>_cors".
    pub cross_site_twin: bool,
    /// Keep the cookie in the request that the target sees.
    pub forward_cookie: bool,
    pub failback: Failback,
    /// "Flush stickiness" bumps it.
    pub generation: u32,
    /// Further names of session cookies to watch.
    pub session_cookies: Vec<Box<str>>,
}
#[derive(Debug)]
pub struct Stickiness {}
