//! What can be asked of the ring, and the table of its sockets.
//!
//! Owns: the submission side, the sockets by descriptor, the order of sends. Never: an event of a socket
//! that has been closed; a descriptor that two owners close. Tested in `tests.rs`.
//!
//! A completion carries what it belongs to in its user data:
//!
//! ```text
//!   receive, connect, shut down   operation (8) │ generation (24) │ descriptor (32)
//!   accept                        operation (8) │        0        │ descriptor (32)
//!   send                          operation (8) │        0        │ index of the send (32)
//! ```

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, IntoRawFd as _, OwnedFd, RawFd};
use std::time::Duration;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{CancelBuilder, Fd};
use io_uring::{IoUring, opcode};
use socket2::{Domain, Protocol, SockAddr, SockRef, Type};

use super::sends::{NONE, Outgoing, Sends, Source};
use super::{Received, buffers};

/// A socket of the ring. Copies of it are harmless: once closed, it means nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Socket {
    descriptor: u32,
    generation: u32,
}

impl Socket {
    /// A socket that no ring has: what stands in a field before there is one.
    pub const NONE: Socket = Socket { descriptor: u32::MAX, generation: 0 };

    pub(super) fn descriptor(self) -> RawFd {
        self.descriptor.cast_signed()
    }
}

/// Generations fit beside the operation and the descriptor in a completion's user data.
const GENERATION_MASK: u32 = 0x00ff_ffff;

/// What a completion completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Receive(Socket),
    Connect(Socket),
    /// The listener's descriptor.
    Accept(u32),
    /// The send's index.
    Send(u32),
    /// Nobody waits for it.
    Ignored,
}

impl Operation {
    fn pack(self) -> u64 {
        let socket = |kind: u64, socket: Socket| {
            kind << 56 | u64::from(socket.generation) << 32 | u64::from(socket.descriptor)
        };
        match self {
            Operation::Receive(of) => socket(1, of),
            Operation::Connect(of) => socket(2, of),
            Operation::Accept(descriptor) => 3 << 56 | u64::from(descriptor),
            Operation::Send(index) => 4 << 56 | u64::from(index),
            Operation::Ignored => 0,
        }
    }

    pub(super) fn unpack(data: u64) -> Operation {
        let low = data as u32;
        let socket = Socket { descriptor: low, generation: (data >> 32) as u32 & GENERATION_MASK };
        match data >> 56 {
            1 => Operation::Receive(socket),
            2 => Operation::Connect(socket),
            3 => Operation::Accept(low),
            4 => Operation::Send(low),
            _ => Operation::Ignored,
        }
    }
}

/// How a socket receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Receiving {
    Not,
    /// The kernel goes on receiving by itself.
    Always,
    /// One completion of so many bytes at most, then no more.
    Once(u32),
    /// The kernel has been told to stop, and has not said that it did.
    Stopping,
}

#[derive(Debug)]
pub(super) struct State {
    generation: u32,
    open: bool,
    pub(super) token: u64,
    pub(super) receiving: Receiving,
    /// A connect is in flight.
    pub(super) connecting: bool,
    /// The send that the kernel knows of, then those that wait for it, as a list.
    first_send: u32,
    last_send: u32,
}

impl State {
    fn closed() -> State {
        State {
            generation: 0,
            open: false,
            token: 0,
            receiving: Receiving::Not,
            connecting: false,
            first_send: NONE,
            last_send: NONE,
        }
    }
}

