//! Handshakes over a socket: a client's is answered, a target's begun.
//!
//! ```text
//!   accepted ─▶ hello ─▶ configuration chosen by it ─▶ handshake ─▶ stream, facts
//!                 └── no TLS: a request in plain HTTP is answered with 400
//! ```
//! The hello is read by rustls' acceptor first, which needs no configuration; then its bytes go to the session of the
//! chosen one. A fault is told to the peer before the socket is let go. Must never wait longer than it is given.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustls::crypto::SupportedKxGroup;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{Accepted, Acceptor, ClientHello};
use rustls::{
    AlertDescription, CipherSuite, ClientConfig, Error, HandshakeKind, InvalidMessage, NamedGroup,
    ProtocolVersion, ServerConfig,
};

use super::fault::HandshakeFault;
use super::helper::Lost;
use super::places::Place;
use super::session::Session;
pub use super::turns::Computes;
use crate::transport::stream::Stream;
use crate::uring::{Shutdown, Socket, buffers, pause};

/// The first byte of a record of the handshake (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
const FATAL: u8 = 2;
/// The most bytes of a hello.
const HELLO_MAX: usize = 64 * 1024;
/// How many receives a request without TLS is drained by, so that its answer is not lost to a reset.
const DRAINS: usize = 16;

/// What both sides have agreed upon.
#[derive(Debug)]
pub struct Facts {
    pub version: ProtocolVersion,
    pub cipher_suite: CipherSuite,
    /// `None` where a TLS 1.2 session was resumed.
    pub group: Option<NamedGroup>,
    /// The name that the client asked for; for a target's connection `None`.
    pub server_name: Option<Box<str>>,
    pub alpn: Option<Box<[u8]>>,
    pub is_resumed: bool,
    /// The peer's certificates, its own first; empty without.
    pub peer_certificates: Vec<CertificateDer<'static>>,
}

/// The configuration for a hello.
#[derive(Debug)]
pub struct Chosen {
    pub config: Arc<ServerConfig>,
    /// Where the hello is opened, and signed for.
    pub signs: Computes,
}

/// No configuration is for this hello; the client is told by an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unchosen {
    pub fault: HandshakeFault,
    pub alert: AlertDescription,
}

/// What a client's handshake is given, and what comes of it.
#[derive(Clone, Copy)]
pub struct Terms<'t> {
    pub place: &'t Place<'t>,
    /// It takes no longer than that, besides its waits for turns.
    pub time: Duration,
    /// Whether data to the client begins in small records.
    pub small_records: bool,
}

