//! Bytes of the client that have been received and not yet used.

use crate::uring::buffers;

/// ```text
///   buffer: [ used | unread .......... | spare ]
///                  ^start              ^len    ^capacity
/// ```
/// `start <= buffer.len()` always.
#[derive(Debug, Default)]
pub struct Input {
    buffer: Vec<u8>,
    start: usize,
}

impl Input {
    pub fn new(buffer: Vec<u8>) -> Input {
        Input { buffer, start: 0 }
    }

    pub fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.start >= self.buffer.len()
    }

    pub fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.buffer.len());
    }

    /// The unread bytes from position `from` on, for decoding in place.
    pub fn unread_mut(&mut self, from: usize) -> &mut [u8] {
        let from = self.start.saturating_add(from).min(self.buffer.len());
        self.buffer.get_mut(from..).unwrap_or_default()
    }

    /// Puts received bytes behind the unread ones.
    pub fn append(&mut self, bytes: Vec<u8>) {
        if self.is_empty() {
            self.replace(bytes);
        } else {
            self.buffer.extend_from_slice(&bytes);
            buffers::give_back(bytes);
        }
    }

    pub fn replace(&mut self, bytes: Vec<u8>) {
        buffers::give_back(std::mem::replace(&mut self.buffer, bytes));
        self.start = 0;
    }

    /// Takes the buffer out for a receive, with room behind the unread bytes. Where there is no room, they are moved to
    /// the front, or to a larger buffer (of little more than `limit` bytes).
    pub fn take_with_room(&mut self, limit: usize) -> Vec<u8> {
        let mut buffer = std::mem::take(&mut self.buffer);
        if self.start > 0 {
            buffer.drain(..self.start.min(buffer.len()));
            self.start = 0;
        }
        if buffer.capacity() == 0 {
            return buffers::small();
        }
        if buffer.capacity() - buffer.len() < 512 {
            let wanted = (buffer.capacity() * 4).min(limit.max(buffer.len()) + 4096);
            let mut larger = Vec::with_capacity(wanted);
            larger.extend_from_slice(&buffer);
            buffers::give_back(buffer);
            buffer = larger;
        }
        buffer
    }

    /// Puts a buffer from [`Self::take_with_room`] back, with the received bytes.
    pub fn put_back(&mut self, buffer: Vec<u8>) {
        self.buffer = buffer;
    }

    /// Lets the buffer go once everything has been read.
    pub fn release_if_empty(&mut self) {
        if self.is_empty() {
            self.replace(Vec::new());
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        buffers::give_back(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use crate::client::input::*;

    #[test]
    fn unread_bytes_survive_growing() {
        let mut input = Input::new(vec![7; 5000]);
        input.consume(1000);
        let mut buffer = input.take_with_room(65536);
        assert!(buffer.capacity() - buffer.len() >= 512);
        buffer.extend_from_slice(b"abc");
        input.put_back(buffer);
        assert_eq!(input.unread().len(), 4003);
        assert!(input.unread().ends_with(b"abc"));
    }

    #[test]
    fn consuming_more_than_there_is_leaves_nothing() {
        let mut input = Input::new(b"ab".to_vec());
        input.consume(5);
        assert!(input.is_empty());
        assert_eq!(input.unread(), b"");
    }
}
