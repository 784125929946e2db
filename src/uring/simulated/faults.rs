//! The faults that limpet met in a run, and the stage of its exchange at each.
//!
//! A task stands for its exchange: the task that operates on a connection is taken to own it, and the exchange itself
//! reports, under `cfg(test)`, each stage that it enters.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use super::World;
use super::wire::{LIMPET, Wire};
use crate::uring::socket::Socket;

/// Where an exchange is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Stage {
    /// Of the request.
    Head,
    /// Of the request, on its way to the target.
    Content,
    Queue,
    Connect,
    /// The rest of the request is on its way to the target.
    Send,
    /// The head of the response is waited for.
    Response,
    /// The response has begun to go to the client.
    Relay,
    Tunnel,
    /// Between two exchanges.
    #[default]
    Idle,
}

/// A fault that limpet's end may meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A receive brings less than is there.
    ShortReceive,
    /// A send takes less than there is room for.
    ShortSend,
    /// A completion is seen later than it was done.
    Late,
    /// A completion is seen after that of another operation that was done later.
    Reordered,
    /// The kernel has no provided buffer left (ENOBUFS).
    NoBuffer,
    /// There is no descriptor (EMFILE), or no memory (ENOBUFS), for a socket.
    NoSocket,
    /// There is no listener.
    Refused,
    ClientEnds,
    ClientResets,
    ClientStalls,
    TargetEnds,
    TargetResets,
    TargetStalls,
}

impl Stage {
    pub const ALL: [Stage; 9] = [
        Stage::Head,
        Stage::Content,
        Stage::Queue,
        Stage::Connect,
        Stage::Send,
        Stage::Response,
        Stage::Relay,
        Stage::Tunnel,
        Stage::Idle,
    ];
}

impl Fault {
    pub const ALL: [Fault; 13] = [
        Fault::ShortReceive,
        Fault::ShortSend,
        Fault::Late,
        Fault::Reordered,
        Fault::NoBuffer,
        Fault::NoSocket,
        Fault::Refused,
        Fault::ClientEnds,
        Fault::ClientResets,
        Fault::ClientStalls,
        Fault::TargetEnds,
        Fault::TargetResets,
        Fault::TargetStalls,
    ];
}

/// How often each fault happened in each stage.
pub type Faults = BTreeMap<(Fault, Stage), u32>;

/// Which peer is at a connection's far end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Far {
    Client,
    Target,
}

/// What a peer does to its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Ends,
    Resets,
    Stalls,
}

impl Far {
    fn fault(self, deed: Deed) -> Fault {
        match (self, deed) {
            (Far::Client, Deed::Ends) => Fault::ClientEnds,
            (Far::Client, Deed::Resets) => Fault::ClientResets,
            (Far::Client, Deed::Stalls) => Fault::ClientStalls,
            (Far::Target, Deed::Ends) => Fault::TargetEnds,
            (Far::Target, Deed::Resets) => Fault::TargetResets,
            (Far::Target, Deed::Stalls) => Fault::TargetStalls,
        }
    }
}

/// One exchange's task.
#[derive(Default)]
pub(super) struct Situation {
    stage: Stage,
    client: Weak<Wire>,
    /// The connection to a target that was used last.
    target: Weak<Wire>,
}

type Strike = Box<dyn FnOnce(Peer, Option<Peer>)>;

/// Waits for a connection's exchange to enter a stage.
#[derive(Default)]
pub(super) struct Watch(RefCell<Option<(Stage, u64, Strike)>>);

impl Watch {
    pub(super) fn take(&self) -> Option<impl Sized> {
        self.0.take()
    }
}

/// Limpet's task enters `stage`; does nothing outside of a world.
pub fn enter(stage: Stage) {
    let Some(world) = super::current() else { return };
    let key = world.running.get();
    let (client, target) = {
        let mut situations = world.situations.borrow_mut();
        let situation = situations.entry(key).or_default();
        situation.stage = stage;
        (situation.client.clone(), situation.target.clone())
    };
    let Some(client) = client.upgrade() else { return };
    let mut watch = client.watch.0.borrow_mut();
    let is_it = |at: Stage| at == stage || (at, stage) == (Stage::Send, Stage::Response);
    if watch.as_ref().is_some_and(|(at, ..)| is_it(*at))
        && let Some((_, after_us, strike)) = watch.take()
    {
        let client = Rc::clone(&client);
        world.after(after_us, move || {
            strike(Peer(client), target.upgrade().map(Peer));
        });
    }
}

