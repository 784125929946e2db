//! Settings of listeners and their rules. Tested as part of the schema.

use super::super::checks;
use super::target_group::{cookie_settings, new_sessions, session_field_settings};
use super::tls;
use super::{
    DAY_S, Default, GIB, KIB, Kind, MIB, Section, milliseconds_to_seconds, seconds_or_off, setting,
};

pub static LISTENER: Section = Section {
    settings: &[
        setting(
            "name",
            Kind::Text(&checks::NAME),
            Default::Needed,
            "Name in logs and metrics, unique.",
        ),
        setting(
            "address",
            Kind::Text(&checks::LISTENER_ADDRESS),
            Default::Needed,
            "Where to listen.",
        ),
        setting(
            "mode",
            Kind::OneOf(&["strict", "defensive", "monitor"]),
            Default::Is("\"strict\""),
            "How strictly requests are read; never relaxes framing.",
        ),
        setting(
            "proxy_protocol",
            Kind::OneOf(&["off", "v1", "v2", "any"]),
            Default::Is("\"off\""),
            "Whether clients come with a PROXY protocol header that names the real client.",
        ),
        setting(
            "proxy_protocol_from",
            Kind::TextOrTexts(&checks::PROXY_SENDER),
            Default::Absent,
            "The peers whose PROXY protocol headers are taken; others are closed at once. \"any\": everybody's.",
        ),
        setting(
            "trusted_proxies",
            Kind::Texts(&checks::TRUSTED_PROXY),
            Default::Is("[]"),
            "Networks of proxies whose X-Forwarded-*, Forwarded and request id are believed; \"unix\": peers on a Unix socket.",
        ),
        setting(
            "merge_slashes",
            Kind::Bool,
            Default::Is("true"),
            "Whether \"//\" in a path is read, and forwarded, as \"/\".",
        ),
        setting(
            "http2",
            Kind::Bool,
            Default::Is("false"),
            "Whether clients in clear may speak HTTP/2 from their first byte on; under TLS, tls.alpn tells.",
        ),
        setting(
            "forward",
            Kind::TextOrSection(&checks::GROUP, &FORWARD),
            Default::Absent,
            "What no rule matches goes to this target group.",
        ),
        setting(
            "redirect",
            Kind::Section(&REDIRECT),
            Default::Absent,
            "What no rule matches is redirected.",
        ),
        setting(
            "respond",
            Kind::Section(&RESPOND),
            Default::Absent,
            "What no rule matches gets a fixed response.",
        ),
        setting("socket", Kind::Section(&SOCKET), Default::Filled, "The listening socket."),
        setting(
            "tls",
            Kind::Section(&tls::TLS),
            Default::Absent,
            "TLS: certificates, versions, client certificates; plain HTTP without it.",
        ),
        setting("timeouts", Kind::Section(&TIMEOUTS), Default::Filled, "Deadlines of clients."),
        setting("limits", Kind::Section(&LIMITS), Default::Filled, "Limits of requests."),
        setting(
            "forwarded",
            Kind::Section(&FORWARDED),
            Default::Filled,
            "What targets are told about the client.",
        ),
        setting(
            "answers",
            Kind::SectionByName { name: &checks::ANSWER_STATUS, section: &ANSWER },
            Default::Is("{}"),
            "What limpet's own answers say, by status.",
        ),
        setting(
            "rule",
            Kind::Sections(&RULE),
            Default::Is("[]"),
            "Conditions and one action; the lowest priority that matches wins.",
        ),
    ],
};

