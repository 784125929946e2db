//! TLS in place of the double: both ends of a connection are given sessions whose handshake was made in memory.
//!
//! The bytes of a run are then not those of another, but their lengths are, so that a seed still plays the same.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use crate::transport::tls::session::Session;
use crate::transport::tls::tests::configurations::{self, name};
use crate::uring::Socket;

thread_local! {
    static IS_SPOKEN: Cell<bool> = const { Cell::new(false) };
    static CONFIGURATIONS: RefCell<Option<(Arc<ServerConfig>, Arc<ClientConfig>)>> =
        const { RefCell::new(None) };
}

/// While it lives, encrypted streams of this thread are TLS.
pub struct Tls(());

impl Tls {
    pub fn speak() -> Tls {
        IS_SPOKEN.set(true);
        Tls(())
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        IS_SPOKEN.set(false);
    }
}

/// The session of this end, where TLS is spoken. The end that asks first is the client's.
pub(super) fn session(socket: &Socket) -> Option<Session> {
    if !IS_SPOKEN.get() {
        return None;
    }
    let end = socket.simulated_end()?;
    if let Some(left) = end.take_left() {
        return left.downcast().ok().map(|session| *session);
    }
    let (server, client) = CONFIGURATIONS
        .with_borrow_mut(|made| made.get_or_insert_with(|| configurations::pair(&TLS13)).clone());
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
