//! Which parts of a path, a referer or a redirect may stand in the log: values of queries may be secrets.
//!
//! | | `redact` | `remove` |
//! |---|---|---|
//! | query | names stay, each value becomes `***`; a part without "=" becomes `***` | goes, with its "?" |
//! | fragment | becomes `***` | goes, with its "#" |
//! | user and password before a host | become `***` | go, with their "@" |
//!
//! `keep` leaves everything. Works on the received bytes, cut ones too. Tested by a table.
use crate::telemetry::options::LogQuery;

const HIDDEN: &[u8] = b"***";
/// A text shorter than this is searched faster byte by byte than by a vector search.
const SHORT_BYTES: usize = 32;

/// Writes `url`, absolute or beginning with its path, into `out`, cleared first, with the changes that `query` asks
/// for. Returns the text to log: `url` itself when nothing in it has to change.
pub fn redact<'a>(url: &'a [u8], query: LogQuery, out: &'a mut Vec<u8>) -> &'a [u8] {
    let is_removed = match query {
        LogQuery::Keep => return url,
        LogQuery::Redact => false,
        LogQuery::Remove => true,
    };
    if url.is_empty() {
        return url;
    }
    // One search finds any part that may have to change, and mostly there is none.
    let Some(first) = first_of_note(url) else { return url };
    let has_at = url.get(first) == Some(&b'@');
    let tail_at =
        if has_at { memchr::memchr2(b'?', b'#', url).unwrap_or(url.len()) } else { first };
    let (before, tail) = url.split_at_checked(tail_at).unwrap_or((url, b""));
    let user = if has_at { user_of(before) } else { None };
    if tail.is_empty() && user.is_none() {
        return url;
    }
    out.clear();
    match user {
        Some((scheme, rest)) => {
            out.extend_from_slice(scheme);
            if !is_removed {
                out.extend_from_slice(HIDDEN);
                out.push(b'@');
            }
            out.extend_from_slice(rest);
        }
        None => out.extend_from_slice(before),
    }
    if !is_removed {
        push_tail(tail, out);
    }
    out
}

/// Where the first query, fragment or user may begin.
fn first_of_note(url: &[u8]) -> Option<usize> {
    if url.len() < SHORT_BYTES {
        url.iter().position(|byte| matches!(byte, b'?' | b'#' | b'@'))
    } else {
        memchr::memchr3(b'?', b'#', b'@', url)
    }
}

/// The text before user and password, and the text behind their "@".
fn user_of(before: &[u8]) -> Option<(&[u8], &[u8])> {
    let authority_at = memchr::memmem::find(before, b"//")? + 2;
    // A double slash inside a path begins no authority.
    let is_authority = authority_at == 2 || before.get(..authority_at)?.ends_with(b"://");
    let (scheme, rest) = before.split_at_checked(authority_at).filter(|_| is_authority)?;
    let authority = rest.split(|&byte| byte == b'/').next()?;
    let at = memchr::memrchr(b'@', authority)?;
    Some((scheme, rest.get(at + 1..)?))
}

/// "?query#fragment", either of which may be absent.
fn push_tail(tail: &[u8], out: &mut Vec<u8>) {
    let fragment_at = memchr::memchr(b'#', tail).unwrap_or(tail.len());
    let (query, fragment) = tail.split_at_checked(fragment_at).unwrap_or((tail, b""));
    if let Some(parts) = query.strip_prefix(b"?") {
        let mut separator = b'?';
        for part in parts.split(|&byte| byte == b'&') {
            out.push(separator);
            separator = b'&';
            if let Some(equals) = part.iter().position(|&byte| byte == b'=') {
                out.extend_from_slice(part.get(..=equals).unwrap_or_default());
            }
            if !part.is_empty() {
                out.extend_from_slice(HIDDEN);
            }
        }
    }
    if !fragment.is_empty() {
        out.push(b'#');
        out.extend_from_slice(HIDDEN);
    }
}

#[cfg(test)]
mod tests {
    use crate::telemetry::format::redact::*;

    fn redacted(url: &str, query: LogQuery) -> String {
        let mut out = b"from before".to_vec();
        String::from_utf8(redact(url.as_bytes(), query, &mut out).to_vec()).expect("UTF-8")
    }

    #[test]
    fn values_go_and_names_stay() {
        for (url, hidden, removed) in [
            ("", "", ""),
            ("/", "/", "/"),
            ("*", "*", "*"),
            ("/x?a=1&b=secret", "/x?a=***&b=***", "/x"),
            ("/x?token", "/x?***", "/x"),
            ("/x?a=b=c&&d&=e&f=", "/x?a=***&&***&=***&f=***", "/x"),
            ("/x?", "/x?", "/x"),
            ("/x?a=http://u:p@h/?b=c", "/x?a=***", "/x"),
            ("/x?a=1?b=2", "/x?a=***", "/x"),
            ("/x#part", "/x#***", "/x"),
            ("/x?a=1#b=2&c", "/x?a=***#***", "/x"),
            ("/x#f?a=1", "/x#***", "/x"),
            ("https://h/x?a=1", "https://h/x?a=***", "https://h/x"),
            ("https://user:pass@h:8/x", "https://***@h:8/x", "https://h:8/x"),
            ("https://user@h?a=1#f", "https://***@h?a=***#***", "https://h"),
            ("https://a@b@h/p@q", "https://***@h/p@q", "https://h/p@q"),
            ("//u:p@h/", "//***@h/", "//h/"),
            ("/mail/me@h", "/mail/me@h", "/mail/me@h"),
            ("/a//b@c", "/a//b@c", "/a//b@c"),
            ("https://h/a//u@c", "https://h/a//u@c", "https://h/a//u@c"),
        ] {
            assert_eq!(redacted(url, LogQuery::Redact), hidden, "{url}");
            assert_eq!(redacted(url, LogQuery::Remove), removed, "{url}");
            assert_eq!(redacted(url, LogQuery::Keep), url);
        }
    }
}
