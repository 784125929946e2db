//! The streams of a connection: a slab of places, found by id without hashing.
//!
//! ```text
//! index:  | 3 | – | 0 | 1 | – | 2 | – | – |     the slot of id / 2, or one of the next where that is taken
//! slots:  | 7 | 9 | 13 | 3 |                    by Key::slot
//! ```
//! Ids grow by two, so that neighbours in time are neighbours in the index, and nearly all are found at once. Places
//! are used again; the slab grows to what was open at a time and never beyond its limit. Tested against a plain map.

use super::events::Key;
use super::history::{Ended, History};
use super::stream::{NONE, Stream};

/// Most places that an index of two bytes allows.
const SLOTS_MAX: u32 = 32_768;
const INDEX_MIN: usize = 8;

#[derive(Debug)]
pub struct Streams {
    slots: Vec<Stream>,
    /// A power of two, at least twice as long as `slots`; or empty.
    index: Vec<u16>,
    /// Streams that stand in one of the next places of the index because theirs was taken.
    displaced: u32,
    /// The first free slot.
    free: u16,
    count: u32,
    count_max: u32,
    pub history: History,
}

impl Streams {
    pub fn new(count_max: u32) -> Streams {
        Streams {
            slots: Vec::new(),
            index: Vec::new(),
            displaced: 0,
            free: NONE,
            count: 0,
            count_max: count_max.min(SLOTS_MAX),
            history: History::default(),
        }
    }

    /// Places in use.
    pub fn count(&self) -> u32 {
        self.count
    }

    pub fn is_full(&self) -> bool {
        self.count >= self.count_max
    }

    /// Gives `stream` a place; its id is greater than all before it. `None` when there is none.
    #[inline]
    pub fn insert(&mut self, stream: Stream) -> Option<Key> {
        if self.is_full() {
            return None;
        }
        let id = stream.id;
        let slot = match self.slots.get_mut(usize::from(self.free)) {
            Some(place) => {
                let slot = self.free;
                self.free = place.next;
                *place = stream;
                slot
            }
            None => self.grow(stream)?,
        };
        self.count += 1;
        self.history.open(id >> 1);
        self.enter(slot, id);
        Some(Key { slot, id })
    }

    #[cold]
    fn grow(&mut self, stream: Stream) -> Option<u16> {
        let slot = u16::try_from(self.slots.len()).ok()?;
        self.slots.push(stream);
        if self.slots.len() * 2 > self.index.len() {
            let length = (self.slots.len() * 2).next_power_of_two().max(INDEX_MIN);
            self.index.clear();
            self.index.resize(length, NONE);
            self.displaced = 0;
            for other in 0..slot {
                let id = self.slots.get(usize::from(other)).map_or(0, |stream| stream.id);
                if id != 0 {
                    self.enter(other, id);
                }
            }
        }
        Some(slot)
    }

    /// A position of the index that exists.
    #[inline]
    fn position(&self, at: usize) -> usize {
        at & self.index.len().wrapping_sub(1)
    }

    #[inline]
    fn enter(&mut self, slot: u16, id: u32) {
        let home = self.position((id >> 1) as usize);
        let mut at = home;
        while let Some(place) = self.index.get_mut(at) {
            if *place == NONE {
                *place = slot;
                self.displaced += u32::from(at != home);
                return;
            }
            at = self.position(at + 1);
        }
    }

    /// The slot of stream `id`.
    #[inline]
    pub fn find(&self, id: u32) -> Option<u16> {
        let mut at = self.position((id >> 1) as usize);
        loop {
            let slot = *self.index.get(at)?;
            // The end of the chain has no slot.
            if self.slots.get(usize::from(slot))?.id == id {
                return Some(slot);
            }
            at = self.position(at + 1);
        }
    }

    #[inline]
    pub fn get(&self, key: Key) -> Option<&Stream> {
        self.slots.get(key.slot()).filter(|stream| stream.id == key.id)
    }

    #[inline]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut Stream> {
        self.slots.get_mut(key.slot()).filter(|stream| stream.id == key.id)
    }

    /// The stream at `slot`, which is in use.
    #[inline]
    pub fn at(&self, slot: u16) -> Option<&Stream> {
        self.slots.get(usize::from(slot))
    }

    /// The stream at `slot`, which is in use.
    #[inline]
    pub fn at_mut(&mut self, slot: u16) -> Option<&mut Stream> {
        self.slots.get_mut(usize::from(slot))
    }

    /// Frees the place of a stream that has ended like this.
    #[inline]
    pub fn remove(&mut self, key: Key, ended: Ended) {
        let Some(at) = self.index_of(key) else { return };
        let hole = if self.displaced == 0 { at } else { self.move_up(key, at) };
        self.put(hole, NONE);
        let free = self.free;
        if let Some(stream) = self.slots.get_mut(key.slot()) {
            stream.id = 0;
            stream.next = free;
            self.free = key.slot;
            self.count -= 1;
        }
        self.history.set(key.id >> 1, ended);
    }

    /// Moves those up that stand behind `hole` in its chain, where they may; the hole that this leaves.
    #[cold]
    fn move_up(&mut self, key: Key, mut hole: usize) -> usize {
        let own_home = self.position((key.id >> 1) as usize);
        let mut displaced = self.displaced - u32::from(own_home != hole);
        let mut at = hole;
        loop {
            at = self.position(at + 1);
            let slot = self.index.get(at).copied().unwrap_or(NONE);
            let Some(stream) = self.slots.get(usize::from(slot)) else { break };
            let home = self.position((stream.id >> 1) as usize);
            let is_passed =
                self.position(at.wrapping_sub(home)) >= self.position(at.wrapping_sub(hole));
            if is_passed {
                displaced -= u32::from(home == hole);
                self.put(hole, slot);
                hole = at;
            }
        }
        self.displaced = displaced;
        hole
    }

    fn index_of(&self, key: Key) -> Option<usize> {
        self.get(key)?;
        let mut at = self.position((key.id >> 1) as usize);
        while *self.index.get(at)? != key.slot {
            at = self.position(at + 1);
        }
        Some(at)
    }

    #[inline]
    fn put(&mut self, at: usize, slot: u16) {
        if let Some(place) = self.index.get_mut(at) {
            *place = slot;
        }
    }

    /// The streams that have a place.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &Stream)> {
        let slots = self.slots.iter().enumerate();
        let used = slots.filter(|(_, stream)| stream.id != 0);
        used.map(|(slot, stream)| (stream.key(slot as u16), stream))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut Stream)> {
        let slots = self.slots.iter_mut().enumerate();
        slots
            .filter(|(_, stream)| stream.id != 0)
            .map(|(slot, stream)| (stream.key(slot as u16), stream))
    }

    /// Gives the places back, when none is in use.
    pub fn shrink(&mut self) {
        if self.count == 0 {
            self.slots = Vec::new();
            self.index = Vec::new();
            self.displaced = 0;
            self.free = NONE;
        }
    }

    /// Memory in use, in bytes.
    pub fn capacity_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Stream>() + self.index.capacity() * size_of::<u16>()
    }
}

#[cfg(test)]
#[path = "streams_tests.rs"]
mod tests;