/// The submission side of a ring. A handler gets it with each event, so that it can answer at once.
pub struct Queue {
    // Closed first: what follows is memory that the kernel may still read until then.
    pub(super) uring: IoUring,
    pub(super) sends: Sends,
    /// Addresses that were connected to: the kernel reads them when the submission is taken.
    addresses: Vec<(SocketAddr, Box<SockAddr>)>,
    /// By descriptor.
    sockets: Vec<State>,
    /// Tokens of listeners, by descriptor.
    listeners: Vec<(u32, u64)>,
    /// Sockets whose receive found no free buffer, and how they receive.
    pub(super) starved: Vec<(Socket, Receiving)>,
    /// The buffer of the event that is being handled goes out as it is.
    pub(super) forwarded: Option<u16>,
    /// Buffers that no send needs any more.
    pub(super) released: Vec<u16>,
    /// Why submissions could not be handed over.
    pub(super) failure: Option<io::Error>,
}

impl Queue {
    pub(super) fn new(uring: IoUring) -> Queue {
        Queue {
            uring,
            sends: Sends::new(),
            addresses: Vec::new(),
            sockets: Vec::new(),
            listeners: Vec::new(),
            starved: Vec::new(),
            forwarded: None,
            released: Vec::new(),
            failure: None,
        }
    }

    /// Makes the ring the owner of a connected socket; its events carry `token`.
    pub fn adopt(&mut self, descriptor: OwnedFd, token: u64) -> Socket {
        let descriptor = descriptor.into_raw_fd().cast_unsigned();
        let index = descriptor as usize;
        if index >= self.sockets.len() {
            self.sockets.resize_with(index + 1, State::closed);
        }
        let state = &mut self.sockets[index];
        let generation = state.generation;
        *state = State { generation, open: true, token, ..State::closed() };
        Socket { descriptor, generation }
    }

    /// Accepts connections until the ring goes; each is an [`Event::Accepted`](super::Event::Accepted)
    /// with `token`. The listener stays the caller's and must stay open. After an error it must be
    /// asked for again.
    pub fn accept(&mut self, listener: BorrowedFd<'_>, token: u64) {
        let descriptor = listener.as_raw_fd().cast_unsigned();
        self.listeners.retain(|known| known.0 != descriptor);
        self.listeners.push((descriptor, token));
        self.accept_again(descriptor);
    }

    pub(super) fn accept_again(&mut self, descriptor: u32) {
        let entry = opcode::AcceptMulti::new(Fd(descriptor.cast_signed()))
            .flags(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK)
            .build();
        self.push(&entry, Operation::Accept(descriptor));
    }

    pub(super) fn listener_token(&self, descriptor: u32) -> u64 {
        let known = self.listeners.iter().find(|known| known.0 == descriptor);
        known.map_or(0, |known| known.1)
    }

    /// Begins to connect; [`Event::Connected`](super::Event::Connected) or
    /// [`Event::Failed`](super::Event::Failed) follows with `token`. Small sends go out at once.
    ///
    /// # Errors
    /// When no socket can be had.
    pub fn connect(&mut self, address: SocketAddr, token: u64) -> io::Result<Socket> {
        self.connect_with(address, token, None)
    }

    /// As [`connect`](Queue::connect), with so many bytes for what has arrived and was not received.
    ///
    /// # Errors
    /// When no socket can be had.
    pub fn connect_with(
        &mut self,
        address: SocketAddr,
        token: u64,
        receive_buffer_bytes: Option<usize>,
    ) -> io::Result<Socket> {
        let kind = Type::STREAM.nonblocking().cloexec();
        let socket = socket2::Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        if let Some(bytes) = receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        let socket = self.adopt(socket.into(), token);
        let position = self.addresses.iter().position(|known| known.0 == address);
        let position = position.unwrap_or_else(|| {
            self.addresses.push((address, Box::new(address.into())));
            self.addresses.len() - 1
        });
        let known = &self.addresses[position].1;
        let entry =
            opcode::Connect::new(Fd(socket.descriptor()), known.as_ptr().cast(), known.len())
                .build();
        self.push(&entry, Operation::Connect(socket));
        self.sockets[socket.descriptor as usize].connecting = true;
        Ok(socket)
    }

    /// Receives until the other side ends or the socket is closed.
    pub fn receive(&mut self, socket: Socket) {
        self.receive_as(socket, Receiving::Always);
    }

