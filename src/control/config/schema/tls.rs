//! Settings of `[listener.tls]`. Tested as part of the schema.

use super::super::{checks, tls_checks};
use super::{Default, Kind, Section, Setting, setting};

pub static TLS: Section = Section {
    settings: &[
        setting(
            "certificates",
            Kind::Sections(&CERTIFICATE),
            Default::Is("[]"),
            "Certificates that are presented; the first is the default.",
        ),
        setting(
            "directory",
            Kind::Text(&checks::ABSOLUTE_PATH),
            Default::Absent,
            "A directory of certificates: every NAME.pem in it, with NAME.key where the key is not in the same file.",
        ),
        setting(
            "minimum_version",
            Kind::OneOf(&["1.2", "1.3"]),
            Default::Is("\"1.2\""),
            "The oldest version of TLS; \"modern\" has 1.3 alone.",
        ),
        POLICY,
        setting(
            "cipher_suites",
            Kind::Texts(&tls_checks::CIPHER_SUITE),
            Default::Is("[]"),
            "Cipher suites by IANA's names, in place of the policy's; [] = the policy's.",
        ),
        setting(
            "groups",
            Kind::Texts(&tls_checks::GROUP),
            Default::Is("[]"),
            "Groups of the key exchange, the preferred one first; [] = X25519MLKEM768, x25519, secp256r1, secp384r1.",
        ),
        setting(
            "alpn",
            Kind::SomeTexts(&tls_checks::ALPN),
            Default::Is("[\"http/1.1\"]"),
            "Protocols that are offered, the preferred one first.",
        ),
        setting(
            "strict_sni",
            Kind::Bool,
            Default::Is("false"),
            "Whether a client without a server name, or with one that no certificate has, is refused.",
        ),
        setting(
            "tickets",
            Kind::Bool,
            Default::Is("true"),
            "Whether sessions can be resumed; by any node that has the same [stickiness_keys].",
        ),
        setting(
            "host_match",
            Kind::OneOf(&["client_auth", "certificate", "off"]),
            Default::Is("\"client_auth\""),
            "When a request for another host than the handshake's is answered 421.",
        ),
        setting(
            "client",
            Kind::Section(&CLIENT),
            Default::Filled,
            "Client certificates (mutual TLS).",
        ),
        setting(
            "profile",
            Kind::Sections(&PROFILE),
            Default::Is("[]"),
            "Other settings for some server names.",
        ),
    ],
};

const POLICY: Setting = setting(
    "policy",
    Kind::OneOf(&["intermediate", "modern"]),
    Default::Is("\"intermediate\""),
    "Versions and cipher suites, by Mozilla's names.",
);

static CERTIFICATE: Section = Section {
    settings: &[
        setting(
            "chain",
            Kind::Text(&checks::ABSOLUTE_PATH),
            Default::Needed,
            "The certificate in PEM, its issuers' behind it; NAME.ocsp beside it is stapled.",
        ),
        setting(
            "key",
            Kind::Text(&checks::ABSOLUTE_PATH),
            Default::Absent,
            "Its private key in PEM; when absent it is in the chain's file.",
        ),
    ],
};

static CLIENT: Section = Section {
    settings: &[
        setting(
            "mode",
            Kind::OneOf(&["off", "optional", "required"]),
            Default::Is("\"off\""),
            "Whether clients are asked for a certificate.",
        ),
        setting(
            "authorities",
            Kind::Text(&checks::ABSOLUTE_PATH),
            Default::Absent,
            "Certificates in PEM of the authorities that clients' are verified by.",
        ),
        setting(
            "crls",
            Kind::Texts(&checks::ABSOLUTE_PATH),
            Default::Is("[]"),
            "Lists of revoked certificates, in PEM or DER.",
        ),
        setting(
            "crl_expired",
            Kind::OneOf(&["accept", "refuse"]),
            Default::Is("\"accept\""),
            "What becomes of clients whose issuer's list is past its next update.",
        ),
        setting(
            "verify_depth",
            Kind::Count { min: 0, max: 6 },
            Default::Is("4"),
            "Most certificates between a client's and an authority.",
        ),
        setting(
            "subjects",
            Kind::Texts(&tls_checks::SUBJECT),
            Default::Is("[]"),
            "Subjects that are accepted, in RFC 4514's form; with fingerprints [] = all.",
        ),
        setting(
            "fingerprints",
            Kind::Texts(&tls_checks::FINGERPRINT),
            Default::Is("[]"),
            "Certificates that are accepted, by SHA-256.",
        ),
    ],
};

static PROFILE: Section = Section {
    settings: &[
        setting(
            "names",
            Kind::SomeTexts(&tls_checks::SERVER_NAME),
            Default::Needed,
            "Server names that it is for: exact, or \"*.\" and a name for one label more.",
        ),
        setting(
            "minimum_version",
            Kind::OneOf(&["1.2", "1.3"]),
            Default::Absent,
            "The listener's when absent.",
        ),
        Setting { default: Default::Absent, about: "The listener's when absent.", ..POLICY },
        setting(
            "alpn",
            Kind::SomeTexts(&tls_checks::ALPN),
            Default::Absent,
            "The listener's when absent.",
        ),
        setting(
            "client",
            Kind::Section(&CLIENT),
            Default::Absent,
            "The listener's when absent; a table replaces all of it.",
        ),
    ],
};
