//! Receive, send, connect and the wait for a connection as io_uring opcodes, for either of the two drivers.
//!
//! Every operation's data owns what the kernel uses: the buffer or address, and the socket, whose descriptor therefore
//! stays open until the completion. An operation that is dropped in flight keeps its data all the same: each driver
//! does that in its own way.

use std::future::Future;
use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use io_uring::{cqueue, opcode, squeue, types};
use socket2::SockAddr;

use super::driver::flow::Arrival;
use super::driver::flowing::{self, FlowKey};
use super::engine::{self, Engine};
use super::operation::{Completion, Operation};
use super::place::Place;
use super::socket::Socket;
use super::{buffers, driver, provided, tokio_ring};

/// An operation from its submission to its completion.
pub(super) enum InFlight<D: Operation> {
    Driver(driver::InFlight<D>),
    Tokio(tokio_ring::InFlight<D>),
}

impl<D: Operation> Future for InFlight<D> {
    type Output = D::Output;
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<D::Output> {
        match &mut *self {
            InFlight::Driver(op) => Pin::new(op).poll(cx),
            InFlight::Tokio(op) => Pin::new(op).poll(cx),
        }
    }
}

pub(super) fn submit<D: Operation>(data: D, entry: squeue::Entry) -> InFlight<D> {
    match engine::current() {
        Engine::IoUring => InFlight::Driver(driver::submit(data, entry)),
        #[cfg(test)]
        Engine::Simulated => panic!("there is no ring in a simulated world"),
        Engine::TokioUring | Engine::Epoll => InFlight::Tokio(tokio_ring::submit(data, entry)),
    }
}

fn descriptor(socket: &Socket) -> types::Fd {
    types::Fd(socket.raw().as_raw_fd())
}

/// Most bytes one operation asks for.
fn clamp(length: usize) -> u32 {
    length.min(1 << 30) as u32
}

// ---- receive into a buffer of the caller's ----

pub(super) struct RecvData {
    pub(super) buffer: Vec<u8>,
    _socket: Socket,
}
pub(super) type RingRecv = InFlight<RecvData>;

impl Operation for RecvData {
    type Output = (io::Result<usize>, Vec<u8>);
    fn complete(self, completion: Completion) -> Self::Output {
        let mut buffer = self.buffer;
        let result = completion.result();
        if let Ok(count) = result {
            // SAFETY: the kernel wrote `count` bytes after the buffer's old length, within the spare
            // capacity it was given in `recv`.
            unsafe { buffer.set_len((buffer.len() + count).min(buffer.capacity())) };
        }
        (result, buffer)
    }
}

pub(super) fn recv(socket: &Socket, mut buffer: Vec<u8>) -> RingRecv {
    let spare = buffer.spare_capacity_mut();
    let room = clamp(spare.len().saturating_sub(buffers::TAIL_BYTES));
    let entry = opcode::Recv::new(descriptor(socket), spare.as_mut_ptr().cast(), room).build();
    submit(RecvData { buffer, _socket: socket.clone() }, entry)
}

// ---- receive into a buffer that the ring picks ----

pub(super) struct RecvProvidedData {
    _socket: Socket,
}
pub(super) type RingRecvProvided = InFlight<RecvProvidedData>;

impl Operation for RecvProvidedData {
    type Output = io::Result<Vec<u8>>;
    fn complete(self, done: Completion) -> Self::Output {
        RecvProvidedData::completed(done)
    }
}

impl RecvProvidedData {
    fn completed(done: Completion) -> io::Result<Vec<u8>> {
        let result = done.result();
        // The slot that the kernel has used is refilled whether the receive succeeded or not.
        let taken = cqueue::buffer_select(done.flags)
            .and_then(|slot| provided::take(slot, *result.as_ref().unwrap_or(&0)));
        arrived(result?, taken)
    }
}

/// The result of a receive of `count` bytes. Without a buffer it is the end of the stream only when `count` is 0.
fn arrived(count: usize, taken: Option<Vec<u8>>) -> io::Result<Vec<u8>> {
    let buffer = taken.unwrap_or_default();
    if buffer.len() == count {
        Ok(buffer)
    } else {
        Err(io::Error::other("bytes arrived in a buffer that the ring does not have"))
    }
}

/// Has the kernel wait for bytes before it tries to take any (`IORING_RECVSEND_POLL_FIRST`): saves the
/// attempt that fails.
fn poll_first(entry: squeue::Entry) -> squeue::Entry {
    with_ioprio(entry, POLL_FIRST)
}

const POLL_FIRST: u16 = 1;
const MULTISHOT: u16 = 2;

fn with_ioprio(mut entry: squeue::Entry, value: u16) -> squeue::Entry {
    const IOPRIO_AT: usize = 2;
    const {
        assert!(size_of::<squeue::Entry>() == 64 && align_of::<squeue::Entry>() >= 8);
    }
    // SAFETY: an entry is the kernel's `struct io_uring_sqe` of 64 bytes.
    let ioprio = unsafe { (&raw mut entry).cast::<u8>().add(IOPRIO_AT) };
    // SAFETY: there, aligned, is its `ioprio` of two bytes.
    unsafe { ioprio.cast::<u16>().write(value) };
    entry
}

