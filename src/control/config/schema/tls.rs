//! Settings of `[listener.tls]` and `[admin.tls]`. Tested as part of the schema.

use super::super::{acme_checks, checks, tls_checks};
use super::{Default, Kind, Section, Setting, setting};

pub static TLS: Section = Section {
    settings: &[
        CERTIFICATES,
        DIRECTORY,
        MINIMUM_VERSION,
        POLICY,
        CIPHER_SUITES,
        GROUPS,
        setting(
            "alpn",
            Kind::SomeTexts(&tls_checks::ALPN),
            Default::Is("[\"h2\", \"http/1.1\"]"),
            "Protocols that are offered, the preferred one first.",
        ),
        STRICT_SNI,
        TICKETS,
        HOST_MATCH,
        setting(
            "small_records",
            Kind::Bool,
            Default::Is("false"),
            "Whether the first 64 KiB, also after a second of silence, are sent in records of 1400 bytes.",
        ),
        CLIENT,
        setting(
            "profile",
            Kind::Sections(&PROFILE),
            Default::Is("[]"),
            "Other settings for some server names.",
        ),
        OBTAINED,
    ],
};

/// `[admin.tls]`: a listener's settings, and who is let in by a certificate. The API speaks one protocol.
pub static ADMIN_TLS: Section = Section {
    settings: &[
        CERTIFICATES,
        DIRECTORY,
        MINIMUM_VERSION,
        POLICY,
        CIPHER_SUITES,
        GROUPS,
        setting(
            "alpn",
            Kind::SomeTexts(&tls_checks::ADMIN_ALPN),
            HTTP_1,
            "Protocols that are offered.",
        ),
        STRICT_SNI,
        TICKETS,
        HOST_MATCH,
        CLIENT,
        setting(
            "profile",
            Kind::Sections(&ADMIN_PROFILE),
            Default::Is("[]"),
            "Other settings for some server names.",
        ),
        setting(
            "role",
            Kind::Sections(&ROLE),
            Default::Is("[]"),
            "Client certificates that are let in without a token, and what they may change.",
        ),
        OBTAINED,
    ],
};

const HTTP_1: Default = Default::Is("[\"http/1.1\"]");

const OBTAINED: Setting = setting(
    "acme",
    Kind::Section(&ACME),
    Default::Absent,
    "A certificate that limpet obtains and renews itself (RFC 8555).",
);

const CERTIFICATES: Setting = setting(
    "certificates",
    Kind::Sections(&CERTIFICATE),
    Default::Is("[]"),
    "Certificates that are presented; the first is the default.",
);

const DIRECTORY: Setting = setting(
    "directory",
    Kind::Text(&checks::ABSOLUTE_PATH),
    Default::Absent,
    "A directory of certificates: every NAME.pem in it, with NAME.key where the key is not in the same file.",
);

const MINIMUM_VERSION: Setting = setting(
    "minimum_version",
    Kind::OneOf(&["1.2", "1.3"]),
    Default::Is("\"1.2\""),
    "The oldest version of TLS; \"modern\" has 1.3 alone.",
);

const CIPHER_SUITES: Setting = setting(
    "cipher_suites",
    Kind::Texts(&tls_checks::CIPHER_SUITE),
    Default::Is("[]"),
    "Cipher suites by IANA's names, in place of the policy's; [] = the policy's.",
);

const GROUPS: Setting = setting(
    "groups",
    Kind::Texts(&tls_checks::GROUP),
    Default::Is("[]"),
    "Groups of the key exchange, the preferred one first; [] = X25519MLKEM768, x25519, secp256r1, secp384r1.",
);

const STRICT_SNI: Setting = setting(
    "strict_sni",
    Kind::Bool,
    Default::Is("false"),
    "Whether a client without a server name, or with one that no certificate has, is refused.",
);

const TICKETS: Setting = setting(
    "tickets",
    Kind::Bool,
    Default::Is("true"),
    "Whether sessions can be resumed; by any node that has the same [stickiness_keys].",
);

const HOST_MATCH: Setting = setting(
    "host_match",
    Kind::OneOf(&["client_auth", "certificate", "off"]),
    Default::Is("\"client_auth\""),
    "When a request for another host than the handshake's is answered 421.",
);

const CLIENT: Setting = setting(
    "client",
    Kind::Section(&CLIENTS),
    Default::Filled,
    "Client certificates (mutual TLS).",
);

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

