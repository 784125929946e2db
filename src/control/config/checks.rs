//! The rules for single texts of the file: names, addresses, networks, cookie parts, patterns.
//!
//! Each check is a pure function from a text to the predicate of a sentence that names its fault. Addresses are parsed
//! here for both the check and the compiled result. Tested as a table.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

use super::schema::Check;
use super::strays;
use crate::group::address::Address;
use crate::http::fields::{FieldId, classify_folded};
use crate::routing::actions::{Redirect, normal_path};
use crate::routing::conditions::{Condition, Glob, HostPattern, PathPattern, Reading};
use crate::snapshot::Bind;
use crate::stickiness::keyring::{self, SecretFault};

/// Longest path of a Unix socket: `sun_path` less its final NUL.
const UNIX_PATH_BYTES_MAX: usize = 107;
const BODY_BYTES_MAX: usize = 64 * 1024;
const LOG_TEMPLATE_BYTES_MAX: usize = 4096;
const CHECK_BODY_BYTES_MAX: usize = 1024;
const NAME_BYTES_MAX: usize = 128;
const TARGET_ID_BYTES_MAX: usize = 255;

/// Statuses of limpet's own answers.
const ANSWER_STATUSES: [u16; 16] =
    [400, 405, 408, 413, 414, 415, 417, 421, 429, 431, 500, 501, 502, 503, 504, 505];

/// Fields that a request id must not replace.
const FIELDS_OF_MEANING: [&str; 14] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "cookie",
    "authorization",
    "forwarded",
    "x-forwarded-for",
    "via",
    "content-type",
];

/// Further fields whose values HTTP itself gives a meaning: none of them can carry an application's session id.
const OTHER_FIELDS_OF_MEANING: [&str; 17] = [
    "accept",
    "accept-encoding",
    "age",
    "allow",
    "content-encoding",
    "content-range",
    "etag",
    "if-none-match",
    "last-event-id",
    "last-modified",
    "location",
    "origin",
    "range",
    "sec-websocket-accept",
    "sec-websocket-key",
    "server",
    "vary",
];

pub(super) static NAME: Check =
    Check::new("1 to 128 letters, digits, \".\", \"_\" and \"-\"", |text| {
        ensure(!text.is_empty(), "is empty")?;
        ensure(text.len() <= NAME_BYTES_MAX, "is too long")?;
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        ensure(text.bytes().all(good), "has a character that is not allowed")
    });

pub(super) static TARGET_ID: Check = Check::new("1 to 255 visible ASCII characters", |text| {
    ensure(!text.is_empty(), "is empty")?;
    ensure(text.len() <= TARGET_ID_BYTES_MAX, "is too long")?;
    ensure(text.bytes().all(|byte| byte.is_ascii_graphic()), "has a character that is not allowed")
});

pub(super) static GROUP: Check =
    Check::new("the name of a target group", |text| ensure(!text.is_empty(), "is empty"));

pub(super) static ABSOLUTE_PATH: Check = Check::new("an absolute path", absolute_path);

pub(super) static LOG_OUTPUT: Check =
    Check::new("\"stdout\", \"off\" or an absolute path", |text| match text {
        "stdout" | "off" => Ok(()),
        path => absolute_path(path),
    });

pub(super) static USER: Check =
    Check::new("\"USER\" or \"USER:GROUP\", by name or number", |text| {
        let good = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        let (user, group) = text.split_once(':').unwrap_or((text, "0"));
        ensure(good(user) && good(group), "is none of these")
    });

pub(super) static LOG_TEMPLATE: Check =
    Check::new("one line of up to 4096 bytes; limpet help access-log lists its fields", |text| {
        ensure(!text.is_empty(), "is empty")?;
        ensure(text.len() <= LOG_TEMPLATE_BYTES_MAX, "is too long")?;
        ensure(!text.contains(['\n', '\r', '\0']), "is more than one line")?;
        strays::log_template(text)?;
        crate::telemetry::template::Template::parse(text)
            .map(drop)
            .map_err(|fault| fault.to_string())
    });

pub(super) static ADMIN_ADDRESS: Check =
    Check::new("\"IP:PORT\", such as \"127.0.0.1:9901\"", |text| {
        text.parse::<SocketAddr>().map(drop).map_err(|_| not_an_address(text))
    });

pub(super) static BEARER_TOKEN: Check = Check {
    allowed: "16 to 256 characters: letters, digits and -._~+/=",
    test: |text| {
        ensure((16..=256).contains(&text.len()), "has the wrong length")?;
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        ensure(text.bytes().all(good), "has a character that is not allowed")
    },
    secret: true,
};

