//! The kinds of requests whose instructions are counted.
//!
//! Owns: what each sends, and how often. Never: a request that differs from the one before it. Tested by
//! `mod.rs`, whose file has a count for each.

use crate::compare::render::HOST;

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
    /// Whether the user has been here before and sends the cookie.
    pub returning: bool,
    /// Bytes of content.
    pub body_size: usize,
    /// A connection for each.
    pub close: bool,
    /// How many are counted.
    pub count: usize,
    /// Status that must come.
    pub status: u16,
}

const GET: Kind = Kind {
    name: "get-sticky",
    method: "GET",
    path: "/some/path?x=1",
    returning: true,
    body_size: 0,
    close: false,
    count: 400,
    status: 200,
};

/// All of them.
pub const KINDS: [Kind; 10] = [
    GET,
    Kind { name: "get-first-visit", returning: false, ..GET },
    Kind { name: "get-connection-each", close: true, count: 200, ..GET },
    Kind { name: "head", method: "HEAD", ..GET },
    Kind { name: "not-modified", path: "/some/path?status=304", status: 304, ..GET },
    Kind { name: "post-small", method: "POST", body_size: 200, ..GET },
    Kind { name: "get-chunked", path: "/some/path?size=4096&chunked=1", ..GET },
    Kind { name: "own-answer", path: "/ping", ..GET },
    Kind { name: "get-1-mib", path: "/some/path?size=1048576", count: 40, ..GET },
    Kind { name: "post-1-mib", method: "POST", body_size: MEBIBYTE, count: 40, ..GET },
];

impl Kind {
    /// The request's bytes, with a cookie when the user returns.
    pub fn request(&self, cookie: &str) -> Vec<u8> {
        let mut text = format!(
            "{} {} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\n",
            self.method, self.path
        );
        if self.returning {
            text.push_str(&format!("Cookie: {cookie}\r\n"));
        }
        if self.body_size > 0 {
            text.push_str(&format!("Content-Length: {}\r\n", self.body_size));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.resize(bytes.len() + self.body_size, b'x');
        bytes
    }
}
