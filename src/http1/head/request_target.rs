//! The four forms of a request-target, RFC 9112 §3.2, split in place.

use crate::http::fields::eq_ignore_case;
use crate::http::head::{Method, Mode, RequestTarget};
use crate::http::refusal::Refusal;

/// Splits and judges a target that httparse found: no control, no space, not empty.
///
/// Visible ASCII passes as browsers send it, although RFC 3986 would have some of it encoded
/// (`|`, `"`, `{`); a fragment never does. Percent-encoding is judged by routing.
pub(super) fn split<'b>(
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
