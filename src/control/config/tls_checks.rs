//! The rules for single texts of `[listener.tls]`, `[admin.tls]` and `[target_group.tls]`. Tested as a table in
//! `tests/config.rs`.

use rustls::pki_types::ServerName;

use super::checks;
use super::schema::Check;
use crate::routing::conditions::HostPattern;
use crate::tls::policy;
use crate::tls::target;
use crate::tls::x509::FINGERPRINT_SIZE;

/// Longest subject that can be compared with.
const SUBJECT_BYTES_MAX: usize = 4096;

pub(super) static SERVER_NAME: Check =
    Check::new("a name such as \"shop.example\" or \"*.shop.example\"", |text| {
        let name = text.strip_prefix("*.").unwrap_or(text);
        match HostPattern::parse(name) {
            Ok(HostPattern::Exact(_)) if !name.starts_with('[') => Ok(()),
            Ok(_) => Err("is no name of a server".into()),
            Err(fault) => Err(format!("is no name of a server: {fault}")),
        }
    });

/// In place of a name: that of the request's host.
pub(in crate::control) const HOST_NAME: &str = "{host}";

pub(super) static TARGET_NAME: Check =
    Check::new("a name such as \"shop.internal\", an address, or \"{host}\"", |text| match text {
        HOST_NAME => Ok(()),
        text => target::server_name(text).map(drop).map_err(|_| "is no name of a server".into()),
    });

pub(super) static SNI: Check =
    Check::new("a name such as \"shop.internal\", or \"\" for none", |text| match text {
        "" => Ok(()),
        text => match target::server_name(text) {
            Ok(ServerName::DnsName(_)) => Ok(()),
            // RFC 6066 §3.
            Ok(_) => Err("is an address, which is never sent".into()),
            Err(_) => Err("is no name of a server".into()),
        },
    });

/// The authorities of the system, in place of a file's.
pub(in crate::control) const SYSTEM: &str = "system";

pub(super) static AUTHORITIES: Check =
    Check::new("\"system\" or an absolute path", |text| match text {
        SYSTEM => Ok(()),
        path => (checks::ABSOLUTE_PATH.test)(path),
    });

pub(super) static CIPHER_SUITE: Check = Check::new(
    "one of TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256, and \
     TLS_ECDHE_(ECDSA or RSA)_WITH_(AES_256_GCM_SHA384, AES_128_GCM_SHA256 or \
     CHACHA20_POLY1305_SHA256)",
    |text| match policy::is_suite(text) {
        true => Ok(()),
        false => Err("is no cipher suite that is safe today".into()),
    },
);

pub(super) static GROUP: Check =
    Check::new("\"X25519MLKEM768\", \"x25519\", \"secp256r1\" or \"secp384r1\"", |text| {
        match policy::is_group(text) {
            true => Ok(()),
            false => Err("is no group that limpet knows".into()),
        }
    });

pub(super) static ALPN: Check = Check::new("\"h2\", \"http/1.1\"", |text| match text {
    "h2" | "http/1.1" => Ok(()),
    _ => Err("is no protocol that limpet speaks".into()),
});

/// The admin API speaks HTTP/1.1, whatever listeners come to speak.
pub(super) static ADMIN_ALPN: Check = Check::new("\"http/1.1\"", |text| match text {
    "http/1.1" => Ok(()),
    _ => Err("is no protocol that the admin API speaks".into()),
});

pub(super) static SUBJECT: Check =
    Check::new("a subject such as \"CN=device 7,O=Shop\", the last part first", |text| {
        if text.len() > SUBJECT_BYTES_MAX {
            return Err("is too long".into());
        }
        if text.starts_with('/') {
            return Err("is in openssl's old form".into());
        }
        if text.contains('=') { Ok(()) } else { Err("has no \"KIND=VALUE\"".into()) }
    });

pub(super) static FINGERPRINT: Check =
    Check::new("SHA-256 of a certificate, 64 hexadecimal digits", |text| match fingerprint(text) {
        Some(_) => Ok(()),
        None => Err("is no SHA-256".into()),
    });

/// A fingerprint as openssl and browsers show it: with colons or without, in any case.
pub(in crate::control) fn fingerprint(text: &str) -> Option<[u8; FINGERPRINT_SIZE]> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|character| *character != ':')
        .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(high << 4 | low),
        _ => None,
    };
    digits.chunks(2).map(pair).collect::<Option<Vec<u8>>>()?.try_into().ok()
}
