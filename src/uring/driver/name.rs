//! The name by which a task is woken, on its own thread and from others. Tested through the tasks.

/// The slot of the main future, which lies on the stack of `run`.
pub(super) const MAIN: u32 = u32::MAX;

/// The task to be woken: thread, generation and slot, 16, 16 and 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name(usize);

impl Name {
    pub(super) fn new(thread: u16, generation: u16, slot: u32) -> Name {
        Name(usize::from(thread) << 48 | usize::from(generation) << 32 | slot as usize)
    }

    pub(super) fn thread(self) -> u16 {
        (self.0 >> 48) as u16
    }

    pub(super) fn generation(self) -> u16 {
        (self.0 >> 32) as u16
    }

    pub(super) fn slot(self) -> u32 {
        self.0 as u32
    }

    /// The name as a pointer that is never followed.
    pub(super) fn as_pointer(self) -> *const () {
        std::ptr::without_provenance(self.0)
    }

    pub(super) fn of_pointer(pointer: *const ()) -> Name {
        Name(pointer.addr())
    }
}

const _: () = assert!(size_of::<usize>() == 8, "a task's name needs 64 bits");