static SOCKET: Section = Section {
    settings: &[
        setting(
            "backlog",
            Kind::Count { min: 1, max: 65_535 },
            Default::Is("4096"),
            "Connections that may wait for accept, per shard; the kernel caps it at net.core.somaxconn.",
        ),
        setting("nodelay", Kind::Bool, Default::Is("true"), "TCP_NODELAY."),
        setting(
            "defer_accept",
            seconds_or_off(1, 300),
            Default::Is("\"0s\""),
            "TCP_DEFER_ACCEPT: wake up only when the first byte has come, or after this long; 0 = off.",
        ),
        setting(
            "fast_open",
            Kind::Count { min: 0, max: 65_535 },
            Default::Is("0"),
            "TCP_FASTOPEN: length of its queue; 0 = off.",
        ),
        setting(
            "keepalive",
            seconds_or_off(1, 32_767),
            Default::Is("\"0s\""),
            "SO_KEEPALIVE: probe a connection that has been silent this long; 0 = off.",
        ),
        setting(
            "send_buffer",
            Kind::Size { min: 4 * KIB, max: GIB, off: true },
            Default::Is("\"0B\""),
            "SO_SNDBUF; 0 = what the kernel chooses.",
        ),
        setting(
            "receive_buffer",
            Kind::Size { min: 4 * KIB, max: GIB, off: true },
            Default::Is("\"0B\""),
            "SO_RCVBUF; 0 = what the kernel chooses.",
        ),
        setting(
            "ipv6_only",
            Kind::Bool,
            Default::Is("true"),
            "IPV6_V6ONLY: a listener on [::] leaves IPv4 to others.",
        ),
        setting(
            "unix_mode",
            Kind::Text(&checks::UNIX_MODE),
            Default::Is("\"0660\""),
            "Permission bits of a Unix socket, in octal.",
        ),
    ],
};

static TIMEOUTS: Section = Section {
    settings: &[
        setting(
            "handshake",
            milliseconds_to_seconds(100, 3600),
            Default::Is("\"10s\""),
            "A TLS handshake; its waits for limpet itself do not count.",
        ),
        setting(
            "head",
            milliseconds_to_seconds(100, 3600),
            Default::Is("\"10s\""),
            "A whole request head, from its first byte.",
        ),
        setting(
            "content_idle",
            milliseconds_to_seconds(100, DAY_S),
            Default::Is("\"30s\""),
            "Silence inside a request's content.",
        ),
        setting(
            "stream_idle",
            milliseconds_to_seconds(100, DAY_S),
            Default::Is("\"1h\""),
            "The same on a stream of HTTP/2 that is a call of gRPC or whose response has begun; no rate is asked of those.",
        ),
        setting(
            "content_minimum_rate",
            Kind::Size { min: 1, max: GIB, off: true },
            Default::Is("\"500B\""),
            "Slowest request content that is put up with, bytes per second; 0 = off.",
        ),
        setting(
            "keep_alive",
            milliseconds_to_seconds(100, DAY_S),
            Default::Is("\"75s\""),
            "Silence between two requests.",
        ),
        setting(
            "connection_age",
            seconds_or_off(1, 30 * DAY_S),
            Default::Is("\"1h\""),
            "A connection's age, ± 10 %, after which it closes behind the request it is at; 0 = off.",
        ),
        setting(
            "send_idle",
            milliseconds_to_seconds(100, DAY_S),
            Default::Is("\"60s\""),
            "How long a client may take no byte of a response.",
        ),
        setting(
            "send_minimum_rate",
            Kind::Size { min: 1, max: GIB, off: true },
            Default::Is("\"500B\""),
            "Slowest client of a response that is put up with, bytes per second; 0 = off.",
        ),
    ],
};

static LIMITS: Section = Section {
    settings: &[
        setting(
            "request_line",
            Kind::Size { min: 64, max: MIB, off: false },
            Default::Is("\"16KiB\""),
            "Longest request line; more is 414.",
        ),
        setting(
            "field_line",
            Kind::Size { min: 64, max: MIB, off: false },
            Default::Is("\"16KiB\""),
            "Longest field line; more is 431.",
        ),
        setting(
            "head",
            Kind::Size { min: 256, max: MIB, off: false },
            Default::Is("\"64KiB\""),
            "Longest head; more is 431. In HTTP/2 each field counts 32 bytes more.",
        ),
        setting(
            "fields",
            Kind::Count { min: 1, max: 256 },
            Default::Is("128"),
            "Most field lines; more is 431.",
        ),
        setting(
            "content",
            Kind::Size { min: 1, max: 1 << 50, off: true },
            Default::Is("\"0B\""),
            "Longest request content; more is 413; 0 = no limit.",
        ),
        setting(
            "requests_per_connection",
            Kind::Count { min: 0, max: u32::MAX as u64 },
            Default::Is("10000"),
            "Requests on one connection; 0 = no limit.",
        ),
        setting(
            "streams",
            Kind::Count { min: 1, max: 1_000 },
            Default::Is("128"),
            "Requests that a client of HTTP/2 may have open at a time on one connection.",
        ),
        setting(
            "streams_content",
            Kind::Size { min: 64 * KIB, max: 64 * MIB, off: false },
            Default::Is("\"1MiB\""),
            "Request content that all streams of one connection of HTTP/2 may hold at a time.",
        ),
        setting(
            "header_table",
            Kind::Size { min: 1, max: 64 * KIB - 1, off: true },
            Default::Is("\"4KiB\""),
            "Fields that a client of HTTP/2 may have limpet remember, so that it need not repeat them; 0 = none.",
        ),
        setting(
            "handshakes",
            Kind::Count { min: 1, max: 1_000_000 },
            Default::Is("1024"),
            "TLS handshakes under way on a shard; beyond, the most silent is closed, else a newcomer waits.",
        ),
        setting(
            "handshake_rate",
            Kind::Count { min: 0, max: 1_000_000 },
            Default::Is("0"),
            "TLS handshakes that begin on a shard in a second, beyond which newcomers wait; 0 = no limit.",
        ),
    ],
};

