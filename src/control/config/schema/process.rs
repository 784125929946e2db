//! Settings of the process, the access log and the key ring. Tested as part of the schema.

use super::super::checks;
use super::{Default, GIB, KIB, Kind, MIB, Section, seconds, setting};

pub static PROCESS: Section = Section {
    settings: &[
        setting(
            "shards",
            Kind::WordOrCount { word: "auto", min: 1, max: 1024 },
            Default::Is("\"auto\""),
            "Shard threads, each pinned to a core; \"auto\" = one per core that affinity and cgroup limits allow.",
        ),
        setting(
            "engine",
            Kind::OneOf(&["auto", "io_uring", "tokio_uring", "epoll"]),
            Default::Is("\"auto\""),
            "How sockets are driven; \"auto\" = io_uring where the kernel allows it, through tokio-uring where it is old, else epoll.",
        ),
        setting(
            "ring_entries",
            Kind::PowerOfTwo { min: 64, max: 32_768 },
            Default::Is("1024"),
            "Entries of each shard's io_uring submission queue.",
        ),
        setting(
            "grace_period",
            seconds(0, 86_400),
            Default::Is("\"30s\""),
            "How long requests in flight may take to finish after SIGTERM or SIGINT.",
        ),
        setting(
            "connections",
            Kind::WordOrCount { word: "auto", min: 1, max: 10_000_000 },
            Default::Is("\"auto\""),
            "Most client connections of the whole process; \"auto\" = 80 % of what RLIMIT_NOFILE allows in pairs.",
        ),
        setting(
            "connections_per_client",
            Kind::Count { min: 0, max: 1_000_000 },
            Default::Is("0"),
            "Most connections of one client address (of one /64 with IPv6); 0 = no limit.",
        ),
        setting(
            "content_buffer",
            Kind::Size { min: 4 * KIB, max: MIB, off: false },
            Default::Is("\"64KiB\""),
            "Size of the buffers that content passes through.",
        ),
        setting(
            "buffers_kept",
            Kind::Count { min: 0, max: 65_536 },
            Default::Is("64"),
            "Free content buffers that each shard keeps for the next request.",
        ),
        setting(
            "state_directory",
            Kind::Text(&checks::ABSOLUTE_PATH),
            Default::Is("\"/var/lib/limpet\""),
            "Where limpet keeps what it generates, such as the stickiness key.",
        ),
        setting(
            "user",
            Kind::Text(&checks::USER),
            Default::Absent,
            "Whom a process that was started as root becomes before it opens anything; only the right to bind ports below 1024 stays.",
        ),
        setting(
            "watch_config",
            Kind::Bool,
            Default::Is("false"),
            "Whether the file is loaded again whenever it changes.",
        ),
        setting(
            "log_level",
            Kind::OneOf(&["error", "warn", "info", "debug", "trace"]),
            Default::Is("\"info\""),
            "What limpet says about itself on stderr.",
        ),
    ],
};

pub static ACCESS_LOG: Section = Section {
    settings: &[
        setting(
            "output",
            Kind::Text(&checks::LOG_OUTPUT),
            Default::Is("\"stdout\""),
            "Where the lines go; a file is appended to.",
        ),
        setting(
            "format",
            Kind::OneOf(&["json", "combined", "alb", "template"]),
            Default::Is("\"json\""),
            "JSON, combined as Apache and nginx write it, as AWS ALB writes it, or by a template of your own.",
        ),
        setting(
            "template",
            Kind::Text(&checks::LOG_TEMPLATE),
            Default::Absent,
            "The line of format = \"template\".",
        ),
        setting(
            "sample",
            Kind::Count { min: 1, max: 1_000_000 },
            Default::Is("1"),
            "One request of so many is logged; one that failed (5xx, or cut off) always is.",
        ),
        setting(
            "query",
            Kind::OneOf(&["redact", "keep", "remove"]),
            Default::Is("\"redact\""),
            "What becomes of queries, in paths and referers: their values may be secrets.",
        ),
        setting(
            "buffer",
            Kind::Size { min: 64 * KIB, max: GIB, off: false },
            Default::Is("\"1MiB\""),
            "Bytes of lines that may wait for the log thread, per shard; what does not fit is dropped and counted.",
        ),
    ],
};

pub static STICKINESS_KEYS: Section = Section {
    settings: &[setting(
        "keys",
        Kind::Sections(&KEY),
        Default::Is("[]"),
        "The key ring: the first key seals, every key opens; without keys one is generated and kept in state_directory.",
    )],
};

static KEY: Section = Section {
    settings: &[
        setting(
            "id",
            Kind::Count { min: 0, max: 65_535 },
            Default::Needed,
            "Number of the key, stands in each cookie.",
        ),
        setting(
            "secret",
            Kind::Text(&checks::SECRET),
            Default::Needed,
            "The key: 32 random bytes in base64 (openssl rand -base64 32).",
        ),
    ],
};
