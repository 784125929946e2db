//! Settings of target groups, their stickiness and their targets. Tested as part of the schema.

use super::super::{checks, grpc};
use super::{
    DAY_S, Default, KIB, Kind, MIB, Section, Setting, health, milliseconds_to_seconds, seconds,
    seconds_or_off, setting, target_tls,
};

pub static TARGET_GROUP: Section = Section {
    settings: &[
        setting(
            "name",
            Kind::Text(&checks::NAME),
            Default::Needed,
            "Name in logs, metrics and cookies, unique.",
        ),
        setting(
            "protocol",
            Kind::OneOf(&["http", "https"]),
            Default::Is("\"http\""),
            "How targets are spoken to, checks included.",
        ),
        setting(
            "protocol_version",
            Kind::OneOf(&["http1", "http2", "grpc"]),
            Default::Is("\"http1\""),
            "What targets are spoken to in: HTTP/1.1, HTTP/2 on connections that requests share, or that for calls of gRPC only.",
        ),
        setting(
            "send_proxy_protocol",
            Kind::OneOf(&["off", "v1", "v2"]),
            Default::Is("\"off\""),
            "Whether connections to targets begin with a PROXY protocol header that names the client; none is shared then.",
        ),
        setting(
            "tls",
            Kind::Section(&target_tls::TARGET_TLS),
            Default::Filled,
            "With \"https\": what targets must prove, and what limpet proves to them.",
        ),
        setting(
            "algorithm",
            Kind::OneOf(&["round_robin", "least_outstanding_requests", "weighted_random", "hash"]),
            Default::Is("\"round_robin\""),
            "How a target is chosen.",
        ),
        setting(
            "hash_on",
            Kind::Text(&checks::HASH_ON),
            Default::Absent,
            "What \"hash\" looks at.",
        ),
        setting(
            "connection_limit",
            Kind::Count { min: 0, max: 1_000_000 },
            Default::Is("0"),
            "Most requests in flight to one target; 0 = no limit.",
        ),
        setting(
            "queue",
            Kind::Count { min: 0, max: 65_536 },
            Default::Is("128"),
            "Requests that may wait for a place on one target.",
        ),
        setting(
            "queue_timeout",
            milliseconds_to_seconds(1, 3600),
            Default::Is("\"5s\""),
            "How long they wait; then 503.",
        ),
        setting(
            "on_full",
            Kind::OneOf(&["queue", "spill", "restick", "reject"]),
            Default::Is("\"queue\""),
            "What happens when a sticky user's target is at its limit.",
        ),
        setting(
            "upgrades",
            Kind::Bool,
            Default::Is("true"),
            "Whether WebSocket and other upgrades are allowed.",
        ),
        setting(
            "deregistration_delay",
            seconds_or_off(1, DAY_S),
            Default::Is("\"5m\""),
            "How long a target that leaves serves whoever is bound to it, at most: it ends early when nothing is left; 0 = not at all.",
        ),
        setting(
            "slow_start",
            seconds_or_off(1, 3600),
            Default::Is("\"0s\""),
            "How long a target that becomes healthy takes to reach its full share, while another carries the load; 0 = at once.",
        ),
        setting(
            "health_check",
            Kind::Section(&health::HEALTH_CHECK),
            Default::Filled,
            "How it is found out whether a target works.",
        ),
        setting(
            "fail_open",
            Kind::Section(&health::FAIL_OPEN),
            Default::Filled,
            "When unhealthy targets are better than too few.",
        ),
        setting(
            "ejection",
            Kind::Section(&health::EJECTION),
            Default::Filled,
            "Targets that fail live requests are left alone for a while.",
        ),
        setting("timeouts", Kind::Section(&TIMEOUTS), Default::Filled, "Deadlines of targets."),
        setting("limits", Kind::Section(&LIMITS), Default::Filled, "Limits of responses."),
        setting("pool", Kind::Section(&POOL), Default::Filled, "Connections kept to targets."),
        setting("retries", Kind::Section(&RETRIES), Default::Filled, "Further attempts."),
        setting(
            "stickiness",
            Kind::Section(&STICKINESS),
            Default::Filled,
            "Every user comes back to the same target.",
        ),
        setting("target", Kind::Sections(&TARGET), Default::Is("[]"), "The servers."),
    ],
};

