//! Redirects: a template of the file becomes the value of a Location field.
//!
//! The template has ALB's placeholders `#{protocol} #{host} #{port} #{path} #{query}`. It is split once, when the file
//! is compiled; per request its pieces are only appended. A request's part of a placeholder is percent-encoded where it
//! could leave its component, so a client can neither inject a field nor choose another host. Tested by tables and by
//! proptest.
use std::fmt;

/// A redirect; its URL is built from a template with the placeholders `#{protocol} #{host} #{port} #{path} #{query}`.
///
/// `#{path}` stands for the path without its leading slash, so templates say `/#{path}`. A port that is the
/// scheme's default is left out, and so is `#{port}` where it is the default of the request's own
/// protocol. An empty `#{query}` takes its `?` or `&` with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    pub status: u16,
    pub template: Box<str>,
    /// `None` for a template that begins with a slash.
    origin: Option<Origin>,
    path: Box<[Piece]>,
    query: Box<[Piece]>,
}

/// The scheme and the authority of an absolute template.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    protocol: Piece,
    host: Box<[Piece]>,
    port: Option<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Protocol,
    Host,
    Port,
    Path,
    Query,
}

/// The values of the placeholders.
pub struct RedirectParts<'a> {
    /// "http" or "https".
    pub protocol: &'a [u8],
    /// Without port; IPv6 addresses in brackets. Where it is empty (HTTP/1.0 without Host), a template that uses it
    /// gives a relative reference.
    pub host: &'a [u8],
    /// Empty where there is none (Unix sockets).
    pub port: &'a [u8],
    /// With its leading slash, in normal form.
    pub path: &'a [u8],
    pub query: Option<&'a [u8]>,
}

/// Statuses a redirect may have (RFC 9110 §15.4).
pub const REDIRECT_STATUSES: [u16; 5] = [301, 302, 303, 307, 308];

const PLACEHOLDERS: [(&str, Piece); 5] = [
    ("#{protocol}", Piece::Protocol),
    ("#{host}", Piece::Host),
    ("#{port}", Piece::Port),
    ("#{path}", Piece::Path),
    ("#{query}", Piece::Query),
];

impl Redirect {
    /// Parses and checks a template; the error says what is wrong and what is allowed.
    pub fn compile(status: u16, template: &str) -> Result<Redirect, String> {
        if !REDIRECT_STATUSES.contains(&status) {
            return Err(format!("a redirect has status 301, 302, 303, 307 or 308, not {status}"));
        }
        let (origin, rest) = match template.split_once("://") {
            Some((protocol, rest)) => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                let (authority, rest) = rest.split_at(end);
                (Some(Origin::parse(protocol, authority)?), rest)
            }
            None if template.starts_with("//") => {
                return Err(format!("{template:?} names a host without a scheme"));
            }
            None if template.starts_with('/') => (None, template),
            None => {
                return Err(format!(
                    "{template:?} is no redirect target; write \"https://#{{host}}/#{{path}}?#{{query}}\" or \
                     a path that begins with \"/\""
                ));
            }
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let redirect = Redirect {
            status,
            template: template.into(),
            origin,
            path: pieces(path, "path")?.into(),
            query: pieces(query, "query")?.into(),
        };
        if redirect.leads_back() {
            return Err(format!(
                "{template:?} leads back to the request's own URL; change the protocol, host, port or path"
            ));
        }
        Ok(redirect)
    }

    /// Appends the Location value; bytes that may not stand in a field value are percent-encoded.
    pub fn location(&self, parts: &RedirectParts<'_>, out: &mut Vec<u8>) {
        let absolute = self.origin.as_ref().is_some_and(|origin| origin.write(parts, out));
        let path_start = out.len();
        if self.path.is_empty() {
            out.push(b'/');
        }
        for piece in &self.path {
            piece.write(parts, path_byte, out);
        }
        if !absolute {
            // "//host" would be a reference to another host (RFC 3986 §4.2).
            let slashes = out
                .get(path_start..)
                .map_or(0, |path| path.iter().take_while(|&&byte| byte == b'/').count());
            out.drain(path_start..path_start.saturating_add(slashes.saturating_sub(1)));
        }
        self.write_query(parts, out);
    }

    fn write_query(&self, parts: &RedirectParts<'_>, out: &mut Vec<u8>) {
        let mark = out.len();
        out.push(b'?');
        let mut skip_ampersand = false;
        for piece in &self.query {
            match piece {
                Piece::Query if parts.query.is_none_or(<[u8]>::is_empty) => match out.last() {
                    Some(b'&') => drop(out.pop()),
                    Some(b'?') if out.len() == mark + 1 => skip_ampersand = true,
                    _ => {}
                },
                Piece::Text(text) if skip_ampersand => {
                    let text = text.strip_prefix('&').unwrap_or(text);
                    push_encoded(text.as_bytes(), query_byte, out);
                    skip_ampersand = false;
                }
                piece => piece.write(parts, query_byte, out),
            }
        }
        if out.len() == mark + 1 {
            out.truncate(mark);
        }
    }

    /// Whether only the query, or nothing, differs from the request's URL.
    fn leads_back(&self) -> bool {
        let same_origin = self.origin.as_ref().is_none_or(|origin| {
            origin.protocol == Piece::Protocol
                && *origin.host == [Piece::Host]
                && matches!(origin.port, None | Some(Piece::Port))
        });
        same_origin && *self.path == [Piece::Text("/".into()), Piece::Path]
    }
}

