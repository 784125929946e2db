//! The bytes on their way in one direction of a connection.

/// How a direction ends for its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Not,
    /// Behind the bytes that were sent.
    Cleanly,
    ByReset,
}

/// Bytes in their order. They are taken from the front in pieces, without a look at each byte: a run spends most of its
/// time here.
#[derive(Debug, Default)]
struct Bytes {
    all: Vec<u8>,
    /// Bytes before this index are gone.
    from: usize,
}

impl Bytes {
    fn len(&self) -> usize {
        self.all.len() - self.from
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn clear(&mut self) {
        *self = Bytes::default();
    }

    fn append(&mut self, bytes: &[u8]) {
        self.all.extend_from_slice(bytes);
    }

    /// Moves the first `count` behind `to`'s.
    fn give(&mut self, count: usize, to: &mut Vec<u8>) {
        let until = self.from + count;
        to.extend_from_slice(&self.all[self.from..until]);
        self.from = until;
        if self.from * 2 > self.all.len() {
            self.all.drain(..self.from);
            self.from = 0;
        }
    }
}

/// One direction: the bytes that the sender's side holds, and those that the receiver's side holds.
#[derive(Debug)]
pub(super) struct Pipe {
    unsent: Bytes,
    arrived: Bytes,
    room: usize,
    /// Nothing more is sent behind `unsent`.
    is_finished: bool,
    /// Bytes that were sent are lost: the receiver gets only a part, and no clean end.
    is_cut: bool,
    pub(super) ended: Ended,
    /// The sender has reset the connection, perhaps behind its end.
    pub(super) is_reset: bool,
    /// The receiver has been told of the reset.
    pub(super) is_told: bool,
    /// A transfer is on its way already.
    pub(super) is_moving: bool,
}

impl Pipe {
    pub(super) fn new(room: usize) -> Pipe {
        Pipe {
            unsent: Bytes::default(),
            arrived: Bytes::default(),
            room: room.max(1),
            is_finished: false,
            is_cut: false,
            ended: Ended::Not,
            is_reset: false,
            is_told: false,
            is_moving: false,
        }
    }

    /// Takes as much as there is room for, at most `most` bytes; returns how much.
    pub(super) fn push(&mut self, bytes: &[u8], most: usize) -> usize {
        let count = bytes.len().min(most).min(self.room.saturating_sub(self.unsent.len()));
        self.unsent.append(&bytes[..count]);
        count
    }

    pub(super) fn has_room(&self) -> bool {
        self.unsent.len() < self.room
    }

    /// Bytes that have not arrived.
    pub(super) fn queued(&self) -> usize {
        self.unsent.len()
    }

    pub(super) fn finish(&mut self) {
        self.is_finished = true;
    }

    pub(super) fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// Whether a transfer would bring something to the receiver.
    pub(super) fn can_move(&self) -> bool {
        let has_bytes = !self.unsent.is_empty() && self.arrived.len() < self.room;
        let has_end = self.unsent.is_empty() && self.is_finished && !self.is_cut;
        self.ended == Ended::Not && (has_bytes || has_end)
    }

    /// Brings up to `most` bytes to the receiver, and the end behind the last.
    pub(super) fn transfer(&mut self, most: usize) {
        if self.ended != Ended::Not {
            return;
        }
        let room = self.room.saturating_sub(self.arrived.len());
        let count = self.unsent.len().min(room).min(most.max(1));
        self.unsent.give(count, &mut self.arrived.all);
        if self.unsent.is_empty() && self.is_finished && !self.is_cut {
            self.ended = Ended::Cleanly;
        }
    }

    /// Loses the bytes on the way; with `destroys` also those that have arrived.
    pub(super) fn reset(&mut self, destroys: bool) {
        self.unsent.clear();
        self.is_reset = true;
        if self.ended != Ended::Not {
            // For the receiver, an end that has arrived already stays as it was.
            return;
        }
        if destroys {
            self.arrived.clear();
        }
        self.ended = Ended::ByReset;
    }

    /// Drops the bytes that have not been sent.
    pub(super) fn discard(&mut self) {
        self.is_cut = true;
        self.unsent.clear();
    }

    pub(super) fn arrived(&self) -> usize {
        self.arrived.len()
    }

    /// Moves up to `most` arrived bytes behind `buffer`'s.
    pub(super) fn pull(&mut self, buffer: &mut Vec<u8>, most: usize) -> usize {
        let count = self.arrived.len().min(most);
        self.arrived.give(count, buffer);
        count
    }
}
