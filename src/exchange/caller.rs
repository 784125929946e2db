//! The client of a connection: the socket's peer, the client that a balancer in front announces, and what is remembered
//! of earlier requests on it.

use std::cell::{Cell, OnceCell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use arrayvec::{ArrayString, ArrayVec};

use crate::group::select::Pinned;
use crate::telemetry::handshakes::TlsVersion;
use crate::telemetry::rare::{self, Rare};
use crate::tls::client_auth::ClientCertificate;
use crate::tls::listener::HandshakeProfile;

/// The address at the other end.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// `None` on Unix sockets.
    pub ip: Option<IpAddr>,
    pub port: u16,
}

/// An address as text.
pub type PeerText = ArrayString<46>;

impl Peer {
    pub fn new(address: Option<std::net::SocketAddr>) -> Peer {
        let ip = address.map(|address| address.ip().to_canonical());
        Peer { ip, port: address.map_or(0, |address| address.port()) }
    }

    /// The address as it goes into X-Forwarded-For; an IPv4 address, the usual case, is written without `fmt`.
    pub fn text(&self) -> PeerText {
        use std::fmt::Write;
        let mut text = PeerText::new();
        // 46 bytes hold every address; a Unix peer has none.
        let _ = match self.ip {
            Some(IpAddr::V4(ip)) => {
                ip.octets().into_iter().enumerate().try_for_each(|(at, octet)| {
                    text.write_str(if at > 0 { "." } else { "" })?;
                    text.write_str(itoa::Buffer::new().format(octet))
                })
            }
            Some(IpAddr::V6(ip)) => write!(text, "{ip}"),
            None => text.write_str("unknown"),
        };
        text
    }
}

/// The listener side of a connection; shared by all that came in there.
#[derive(Debug, Clone)]
pub struct Origin {
    pub listener_name: Arc<str>,
    /// The listener's port; 0 on Unix sockets.
    pub port: u16,
    /// The same as text; empty on Unix sockets.
    pub port_text: PortText,
}

/// The facts of a PROXY header about the client's own connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Announced {
    /// The client; `None` leaves the real peer in place.
    pub source: Option<SocketAddr>,
    /// The port that the client connected to.
    pub port: Option<u16>,
    pub encrypted: bool,
}

/// The state of a client that lasts as long as its connection.
pub struct Caller {
    pub origin: Rc<Origin>,
    /// The client that a PROXY header has named, else the socket's peer.
    peer: Cell<Peer>,
    /// Whether the connection itself is encrypted.
    is_encrypted: bool,
    memory: OnceCell<Box<Memory>>,
}

/// The state that only some connections need.
#[derive(Default)]
struct Memory {
    encryption: OnceCell<Box<Encryption>>,
    way: OnceCell<Box<Way>>,
    /// The assignments of first visits, so that parallel first requests of a client agree: of the one client on most
    /// connections, of several clients on a connection that a proxy shares among them.
    pins: RefCell<Vec<Pinned>>,
}

/// The client's own connection to the balancer that announces it.
struct Way {
    /// The socket's peer.
    socket: Peer,
    /// The port that the client connected to, also as text.
    port: Option<PortText>,
    encrypted: bool,
}

/// The encryption of a connection that limpet has agreed upon with its client.
#[derive(Debug)]
pub struct Encryption {
    pub version: TlsVersion,
    /// By IANA's name.
    pub cipher: &'static str,
    pub is_resumed: bool,
    /// The name that the client asked for.
    pub server_name: Option<Box<str>>,
    /// The settings of the handshake.
    pub profile: HandshakeProfile,
    /// The client's own, verified.
    pub certificate: Option<Box<ClientCertificate>>,
}

impl Encryption {
    /// The form that records have it in.
    pub fn rare(&self) -> Rare<'_> {
        let certificate = self.certificate.as_deref().map(|certificate| rare::ClientCertificate {
            subject: certificate.subject.as_bytes(),
            issuer: certificate.issuer.as_bytes(),
            names: certificate.alt_names.as_bytes(),
            serial: certificate.serial.as_bytes(),
            fingerprint: certificate.fingerprint.as_bytes(),
            whole: certificate.field.as_bytes(),
        });
        let tls = rare::Tls {
            version: self.version,
            cipher: self.cipher.as_bytes(),
            resumed: self.is_resumed,
            server_name: self.server_name.as_deref().unwrap_or_default().as_bytes(),
            client: certificate.unwrap_or_default(),
        };
        Rare { tls: Some(tls), ..Rare::default() }
    }
}

