//! Responses of limpet's own: their status and content, and whether the client's connection stays open after them.

use std::borrow::Cow;

use crate::http::answers::{self, Answer};
use crate::http::head::{ContentLength, Method, RequestHead, Version};
use crate::http::refusal::Refusal;
use crate::routing::actions::{Redirect, RedirectParts, Respond};
use crate::routing::path::PathFault;
use crate::routing::table::TooCostly;
use crate::snapshot::Listener;

use super::failure::Failure;
use crate::telemetry::ended::{By, Cause, Ended, Phase};

/// Begins the field lines of a redirect.
const LOCATION: &[u8] = b"Location: ";

/// The methods that limpet knows and forwards.
const ALLOW: &[u8] = b"Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n";

/// One answer, ready to be written.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// The reason, for the log; empty when the file asked for this answer.
    pub code: &'static str,
    /// Content that the file gives for this particular answer.
    content: Option<Answer>,
    /// Further field lines, each with its CRLF.
    pub extra: Vec<u8>,
    /// Bytes of the request, head and content, if all of it has been received. `None`: some of the content is still to
    /// come, so the connection cannot be used for another request.
    pub request_bytes: Option<usize>,
    pub keep: bool,
    ended: Option<Ended>,
    pub head_only: bool,
    pub http10: bool,
}

impl Reply {
    fn new(status: u16, code: &'static str) -> Reply {
        Reply {
            status,
            code,
            content: None,
            extra: Vec::new(),
            request_bytes: None,
            keep: false,
            ended: None,
            head_only: false,
            http10: false,
        }
    }

    /// For a refused head: no bytes behind it can be trusted to be a request.
    pub fn refusal(refusal: Refusal) -> Reply {
        let mut reply = Reply::new(refusal.status(), refusal.code());
        let cause = match reply.status {
            408 => Cause::Timeout,
            414 | 431 => Cause::Limit,
            _ => Cause::Invalid,
        };
        reply.ended = Some(Ended::new(By::Client, Phase::RequestHead, cause));
        if reply.status == 405 {
            reply.extra.extend_from_slice(ALLOW);
        }
        reply
    }

    /// For OPTIONS that must not be forwarded any further: limpet is the server that it asks about.
    pub fn no_more_forwards() -> Reply {
        let mut reply = Reply::new(204, "max_forwards");
        reply.extra.extend_from_slice(ALLOW);
        reply
    }

    /// What proves a name to an authority.
    pub fn proof(content: bytes::Bytes) -> Reply {
        let mut reply = Reply::new(200, "acme_challenge");
        // RFC 8555 §8.3 names this type.
        let content_type = "application/octet-stream".into();
        reply.content = Some(Answer { content_type, body: content });
        reply
    }

    pub fn bad_path(fault: PathFault) -> Reply {
        let mut reply = Reply::new(400, fault.code());
        reply.ended = Some(Ended::new(By::Client, Phase::RequestHead, Cause::Invalid));
        reply
    }

    /// For a request whose rule costs too much to find.
    pub fn too_costly() -> Reply {
        let mut reply = Reply::new(TooCostly::STATUS, TooCostly::CODE);
        reply.ended = Some(Ended::new(By::Client, Phase::RequestHead, Cause::Limit));
        reply
    }

    pub fn failure(failure: Failure) -> Reply {
        let mut reply = Reply::new(failure.status(), failure.code());
        reply.ended = Some(failure.ended(Phase::RequestHead));
        if reply.status == 405 {
            // What answers nothing but calls of gRPC.
            reply.extra.extend_from_slice(b"Allow: POST\r\n");
        }
        reply
    }

    /// For a client with more connections than it may have.
    pub fn too_many_connections() -> Reply {
        Reply::new(429, "client_connection_limit")
    }

    pub fn redirect(redirect: &Redirect, parts: &RedirectParts<'_>) -> Reply {
        let mut reply = Reply::new(redirect.status, "");
        reply.extra.extend_from_slice(LOCATION);
        redirect.location(parts, &mut reply.extra);
        reply.extra.extend_from_slice(b"\r\n");
        reply
    }

    pub fn fixed(respond: &Respond) -> Reply {
        let mut reply = Reply::new(respond.status, "");
        reply.content = Some(respond.answer.clone());
        reply
    }

    /// Adapts it to this request: the connection stays when the client wants it to and the whole request has been
    /// received.
    pub fn of(&mut self, head: &RequestHead<'_, '_>, received: &[u8]) {
        self.head_only = head.method == Method::Head;
        self.http10 = head.version == Version::Http10;
        let content = match head.content {
            ContentLength::None => Some(0),
            ContentLength::Exact(length) => usize::try_from(length).ok(),
            ContentLength::Unknown => None,
        };
        self.request_bytes = content
            .and_then(|content| content.checked_add(head.raw.len()))
            .filter(|&bytes| bytes <= received.len());
        // Bytes behind a refused request cannot be trusted.
        let is_refused = matches!(self.status, 400 | 413) && self.content.is_none();
        self.keep = head.persistent && self.request_bytes.is_some() && !is_refused;
    }

    /// As [`Self::of`], from the facts that a plan still has of its request.
    pub fn after(
        mut self,
        method: Method,
        version: Version,
        request_bytes: Option<usize>,
    ) -> Reply {
        self.head_only = method == Method::Head;
        self.http10 = version == Version::Http10;
        self.request_bytes = request_bytes;
        self.keep = request_bytes.is_some();
        self
    }

    /// The Location of a redirect; empty for other answers.
    pub fn location(&self) -> &[u8] {
        let line = self.extra.strip_prefix(LOCATION).unwrap_or_default();
        line.split(|&byte| byte == b'\r').next().unwrap_or_default()
    }

    /// How an exchange ends with this answer, for the log.
    pub fn ended(&self) -> Ended {
        self.ended.unwrap_or(Ended::new(By::Limpet, Phase::Done, Cause::Rule))
    }

    /// Content and type: those that the file gives for this answer or its status, else the standard.
    pub fn answer<'r>(&'r self, listener: Option<&'r Listener>) -> Cow<'r, Answer> {
        if let Some(content) = &self.content {
            return Cow::Borrowed(content);
        }
        let mut replaced = listener.into_iter().flat_map(|listener| &listener.answers);
        match replaced.find(|(status, _)| *status == self.status) {
            Some((_, answer)) => Cow::Borrowed(answer),
            None => Cow::Owned(answers::standard(self.status)),
        }
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
