//! Conditions of a rule: each has several values (any matches); all conditions of a rule must match.
//!
//! This file defines the meaning of a condition, value by value; `table` searches a thousand rules. Nothing here
//! allocates while it matches. Tested by a table per condition.
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::budget::Budget;
pub use super::glob::{Glob, Reading};
use crate::http::fields::Field;
use crate::http::query;

/// Longest host that can match a host condition, in bytes (RFC 1035 §2.3.4).
pub const HOST_BYTES_MAX: usize = 255;

/// Costs in instructions: comparing with one value of a condition; looking at one field's name; taking one pair of a
/// query; each of its first bytes, which are compared one by one; starting the search of the others. And how many bytes
/// are compared with one instruction.
const VALUE: usize = 16;
pub(super) const FIELD: usize = 8;
const PAIR: usize = 96;
const NEAR_BYTE: usize = 8;
const FAR: usize = 64;
const BYTES_COMPARED: usize = 4;

/// The parts of a request that routing may use. `fields` are (name, value) pairs in order, names in any case.
pub struct Request<'a> {
    pub method: &'a [u8],
    /// Host without port, any case.
    pub host: &'a [u8],
    /// In the form in which paths are compared (see `path`).
    pub path: &'a [u8],
    pub query: Option<&'a [u8]>,
    pub source: Option<IpAddr>,
    pub fields: &'a [Field<'a>],
    /// `None` in clear.
    pub tls: Option<Tls<'a>>,
}

/// The client's handshake, as far as routing may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tls<'a> {
    /// The name that the client asked for (SNI), in any case.
    pub server_name: Option<&'a [u8]>,
    pub has_client_certificate: bool,
}

/// One condition; its values are alternatives. A condition without values never holds.
#[derive(Debug, Clone)]
pub enum Condition {
    Host(Vec<HostPattern>),
    Path(Vec<PathPattern>),
    /// Method names, which are case-sensitive (RFC 9110 §9.1).
    Method(Vec<Box<str>>),
    /// Any field line of that name (in any case) may match any value.
    Header {
        name: Box<str>,
        values: Vec<Glob>,
    },
    /// `key = None` matches any key having the value.
    Query(Vec<(Option<Glob>, Glob)>),
    /// The client's address; never holds for Unix sockets. IPv4-mapped addresses are read as IPv4.
    Source(Vec<IpNet>),
    /// The name of the handshake, compared as hosts are; never holds without one.
    Sni(Vec<HostPattern>),
    /// Whether the client has presented a certificate; in clear it has not.
    ClientCertificate(bool),
}

/// Hosts are compared without case, port and one trailing dot.
#[derive(Debug, Clone)]
pub enum HostPattern {
    Exact(Box<str>),
    /// `*.example.com`, any depth: holds ".example.com", which the host must be longer than.
    Suffix(Box<str>),
    Glob(Glob),
}

/// Paths are compared in one form (see `path`), with case.
#[derive(Debug, Clone)]
pub enum PathPattern {
    Exact(Box<str>),
    /// "/api/*": the prefix "/api/"
    Prefix(Box<str>),
    Glob(Glob),
}

impl HostPattern {
    /// Parses and checks one value of the file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return Err("a host pattern is not empty".into());
        }
        if name.len() > HOST_BYTES_MAX {
            return Err(format!("a host has at most {HOST_BYTES_MAX} bytes"));
        }
        if !name.is_ascii() {
            return Err(format!("{text:?} is not ASCII; write it as \"xn--…\" (punycode)"));
        }
        let address = name.starts_with('[') && name.ends_with(']');
        if let Some(wrong) = name.chars().find(|&c| !host_character(c, address)) {
            let hint = if wrong == ':' { "; the port is no part of it" } else { "" };
            return Err(format!(
                "{text:?} has {wrong:?}{hint}; a host pattern has letters, digits, -, _, ., * and ?"
            ));
        }
        if name.split('.').any(str::is_empty) {
            return Err(format!("{text:?} has an empty label"));
        }
        let glob = Glob::parse(name, Reading::Text)?;
        if let Some(exact) = glob.literal() {
            return Ok(HostPattern::Exact(text_of(exact)));
        }
        let suffix = glob.literal_suffix();
        if suffix.starts_with(b".") && glob.to_string() == format!("*{}", text_of(suffix.clone())) {
            return Ok(HostPattern::Suffix(text_of(suffix)));
        }
        Ok(HostPattern::Glob(glob))
    }

    /// Whether `host` (without port) matches.
    pub fn matches(&self, host: &[u8], budget: &Budget) -> bool {
        let host = without_root_dot(host);
        if host.len() > HOST_BYTES_MAX || !budget.spend(VALUE + host.len()) {
            return false;
        }
        match self {
            HostPattern::Exact(name) => host.eq_ignore_ascii_case(name.as_bytes()),
            HostPattern::Suffix(suffix) => host
                .len()
                .checked_sub(suffix.len())
                .filter(|&rest| rest > 0)
                .and_then(|rest| host.get(rest..))
                .is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes())),
            HostPattern::Glob(glob) => glob.matches(host, budget),
        }
    }
}

