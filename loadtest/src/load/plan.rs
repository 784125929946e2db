//! What is sent: every kind of request rendered once, so that sending one is a copy and a few digits.
//!
//! Owns: the rendered requests and what their responses must be. Tested below.

use std::net::SocketAddr;
use std::sync::Arc;

use super::asked::{ID_DIGITS, digits};
use super::coded::Coded;
use super::options::Options;
use super::random::Random;
use super::scenario::{self, Request};
use crate::tls::speech::Speech;

/// Content up to this size is copied behind the head; larger content is sent from where it lies.
const COPIED_BYTES_MAX: usize = 16 * 1024;

/// Size of the chunks of chunked content.
const CHUNK_BYTES: usize = 8 * 1024;

/// One kind of request, rendered.
#[derive(Debug)]
pub struct Shape {
    weight: u64,
    /// Request line and fields, without cookies and without the empty line.
    head: Vec<u8>,
    /// Where in `head` the digits of the id go.
    id_at: Option<usize>,
    /// The empty line, and content that is small.
    rest: Vec<u8>,
    /// Content that is large.
    pub content: Option<Arc<[u8]>>,
    /// The same for HTTP/2.
    pub coded: Option<Coded>,
    /// The response has no content, whatever it says.
    pub bodiless: bool,
    pub expected: Expected,
    /// Shortest and longest time before the next request, in nanoseconds.
    pub think_ns: Option<(u64, u64)>,
}

/// What a response must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    status: Option<u16>,
    size: Option<u64>,
    check: bool,
}

impl Expected {
    /// The status is right: the one that was named; or any 2xx when all is checked, or else anything
    /// that is no error.
    pub fn allows_status(self, status: u16) -> bool {
        match self.status {
            Some(expected) => status == expected,
            None if self.check => (200..300).contains(&status),
            None => status < 400,
        }
    }

    pub fn allows_size(self, size: u64) -> bool {
        !self.check || self.size.is_none_or(|expected| expected == size)
    }
}

/// All that is sent, and where to.
#[derive(Debug)]
pub struct Plan {
    pub address: SocketAddr,
    pub shapes: Vec<Shape>,
    total_weight: u64,
    /// What slow clients send.
    pub slow: Shape,
    /// How TLS is spoken, if so.
    pub speech: Option<Speech>,
}

impl Plan {
    /// Renders what the options, or their scenario, ask for.
    ///
    /// # Errors
    /// In words, when the scenario cannot be read or something cannot be sent.
    pub fn new(options: &Options) -> Result<Plan, Box<dyn std::error::Error>> {
        let requests = match &options.scenario {
            Some(path) => scenario::read(path)?,
            None => vec![Request {
                upload: options.body_size,
                chunked: options.chunked,
                ..plain(&options.path, options.method())
            }],
        };
        let mut shapes = Vec::new();
        for request in requests.iter().filter(|request| request.weight > 0) {
            request.check()?;
            shapes.push(Shape::new(request, options)?);
        }
        let slow = plain(&options.slow_path, "GET");
        slow.check()?;
        let speech = options.tls.as_ref().map(|certificate| {
            Speech::new(certificate, &host(options), options.tls_version, options.tls_resume)
        });
        let speech = speech.transpose()?.map(|speech| speech.over_http2(options.http2));
        Ok(Plan {
            speech,
            address: options.address,
            total_weight: shapes.iter().map(|shape| shape.weight).sum(),
            shapes,
            slow: Shape::new(&slow, &Options { check: false, close: false, ..options.clone() })?,
        })
    }

    /// Draws the number of the next request's shape.
    pub fn draw(&self, random: &mut Random) -> usize {
        if self.shapes.len() == 1 {
            return 0;
        }
        let mut left = random.below(self.total_weight);
        let drawn = self.shapes.iter().position(|shape| match left.checked_sub(shape.weight) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        });
        drawn.unwrap_or(0)
    }
}

fn host(options: &Options) -> String {
    options.host.clone().unwrap_or_else(|| options.address.to_string())
}

fn plain(path: &str, method: &str) -> Request {
    Request {
        weight: 1,
        method: Some(method.to_owned()),
        path: path.to_owned(),
        headers: std::collections::BTreeMap::new(),
        size: None,
        status: None,
        upload: 0,
        chunked: false,
        think: None,
    }
}

