//! A connection's two ends, and the operations on them.
//!
//! An operation is done when its bytes or its room are there, and its completion is seen some time later: anything may
//! happen between the two, as between the kernel's work and the reading of its completion.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::faults::{Deed, Far, Fault, Watch};
use super::pipe::{Ended, Pipe};
use super::{World, world};
use crate::uring::buffers;
use crate::uring::socket::{Presence, Socket};

/// Both directions, and both ends.
pub(super) struct Wire {
    pipes: [RefCell<Pipe>; 2],
    sides: [Side; 2],
    pub(super) far: Far,
    /// The task of limpet's that used the connection last.
    pub(super) owner: Cell<Option<usize>>,
    pub(super) watch: Watch,
    /// A thing that one end has left for the other, outside of the bytes.
    left: RefCell<Option<Box<dyn Any>>>,
}

/// The index of limpet's side; the other is the peer's.
pub(super) const LIMPET: usize = 0;

/// The state of one end in its kernel.
#[derive(Default)]
struct Side {
    receives: RefCell<VecDeque<Rc<Operation>>>,
    sends: RefCell<VecDeque<Rc<Operation>>>,
    is_read_shut: Cell<bool>,
    is_write_shut: Cell<bool>,
    /// This end has reset the connection.
    is_aborted: Cell<bool>,
    is_closed: Cell<bool>,
    /// This end does nothing any more, until the other has let go.
    is_stalled: Cell<bool>,
    /// When the completion of its last operation is seen: a socket's completions are seen in the order of its
    /// operations.
    seen_us: Cell<u64>,
}

/// One operation from its making until it is seen to be done.
struct Operation {
    buffer: RefCell<Vec<u8>>,
    /// For a send, where in the buffer the bytes begin.
    at: Cell<usize>,
    whole: bool,
    /// A receive that finds its buffer when bytes arrive.
    is_found: bool,
    sent: Cell<usize>,
    /// Its result, before its completion is seen.
    result: RefCell<Option<io::Result<usize>>>,
    is_seen: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// One end of a connection. Closed when it is dropped.
pub struct End {
    pub(super) wire: Rc<Wire>,
    side: usize,
    world: Rc<World>,
}

fn reset() -> io::Error {
    io::Error::from_raw_os_error(libc::ECONNRESET)
}

fn broken_pipe() -> io::Error {
    io::Error::from_raw_os_error(libc::EPIPE)
}

/// Two ends that are connected with each other: limpet's, and a client's.
pub fn pair() -> (Socket, Socket) {
    let [near, far] = ends(Far::Client);
    (Socket::simulated(near), Socket::simulated(far))
}

pub(super) fn ends(far: Far) -> [End; 2] {
    let world = world();
    let room = match far {
        Far::Client => world.knobs.room_bytes,
        Far::Target => world.knobs.target_room_bytes,
    };
    let pipes = [RefCell::new(Pipe::new(room)), RefCell::new(Pipe::new(room))];
    let wire = Rc::new(Wire {
        pipes,
        sides: [Side::default(), Side::default()],
        far,
        owner: Cell::new(None),
        watch: Watch::default(),
        left: RefCell::default(),
    });
    [0, 1].map(|side| {
        world.ends.set(world.ends.get() + 1);
        End { wire: Rc::clone(&wire), side, world: Rc::clone(&world) }
    })
}

impl End {
    /// Takes what the other end has left for this one.
    pub fn take_left(&self) -> Option<Box<dyn Any>> {
        self.wire.left.take()
    }

    pub fn leave(&self, thing: Box<dyn Any>) {
        *self.wire.left.borrow_mut() = Some(thing);
    }
}

impl Wire {
    /// The direction that `side` sends in.
    fn outgoing(&self, side: usize) -> &RefCell<Pipe> {
        &self.pipes[side]
    }

    /// The direction that `side` receives from.
    fn incoming(&self, side: usize) -> &RefCell<Pipe> {
        &self.pipes[1 - side]
    }

    /// Does what is possible at both ends.
    fn settle(self: &Rc<Self>, world: &World) {
        for side in [0, 1] {
            self.settle_sends(side, world);
            self.settle_receives(side, world);
            self.start_transfer(side, world);
        }
    }

