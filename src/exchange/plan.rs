//! What is known of a request once its head has been read: what to do with it, and what a target is sent.

use std::net::IpAddr;

use arrayvec::ArrayVec;

use super::grpc::Call;
use super::session_id::SessionId;
use super::websocket::Key;
use crate::group::select::Choice;
use crate::group::target_group::TargetGroup;
use crate::http::edits::Wire;
use crate::http::head::{Method, RequestHead, Version, WEBSOCKET};
use crate::random::Random;

/// Longest list of protocols that a target may choose from; of a longer one the first are passed on.
const UPGRADE_BYTES_MAX: usize = 128;

/// What is known of a request once its head has been read. One is written anew for each request of a
/// connection, in place.
pub struct Plan {
    pub method: Method,
    pub version: Version,
    /// The client's own connection is encrypted: limpet's, or that of a trusted hop before it.
    pub https: bool,
    /// The address of the client itself.
    pub client: Option<IpAddr>,
    /// The protocols that the target may upgrade to; empty when none was asked for.
    pub upgrade: ArrayVec<u8, UPGRADE_BYTES_MAX>,
    /// The client takes a success for an open tunnel (RFC 8441 §5), also where the target was not asked for one.
    pub wants_tunnel: bool,
    /// The key of a WebSocket handshake that limpet makes in the client's place.
    pub websocket: Option<Key>,
    /// Position of the matching rule in the listener's table.
    pub rule: usize,
    pub choice: Choice,
    /// The request carries an id of limpet's own.
    pub has_own_id: bool,
    /// The request's Host names the target.
    pub names_target: bool,
    /// The session id in a field that the request brought.
    pub session_id: SessionId,
    /// What the client's side makes of the head.
    pub call: Call,
}

impl Plan {
    /// Notes which protocols the target may upgrade to, as far as its group allows it.
    pub fn note_upgrade(
        &mut self,
        head: &RequestHead<'_, '_>,
        group: Option<&TargetGroup>,
        random: &Random,
    ) {
        self.upgrade.clear();
        self.websocket = None;
        self.wants_tunnel = head.extended_connect;
        if !head.upgrade {
            return;
        }
        let Some(options) = group.map(|group| &group.options) else { return };
        if !options.allow_upgrades {
            return;
        }
        if options.wire != Wire::Http1 {
            return self.note_tunnel(head);
        }
        if head.extended_connect {
            self.websocket = Some(Key::new(random.secret()));
        }
        for protocol in head.protocols() {
            let separator: &[u8] = if self.upgrade.is_empty() { b"" } else { b", " };
            if self.upgrade.remaining_capacity() < separator.len() + protocol.len() {
                break;
            }
            // There is room for both.
            let _ = self.upgrade.try_extend_from_slice(separator);
            let _ = self.upgrade.try_extend_from_slice(protocol);
        }
    }

    /// A target of HTTP/2 opens tunnels of WebSocket, and upgrades nothing else (RFC 9113 §8.6, RFC 8441 §4).
    #[cold]
    fn note_tunnel(&mut self, head: &RequestHead<'_, '_>) {
        if head.extended_connect || Key::of(head).is_some() {
            // There is room for it.
            let _ = self.upgrade.try_extend_from_slice(WEBSOCKET);
        }
    }
}

/// A request that a target is to answer.
#[derive(Default)]
pub struct Outgoing<D> {
    pub plan: Plan,
    /// The request for the chosen target: its head, and the content that came along.
    pub draft: D,
}

impl Default for Plan {
    /// A plan for no request.
    fn default() -> Self {
        Plan {
            method: Method::Get,
            version: Version::Http11,
            https: false,
            client: None,
            upgrade: ArrayVec::new(),
            wants_tunnel: false,
            websocket: None,
            rule: 0,
            choice: Choice { group: 0, target: 0, sticky: None },
            has_own_id: false,
            names_target: false,
            session_id: SessionId::default(),
            call: Call::default(),
        }
    }
}
