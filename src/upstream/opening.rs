//! A connection to a target that is being made: its socket, and what comes on it before the first request.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ClientConfig;

use super::connection::TargetConnection;
use super::h1::Lease;
use crate::exchange::failure::Failure;
use crate::exchange::local::Local;
use crate::exchange::target::Connected;
use crate::telemetry::counters::Counter;
use crate::tls::target::{ConnectionId, PeerName};
use crate::transport::connect::{self, Connect, ConnectFault, Socket};
use crate::transport::stream::Stream;
use crate::transport::tls::fault::HandshakeFault;
use crate::transport::tls::handshake;

/// How much longer than its time a handshake waits by itself: who waits for it ends it first.
const SLACK: Duration = Duration::from_secs(1);

/// A connection that one exchange has made for itself.
pub struct Opening<'a> {
    pub(super) local: &'a Local,
    pub(super) connect: Connect,
    pub(super) step: Step,
}

/// What is done on a new socket before requests; boxed, since it is made once for many of them.
type Beginning = Pin<Box<dyn Future<Output = Result<Stream, Failure>>>>;

/// What a connection that is being made waits for.
pub(super) enum Step {
    Socket,
    /// Its socket, which then begins with more than requests.
    SocketFor(Box<Asked>),
    Beginning(Beginning, ConnectionId),
}

/// What a connection begins with.
pub struct Asked {
    pub(super) id: ConnectionId,
    /// A PROXY header.
    pub(super) header: Option<Vec<u8>>,
    /// Requests go in HTTP/2.
    pub(super) is_http2: bool,
    pub(super) handshake: Option<Handshake>,
}

/// What a handshake begins with.
pub(super) struct Handshake {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: PeerName,
    pub(super) timeout: Duration,
}

impl Asked {
    /// Does on a new socket what comes before the first request.
    pub(super) async fn begin(self, socket: Socket) -> Result<Stream, Failure> {
        if let Some(header) = self.header {
            connect::send_first(&socket, header).await.map_err(failure)?;
        }
        let Some(Handshake { config, name, timeout }) = self.handshake else {
            return Ok(Stream::to_target(socket));
        };
        let PeerName { server_name, .. } = name;
        let shaken = handshake::connect(socket, config, server_name, timeout + SLACK);
        let (stream, facts) = shaken.await.map_err(Failure::Handshake)?;
        // A target that names no protocol speaks HTTP/1.1.
        let is_http2 = facts.alpn.as_deref() == Some(b"h2");
        if is_http2 == self.is_http2 {
            Ok(stream)
        } else {
            Err(Failure::Handshake(HandshakeFault::NoProtocol))
        }
    }
}

impl Opening<'_> {
    pub(super) fn poll_connected(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Connected<Lease>, Failure>> {
        if !matches!(self.step, Step::Beginning(..)) {
            let connected = ready!(self.connect.poll_connected(cx));
            let socket = match connected.map_err(failure) {
                Ok(socket) => socket,
                Err(failure) => return Poll::Ready(Err(failure)),
            };
            let Step::SocketFor(asked) = std::mem::replace(&mut self.step, Step::Socket) else {
                let stream = Stream::to_target(socket);
                return Poll::Ready(Ok(self.opened(stream, ConnectionId::PLAIN)));
            };
            let (id, shakes) = (asked.id, asked.handshake.is_some());
            self.step = Step::Beginning(Box::pin(asked.begin(socket)), id);
            if shakes {
                return Poll::Ready(Ok(Connected::Shakes));
            }
        }
        let Step::Beginning(beginning, id) = &mut self.step else { return Poll::Pending };
        let (id, begun) = (*id, ready!(beginning.as_mut().poll(cx)));
        Poll::Ready(begun.map(|stream| self.opened(stream, id)))
    }

    fn opened(&self, stream: Stream, id: ConnectionId) -> Connected<Lease> {
        self.local.counters.add(Counter::TargetConnectionsOpened, 1);
        Connected::Ready(Lease::new(TargetConnection::new(stream, id)))
    }
}

pub(super) fn failure(fault: ConnectFault) -> Failure {
    match fault {
        ConnectFault::Refused => Failure::ConnectRefused,
        ConnectFault::Timeout => Failure::ConnectTimeout,
        ConnectFault::NoSocket => Failure::NoSocket,
        ConnectFault::Failed => Failure::ConnectFailed,
    }
}
