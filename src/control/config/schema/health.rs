//! Settings of health checks, failing open and ejection. Tested as part of the schema.

use super::super::{checks, grpc};
use super::{DAY_S, Default, Kind, Section, milliseconds_to_seconds, setting};

pub static HEALTH_CHECK: Section = Section {
    settings: &[
        setting(
            "type",
            Kind::OneOf(&["off", "http", "tcp", "grpc"]),
            Default::Is("\"off\""),
            "How targets are checked: a request, a connection, a call of gRPC, or not at all.",
        ),
        setting("path", Kind::Text(&checks::PATH), Default::Is("\"/\""), "What is asked for."),
        setting("method", Kind::Text(&checks::CHECK_METHOD), Default::Is("\"GET\""), "With this method."),
        setting(
            "host",
            Kind::Text(&checks::HOST_OR_EMPTY),
            Default::Is("\"\""),
            "Host field of the request; \"\" = the target's address, \"localhost\" for a Unix socket.",
        ),
        setting(
            "port",
            Kind::Count { min: 1, max: 65_535 },
            Default::Absent,
            "Port that is checked; the target's own when absent.",
        ),
        setting(
            "expect",
            Kind::SomeTexts(&checks::CHECK_STATUS),
            Default::Is("[\"200\"]"),
            "Statuses that pass.",
        ),
        setting(
            "body",
            Kind::Text(&checks::CHECK_BODY),
            Default::Is("\"\""),
            "Text that must be in the first 64 KiB of the response's content; \"\" = not looked at.",
        ),
        setting(
            "grpc_service",
            Kind::Text(&grpc::SERVICE),
            Default::Is("\"\""),
            "With \"grpc\": the service whose health is asked for; \"\" = the server as a whole.",
        ),
        setting(
            "grpc_codes",
            Kind::SomeTexts(&grpc::CODES),
            Default::Is("[\"0\"]"),
            "With \"grpc\": statuses of gRPC that pass; with path = \"/\" the health must be SERVING besides 0.",
        ),
        setting(
            "interval",
            milliseconds_to_seconds(100, DAY_S),
            Default::Is("\"10s\""),
            "From one check of a target to the next, spread by ± 10 %.",
        ),
        setting(
            "timeout",
            milliseconds_to_seconds(1, 300),
            Default::Is("\"5s\""),
            "How long a check may take; not above interval, which is the default where it is shorter.",
        )
        .at_most("interval"),
        setting(
            "rise",
            Kind::Count { min: 1, max: 100 },
            Default::Is("2"),
            "Checks passed in a row that make an unhealthy target healthy; a new one needs one.",
        ),
        setting(
            "fall",
            Kind::Count { min: 1, max: 100 },
            Default::Is("3"),
            "Checks failed in a row that make a healthy target unhealthy.",
        ),
    ],
};

pub static FAIL_OPEN: Section = Section {
    settings: &[
        setting(
            "count",
            Kind::Count { min: 0, max: 10_000 },
            Default::Is("1"),
            "With fewer healthy targets than this, those that are unhealthy or not checked yet are used as well; 0 = never for this reason.",
        ),
        setting(
            "percent",
            Kind::Count { min: 0, max: 100 },
            Default::Is("0"),
            "The same as a share of the targets in service.",
        ),
    ],
};

pub static EJECTION: Section = Section {
    settings: &[
        setting(
            "errors",
            Kind::Count { min: 0, max: 10_000 },
            Default::Is("0"),
            "Gateway errors in a row (no connection, no valid response or none in time, 502, 503, 504) that eject a target; 0 = off.",
        ),
        setting(
            "time",
            milliseconds_to_seconds(100, DAY_S),
            Default::Is("\"30s\""),
            "How long a target is ejected; each further ejection in a row doubles it.",
        )
        .at_most("time_max"),
        setting(
            "time_max",
            milliseconds_to_seconds(100, DAY_S),
            Default::Is("\"5m\""),
            "Longest ejection; not below time, which is the default where it is longer.",
        )
        .at_least("time"),
        setting(
            "percent_max",
            Kind::Count { min: 0, max: 100 },
            Default::Is("50"),
            "Largest share of a group's targets that may be ejected at once; one may always be unless it is 0, the last healthy one never.",
        ),
    ],
};