    /// Receives at most `bytes` once: one [`Event::Received`](super::Event::Received), so that what is
    /// not asked for stays in the socket and the other side feels it.
    pub fn receive_once(&mut self, socket: Socket, bytes: u32) {
        self.receive_as(socket, Receiving::Once(bytes));
    }

    /// Stops receiving until [`receive`](Queue::receive) asks for it again. What the kernel has already
    /// taken from the socket still comes.
    pub fn pause(&mut self, socket: Socket) {
        let Some(state) = self.current(socket) else { return };
        if state.receiving == Receiving::Always {
            state.receiving = Receiving::Stopping;
            let cancel = opcode::AsyncCancel::new(Operation::Receive(socket).pack()).build();
            self.push(&cancel.flags(Flags::SKIP_SUCCESS), Operation::Ignored);
        }
    }

    pub(super) fn receive_as(&mut self, socket: Socket, receiving: Receiving) {
        let Some(state) = self.current(socket) else { return };
        if state.receiving == Receiving::Stopping {
            // It begins anew with the completion that ends it.
            state.receiving = receiving;
        }
        if state.receiving != Receiving::Not {
            return;
        }
        state.receiving = receiving;
        let descriptor = Fd(socket.descriptor());
        let entry = match receiving {
            Receiving::Not | Receiving::Stopping => return,
            Receiving::Always => opcode::RecvMulti::new(descriptor, buffers::GROUP).build(),
            Receiving::Once(bytes) => opcode::Recv::new(descriptor, std::ptr::null_mut(), bytes)
                .buf_group(buffers::GROUP)
                .build()
                .flags(Flags::BUFFER_SELECT),
        };
        self.push(&entry, Operation::Receive(socket));
    }

    /// Sends, after what was given before for the same socket; an
    /// [`Event::Sent`](super::Event::Sent) or [`Event::Failed`](super::Event::Failed) follows. Nothing
    /// is sent, and no event follows, when there are no bytes or the socket is closed.
    pub fn send(&mut self, socket: Socket, outgoing: Outgoing) {
        self.send_source(socket, Source::Outgoing(outgoing));
    }

    /// Sends what has just been received, as it is: its buffer goes back to the kernel only when it has
    /// been sent. Once for an event at most.
    pub fn forward(&mut self, socket: Socket, received: &Received<'_>) {
        assert!(self.forwarded.is_none(), "an event's bytes can be forwarded once");
        if self.current(socket).is_none() {
            return;
        }
        self.forwarded = Some(received.slot);
        let (start, count) = (received.bytes.as_ptr(), received.bytes.len());
        self.send_source(socket, Source::Received(received.slot, start, count));
    }

    fn send_source(&mut self, socket: Socket, source: Source) {
        if self.current(socket).is_none() || source.len() == 0 {
            return;
        }
        let index = self.sends.insert(socket, source);
        let state = &mut self.sockets[socket.descriptor as usize];
        let last = std::mem::replace(&mut state.last_send, index);
        if state.first_send == NONE {
            state.first_send = index;
            self.submit_send(index);
        } else {
            self.sends.get_mut(last).next = index;
        }
    }

    pub(super) fn submit_send(&mut self, index: u32) {
        let entry = self.sends.submission(index);
        self.push(&entry, Operation::Send(index));
    }

    /// Takes a completed send away and submits the next one of its socket.
    pub(super) fn finish_send(&mut self, index: u32) -> Source {
        let socket = self.sends.get_mut(index).socket;
        let (source, next) = self.sends.remove(index);
        if let Some(state) = self.current(socket) {
            state.first_send = next;
            if next == NONE {
                state.last_send = NONE;
            } else {
                self.submit_send(next);
            }
        }
        source
    }