    fn start_transfer(self: &Rc<Self>, side: usize, world: &World) {
        let mut pipe = self.outgoing(side).borrow_mut();
        if pipe.is_moving || !pipe.can_move() {
            return;
        }
        pipe.is_moving = true;
        let wire = Rc::clone(self);
        let most = if world.knobs.short_receive > 0 { 1 + world.below(8192) } else { u64::MAX };
        world.after(world.below(world.knobs.latency_us), move || {
            let world = super::world();
            {
                let mut pipe = wire.outgoing(side).borrow_mut();
                pipe.is_moving = false;
                pipe.transfer(usize::try_from(most).unwrap_or(usize::MAX));
            }
            let receiver = &wire.sides[1 - side];
            if receiver.is_closed.get() && wire.outgoing(side).borrow().arrived() > 0 {
                // The bytes will never be received: the sender is told so.
                wire.reset_from(1 - side, &world);
            }
            wire.settle(&world);
        });
    }

    fn is_stalled(&self, side: usize) -> bool {
        let other = &self.sides[1 - side];
        self.sides[side].is_stalled.get() && !other.is_closed.get() && !other.is_aborted.get()
    }

    /// Whether limpet's end has bytes to send.
    pub(super) fn is_sending(&self) -> bool {
        self.outgoing(LIMPET).borrow().queued() > 0 || !self.sides[LIMPET].sends.borrow().is_empty()
    }

    fn settle_sends(self: &Rc<Self>, side: usize, world: &World) {
        while !self.is_stalled(side) {
            let Some(operation) = self.sides[side].sends.borrow().front().cloned() else { return };
            let result = {
                let mut pipe = self.outgoing(side).borrow_mut();
                self.try_send(side, &mut pipe, &operation, world)
            };
            let Some(result) = result else { return };
            self.sides[side].sends.borrow_mut().pop_front();
            operation.done(result, (self, side), world);
        }
    }

    fn try_send(
        self: &Rc<Self>,
        side: usize,
        pipe: &mut Pipe,
        operation: &Operation,
        world: &World,
    ) -> Option<io::Result<usize>> {
        let sent = operation.sent.get();
        let fault = if self.sides[side].is_aborted.get() || pipe.ended == Ended::ByReset {
            Some(reset())
        } else if self.incoming(side).borrow().ended == Ended::ByReset {
            // A reset is reported once: later operations get the error that follows it.
            let was_told = std::mem::replace(&mut self.incoming(side).borrow_mut().is_told, true);
            Some(if was_told { broken_pipe() } else { reset() })
        } else if pipe.is_finished() {
            Some(broken_pipe())
        } else {
            None
        };
        if let Some(fault) = fault {
            return Some(if sent > 0 { Ok(sent) } else { Err(fault) });
        }
        let buffer = operation.buffer.borrow();
        let bytes = buffer.get(operation.at.get()..).unwrap_or_default();
        if bytes.is_empty() {
            return Some(Ok(sent));
        }
        if !pipe.has_room() {
            return None;
        }
        let is_short = !operation.whole && bytes.len() > 1 && world.happens(world.knobs.short_send);
        let most =
            if is_short { 1 + world.below(bytes.len() as u64 - 1) as usize } else { usize::MAX };
        if is_short && side == LIMPET {
            world.befalls(Fault::ShortSend, self);
        }
        let count = pipe.push(bytes, most);
        operation.at.set(operation.at.get() + count);
        operation.sent.set(sent + count);
        let is_all = count == bytes.len();
        (is_all || !operation.whole).then(|| Ok(sent + count))
    }

    fn settle_receives(self: &Rc<Self>, side: usize, world: &World) {
        while !self.is_stalled(side) {
            let Some(operation) = self.sides[side].receives.borrow().front().cloned() else {
                return;
            };
            let result = {
                let mut pipe = self.incoming(side).borrow_mut();
                self.try_receive(side, &mut pipe, &operation, world)
            };
            let Some(result) = result else { return };
            self.sides[side].receives.borrow_mut().pop_front();
            operation.done(result, (self, side), world);
        }
    }

    fn try_receive(
        self: &Rc<Self>,
        side: usize,
        pipe: &mut Pipe,
        operation: &Operation,
        world: &World,
    ) -> Option<io::Result<usize>> {
        if self.sides[side].is_aborted.get() {
            return Some(Err(reset()));
        }
        let has_any = pipe.arrived() > 0 || pipe.ended != Ended::Not;
        if operation.is_found && has_any && world.happens(world.knobs.no_buffer) {
            world.befalls(Fault::NoBuffer, self);
            return Some(Err(io::Error::from_raw_os_error(libc::ENOBUFS)));
        }
        if pipe.arrived() > 0 {
            let mut buffer = operation.buffer.borrow_mut();
            let spare = buffer.capacity() - buffer.len();
            let mut most = spare.saturating_sub(buffers::TAIL_BYTES);
            if pipe.arrived() > 1 && world.happens(world.knobs.short_receive) {
                most = most.min(1 + world.below(pipe.arrived() as u64 - 1) as usize);
                if side == LIMPET {
                    world.befalls(Fault::ShortReceive, self);
                }
            }
            return Some(Ok(pipe.pull(&mut buffer, most)));
        }
        match pipe.ended {
            Ended::ByReset if !pipe.is_told => {
                pipe.is_told = true;
                Some(Err(reset()))
            }
            Ended::ByReset | Ended::Cleanly => Some(Ok(0)),
            Ended::Not => self.sides[side].is_read_shut.get().then_some(Ok(0)),
        }
    }

