//! Settings of the admin API and the console. Tested as part of the schema.

use super::super::checks;
use super::{Default, Kind, Section, setting, tls};

pub static ADMIN: Section = Section {
    settings: &[
        setting(
            "address",
            Kind::Text(&checks::ADMIN_ADDRESS),
            Default::Absent,
            "Where API, console and metrics are served; beyond loopback [admin.tls] is needed, with a token or roles; with neither, attributes of groups and targets alone may be changed. Off when absent.",
        ),
        setting(
            "socket",
            Kind::Text(&checks::ABSOLUTE_PATH),
            Default::Absent,
            "A Unix socket that serves the same, for limpet ctl; its permissions are its protection. Off when absent.",
        ),
        setting(
            "socket_mode",
            Kind::Text(&checks::UNIX_MODE),
            Default::Is("\"0660\""),
            "Permission bits of the Unix socket.",
        ),
        setting(
            "token",
            Kind::Text(&checks::BEARER_TOKEN),
            Default::Absent,
            "Bearer token that requests to the address must carry; not asked for on the Unix socket.",
        ),
        setting(
            "hosts",
            Kind::Texts(&checks::HOST),
            Default::Is("[]"),
            "Names under which the address is reached, besides localhost and IP addresses.",
        ),
        setting(
            "tls",
            Kind::Section(&tls::ADMIN_TLS),
            Default::Absent,
            "TLS at the address, with a listener's settings; plain when absent.",
        ),
        setting(
            "audit_log",
            Kind::Text(&checks::ABSOLUTE_PATH),
            Default::Absent,
            "A file to which every change is appended: who, what, from, to. When absent it goes to limpet's own log.",
        ),
    ],
};
