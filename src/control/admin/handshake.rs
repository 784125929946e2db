//! TLS at the admin API's address: handshakes in time and in number, and what a client without TLS is told.
//!
//! ```text
//!   accepted ─▶ first byte ─▶ hello ─▶ configuration chosen by it ─▶ handshake ─▶ stream, what is known of the client
//!                   └── no TLS: a request in plain HTTP is answered with 400
//! ```
//! What is presented is asked for at every handshake, so that certificates change without a word to those who are
//! connected. Of too many half-open handshakes the oldest is given up. Never waits longer than its deadline. Tested by
//! `tests/admin` over real sockets.

use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::HandshakeKind;
use rustls::crypto::SupportedKxGroup;
use rustls::server::{Acceptor, ServerConnection};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::actor::{ClientName, Secured};
use crate::challenges::{ACME_TLS, Proof};
use crate::control::runtime::Control;
use crate::telemetry::handshakes::Encrypted;
use crate::tls::listener::TlsListener;
use crate::tls::x509::{Facts, hex};
use crate::transport::tls::fault::HandshakeFault;

/// The time for a handshake, its first byte included.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes at a time; far fewer than connections, so that half-open ones leave room for others.
const IN_FLIGHT_MAX: usize = 64;
/// How long a client that was refused may take to close, so that a reset does not overtake the reason.
const LINGER: Duration = Duration::from_secs(1);
/// How many receives such a client's bytes are drained by.
const DRAINS: usize = 16;
/// Failed handshakes are logged so often at most; others are counted.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// An accepted connection, after its first bytes.
pub enum Shaken {
    Tls(Box<TlsStream<TcpStream>>, Secured),
    /// A request in plain HTTP, of which no byte was taken.
    Plain(TcpStream),
}

/// The handshakes of one socket. The control is asked what is presented, and counts.
pub struct Handshakes {
    control: Arc<Control>,
    half_open: Mutex<VecDeque<Arc<Notify>>>,
    log: Mutex<Log>,
}

/// When a failure was logged last, and how many have failed since.
#[derive(Default)]
struct Log {
    last: Option<Instant>,
    more: u64,
}

impl Handshakes {
    pub fn new(control: Arc<Control>) -> Handshakes {
        Handshakes { control, half_open: Mutex::default(), log: Mutex::default() }
    }

    /// Answers the handshake of one client; one that fails is told why, counted, logged and let go.
    pub async fn shake(&self, stream: TcpStream, client: IpAddr) -> Option<Shaken> {
        let turn = Turn::begin(&self.half_open);
        let mut server_name = None;
        let handshake = self.handshake(stream, &mut server_name);
        let result = tokio::select! {
            result = tokio::time::timeout(TIMEOUT, handshake) => {
                result.unwrap_or(Err(Some(HandshakeFault::Timeout)))
            }
            () = turn.given_up.notified() => Err(Some(HandshakeFault::Crowded)),
        };
        let fault = match &result {
            Ok(Shaken::Tls(..)) | Err(None) => None,
            Ok(Shaken::Plain(_)) => Some(HandshakeFault::PlainHttp),
            Err(Some(fault)) => Some(*fault),
        };
        if let Some(fault) = fault {
            self.note(fault, client, server_name.as_deref());
        }
        result.ok()
    }

    fn note(&self, fault: HandshakeFault, client: IpAddr, server_name: Option<&str>) {
        self.control.admin_handshakes().fail(fault.code());
        let mut log = own(&self.log);
        if log.last.is_some_and(|last| last.elapsed() < LOG_EVERY) {
            log.more = log.more.saturating_add(1);
            return;
        }
        let more = std::mem::take(&mut log.more);
        log.last = Some(Instant::now());
        let (client, server_name) = (client.to_canonical(), server_name.unwrap_or("-"));
        tracing::warn!(
            %client, server_name, reason = fault.code(), detail = %fault, more,
            "a TLS handshake with the admin API has failed"
        );
    }

    /// `Err(None)`: the client has sent nothing, as a probe of the port, or is an authority that has its proof.
    async fn handshake(
        &self,
        stream: TcpStream,
        named: &mut Option<Box<str>>,
    ) -> Result<Shaken, Option<HandshakeFault>> {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1) => {}
            Ok(_) | Err(_) => return Err(None),
        }
        if first[0].is_ascii_uppercase() {
            return Ok(Shaken::Plain(stream));
        }
        let tls = self.control.admin_tls().ok_or(HandshakeFault::Unusable)?;
        let (stream, secured) = secure(stream, &tls, named).await?;
        let session = stream.get_ref().1;
        self.control.admin_handshakes().succeed(&encrypted(session)?);
        if session.alpn_protocol() == Some(ACME_TLS) {
            // RFC 8737 §3: the handshake was the proof, and nothing follows it.
            let_go(stream).await;
            return Err(None);
        }
        Ok(Shaken::Tls(Box::new(stream), secured))
    }
}

