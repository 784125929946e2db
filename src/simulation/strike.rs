//! A strike at a connection in the stage of its exchange that the plan names.

use std::rc::Rc;

use super::Board;
use super::client::{Talk, leave};
use super::plan::{Cut, Plan, Strike};
use crate::transport::stream::Stream;
use crate::uring::Socket;
use crate::uring::simulated::{self, Peer};

/// Waits for the stage. Returns the state of the strike for the client.
pub(super) fn prepare(
    near: &Socket,
    far: &Stream,
    plan: &Plan,
    index: usize,
    board: &Rc<Board>,
) -> Rc<Talk> {
    let talk = Rc::new(Talk::new(plan.records.is_client_rude()));
    let Some(strike) = plan.clients[index].strike else { return talk };
    let Strike { by_target, how, at, after_us } = strike;
    let is_cut = plan.records.to_targets;
    let (far, board, told) = (far.clone(), Rc::clone(board), Rc::clone(&talk));
    simulated::watch(near, at, after_us, move |client, target| {
        if by_target {
            if let Some(target) = target {
                // The end of a socket does not end the data in records.
                let closes = closes(how) && !is_cut;
                board.has_target_closed.set(board.has_target_closed.get() || closes);
                cut(&target, how);
            }
        } else if how == Cut::Stall && !told.is_over.get() {
            told.cuts(how);
            client.stall();
        } else {
            leave(&far, how, &told);
        }
    });
    talk
}

fn closes(how: Cut) -> bool {
    matches!(how, Cut::HalfClose | Cut::Close)
}

fn cut(peer: &Peer, how: Cut) {
    match how {
        Cut::HalfClose => peer.half_close(),
        Cut::Close => peer.close(),
        Cut::Reset => peer.reset(),
        Cut::Stall => peer.stall(),
    }
}
