//! What happens before a conversation: a place, a connection, and what there is instead of either.

use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::exchange::client::Presence;
use crate::exchange::doubles::{
    ClientDouble, ClientState, Reach, Says, Shard, TargetState, Text, file, play, poll,
};
use crate::exchange::target::ReceiveFault;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
const OK: Says = Says::Head("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
const CLOSED: Says = Says::Fault(ReceiveFault::Closed);

/// One exchange with targets that are reached as the test says.
struct World {
    client: ClientDouble,
    out: Outgoing<Text>,
    entry: Entry,
    reach: Reach,
}

type Running<'a> = Pin<Box<dyn Future<Output = End> + 'a>>;

impl World {
    /// A request whose first choice is the first target.
    fn new(shard: &Shard, head: &str) -> World {
        let (client, mut out, entry) = shard.plan(head);
        out.plan.choice.target = 0;
        World { client, out, entry, reach: Reach::default() }
    }

    fn kept(&self, says: &[Says]) -> Rc<TargetState> {
        let state = TargetState::saying(says);
        self.reach.kept.borrow_mut().push_back(Rc::clone(&state));
        state
    }

    /// Runs the exchange: `main` polls it, and sees the client and how targets are reached.
    async fn run(
        &mut self,
        shard: &Shard,
        main: impl AsyncFnOnce(&mut Running<'_>, &ClientState, &Reach),
    ) {
        let (scene, timers) = (shard.scene(), shard.timers());
        let state = Rc::clone(&self.client.state);
        let World { client, out, entry, reach } = self;
        let mut exchange =
            Exchange { scene: &scene, out, client, upstream: &*reach, timers: &timers };
        let mut running: Running<'_> = Box::pin(exchange.run(entry));
        main(&mut running, &state, reach).await;
    }

    /// What comes of it where nothing has to be waited for.
    async fn end(&mut self, shard: &Shard) -> End {
        let mut end = None;
        self.run(shard, async |running, _, _| {
            let Poll::Ready(ended) = poll(running) else { panic!("it waits") };
            end = Some(ended);
        })
        .await;
        end.expect("an end")
    }
}

fn in_flight(shard: &Shard) -> u32 {
    shard.target(0).state.in_flight()
}

#[test]
fn a_kept_connection_is_used_before_another_is_made() {
    play(&file("", "", 1), async |shard| {
        let mut world = World::new(shard, GET);
        world.kept(&[OK]);
        assert_eq!(world.end(shard).await, End::Complete);
        assert!(world.reach.connected.borrow().is_empty());
        assert_eq!(world.entry.reused, Some(true));
        assert_eq!((world.entry.connect_us, world.entry.queue_us), (None, None));
        assert_eq!((world.reach.ends(), in_flight(shard)), ((1, 0), 0));
        assert!(world.out.draft.0.is_empty(), "what was written is let go of");
    });
}

#[test]
fn the_system_is_asked_about_a_kept_connection_for_what_cannot_be_sent_again() {
    play(&file("", "", 1), async |shard| {
        for (head, surely) in [(GET, false), (POST, true)] {
            let mut world = World::new(shard, head);
            world.kept(&[OK]);
            world.end(shard).await;
            assert_eq!(world.reach.surely.get(), Some(surely), "{head:?}");
        }
    });
}

#[test]
fn who_keeps_no_connection_is_connected_to() {
    play(&file("", "", 1), async |shard| {
        let mut world = World::new(shard, GET);
        world.reach.connect(Some(Ok(&TargetState::saying(&[OK]))));
        assert_eq!(world.end(shard).await, End::Complete);
        assert_eq!(*world.reach.connected.borrow(), ["a"]);
        assert_eq!(world.entry.reused, Some(false));
        assert!(world.entry.connect_us.is_some());
    });
}

#[test]
fn a_refused_connection_is_a_failure_of_its_target_and_another_serves() {
    play(&file("", "", 2), async |shard| {
        let mut world = World::new(shard, POST);
        world.reach.connect(Some(Err(Failure::ConnectRefused)));
        world.reach.connect(Some(Ok(&TargetState::saying(&[OK]))));
        assert_eq!(world.end(shard).await, End::Complete);
        assert_eq!(*world.reach.connected.borrow(), ["a", "b"]);
        assert_eq!(world.entry.retries, 1);
        let seen = |at: usize| {
            let state = &shard.target(at).state;
            (state.failures(), state.errors_in_a_row(), state.in_flight())
        };
        assert_eq!((seen(0), seen(1)), ((1, 1, 0), (0, 0, 0)));
    });
}

#[test]
fn a_stale_connection_says_nothing_about_its_target_and_only_a_new_one_is_trusted() {
    play(&file("", "", 1), async |shard| {
        let mut world = World::new(shard, GET);
        world.kept(&[CLOSED]);
        let other = world.kept(&[OK]);
        world.reach.connect(Some(Ok(&TargetState::saying(&[OK]))));
        assert_eq!(world.end(shard).await, End::Complete);
        assert_eq!(other.text(), "", "another that was kept may be as stale");
        assert_eq!(shard.target(0).state.errors_in_a_row(), 0);
        assert_eq!((world.entry.retries, world.entry.reused), (1, Some(false)));
        assert_eq!(world.reach.ends(), (1, 1));
    });
}

#[test]
fn a_target_that_ends_a_new_connection_without_an_answer_has_failed() {
    play(&file("", "", 1), async |shard| {
        let mut world = World::new(shard, GET);
        world.reach.connect(Some(Ok(&TargetState::saying(&[CLOSED]))));
        let failure = Failure::TargetClosed { any_byte: false };
        assert_eq!(world.end(shard).await, End::Refused(failure));
        assert_eq!(shard.target(0).state.errors_in_a_row(), 1);
        assert_eq!((world.entry.status, world.entry.phase), (502, Phase::ResponseHead));
    });
}

#[test]
fn a_response_that_has_begun_is_not_asked_for_again_and_counts_with_its_head() {
    play(&file("", "", 2), async |shard| {
        let mut world = World::new(shard, GET);
        world.kept(&[Says::Head("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), CLOSED]);
        assert_eq!(world.end(shard).await, End::Aborted(Failure::TargetContentShort));
        assert_eq!((world.entry.retries, world.entry.status), (0, 200));
        assert_eq!(shard.target(0).state.errors_in_a_row(), 0);
    });
}

#[test]
fn nothing_is_tried_again_while_the_process_stops_now() {
    play(&file("", "", 2), async |shard| {
        shard.local.stop.now();
        let mut world = World::new(shard, GET);
        world.reach.connect(Some(Err(Failure::ConnectRefused)));
        assert_eq!(world.end(shard).await, End::Refused(Failure::Stopped));
        assert_eq!(world.reach.connected.borrow().len(), 1);
    });
}

#[test]
fn a_connect_that_takes_too_long_is_aborted_and_what_comes_of_it_late_is_closed() {
    for is_late in [false, true] {
        play(&file("", "timeouts.connect = \"2s\"", 1), async |shard| {
            let mut world = World::new(shard, GET);
            let connect = world.reach.connect(None);
            *connect.late.borrow_mut() = is_late.then(|| TargetState::saying(&[OK]));
            world
                .run(shard, async |running, _, _| {
                    assert!(poll(running).is_pending());
                    shard.at(1999).await;
                    assert!(poll(running).is_pending() && !connect.is_aborted.get());
                    shard.at(2000).await;
                    let end = End::Refused(Failure::ConnectTimeout);
                    assert_eq!(poll(running), Poll::Ready(end));
                    assert!(connect.is_aborted.get());
                })
                .await;
            assert_eq!(world.reach.ends(), (0, u32::from(is_late)));
            assert_eq!(shard.target(0).state.failures(), 1);
            assert_eq!(world.entry.connect_us, Some(2_000_000));
            assert_eq!(in_flight(shard), 0);
        });
    }
}

#[test]
fn a_client_that_leaves_while_it_is_connected_for_is_no_failure_of_the_target() {
    play(&file("", "", 2), async |shard| {
        let mut world = World::new(shard, GET);
        let connect = world.reach.connect(None);
        world
            .run(shard, async |running, client, reach| {
                assert!(poll(running).is_pending());
                client.tells.set(Some(Presence::Reset));
                assert_eq!(poll(running), Poll::Ready(End::Aborted(Failure::ClientGone)));
                assert!(connect.is_aborted.get());
                assert_eq!(reach.connected.borrow().len(), 1);
            })
            .await;
        let state = &shard.target(0).state;
        assert_eq!((state.failures(), state.errors_in_a_row(), state.in_flight()), (0, 0, 0));
        assert_eq!(world.entry.status, 499);
    });
}

const ONE_PLACE: &str = "connection_limit = 1\nqueue_timeout = \"5s\"";

#[test]
fn who_waits_for_a_place_is_served_as_soon_as_there_is_one() {
    play(&file("", ONE_PLACE, 1), async |shard| {
        let state = &shard.target(0).state;
        assert!(state.try_acquire(1));
        let mut world = World::new(shard, GET);
        world.kept(&[OK]);
        world
            .run(shard, async |running, _, _| {
                assert!(poll(running).is_pending());
                shard.at(4999).await;
                assert!(poll(running).is_pending());
                state.release();
                assert_eq!(state.in_flight(), 1, "it was handed over");
                assert_eq!(poll(running), Poll::Ready(End::Complete));
            })
            .await;
        assert_eq!((state.in_flight(), world.entry.queue_us), (0, Some(4_999_000)));
    });
}

#[test]
fn who_waits_too_long_for_a_place_gets_none_and_holds_none() {
    play(&file("", ONE_PLACE, 1), async |shard| {
        let state = &shard.target(0).state;
        assert!(state.try_acquire(1));
        let mut world = World::new(shard, GET);
        world
            .run(shard, async |running, _, reach| {
                assert!(poll(running).is_pending());
                shard.at(5000).await;
                assert_eq!(poll(running), Poll::Ready(End::Refused(Failure::QueueTimeout)));
                assert!(reach.connected.borrow().is_empty());
            })
            .await;
        assert_eq!((state.in_flight(), state.failures()), (1, 0));
        state.release();
        assert_eq!(state.in_flight(), 0, "nobody stands in line any more");
        assert_eq!((world.entry.status, world.entry.phase), (503, Phase::Queue));
        assert_eq!(world.entry.queue_us, Some(5_000_000));
    });
}

#[test]
fn a_place_that_is_granted_in_the_moment_in_which_its_client_leaves_is_given_back() {
    play(&file("", ONE_PLACE, 1), async |shard| {
        let state = &shard.target(0).state;
        assert!(state.try_acquire(1));
        let mut world = World::new(shard, GET);
        world
            .run(shard, async |running, client, _| {
                assert!(poll(running).is_pending());
                state.release();
                client.tells.set(Some(Presence::Reset));
                assert_eq!(poll(running), Poll::Ready(End::Aborted(Failure::ClientGone)));
            })
            .await;
        assert_eq!(state.in_flight(), 0);
    });
}

#[test]
fn a_line_that_is_full_takes_nobody() {
    play(&file("", "connection_limit = 1\nqueue = 0", 1), async |shard| {
        let state = &shard.target(0).state;
        assert!(state.try_acquire(1));
        assert_eq!(World::new(shard, GET).end(shard).await, End::Refused(Failure::QueueFull));
        assert_eq!(state.in_flight(), 1);
        state.release();
    });
}

#[test]
fn who_is_bound_to_nobody_goes_where_there_is_a_place() {
    play(&file("", ONE_PLACE, 2), async |shard| {
        assert!(shard.target(0).state.try_acquire(1));
        let mut world = World::new(shard, GET);
        world.reach.connect(Some(Ok(&TargetState::saying(&[OK]))));
        assert_eq!(world.end(shard).await, End::Complete);
        assert_eq!(*world.reach.connected.borrow(), ["b"]);
        assert_eq!(world.entry.queue_us, None);
        shard.target(0).state.release();
    });
}

#[test]
fn content_that_came_along_goes_with_each_attempt() {
    play(&file("", "", 2), async |shard| {
        let head = "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n";
        let mut world = World::new(shard, head);
        world.client.asks.along = "abc";
        let first = TargetState::saying(&[CLOSED]);
        let second = TargetState::saying(&[OK]);
        world.reach.connect(Some(Ok(&first)));
        world.reach.connect(Some(Ok(&second)));
        assert_eq!(world.end(shard).await, End::Complete);
        assert!(first.text().ends_with("\r\n\r\nabc") && first.text() == second.text());
    });
}

#[test]
fn the_time_that_attempts_take_is_told_together() {
    play(&file("", "timeouts.connect = \"2s\"", 2), async |shard| {
        let mut world = World::new(shard, GET);
        let (first, second) = (world.reach.connect(None), world.reach.connect(None));
        world
            .run(shard, async |running, _, _| {
                assert!(poll(running).is_pending());
                shard.at(1000).await;
                *first.result.borrow_mut() = Some(Err(Failure::ConnectFailed));
                assert!(poll(running).is_pending());
                shard.at(1500).await;
                *second.result.borrow_mut() = Some(Ok(TargetState::saying(&[OK])));
                assert_eq!(poll(running), Poll::Ready(End::Complete));
            })
            .await;
        let took = world.entry.connect_us.map(Duration::from_micros);
        assert_eq!(took, Some(Duration::from_millis(1500)));
    });
}