static CLIENTS: Section = Section {
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
        PROFILE_NAMES,
        PROFILE_MINIMUM_VERSION,
        PROFILE_POLICY,
        setting(
            "alpn",
            Kind::SomeTexts(&tls_checks::ALPN),
            Default::Absent,
            "As outside of the profile when absent.",
        ),
        PROFILE_CLIENT,
    ],
};

static ADMIN_PROFILE: Section = Section {
    settings: &[
        PROFILE_NAMES,
        PROFILE_MINIMUM_VERSION,
        PROFILE_POLICY,
        setting(
            "alpn",
            Kind::SomeTexts(&tls_checks::ADMIN_ALPN),
            Default::Absent,
            "As outside of the profile when absent.",
        ),
        PROFILE_CLIENT,
    ],
};

const PROFILE_NAMES: Setting = setting(
    "names",
    Kind::SomeTexts(&tls_checks::SERVER_NAME),
    Default::Needed,
    "Server names that it is for: exact, or \"*.\" and a name for one label more.",
);

const PROFILE_MINIMUM_VERSION: Setting = setting(
    "minimum_version",
    Kind::OneOf(&["1.2", "1.3"]),
    Default::Absent,
    "As outside of the profile when absent.",
);

const PROFILE_POLICY: Setting =
    Setting { default: Default::Absent, about: "As outside of the profile when absent.", ..POLICY };

const PROFILE_CLIENT: Setting = setting(
    "client",
    Kind::Section(&CLIENTS),
    Default::Absent,
    "As outside of the profile when absent; a table replaces all of it.",
);

static ROLE: Section = Section {
    settings: &[
        setting(
            "role",
            Kind::OneOf(&["everything", "attributes"]),
            Default::Needed,
            "What they may change: everything, or attributes of groups and targets.",
        ),
        setting(
            "subjects",
            Kind::SomeTexts(&tls_checks::SUBJECT),
            Default::Absent,
            "Subjects of certificates that have it, in RFC 4514's form.",
        ),
        setting(
            "fingerprints",
            Kind::SomeTexts(&tls_checks::FINGERPRINT),
            Default::Absent,
            "Certificates that have it, by SHA-256.",
        ),
    ],
};

static ACME: Section = Section {
    settings: &[
        setting(
            "directory",
            Kind::Text(&acme_checks::DIRECTORY),
            Default::Needed,
            "The authority's directory; who names it agrees to the authority's terms of service.",
        ),
        setting(
            "names",
            Kind::SomeTexts(&acme_checks::NAME),
            Default::Needed,
            "Names that the certificate is for, at most 100.",
        ),
        setting(
            "contact",
            Kind::Texts(&acme_checks::CONTACT),
            Default::Is("[]"),
            "Whom the authority writes to.",
        ),
        setting(
            "challenge",
            Kind::OneOf(&["tls-alpn-01", "http-01"]),
            Default::Is("\"tls-alpn-01\""),
            "How the names are proved: on TLS listeners, on port 443, or on plain ones, on port 80.",
        ),
        setting(
            "authority_file",
            Kind::Text(&checks::ABSOLUTE_PATH),
            Default::Absent,
            "Certificates in PEM that the directory's own server is verified by; the system's when absent.",
        ),
        setting(
            "profile",
            Kind::Text(&acme_checks::PROFILE),
            Default::Absent,
            "The kind of certificate, by the authority's names; its default when absent.",
        ),
        setting(
            "shared_directory",
            Kind::Text(&checks::ABSOLUTE_PATH),
            Default::Absent,
            "Where several nodes keep one account and its certificates; acme in process.state_directory when absent.",
        ),
        setting(
            "external_account",
            Kind::Section(&EXTERNAL_ACCOUNT),
            Default::Absent,
            "The account at the authority that the one for ACME is bound to.",
        ),
    ],
};

static EXTERNAL_ACCOUNT: Section = Section {
    settings: &[
        setting(
            "key_id",
            Kind::Text(&acme_checks::KEY_ID),
            Default::Needed,
            "The key's id, as the authority gave it.",
        ),
        setting(
            "key_file",
            Kind::Text(&checks::ABSOLUTE_PATH),
            Default::Needed,
            "A file with the key in base64url, as the authority gave it.",
        ),
    ],
};
