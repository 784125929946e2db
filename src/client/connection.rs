//! A client's connection: the state that lasts as long as it does, whichever protocol is spoken on it.
//!
//! Never awaits: its task is in `serving`. Tested beside it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use super::clients::Clients;
use crate::exchange::caller::{Caller, Encryption, Origin, Peer};
use crate::http2::frame::PREFACE;
use crate::snapshot::{Listener, View};
use crate::time::alarms::Alarm;
use crate::time::clock::{Millis, NEVER};
use crate::transport::stream::Stream;

/// A connection as it was accepted.
pub struct Arrival {
    pub client: Stream,
    pub origin: Rc<Origin>,
    pub peer: Peer,
}

/// The version of HTTP that a client speaks, as far as it has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoken {
    Http1,
    Http2,
    /// Its bytes are the beginning of a preface of HTTP/2.
    NotSaid,
}

/// The state that lasts as long as the connection.
pub struct Connection {
    pub clients: Rc<Clients>,
    pub client: Stream,
    pub caller: Caller,
    /// Position of its listener when the connection began; before that, a position that no listener has.
    listener: u32,
    pub alarm: Alarm,
    pub opened_ms: Millis,
    /// When this time has passed the connection closes after its current request.
    pub expires_ms: Millis,
    pub requests: Cell<u32>,
    /// Whether a client in clear may speak HTTP/2.
    takes_http2: bool,
}

impl Connection {
    pub fn new(clients: Rc<Clients>, arrival: Arrival) -> Connection {
        let Arrival { client, origin, peer } = arrival;
        let is_encrypted = client.is_encrypted();
        let alarm = clients.local.alarms.alarm();
        let opened_ms = clients.local.clock.now_ms();
        Connection {
            clients,
            client,
            caller: Caller::new(origin, peer, is_encrypted),
            listener: u32::MAX,
            alarm,
            opened_ms,
            expires_ms: NEVER,
            requests: Cell::new(0),
            takes_http2: false,
        }
    }

    /// The latest snapshot, or, when the connection's listener is no longer in it, the last one that had the listener;
    /// and the listener's position there. `None` when no snapshot that is kept has the listener.
    #[inline]
    pub fn view(&self) -> Option<(View, usize)> {
        let view = self.clients.view();
        if let Some(position) = self.listener_in(&view) {
            return Some((view, position));
        }
        let view = self.clients.views.last_of(&self.caller.origin.listener_name)?;
        let position = self.listener_in(&view)?;
        Some((view, position))
    }

    /// The listener's position: the one at the connection's begin, unless a reload has moved the listener.
    #[inline]
    fn listener_in(&self, view: &View) -> Option<usize> {
        let name = &self.caller.origin.listener_name;
        let is_it =
            |listener: &Arc<Listener>| Arc::ptr_eq(&listener.name, name) || listener.name == *name;
        let before = self.listener as usize;
        if view.listeners.get(before).is_some_and(is_it) {
            return Some(before);
        }
        view.listeners.iter().position(is_it)
    }

    /// Goes on under TLS.
    pub fn secure(&mut self, stream: Stream, encryption: Encryption) {
        self.client = stream;
        self.caller.encrypt(encryption);
    }

    /// Remembers the listener of the connection, and the age that it may reach there.
    pub fn comes_by(&mut self, listener: &Listener, position: usize) {
        self.listener = u32::try_from(position).unwrap_or(u32::MAX);
        self.expires_ms = self.age_limit_ms(listener);
        self.takes_http2 = listener.http2;
    }

    /// Whether the connection may serve another request after the current one.
    pub fn may_continue(&self, requests_max: u32) -> bool {
        (requests_max == 0 || self.requests.get() < requests_max)
            && self.clients.local.clock.now_ms() < self.expires_ms
            && !self.clients.local.stop.has_begun()
            && !self.clients.views.is_retired(&self.caller.origin.listener_name)
    }

    /// Which version of HTTP the client speaks: what both sides have agreed upon (RFC 9113 §3.2), or what the first bytes
    /// of the connection are where it may be either (§3.3).
    pub fn spoken(&self, first: &[u8]) -> Spoken {
        if self.client.is_encrypted() {
            let alpn = self.caller.encryption().and_then(|encryption| encryption.alpn.as_deref());
            return if alpn == Some(b"h2") { Spoken::Http2 } else { Spoken::Http1 };
        }
        let is_first = self.takes_http2 && self.requests.get() == 0;
        match is_first {
            true if first.starts_with(PREFACE) => Spoken::Http2,
            true if PREFACE.starts_with(first) => Spoken::NotSaid,
            _ => Spoken::Http1,
        }
    }

    /// Whether a listener, as it is now, lets connections like this one speak HTTP/2.
    pub fn may_speak_http2(&self, listener: &Listener) -> bool {
        match (&listener.tls, self.client.is_encrypted()) {
            (_, false) => listener.http2,
            (None, true) => false,
            (Some(tls), true) => {
                let encryption = self.caller.encryption();
                tls.offers_http2(encryption.and_then(|its| its.server_name.as_deref()))
            }
        }
    }

    /// Whether the client has not taken everything that it was sent, and would lose the rest by a reset.
    pub fn has_bytes_to_take(&self) -> bool {
        self.client.queued_bytes().is_some_and(|count| count > 0)
    }

    fn age_limit_ms(&self, listener: &Listener) -> Millis {
        let age_ms = u64::try_from(listener.timeouts.connection_age.as_millis()).unwrap_or(NEVER);
        if age_ms == 0 {
            return NEVER;
        }
        // Spread by ± 10 %, so that connections made together do not end together.
        let tenth = (age_ms / 10).max(1);
        let spread = self.clients.local.random.pick() % (2 * tenth);
        self.opened_ms.saturating_add((age_ms - tenth).saturating_add(spread))
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
