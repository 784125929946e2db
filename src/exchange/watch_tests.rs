//! What is awaited, and what cuts it: its own deadline, or a client that is not there any more.

use std::cell::Cell;
use std::rc::Rc;

use super::*;
use crate::exchange::doubles::{
    Answers, ClientState, HandleDouble, Shard, TargetState, file, play, poll,
};
use crate::exchange::failure::Failure;

const DEADLINE: Millis = 10_000;

/// Something that is awaited: it ends when the test says so, and counts how often it was cut.
#[derive(Default)]
struct Op {
    is_over: Cell<bool>,
    ends_when_cut: Cell<bool>,
    cuts: Cell<u32>,
}

impl Op {
    fn poll(&self, is_cut: bool) -> Poll<&'static str> {
        self.cuts.set(self.cuts.get() + u32::from(is_cut));
        let is_over = self.is_over.get() || (is_cut && self.ends_when_cut.get());
        if is_over { Poll::Ready("over") } else { Poll::Pending }
    }
}

/// A client, a target, and what is awaited of it until [`DEADLINE`].
#[derive(Default)]
struct World {
    client: Rc<ClientState>,
    target: Rc<TargetState>,
    upload: Cell<Option<UploadState>>,
    op: Op,
}

/// Plays with an operation that ends when it is cut; `main` is given a poll of the watch over it.
fn watched(
    prepare: impl FnOnce(&World),
    main: impl AsyncFnOnce(&Shard, &World, &mut dyn FnMut() -> Poll<Option<Cut>>),
) {
    play(&file("", "", 1), async |shard| {
        let world = World::default();
        world.op.ends_when_cut.set(true);
        prepare(&world);
        let timers = shard.timers();
        timers.set(Timer::Response, DEADLINE);
        let mut answers = Answers::new(&world.client);
        let target = HandleDouble(Rc::clone(&world.target));
        let state = Cell::new(world.upload.get().unwrap_or(UploadState::None));
        let beside = world.upload.get().map(|_| Beside { state: &state, target: &target });
        let watch = Watch::new((&timers, Timer::Response), &mut answers, beside);
        let mut over = Box::pin(watch.over(|_, is_cut| world.op.poll(is_cut)));
        let mut poll_it = || {
            state.set(world.upload.get().unwrap_or(UploadState::None));
            poll(&mut over).map(|(output, cut)| {
                assert_eq!(output, "over");
                assert_eq!((timers.at(Timer::Look), timers.at(Timer::Gone)), (None, None));
                cut
            })
        };
        main(shard, &world, &mut poll_it).await;
    });
}

#[test]
fn what_ends_in_time_is_not_cut() {
    watched(
        |_| {},
        async |shard, world, poll| {
            assert!(poll().is_pending());
            shard.at(DEADLINE - 1).await;
            assert!(poll().is_pending());
            world.op.is_over.set(true);
            assert_eq!(poll(), Poll::Ready(None));
            assert_eq!(world.op.cuts.get(), 0);
        },
    );
}

#[test]
fn at_the_deadline_it_is_cut_once_and_still_awaited() {
    watched(
        |world| world.op.ends_when_cut.set(false),
        async |shard, world, poll| {
            assert!(poll().is_pending());
            shard.at(DEADLINE).await;
            assert!(poll().is_pending());
            assert!(poll().is_pending());
            assert_eq!(world.op.cuts.get(), 1);
            world.op.is_over.set(true);
            assert_eq!(poll(), Poll::Ready(Some(Cut::Deadline)));
        },
    );
}

#[test]
fn a_client_that_resets_cuts_at_once() {
    watched(
        |_| {},
        async |_, world, poll| {
            assert!(poll().is_pending());
            world.client.tells.set(Some(Presence::Reset));
            assert_eq!(poll(), Poll::Ready(Some(Cut::ClientGone)));
            assert_eq!(world.op.cuts.get(), 1);
        },
    );
}

#[test]
fn a_client_whose_reset_is_seen_with_the_end_is_gone_all_the_same() {
    watched(
        |_| {},
        async |_, world, poll| {
            assert!(poll().is_pending());
            world.client.tells.set(Some(Presence::Reset));
            world.op.is_over.set(true);
            assert_eq!(poll(), Poll::Ready(Some(Cut::ClientGone)));
            assert_eq!(world.op.cuts.get(), 0);
        },
    );
}

#[test]
fn a_client_that_ends_its_side_is_waited_for_a_second() {
    watched(
        |_| {},
        async |shard, world, poll| {
            shard.at(200).await;
            world.client.tells.set(Some(Presence::Ended));
            assert!(poll().is_pending());
            shard.at(1199).await;
            assert!(poll().is_pending());
            shard.at(1200).await;
            assert_eq!(poll(), Poll::Ready(Some(Cut::ClientGone)));
        },
    );
}

