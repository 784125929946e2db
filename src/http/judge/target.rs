//! The target of a request: the four forms of a request-target (RFC 9112 §3.2) and the pseudo-fields that replaced them
//! (RFC 9113 §8.3.1), split in place.

use crate::http::fields::eq_ignore_case;
use crate::http::head::{Method, Mode, RequestTarget};
use crate::http::refusal::Refusal;

/// The source of a request's target.
#[derive(Debug, Clone, Copy)]
pub enum Target<'b> {
    /// On a request line, in one of four forms (RFC 9112 §3.2): no control, no space, UTF-8, not empty.
    Line(&'b [u8]),
    /// In pseudo-fields (RFC 9113 §8.3.1): any bytes.
    #[cfg_attr(
        not(feature = "internals"),
        allow(dead_code, reason = "a decoder of HTTP/2 says it")
    )]
    Parts { scheme: &'b [u8], authority: Option<&'b [u8]>, path: &'b [u8] },
}

/// Splits and judges a target; also returns whether its scheme is https, if it has one.
#[inline(always)]
pub(super) fn judge<'b>(
    target: Target<'b>,
    method: Method,
    mode: Mode,
    anomaly: &mut Option<&'static str>,
) -> Result<(RequestTarget<'b>, bool), Refusal> {
    match target {
        Target::Line(raw) => {
            let target = split(raw, method, mode, anomaly)?;
            // `https` differs from `http` in its fifth letter.
            let is_https = raw.get(4).is_some_and(|byte| byte | 0x20 == b's');
            Ok((target, is_https))
        }
        Target::Parts { scheme, authority, path } => {
            let is_https = eq_ignore_case(scheme, b"https");
            if !is_https && !eq_ignore_case(scheme, b"http") {
                return Err(Refusal::BadRequestTargetForm);
            }
            // Every byte is looked at, so that the compiler can look at many at once.
            let has_odd =
                path.iter().fold(false, |odd, byte| odd | (*byte <= b' ' || *byte == 0x7f));
            if has_odd || std::str::from_utf8(path).is_err() {
                return Err(Refusal::BadRequestTarget);
            }
            if !matches!(path, [b'/', ..] | b"*") {
                return Err(Refusal::BadRequestTargetForm);
            }
            let target = split(path, method, mode, anomaly)?;
            if authority.is_some_and(|authority| memchr::memchr(b'@', authority).is_some()) {
                return Err(Refusal::UserInfo);
            }
            Ok((RequestTarget { authority, ..target }, is_https))
        }
    }
}

/// Splits and judges a target that has no control and no space and is not empty.
///
/// Visible ASCII passes as browsers send it, although RFC 3986 would have some of it encoded
/// (`|`, `"`, `{`); a fragment never does. Percent-encoding is judged by routing.
#[inline(always)]
fn split<'b>(
    raw: &'b [u8],
    method: Method,
    mode: Mode,
    anomaly: &mut Option<&'static str>,
) -> Result<RequestTarget<'b>, Refusal> {
    let mark = memchr::memchr2(b'?', b'#', raw).and_then(|at| raw.split_at_checked(at));
    let (path, query) = match mark {
        None => (raw, None),
        Some((path, [b'?', query @ ..])) if memchr::memchr(b'#', query).is_none() => {
            (path, Some(query))
        }
        Some(_) => return Err(Refusal::BadRequestTarget),
    };
    if !raw.is_ascii() {
        if mode == Mode::Strict {
            return Err(Refusal::BadRequestTarget);
        }
        *anomaly = anomaly.or(Some("target_not_ascii"));
    }
    match raw {
        [b'/', ..] => Ok(RequestTarget { raw, authority: None, path, query }),
        b"*" if method == Method::Options => {
            Ok(RequestTarget { raw, authority: None, path: b"*", query: None })
        }
        _ => absolute(raw, method).ok_or(Refusal::BadRequestTargetForm).and_then(|target| {
            match target.authority {
                Some(authority) if authority.contains(&b'@') => Err(Refusal::UserInfo),
                _ => Ok(target),
            }
        }),
    }
}

/// Path and query, without the first "?".
fn split_query(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', text) {
        Some(mark) => {
            let (path, query) = text.split_at(mark);
            (path, query.get(1..))
        }
        None => (text, None),
    }
}

/// absolute-form with a scheme that limpet speaks (RFC 9112 §3.2.2).
fn absolute(raw: &[u8], method: Method) -> Option<RequestTarget<'_>> {
    let rest = [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        let (start, rest) = raw.split_at_checked(scheme.len())?;
        eq_ignore_case(start, scheme).then_some(rest)
    })?;
    let authority_end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
    let (authority, after) = rest.split_at_checked(authority_end)?;
    let (path, query) = split_query(after);
    let path = match (path, query, method) {
        // RFC 9112 §3.2.4: OPTIONS without path and query asks about the whole server.
        ([], None, Method::Options) => &b"*"[..],
        ([], _, _) => &b"/"[..],
        (path, _, _) => path,
    };
    Some(RequestTarget { raw, authority: Some(authority), path, query })
}