    /// `side` resets the connection: its unsent bytes are lost, and the other side is told.
    fn reset_from(self: &Rc<Self>, side: usize, world: &World) {
        if self.outgoing(side).borrow().ended != Ended::Not
            && self.incoming(side).borrow().ended != Ended::Not
        {
            return;
        }
        if side != LIMPET {
            world.deed(self, Deed::Resets);
        }
        self.outgoing(side).borrow_mut().discard();
        self.incoming(side).borrow_mut().discard();
        let wire = Rc::clone(self);
        world.after(world.below(world.knobs.latency_us), move || {
            let world = super::world();
            let destroys = world.happens(world.knobs.reset_destroys);
            wire.outgoing(side).borrow_mut().reset(destroys);
            // Bytes that the other end sends do not arrive any more.
            wire.incoming(side).borrow_mut().finish();
            wire.incoming(side).borrow_mut().discard();
            wire.settle(&world);
        });
    }

    /// `side` sends nothing more behind what it has sent.
    fn finish(self: &Rc<Self>, side: usize, world: &World) {
        let is_first = {
            let mut pipe = self.outgoing(side).borrow_mut();
            let is_first = !pipe.is_finished() && pipe.ended == Ended::Not;
            pipe.finish();
            is_first
        };
        if is_first && side != LIMPET {
            world.deed(self, Deed::Ends);
        }
    }

    pub(super) fn shutdown(self: &Rc<Self>, side: usize, how: Shutdown) {
        let world = super::world();
        if how != Shutdown::Write {
            self.sides[side].is_read_shut.set(true);
        }
        if how != Shutdown::Read {
            self.sides[side].is_write_shut.set(true);
            // A send that waits for room is ended; the part that was taken is still sent.
            self.finish(side, &world);
        }
        self.settle(&world);
    }

    pub(super) fn abort(self: &Rc<Self>, side: usize) {
        let world = super::world();
        self.sides[side].is_aborted.set(true);
        self.reset_from(side, &world);
        self.settle(&world);
    }

    pub(super) fn stall(self: &Rc<Self>, side: usize) {
        self.sides[side].is_stalled.set(true);
        super::world().deed(self, Deed::Stalls);
    }
}

impl Operation {
    fn new(buffer: Vec<u8>, at: usize, whole: bool, is_found: bool) -> Rc<Operation> {
        Rc::new(Operation {
            buffer: RefCell::new(buffer),
            at: Cell::new(at),
            whole,
            is_found,
            sent: Cell::new(0),
            result: RefCell::default(),
            is_seen: Cell::new(false),
            waker: RefCell::default(),
        })
    }

    /// The operation is done; its completion is seen now, or some time later.
    fn done(
        self: &Rc<Self>,
        result: io::Result<usize>,
        (wire, side): (&Rc<Wire>, usize),
        world: &World,
    ) {
        *self.result.borrow_mut() = Some(result);
        let is_late = world.happens(world.knobs.late);
        let late_us = if is_late { world.below(world.knobs.late_us) } else { 0 };
        let (now_us, seen_us) = (world.now_us.get(), &wire.sides[side].seen_us);
        seen_us.set(seen_us.get().max(now_us + late_us));
        let late_us = seen_us.get() - now_us;
        let (operation, wire) = (Rc::clone(self), Rc::clone(wire));
        if side != LIMPET {
            return world.after(late_us, move || operation.see());
        }
        if late_us > 0 {
            world.befalls(Fault::Late, &wire);
        }
        let number = world.done.get() + 1;
        world.done.set(number);
        world.after(late_us, move || {
            let world = super::world();
            if number < world.seen.get() {
                world.befalls(Fault::Reordered, &wire);
            }
            world.seen.set(number.max(world.seen.get()));
            operation.see();
        });
    }