pub(super) static CHECK_STATUS: Check =
    Check::new("a status or a range of them, such as \"200\" or \"200-399\"", |text| {
        status_range(text).map(drop)
    });

pub(super) static CHECK_BODY: Check =
    Check::new("a text of up to 1024 bytes, or \"\" = not looked at", |text| {
        ensure(text.len() <= CHECK_BODY_BYTES_MAX, "is too long")
    });

pub(super) static HOST_OR_EMPTY: Check =
    Check::new("a host, with a port or without, or \"\" = the target's address", |text| {
        if text.is_empty() { Ok(()) } else { (HOST.test)(text) }
    });

pub(super) static SECRET: Check = Check {
    allowed: "32 bytes in base64, such as openssl rand -base64 32 makes",
    test: |text| match keyring::parse_secret(text) {
        Ok(_) => Ok(()),
        Err(SecretFault::NotBase64) => Err("is not base64".into()),
        Err(SecretFault::WrongSize) => Err("is not 32 bytes long".into()),
    },
    secret: true,
};

pub(super) static LISTENER_ADDRESS: Check = Check::new(
    "an IP address with a port or a Unix socket, such as \"0.0.0.0:80\", \"[::]:80\" or \"unix:/run/limpet/web.sock\"",
    |text| listener_address(text).map(drop),
);

pub(super) static TARGET_ADDRESS: Check = Check::new(
    "an IP address with a port or a Unix socket, such as \"127.0.0.1:9001\", \"[::1]:9001\" or \"unix:/run/app.sock\"",
    |text| target_address(text).map(drop),
);

pub(super) static NETWORK: Check =
    Check::new("an IP address or a network, such as \"10.0.0.0/8\" or \"2001:db8::/32\"", |text| {
        network(text).map(drop)
    });

pub(super) static TRUSTED_PROXY: Check = Check::new(
    "an IP address, a network such as \"10.0.0.0/8\" or \"2001:db8::/32\", or \"unix\" for peers on a Unix socket",
    |text| trusted_proxy(text).map(drop),
);

/// The word for every peer.
pub(in crate::control) const ANYBODY: &str = "any";

pub(super) static PROXY_SENDER: Check = Check::new(
    "an IP address, a network such as \"10.0.0.0/8\" or \"2001:db8::/32\", \"unix\" for peers on a Unix socket, or \"any\"",
    |text| if text == ANYBODY { Ok(()) } else { trusted_proxy(text).map(drop) },
);

pub(super) static UNIX_MODE: Check =
    Check::new("three or four octal digits, such as \"0660\"", |text| unix_mode(text).map(drop));

pub(super) static METHOD: Check = Check::new(
    "a method in its own spelling, such as \"GET\"; several are several texts",
    strays::method,
);

pub(super) static CHECK_METHOD: Check =
    Check::new("a method, such as \"GET\" or \"HEAD\"", strays::method);

pub(super) static TOKEN_OR_EMPTY: Check = Check::new("a token, or \"\" = none", |text| {
    ensure(text.is_empty() || is_token(text), "is not a token")
});

pub(super) static FIELD_NAME: Check =
    Check::new("a field name", |text| ensure(is_token(text), "is not a token"));

pub(super) static REQUEST_ID_FIELD: Check =
    Check::new("a field name such as \"X-Request-Id\", or \"\" = off", |text| {
        ensure(text.is_empty() || is_token(text), "is not a token")?;
        let lower = text.to_ascii_lowercase();
        ensure(!FIELDS_OF_MEANING.contains(&lower.as_str()), "has a meaning of its own in HTTP")
    });

pub(super) static SESSION_FIELD: Check =
    Check::new("a field name such as \"Mcp-Session-Id\"", |text| {
        ensure(is_token(text), "is not a token")?;
        ensure(text.len() <= NAME_BYTES_MAX, "is too long")?;
        let lower = text.to_ascii_lowercase();
        let is_known = FIELDS_OF_MEANING.contains(&lower.as_str())
            || OTHER_FIELDS_OF_MEANING.contains(&lower.as_str())
            || classify_folded(text.as_bytes()).0 != FieldId::Other;
        ensure(!is_known, "has a meaning of its own in HTTP")
    });

pub(super) static FIELD_VALUE: Check =
    Check::new("a field value: visible ASCII characters and spaces between them", |text| {
        ensure(!text.is_empty(), "is empty")?;
        ensure(text.trim() == text, "begins or ends with white space")?;
        let good = |byte: u8| byte.is_ascii_graphic() || byte == b' ' || byte == b'\t';
        ensure(text.bytes().all(good), "has a character that is not allowed")
    });

