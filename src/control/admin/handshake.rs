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

use rustls::server::Acceptor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::actor::{ClientName, Secured};
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

/// What the admin API presents at this moment; `None` where it is plain.
pub type Presented = Arc<dyn Fn() -> Option<Arc<TlsListener>> + Send + Sync>;

/// An accepted connection, after its first bytes.
pub enum Shaken {
    Tls(Box<TlsStream<TcpStream>>, Secured),
    /// A request in plain HTTP, of which no byte was taken.
    Plain(TcpStream),
}

/// Why there is no TLS connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unshaken {
    Fault(HandshakeFault),
    /// It was the oldest of too many.
    Displaced,
}

impl Unshaken {
    fn code(self) -> &'static str {
        match self {
            Unshaken::Fault(fault) => fault.code(),
            Unshaken::Displaced => "displaced",
        }
    }
}

impl From<HandshakeFault> for Unshaken {
    fn from(fault: HandshakeFault) -> Unshaken {
        Unshaken::Fault(fault)
    }
}

/// The handshakes of one socket.
pub struct Handshakes {
    presented: Presented,
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
    pub fn new(presented: Presented) -> Handshakes {
        Handshakes { presented, half_open: Mutex::default(), log: Mutex::default() }
    }

    /// Answers the handshake of one client; one that fails is told why, logged and let go.
    pub async fn shake(&self, stream: TcpStream, client: IpAddr) -> Option<Shaken> {
        let turn = Turn::begin(&self.half_open);
        let mut server_name = None;
        let handshake = handshake(stream, &self.presented, &mut server_name);
        let result = tokio::select! {
            result = tokio::time::timeout(TIMEOUT, handshake) => {
                result.unwrap_or(Err(HandshakeFault::Timeout.into()))
            }
            () = turn.given_up.notified() => Err(Unshaken::Displaced),
        };
        match result {
            Ok(shaken) => Some(shaken),
            Err(unshaken) => {
                self.note(unshaken, client, server_name.as_deref());
                None
            }
        }
    }

    fn note(&self, unshaken: Unshaken, client: IpAddr, server_name: Option<&str>) {
        // A probe of the port is no failure.
        if unshaken == Unshaken::Fault(HandshakeFault::Gone) {
            return;
        }
        let mut log = own(&self.log);
        if log.last.is_some_and(|last| last.elapsed() < LOG_EVERY) {
            log.more = log.more.saturating_add(1);
            return;
        }
        let more = std::mem::take(&mut log.more);
        log.last = Some(Instant::now());
        let (client, reason) = (client.to_canonical(), unshaken.code());
        tracing::warn!(%client, server_name, reason, more, "a TLS handshake with the admin API failed");
    }
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

async fn handshake(
    stream: TcpStream,
    presented: &Presented,
    named: &mut Option<Box<str>>,
) -> Result<Shaken, Unshaken> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1) => {}
        Ok(_) | Err(_) => return Err(HandshakeFault::Gone.into()),
    }
    if first[0].is_ascii_uppercase() {
        return Ok(Shaken::Plain(stream));
    }
    let Some(tls) = presented() else { return Err(HandshakeFault::Unusable.into()) };
    let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let start = match (&mut acceptor).await {
        Ok(start) => start,
        Err(error) => {
            if let Some(stream) = acceptor.take_io() {
                let_go(stream).await;
            }
            return Err(fault(&error).into());
        }
    };
    let hello = start.client_hello();
    *named = hello.server_name().map(Box::from);
    let chosen = tls.choose(&hello);
    let config = match chosen {
        Ok(config) => config,
        Err(refused) => {
            let mut stream = start.io;
            // A fatal alert in a record of its own (RFC 8446 §6).
            let _ = stream.write_all(&[21, 3, 3, 0, 2, 2, refused.alert().into()]).await;
            let_go(stream).await;
            return Err(HandshakeFault::UnknownName.into());
        }
    };
    let stream = match start.into_stream(config).into_fallible().await {
        Ok(stream) => stream,
        Err((error, stream)) => {
            let_go(stream).await;
            return Err(fault(&error).into());
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
    Ok(Shaken::Tls(Box::new(stream), secured))
}

/// Ends a connection so that what it was told last arrives.
async fn let_go(mut stream: TcpStream) {
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
