//! How a group, or a rule over several groups, keeps its users.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::control::config::units::duration;
use crate::stickiness::options::{Failback, NewSessions, OnLost, SameSite};

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stickiness {
    pub enabled: bool,
    #[serde(rename = "type")]
    pub kind: StickinessType,
    pub app_cookie: Option<String>,
    pub app_header: Option<String>,
    #[serde(deserialize_with = "on_lost")]
    pub on_lost: OnLost,
    #[serde(deserialize_with = "duration")]
    pub duration: Duration,
    #[serde(deserialize_with = "duration")]
    pub max_age: Duration,
    pub cookie_name: Option<String>,
    pub domain: String,
    pub path: String,
    #[serde(with = "SameSiteName")]
    pub same_site: SameSite,
    pub partitioned: bool,
    pub cross_site_twin: bool,
    pub forward_cookie: bool,
    #[serde(with = "FailbackName")]
    pub failback: Failback,
    #[serde(with = "NewSessionsName")]
    pub new_sessions: NewSessions,
    pub session_cookies: Vec<String>,
    pub generation: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StickinessType {
    LbCookie,
    AppCookie,
    AppHeader,
}

impl StickinessType {
    /// The word of the file.
    pub fn code(self) -> &'static str {
        match self {
            StickinessType::LbCookie => "lb_cookie",
            StickinessType::AppCookie => "app_cookie",
            StickinessType::AppHeader => "app_header",
        }
    }
}

/// The cookie of a rule that is sticky across its groups.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sticky {
    pub enabled: bool,
    #[serde(rename = "type")]
    pub kind: StickinessType,
    pub app_header: Option<String>,
    #[serde(deserialize_with = "on_lost")]
    pub on_lost: OnLost,
    #[serde(deserialize_with = "duration")]
    pub duration: Duration,
    #[serde(deserialize_with = "duration")]
    pub max_age: Duration,
    pub cookie_name: Option<String>,
    pub domain: String,
    pub path: String,
    #[serde(with = "SameSiteName")]
    pub same_site: SameSite,
    pub partitioned: bool,
    pub cross_site_twin: bool,
    pub forward_cookie: bool,
    #[serde(with = "NewSessionsName")]
    pub new_sessions: NewSessions,
}

fn on_lost<'de, D: Deserializer<'de>>(input: D) -> Result<OnLost, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum StatusOrWord {
        Status(u16),
        Word(Word),
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        Balance,
    }
    Ok(match StatusOrWord::deserialize(input)? {
        StatusOrWord::Status(status) => OnLost::Answer(status),
        StatusOrWord::Word(Word::Balance) => OnLost::Balance,
    })
}

// The names in the file of what the data plane knows by type only.

#[derive(Deserialize)]
#[serde(remote = "SameSite", rename_all = "snake_case")]
enum SameSiteName {
    Lax,
    Strict,
    None,
}

#[derive(Deserialize)]
#[serde(remote = "Failback", rename_all = "snake_case")]
enum FailbackName {
    Never,
    Healthy,
}

#[derive(Deserialize)]
#[serde(remote = "NewSessions", rename_all = "snake_case")]
enum NewSessionsName {
    Algorithm,
    LeastSessions,
}
