//! Whether an engine still does what it is asked to.
//!
//! limpet's own driver hears of a ring that fails from the call that enters it. Of the other two nobody does: tokio-uring
//! drops what its submission says, and an epoll instance that takes no more sockets fails each of them alone. They are
//! therefore asked for something now and then that always succeeds. Tested by the black-box suite.

use std::future::Future;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use io_uring::opcode;
use tokio::io::unix::AsyncFd;

use super::engine::{self, Engine};
use super::ring::{self, Completion, Operation};
use super::tokio_ring;

/// From one question to the next, in calls of [`Pulse::beat`].
const EVERY: u32 = 20;
/// An answer that has not come after so many turns of the shard, each of which asks the kernel, does not come.
const LATE: u32 = 40;

/// One engine's, as its shard feels it.
#[derive(Default)]
pub struct Pulse {
    beats: u32,
    asked: Option<ring::InFlight<Nop>>,
}

/// An operation that does nothing.
struct Nop;

impl Operation for Nop {
    type Output = i32;
    fn complete(self, done: Completion) -> i32 {
        done.result
    }
}

impl Pulse {
    /// To be called at each of the shard's ticks.
    ///
    /// # Errors
    /// The engine is of no use any more.
    pub fn beat(&mut self) -> io::Result<()> {
        self.beats += 1;
        match engine::current() {
            Engine::IoUring => Ok(()),
            Engine::TokioUring => self.ask_ring().inspect_err(|_| tokio_ring::set_broken()),
            Engine::Epoll => self.ask_epoll(),
        }
    }

    /// A nop that fails, or does not come back, is the ring's end.
    fn ask_ring(&mut self) -> io::Result<()> {
        let Some(asked) = &mut self.asked else {
            if self.beats >= EVERY {
                self.beats = 0;
                self.asked = Some(ring::submit(Nop, opcode::Nop::new().build()));
            }
            return Ok(());
        };
        match Pin::new(asked).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => {
                self.asked = None;
                if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(()) }
            }
            Poll::Pending if self.beats >= LATE => {
                Err(io::Error::other("its ring does nothing any more"))
            }
            Poll::Pending => Ok(()),
        }
    }

    fn ask_epoll(&mut self) -> io::Result<()> {
        if self.beats < EVERY {
            return Ok(());
        }
        self.beats = 0;
        // For want of a descriptor nothing can be asked, and connections wait for one as well.
        let Ok(socket) = UnixDatagram::unbound() else { return Ok(()) };
        // SAFETY: the socket owns its descriptor, and nobody reaches it through the `AsyncFd`.
        let registered = unsafe { AsyncFd::register(socket) };
        match registered.map_err(io::Error::from) {
            Err(error) if !is_shortage(&error) => {
                Err(io::Error::new(error.kind(), format!("its epoll takes no sockets: {error}")))
            }
            _ => Ok(()),
        }
    }
}

/// What passes when others let go of memory, or of their places among the user's watches.
fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::ENOSPC))
}