impl PathPattern {
    /// Parses and checks one value of the file, and brings it into the form in which paths are compared.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with(['/', '*', '?']) {
            return Err(format!("{text:?} does not begin with \"/\" or \"*\""));
        }
        if let Some(wrong) = text.chars().find(|&c| c.is_ascii_control() || c == ' ' || c == '#') {
            return Err(format!("{text:?} has {wrong:?}, which no path has"));
        }
        if text.split('/').any(|segment| {
            let plain = segment.replace("%2e", ".").replace("%2E", ".");
            plain == "." || plain == ".."
        }) {
            return Err(format!(
                "{text:?} has a dot segment; paths are matched without them (\"/a/../b\" is \"/b\")"
            ));
        }
        let glob = Glob::parse(text, Reading::Path)?;
        if glob.to_string().contains("%00") {
            return Err(format!("{text:?} has %00, which no path has"));
        }
        Ok(match (glob.literal(), glob.prefix()) {
            (Some(exact), _) => PathPattern::Exact(text_of(exact)),
            (None, Some(prefix)) => PathPattern::Prefix(text_of(prefix)),
            (None, None) => PathPattern::Glob(glob),
        })
    }

    /// Whether `path` (as paths are compared) matches.
    pub fn matches(&self, path: &[u8], budget: &Budget) -> bool {
        let paid = |literal: &str| budget.spend(VALUE + literal.len() / BYTES_COMPARED);
        match self {
            PathPattern::Exact(exact) => paid(exact) && path == exact.as_bytes(),
            PathPattern::Prefix(prefix) => paid(prefix) && path.starts_with(prefix.as_bytes()),
            PathPattern::Glob(glob) => glob.matches(path, budget),
        }
    }
}

impl Condition {
    /// A header condition from the file: the name is a token (RFC 9110 §5.1), values match in any case.
    pub fn header(name: &str, values: &[&str]) -> Result<Self, String> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(format!("{name:?} is not a field name"));
        }
        let values = values.iter().map(|value| Glob::parse(value, Reading::Text));
        Ok(Condition::Header { name: name.into(), values: values.collect::<Result<_, _>>()? })
    }

    /// One value of a query condition from the file; key and value match decoded, in any case.
    pub fn query_pair(key: Option<&str>, value: &str) -> Result<(Option<Glob>, Glob), String> {
        let glob = |text: &str| Glob::parse(text, Reading::Query);
        Ok((key.map(glob).transpose()?, glob(value)?))
    }

    /// Whether any value of this condition matches; `false` when the budget ends first.
    pub fn matches(&self, request: &Request<'_>, budget: &Budget) -> bool {
        match self {
            Condition::Host(patterns) => patterns.iter().any(|p| p.matches(request.host, budget)),
            Condition::Path(patterns) => patterns.iter().any(|p| p.matches(request.path, budget)),
            Condition::Method(names) => {
                budget.spend(VALUE * names.len())
                    && names.iter().any(|name| name.as_bytes() == request.method)
            }
            Condition::Header { name, values } => {
                budget.spend(FIELD * request.fields.len())
                    && request
                        .fields
                        .iter()
                        .filter(|field| field.name.eq_ignore_ascii_case(name.as_bytes()))
                        .any(|field| values.iter().any(|v| v.matches(field.value, budget)))
            }
            Condition::Query(wanted) => query_matches(wanted, request, budget),
            Condition::Source(nets) => request.source.is_some_and(|source| {
                let source = source.to_canonical();
                budget.spend(VALUE * nets.len()) && nets.iter().any(|net| net.contains(&source))
            }),
            Condition::Sni(patterns) => {
                let name = request.tls.and_then(|tls| tls.server_name);
                name.is_some_and(|name| patterns.iter().any(|p| p.matches(name, budget)))
            }
            Condition::ClientCertificate(wanted) => {
                let has = request.tls.is_some_and(|tls| tls.has_client_certificate);
                budget.spend(VALUE) && has == *wanted
            }
        }
    }

    /// Why this condition does not hold, in words.
    pub fn failure(&self) -> String {
        match self {
            Condition::Host(values) => format!("host is not {}", list(values)),
            Condition::Path(values) => format!("path is not {}", list(values)),
            Condition::Method(values) => format!("method is not {}", list(values)),
            Condition::Header { name, values } => format!("no field {name} is {}", list(values)),
            Condition::Query(pairs) => format!("query has no {}", query_list(pairs)),
            Condition::Source(nets) => format!("source is not in {}", list(nets)),
            Condition::Sni(values) => format!("the server name asked for is not {}", list(values)),
            Condition::ClientCertificate(true) => "the client has no certificate".to_owned(),
            Condition::ClientCertificate(false) => "the client has a certificate".to_owned(),
        }
    }
}