/// Answers a client's handshake, with the configuration that `choose` finds for its hello. `early` are bytes of the
/// client's that were received already, as behind a PROXY header.
///
/// # Errors
/// Why there is no TLS connection. The client has been told, and the stream is to be let go.
pub async fn accept<C>(
    plain: &Stream,
    early: Vec<u8>,
    choose: C,
    Terms { place, time, small_records }: Terms<'_>,
) -> Result<(Stream, Facts), HandshakeFault>
where
    C: AsyncFnOnce(&ClientHello<'_>) -> Result<Chosen, Unchosen>,
{
    let Some(socket) = plain.as_plain() else { return Err(HandshakeFault::Unusable) };
    let accepting = accepting(socket, early, choose, place);
    let accepted = in_time(socket, accepting, time, || place.time_in_line()).await;
    let (mut session, facts) = accepted.map_err(|fault| match fault {
        HandshakeFault::Gone if place.is_closed() => HandshakeFault::Crowded,
        fault => fault,
    })?;
    session.wants_small_records = small_records;
    Ok((Stream::tls(socket.clone(), session), facts))
}

/// Begins a handshake with a target of this name, over a connected socket.
///
/// # Errors
/// Why there is no TLS connection. The target has been told, and the socket is to be let go.
pub async fn connect(
    socket: Socket,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    patience: Duration,
) -> Result<(Stream, Facts), HandshakeFault> {
    let connecting = async {
        let mut session =
            Session::client(config, name).map_err(|error| HandshakeFault::from(&error))?;
        session.begin().map_err(|error| HandshakeFault::from(&error))?;
        shake(&socket, &mut session).await?;
        let facts = conclude(&mut session, None)?;
        Ok((session, facts))
    };
    let (session, facts) = in_time(&socket, connecting, patience, || Duration::ZERO).await?;
    Ok((Stream::tls(socket, session), facts))
}

/// Drives `work` to its end; when it has had its time, besides that in line, it ends because its socket does.
async fn in_time<T>(
    socket: &Socket,
    work: impl Future<Output = Result<T, HandshakeFault>>,
    time: Duration,
    time_in_line: impl Fn() -> Duration,
) -> Result<T, HandshakeFault> {
    let mut work = pin!(work);
    let mut limit = pin!(pause(time));
    let mut added = Duration::ZERO;
    let mut is_late = false;
    poll_fn(|cx| {
        if let Poll::Ready(result) = work.as_mut().poll(cx) {
            let late = Err(HandshakeFault::Timeout);
            return Poll::Ready(if is_late && result.is_err() { late } else { result });
        }
        while !is_late && limit.as_mut().poll(cx).is_ready() {
            let waited = time_in_line();
            if waited > added {
                limit.set(pause(waited - added));
                added = waited;
                continue;
            }
            is_late = true;
            socket.shutdown(Shutdown::Both);
            // What is in flight ends, and wakes; on engines that notice only when polled it is polled again.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await
}

async fn accepting<C>(
    socket: &Socket,
    early: Vec<u8>,
    choose: C,
    place: &Place<'_>,
) -> Result<(Session, Facts), HandshakeFault>
where
    C: AsyncFnOnce(&ClientHello<'_>) -> Result<Chosen, Unchosen>,
{
    let (accepted, mut bytes) = hello(socket, early).await?;
    let chosen = {
        let hello = accepted.client_hello();
        choose(&hello).await.map(|chosen| (chosen, hello.server_name().map(Box::from)))
    };
    drop(accepted);
    let (Chosen { config, signs }, server_name) = match chosen {
        Ok(chosen) => chosen,
        Err(Unchosen { fault, alert }) => {
            tell(socket, fatal(alert)).await;
            return Err(fault);
        }
    };
    let mut session = Session::server(config).map_err(|error| HandshakeFault::from(&error))?;
    let signing = Signing { place, signs };
    let opened = signing.open(&mut session, &mut bytes).await?;
    buffers::give_back(bytes);
    if let Err(error) = opened {
        tell(socket, session.take_control()).await;
        return Err((&error).into());
    }
    let kind = session.state().and_then(rustls::CommonState::handshake_kind);
    if kind == Some(HandshakeKind::FullWithHelloRetryRequest) {
        // The client's second hello is the one that is signed for.
        exchange(socket, &mut session, Some(signing)).await?;
    }
    shake(socket, &mut session).await?;
    place.succeed();
    let facts = conclude(&mut session, server_name)?;
    Ok((session, facts))
}

/// Receives a client's hello, and what may have come behind it.
async fn hello(socket: &Socket, early: Vec<u8>) -> Result<(Accepted, Vec<u8>), HandshakeFault> {
    let mut acceptor = Acceptor::default();
    let mut all: Vec<u8> = Vec::new();
    let mut early = Some(early).filter(|bytes| !bytes.is_empty());
    loop {
        let bytes = match early.take() {
            Some(bytes) => bytes,
            None => receive(socket).await?,
        };
        if all.is_empty() {
            match bytes.first() {
                Some(&HANDSHAKE) => {}
                Some(b'A'..=b'Z') => {
                    buffers::give_back(bytes);
                    return Err(refuse_http(socket).await);
                }
                Some(_) | None => return Err(HandshakeFault::NotTls),
            }
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match acceptor.read_tls(&mut rest) {
                Ok(count) if count > 0 => {}
                Ok(_) | Err(_) => return Err(HandshakeFault::Malformed),
            }
            match acceptor.accept() {
                Ok(Some(accepted)) => return Ok((accepted, join(all, bytes))),
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let mut out = Vec::new();
                    // Writing to memory does not fail.
                    let _ = alert.write_all(&mut out);
                    if let Some(alert) = alert_of(&error, &join(all, bytes)) {
                        out = fatal(alert);
                    }
                    tell(socket, out).await;
                    return Err((&error).into());
                }
            }
        }
        all = join(all, bytes);
        if all.len() > HELLO_MAX {
            return Err(HandshakeFault::Malformed);
        }
    }
}

fn fatal(alert: AlertDescription) -> Vec<u8> {
    vec![ALERT, 3, 3, 0, 2, FATAL, alert.into()]
}

/// The alert for a hello that cannot be read (RFC 8446 §5.1 and §6.2), where rustls tells another one, or none.
fn alert_of(error: &Error, received: &[u8]) -> Option<AlertDescription> {
    match error {
        // Older versions lack what rustls misses, and must be told that it is the version (RFC 8446 §4.2.1).
        Error::PeerIncompatible(_) if is_old(received) => Some(AlertDescription::ProtocolVersion),
        Error::InvalidMessage(InvalidMessage::MessageTooLarge) => {
            Some(AlertDescription::RecordOverflow)
        }
        Error::InvalidMessage(InvalidMessage::UnknownProtocolVersion) => {
            Some(AlertDescription::ProtocolVersion)
        }
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            Some(AlertDescription::UnexpectedMessage)
        }
        _ => None,
    }
}

/// Whether a hello offers nothing newer than TLS 1.1: the version stands behind the heads of record and message.
fn is_old(received: &[u8]) -> bool {
    const TLS_1_2: [u8; 2] = [3, 3];
    received.get(9..11).is_some_and(|version| version < TLS_1_2.as_slice())
}

fn join(mut all: Vec<u8>, bytes: Vec<u8>) -> Vec<u8> {
    if all.is_empty() {
        return bytes;
    }
    all.extend_from_slice(&bytes);
    buffers::give_back(bytes);
    all
}

/// Exchanges records until the handshake has ended. The last ones of this side are left to the stream.
async fn shake(socket: &Socket, session: &mut Session) -> Result<(), HandshakeFault> {
    while session.is_handshaking() {
        exchange(socket, session, None).await?;
    }
    Ok(())
}

/// How a hello is opened, for which rustls signs.
#[derive(Clone, Copy)]
struct Signing<'s> {
    place: &'s Place<'s>,
    signs: Computes,
}

impl Signing<'_> {
    /// Opens it when its turn has come.
    async fn open(
        self,
        session: &mut Session,
        bytes: &mut Vec<u8>,
    ) -> Result<Result<(), Error>, HandshakeFault> {
        let _turn = self.place.turn(self.signs).await?;
        match self.signs {
            Computes::Here => Ok(session.open(bytes, None)),
            Computes::Elsewhere => {
                let opened = self.place.helper().open(session, bytes).await;
                opened.map_err(|Lost| HandshakeFault::Malformed)
            }
        }
    }
}

/// Sends what is to be sent, and opens what comes next; `signing` where that is a hello.
async fn exchange(
    socket: &Socket,
    session: &mut Session,
    signing: Option<Signing<'_>>,
) -> Result<(), HandshakeFault> {
    if session.has_control() {
        let control = session.take_control();
        let length = control.len();
        let (sent, _) = socket.send(control, 0, true).await;
        if !sent.is_ok_and(|count| count == length) {
            return Err(HandshakeFault::Gone);
        }
    }
    let mut bytes = receive(socket).await?;
    let opened = match signing {
        Some(signing) => signing.open(session, &mut bytes).await?,
        None => session.open(&mut bytes, None),
    };
    buffers::give_back(bytes);
    if let Err(error) = opened {
        tell(socket, session.take_control()).await;
        return Err((&error).into());
    }
    Ok(())
}

async fn receive(socket: &Socket) -> Result<Vec<u8>, HandshakeFault> {
    match socket.recv_any().await {
        Ok(bytes) if !bytes.is_empty() => Ok(bytes),
        Ok(_) | Err(_) => Err(HandshakeFault::Gone),
    }
}

/// Sends the last bytes of this side.
async fn tell(socket: &Socket, bytes: Vec<u8>) {
    if !bytes.is_empty() {
        // A peer that is gone need not be told.
        let _ = socket.send(bytes, 0, true).await;
    }
    socket.shutdown(Shutdown::Write);
}

async fn refuse_http(socket: &Socket) -> HandshakeFault {
    const TEXT: &str = "This port speaks HTTPS, and the request came without TLS.\n";
    let length = TEXT.len();
    let response = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{TEXT}"
    );
    tell(socket, response.into_bytes()).await;
    for _ in 0..DRAINS {
        match receive(socket).await {
            Ok(bytes) => buffers::give_back(bytes),
            Err(_) => break,
        }
    }
    HandshakeFault::PlainHttp
}

/// Says what was agreed upon, and leaves behind what only a handshake needs.
fn conclude(session: &mut Session, server_name: Option<Box<str>>) -> Result<Facts, HandshakeFault> {
    let state = session.state().ok_or(HandshakeFault::Malformed)?;
    let (Some(version), Some(suite)) = (state.protocol_version(), state.negotiated_cipher_suite())
    else {
        return Err(HandshakeFault::Malformed);
    };
    let facts = Facts {
        version,
        cipher_suite: suite.suite(),
        group: state.negotiated_key_exchange_group().map(SupportedKxGroup::name),
        server_name,
        alpn: state.alpn_protocol().map(Box::from),
        is_resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
        peer_certificates: state.peer_certificates().map(<[_]>::to_vec).unwrap_or_default(),
    };
    session.take_over().map_err(|error| HandshakeFault::from(&error))?;
    Ok(facts)
}
