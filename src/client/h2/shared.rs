//! The state that a connection's task and the tasks of its streams share.
//!
//! Never borrowed across an await. Content that has come stands in the slot of its stream, in pieces with room for the
//! framing of another wire in front; the machine's windows bound how much there is.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Waker};

use crate::client::connection::Connection;
use crate::exchange::client::Presence;
use crate::exchange::content::ROOM;
use crate::http::refusal::ChunkFault;
use crate::http2::machine::Machine;
use crate::http2::machine::events::Key;
use crate::uring::buffers::{self, TAIL_BYTES};

pub struct Shared {
    pub connection: Rc<Connection>,
    pub machine: RefCell<Machine>,
    /// By the slots of the machine's keys.
    slots: RefCell<Vec<Slot>>,
    /// The connection's task.
    task: RefCell<Option<Waker>>,
    /// Whether a stream has done something since the task looked.
    has_changed: Cell<bool>,
}

/// One stream, as far as its connection's task knows it.
#[derive(Default)]
pub struct Slot {
    key: Option<Key>,
    /// Content that was not taken yet.
    pub pieces: VecDeque<Vec<u8>>,
    /// The request has ended; its trailer lines are then in `trailers`.
    pub has_ended: bool,
    pub trailers: Vec<u8>,
    /// The request is malformed, and no more of it comes.
    pub fault: Option<ChunkFault>,
    pub presence: Option<Presence>,
    waker: Option<Waker>,
}

impl Slot {
    /// Frees its pieces and begins anew for another stream.
    fn begin(&mut self, key: Option<Key>) {
        self.pieces.drain(..).for_each(buffers::give_back);
        self.trailers.clear();
        *self = Slot {
            key,
            pieces: std::mem::take(&mut self.pieces),
            trailers: std::mem::take(&mut self.trailers),
            ..Slot::default()
        };
    }

    /// Puts content behind what has come before, into the same buffer while it has room.
    fn append(&mut self, mut content: &[u8]) {
        while !content.is_empty() {
            let room = |piece: &Vec<u8>| piece.capacity().saturating_sub(piece.len() + TAIL_BYTES);
            let last = self.pieces.back_mut().filter(|piece| room(piece) > 0);
            let Some(piece) = last else {
                let mut piece = buffers::large();
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

impl Shared {
    pub fn new(connection: Rc<Connection>, machine: Machine) -> Shared {
        Shared {
            connection,
            machine: RefCell::new(machine),
            slots: RefCell::default(),
            task: RefCell::default(),
            has_changed: Cell::new(false),
        }
    }

    /// A stream begins; `has_ended`: its request has no content.
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

    /// Content has come for a stream.
    pub fn arrived(&self, stream: Key, content: &[u8], has_ended: bool) {
        self.tell(stream, |slot| {
            slot.append(content);
            slot.has_ended = has_ended;
        });
    }

    /// Something has happened to a stream, which its task is to look at.
    pub fn tell(&self, stream: Key, change: impl FnOnce(&mut Slot)) {
        self.slot(stream, |slot| {
            change(slot);
            slot.wake();
        });
    }

    /// The client has gone from all streams, or has ended what it sends.
    pub fn tell_all(&self, presence: Presence) {
        for slot in &mut *self.slots.borrow_mut() {
            if slot.key.is_some() && slot.presence != Some(Presence::Reset) {
                slot.presence = Some(presence);
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
        let mut pool = self.connection.clients.windows.borrow_mut();
        self.machine.borrow_mut().shrink(&mut pool);
    }
}
