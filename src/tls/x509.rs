//! What limpet reads from an X.509 certificate (RFC 5280): names, dates, serial number, who issued it, what its key is.
//!
//! Nothing here is a judgement, and nothing is verified: `certificate` judges what a listener presents, webpki what a
//! client does. Tested with `certificate` and `client_auth`.

use std::fmt::Write as _;
use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::oid_registry::asn1_rs::Oid;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AttributeTypeAndValue, SubjectPublicKeyInfo, X509Name};

/// Bytes of a SHA-256 fingerprint.
pub const FINGERPRINT_SIZE: usize = 32;

/// An entry of subjectAltName (RFC 5280 §4.2.1.6).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AltName {
    /// In lower case, without a final dot; may begin with "*.".
    Dns(String),
    Ip(IpAddr),
    Email(String),
    Uri(String),
}

impl std::fmt::Display for AltName {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AltName::Dns(name) | AltName::Email(name) | AltName::Uri(name) => out.write_str(name),
            AltName::Ip(address) => address.fmt(out),
        }
    }
}

/// The public key of a certificate, as far as its strength is judged and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    Rsa {
        bits: usize,
    },
    /// The curve, by NIST's name; "" = another one.
    Elliptic(&'static str),
    Ed25519,
    Other,
}

impl std::fmt::Display for KeyKind {
    /// As people know it: "RSA 2048", "ECDSA P-256".
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            KeyKind::Rsa { bits } => write!(out, "RSA {bits}"),
            KeyKind::Elliptic("") => out.write_str("ECDSA"),
            KeyKind::Elliptic(curve) => write!(out, "ECDSA {curve}"),
            KeyKind::Ed25519 => out.write_str("Ed25519"),
            KeyKind::Other => out.write_str("unknown"),
        }
    }
}

/// What is read from one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// RFC 4514: the last part of the name first, "CN=shop.example,O=Shop".
    pub subject: String,
    pub issuer: String,
    /// The last common name of the subject; empty where it has none.
    pub common_name: String,
    /// In hexadecimal, without leading zeros of the encoding.
    pub serial: String,
    /// Seconds since 1970; both are part of the time in which the certificate is valid.
    pub not_before: i64,
    pub not_after: i64,
    pub names: Vec<AltName>,
    /// SHA-256 of the whole certificate.
    pub fingerprint: [u8; FINGERPRINT_SIZE],
    pub key: KeyKind,
    /// The name of a digest that is no longer trusted, with which the certificate is signed.
    pub weak_digest: Option<&'static str>,
    /// Whether the certificate may be shown by a server, by its extended key usage.
    pub is_for_servers: bool,
    /// The same of a client.
    pub is_for_clients: bool,
    /// Whether it says where its issuer's certificate is found, as those of public authorities do.
    pub names_issuer_place: bool,
    pub subject_der: Vec<u8>,
    pub issuer_der: Vec<u8>,
    pub serial_der: Vec<u8>,
}

/// Why a certificate cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is no X.509 certificate: {0}")]
pub struct NotX509(pub String);

impl Facts {
    /// # Errors
    /// The bytes are no certificate, or one with something behind it.
    pub fn read(der: &[u8]) -> Result<Facts, NotX509> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|error| NotX509(error.to_string()))?;
        if !rest.is_empty() {
            return Err(NotX509("bytes follow it".into()));
        }
        let extensions = Extensions::of(&certificate);
        Ok(Facts {
            subject: distinguished_name(certificate.subject()),
            issuer: distinguished_name(certificate.issuer()),
            common_name: common_name(certificate.subject()),
            serial: format!("{:x}", certificate.serial),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            names: extensions.names,
            fingerprint: fingerprint(der),
            key: key(certificate.public_key()),
            weak_digest: weak_digest(&certificate.signature_algorithm.algorithm),
            is_for_servers: extensions.is_for_servers,
            is_for_clients: extensions.is_for_clients,
            names_issuer_place: extensions.names_issuer_place,
            subject_der: certificate.subject().as_raw().to_vec(),
            issuer_der: certificate.issuer().as_raw().to_vec(),
            serial_der: certificate.raw_serial().to_vec(),
        })
    }

    /// Whether the certificate names its own subject as its issuer, as roots do.
    pub fn is_self_issued(&self) -> bool {
        self.subject_der == self.issuer_der
    }

    /// Whether a host, as a request names it without its port, is one of the names (RFC 9525 §6.3).
    pub fn covers(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if let Ok(address) = literal.unwrap_or(host).parse::<IpAddr>() {
            return self.names.contains(&AltName::Ip(address));
        }
        let covers = |name: &AltName| match name {
            AltName::Dns(name) => dns_name_covers(name, host),
            AltName::Ip(_) | AltName::Email(_) | AltName::Uri(_) => false,
        };
        self.names.iter().any(covers)
    }
}

