//! What is known of a request once its head has been read: what to do with it, and what a target is sent.

use std::net::IpAddr;

use arrayvec::ArrayVec;

use super::session_id::SessionId;
use crate::group::select::Choice;
use crate::http::head::{Method, Version};

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
    /// Position of the matching rule in the listener's table.
    pub rule: usize,
    pub choice: Choice,
    /// The request carries an id of limpet's own.
    pub has_own_id: bool,
    /// The request's Host names the target.
    pub names_target: bool,
    /// The session id in a field that the request brought.
    pub session_id: SessionId,
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
            rule: 0,
            choice: Choice { group: 0, target: 0, sticky: None },
            has_own_id: false,
            names_target: false,
            session_id: SessionId::default(),
        }
    }
}
