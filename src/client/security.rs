//! A client's TLS handshake: the first thing on a connection of a TLS listener, behind a PROXY header.
//!
//! A handshake that fails is no request: it is counted by its fault, and told once a second at most. Tested by
//! `tests/blackbox/tls`.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use rustls::server::ClientHello;

use super::clients::Clients;
use super::connection::Connection;
use crate::challenges::{ACME_TLS, Proof};
use crate::exchange::caller::Encryption;
use crate::snapshot::Listener;
use crate::telemetry::handshakes::Encrypted;
use crate::telemetry::series::ListenerBlock;
use crate::time::alarms::Waits;
use crate::time::clock::{Millis, NEVER};
use crate::time::stop::LAST_REQUEST;
use crate::tls::client_auth::ClientCertificate;
use crate::tls::listener::TlsListener;
use crate::transport::stream::Stream;
use crate::transport::tls::fault::HandshakeFault;
use crate::transport::tls::handshake::{self, Chosen, Computes, Facts, Terms, Unchosen};
use crate::transport::tls::places::{Limits, Place};

/// A connection whose handshake is done.
pub struct Secured {
    pub stream: Stream,
    pub encryption: Encryption,
}

/// Makes the handshake of a connection, whose first bytes may have come already.
pub async fn secure(
    connection: &Connection,
    listener: &Listener,
    tls: &Arc<TlsListener>,
    early: Vec<u8>,
) -> Option<Secured> {
    // The name that the client asks for, as soon as it is known.
    let asked = RefCell::new(None);
    let shaken = shake(connection, (listener, tls), early, async |hello: &ClientHello<'_>| {
        *asked.borrow_mut() = hello.server_name().map(Box::from);
        if let Some((challenges, key)) = tls.challenge(hello)
            && let Some(Proof::Handshake(config)) = challenges.search(key).await
        {
            return Ok(Chosen { config, signs: Computes::Here });
        }
        let config = tls.choose(hello).map_err(|refused| Unchosen {
            fault: HandshakeFault::UnknownName,
            alert: refused.alert(),
        })?;
        let is_slow = tls.signs_slowly(hello);
        let Clients { handshakes, local, .. } = &*connection.clients;
        let signs = match is_slow && handshakes.serves_others(local.counters.requests()) {
            true => Computes::Elsewhere,
            false => Computes::Here,
        };
        Ok(Chosen { config, signs })
    });
    let local = &connection.clients.local;
    let block = listener.series.of(local.index).map(ListenerBlock::handshakes);
    match shaken.await {
        Ok((stream, facts)) => {
            if let Some(block) = block {
                block.succeed(&encrypted(&facts));
            }
            if facts.alpn.as_deref() == Some(ACME_TLS) {
                // RFC 8737 §3: the handshake was the proof, and nothing follows it.
                stream.end_sending();
                return None;
            }
            Some(Secured { stream, encryption: encryption(tls, facts) })
        }
        Err(Some(fault)) => {
            if let Some(block) = block {
                block.fail(fault.code());
            }
            complain(connection, listener, (fault, asked.into_inner()));
            None
        }
        Err(None) => None,
    }
}

/// `Err(None)`: the connection ends because limpet stops or needs its place.
async fn shake<C>(
    connection: &Connection,
    (listener, tls): (&Listener, &TlsListener),
    early: Vec<u8>,
    choose: C,
) -> Result<(Stream, Facts), Option<HandshakeFault>>
where
    C: AsyncFnOnce(&ClientHello<'_>) -> Result<Chosen, Unchosen>,
{
    let Connection { client, alarm, clients, .. } = connection;
    let place = place(connection, listener).await?;
    let terms = Terms {
        place: &place,
        time: listener.timeouts.handshake,
        small_records: tls.has_small_records(),
    };
    let accepting = pin!(handshake::accept(client, early, choose, terms));
    let (shaken, expired) =
        alarm.bound_waiting(deadline(connection), Waits::Fresh, accepting, || client.end()).await;
    let is_ours = expired && (clients.local.stop.has_begun() || alarm.is_evicted());
    shaken.map_err(|fault| Some(fault).filter(|_| !is_ours))
}

/// A stop gives a handshake as long as it gives the first request.
fn deadline(connection: &Connection) -> Millis {
    let local = &connection.clients.local;
    if local.stop.has_begun() { local.clock.deadline(LAST_REQUEST) } else { NEVER }
}

/// Waits for a place among the handshakes of the shard, as long as the connection may wait.
async fn place<'c>(
    connection: &'c Connection,
    listener: &Listener,
) -> Result<Place<'c>, Option<HandshakeFault>> {
    let Connection { client, alarm, clients, .. } = connection;
    let Some(socket) = client.as_plain() else { return Err(Some(HandshakeFault::Unusable)) };
    let limits = Limits { count: listener.handshakes, per_second: listener.handshakes_per_second };
    let mut place = pin!(clients.handshakes.place(socket, limits));
    alarm.set_waiting(deadline(connection), Waits::Fresh);
    poll_fn(|cx| match place.as_mut().poll(cx) {
        Poll::Ready(place) => Poll::Ready(place.map_err(|too_long| Some(too_long.into()))),
        Poll::Pending if alarm.poll_fired(cx) => Poll::Ready(Err(None)),
        Poll::Pending => Poll::Pending,
    })
    .await
}

fn encryption(tls: &TlsListener, facts: Facts) -> Encryption {
    let of_client = facts.peer_certificates.first();
    let certificate = of_client.and_then(|der| ClientCertificate::of(der).ok()).map(Box::new);
    let Encrypted { version, cipher, .. } = encrypted(&facts);
    Encryption {
        version: version.word().into(),
        cipher: cipher.into(),
        is_resumed: Some(facts.is_resumed),
        profile: Some(tls.handshake_profile(facts.server_name.as_deref())),
        server_name: facts.server_name,
        alpn: facts.alpn,
        certificate,
    }
}

fn encrypted(facts: &Facts) -> Encrypted {
    Encrypted::of(facts.version, facts.cipher_suite, facts.group, facts.is_resumed)
}

fn complain(
    connection: &Connection,
    listener: &Listener,
    (fault, asked): (HandshakeFault, Option<Box<str>>),
) {
    let clients = &connection.clients;
    clients.local.counters.count_code(fault.code());
    if clients.warnings.may(clients.local.clock.now_ms()) {
        tracing::warn!(
            listener = %listener.name,
            client = %connection.caller.peer().text(),
            server_name = asked.as_deref().unwrap_or("-"),
            reason = fault.code(),
            detail = %fault,
            "a TLS handshake has failed"
        );
    }
}