pub(super) static BODY: Check = Check::new("a text of up to 64 KiB", |text| {
    ensure(text.len() <= BODY_BYTES_MAX, "is too long")
});

pub(super) static ANSWER_STATUS: Check = Check::new(
    "one of 400, 405, 408, 413, 414, 415, 417, 421, 429, 431, 500, 501, 502, 503, 504, 505",
    |text| answer_status(text).map(drop),
);

pub(super) static COOKIE_NAME: Check = Check::new("a cookie name: a token", |text| {
    ensure(is_token(text), "is not a token")?;
    ensure(text.len() <= NAME_BYTES_MAX + 16, "is too long")
});

pub(super) static COOKIE_DOMAIN: Check =
    Check::new("a domain such as \"example.com\", or \"\"", |text| {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
        ensure(text.bytes().all(good), "has a character that is not allowed")?;
        if let Some(domain) = text.strip_prefix('.') {
            return Err(format!("begins with a dot, which browsers leave away; write {domain:?}"));
        }
        ensure(
            !text.starts_with(['.', '-']) && !text.ends_with('.'),
            "does not begin or end as a domain",
        )
    });

pub(super) static COOKIE_PATH: Check = Check::new("a path that begins with \"/\"", |text| {
    ensure(text.starts_with('/'), "does not begin with \"/\"")?;
    let good = |byte: u8| byte.is_ascii_graphic() && byte != b';';
    ensure(text.bytes().all(good), "has a character that is not allowed")
});

pub(super) static PATH: Check =
    Check::new("a path in normal form that begins with \"/\", without query", |text| {
        strays::variables(text)?;
        predicate(text, normal_path(text))
    });

pub(super) static HOST: Check = Check::new("a host, with a port or without", |text| {
    ensure(!text.is_empty(), "is empty")?;
    strays::variables(text)?;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    ensure(text.bytes().all(good), "has a character that is not allowed")
});

pub(super) static HASH_ON: Check =
    Check::new("\"header:NAME\", \"cookie:NAME\", \"query:KEY\" or \"source\"", |text| match text
        .split_once(':')
    {
        None => ensure(text == "source", "is none of these"),
        Some(("header" | "cookie", name)) => {
            ensure(is_token(name), "has a name that is not a token")
        }
        Some(("query", key)) => ensure(!key.is_empty(), "has no key"),
        Some(_) => Err("is none of these".into()),
    });

pub(super) static HOST_PATTERN: Check = Check::new(
    "a host without port, such as \"www.example.com\", \"*.example.com\" or \"api-?.example.com\"",
    |text| strays::host(text).and_then(|()| predicate(text, HostPattern::parse(text))),
);

pub(super) static PATH_PATTERN: Check =
    Check::new("a path in normal form, such as \"/login\", \"/api/*\" or \"/v?/*.png\"", |text| {
        strays::path(text)?;
        predicate(text, PathPattern::parse(text))
    });

pub(super) static GLOB: Check =
    Check::new("a text in which * is any run and ? any one character", |text| {
        predicate(text, Glob::parse(text, Reading::Text))
    });

pub(super) static QUERY_GLOB: Check =
    Check::new("a text in which * is any run and ? any one character", |text| {
        predicate(text, Condition::query_pair(None, text))
    });

pub(super) static REDIRECT_TO: Check = Check::new(
    "a URL or path with #{protocol}, #{host}, #{port}, #{path} and #{query}, such as \"https://#{host}:443/#{path}?#{query}\"",
    |text| strays::redirect(text).and_then(|()| predicate(text, Redirect::compile(302, text))),
);

fn ensure(good: bool, otherwise: &str) -> Result<(), String> {
    if good { Ok(()) } else { Err(otherwise.to_owned()) }
}

/// Another module's message about `text`, without the text itself, which the report shows anyway.
fn predicate<T>(text: &str, verdict: Result<T, String>) -> Result<(), String> {
    let quoted = format!("{text:?} ");
    verdict.map(drop).map_err(|what| what.strip_prefix(&quoted).map_or(what.clone(), str::to_owned))
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(good)
}

fn absolute_path(text: &str) -> Result<(), String> {
    ensure(text.starts_with('/'), "does not begin with \"/\"")?;
    ensure(!text.contains('\0'), "has a NUL")
}

/// The address of a listener. IPv4-mapped IPv6 addresses are refused, because one address would have two names.
pub(in crate::control) fn listener_address(text: &str) -> Result<Bind, String> {
    match text.strip_prefix("unix:") {
        Some(path) => Ok(Bind::Unix(unix_path(path)?)),
        None => Ok(Bind::Tcp(socket_address(text)?)),
    }
}

