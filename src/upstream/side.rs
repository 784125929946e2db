//! One end of a tunnel on a stream of its own.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::exchange::content::SendFault;
use crate::exchange::tunnel::{self, Reader, Writer};
use crate::time::patience::Patience;
use crate::transport::sending;
use crate::transport::stream::{Recv, RecvAny, Stream};
use crate::uring::buffers;

/// A stream whose bytes belong to a tunnel.
pub struct Plain {
    stream: Stream,
    early: Vec<u8>,
    first: First,
}

/// The receive that was submitted before the tunnel began.
pub enum First {
    None,
    InFlight(RecvAny),
    Arrived(io::Result<Vec<u8>>),
}

/// The receiving half.
pub struct PlainReader {
    stream: Stream,
    /// Bytes that came before the tunnel began.
    early: Vec<u8>,
    first: First,
    large: Option<Recv>,
}

/// The sending half.
pub struct PlainWriter {
    stream: Stream,
}

impl Plain {
    /// The tunnel's first bytes are `early`, which came before it began, then those that `first` brings.
    pub fn new(stream: Stream, early: Vec<u8>, first: First) -> Plain {
        Plain { stream, early, first }
    }
}

impl tunnel::Side for Plain {
    type Reader = PlainReader;
    type Writer = PlainWriter;

    fn split(self) -> (PlainReader, PlainWriter) {
        let Plain { stream, early, first } = self;
        let writer = PlainWriter { stream: stream.clone() };
        (PlainReader { stream, early, first, large: None }, writer)
    }
}

impl Reader for PlainReader {
    fn poll_receive(&mut self, is_bulk: bool, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        if !self.early.is_empty() {
            return Poll::Ready(Ok(std::mem::take(&mut self.early)));
        }
        if let First::Arrived(result) = &mut self.first {
            let result = std::mem::replace(result, Ok(Vec::new()));
            self.first = First::None;
            return Poll::Ready(result);
        }
        if matches!(self.first, First::None) && (self.large.is_some() || is_bulk) {
            let large = self.large.get_or_insert_with(|| self.stream.recv(buffers::large()));
            let (result, buffer) = ready!(Pin::new(large).poll(cx));
            self.large = None;
            return Poll::Ready(result.map(|_| buffer));
        }
        if matches!(self.first, First::None) {
            self.first = First::InFlight(self.stream.recv_any());
        }
        let First::InFlight(receive) = &mut self.first else { return Poll::Pending };
        let result = ready!(Pin::new(receive).poll(cx));
        self.first = First::None;
        Poll::Ready(result)
    }

    fn end_receiving(&self) {
        self.stream.end_receiving();
    }
}

impl Writer for PlainWriter {
    async fn send(&self, bytes: Vec<u8>, patience: Patience<'_>) -> Result<(), SendFault> {
        buffers::give_back(sending::send_all(&self.stream, bytes, 0, patience).await?);
        Ok(())
    }

    fn is_reset(&self) -> bool {
        self.stream.is_reset()
    }

    fn end_sending(&self) {
        self.stream.end_sending();
    }

    fn end(&self) {
        self.stream.end();
    }

    fn abort(&self) {
        self.stream.abort();
    }
}

#[cfg(test)]
#[path = "side_tests.rs"]
mod tests;