static FORWARDED: Section = Section {
    settings: &[
        setting(
            "x_forwarded_for",
            Kind::OneOf(&["append", "preserve", "replace", "remove"]),
            Default::Is("\"append\""),
            "What happens to X-Forwarded-For.",
        ),
        setting(
            "entries",
            Kind::Count { min: 1, max: 1000 },
            Default::Is("30"),
            "Most entries of X-Forwarded-For that are kept, the nearest ones.",
        ),
        setting(
            "x_real_ip",
            Kind::OneOf(&["replace", "preserve", "remove"]),
            Default::Is("\"replace\""),
            "What happens to X-Real-IP: the client's address, what came, or none.",
        ),
        setting(
            "forwarded",
            Kind::Bool,
            Default::Is("false"),
            "Whether to send Forwarded (RFC 7239) as well.",
        ),
        setting(
            "via",
            Kind::Text(&checks::TOKEN_OR_EMPTY),
            Default::Is("\"\""),
            "Name to give in Via; \"\" = no Via.",
        ),
        setting(
            "request_id",
            Kind::Text(&checks::REQUEST_ID_FIELD),
            Default::Is("\"X-Request-Id\""),
            "Field that carries the request id; \"\" = off.",
        ),
    ],
};

static ANSWER: Section = Section {
    settings: &[
        setting("body", Kind::Text(&checks::BODY), Default::Needed, "The content."),
        setting(
            "content_type",
            Kind::Text(&checks::FIELD_VALUE),
            Default::Is("\"text/plain; charset=utf-8\""),
            "Its media type.",
        ),
    ],
};

static RULE: Section = Section {
    settings: &[
        setting(
            "name",
            Kind::Text(&checks::NAME),
            Default::Absent,
            "Name in logs and in explain, unique in the listener; \"rule-<priority>\" when absent.",
        ),
        setting(
            "priority",
            Kind::Count { min: 1, max: 50_000 },
            Default::Needed,
            "The lowest that matches wins; unique in the listener.",
        ),
        setting(
            "when",
            Kind::Section(&WHEN),
            Default::Filled,
            "Conditions: all must hold; of several values one must; one that is left out holds for any.",
        ),
        setting(
            "forward",
            Kind::TextOrSection(&checks::GROUP, &FORWARD),
            Default::Absent,
            "To one target group, or to several weighted ones.",
        ),
        setting("redirect", Kind::Section(&REDIRECT), Default::Absent, "A redirect."),
        setting("respond", Kind::Section(&RESPOND), Default::Absent, "A fixed response."),
        setting(
            "rewrite",
            Kind::Section(&REWRITE),
            Default::Absent,
            "What is forwarded in place of what was asked; at most one path rewrite.",
        ),
    ],
};

