//! Operations that were handed to the kernel ahead of the moment in which their result is needed.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::stream::Stream;
use crate::shard::alarms::Alarm;
use crate::shard::clock::{Clock, Millis, NEVER};
use crate::uring::{RecvAny, Send};

/// How long a client that has ended its side may still be waiting for the response: one that only
/// half-closed gets a quick one; one that closed, as most do, is not worked for any longer.
const CLIENT_GONE: Duration = Duration::from_secs(1);

/// The receive of the client's next request, submitted together with the request before it went out.
#[derive(Default)]
pub enum NextReceive {
    #[default]
    None,
    InFlight(RecvAny),
    Arrived(io::Result<Vec<u8>>),
}

/// Whether a client is still at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    There,
    /// It has sent all it will: it closed, or half-closed and still reads.
    Ended,
    Reset,
}

impl NextReceive {
    #[inline]
    pub fn start(client: &Stream) -> NextReceive {
        NextReceive::InFlight(client.recv_any())
    }

    pub fn is_none(&self) -> bool {
        matches!(self, NextReceive::None)
    }

    /// Completes it when its bytes are there. `true` when nothing more is to be waited for.
    pub fn poll_arrived(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            NextReceive::InFlight(receive) => match Pin::new(receive).poll(cx) {
                Poll::Ready(result) => {
                    *self = NextReceive::Arrived(result);
                    true
                }
                Poll::Pending => false,
            },
            NextReceive::None | NextReceive::Arrived(_) => true,
        }
    }

    /// What the receive tells of the client, as far as it has completed.
    pub fn client(&self) -> Client {
        match self {
            NextReceive::Arrived(Err(_)) => Client::Reset,
            NextReceive::Arrived(Ok(bytes)) if bytes.is_empty() => Client::Ended,
            NextReceive::Arrived(Ok(_)) | NextReceive::InFlight(_) | NextReceive::None => {
                Client::There
            }
        }
    }

    /// Awaits what is in flight and takes the result; an empty buffer is the end of the stream.
    pub async fn finish(&mut self) -> io::Result<Vec<u8>> {
        poll_fn(|cx| if self.poll_arrived(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
        self.take_arrived()
    }

    /// What has arrived; an empty buffer is the end of the stream.
    pub fn take_arrived(&mut self) -> io::Result<Vec<u8>> {
        match std::mem::take(self) {
            NextReceive::Arrived(result) => result,
            NextReceive::None | NextReceive::InFlight(_) => Ok(Vec::new()),
        }
    }
}

/// A send whose completion nobody needs to be woken for: the kernel finishes it by itself, and it is
/// looked at when something else has woken the task.
#[derive(Default)]
pub enum PendingSend {
    #[default]
    None,
    InFlight {
        send: Send,
        length: usize,
    },
    Done(io::Result<()>, Vec<u8>),
}

impl PendingSend {
    /// Starts to send all of `bytes`.
    #[inline]
    pub fn start(stream: &Stream, bytes: Vec<u8>) -> PendingSend {
        let length = bytes.len();
        PendingSend::InFlight { send: stream.send(bytes, 0, true), length }
    }

    /// Drives it where the engine does not do so by itself.
    #[inline]
    pub fn poll_if_needed(&mut self, cx: &mut Context<'_>) {
        if let PendingSend::InFlight { send, .. } = self
            && !send.runs_by_itself()
        {
            let _ = self.poll_done(cx);
        }
    }

    /// Drives it to its end and keeps what came of it.
    pub fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let PendingSend::InFlight { .. } = self {
            let (result, buffer) = std::task::ready!(Pin::new(&mut *self).poll(cx));
            *self = PendingSend::Done(result, buffer);
        }
        Poll::Ready(())
    }
}

/// Drives it to its end and takes its result and buffer.
impl Future for PendingSend {
    type Output = (io::Result<()>, Vec<u8>);
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let PendingSend::InFlight { send, length } = &mut *self {
            let (result, buffer) = std::task::ready!(Pin::new(send).poll(cx));
            let result = match result {
                Ok(sent) if sent == *length => Ok(()),
                Ok(_) => Err(io::ErrorKind::WriteZero.into()),
                Err(error) => Err(error),
            };
            *self = PendingSend::None;
            return Poll::Ready((result, buffer));
        }
        Poll::Ready(match std::mem::take(&mut *self) {
            PendingSend::Done(result, buffer) => (result, buffer),
            PendingSend::None | PendingSend::InFlight { .. } => (Ok(()), Vec::new()),
        })
    }
}

/// What goes on at the client's side of an exchange while it goes on, and from one to the next.
#[derive(Default)]
pub struct Ahead {
    /// The last bytes of a response, on their way.
    pub last: PendingSend,
    /// The receive of the next request, when it was submitted already.
    pub next: NextReceive,
}

/// What came of watching the client while the target was waited for.
pub enum Watched<T> {
    Output(T),
    ClientGone,
}

/// Awaits a receive from the target until a deadline, and with it looks after what else is in flight:
/// the request's send, and the client's next receive, which tells when the client goes away. The target's
/// connection is then aborted; the receive is always awaited to its end. Output: what came of it, and whether the
/// time was up.
pub struct Watch<'a, F> {
    pub receive: F,
    /// The receive has been looked at in this turn already.
    pub is_awaited: bool,
    pub sending: &'a mut PendingSend,
    pub next: &'a mut NextReceive,
    pub target: &'a Stream,
    pub alarm: &'a Alarm,
    pub clock: &'a Clock,
    /// Until when; the end of an upload that runs beside may set it only now.
    pub deadline: &'a Cell<Millis>,
    /// The deadline that the alarm has been armed with.
    pub armed: Millis,
    /// The client has ended its side, and has a moment left.
    pub client_has_ended: bool,
    pub is_up: bool,
}

impl<F: Unpin> Unpin for Watch<'_, F> {}

impl<F: Future> Watch<'_, F> {
    fn end(&self, output: F::Output) -> (Watched<F::Output>, bool) {
        let is_reset = self.next.client() == Client::Reset;
        if is_reset || (self.is_up && self.client_has_ended) {
            return (Watched::ClientGone, self.is_up);
        }
        (Watched::Output(output), self.is_up)
    }

    /// Arms the alarm for what comes first: the deadline, or the end of an ended client's moment.
    fn arm(&mut self) {
        self.armed = self.deadline.get();
        let gone = if self.client_has_ended { self.clock.deadline(CLIENT_GONE) } else { NEVER };
        self.alarm.set(gone.min(self.armed));
    }

    /// Looks whether the client is there.
    fn look(&mut self, cx: &mut Context<'_>) {
        if !self.next.poll_arrived(cx) {
            return;
        }
        match self.next.client() {
            Client::There => {}
            Client::Ended => {
                if !self.client_has_ended {
                    self.client_has_ended = true;
                    self.arm();
                }
            }
            Client::Reset => self.target.abort(),
        }
    }
}

impl<F: Future + Unpin> Future for Watch<'_, F> {
    type Output = (Watched<F::Output>, bool);
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.sending.poll_if_needed(cx);
        if !std::mem::take(&mut this.is_awaited)
            && let Poll::Ready(output) = Pin::new(&mut this.receive).poll(cx)
        {
            return Poll::Ready(this.end(output));
        }
        this.look(cx);
        if this.armed != this.deadline.get() {
            this.arm();
        }
        if !this.is_up && this.alarm.poll_fired(cx) {
            this.is_up = true;
            this.target.abort();
            if let Poll::Ready(output) = Pin::new(&mut this.receive).poll(cx) {
                return Poll::Ready(this.end(output));
            }
        }
        Poll::Pending
    }
}
