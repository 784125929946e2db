//! Scenario files: a mix of requests, each with a weight.
//!
//! Owns: the file's shape and what is wrong with one. Tested below.
//!
//! ```toml
//! [[request]]
//! weight = 9                          # of all weights together; 1 when absent
//! method = "GET"                      # GET when absent, POST with an upload
//! path = "/small?size=64"             # required
//! headers = { Accept = "text/html" }
//! size = 64                           # what --check expects of the content, in bytes
//! status = 200                        # what is expected; a 2xx with --check when absent
//! think = "1ms-20ms"                  # what a user waits before the next request (closed loop)
//!
//! [[request]]
//! path = "/upload"
//! upload = 1048576                    # bytes of content
//! chunked = true                      # sent in chunks
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::options::duration;

/// What is wrong with a scenario file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}: {error}", path = .0.display(), error = .1)]
    Read(PathBuf, #[source] std::io::Error),
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    Toml(PathBuf, #[source] Box<toml::de::Error>),
    #[error("{path}: request {number}: {what}", path = .0.display(), number = .1, what = .2)]
    Request(PathBuf, usize, String),
    #[error("{path}: there is no [[request]] with a weight above 0", path = .0.display())]
    Empty(PathBuf),
}

/// One kind of request.
#[derive(Debug, Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Request {
    #[serde(default = "one")]
    pub weight: u32,
    pub method: Option<String>,
    pub path: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub size: Option<u64>,
    pub status: Option<u16>,
    #[serde(default)]
    pub upload: usize,
    #[serde(default)]
    pub chunked: bool,
    pub think: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    request: Vec<Request>,
}

fn one() -> u32 {
    1
}

/// Reads a scenario.
///
/// # Errors
/// When the file cannot be read, is no TOML, or asks for what cannot be sent.
pub fn read(path: &Path) -> Result<Vec<Request>, Error> {
    let text =
        std::fs::read_to_string(path).map_err(|error| Error::Read(path.to_owned(), error))?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Request>, Error> {
    let file: File =
        toml::from_str(text).map_err(|error| Error::Toml(path.to_owned(), Box::new(error)))?;
    for (index, request) in file.request.iter().enumerate() {
        request.check().map_err(|what| Error::Request(path.to_owned(), index + 1, what))?;
    }
    match file.request.iter().any(|request| request.weight > 0) {
        true => Ok(file.request),
        false => Err(Error::Empty(path.to_owned())),
    }
}

impl Request {
    /// What cannot be sent, in words.
    ///
    /// # Errors
    /// When a part would not be HTTP (RFC 9110 §5.6.2, §5.5; RFC 9112 §3.2).
    pub fn check(&self) -> Result<(), String> {
        let method = self.method();
        if !is_token(method) {
            return Err(format!("method {method:?} is no method"));
        }
        let is_plain = |byte: u8| byte > b' ' && byte != 0x7f;
        if !self.path.starts_with('/') || !self.path.bytes().all(is_plain) {
            return Err(format!("path {:?} must begin with / and have no spaces", self.path));
        }
        for (name, value) in &self.headers {
            check_field(name, value)?;
        }
        if let Some(status) = self.status
            && !(200..=999).contains(&status)
        {
            return Err(format!("status {status} is no final status"));
        }
        if self.chunked && self.upload == 0 {
            return Err("chunked needs an upload".to_owned());
        }
        self.think().map(|_| ())
    }

    pub fn method(&self) -> &str {
        let default = if self.upload > 0 { "POST" } else { "GET" };
        self.method.as_deref().unwrap_or(default)
    }

    /// Shortest and longest time to think.
    ///
    /// # Errors
    /// In words, when it is no time and no range of times.
    pub fn think(&self) -> Result<Option<(Duration, Duration)>, String> {
        let Some(text) = &self.think else { return Ok(None) };
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        let (low, high) = (duration(low.trim())?, duration(high.trim())?);
        match low <= high {
            true => Ok(Some((low, high))),
            false => Err(format!("think {text:?} ends before it begins")),
        }
    }
}

/// Refuses a field that would not be one.
///
/// # Errors
/// In words.
pub fn check_field(name: &str, value: &str) -> Result<(), String> {
    if !is_token(name) {
        return Err(format!("{name:?} is no field name"));
    }
    match value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        true => Err(format!("the value of {name} has a line end in it")),
        false => Ok(()),
    }
}

fn is_token(text: &str) -> bool {
    let of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(of_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Request>, String> {
        parse(Path::new("mix.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_documented_file_is_read() {
        let requests = read(
            "[[request]]\nweight = 9\nmethod = \"GET\"\npath = \"/small?size=64\"\n\
             headers = { Accept = \"text/html\" }\nsize = 64\nstatus = 200\nthink = \"1ms-20ms\"\n\
             [[request]]\npath = \"/upload\"\nupload = 1048576\nchunked = true\n",
        )
        .unwrap();
        assert_eq!(requests.len(), 2);
        let think = requests[0].think().unwrap();
        assert_eq!(think, Some((Duration::from_millis(1), Duration::from_millis(20))));
        assert_eq!((requests[0].method(), requests[1].method()), ("GET", "POST"));
        assert_eq!((requests[1].weight, requests[1].upload), (1, 1_048_576));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_place() {
        for (text, expected) in [
            ("", "mix.toml: there is no [[request]] with a weight above 0"),
            ("[[request]]\nweight = 0\npath = \"/\"", "no [[request]] with a weight"),
            ("[[request]]", "path"),
            ("[[request]]\npath = \"/\"\nwieght = 1", "wieght"),
            ("[[request]]\npath = \"x\"", "request 1: path \"x\" must begin with /"),
            ("[[request]]\npath = \"/a b\"", "must begin with / and have no spaces"),
            ("[[request]]\npath = \"/\"\n[[request]]\npath = \"/\"\nmethod = \"G T\"", "request 2"),
            (
                "[[request]]\npath = \"/\"\nheaders = { \"a b\" = \"c\" }",
                "\"a b\" is no field name",
            ),
            ("[[request]]\npath = \"/\"\nheaders = { a = \"b\\r\\nc\" }", "line end"),
            ("[[request]]\npath = \"/\"\nstatus = 100", "no final status"),
            ("[[request]]\npath = \"/\"\nchunked = true", "chunked needs an upload"),
            ("[[request]]\npath = \"/\"\nthink = \"5ms-1ms\"", "ends before it begins"),
            ("[[request]]\npath = \"/\"\nthink = \"soon\"", "soon"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
