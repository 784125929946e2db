//! The kinds of requests whose instructions are counted.
//!
//! Owns: what each sends, what it is answered, and how often. Never: a request that differs from the one before it.
//! Tested here, and by `mod.rs`, whose file has a count for each.

use crate::compare::render::HOST;
use crate::compare::talk::Field;
use crate::http2::encoder::Keep;

const USER_AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64)";

/// Content of the large ones.
const MEBIBYTE: usize = 1024 * 1024;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its name in the file.
    pub name: &'static str,
    /// Method.
    pub method: &'static str,
    /// Path and query.
    pub path: &'static str,
    /// How a user who has been here before is known.
    pub known: Known,
    /// Bytes of the request's content.
    pub body_size: usize,
    /// A connection for each.
    pub close: bool,
    /// Whether clients speak TLS, and whether they resume sessions.
    pub tls: Tls,
    /// Status that the target answers with.
    pub status: u16,
    /// Bytes of the response's content.
    pub answer_size: usize,
    /// Whether that comes as a chunk.
    pub chunked: bool,
    /// How many are counted at a time.
    pub count: usize,
    /// Over HTTP/2, so many streams at a time; 0: over HTTP/1.1.
    pub streams: usize,
    /// Whether targets speak HTTP/2.
    pub to_http2: bool,
}

/// How clients speak TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    No,
    /// With a handshake for each connection.
    Whole,
    /// With a ticket of the connection before.
    Resumed,
}

/// How a user is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Not at all.
    No,
    /// By limpet's cookie.
    ByCookie,
    /// By the target's session id in a field, which each response names again.
    ByField,
}

/// The field of [`Known::ByField`].
pub const SESSION_FIELD: &str = "Mcp-Session-Id";
const SESSION_ID: &str = "4f6c1e0a9b7d42538f10c2d3e4a5b697";

const GET: Kind = Kind {
    name: "get-sticky",
    method: "GET",
    path: "/some/path?x=1",
    known: Known::ByCookie,
    body_size: 0,
    close: false,
    tls: Tls::No,
    status: 200,
    answer_size: 64,
    chunked: false,
    count: 300,
    streams: 0,
    to_http2: false,
};

/// A whole number of batches of it.
const MANY: Kind = Kind { name: "h2-get-sticky-32", streams: 32, count: 320, ..GET };

/// All of them.
pub const KINDS: [Kind; 18] = [
    GET,
    Kind { name: "get-first-visit", known: Known::No, ..GET },
    Kind { name: "get-app-header", known: Known::ByField, ..GET },
    Kind { name: "get-connection-each", close: true, ..GET },
    Kind { name: "get-sticky-tls", tls: Tls::Whole, ..GET },
    Kind { name: "get-tls-connection-each", close: true, tls: Tls::Whole, count: 60, ..GET },
    Kind { name: "get-tls-resumed-each", close: true, tls: Tls::Resumed, count: 60, ..GET },
    Kind { name: "head", method: "HEAD", ..GET },
    Kind { name: "not-modified", status: 304, answer_size: 0, ..GET },
    Kind { name: "post-small", method: "POST", body_size: 200, ..GET },
    Kind { name: "get-chunked", answer_size: 4096, chunked: true, ..GET },
    // limpet answers this one itself.
    Kind { name: "own-answer", path: "/ping", ..GET },
    Kind { name: "get-1-mib", answer_size: MEBIBYTE, count: 30, ..GET },
    Kind { name: "post-1-mib", method: "POST", body_size: MEBIBYTE, count: 30, ..GET },
    Kind { name: "h2-get-sticky", streams: 1, ..GET },
    MANY,
    Kind { name: "h2-get-sticky-tls-32", tls: Tls::Whole, ..MANY },
    Kind { name: "h2-to-h2", to_http2: true, ..MANY },
];

impl Kind {
    /// Requests that are asked together, and answered together.
    pub fn batch(&self) -> usize {
        self.streams.max(1)
    }