pub(super) fn recv_provided(socket: &Socket) -> RingRecvProvided {
    let entry = opcode::Recv::new(descriptor(socket), std::ptr::null_mut(), 0)
        .buf_group(provided::GROUP)
        .build()
        .flags(squeue::Flags::BUFFER_SELECT);
    // As a rule nothing has arrived yet: a receive is begun before the peer can have sent.
    submit(RecvProvidedData { _socket: socket.clone() }, poll_first(entry))
}

/// Begins a receive that goes on, into buffers that the ring picks; `None` when the ring takes nothing.
pub(super) fn begin_flow(socket: &Socket) -> Option<FlowKey> {
    let entry = opcode::RecvMulti::new(descriptor(socket), provided::GROUP).build();
    flowing::begin(with_ioprio(entry, POLL_FIRST | MULTISHOT))
}

/// The bytes of a flow's arrival.
pub(super) fn flowed(arrival: Arrival) -> io::Result<Vec<u8>> {
    match arrival {
        Arrival::Taken(bytes) => Ok(bytes),
        Arrival::InSlot(done) => RecvProvidedData::completed(done),
    }
}

// ---- send ----

pub(super) struct SendData {
    buffer: Vec<u8>,
    _socket: Socket,
}
pub(super) type RingSend = InFlight<SendData>;

impl Operation for SendData {
    type Output = (io::Result<usize>, Vec<u8>);
    fn complete(self, completion: Completion) -> Self::Output {
        (completion.result(), self.buffer)
    }
}

/// `whole`: the kernel itself goes on until every byte is taken or an error ends it.
pub(super) fn send(socket: &Socket, buffer: Vec<u8>, from: usize, whole: bool) -> RingSend {
    let bytes = buffer.get(from..).unwrap_or_default();
    let flags = libc::MSG_NOSIGNAL | if whole { libc::MSG_WAITALL } else { 0 };
    let entry = opcode::Send::new(descriptor(socket), bytes.as_ptr(), clamp(bytes.len()))
        .flags(flags)
        .build();
    driver::completes_soon();
    submit(SendData { buffer, _socket: socket.clone() }, entry)
}

// ---- connect ----

pub(super) struct ConnectData {
    /// The kernel reads it at submission, after this struct has moved.
    _address: Place<SockAddr>,
    socket: Socket,
}
pub(super) type RingConnect = InFlight<ConnectData>;

impl Operation for ConnectData {
    type Output = io::Result<Socket>;
    fn complete(self, done: Completion) -> Self::Output {
        done.result().map(|_| self.socket)
    }
}

pub(super) fn connect(socket: Socket, address: SockAddr) -> RingConnect {
    let address = Place::new(address);
    let name = address.get();
    let entry = opcode::Connect::new(descriptor(&socket), name.as_ptr().cast(), name.len()).build();
    submit(ConnectData { _address: address, socket }, entry)
}

// ---- wait for a connection ----

pub(super) struct ReadableData {
    _listener: Socket,
}
pub(super) type RingReadable = InFlight<ReadableData>;

impl Operation for ReadableData {
    /// The events of poll(2).
    type Output = io::Result<u32>;
    fn complete(self, done: Completion) -> Self::Output {
        done.result().map(|events| events as u32)
    }
}

pub(super) fn readable(listener: &Socket) -> RingReadable {
    // Exclusive: a connection wakes one of the shards that wait at the same socket.
    let events = libc::EPOLLIN | libc::EPOLLEXCLUSIVE;
    let entry = opcode::PollAdd::new(descriptor(listener), events.cast_unsigned()).build();
    submit(ReadableData { _listener: listener.clone() }, entry)
}

#[cfg(test)]
mod tests {
    use crate::uring::ring::*;

    #[test]
    fn bytes_without_their_buffer_are_no_end_of_the_stream() {
        assert!(arrived(5, None).is_err());
        // An empty buffer, and one that holds fewer bytes than arrived.
        assert!(arrived(5, Some(Vec::new())).is_err() && arrived(5, Some(vec![0; 4])).is_err());
        assert_eq!(arrived(5, Some(vec![7; 5])).unwrap(), [7; 5]);
        // At the end of a stream the kernel may or may not take a buffer.
        assert!(
            arrived(0, None).unwrap().is_empty()
                && arrived(0, Some(Vec::new())).unwrap().is_empty()
        );
    }

    #[test]
    fn the_mark_to_wait_first_is_where_the_kernel_reads_it() {
        let plain = opcode::Recv::new(types::Fd(7), std::ptr::null_mut(), 9).build();
        let bytes = |entry: squeue::Entry| {
            // SAFETY: an entry is 64 bytes, all of which were written: `poll_first` asserts the size.
            unsafe { std::mem::transmute::<squeue::Entry, [u8; 64]>(entry) }
        };
        let (before, after) = (bytes(plain.clone()), bytes(poll_first(plain)));
        // `ioprio` behind `opcode` and `flags`, in the machine's order.
        assert_eq!(after[2..4], 1_u16.to_ne_bytes());
        assert_eq!((&before[..2], &before[4..]), (&after[..2], &after[4..]));
    }
}
