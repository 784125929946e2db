//! TLS in place of the double: both ends of a connection are given sessions whose handshake was made in memory.
//!
//! The bytes of a run are then not those of another, but their lengths are, so that a seed still plays the same.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};

use crate::transport::tls::session::Session;
use crate::transport::tls::tests::configurations::{self, name};
use crate::uring::Socket;

thread_local! {
    /// What both ends are configured with, while TLS is spoken.
    static CONFIGURATIONS: RefCell<Option<(Arc<ServerConfig>, Arc<ClientConfig>)>> =
        const { RefCell::new(None) };
}

/// While it lives, encrypted streams of this thread are TLS.
pub struct Tls(());

impl Tls {
    pub fn speak(version: &'static SupportedProtocolVersion) -> Tls {
        CONFIGURATIONS.set(Some(configurations::pair(version)));
        Tls(())
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        CONFIGURATIONS.set(None);
    }
}

/// The session of this end, where TLS is spoken. The end that asks first is the client's.
pub(super) fn session(socket: &Socket) -> Option<Session> {
    let (server, client) = CONFIGURATIONS.with_borrow(Option::clone)?;
    let end = socket.simulated_end()?;
    if let Some(left) = end.take_left() {
        return left.downcast().ok().map(|session| *session);
    }
    let mut server = Session::server(server).expect("a server");
    let mut client = Session::client(client, name()).expect("a client");
    client.begin().expect("a hello");
    while server.has_control() || client.has_control() {
        server.open(&mut client.take_control(), None).expect("a client's handshake");
        client.open(&mut server.take_control(), None).expect("a server's handshake");
    }
    for session in [&mut server, &mut client] {
        session.take_over().expect("secrets");
    }
    end.leave(Box::new(server));
    Some(client)
}
