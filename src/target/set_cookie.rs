//! The Set-Cookie field values that limpet sends: its own cookie, the cross-site twin, their deletion.
//!
//! Everything but the sealed value is computed when a snapshot is compiled; writing is two or three copies
//! into the caller's buffer and one sealing. Never writes a field name or a line end. Tested beside it.
//!
//! Attributes: `Path`, `Domain` if set, `Max-Age` (the idle duration, a hint; what counts is inside the
//! box), `HttpOnly`; over TLS `Secure`, `SameSite` and, if set, `Partitioned`. Browsers refuse
//! `SameSite=None` and `Partitioned` without `Secure` (RFC 6265bis §5.6), so without TLS these two are left
//! out and the browser's default, Lax, applies.

use super::cookie::{Plain, Scope};
use super::stickiness::{SameSite, Stickiness, StickinessFault, StickinessOptions};

/// Value of the Cache-Control field for a response that carries limpet's cookie and has none of its own:
/// shared caches must not store it.
pub const CACHE_CONTROL: &[u8] = b"private";

/// What follows the name of the cookie to make its twin's.
const TWIN_SUFFIX: &str = "_cors";
const DELETION: &str = "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";

/// Whom a session belongs to: what a cookie is issued for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment {
    pub generation: u32,
    /// Keys of the group, the target and the home target.
    pub group: u64,
    pub target: u64,
    pub home: u64,
    pub session: u128,
    pub issued_s: u64,
}

impl Assignment {
    /// What is sealed when the session is seen at `now_s`.
    pub fn seen(&self, now_s: u64) -> Plain {
        Plain {
            generation: self.generation,
            group: self.group,
            target: self.target,
            home: self.home,
            session: self.session,
            issued_s: self.issued_s,
            last_seen_s: now_s,
        }
    }
}

/// One cookie's name and what follows its value.
#[derive(Debug)]
struct Line {
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

    fn write(&self, value: &[u8], https: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.name);
        out.push(b'=');
        out.extend_from_slice(value);
        out.extend_from_slice(if https { &self.secure } else { &self.clear });
    }

    fn write_deletion(&self, https: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.name);
        out.push(b'=');
        out.extend_from_slice(if https { &self.deletion_secure } else { &self.deletion_clear });
    }
}

/// The cookies of one scope.
#[derive(Debug)]
pub(super) struct Lines {
    own: Line,
    twin: Option<Line>,
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

impl Stickiness {
    /// Appends the value of a Set-Cookie field. `nonce` must be fresh random bytes; `https` says how the
    /// client reached us. `false`, with nothing appended, only if the cryptographic library refuses.
    pub fn write_set_cookie(
        &self,
        assignment: &Assignment,
        now_s: u64,
        https: bool,
        nonce: [u8; 12],
        out: &mut Vec<u8>,
    ) -> bool {
        self.write_line(Some(&self.lines.own), assignment, now_s, https, nonce, out)
    }

    /// Appends the value of the twin's Set-Cookie field, which needs another nonce. `false`, with nothing
    /// appended, when there is no twin or the client came without TLS, where browsers would refuse it.
    pub fn write_twin_set_cookie(
        &self,
        assignment: &Assignment,
        now_s: u64,
        https: bool,
        nonce: [u8; 12],
        out: &mut Vec<u8>,
    ) -> bool {
        let twin = self.lines.twin.as_ref().filter(|_| https);
        self.write_line(twin, assignment, now_s, https, nonce, out)
    }

    fn write_line(
        &self,
        line: Option<&Line>,
        assignment: &Assignment,
        now_s: u64,
        https: bool,
        nonce: [u8; 12],
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(line) = line else { return false };
        let Some(value) = self.codec().seal(&assignment.seen(now_s), nonce) else { return false };
        line.write(&value, https, out);
        true
    }

    /// Appends the value of a Set-Cookie field that deletes the cookie.
    pub fn write_deletion(&self, https: bool, out: &mut Vec<u8>) {
        self.lines.own.write_deletion(https, out);
    }

    /// The same for the twin; `false`, with nothing appended, as for [`Self::write_twin_set_cookie`].
    pub fn write_twin_deletion(&self, https: bool, out: &mut Vec<u8>) -> bool {
        let Some(twin) = self.lines.twin.as_ref().filter(|_| https) else { return false };
        twin.write_deletion(https, out);
        true
    }
}

#[cfg(test)]
#[path = "set_cookie_tests.rs"]
mod tests;