/// Whether a name, which may begin with "*.", stands for `host`. The asterisk stands for exactly one label.
pub fn dns_name_covers(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(parent) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent)),
        None => name.eq_ignore_ascii_case(host),
    }
}

/// SHA-256 of a certificate.
pub fn fingerprint(der: &[u8]) -> [u8; FINGERPRINT_SIZE] {
    let mut bytes = [0; FINGERPRINT_SIZE];
    bytes.copy_from_slice(digest(&SHA256, der).as_ref());
    bytes
}

/// Bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

struct Extensions {
    names: Vec<AltName>,
    is_for_servers: bool,
    is_for_clients: bool,
    names_issuer_place: bool,
}

impl Extensions {
    fn of(certificate: &X509Certificate<'_>) -> Extensions {
        let mut all = Extensions {
            names: Vec::new(),
            is_for_servers: true,
            is_for_clients: true,
            names_issuer_place: false,
        };
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    all.names.extend(names.general_names.iter().filter_map(alt_name));
                }
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    all.is_for_servers = usage.any || usage.server_auth;
                    all.is_for_clients = usage.any || usage.client_auth;
                }
                ParsedExtension::AuthorityInfoAccess(access) => {
                    // RFC 5280 §4.2.2.1: id-ad-caIssuers.
                    let is_place = |oid: &Oid<'_>| oid.to_id_string() == "1.3.6.1.5.5.7.48.2";
                    all.names_issuer_place =
                        access.accessdescs.iter().any(|one| is_place(&one.access_method));
                }
                _ => {}
            }
        }
        all
    }
}

fn alt_name(name: &GeneralName<'_>) -> Option<AltName> {
    match name {
        GeneralName::DNSName(name) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            (!name.is_empty()).then(|| AltName::Dns(name.to_ascii_lowercase()))
        }
        GeneralName::IPAddress(bytes) => match *bytes {
            [a, b, c, d] => Some(AltName::Ip(IpAddr::from([*a, *b, *c, *d]))),
            bytes => <[u8; 16]>::try_from(bytes).ok().map(|bytes| AltName::Ip(bytes.into())),
        },
        GeneralName::RFC822Name(name) => Some(AltName::Email((*name).to_owned())),
        GeneralName::URI(name) => Some(AltName::Uri((*name).to_owned())),
        _ => None,
    }
}

fn key(of: &SubjectPublicKeyInfo<'_>) -> KeyKind {
    match of.parsed() {
        Ok(PublicKey::RSA(key)) => KeyKind::Rsa { bits: key.key_size() },
        // RFC 5480 §2.1.1.1: the parameters name the curve.
        Ok(PublicKey::EC(_)) => {
            let curve = of.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
            KeyKind::Elliptic(match curve.map(|oid| oid.to_id_string()).as_deref() {
                Some("1.2.840.10045.3.1.7") => "P-256",
                Some("1.3.132.0.34") => "P-384",
                Some("1.3.132.0.35") => "P-521",
                _ => "",
            })
        }
        // RFC 8410 §3.
        _ if of.algorithm.algorithm.to_id_string() == "1.3.101.112" => KeyKind::Ed25519,
        _ => KeyKind::Other,
    }
}

fn weak_digest(algorithm: &Oid<'_>) -> Option<&'static str> {
    match algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.2" => Some("MD2"),
        "1.2.840.113549.1.1.4" => Some("MD5"),
        "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" | "1.3.14.3.2.29" => Some("SHA-1"),
        _ => None,
    }
}

/// A name in the form of RFC 4514 §2.
fn distinguished_name(name: &X509Name<'_>) -> String {
    let parts: Vec<String> = name
        .iter_rdn()
        .map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+"))
        .collect();
    parts.into_iter().rev().collect::<Vec<_>>().join(",")
}

fn common_name(name: &X509Name<'_>) -> String {
    let last = name.iter_common_name().last();
    last.and_then(|name| name.as_str().ok()).unwrap_or_default().to_owned()
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type();
    let kind =
        oid2abbrev(oid, oid_registry()).map_or_else(|_| oid.to_id_string(), ToOwned::to_owned);
    match attribute.as_str() {
        Ok(value) => format!("{kind}={}", escaped(value)),
        // RFC 4514 §2.4: a value without a text form is written as its bytes.
        Err(_) => format!("{kind}=#{}", hex(attribute.as_slice())),
    }
}

/// RFC 4514 §2.4. Control characters are escaped as well, so that the text fits into a field of a request.
pub fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, character) in value.chars().enumerate() {
        let at_edge = index == 0 || index == last;
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', character]),
            '#' if index == 0 => text.push_str("\\#"),
            ' ' if at_edge => text.push_str("\\ "),
            character if character.is_control() => {
                for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(text, "\\{byte:02X}");
                }
            }
            character => text.push(character),
        }
    }
    text
}
