//! What the Set-Cookie field values of one scope have in common: all but the sealed value, and what deletes it.
//!
//! Computed when a snapshot is compiled. Attributes: `Path`, `Domain` if set, `Max-Age` (the idle duration, a
//! hint; what counts is inside the box), `HttpOnly`; over TLS `Secure`, `SameSite` and, if set, `Partitioned`.
//! Browsers refuse `SameSite=None` and `Partitioned` without `Secure` (RFC 6265bis §5.6), so without TLS these
//! two are left out and the browser's default, Lax, applies. Tested with `set_cookie`.

use super::cookie::Scope;
use super::options::{SameSite, StickinessFault, StickinessOptions};

/// What follows the name of the cookie to make its twin's.
const TWIN_SUFFIX: &str = "_cors";
const DELETION: &str = "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";

/// One cookie's name and what follows its value.
#[derive(Debug)]
pub(super) struct Line {
    name: Box<[u8]>,
    /// `Max-Age` and the rest, over TLS and without.
    secure: Box<[u8]>,
    clear: Box<[u8]>,
    deletion_secure: Box<[u8]>,
    deletion_clear: Box<[u8]>,
}

impl Line {
    fn new(name: &str, options: &StickinessOptions, same_site: SameSite) -> Line {
        let hint = format!("; Max-Age={}", options.duration.as_secs());
        let attributes = |lifetime: &str, is_secure: bool| {
            let mut text = format!("; Path={}{lifetime}", options.path);
            if let Some(domain) = &options.domain {
                text.push_str("; Domain=");
                text.push_str(domain);
            }
            text.push_str("; HttpOnly");
            if is_secure {
                text.push_str("; Secure");
            }
            text.push_str(match same_site {
                SameSite::Lax => "; SameSite=Lax",
                SameSite::Strict => "; SameSite=Strict",
                SameSite::None if is_secure => "; SameSite=None",
                SameSite::None => "",
            });
            if options.partitioned && is_secure {
                text.push_str("; Partitioned");
            }
            text.into_bytes().into_boxed_slice()
        };
        Line {
            name: name.as_bytes().into(),
            secure: attributes(&hint, true),
            clear: attributes(&hint, false),
            deletion_secure: attributes(DELETION, true),
            deletion_clear: attributes(DELETION, false),
        }
    }

    pub(super) fn write(&self, value: &[u8], https: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.name);
        out.push(b'=');
        out.extend_from_slice(value);
        out.extend_from_slice(if https { &self.secure } else { &self.clear });
    }

    pub(super) fn write_deletion(&self, https: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.name);
        out.push(b'=');
        out.extend_from_slice(if https { &self.deletion_secure } else { &self.deletion_clear });
    }
}

/// The cookies of one scope.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) own: Line,
    pub(super) twin: Option<Line>,
}

impl Lines {
    /// Checks what could break out of an attribute or be refused by every browser.
    pub(super) fn new(
        options: &StickinessOptions,
        scope: &Scope,
    ) -> Result<Lines, StickinessFault> {
        let name = match &options.cookie_name {
            Some(name) => name.to_string(),
            None => format!("limpet_{}", scope.name()),
        };
        if name.is_empty() || !name.bytes().all(is_token_byte) {
            return Err(StickinessFault::CookieName(name.into()));
        }
        if let Some(domain) = &options.domain
            && !is_domain(domain)
        {
            return Err(StickinessFault::Domain(domain.clone()));
        }
        if !is_path(&options.path) {
            return Err(StickinessFault::Path(options.path.clone()));
        }
        let has_host_prefix =
            name.get(..7).is_some_and(|prefix| prefix.eq_ignore_ascii_case("__host-"));
        if has_host_prefix && (options.domain.is_some() || &*options.path != "/") {
            return Err(StickinessFault::HostPrefix);
        }
        let twin = options
            .cross_site_twin
            .then(|| Line::new(&format!("{name}{TWIN_SUFFIX}"), options, SameSite::None));
        Ok(Lines { own: Line::new(&name, options, options.same_site), twin })
    }

    pub(super) fn name(&self) -> &[u8] {
        &self.own.name
    }

    pub(super) fn twin_name(&self) -> Option<&[u8]> {
        self.twin.as_ref().map(|twin| &*twin.name)
    }
}

/// RFC 9110 §5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_domain(text: &str) -> bool {
    let labels = text.strip_prefix('.').unwrap_or(text);
    !labels.is_empty()
        && labels.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';')
}
