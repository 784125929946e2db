//! The peer of an admin connection, and its name in the audit log. Pure; tested below.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName};

use crate::tls::listener::HandshakeProfile;

/// The name that a client gives itself: "console", "ctl root".
pub const ACTOR: HeaderName = HeaderName::from_static("x-limpet-actor");

/// Longest name that a client may give itself, in characters.
const NAME_CHARS_MAX: usize = 64;

/// Longest subject of a certificate that is said, in characters.
const SUBJECT_CHARS_MAX: usize = 128;

/// The other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    Tcp(SocketAddr),
    /// The same, over TLS.
    Tls(SocketAddr, Arc<Secured>),
    /// As the kernel reports it; `None` for a part that it does not report.
    Unix {
        uid: Option<u32>,
        pid: Option<i32>,
    },
}

/// What a handshake has told.
#[derive(Debug, PartialEq, Eq)]
pub struct Secured {
    /// The name that the client asked for.
    pub server_name: Option<Box<str>>,
    pub profile: HandshakeProfile,
    /// The client's, verified; `None` where it has shown none.
    pub certificate: Option<ClientName>,
}

/// By what a client certificate is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientName {
    /// In RFC 4514's form.
    pub subject: String,
    /// SHA-256, in hexadecimal.
    pub fingerprint: String,
}

impl Peer {
    pub fn secured(&self) -> Option<&Secured> {
        match self {
            Peer::Tls(_, secured) => Some(secured),
            Peer::Tcp(_) | Peer::Unix { .. } => None,
        }
    }

    /// "console 127.0.0.1", "api 10.0.0.7 (CN=deploy,O=Shop)", "ctl root (uid 0, pid 77)"; "api" where the client gives no name.
    pub fn actor(&self, headers: &HeaderMap) -> String {
        let given = headers.get(&ACTOR).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let name = given.map(|given| plain(&given)).filter(|name| !name.is_empty());
        let name = name.as_deref().unwrap_or("api");
        match self {
            Peer::Tcp(address) => format!("{name} {}", address.ip().to_canonical()),
            Peer::Tls(address, secured) => {
                let address = address.ip().to_canonical();
                match &secured.certificate {
                    // A subject escapes control characters; it may be long.
                    Some(known) => {
                        let subject: String =
                            known.subject.chars().take(SUBJECT_CHARS_MAX).collect();
                        format!("{name} {address} ({subject})")
                    }
                    None => format!("{name} {address}"),
                }
            }
            Peer::Unix { uid: Some(uid), pid: Some(pid) } => {
                format!("{name} (uid {uid}, pid {pid})")
            }
            Peer::Unix { uid: Some(uid), pid: None } => format!("{name} (uid {uid})"),
            Peer::Unix { uid: None, .. } => format!("{name} (unknown user)"),
        }
    }
}

/// Makes a claimed name safe: it cannot look like the part that limpet adds itself, nor break a line.
fn plain(given: &str) -> String {
    let kept =
        given.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.' | '@'));
    let short: String = kept.take(NAME_CHARS_MAX).collect();
    short.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use crate::control::admin::actor::*;
    use axum::http::HeaderValue;

    fn actor(peer: &Peer, name: Option<&'static [u8]>) -> String {
        let mut headers = HeaderMap::new();
        if let Some(name) = name {
            headers.insert(ACTOR, HeaderValue::from_bytes(name).unwrap());
        }
        peer.actor(&headers)
    }

    #[test]
    fn the_peer_stands_beside_the_name() {
        let tcp = Peer::Tcp("127.0.0.1:5".parse().unwrap());
        let unix = Peer::Unix { uid: Some(0), pid: Some(7) };
        assert_eq!(actor(&tcp, Some(b"console")), "console 127.0.0.1");
        assert_eq!(actor(&tcp, None), "api 127.0.0.1");
        assert_eq!(actor(&unix, Some(b"ctl root")), "ctl root (uid 0, pid 7)");
        assert_eq!(actor(&Peer::Unix { uid: Some(9), pid: None }, None), "api (uid 9)");
        let mapped = Peer::Tcp("[::ffff:127.0.0.1]:5".parse().unwrap());
        assert_eq!(actor(&mapped, None), "api 127.0.0.1");
    }

    #[test]
    fn a_name_cannot_pretend_to_be_a_peer() {
        let unix = Peer::Unix { uid: Some(1000), pid: Some(7) };
        assert_eq!(actor(&unix, Some(b"root (uid 0)\tx=\"")), "root uid 0x (uid 1000, pid 7)");
        assert_eq!(actor(&unix, Some(b"  ")), "api (uid 1000, pid 7)");
        let long = actor(&unix, Some(&[b'a'; 500]));
        assert!(long.len() < 100, "{long}");
        assert!(actor(&unix, Some(b"\xff\xfe")).starts_with("api "), "no characters to keep");
    }
}