    fn see(&self) {
        self.is_seen.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// An operation, as the task that made it awaits it.
struct InFlight {
    operation: Rc<Operation>,
    world: Rc<World>,
    is_over: bool,
    /// Keeps the connection open, as the kernel does.
    _socket: Socket,
}

impl InFlight {
    fn new(socket: &Socket, operation: &Rc<Operation>, world: &Rc<World>) -> InFlight {
        world.in_flight.set(world.in_flight.get() + 1);
        InFlight {
            operation: Rc::clone(operation),
            world: Rc::clone(world),
            is_over: false,
            _socket: socket.clone(),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(io::Result<usize>, Vec<u8>)> {
        if !self.operation.is_seen.get() {
            *self.operation.waker.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.over();
        let result = self.operation.result.take().unwrap_or(Ok(0));
        Poll::Ready((result, self.operation.buffer.take()))
    }

    fn over(&mut self) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.world.in_flight.set(self.world.in_flight.get() - 1);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.operation.is_seen.get() && crate::uring::engine::is_simulated() {
            let broken = "an operation in flight was dropped".to_owned();
            self.world.broken.borrow_mut().push(broken);
        }
        self.over();
    }
}

/// A receive into a buffer that was brought, or one that is found.
pub struct Received(InFlight);

impl Future for Received {
    type Output = (io::Result<usize>, Vec<u8>);
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx)
    }
}

/// A send.
pub struct Sent(InFlight);

impl Future for Sent {
    type Output = (io::Result<usize>, Vec<u8>);
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx)
    }
}

/// Receives behind the bytes in `buffer`.
pub fn recv(socket: &Socket, end: &End, buffer: Vec<u8>) -> Received {
    receive(socket, end, Operation::new(buffer, 0, false, false))
}

/// Receives into a buffer that is found when there are bytes, or is not (ENOBUFS).
pub fn recv_found(socket: &Socket, end: &End) -> Received {
    receive(socket, end, Operation::new(buffers::small(), 0, false, true))
}

fn receive(socket: &Socket, end: &End, operation: Rc<Operation>) -> Received {
    let mut receives = end.wire.sides[end.side].receives.borrow_mut();
    if !receives.is_empty() {
        let broken = "two receives are in flight on one socket".to_owned();
        end.world.broken.borrow_mut().push(broken);
    }
    receives.push_back(Rc::clone(&operation));
    drop(receives);
    let in_flight = InFlight::new(socket, &operation, &end.world);
    if end.side == LIMPET {
        end.world.used_by_running(&end.wire);
    }
    end.wire.settle(&end.world);
    Received(in_flight)
}

/// Sends `buffer[from..]`.
pub fn send(socket: &Socket, end: &End, buffer: Vec<u8>, from: usize, whole: bool) -> Sent {
    let operation = Operation::new(buffer, from, whole, false);
    let mut sends = end.wire.sides[end.side].sends.borrow_mut();
    if !sends.is_empty() {
        end.world.broken.borrow_mut().push("two sends are in flight on one socket".to_owned());
    }
    sends.push_back(Rc::clone(&operation));
    drop(sends);
    let in_flight = InFlight::new(socket, &operation, &end.world);
    if end.side == LIMPET {
        end.world.used_by_running(&end.wire);
    }
    end.wire.settle(&end.world);
    Sent(in_flight)
}

impl End {
    pub(in crate::uring) fn queued_bytes(&self) -> u32 {
        u32::try_from(self.wire.outgoing(self.side).borrow().queued()).unwrap_or(u32::MAX)
    }

    pub(in crate::uring) fn is_readable(&self) -> bool {
        let pipe = self.wire.incoming(self.side).borrow();
        let side = &self.wire.sides[self.side];
        pipe.arrived() > 0
            || pipe.ended != Ended::Not
            || side.is_read_shut.get()
            || side.is_aborted.get()
    }

    pub(in crate::uring) fn presence(&self) -> Presence {
        if self.is_reset() {
            return Presence::Reset;
        }
        match self.wire.incoming(self.side).borrow().ended {
            Ended::ByReset => Presence::Reset,
            Ended::Cleanly => Presence::Ended,
            Ended::Not if self.wire.sides[self.side].is_aborted.get() => Presence::Reset,
            Ended::Not => Presence::There,
        }
    }

    pub(in crate::uring) fn is_reset(&self) -> bool {
        self.wire.incoming(self.side).borrow().is_reset
    }

    pub(in crate::uring) fn shutdown(&self, how: Shutdown) {
        self.wire.shutdown(self.side, how);
    }

    pub(in crate::uring) fn abort(&self) {
        self.wire.abort(self.side);
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.world.ends.set(self.world.ends.get() - 1);
        let side = &self.wire.sides[self.side];
        side.is_closed.set(true);
        // The watch of a stage may hold the other end.
        drop(self.wire.watch.take());
        if !crate::uring::engine::is_simulated() || side.is_aborted.get() {
            return;
        }
        if self.wire.incoming(self.side).borrow().arrived() > 0 {
            self.wire.reset_from(self.side, &self.world);
        } else {
            self.wire.finish(self.side, &self.world);
        }
        self.wire.settle(&self.world);
    }
}