static TIMEOUTS: Section = Section {
    settings: &[
        setting(
            "connect",
            milliseconds_to_seconds(1, 300),
            Default::Is("\"3s\""),
            "A connection to a target.",
        ),
        setting(
            "handshake",
            milliseconds_to_seconds(1, 300),
            Default::Is("\"5s\""),
            "With \"https\": the TLS handshake on a new connection.",
        ),
        setting(
            "response",
            milliseconds_to_seconds(1, DAY_S),
            Default::Is("\"60s\""),
            "The head of a response, from the request's end.",
        ),
        setting(
            "response_renewed_by_102",
            Kind::Bool,
            Default::Is("false"),
            "Whether an interim response 102 (Processing) begins that time anew.",
        ),
        setting(
            "idle",
            milliseconds_to_seconds(100, DAY_S),
            Default::Is("\"4s\""),
            "A kept connection without a request, unless the target's Keep-Alive field says less.",
        ),
        setting(
            "content_idle",
            milliseconds_to_seconds(1, DAY_S),
            Default::Is("\"60s\""),
            "Silence inside a response's content.",
        ),
        setting(
            "stream_idle",
            milliseconds_to_seconds(1, DAY_S),
            Default::Is("\"1h\""),
            "The same for clients of HTTP/2.",
        ),
        setting(
            "tunnel_idle",
            seconds_or_off(1, 30 * DAY_S),
            Default::Is("\"1h\""),
            "Silence in an upgraded connection, in both directions; 0 = off.",
        ),
    ],
};

static LIMITS: Section = Section {
    settings: &[setting(
        "response_head",
        Kind::Size { min: KIB, max: MIB, off: false },
        Default::Is("\"64KiB\""),
        "Longest response head; more is 502.",
    )],
};

static POOL: Section = Section {
    settings: &[
        setting(
            "idle_per_shard",
            Kind::Count { min: 0, max: 65_536 },
            Default::Is("256"),
            "Idle connections kept per target and shard; 0 = every request connects anew.",
        ),
        setting(
            "connections_max",
            Kind::Count { min: 1, max: 1024 },
            Default::Is("8"),
            "With HTTP/2: most connections per target and shard; requests wait for a stream beyond.",
        ),
        setting(
            "streams_per_connection",
            Kind::Count { min: 1, max: 1000 },
            Default::Is("100"),
            "With HTTP/2: most requests at a time on one connection, as far as the target allows.",
        ),
    ],
};

static RETRIES: Section = Section {
    settings: &[
        setting(
            "count",
            Kind::Count { min: 0, max: 10 },
            Default::Is("1"),
            "Further attempts for one request.",
        ),
        setting(
            "budget_percent",
            Kind::Count { min: 0, max: 100 },
            Default::Is("20"),
            "Retries in percent of recent requests; a failed connect needs no budget.",
        ),
        setting(
            "budget_minimum",
            Kind::Count { min: 0, max: 1_000_000 },
            Default::Is("3"),
            "So many retries at a time whatever the percentage says.",
        ),
        setting(
            "on",
            Kind::Texts(&grpc::RETRIED),
            Default::Is("[]"),
            "Statuses of gRPC after which a call is tried again: \"grpc:unavailable\" and its like, in answers that are trailers only.",
        ),
    ],
};

