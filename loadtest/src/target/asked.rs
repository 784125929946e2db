//! What is asked of a target, and what it answers with, in either version of HTTP.
//!
//! Owns: reading of a request's head. Never: a connection. Tested by `tests/soak.rs`.

use crate::pattern::{ID_BYTES, Id};
use crate::wire::{Framing, field, framing};

/// Most field lines of a request.
const FIELD_COUNT_MAX: usize = 128;

/// What every connection answers with.
#[derive(Debug)]
pub struct Answers {
    pub id: String,
    pub plain: Vec<u8>,
}

/// What a request's head says that the answer depends on.
#[derive(Debug)]
pub struct Asked {
    /// The id, where path and field agree; `None` outside /soak/.
    pub id: Option<Id>,
    /// Path and field name different ids: two exchanges have been mixed.
    pub mixed: bool,
    pub size: usize,
    pub chunked: bool,
    pub head_only: bool,
    pub close: bool,
    pub expects: bool,
    pub framing: Option<Framing>,
}

impl Asked {
    /// Reads a request's head; `None` when it is none.
    pub fn read(head: &[u8]) -> Option<Asked> {
        let mut storage = [httparse::EMPTY_HEADER; FIELD_COUNT_MAX];
        let mut request = httparse::Request::new(&mut storage);
        if !request.parse(head).ok()?.is_complete() {
            return None;
        }
        let fields = &*request.headers;
        let mut asked = Asked {
            id: None,
            mixed: false,
            size: 0,
            chunked: false,
            head_only: request.method? == "HEAD",
            close: request.version? == 0
                || field(fields, "connection").is_some_and(|v| v.eq_ignore_ascii_case("close")),
            expects: field(fields, "expect").is_some(),
            framing: framing(fields),
        };
        asked.take(request.path?, field(fields, "x-soak-id"))?;
        Some(asked)
    }

    /// Takes the path into account, and what X-Soak-Id says; `None` when a part of it means nothing.
    pub fn take(&mut self, path: &str, named: Option<&str>) -> Option<()> {
        if let Some(soak) = path.strip_prefix("/soak/") {
            let (id, query) = soak.split_once('?').unwrap_or((soak, ""));
            self.id = id.as_bytes().first_chunk::<ID_BYTES>().copied();
            self.mixed = named != Some(id) || id.len() != ID_BYTES;
            for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
                match key {
                    "size" => self.size = value.parse().ok()?,
                    "chunked" => self.chunked = value == "1",
                    _ => {}
                }
            }
        }
        Some(())
    }
}
