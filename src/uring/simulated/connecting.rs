//! Which listener answers at which address, and a connect on its way.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::faults::{Far, Fault};
use super::{wire, world};
use crate::uring::socket::Socket;

/// The outcome of a connect.
pub enum Answer {
    /// It succeeds after so long, and the listener takes the other end.
    Accepted {
        after_us: u64,
    },
    Refused {
        after_us: u64,
    },
    /// No answer ever comes.
    Silence,
}

/// Decides about each connect, and takes the far end of those that succeed.
pub(super) type Listener = Rc<dyn Listen>;

pub(super) trait Listen {
    fn answer(&self) -> Answer;
    fn accept(&self, socket: Socket);
}

struct By<A, T>(A, T);

impl<A: Fn() -> Answer, T: Fn(Socket)> Listen for By<A, T> {
    fn answer(&self) -> Answer {
        (self.0)()
    }
    fn accept(&self, socket: Socket) {
        (self.1)(socket);
    }
}

/// Listens at `address`, in place of an earlier listener.
pub fn listen(
    address: SocketAddr,
    answer: impl Fn() -> Answer + 'static,
    accept: impl Fn(Socket) + 'static,
) {
    let world = world();
    let mut listeners = world.listeners.borrow_mut();
    listeners.retain(|(known, _)| *known != address);
    listeners.push((address, Rc::new(By(answer, accept))));
}

/// A connect on its way.
pub struct Connecting {
    state: Rc<State>,
    socket: Socket,
}

#[derive(Default)]
struct State {
    result: RefCell<Option<io::Result<()>>>,
    is_over: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl State {
    fn end(&self, result: io::Result<()>) {
        if self.is_over.replace(true) {
            return;
        }
        *self.result.borrow_mut() = Some(result);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Starts to connect to `address`; returns the socket too, which can be shut down meanwhile.
///
/// # Errors
/// When there is no descriptor for a socket, or no memory.
pub fn connect(address: SocketAddr) -> io::Result<(Socket, Connecting)> {
    let world = world();
    if world.happens(world.knobs.no_socket) {
        world.befalls_running(Fault::NoSocket);
        let code = if world.below(2) == 0 { libc::EMFILE } else { libc::ENOBUFS };
        return Err(io::Error::from_raw_os_error(code));
    }
    let [near, far] = wire::ends(Far::Target);
    let socket = Socket::simulated(near);
    let state = Rc::new(State::default());
    let listener =
        world.listeners.borrow().iter().find(|(at, _)| *at == address).map(|(_, l)| Rc::clone(l));
    let answer =
        listener.as_ref().map_or(Answer::Refused { after_us: 0 }, |listener| listener.answer());
    // A connect whose socket is shut down fails soon: the waiting task looks again and again.
    watch(Rc::clone(&state), socket.clone());
    let late_us =
        if world.happens(world.knobs.late) { world.below(world.knobs.late_us) } else { 0 };
    if late_us > 0 {
        world.befalls_running(Fault::Late);
    }
    match (answer, listener) {
        (Answer::Accepted { after_us }, Some(listener)) => {
            let (state, near) = (Rc::clone(&state), socket.clone());
            let far = Socket::simulated(far);
            world.after(after_us, move || {
                if near.is_shut() {
                    return;
                }
                listener.accept(far);
                // Deeds of the other end may come before its connect is seen to complete.
                super::world().after(late_us, move || state.end(Ok(())));
            });
        }
        (Answer::Refused { after_us }, _) => {
            world.befalls_running(Fault::Refused);
            let state = Rc::clone(&state);
            world.after(after_us + late_us, move || {
                drop(far);
                state.end(Err(io::Error::from_raw_os_error(libc::ECONNREFUSED)));
            });
        }
        (Answer::Silence | Answer::Accepted { .. }, _) => {
            world.befalls_running(Fault::TargetStalls);
        }
    }
    world.in_flight.set(world.in_flight.get() + 1);
    Ok((socket.clone(), Connecting { state, socket }))
}

/// How soon a connect is seen to have been shut down.
const LOOK_US: u64 = 1000;

fn watch(state: Rc<State>, socket: Socket) {
    world().after(LOOK_US, move || {
        if state.is_over.get() {
            return;
        }
        if socket.is_shut() {
            state.end(Err(io::Error::from_raw_os_error(libc::ECONNABORTED)));
        } else {
            watch(state, socket);
        }
    });
}

impl Future for Connecting {
    type Output = io::Result<Socket>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = self.state.result.borrow_mut().take();
        match result {
            Some(result) => Poll::Ready(result.map(|()| self.socket.clone())),
            None => {
                *self.state.waker.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        if crate::uring::engine::is_simulated() {
            let world = world();
            world.in_flight.set(world.in_flight.get() - 1);
        }
    }
}