#[test]
fn within_that_second_a_client_that_half_closed_gets_its_response() {
    watched(
        |_| {},
        async |shard, world, poll| {
            world.client.tells.set(Some(Presence::Ended));
            assert!(poll().is_pending());
            shard.at(999).await;
            world.op.is_over.set(true);
            assert_eq!(poll(), Poll::Ready(None));
        },
    );
}

#[test]
fn a_client_of_whom_nothing_tells_is_looked_at_every_half_second() {
    watched(
        |world| world.client.is_told.set(false),
        async |shard, world, poll| {
            for (at, looks) in [(0, 0), (499, 0), (500, 1), (999, 1), (1000, 2), (1500, 3)] {
                shard.at(at).await;
                assert!(poll().is_pending());
                assert_eq!(world.client.looks.get(), looks, "at {at} ms");
            }
            world.client.is.set(Presence::Reset);
            shard.at(2000).await;
            assert_eq!(poll(), Poll::Ready(Some(Cut::ClientGone)));
        },
    );
}

#[test]
fn one_that_would_tell_is_not_looked_at_before_it_has_told() {
    watched(
        |_| {},
        async |shard, world, poll| {
            assert!(poll().is_pending());
            shard.at(3000).await;
            assert!(poll().is_pending());
            assert_eq!(world.client.looks.get(), 0);
            // More than its request: that it is there, and nothing of what follows.
            world.client.tells.set(Some(Presence::There));
            assert!(poll().is_pending());
            world.client.is.set(Presence::Reset);
            shard.at(3500).await;
            assert_eq!(poll(), Poll::Ready(Some(Cut::ClientGone)));
        },
    );
}

#[test]
fn one_that_is_found_to_have_ended_has_its_second_from_then_on() {
    watched(
        |world| world.client.is_told.set(false),
        async |shard, world, poll| {
            assert!(poll().is_pending());
            world.client.is.set(Presence::Ended);
            for at in [500, 1000, 1499] {
                shard.at(at).await;
                assert!(poll().is_pending(), "at {at} ms");
            }
            shard.at(1500).await;
            assert_eq!(poll(), Poll::Ready(Some(Cut::ClientGone)));
        },
    );
}

#[test]
fn who_has_ended_is_not_given_up_while_its_content_is_still_on_its_way() {
    let uploads = |world: &World| {
        world.upload.set(Some(UploadState::Running));
        world.client.tells.set(Some(Presence::Ended));
    };
    watched(uploads, async |shard, world, poll| {
        assert!(poll().is_pending());
        shard.at(3000).await;
        assert!(poll().is_pending());
        world.upload.set(Some(UploadState::Complete));
        world.target.queued.set(Some(1));
        shard.at(5000).await;
        assert!(poll().is_pending(), "some of it is not known to have arrived");
        world.target.queued.set(Some(0));
        shard.at(5500).await;
        assert!(poll().is_pending());
        shard.at(6499).await;
        assert!(poll().is_pending());
        shard.at(6500).await;
        assert_eq!(poll(), Poll::Ready(Some(Cut::ClientGone)));
    });
}

#[test]
fn an_upload_that_has_stopped_keeps_nobody() {
    use UploadState::{Complete, Failed, TargetReset, TargetStopped, TargetTimeout};
    let failed = Failed(Failure::ClientContentTimeout);
    for state in [Complete, TargetStopped, TargetReset, TargetTimeout, failed] {
        let stopped = |world: &World| {
            world.upload.set(Some(state));
            world.client.tells.set(Some(Presence::Ended));
        };
        watched(stopped, async |shard, _, poll| {
            assert!(poll().is_pending());
            shard.at(1000).await;
            assert_eq!(poll(), Poll::Ready(Some(Cut::ClientGone)), "{state:?}");
        });
    }
}

#[test]
fn a_bound_sets_its_timer_for_what_has_to_be_waited_for_alone() {
    play(&file("", "", 1), async |shard| {
        let timers = shard.timers();
        let mut ready = Box::pin(bound((&timers, Timer::Upload), 100, |_, _| Poll::Ready(1)));
        assert_eq!(poll(&mut ready), Poll::Ready(1));
        assert!(!timers.is_any_set());
        let op = Op::default();
        let mut waits = Box::pin(bound((&timers, Timer::Upload), 100, |_, is_up| op.poll(is_up)));
        assert!(poll(&mut waits).is_pending());
        assert_eq!(timers.at(Timer::Upload), Some(100));
        shard.at(100).await;
        assert!(poll(&mut waits).is_pending() && poll(&mut waits).is_pending());
        assert_eq!(op.cuts.get(), 1, "it is made to end once, and still awaited");
        op.is_over.set(true);
        assert_eq!(poll(&mut waits), Poll::Ready("over"));
        assert!(!timers.is_any_set());
    });
}
