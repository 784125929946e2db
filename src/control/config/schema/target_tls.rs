//! Settings of `[target_group.tls]`. Tested as part of the schema.

use super::super::{checks, tls_checks};
use super::{Default, Kind, Section, setting};

pub static TARGET_TLS: Section = Section {
    settings: &[
        setting(
            "server_name",
            Kind::Text(&tls_checks::TARGET_NAME),
            Default::Absent,
            "The name that targets are asked for and must have in their certificates; \"{host}\" = that of the request.",
        ),
        setting(
            "sni",
            Kind::Text(&tls_checks::SNI),
            Default::Absent,
            "The name that targets are sent: server_name when absent; \"\" = none.",
        ),
        setting(
            "minimum_version",
            Kind::OneOf(&["1.2", "1.3"]),
            Default::Is("\"1.2\""),
            "The oldest version of TLS.",
        ),
        setting(
            "verify",
            Kind::OneOf(&["full", "chain", "none"]),
            Default::Is("\"full\""),
            "What targets must prove: a certificate of a trusted authority for the name, for any name, or nothing.",
        ),
        setting(
            "authorities",
            Kind::Text(&tls_checks::AUTHORITIES),
            Default::Is("\"system\""),
            "Who is trusted: the system's authorities, or certificates in PEM.",
        ),
        setting(
            "crls",
            Kind::Texts(&checks::ABSOLUTE_PATH),
            Default::Is("[]"),
            "Lists of revoked certificates, in PEM or DER.",
        ),
        setting(
            "certificate",
            Kind::Text(&checks::ABSOLUTE_PATH),
            Default::Absent,
            "What limpet presents to targets that ask for a certificate: the chain in PEM.",
        ),
        setting(
            "key",
            Kind::Text(&checks::ABSOLUTE_PATH),
            Default::Absent,
            "Its private key in PEM; when absent it is in the certificate's file.",
        ),
    ],
};
