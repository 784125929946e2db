//! Receive, send, accept and connect as io_uring opcodes through tokio-uring's one-shot operations.
//!
//! Every operation's data owns what the kernel uses: the buffer or address, and the socket, whose
//! descriptor therefore stays open until the completion. One that is dropped in flight keeps its data
//! all the same: a task awaits it, or, where no task can run any more, it is put aside until the ring
//! is closed. tokio-uring would not do: when a ring is closed it frees the data of dropped operations
//! *before* it cancels them.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use io_uring::{cqueue, opcode, squeue, types};
use socket2::SockAddr;
use tokio_uring::{InFlightOneshot, OneshotOutputTransform, UnsubmittedOneshot};

use super::socket::Socket;
use super::{buffers, engine, provided};

thread_local! {
    /// Operations that were in flight when the runtime of this thread ended.
    static ABANDONED: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// Frees what the kernel used until the ring was closed. The ring must be closed already.
pub(super) fn release() {
    ABANDONED.take();
}

/// An operation from its submission to its completion.
pub(super) struct InFlight<D, T>(Option<InFlightOneshot<D, T>>)
where
    D: Unpin + 'static,
    T: OneshotOutputTransform<StoredData = D> + Unpin + 'static;

impl<D, T> Future for InFlight<D, T>
where
    D: Unpin + 'static,
    T: OneshotOutputTransform<StoredData = D> + Unpin + 'static,
{
    type Output = T::Output;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T::Output> {
        let Some(op) = &mut self.0 else { return Poll::Pending };
        let output = std::task::ready!(Pin::new(op).poll(cx));
        self.0 = None;
        Poll::Ready(output)
    }
}

impl<D, T> Drop for InFlight<D, T>
where
    D: Unpin + 'static,
    T: OneshotOutputTransform<StoredData = D> + Unpin + 'static,
{
    fn drop(&mut self) {
        let Some(mut op) = self.0.take() else { return };
        // What has completed goes with its output: an accepted socket is closed, a slot refilled.
        if Pin::new(&mut op).poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            return;
        }
        if engine::is_ending() {
            ABANDONED.with_borrow_mut(|abandoned| abandoned.push(Box::new(op)));
        } else {
            let op = InFlight(Some(op));
            engine::spawn(async move { drop(op.await) });
        }
    }
}