impl Origin {
    fn parse(protocol: &str, authority: &str) -> Result<Origin, String> {
        let protocol = match protocol {
            "#{protocol}" => Piece::Protocol,
            "http" | "https" => Piece::Text(protocol.into()),
            other => {
                return Err(format!(
                    "the protocol is \"http\", \"https\" or \"#{{protocol}}\", not {other:?}"
                ));
            }
        };
        // The colons inside an IPv6 address are followed by its bracket.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let port = match port {
            None => None,
            Some("#{port}") => Some(Piece::Port),
            Some(digits) if digits.parse::<u16>().is_ok_and(|port| port > 0) => {
                Some(Piece::Text(digits.into()))
            }
            Some(other) => {
                return Err(format!("the port is a number or \"#{{port}}\", not {other:?}"));
            }
        };
        let host = pieces(host, "host")?;
        if host.is_empty() {
            return Err("the host is missing after \"://\"".into());
        }
        for piece in &host {
            match piece {
                Piece::Host => {}
                Piece::Text(text) if text.bytes().all(host_byte) => {}
                Piece::Text(text) => return Err(format!("{text:?} may not stand in a host")),
                Piece::Path => {
                    return Err("#{path} has no leading slash; write \"/#{path}\"".into());
                }
                Piece::Protocol | Piece::Port | Piece::Query => {
                    return Err("only #{host} may stand in the host".into());
                }
            }
        }
        Ok(Origin { protocol, host: host.into(), port })
    }

    /// Writes "https://host:port"; writes nothing and returns `false` when the host is not known.
    fn write(&self, parts: &RedirectParts<'_>, out: &mut Vec<u8>) -> bool {
        if parts.host.is_empty() && self.host.contains(&Piece::Host) {
            return false;
        }
        let start = out.len();
        self.protocol.write(parts, |byte| byte.is_ascii_alphanumeric(), out);
        let default = default_port(out.get(start..).unwrap_or_default());
        out.extend_from_slice(b"://");
        for piece in &self.host {
            piece.write(parts, host_byte, out);
        }
        let port = match &self.port {
            Some(Piece::Text(digits)) => digits.as_bytes(),
            // The default port of the request's own protocol becomes the default of any protocol.
            Some(_) if parts.port != default_port(parts.protocol) => parts.port,
            Some(_) | None => b"",
        };
        if !port.is_empty() && port != default {
            out.push(b':');
            push_encoded(port, |byte| byte.is_ascii_digit(), out);
        }
        true
    }
}

impl Piece {
    fn write(&self, parts: &RedirectParts<'_>, allowed: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
        let value = match self {
            Piece::Text(text) => text.as_bytes(),
            Piece::Protocol => parts.protocol,
            Piece::Host => parts.host,
            Piece::Port => parts.port,
            Piece::Path => parts.path.strip_prefix(b"/").unwrap_or(parts.path),
            Piece::Query => parts.query.unwrap_or_default(),
        };
        push_encoded(value, allowed, out);
    }
}

/// Splits a component of a template.
fn pieces(mut text: &str, component: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    while !text.is_empty() {
        let at = text.find('#').unwrap_or(text.len());
        let (plain, rest) = text.split_at(at);
        if let Some(wrong) = plain.chars().find(|&c| !c.is_ascii() || !literal_byte(c as u8)) {
            return Err(format!(
                "{wrong:?} may not stand in the {component} of a redirect; percent-encode it"
            ));
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain.into()));
        }
        if rest.is_empty() {
            break;
        }
        let Some((name, piece)) = PLACEHOLDERS.iter().find(|(name, _)| rest.starts_with(name))
        else {
            let end = rest.find('}').map_or(rest.len(), |end| end + 1);
            return Err(format!(
                "{:?} is no placeholder; allowed are #{{protocol}}, #{{host}}, #{{port}}, #{{path}} and \
                 #{{query}}",
                rest.get(..end).unwrap_or(rest)
            ));
        };
        pieces.push(piece.clone());
        text = rest.get(name.len()..).unwrap_or_default();
    }
    Ok(pieces)
}

#[expect(clippy::indexing_slicing, reason = "four bits, sixteen digits")]
fn push_encoded(bytes: &[u8], allowed: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if allowed(byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(&[
                b'%',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]);
        }
    }
}

fn default_port(protocol: &[u8]) -> &'static [u8] {
    match protocol {
        b"https" => b"443",
        b"http" => b"80",
        _ => b"",
    }
}

/// RFC 3986 §2.2 and §2.3, without the delimiters that end a component.
fn component_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

fn host_byte(byte: u8) -> bool {
    component_byte(byte) || matches!(byte, b'[' | b']' | b':')
}

fn path_byte(byte: u8) -> bool {
    component_byte(byte) || matches!(byte, b':' | b'@' | b'/' | b'%')
}

fn query_byte(byte: u8) -> bool {
    path_byte(byte) || byte == b'?'
}

fn literal_byte(byte: u8) -> bool {
    query_byte(byte) || matches!(byte, b'[' | b']')
}

impl fmt::Display for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redirect {} to {}", self.status, self.template)
    }
}