/// First visits that a connection remembers; a further one replaces the oldest.
const PINS_MAX: usize = 16;

/// A port as text.
pub type PortText = ArrayVec<u8, 5>;

/// `port` in digits.
pub fn port_text(port: u16) -> PortText {
    let mut text = PortText::new();
    // Five digits hold every port.
    let _ = text.try_extend_from_slice(itoa::Buffer::new().format(port).as_bytes());
    text
}

impl Caller {
    pub fn new(origin: Rc<Origin>, peer: Peer, is_encrypted: bool) -> Caller {
        Caller { origin, peer: Cell::new(peer), is_encrypted, memory: OnceCell::new() }
    }

    /// The client as the connection gives it: the socket's peer, or the client that a PROXY header has named.
    pub fn peer(&self) -> Peer {
        self.peer.get()
    }

    /// The peer of the socket, on which trust depends.
    pub fn socket_peer(&self) -> Peer {
        self.way().map_or(self.peer.get(), |way| way.socket)
    }

    /// Whether the client's connection is encrypted, here or at the balancer that announces it.
    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted || self.way().is_some_and(|way| way.encrypted)
    }

    /// The port that the client connected to, according to a PROXY header.
    pub fn announced_port(&self) -> Option<&PortText> {
        self.way()?.port.as_ref()
    }

    /// The encryption of the connection itself, where it is TLS.
    pub fn encryption(&self) -> Option<&Encryption> {
        self.memory.get()?.encryption.get().map(|encryption| &**encryption)
    }

    /// Notes the handshake of the connection.
    pub fn encrypt(&mut self, encryption: Encryption) {
        self.is_encrypted = true;
        // A connection has one handshake.
        let _ = self.memory().encryption.set(Box::new(encryption));
    }

    fn way(&self) -> Option<&Way> {
        self.memory.get()?.way.get().map(|way| &**way)
    }

    fn memory(&self) -> &Memory {
        self.memory.get_or_init(Box::default)
    }

    /// Takes over the facts of a PROXY header.
    pub fn announce(&self, announced: &Announced) {
        if *announced == Announced::default() {
            return;
        }
        let Announced { source, port, encrypted } = *announced;
        let way = Way { socket: self.peer.get(), port: port.map(port_text), encrypted };
        let is_first = self.memory().way.set(Box::new(way)).is_ok();
        if is_first && source.is_some() {
            self.peer.set(Peer::new(source));
        }
    }

    /// Passes `look` the assignments of first visits on this connection.
    pub fn with_pins<T>(&self, look: impl FnOnce(&[Pinned]) -> T) -> T {
        match self.memory.get() {
            Some(memory) => look(&memory.pins.borrow()),
            None => look(&[]),
        }
    }

    /// Remembers an assignment, replacing the same client's last.
    pub fn pin(&self, pinned: Pinned) {
        let mut pins = self.memory().pins.borrow_mut();
        if let Some(at) = pins.iter().position(|pin| pin.is_of_the_same(&pinned)) {
            pins.remove(at);
        } else if pins.len() >= PINS_MAX {
            pins.remove(0);
        }
        if pins.is_empty() {
            pins.reserve_exact(1);
        }
        pins.push(pinned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_written_as_everybody_writes_it() {
        for ip in ["0.0.0.0", "9.10.99.100", "127.0.0.1", "255.255.255.255", "::1", "2001:db8::ff"]
        {
            let address: IpAddr = ip.parse().unwrap();
            assert_eq!(&*Peer::new(Some((address, 80).into())).text(), ip);
        }
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(&*Peer::new(Some((mapped, 80).into())).text(), "10.0.0.1");
        assert_eq!(&*Peer::new(None).text(), "unknown");
    }
}