fn result_of(completion: &cqueue::Entry) -> io::Result<usize> {
    match completion.result() {
        count @ 0.. => Ok(count as usize),
        error => Err(io::Error::from_raw_os_error(-error)),
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
pub(super) struct RecvDone;
pub(super) type RingRecv = InFlight<RecvData, RecvDone>;

impl OneshotOutputTransform for RecvDone {
    type Output = (io::Result<usize>, Vec<u8>);
    type StoredData = RecvData;
    fn transform_oneshot_output(self, data: RecvData, completion: cqueue::Entry) -> Self::Output {
        let mut buffer = data.buffer;
        let result = result_of(&completion);
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
    submit(RecvData { buffer, _socket: socket.clone() }, RecvDone, entry)
}

// ---- receive into a buffer that the ring picks ----

pub(super) struct RecvProvidedData {
    _socket: Socket,
}
pub(super) struct RecvProvidedDone;
pub(super) type RingRecvProvided = InFlight<RecvProvidedData, RecvProvidedDone>;

impl OneshotOutputTransform for RecvProvidedDone {
    type Output = io::Result<Vec<u8>>;
    type StoredData = RecvProvidedData;
    fn transform_oneshot_output(self, _: RecvProvidedData, done: cqueue::Entry) -> Self::Output {
        let result = result_of(&done);
        // A slot that the kernel has used is refilled whatever came of it.
        let taken = cqueue::buffer_select(done.flags())
            .map(|slot| provided::take(slot, *result.as_ref().unwrap_or(&0)));
        result.map(|_| taken.unwrap_or_default())
    }
}

pub(super) fn recv_provided(socket: &Socket) -> RingRecvProvided {
    let entry = opcode::Recv::new(descriptor(socket), std::ptr::null_mut(), 0)
        .buf_group(provided::GROUP)
        .build()
        .flags(squeue::Flags::BUFFER_SELECT);
    submit(RecvProvidedData { _socket: socket.clone() }, RecvProvidedDone, entry)
}

// ---- send ----

pub(super) struct SendData {
    buffer: Vec<u8>,
    _socket: Socket,
}
pub(super) struct SendDone;
pub(super) type RingSend = InFlight<SendData, SendDone>;

impl OneshotOutputTransform for SendDone {
    type Output = (io::Result<usize>, Vec<u8>);
    type StoredData = SendData;
    fn transform_oneshot_output(self, data: SendData, completion: cqueue::Entry) -> Self::Output {
        (result_of(&completion), data.buffer)
    }
}

/// `whole`: the kernel itself goes on until every byte is taken or an error ends it.
pub(super) fn send(socket: &Socket, buffer: Vec<u8>, from: usize, whole: bool) -> RingSend {
    let bytes = buffer.get(from..).unwrap_or_default();
    let flags = libc::MSG_NOSIGNAL | if whole { libc::MSG_WAITALL } else { 0 };
    let entry = opcode::Send::new(descriptor(socket), bytes.as_ptr(), clamp(bytes.len()))
        .flags(flags)
        .build();
    submit(SendData { buffer, _socket: socket.clone() }, SendDone, entry)
}

// ---- connect ----

pub(super) struct ConnectData {
    /// Boxed: the kernel reads it at submission, after this struct has moved.
    _address: Box<SockAddr>,
    socket: Socket,
}
pub(super) struct ConnectDone;
pub(super) type RingConnect = InFlight<ConnectData, ConnectDone>;

impl OneshotOutputTransform for ConnectDone {
    type Output = io::Result<Socket>;
    type StoredData = ConnectData;
    fn transform_oneshot_output(self, data: ConnectData, done: cqueue::Entry) -> Self::Output {
        result_of(&done).map(|_| data.socket)
    }
}

pub(super) fn connect(socket: Socket, address: SockAddr) -> RingConnect {
    let address = Box::new(address);
    let entry =
        opcode::Connect::new(descriptor(&socket), address.as_ptr().cast(), address.len()).build();
    submit(ConnectData { _address: address, socket }, ConnectDone, entry)
}

// ---- accept ----

/// Where the kernel writes a peer's address; boxed, because the operation's data moves.
pub(super) struct PeerAddress {
    storage: socket2::SockAddrStorage,
    length: libc::socklen_t,
}

pub(super) struct AcceptData {
    peer: Box<PeerAddress>,
    _listener: Socket,
}
pub(super) struct AcceptDone;
pub(super) type RingAccept = InFlight<AcceptData, AcceptDone>;

impl OneshotOutputTransform for AcceptDone {
    type Output = io::Result<(socket2::Socket, SockAddr)>;
    type StoredData = AcceptData;
    fn transform_oneshot_output(self, data: AcceptData, done: cqueue::Entry) -> Self::Output {
        let accepted = result_of(&done)?;
        // SAFETY: the kernel just made this descriptor for us; nobody else owns it.
        let socket = unsafe { socket2::Socket::from_raw_fd(accepted as i32) };
        // SAFETY: the kernel wrote an address of `length` bytes into the storage.
        let address = unsafe { SockAddr::new(data.peer.storage, data.peer.length) };
        Ok((socket, address))
    }
}

pub(super) fn accept(listener: &Socket) -> RingAccept {
    let storage = socket2::SockAddrStorage::zeroed();
    let length = storage.size_of();
    let mut peer = Box::new(PeerAddress { storage, length });
    // SAFETY: viewing the storage as the plain sockaddr it begins with; only its address is taken.
    let address = unsafe { peer.storage.view_as::<libc::sockaddr>() };
    let entry = opcode::Accept::new(descriptor(listener), address, &raw mut peer.length)
        .flags(libc::SOCK_CLOEXEC)
        .build();
    submit(AcceptData { peer, _listener: listener.clone() }, AcceptDone, entry)
}

fn submit<D, T>(data: D, done: T, entry: squeue::Entry) -> InFlight<D, T>
where
    D: Unpin + 'static,
    T: OneshotOutputTransform<StoredData = D> + Unpin + 'static,
{
    InFlight(Some(UnsubmittedOneshot::new(data, done, entry).submit()))
}