impl Shape {
    fn new(request: &Request, options: &Options) -> Result<Shape, String> {
        let host = host(options);
        scenario::check_field("Host", &host)?;
        let mut head =
            format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", request.method(), request.path);
        for line in &options.header {
            let (name, value) = line.split_once(':').ok_or_else(|| {
                format!("--header {line:?} is no field line, like \"Name: value\"")
            })?;
            scenario::check_field(name, value)?;
            head += &format!("{name}: {}\r\n", value.trim());
        }
        for (name, value) in &request.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if options.close {
            head += "Connection: close\r\n";
        }
        if request.chunked {
            head += "Transfer-Encoding: chunked\r\n";
        } else if request.upload > 0 || matches!(request.method(), "POST" | "PUT" | "PATCH") {
            head += &format!("Content-Length: {}\r\n", request.upload);
        }
        let mut id_at = None;
        if options.check {
            head += "X-Echo: ";
            id_at = Some(head.len());
            head += &format!("{:0ID_DIGITS$}\r\n", 0);
        }
        let mut rest = b"\r\n".to_vec();
        let content = content(request.upload, request.chunked);
        let is_large = content.len() > COPIED_BYTES_MAX;
        if !is_large {
            rest.extend_from_slice(&content);
        }
        let nanoseconds = |time: std::time::Duration| time.as_nanos() as u64;
        Ok(Shape {
            weight: request.weight.into(),
            head: head.into_bytes(),
            id_at,
            rest,
            content: is_large.then(|| content.into()),
            coded: options.http2.then(|| Coded::new(request, &host, options)),
            bodiless: request.method() == "HEAD",
            expected: Expected {
                status: request.status,
                size: request.size.or(options.expect_size),
                check: options.check,
            },
            think_ns: request.think()?.map(|(low, high)| (nanoseconds(low), nanoseconds(high))),
        })
    }

    /// Writes one request behind what is in `out`, all but large content.
    pub fn write(&self, id: u64, cookies: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.head);
        if let Some(at) = self.id_at {
            out[start + at..start + at + ID_DIGITS].copy_from_slice(&digits(id));
        }
        if !cookies.is_empty() {
            out.extend_from_slice(b"Cookie: ");
            out.extend_from_slice(cookies);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(&self.rest);
    }
}

fn content(size: usize, chunked: bool) -> Vec<u8> {
    let bytes: Vec<u8> = (b'a'..=b'z').cycle().take(size).collect();
    if !chunked {
        return bytes;
    }
    let mut out = Vec::with_capacity(size + size / CHUNK_BYTES * 8 + 16);
    for chunk in bytes.chunks(CHUNK_BYTES) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command_line;

    fn plan(arguments: &[&str]) -> Result<Plan, String> {
        let arguments = [&["--address", "127.0.0.1:80"], arguments].concat();
        let options: Options =
            command_line::options(&arguments).map_err(|error| error.to_string())?;
        options.check_together()?;
        Plan::new(&options).map_err(|error| error.to_string())
    }

    fn written(plan: &Plan, cookies: &str) -> String {
        let mut out = Vec::new();
        plan.shapes[0].write(0xabc, cookies.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn requests_are_written_as_asked() {
        let simple = plan(&["--path", "/x?y"]).unwrap();
        assert_eq!(written(&simple, ""), "GET /x?y HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n");
        let full = plan(&[
            "--method",
            "POST",
            "--body-size",
            "3",
            "--check",
            "--close",
            "--host",
            "h",
            "--header",
            "A: b",
        ]);
        assert_eq!(
            written(&full.unwrap(), "s=1"),
            "POST / HTTP/1.1\r\nHost: h\r\nA: b\r\nConnection: close\r\nContent-Length: 3\r\n\
             X-Echo: 0000000000000abc\r\nCookie: s=1\r\n\r\nabc"
        );
        let chunked = plan(&["--method", "PUT", "--body-size", "9000", "--chunked"]).unwrap();
        let text = written(&chunked, "");
        assert!(text.contains("chunked\r\n\r\n2000\r\nabc") && text.ends_with("0\r\n\r\n"));
        let large = plan(&["--method", "PUT", "--body-size", "1000000"]).unwrap();
        assert!(written(&large, "").ends_with("Content-Length: 1000000\r\n\r\n"));
        assert_eq!(large.shapes[0].content.as_ref().unwrap().len(), 1_000_000);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (arguments, expected) in [
            (&["--threads", "65"][..], "--threads 65 is more"),
            (&["--cookie-jar", "per-session", "--sessions", "63"], "--sessions 63 is less"),
            (&["--cookie-jar", "per-session"], "--sessions"),
            (&["--sessions", "100"], "needs --cookie-jar per-session"),
            (&["--header", "nothing"], "no field line"),
            (&["--path", "x"], "must begin with /"),
            (&["--close", "--pipeline", "2"], "cannot be used with"),
            (&["--rate", "0"], "above 0"),
        ] {
            let error = plan(arguments).unwrap_err();
            assert!(error.contains(expected), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn weights_are_kept() {
        let mut plan = plan(&[]).unwrap();
        let mut other = plan_shape("/other");
        (plan.shapes[0].weight, other.weight) = (3, 1);
        plan.shapes.push(other);
        plan.total_weight = 4;
        let mut random = Random::new(1);
        let count = (0..10_000).filter(|_| plan.draw(&mut random) == 0).count();
        assert!((7_200..7_800).contains(&count), "{count}");
    }

    fn plan_shape(path: &str) -> Shape {
        plan(&["--path", path]).unwrap().shapes.remove(0)
    }
}