/// The address of a target.
pub(in crate::control) fn target_address(text: &str) -> Result<Address, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(Address::Unix(unix_path(path)?));
    }
    let address = socket_address(text)?;
    ensure(address.port() != 0, "has port 0")?;
    ensure(!address.ip().is_unspecified(), "is the address of no server in particular")?;
    Ok(Address::Tcp(address))
}

fn unix_path(path: &str) -> Result<PathBuf, String> {
    absolute_path(path)?;
    ensure(path.len() <= UNIX_PATH_BYTES_MAX, "has a path of more than 107 bytes")?;
    Ok(PathBuf::from(path))
}

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse::<SocketAddr>().map_err(|_| not_an_address(text))?;
    if let SocketAddr::V6(v6) = address
        && let Some(v4) = v6.ip().to_ipv4_mapped()
    {
        return Err(format!("is an IPv4-mapped address; write \"{v4}:{}\"", v6.port()));
    }
    Ok(address)
}

/// Why `text` is no address, and how to write what it means.
fn not_an_address(text: &str) -> String {
    if let Some((scheme, rest)) = text.split_once("://") {
        let rest = rest.split('/').next().unwrap_or_default();
        return format!("has {scheme:?} before the address; write {rest:?}");
    }
    if text.starts_with('/') {
        return format!("is a path; a Unix socket is written \"unix:{text}\"");
    }
    match text.rsplit_once(':') {
        _ if text.parse::<Ipv6Addr>().is_ok() => {
            format!("has no port; write the address in brackets, \"[{text}]:PORT\"")
        }
        _ if text.parse::<IpAddr>().is_ok() => "has no port".into(),
        _ if text.parse::<u16>().is_ok() => {
            format!("has no address before the port; for all addresses write \"0.0.0.0:{text}\"")
        }
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_err() => {
            format!("has the port {port:?}, which is not a number up to 65535")
        }
        Some(("" | "*", port)) => format!(
            "has no address before the port; for all addresses write \"0.0.0.0:{port}\" or \"[::]:{port}\""
        ),
        Some((host, port)) if host.parse::<Ipv6Addr>().is_ok() => {
            format!("has an IPv6 address without brackets; write \"[{host}]:{port}\"")
        }
        Some((host, port)) => not_a_name(host, port),
        None if is_host_name(text) => not_a_name(text, "PORT"),
        None => "is not an IP address with a port".into(),
    }
}

/// Names are not resolved, because their addresses change without notice.
fn not_a_name(host: &str, port: &str) -> String {
    let what = format!("has {host:?}, which is not an IP address");
    if host.eq_ignore_ascii_case("localhost") {
        return format!("{what}; write \"127.0.0.1:{port}\" or \"[::1]:{port}\"");
    }
    if is_host_name(host) {
        return format!(
            "{what}; names are not resolved: write the address that \"getent hosts {host}\" shows, and let \
             whatever changes it tell limpet (limpet ctl, the admin API, or a reload)"
        );
    }
    what
}

fn is_host_name(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    text.bytes().all(good) && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// A network; a single address is a network of one.
pub(in crate::control) fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    let network: IpNet = text.parse().map_err(|_| strays::network(text))?;
    if network.trunc() != network {
        return Err(format!("has bits set after its prefix; write \"{}\"", network.trunc()));
    }
    Ok(network)
}

/// A network of proxies; `None` is the word for peers on a Unix socket, which have no address.
pub(in crate::control) fn trusted_proxy(text: &str) -> Result<Option<IpNet>, String> {
    if text == "unix" { Ok(None) } else { network(text).map(Some) }
}

/// Permission bits.
pub(in crate::control) fn unix_mode(text: &str) -> Result<u32, String> {
    ensure(matches!(text.len(), 3 | 4), "does not have three or four digits")?;
    let octal = text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    ensure(octal, "has a character that is not an octal digit")?;
    let mode = u32::from_str_radix(text, 8).map_err(|error| error.to_string())?;
    ensure(mode <= 0o777, "has more than permission bits")?;
    Ok(mode)
}

/// A status of limpet's own answers.
pub(in crate::control) fn answer_status(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(status) if ANSWER_STATUSES.contains(&status) => Ok(status),
        _ => Err("is not a status that limpet answers with".into()),
    }
}

/// "200" or "200-399", both ends included.
pub fn status_range(text: &str) -> Result<std::ops::RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|status| digits && (100..600).contains(status))
    };
    match (status(first), status(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        (Some(_), Some(_)) => Err("ends before it begins".into()),
        _ => Err("is no status of three digits".into()),
    }
}