/// The host without the dot of the root, which names the same host (RFC 3986 §3.2.2).
pub(super) fn without_root_dot(host: &[u8]) -> &[u8] {
    host.strip_suffix(b".").unwrap_or(host)
}

/// Keys and values as they are sent; ends early when the budget does.
pub(super) fn query_pairs<'q>(
    request: &Request<'q>,
    budget: &Budget,
) -> impl Iterator<Item = (&'q [u8], &'q [u8])> {
    let is_paid = |piece: &&[u8]| {
        let near = piece.len().min(query::NEAR_BYTES) * NEAR_BYTE;
        let is_near = piece.len() <= query::NEAR_BYTES;
        let far = if is_near { 0 } else { FAR + piece.len() / BYTES_COMPARED };
        budget.spend(PAIR + near + far)
    };
    let pieces = request.query.into_iter().flat_map(query::pieces);
    pieces.take_while(is_paid).filter_map(query::pair)
}

fn query_matches(wanted: &[(Option<Glob>, Glob)], request: &Request<'_>, budget: &Budget) -> bool {
    query_pairs(request, budget).any(|(key, value)| {
        wanted.iter().any(|(wanted_key, wanted_value)| {
            wanted_key.as_ref().is_none_or(|glob| glob.matches(key, budget))
                && wanted_value.matches(value, budget)
        })
    })
}

fn host_character(c: char, address: bool) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(c, '-' | '_' | '.' | '*' | '?')
        || (address && matches!(c, '[' | ']' | ':'))
}

fn text_of(bytes: Vec<u8>) -> Box<str> {
    String::from_utf8_lossy(&bytes).into()
}

fn list<T: fmt::Display>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

fn query_list(pairs: &[(Option<Glob>, Glob)]) -> String {
    let texts: Vec<_> = pairs
        .iter()
        .map(|(key, value)| match key {
            Some(key) => format!("{key}={value}"),
            None => format!("*={value}"),
        })
        .collect();
    texts.join(", ")
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Exact(name) => f.write_str(name),
            HostPattern::Suffix(suffix) => write!(f, "*{suffix}"),
            HostPattern::Glob(glob) => glob.fmt(f),
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathPattern::Exact(exact) => f.write_str(exact),
            PathPattern::Prefix(prefix) => write!(f, "{prefix}*"),
            PathPattern::Glob(glob) => glob.fmt(f),
        }
    }
}

impl fmt::Display for Condition {
    /// "host api.example.com, *.example.org"
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Host(values) => write!(f, "host {}", list(values)),
            Condition::Path(values) => write!(f, "path {}", list(values)),
            Condition::Method(values) => write!(f, "method {}", list(values)),
            Condition::Header { name, values } => write!(f, "header {name}: {}", list(values)),
            Condition::Query(pairs) => write!(f, "query {}", query_list(pairs)),
            Condition::Source(nets) => write!(f, "source {}", list(nets)),
            Condition::Sni(values) => write!(f, "sni {}", list(values)),
            Condition::ClientCertificate(true) => f.write_str("a client certificate"),
            Condition::ClientCertificate(false) => f.write_str("no client certificate"),
        }
    }
}