static WHEN: Section = Section {
    settings: &[
        setting(
            "host",
            Kind::SomeTexts(&checks::HOST_PATTERN),
            Default::Absent,
            "Host without port: exact, or with * and ?.",
        ),
        setting(
            "path",
            Kind::SomeTexts(&checks::PATH_PATTERN),
            Default::Absent,
            "Path in normal form: exact, prefix (\"/api/*\"), or with * and ?.",
        ),
        setting("method", Kind::SomeTexts(&checks::METHOD), Default::Absent, "Method."),
        setting(
            "header",
            Kind::TextsByName { name: &checks::FIELD_NAME, values: &checks::GLOB },
            Default::Absent,
            "Field values, with * and ?, any case.",
        ),
        setting(
            "query",
            Kind::SomeSections(&QUERY),
            Default::Absent,
            "Query parameters, decoded and in any case, with * and ?.",
        ),
        setting(
            "source",
            Kind::SomeTexts(&checks::NETWORK),
            Default::Absent,
            "Networks of client addresses.",
        ),
        setting(
            "sni",
            Kind::SomeTexts(&checks::HOST_PATTERN),
            Default::Absent,
            "Server name of the TLS handshake, as host.",
        ),
        setting(
            "client_certificate",
            Kind::Bool,
            Default::Absent,
            "Whether the client has presented a certificate.",
        ),
    ],
};

static QUERY: Section = Section {
    settings: &[
        setting(
            "key",
            Kind::Text(&checks::QUERY_GLOB),
            Default::Absent,
            "The key; any when absent.",
        ),
        setting("value", Kind::Text(&checks::QUERY_GLOB), Default::Needed, "The value."),
    ],
};

static FORWARD: Section = Section {
    settings: &[
        setting(
            "groups",
            Kind::SomeSections(&WEIGHTED_GROUP),
            Default::Needed,
            "Target groups with weights.",
        ),
        setting(
            "sticky",
            Kind::Section(&STICKY),
            Default::Absent,
            "Whether a user stays with the group first chosen.",
        ),
    ],
};

static WEIGHTED_GROUP: Section = Section {
    settings: &[
        setting("group", Kind::Text(&checks::GROUP), Default::Needed, "A target group."),
        setting(
            "weight",
            Kind::Count { min: 0, max: 999 },
            Default::Is("1"),
            "Share of the requests; 0 = none.",
        ),
    ],
};

static STICKY: Section = Section { settings: &STICKY_SETTINGS };
static STICKY_SETTINGS: [super::Setting; 14] = {
    let [a, b, c, d, e, f, g, h, i, j] = cookie_settings();
    let [app_header, on_lost] = session_field_settings();
    let kind = setting(
        "type",
        Kind::OneOf(&["lb_cookie", "app_header"]),
        Default::Is("\"lb_cookie\""),
        "limpet's own cookie, or a session id in a field.",
    );
    [a, kind, app_header, on_lost, b, c, d, e, f, g, h, i, j, new_sessions()]
};

static REWRITE: Section = Section {
    settings: &[
        setting(
            "strip_prefix",
            Kind::Text(&checks::PATH),
            Default::Absent,
            "Take this away from the front of the path.",
        ),
        setting(
            "replace_prefix",
            Kind::Section(&REPLACE_PREFIX),
            Default::Absent,
            "Another front of the path.",
        ),
        setting("path", Kind::Text(&checks::PATH), Default::Absent, "Another path altogether."),
        setting("host", Kind::Text(&checks::HOST), Default::Absent, "A new host."),
    ],
};

static REPLACE_PREFIX: Section = Section {
    settings: &[
        setting("prefix", Kind::Text(&checks::PATH), Default::Needed, "What to take away."),
        setting("with", Kind::Text(&checks::PATH), Default::Needed, "What to put there."),
    ],
};

static REDIRECT: Section = Section {
    settings: &[
        setting(
            "status",
            Kind::OneOfNumbers(&[301, 302, 303, 307, 308]),
            Default::Is("302"),
            "The status.",
        ),
        setting(
            "to",
            Kind::Text(&checks::REDIRECT_TO),
            Default::Needed,
            "Where to; #{protocol} #{host} #{port} #{path} #{query} stand for the request's own parts.",
        ),
    ],
};

static RESPOND: Section = Section {
    settings: &[
        setting("status", Kind::Count { min: 200, max: 599 }, Default::Is("200"), "The status."),
        setting(
            "content_type",
            Kind::Text(&checks::FIELD_VALUE),
            Default::Is("\"text/plain; charset=utf-8\""),
            "Its media type.",
        ),
        setting("body", Kind::Text(&checks::BODY), Default::Is("\"\""), "The content."),
    ],
};