#[cfg(test)]
mod tests {
    use crate::control::config::checks::*;

    fn verdict(check: &Check, text: &str) -> Result<(), String> {
        (check.test)(text)
    }

    #[test]
    fn addresses_say_what_is_missing() {
        for (text, what) in [
            ("127.0.0.1", "has no port"),
            ("::1", "has no port; write the address in brackets, \"[::1]:PORT\""),
            (
                ":80",
                "has no address before the port; for all addresses write \"0.0.0.0:80\" or \"[::]:80\"",
            ),
            (
                "*:80",
                "has no address before the port; for all addresses write \"0.0.0.0:80\" or \"[::]:80\"",
            ),
            ("80", "has no address before the port; for all addresses write \"0.0.0.0:80\""),
            ("127.0.0.1:99999", "has the port \"99999\", which is not a number up to 65535"),
            (
                "localhost:80",
                "has \"localhost\", which is not an IP address; write \"127.0.0.1:80\" or \"[::1]:80\"",
            ),
            ("http://10.0.0.1:80/", "has \"http\" before the address; write \"10.0.0.1:80\""),
            ("/run/x.sock", "is a path; a Unix socket is written \"unix:/run/x.sock\""),
            ("a b:80", "has \"a b\", which is not an IP address"),
            ("a b", "is not an IP address with a port"),
            ("unix:run/x.sock", "does not begin with \"/\""),
            ("[::ffff:10.0.0.1]:80", "is an IPv4-mapped address; write \"10.0.0.1:80\""),
        ] {
            assert_eq!(listener_address(text), Err(what.to_owned()), "{text}");
        }
        for text in ["app.internal:80", "app_1:80", "app"] {
            let what = target_address(text).expect_err("a name");
            assert!(what.contains("names are not resolved: write the address"), "{what}");
        }
        assert!(listener_address("0.0.0.0:0").is_ok());
        assert_eq!(target_address("127.0.0.1:0"), Err("has port 0".into()));
        assert!(target_address("0.0.0.0:80").is_err());
        assert!(target_address("unix:/run/app.sock").is_ok());
    }

    #[test]
    fn a_network_has_no_bits_after_its_prefix() {
        assert!(network("10.0.0.0/8").is_ok());
        assert_eq!(network("10.0.0.1"), Ok("10.0.0.1/32".parse().unwrap()));
        let what = "has bits set after its prefix; write \"10.0.0.0/8\"";
        assert_eq!(network("10.0.0.1/8"), Err(what.into()));
        assert!(network("10.0.0.0/33").is_err());
    }

    #[test]
    fn modes_are_octal_and_only_permissions() {
        assert_eq!(unix_mode("0660"), Ok(0o660));
        assert_eq!(unix_mode("600"), Ok(0o600));
        for bad in ["", "660x", "0888", "1777", "66", "00660"] {
            assert!(unix_mode(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn texts_are_checked_by_their_grammar() {
        let good: [(&Check, &[&str]); 8] = [
            (&NAME, &["web", "app-1.eu_west"]),
            (&TARGET_ID, &["127.0.0.1:9001", "unix:/run/a.sock"]),
            (&HASH_ON, &["source", "header:X-User", "cookie:uid", "query:user"]),
            (&REQUEST_ID_FIELD, &["", "X-Request-Id"]),
            (&COOKIE_DOMAIN, &["", "example.com"]),
            (&COOKIE_PATH, &["/", "/shop"]),
            (&LOG_OUTPUT, &["stdout", "off", "/var/log/limpet.log"]),
            (&ANSWER_STATUS, &["400", "503"]),
        ];
        for (check, texts) in good {
            for text in texts {
                assert_eq!(verdict(check, text), Ok(()), "{text}");
            }
        }
        let bad: [(&Check, &[&str]); 9] = [
            (&NAME, &["", "a b", "ä", "x\"y"]),
            (&TARGET_ID, &["", "a b"]),
            (&HASH_ON, &["", "header:", "cookie:a b", "query:", "body", "header"]),
            (&REQUEST_ID_FIELD, &["a b", "Host", "content-length"]),
            (&COOKIE_DOMAIN, &[".example.com", "a;b", "example.com."]),
            (&COOKIE_PATH, &["", "shop", "/a;b"]),
            (&LOG_OUTPUT, &["", "stderr", "log.txt"]),
            (&ANSWER_STATUS, &["", "200", "abc", "+503x"]),
            (&SECRET, &["", "short", "bGltcGV0"]),
        ];
        for (check, texts) in bad {
            for text in texts {
                assert!(verdict(check, text).is_err(), "{text}");
            }
        }
    }
}
