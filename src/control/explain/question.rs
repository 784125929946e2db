//! The head that a question describes, as it would come from the client.
//!
//! Lenient about how it was pasted, never about its content: the parser that serves requests judges the request itself.
//! Tested below.

use super::Question;

/// The whole head, with its empty line.
///
/// # Errors
/// A sentence when the text contains no request.
pub(super) fn head(question: &Question) -> Result<String, String> {
    let mut lines = question.request.lines().map(str::trim_end);
    let first = lines.by_ref().map(str::trim).find(|line| !line.is_empty());
    let Some(first) = first else {
        return Err("there is no request; write one as in 'GET /path', a cookie, or a field line"
            .to_owned());
    };
    let bare = match bare_cookie(first) {
        Some(cookie) => Some(format!("Cookie: {cookie}")),
        None => is_field_line(first).then(|| first.to_owned()),
    };
    let mut line = if bare.is_some() { "GET /".to_owned() } else { first.to_owned() };
    if !line.rsplit(' ').next().is_some_and(|last| last.starts_with("HTTP/")) {
        line.push_str(" HTTP/1.1");
    }
    let pasted = lines.take_while(|line| !line.is_empty());
    let headers = question.headers.iter().map(String::as_str);
    let fields: Vec<&str> = bare.as_deref().into_iter().chain(pasted).chain(headers).collect();
    let has_host = fields
        .iter()
        .any(|field| field.get(..5).is_some_and(|name| name.eq_ignore_ascii_case("host:")));
    let mut head = format!("{line}\r\n");
    if !has_host && line.ends_with("HTTP/1.1") {
        // In absolute-form Host must be equal (RFC 9112 §3.2.2).
        let authority = line.split(' ').nth(1).and_then(|target| {
            let (_, rest) = target.split_once("://")?;
            rest.split(['/', '?']).next()
        });
        head.push_str(&format!("Host: {}\r\n", authority.unwrap_or("localhost")));
    }
    for field in fields {
        head.push_str(field);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    Ok(head)
}

/// The cookies of a line that is no request line: `name=value; …`, alone or with the field's name before it.
fn bare_cookie(line: &str) -> Option<&str> {
    for name in ["cookie:", "set-cookie:"] {
        if line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
            return line.get(name.len()..).map(str::trim);
        }
    }
    // A method has no "=" (RFC 9110 §5.6.2), a pair of a cookie has one.
    line.split(' ').next().is_some_and(|first| first.contains('=')).then_some(line)
}

/// A method has no ":" (RFC 9110 §5.6.2), a field line has one behind its name.
fn is_field_line(line: &str) -> bool {
    let is_tchar = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    line.split_once(':').is_some_and(|(name, _)| !name.is_empty() && name.chars().all(is_tchar))
}

#[cfg(test)]
mod tests {
    use crate::control::explain::question::*;

    fn asked(request: &str, headers: &[&str]) -> String {
        let question = Question {
            request: request.to_owned(),
            headers: headers.iter().map(|&line| line.to_owned()).collect(),
            listener: None,
            source: super::super::loopback(),
            sni: None,
            client_certificate: false,
        };
        head(&question).unwrap()
    }

    #[test]
    fn what_a_request_needs_is_added_and_nothing_else() {
        let cases: [(&str, &[&str], &str); 7] = [
            ("GET /a", &[], "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            (" GET /a HTTP/1.0 ", &[], "GET /a HTTP/1.0\r\n\r\n"),
            ("GET /", &["host: b"], "GET / HTTP/1.1\r\nhost: b\r\n\r\n"),
            ("GET http://c/x", &[], "GET http://c/x HTTP/1.1\r\nHost: c\r\n\r\n"),
            ("GET /?a=b", &[], "GET /?a=b HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            (
                "POST / HTTP/1.1\r\nHost: d\r\nX: y\r\n\r\ncontent",
                &["Z: 1"],
                "POST / HTTP/1.1\r\nHost: d\r\nX: y\r\nZ: 1\r\n\r\n",
            ),
            (
                "\nGET /\nCookie: a=b\n",
                &[],
                "GET / HTTP/1.1\r\nHost: localhost\r\nCookie: a=b\r\n\r\n",
            ),
        ];
        for (request, headers, expected) in cases {
            assert_eq!(asked(request, headers), expected, "{request:?}");
        }
    }

    #[test]
    fn a_cookie_alone_is_a_request_that_carries_it() {
        let head =
            |cookie: &str| format!("GET / HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n");
        assert_eq!(asked("limpet_app=AQAB", &[]), head("limpet_app=AQAB"));
        assert_eq!(asked("a=b; limpet_app=AQAB", &[]), head("a=b; limpet_app=AQAB"));
        assert_eq!(asked("Cookie: limpet_app=AQAB", &[]), head("limpet_app=AQAB"));
        assert_eq!(asked("set-cookie: a=b; Path=/", &[]), head("a=b; Path=/"));
    }

    #[test]
    fn field_lines_alone_are_a_request_that_carries_them() {
        let session = "Mcp-Session-Id: 1=2.AQAB";
        let with = |fields: &str| format!("GET / HTTP/1.1\r\n{fields}\r\n");
        assert_eq!(asked(session, &[]), with("Host: localhost\r\nMcp-Session-Id: 1=2.AQAB\r\n"));
        let both = with("Host: a\r\nMcp-Session-Id: 1=2.AQAB\r\n");
        assert_eq!(asked(&format!("Host: a\r\n{session}\r\n"), &[]), both);
        assert_eq!(
            asked("GET http://c:80/", &[]),
            "GET http://c:80/ HTTP/1.1\r\nHost: c:80\r\n\r\n"
        );
    }

    #[test]
    fn nothing_is_no_request() {
        let question = Question {
            request: " \n".to_owned(),
            headers: Vec::new(),
            listener: None,
            source: super::super::loopback(),
            sni: None,
            client_certificate: false,
        };
        assert!(head(&question).unwrap_err().contains("no request"));
    }
}
