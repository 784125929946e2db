//! The client of a connection: the socket's peer, the client that a balancer in front announces, and what is remembered
//! of earlier requests on it.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use arrayvec::{ArrayString, ArrayVec};

use super::alone::Alone;
use crate::group::select::Pinned;
use crate::proxy_protocol::{Announced, AnnouncedTls};
use crate::random::Random;
use crate::stickiness::set_cookie::Assignment;
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

/// The state of a client that lasts as long as its connection.
pub struct Caller {
    pub origin: Rc<Origin>,
    /// The client that a PROXY header has named, else the socket's peer.
    peer: Cell<Peer>,
    /// Whether the client's connection is encrypted, here or at the balancer that announces it.
    is_encrypted: Cell<bool>,
    memory: OnceCell<Box<Memory>>,
}

/// The state that only some connections need.
#[derive(Default)]
struct Memory {
    encryption: OnceCell<Box<Encryption>>,
    announcement: OnceCell<Box<Announcement>>,
    alone: OnceCell<Box<Alone>>,
    /// The assignments of first visits, so that parallel first requests of a client agree: of the one client on most
    /// connections, of several clients on a connection that a proxy shares among them.
    pins: RefCell<Vec<Pinned>>,
}

/// The client's own connection to the balancer that announces it.
struct Announcement {
    /// The socket's peer.
    socket: Peer,
    /// Where the client connected to.
    destination: Option<SocketAddr>,
    /// Its port as text.
    port: Option<PortText>,
}

/// A text that mostly is one of few.
pub type Word = Cow<'static, str>;

/// The encryption of a client's connection: what limpet has agreed upon with the client, or what a PROXY header says of
/// the client's connection to the balancer that announces it.
#[derive(Debug)]
pub struct Encryption {
    /// As OpenSSL names it; empty where a header does not say it.
    pub version: Word,
    /// By IANA's name; in the words of the header, or empty, where a header says it.
    pub cipher: Word,
    /// `None`: a header does not say it.
    pub is_resumed: Option<bool>,
    /// The name that the client asked for.
    pub server_name: Option<Box<str>>,
    /// The protocol that was agreed upon.
    pub alpn: Option<Box<[u8]>>,
    /// The settings of the handshake, where it was limpet's own.
    pub profile: Option<HandshakeProfile>,
    /// The client's own, verified. Of one that a header names, the common name alone is known.
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
            version: self.version.as_bytes(),
            cipher: self.cipher.as_bytes(),
            resumed: self.is_resumed,
            server_name: self.server_name.as_deref().unwrap_or_default().as_bytes(),
            client: certificate.unwrap_or_default(),
        };
        Rare { tls: Some(tls), ..Rare::default() }
    }

    /// What targets are told of it.
    fn told(&self) -> AnnouncedTls<'_> {
        let certificate = self.certificate.as_deref();
        AnnouncedTls {
            version: &self.version,
            cipher: &self.cipher,
            server_name: self.server_name.as_deref().unwrap_or_default(),
            alpn: self.alpn.as_deref().unwrap_or_default(),
            client: certificate.map(|certificate| certificate.common_name.as_str()),
        }
    }

    /// The client's encryption, as the sender of a PROXY header says.
    fn announced(tls: &AnnouncedTls<'_>) -> Encryption {
        let AnnouncedTls { version, cipher, server_name, alpn, client } = *tls;
        let certificate = client.map(|name| Box::new(ClientCertificate::named(name)));
        Encryption {
            version: version.to_owned().into(),
            cipher: cipher.to_owned().into(),
            is_resumed: None,
            server_name: Some(server_name).filter(|name| !name.is_empty()).map(Box::from),
            alpn: Some(alpn).filter(|name| !name.is_empty()).map(Box::from),
            profile: None,
            certificate,
        }
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
        let is_encrypted = Cell::new(is_encrypted);
        Caller { origin, peer: Cell::new(peer), is_encrypted, memory: OnceCell::new() }
    }

    /// The client as the connection gives it: the socket's peer, or the client that a PROXY header has named.
    pub fn peer(&self) -> Peer {
        self.peer.get()
    }

    /// The peer of the socket, on which trust depends.
    pub fn socket_peer(&self) -> Peer {
        self.announcement().map_or(self.peer.get(), |announcement| announcement.socket)
    }

    /// Whether the client's connection is encrypted, here or at the balancer that announces it.
    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted.get()
    }

    /// The port that the client connected to, according to a PROXY header.
    pub fn announced_port(&self) -> Option<&PortText> {
        self.announcement()?.port.as_ref()
    }

    /// The encryption of the connection itself, else what a PROXY header says of the client's.
    pub fn encryption(&self) -> Option<&Encryption> {
        self.memory.get()?.encryption.get().map(|encryption| &**encryption)
    }

    /// Notes the handshake of the connection.
    pub fn encrypt(&mut self, encryption: Encryption) {
        self.is_encrypted.set(true);
        // A connection has one handshake, which goes before what a header says.
        self.memory();
        if let Some(memory) = self.memory.get_mut() {
            memory.encryption = OnceCell::from(Box::new(encryption));
        }
    }

    /// The connections to targets that serve this client alone.
    pub fn alone(&self, random: &Random) -> &Alone {
        let make = || Box::new(Alone::new(u64::from_ne_bytes(random.secret())));
        self.memory().alone.get_or_init(make)
    }

    /// The same, where there may be any.
    pub fn has_alone(&self) -> Option<&Alone> {
        self.memory.get()?.alone.get().map(|alone| &**alone)
    }

    /// What targets are told of the client; `local` is the address at which its connection came in.
    pub fn announced(&self, local: Option<SocketAddr>) -> Announced<'_> {
        let Peer { ip, port } = self.peer();
        let known = self.announcement().and_then(|announcement| announcement.destination).or(local);
        let nowhere = || SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), self.origin.port);
        Announced {
            source: ip.map(|ip| SocketAddr::new(ip, port)),
            destination: Some(known.unwrap_or_else(nowhere)),
            tls: self.encryption().map(Encryption::told),
        }
    }

    fn announcement(&self) -> Option<&Announcement> {
        self.memory.get()?.announcement.get().map(|announcement| &**announcement)
    }

    fn memory(&self) -> &Memory {
        self.memory.get_or_init(Box::default)
    }

    /// Takes over the facts of a PROXY header.
    pub fn announce(&self, announced: &Announced<'_>) {
        if *announced == Announced::default() {
            return;
        }
        let Announced { source, destination, tls } = *announced;
        let port = destination.map(|destination| port_text(destination.port()));
        let announcement = Announcement { socket: self.peer.get(), destination, port };
        let memory = self.memory();
        if memory.announcement.set(Box::new(announcement)).is_err() {
            return;
        }
        if source.is_some() {
            self.peer.set(Peer::new(source));
        }
        if let Some(tls) = tls {
            self.is_encrypted.set(true);
            // There is no handshake before the header.
            let _ = memory.encryption.set(Box::new(Encryption::announced(&tls)));
        }
    }

    /// Passes `look` the assignments of first visits on this connection.
    pub fn with_pins<T>(&self, look: impl FnOnce(&[Pinned]) -> T) -> T {
        match self.memory.get() {
            Some(memory) => look(&memory.pins.borrow()),
            None => look(&[]),
        }
    }

    /// Forgets an assignment, if it is remembered as it is.
    pub fn unpin(&self, assignment: &Assignment) {
        if let Some(memory) = self.memory.get() {
            let is_it = |pinned: &Pinned| pinned.is_of(assignment);
            memory.pins.borrow_mut().retain(|pinned| !is_it(pinned));
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