    /// The request's fields over HTTP/2, with the cookie of a user who returns. Those that come again are indexed, as
    /// browsers do; the cookie is not, since each request is another user's.
    pub fn fields<'a>(&self, cookie: &'a str) -> Vec<Field<'a>> {
        let scheme = if self.tls == Tls::No { "http" } else { "https" };
        let mut fields = vec![
            (":method", self.method, Keep::Yes),
            (":scheme", scheme, Keep::Yes),
            (":authority", HOST, Keep::Yes),
            (":path", self.path, Keep::Yes),
            ("user-agent", USER_AGENT, Keep::Yes),
            ("accept", "*/*", Keep::Yes),
        ];
        if !cookie.is_empty() {
            fields.push(("cookie", cookie, Keep::No));
        }
        fields
    }

    /// The request's bytes, with the cookie or the session id of a user who returns.
    pub fn request(&self, token: &str) -> Vec<u8> {
        let mut text = format!(
            "{} {} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\n",
            self.method, self.path
        );
        match self.known {
            Known::No => {}
            Known::ByCookie => text.push_str(&format!("Cookie: {token}\r\n")),
            Known::ByField => text.push_str(&format!("{SESSION_FIELD}: {token}\r\n")),
        }
        if self.body_size > 0 {
            text.push_str(&format!("Content-Length: {}\r\n", self.body_size));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.resize(bytes.len() + self.body_size, b'x');
        bytes
    }

    /// What a target answers a first visit.
    pub fn welcome(&self) -> Vec<u8> {
        let field = self.session_line();
        format!("200 OK\r\n{field}Content-Length: 0\r\n\r\n").into_bytes()
    }

    fn session_line(&self) -> String {
        match self.known {
            Known::No | Known::ByCookie => String::new(),
            Known::ByField => format!("{SESSION_FIELD}: {SESSION_ID}\r\n"),
        }
    }

    /// What a target answers: status and the end of its line, fields, content.
    pub fn answer(&self) -> Vec<u8> {
        let mut text = match self.status {
            304 => "304 Not Modified\r\nETag: \"1\"\r\n".to_owned(),
            status => format!("{status} OK\r\nContent-Type: text/plain\r\n"),
        };
        text.push_str(&self.session_line());
        match (self.status, self.chunked) {
            (304, _) => {}
            (_, true) => text.push_str("Transfer-Encoding: chunked\r\n"),
            (_, false) => text.push_str(&format!("Content-Length: {}\r\n", self.answer_size)),
        }
        text.push_str("\r\n");
        if self.method == "HEAD" || self.status == 304 {
            return text.into_bytes();
        }
        if self.chunked {
            text.push_str(&format!("{:x}\r\n", self.answer_size));
        }
        let mut bytes = text.into_bytes();
        bytes.resize(bytes.len() + self.answer_size, b'y');
        if self.chunked {
            bytes.extend_from_slice(b"\r\n0\r\n\r\n");
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one() {
        for kind in KINDS {
            let bytes = kind.request("a=b");
            let mut storage = [httparse::EMPTY_HEADER; 16];
            let mut request = httparse::Request::new(&mut storage);
            let head = request.parse(&bytes).unwrap().unwrap();
            assert_eq!(bytes.len() - head, kind.body_size, "{}", kind.name);
        }
    }

    #[test]
    fn an_answer_is_one() {
        for kind in KINDS {
            let bytes = [b"HTTP/1.1 ".as_slice(), &kind.answer()].concat();
            let mut storage = [httparse::EMPTY_HEADER; 16];
            let mut response = httparse::Response::new(&mut storage);
            let head = response.parse(&bytes).unwrap().unwrap();
            let content = bytes.len() - head;
            match (kind.method, kind.status, kind.chunked) {
                ("HEAD", ..) | (_, 304, _) => assert_eq!(content, 0, "{}", kind.name),
                (_, _, true) => assert!(content > kind.answer_size, "{}", kind.name),
                _ => assert_eq!(content, kind.answer_size, "{}", kind.name),
            }
        }
    }
}
