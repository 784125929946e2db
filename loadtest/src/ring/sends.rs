//! What is being sent: each send keeps its bytes alive until the kernel has completed it.
//!
//! Owns: the slab of sends and the order of those of one socket. Never: a send whose bytes are freed or
//! moved before its completion. Tested with the ring, in `tests.rs`.

use std::ops::Range;
use std::ptr;
use std::sync::Arc;

use io_uring::{opcode, squeue, types};

use super::Socket;

/// No send: the end of a list.
pub(super) const NONE: u32 = u32::MAX;

/// Bytes to send, and who keeps them.
#[derive(Debug)]
pub enum Outgoing {
    /// The ring's until they are sent; then they come back with [`Event::Sent`](super::Event::Sent).
    Owned(Vec<u8>),
    /// Bytes that many sends share.
    Shared(Arc<[u8]>, Range<usize>),
    /// A head of its own, then bytes that many sends share, without copying them.
    Pair(Vec<u8>, Arc<[u8]>, Range<usize>),
}

/// What a send keeps until it has completed.
#[derive(Debug)]
pub(super) enum Source {
    Outgoing(Outgoing),
    /// A received buffer that goes out as it is: slot, address, and count of bytes.
    Received(u16, *const u8, usize),
    Free,
}

/// One send, from the call until its last completion.
#[derive(Debug)]
pub(super) struct Send {
    pub(super) socket: Socket,
    pub(super) source: Source,
    /// Bytes that the kernel has taken so far.
    pub(super) sent: usize,
    /// The next send of the same socket, or the next free entry.
    pub(super) next: u32,
    /// The kernel knows of it.
    pub(super) submitted: bool,
    /// For [`Outgoing::Pair`]: what the kernel reads while it sends; kept for the next one.
    message: Option<Box<Message>>,
}

#[derive(Debug)]
struct Message {
    header: libc::msghdr,
    parts: [libc::iovec; 2],
}

impl Source {
    /// The two parts of the bytes; the second may be empty.
    fn parts(&self) -> [(*const u8, usize); 2] {
        let none = (ptr::null(), 0);
        match self {
            Source::Outgoing(Outgoing::Owned(bytes)) => [(bytes.as_ptr(), bytes.len()), none],
            Source::Outgoing(Outgoing::Shared(bytes, range)) => [slice(bytes, range), none],
            Source::Outgoing(Outgoing::Pair(head, bytes, range)) => {
                [(head.as_ptr(), head.len()), slice(bytes, range)]
            }
            Source::Received(_, address, count) => [(*address, *count), none],
            Source::Free => [none, none],
        }
    }

    pub(super) fn len(&self) -> usize {
        self.parts().iter().map(|part| part.1).sum()
    }
}

fn slice(bytes: &Arc<[u8]>, range: &Range<usize>) -> (*const u8, usize) {
    let slice = &bytes[range.clone()];
    (slice.as_ptr(), slice.len())
}

impl Send {
    /// The submission of what has not been sent yet. Valid as long as this entry's source stays.
    fn entry(&mut self) -> squeue::Entry {
        let [first, second] = skip(self.source.parts(), self.sent);
        let descriptor = types::Fd(self.socket.descriptor());
        // The kernel goes on by itself when the socket's buffer has room again.
        let flags = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
        if second.1 == 0 {
            let length = u32::try_from(first.1).unwrap_or(u32::MAX);
            return opcode::Send::new(descriptor, first.0, length).flags(flags).build();
        }
        let message = self.message.get_or_insert_with(Message::empty);
        message.parts = [first, second].map(|(start, length)| libc::iovec {
            iov_base: start.cast_mut().cast(),
            iov_len: length,
        });
        message.header.msg_iov = message.parts.as_mut_ptr();
        message.header.msg_iovlen = 2;
        opcode::SendMsg::new(descriptor, &raw const message.header)
            .flags(flags.cast_unsigned())
            .build()
    }
}

/// The parts without their first `count` bytes.
fn skip(parts: [(*const u8, usize); 2], count: usize) -> [(*const u8, usize); 2] {
    let [first, second] = parts;
    if count < first.1 {
        return [(first.0.wrapping_add(count), first.1 - count), second];
    }
    let count = (count - first.1).min(second.1);
    [(second.0.wrapping_add(count), second.1 - count), (ptr::null(), 0)]
}

impl Message {
    fn empty() -> Box<Message> {
        let part = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        let header = libc::msghdr {
            msg_name: ptr::null_mut(),
            msg_namelen: 0,
            msg_iov: ptr::null_mut(),
            msg_iovlen: 0,
            msg_control: ptr::null_mut(),
            msg_controllen: 0,
            msg_flags: 0,
        };
        Box::new(Message { header, parts: [part, part] })
    }
}

/// All sends of a ring. Entries may move; what the kernel reads is behind pointers that do not.
#[derive(Debug)]
pub(super) struct Sends {
    entries: Vec<Send>,
    free: u32,
    /// Sends that the kernel knows of.
    pub(super) in_flight: usize,
}

impl Sends {
    pub(super) fn new() -> Sends {
        Sends { entries: Vec::new(), free: NONE, in_flight: 0 }
    }

    pub(super) fn insert(&mut self, socket: Socket, source: Source) -> u32 {
        if let Some(entry) = self.entries.get_mut(self.free as usize) {
            let index = self.free;
            self.free = entry.next;
            (entry.socket, entry.source, entry.sent) = (socket, source, 0);
            (entry.next, entry.submitted) = (NONE, false);
            return index;
        }
        let send = Send { socket, source, sent: 0, next: NONE, submitted: false, message: None };
        self.entries.push(send);
        (self.entries.len() - 1) as u32
    }

    pub(super) fn get_mut(&mut self, index: u32) -> &mut Send {
        &mut self.entries[index as usize]
    }

    /// What to submit for `index`, which is in flight from now on.
    pub(super) fn submission(&mut self, index: u32) -> squeue::Entry {
        let send = &mut self.entries[index as usize];
        self.in_flight += usize::from(!send.submitted);
        send.submitted = true;
        send.entry()
    }

    /// Frees an entry that the kernel does not know of, or that has completed; its bytes go to the caller.
    pub(super) fn remove(&mut self, index: u32) -> (Source, u32) {
        let send = &mut self.entries[index as usize];
        self.in_flight -= usize::from(send.submitted);
        let next = std::mem::replace(&mut send.next, self.free);
        self.free = index;
        (std::mem::replace(&mut send.source, Source::Free), next)
    }
}