/// The running task works for another: a connection that it uses still belongs to the other.
pub fn helps() {
    if let Some(world) = super::current() {
        world.helpers.borrow_mut().insert(world.running.get());
    }
}

/// Whether limpet's task is at `stage`.
pub fn is_at(stage: Stage) -> bool {
    super::current().is_some_and(|world| {
        let situations = world.situations.borrow();
        situations.get(&world.running.get()).is_some_and(|situation| situation.stage == stage)
    })
}

/// Has `strike` called so long after the exchange of a client's connection next enters `stage`. It is given that
/// client, and the target that the exchange used last.
pub fn watch(
    client: &Socket,
    stage: Stage,
    after_us: u64,
    strike: impl FnOnce(Peer, Option<Peer>) + 'static,
) {
    if let Some(end) = client.simulated_end() {
        *end.wire.watch.0.borrow_mut() = Some((stage, after_us, Box::new(strike)));
    }
}

/// Cancels a strike at a client's connection, which the strike would keep open.
pub fn unwatch(socket: &Socket) {
    if let Some(end) = socket.simulated_end() {
        drop(end.wire.watch.take());
    }
}

/// The peer at the far end of one of limpet's connections.
pub struct Peer(Rc<Wire>);

impl Peer {
    pub fn half_close(&self) {
        self.0.shutdown(1 - LIMPET, std::net::Shutdown::Write);
    }

    pub fn close(&self) {
        self.0.shutdown(1 - LIMPET, std::net::Shutdown::Both);
    }

    pub fn reset(&self) {
        self.0.abort(1 - LIMPET);
    }

    /// Neither sends nor takes anything any more, until limpet has let go of the connection.
    pub fn stall(&self) {
        self.0.stall(1 - LIMPET);
    }
}

/// Says that this end, a peer's, sends no more of what it owes.
pub fn stalls(socket: &Socket) {
    if let Some(end) = socket.simulated_end() {
        super::world().deed(&end.wire, Deed::Stalls);
    }
}

impl World {
    /// The running task has begun an operation of limpet's on this connection.
    pub(super) fn used_by_running(&self, wire: &Rc<Wire>) {
        let key = self.running.get();
        if self.helpers.borrow().contains(&key) {
            return;
        }
        wire.owner.set(Some(key));
        let mut situations = self.situations.borrow_mut();
        let situation = situations.entry(key).or_default();
        let place = match wire.far {
            Far::Client => &mut situation.client,
            Far::Target => &mut situation.target,
        };
        if !std::ptr::eq(place.as_ptr(), Rc::as_ptr(wire)) {
            *place = Rc::downgrade(wire);
        }
    }

    fn stage(&self, wire: &Rc<Wire>) -> Stage {
        let situations = self.situations.borrow();
        let Some(situation) = wire.owner.get().and_then(|key| situations.get(&key)) else {
            return Stage::Idle;
        };
        let is_current = std::ptr::eq(situation.target.as_ptr(), Rc::as_ptr(wire));
        match (wire.far, situation.stage) {
            // The connection is kept for another exchange.
            (Far::Target, Stage::Head | Stage::Queue | Stage::Connect) => Stage::Idle,
            (Far::Target, _) if !is_current => Stage::Idle,
            (_, Stage::Response)
                if situation.target.upgrade().is_some_and(|it| it.is_sending()) =>
            {
                Stage::Send
            }
            (_, stage) => stage,
        }
    }

    /// Counts a fault of limpet's end of a connection.
    pub(super) fn befalls(&self, fault: Fault, wire: &Rc<Wire>) {
        self.count(fault, self.stage(wire));
    }

    /// Counts a deed of the far end of a connection.
    pub(super) fn deed(&self, wire: &Rc<Wire>, deed: Deed) {
        self.befalls(wire.far.fault(deed), wire);
    }

    /// Counts a fault of a task that has no connection yet.
    pub(super) fn befalls_running(&self, fault: Fault) {
        let key = self.running.get();
        let stage = self.situations.borrow().get(&key).map(|situation| situation.stage);
        self.count(fault, stage.unwrap_or_default());
    }

    fn count(&self, fault: Fault, stage: Stage) {
        *self.faults.borrow_mut().entry((fault, stage)).or_default() += 1;
    }
}