    /// Says to the other side that nothing more will be sent. What was given to [`send`](Queue::send)
    /// must have been sent.
    pub fn shutdown(&mut self, socket: Socket) {
        if self.current(socket).is_some() {
            let entry = opcode::Shutdown::new(Fd(socket.descriptor()), libc::SHUT_WR).build();
            self.push(&entry, Operation::Ignored);
        }
    }

    /// Closes: operations in flight end unheard, and no event of this socket follows.
    pub fn close(&mut self, socket: Socket) {
        let Some(state) = self.current(socket) else { return };
        let busy =
            state.receiving != Receiving::Not || state.connecting || state.first_send != NONE;
        let first = state.first_send;
        state.open = false;
        state.generation = state.generation.wrapping_add(1) & GENERATION_MASK;
        let mut next = if first == NONE { NONE } else { self.sends.get_mut(first).next };
        while next != NONE {
            let (source, after) = self.sends.remove(next);
            self.release(source);
            next = after;
        }
        let descriptor = Fd(socket.descriptor());
        if busy {
            // An operation in flight would keep the connection open.
            let cancel = opcode::AsyncCancel2::new(CancelBuilder::fd(descriptor).all()).build();
            self.push(&cancel.flags(Flags::SKIP_SUCCESS), Operation::Ignored);
        }
        let close = opcode::Close::new(descriptor).build();
        self.push(&close.flags(Flags::SKIP_SUCCESS), Operation::Ignored);
    }

    /// Closes so that the other side sees a reset.
    pub fn reset(&mut self, socket: Socket) {
        if self.current(socket).is_none() {
            return;
        }
        // SAFETY: the socket is open and the ring's own, so its descriptor is valid for this call.
        let descriptor = unsafe { BorrowedFd::borrow_raw(socket.descriptor()) };
        let reference = SockRef::from(&descriptor);
        // Where lingering cannot be set the other side sees an ordinary end; closing is what matters.
        let _ = reference.set_linger(Some(Duration::ZERO));
        self.close(socket);
    }

    /// The state of a socket that is still open.
    pub(super) fn current(&mut self, socket: Socket) -> Option<&mut State> {
        let state = self.sockets.get_mut(socket.descriptor as usize)?;
        (state.open && state.generation == socket.generation).then_some(state)
    }

    /// Drops a send's bytes; a received buffer becomes free.
    pub(super) fn release(&mut self, source: Source) {
        if let Source::Received(slot, ..) = source {
            self.released.push(slot);
        }
    }

    fn push(&mut self, entry: &Entry, operation: Operation) {
        let entry = entry.clone().user_data(operation.pack());
        loop {
            // SAFETY: what the entry points to is kept until its completion: bytes and messages by
            // `sends`, which frees an entry only when it has completed; addresses by `addresses`, for
            // the life of the ring; receives use the registered buffers, which outlive the ring.
            let pushed = unsafe { self.uring.submission().push(&entry) };
            if pushed.is_ok() {
                return;
            }
            // Full: hand over what there is. `wait` reports why when the kernel takes nothing.
            match self.uring.submit() {
                Ok(taken) if taken > 0 => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) => return self.fail(io::ErrorKind::WouldBlock.into()),
                Err(error) => return self.fail(error),
            }
        }
    }

    fn fail(&mut self, error: io::Error) {
        self.failure.get_or_insert(error);
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let open = self.sockets.iter().enumerate().filter(|(_, state)| state.open);
        for (descriptor, _) in open {
            // SAFETY: an open socket is the ring's own, and nobody closes it after this.
            drop(unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Operation, Socket};

    #[test]
    fn an_operation_survives_the_trip_through_the_kernel() {
        let socket = Socket { descriptor: 0x7fff_fffe, generation: 0x00ab_cdef };
        for operation in [
            Operation::Receive(socket),
            Operation::Connect(socket),
            Operation::Accept(7),
            Operation::Send(u32::MAX - 1),
            Operation::Ignored,
        ] {
            assert_eq!(Operation::unpack(operation.pack()), operation);
        }
    }
}
