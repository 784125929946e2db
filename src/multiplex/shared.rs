//! The state that a connection's task and the tasks of its streams share.
//!
//! Never borrowed across an await. What has come stands in the slot of its stream, content in pieces with room for the
//! framing of another wire in front; the machine's windows bound how much there is.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Waker};

use crate::exchange::client::Presence;
use crate::exchange::content::{ROOM, SendFault};
use crate::http::refusal::ChunkFault;
use crate::http2::flow;
use crate::http2::hpack::block::Block;
use crate::http2::hpack::spare;
use crate::http2::machine::Machine;
use crate::http2::machine::events::{Event, Key, Malformed};
use crate::telemetry::http2::Http2Block;
use crate::time::clock::Clock;
use crate::transport::stream::Stream;
use crate::uring::buffers::{self, TAIL_BYTES};

/// Most heads of one stream that wait to be taken …
const HEADS_MAX: usize = 100;
/// … and most bytes of them, as soon as there are two.
const HEADS_BYTES_MAX: usize = 256 * 1024;

/// What a connection belongs to: a client's side, or a target's.
pub trait Owner: Sized + 'static {
    /// The connection's socket.
    fn wire(&self) -> &Stream;

    fn clock(&self) -> &Clock;

    /// The shard's numbers for connections of this side.
    fn numbers(&self) -> &Http2Block;

    /// What the windows of the shard's connections may grow by.
    fn windows(&self) -> &RefCell<flow::Pool>;

    /// Does what an event means that is no stream's own business: a head, and what concerns the whole connection.
    fn event(shared: &Rc<Shared<Self>>, event: Event<'_>);
}

pub struct Shared<O> {
    pub owner: O,
    pub machine: RefCell<Machine>,
    /// By the slots of the machine's keys.
    slots: RefCell<Vec<Slot>>,
    /// The connection's task.
    task: RefCell<Option<Waker>>,
    /// Whether a stream has done something since the task looked.
    has_changed: Cell<bool>,
    /// The peer has been given up because it took nothing, or too little.
    pub(super) is_slow: Cell<bool>,
}

/// One stream, as far as its connection's task knows it.
pub struct Slot {
    key: Option<Key>,
    /// Heads of responses, interim and final, that were not taken yet; whether each ends its stream.
    pub heads: VecDeque<(Box<Block>, bool)>,
    /// More interim heads have come, untaken, than any sender needs.
    pub is_flooded: bool,
    /// Content that was not taken yet.
    pub pieces: VecDeque<Vec<u8>>,
    /// The message has ended; its trailer lines are then in `trailers`.
    pub has_ended: bool,
    pub trailers: Vec<u8>,
    /// The message is malformed, and no more of it comes.
    pub fault: Option<ChunkFault>,
    pub presence: Presence,
    /// The peer has reset this stream, and not gone as a whole.
    pub was_reset: bool,
    /// The peer has not looked at the request, which may be sent again (RFC 9113 §8.7).
    pub is_unprocessed: bool,
    waker: Option<Waker>,
}

impl Default for Slot {
    fn default() -> Slot {
        Slot {
            key: None,
            heads: VecDeque::new(),
            is_flooded: false,
            pieces: VecDeque::new(),
            has_ended: false,
            trailers: Vec::new(),
            fault: None,
            presence: Presence::There,
            was_reset: false,
            is_unprocessed: false,
            waker: None,
        }
    }
}

impl Slot {
    /// Frees its pieces and begins anew for another stream; the room of its queues stays.
    #[inline]
    fn begin(&mut self, key: Option<Key>) {
        if !self.pieces.is_empty() {
            self.pieces.drain(..).for_each(buffers::give_back);
        }
        if !self.heads.is_empty() {
            self.heads.drain(..).for_each(|(block, _)| spare::give_back(block));
        }
        self.trailers.clear();
        self.key = key;
        self.is_flooded = false;
        self.has_ended = false;
        self.fault = None;
        self.presence = Presence::There;
        self.was_reset = false;
        self.is_unprocessed = false;
        self.waker = None;
    }

    /// Puts a head behind those that were not taken yet; `false` where there are too many.
    pub fn push_head(&mut self, block: Box<Block>, ends: bool) -> bool {
        let waiting_bytes: usize = self.heads.iter().map(|(head, _)| head.raw().len()).sum();
        self.is_flooded |= self.heads.len() >= HEADS_MAX || waiting_bytes >= HEADS_BYTES_MAX;
        if !self.is_flooded {
            self.heads.push_back((block, ends));
            self.has_ended |= ends;
        }
        !self.is_flooded
    }

    /// Puts content behind what has come before, into the same buffer while it has room.
    fn append(&mut self, mut content: &[u8]) {
        while !content.is_empty() {
            let room = |piece: &Vec<u8>| piece.capacity().saturating_sub(piece.len() + TAIL_BYTES);
            let last = self.pieces.back_mut().filter(|piece| room(piece) > 0);
            let Some(piece) = last else {
                // A little at a time is mostly all there is.
                let is_little = content.len() <= buffers::SMALL_BYTES - ROOM - TAIL_BYTES;
                let mut piece = if is_little { buffers::small() } else { buffers::large() };
                piece.resize(ROOM, 0);
                self.pieces.push_back(piece);
                continue;
            };
            let count = room(piece).min(content.len());
            let (now, later) = content.split_at_checked(count).unwrap_or((content, &[]));
            piece.extend_from_slice(now);
            content = later;
        }
    }