/// What a session has agreed upon, after its handshake.
fn encrypted(session: &ServerConnection) -> Result<Encrypted, HandshakeFault> {
    let agreed = session.protocol_version().zip(session.negotiated_cipher_suite());
    let (version, suite) = agreed.ok_or(HandshakeFault::Unusable)?;
    let group = session.negotiated_key_exchange_group().map(SupportedKxGroup::name);
    let is_resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
    Ok(Encrypted::of(version, suite.suite(), group, is_resumed))
}

/// A handshake's place among those in flight.
struct Turn<'h> {
    half_open: &'h Mutex<VecDeque<Arc<Notify>>>,
    given_up: Arc<Notify>,
}

impl<'h> Turn<'h> {
    fn begin(half_open: &'h Mutex<VecDeque<Arc<Notify>>>) -> Turn<'h> {
        let given_up = Arc::new(Notify::new());
        let mut all = own(half_open);
        if all.len() >= IN_FLIGHT_MAX
            && let Some(oldest) = all.pop_front()
        {
            oldest.notify_one();
        }
        all.push_back(Arc::clone(&given_up));
        Turn { half_open, given_up }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        own(self.half_open).retain(|one| !Arc::ptr_eq(one, &self.given_up));
    }
}

/// Answers a ClientHello, which is on its way.
async fn secure(
    stream: TcpStream,
    tls: &TlsListener,
    named: &mut Option<Box<str>>,
) -> Result<(TlsStream<TcpStream>, Secured), HandshakeFault> {
    let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let start = match (&mut acceptor).await {
        Ok(start) => start,
        Err(error) => {
            if let Some(stream) = acceptor.take_io() {
                let_go(stream).await;
            }
            return Err(fault(&error));
        }
    };
    let hello = start.client_hello();
    *named = hello.server_name().map(Box::from);
    let asked = tls.challenge(&hello).map(|(challenges, key)| (Arc::clone(challenges), key));
    let proof = match asked {
        Some((challenges, key)) => challenges.search(key).await,
        None => None,
    };
    let chosen = match proof {
        Some(Proof::Handshake(config)) => Ok(config),
        Some(Proof::Content(_)) | None => tls.choose(&start.client_hello()),
    };
    let config = match chosen {
        Ok(config) => config,
        Err(refused) => {
            let mut stream = start.io;
            // A fatal alert in a record of its own (RFC 8446 §6).
            let _ = stream.write_all(&[21, 3, 3, 0, 2, 2, refused.alert().into()]).await;
            let_go(stream).await;
            return Err(HandshakeFault::UnknownName);
        }
    };
    let stream = match start.into_stream(config).into_fallible().await {
        Ok(stream) => stream,
        Err((error, stream)) => {
            let_go(stream).await;
            return Err(fault(&error));
        }
    };
    let session = stream.get_ref().1;
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    // webpki accepts a few certificates that have no readable name: those have no role.
    let certificate = leaf
        .and_then(|leaf| Facts::read(leaf).ok())
        .map(|facts| ClientName { subject: facts.subject, fingerprint: hex(&facts.fingerprint) });
    let profile = tls.handshake_profile(named.as_deref());
    let secured = Secured { server_name: named.clone(), profile, certificate };
    Ok((stream, secured))
}

/// Ends a connection so that what it was told last arrives.
async fn let_go(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let ending = async {
        stream.shutdown().await?;
        let mut bytes = [0; 1024];
        for _ in 0..DRAINS {
            if stream.read(&mut bytes).await? == 0 {
                break;
            }
        }
        Ok::<_, io::Error>(())
    };
    // A client that is gone, or that does not close, has had its time.
    let _ = tokio::time::timeout(LINGER, ending).await;
}

/// What rustls says inside of an error of the stream.
fn fault(error: &io::Error) -> HandshakeFault {
    let inner = error.get_ref().and_then(|inner| {
        let inner: &(dyn Error + 'static) = inner;
        inner.downcast_ref::<rustls::Error>()
    });
    inner.map_or(HandshakeFault::Gone, HandshakeFault::from)
}

/// Data behind these locks is never left half changed, so a poisoned lock can be used.
fn own<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