/// The settings that the stickiness cookies of a target group and of a rule share.
pub(super) const fn cookie_settings() -> [Setting; 10] {
    [
        setting("enabled", Kind::Bool, Default::Is("false"), "Whether users are kept."),
        setting(
            "duration",
            seconds(1, 7 * DAY_S),
            Default::Is("\"1d\""),
            "How long a user is kept without a request; max_age by default where that is shorter.",
        )
        .at_most("max_age"),
        setting(
            "max_age",
            seconds(1, 366 * DAY_S),
            Default::Is("\"7d\""),
            "How long a user is kept at most; not below duration.",
        ),
        setting(
            "cookie_name",
            Kind::Text(&checks::COOKIE_NAME),
            Default::Absent,
            "\"limpet_<group>\" or \"limpet_<rule>\" when absent.",
        ),
        setting(
            "domain",
            Kind::Text(&checks::COOKIE_DOMAIN),
            Default::Is("\"\""),
            "Domain of the cookie; \"\" = the host that was asked.",
        ),
        setting(
            "path",
            Kind::Text(&checks::COOKIE_PATH),
            Default::Is("\"/\""),
            "Path of the cookie.",
        ),
        setting(
            "same_site",
            Kind::OneOf(&["lax", "strict", "none"]),
            Default::Is("\"lax\""),
            "SameSite of the cookie; \"none\" only works over TLS.",
        ),
        setting(
            "partitioned",
            Kind::Bool,
            Default::Is("false"),
            "A separate cookie for each site that embeds this one (CHIPS).",
        ),
        setting(
            "cross_site_twin",
            Kind::Bool,
            Default::Is("false"),
            "A second cookie with SameSite=None; Secure, for cross-site use.",
        ),
        setting(
            "forward_cookie",
            Kind::Bool,
            Default::Is("false"),
            "Whether targets see limpet's cookie.",
        ),
    ]
}

/// Where first visits go, by the stickiness of a target group or of a rule.
pub(super) const fn new_sessions() -> Setting {
    setting(
        "new_sessions",
        Kind::OneOf(&["algorithm", "least_sessions"]),
        Default::Is("\"algorithm\""),
        "Where new users go: as the algorithm says, or where the fewest live by weight, new targets first.",
    )
}

pub static STICKINESS: Section = Section { settings: &STICKINESS_SETTINGS };

/// What a session id in a field has in a target group and in a rule alike.
pub(super) const fn session_field_settings() -> [Setting; 2] {
    [
        setting(
            "app_header",
            Kind::Text(&checks::SESSION_FIELD),
            Default::Absent,
            "With \"app_header\": the field in which the application hands out session ids.",
        ),
        setting(
            "on_lost",
            Kind::WordOrCount { word: "balance", min: 400, max: 498 },
            Default::Is("\"balance\""),
            "With \"app_header\": another target for a session whose own is gone, or a status at once.",
        ),
    ]
}

static STICKINESS_SETTINGS: [Setting; 18] = {
    let [a, b, c, d, e, f, g, h, i, j] = cookie_settings();
    let [app_header, on_lost] = session_field_settings();
    [
        a,
        setting(
            "type",
            Kind::OneOf(&["lb_cookie", "app_cookie", "app_header"]),
            Default::Is("\"lb_cookie\""),
            "limpet's own cookie alone, as long as the application's cookie lives, or a session id in a field.",
        ),
        setting(
            "app_cookie",
            Kind::Text(&checks::COOKIE_NAME),
            Default::Absent,
            "With \"app_cookie\": the application's cookie.",
        ),
        app_header,
        on_lost,
        b,
        c,
        d,
        e,
        f,
        g,
        h,
        i,
        j,
        setting(
            "failback",
            Kind::OneOf(&["never", "healthy"]),
            Default::Is("\"never\""),
            "After a fail-over: stay, or go back when the first target is healthy again.",
        ),
        new_sessions(),
        setting(
            "session_cookies",
            Kind::Texts(&checks::COOKIE_NAME),
            Default::Is("[]"),
            "Names of session cookies to watch besides the well-known ones.",
        ),
        setting(
            "generation",
            Kind::Count { min: 0, max: u32::MAX as u64 },
            Default::Is("0"),
            "A number to raise in order to flush: cookies of an earlier generation are no longer honoured.",
        ),
    ]
};

pub static TARGET: Section = Section {
    settings: &[
        setting(
            "id",
            Kind::Text(&checks::TARGET_ID),
            Default::Absent,
            "Stands in cookies (hashed), logs and metrics; unique in the group; the address when absent.",
        ),
        setting(
            "address",
            Kind::Text(&checks::TARGET_ADDRESS),
            Default::Needed,
            "Where the server listens.",
        ),
        setting(
            "weight",
            Kind::Count { min: 0, max: 999 },
            Default::Is("1"),
            "Share of the requests; 0 = none but those already bound to it.",
        ),
        setting(
            "state",
            Kind::OneOf(&["in_service", "draining"]),
            Default::Is("\"in_service\""),
            "Whether new users come, or only those already bound to it.",
        ),
    ],
};