    /// Wakes the stream's task.
    pub fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Has the stream's task woken when something changes.
    pub fn listen(&mut self, cx: &Context<'_>) {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }
}

impl<O: Owner> Shared<O> {
    pub fn new(owner: O, machine: Machine) -> Shared<O> {
        Shared {
            owner,
            machine: RefCell::new(machine),
            slots: RefCell::default(),
            task: RefCell::default(),
            has_changed: Cell::new(false),
            is_slow: Cell::new(false),
        }
    }

    /// A stream begins; `has_ended`: nothing comes on it.
    pub fn open(&self, stream: Key, has_ended: bool) {
        let mut slots = self.slots.borrow_mut();
        while slots.len() <= stream.slot() {
            slots.push(Slot::default());
        }
        if let Some(slot) = slots.get_mut(stream.slot()) {
            slot.begin(Some(stream));
            slot.has_ended = has_ended;
        }
    }

    /// The slot of a stream that is not over.
    pub fn slot<T>(&self, stream: Key, look: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(stream.slot()).filter(|slot| slot.key == Some(stream))?;
        Some(look(slot))
    }

    /// Whether the peer still takes part in a stream.
    pub fn presence(&self, stream: Key) -> Presence {
        self.slot(stream, |slot| slot.presence).unwrap_or(Presence::Reset)
    }

    /// Why a stream takes no more that has content left to send.
    pub fn fault(&self) -> SendFault {
        if self.is_slow.get() { SendFault::Timeout } else { SendFault::Reset }
    }

    /// Whether nothing reaches the peer of a stream that has content left to send: the peer is gone, or it has ended what
    /// it sends, and with that the frames that would open a window.
    pub fn is_out_of_reach(&self, stream: Key) -> bool {
        match self.presence(stream) {
            Presence::Reset => true,
            Presence::Ended => self.machine.borrow().is_blocked(stream, true),
            Presence::There => false,
        }
    }

    /// Notes what has come, and wakes the stream that it is for.
    pub(super) fn note(self: &Rc<Self>, event: Event<'_>) {
        match event {
            Event::Content { stream, bytes, ends } => self.tell(stream, |slot| {
                slot.append(bytes);
                slot.has_ended = ends;
            }),
            Event::Trailers { stream, block } => {
                self.tell(stream, |slot| {
                    slot.trailers.extend_from_slice(block.field_lines());
                    slot.has_ended = true;
                });
                spare::give_back(block);
            }
            Event::Malformed { stream, cause } => {
                let fault = match cause {
                    Malformed::Trailers(fault) => fault,
                    Malformed::Length | Malformed::InterimEnds | Malformed::NoHead => {
                        ChunkFault::LengthWrong
                    }
                };
                self.tell(stream, |slot| slot.fault = Some(fault));
            }
            Event::Reset { stream, by } => self.tell(stream, |slot| {
                slot.presence = Presence::Reset;
                slot.was_reset = true;
                slot.is_unprocessed = by.is_unprocessed();
            }),
            Event::Unprocessed { stream } => self.tell(stream, |slot| {
                slot.presence = Presence::Reset;
                slot.is_unprocessed = true;
            }),
            event @ (Event::Head { .. }
            | Event::Settings
            | Event::Goaway { .. }
            | Event::Fault(_)) => O::event(self, event),
        }
    }

    /// Something has happened to a stream, which its task is to look at.
    pub fn tell(&self, stream: Key, change: impl FnOnce(&mut Slot)) {
        self.slot(stream, |slot| {
            change(slot);
            slot.wake();
        });
    }

    /// The peer has gone from all streams, or has ended what it sends.
    pub fn tell_all(&self, presence: Presence) {
        for slot in &mut *self.slots.borrow_mut() {
            if slot.key.is_some() && slot.presence != Presence::Reset {
                slot.presence = presence;
                slot.wake();
            }
        }
    }

    /// The stream is over, and its place is free.
    pub fn finish(&self, stream: Key) {
        self.slot(stream, |slot| slot.begin(None));
        self.machine.borrow_mut().finish(stream);
        self.changed();
    }

    /// Has the connection's task look at the machine by the end of this turn.
    pub fn changed(&self) {
        if !self.has_changed.replace(true)
            && let Some(waker) = &*self.task.borrow()
        {
            waker.wake_by_ref();
        }
    }

    /// Whether a stream has done something since the last call; else the task is woken when one does.
    pub fn poll_changed(&self, cx: &Context<'_>) -> bool {
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
        self.has_changed.replace(false)
    }

    /// Gives back what an idle connection does not need.
    pub fn shrink(&self) {
        *self.slots.borrow_mut() = Vec::new();
        self.machine.borrow_mut().shrink(&mut self.owner.windows().borrow_mut());
    }
}
