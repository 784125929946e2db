//! What happens to a lease when its conversation ends, and what its two directions owe each other.

use std::rc::Rc;
use std::task::Poll;

use super::*;
use crate::exchange::client::Presence;
use crate::exchange::content::End as ContentEnd;
use crate::exchange::doubles::{
    ClientDouble, ClientState, LeaseDouble, Reach, Says, Shard, TargetState, Text, file, play, poll,
};
use crate::exchange::target::Leased;
use crate::exchange::target::ReceiveFault;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n";
const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n";
const OK: Says = Says::Head("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
const SWITCHES: Says = Says::Head("HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n");

/// One conversation and its result.
struct World {
    client: ClientDouble,
    out: Outgoing<Text>,
    entry: Entry,
    target: Rc<TargetState>,
    reach: Reach,
}

impl World {
    fn new(shard: &Shard, head: &str, says: &[Says]) -> World {
        let (client, out, entry) = shard.plan(head);
        let target = TargetState::saying(says);
        World { client, out, entry, target, reach: Reach::default() }
    }

    /// The result after `steps`, before each of which the conversation is polled; each step is given the client and the
    /// target.
    async fn run(&mut self, shard: &Shard, steps: &[Step<'_>]) -> Poll<Result<End, Failure>> {
        assert!(shard.target(0).state.try_acquire(0));
        let place = Place { group: shard.group(), target: shard.target(0) };
        let (scene, timers, progress) = (shard.scene(), shard.timers(), Progress::default());
        let (client, target) = (Rc::clone(&self.client.state), Rc::clone(&self.target));
        let converse = Converse {
            scene: &scene,
            out: &mut self.out,
            place: &place,
            client: &mut self.client,
            timers: &timers,
            progress: &progress,
        };
        let lease = LeaseDouble::new(&target);
        let mut run = Box::pin(converse.run(&self.reach, (lease, Leased::Own), &mut self.entry));
        for step in steps {
            assert!(poll(&mut run).is_pending(), "it has ended already");
            match step {
                Step::At(ms) => shard.at(*ms).await,
                Step::Do(what) => what(&client, &target),
                Step::Deadline(timer, at_ms) => assert_eq!(timers.at(*timer), *at_ms),
            }
        }
        let result = poll(&mut run);
        drop(run);
        assert!(result.is_pending() || !timers.is_any_set(), "a timer outlives its conversation");
        result
    }
}

enum Step<'a> {
    /// Moves the time to this.
    At(u64),
    Do(&'a dyn Fn(&ClientState, &TargetState)),
    /// Checks the time of a timer.
    Deadline(Timer, Option<u64>),
}

/// Runs a conversation, and passes its result to the test.
fn run(
    head: &str,
    says: &[Says],
    steps: &[Step<'_>],
    look: impl FnOnce(&World, Poll<Result<End, Failure>>),
) {
    play(&file("", "timeouts.response = \"10s\"", 1), async |shard| {
        let mut world = World::new(shard, head, says);
        if head == POST {
            world.client.uploads("abc");
        }
        let result = world.run(shard, steps).await;
        look(&world, result);
        assert_eq!(shard.target(0).state.in_flight(), 0);
    });
}

#[test]
fn the_lease_of_a_whole_exchange_is_given_back() {
    run(GET, &[OK], &[], |world, result| {
        assert_eq!(result, Poll::Ready(Ok(End::Complete)));
        assert_eq!(world.reach.ends(), (1, 0));
        assert!(!world.target.is_aborted.get());
        assert!(world.target.text().starts_with("GET / HTTP/1.1\r\n"));
    });
}

#[test]
fn the_lease_of_one_that_failed_is_aborted_and_closed() {
    for fault in [ReceiveFault::Closed, ReceiveFault::Reset] {
        for says in [&[Says::Fault(fault)][..], &[Says::Head("HTTP/1.1 200"), Says::Fault(fault)]] {
            run(GET, says, &[], |world, result| {
                assert!(matches!(result, Poll::Ready(Err(_))), "{result:?}");
                assert_eq!(world.reach.ends(), (0, 1));
                assert!(world.target.is_aborted.get());
            });
        }
    }
    run(GET, &[Says::Head("nonsense\r\n\r\n")], &[], |world, result| {
        assert!(matches!(result, Poll::Ready(Err(Failure::ResponseInvalid(_)))), "{result:?}");
        assert_eq!((world.reach.ends(), world.target.is_aborted.get()), ((0, 1), true));
    });
}

#[test]
fn what_was_handed_over_is_there_again_for_another_attempt() {
    run(GET, &[Says::Fault(ReceiveFault::Closed)], &[], |world, result| {
        assert_eq!(result, Poll::Ready(Err(Failure::TargetClosed { any_byte: false })));
        assert!(world.out.draft.has("GET / HTTP/1.1\r\n"));
    });
}

#[test]
fn a_request_that_came_whole_has_the_groups_time_for_its_response() {
    let until = [Step::Deadline(Timer::Response, Some(10_000)), Step::At(9_999), Step::At(10_000)];
    run(GET, &[], &until, |world, result| {
        assert_eq!(result, Poll::Ready(Err(Failure::ResponseTimeout)));
        assert!(world.target.is_aborted.get());
    });
}

#[test]
fn a_response_before_the_request_was_taken_is_one_and_the_rest_is_waited_for() {
    let stalls = [
        Step::Do(&|_, target| target.is_stalled.set(true)),
        Step::Do(&|_, target| target.says.borrow_mut().push_back(OK)),
        Step::Deadline(Timer::Upload, Some(10_000)),
        Step::Do(&|_, target| target.is_stalled.set(false)),
    ];
    run(GET, &[], &stalls, |world, result| {
        assert_eq!(result, Poll::Ready(Ok(End::Complete)));
        assert_eq!(world.reach.ends(), (1, 0));
    });
}

#[test]
fn behind_a_reset_of_the_request_content_without_a_length_has_no_end() {
    let resets = [
        Step::Do(&|_, target| target.first_fault.set(Some(SendFault::Reset))),
        Step::Do(&|_, target| {
            let end = ContentEnd::ByClose;
            let says = [Says::Head("HTTP/1.1 200 OK\r\n\r\nabc"), Says::Content("", end)];
            target.says.borrow_mut().extend(says);
        }),
    ];
    run(GET, &[], &resets, |world, result| {
        assert_eq!(result, Poll::Ready(Err(Failure::TargetContentReset)));
        assert_eq!(world.reach.ends(), (0, 1));
    });
}

#[test]
fn a_request_with_content_is_whole_when_both_directions_are() {
    let steps = [
        Step::Deadline(Timer::Response, Some(NEVER)),
        Step::At(60_000),
        Step::Do(&|client, _| client.says.borrow_mut().push_back(Ok(("def", true)))),
        Step::Deadline(Timer::Response, Some(70_000)),
        Step::Do(&|_, target| target.says.borrow_mut().push_back(OK)),
    ];
    run(POST, &[], &steps, |world, result| {
        assert_eq!(result, Poll::Ready(Ok(End::Complete)));
        assert_eq!(world.reach.ends(), (1, 0));
        assert!(world.target.text().ends_with("\r\n\r\ndef") && !world.target.is_aborted.get());
        assert!(world.target.end.borrow().is_some());
        assert_eq!(world.entry.request_content_bytes, 6);
    });
}

#[test]
fn a_response_that_overtakes_its_request_ends_both_and_keeps_nothing() {
    let early = [Step::Do(&|_, target| target.says.borrow_mut().push_back(OK))];
    let stops = [
        Step::Do(&|_, target| target.says.borrow_mut().push_back(OK)),
        Step::Deadline(Timer::Content, Some(STOP_UPLOAD.as_millis() as u64)),
        Step::At(499),
        Step::At(500),
    ];
    run(POST, &[], &early, |world, result| {
        assert!(result.is_pending(), "the client's content is still being read");
        assert!(world.target.is_aborted.get(), "the target must not take it for the whole");
        assert_eq!(world.client.state.may_keep.get(), Some(false));
    });
    play(&file("", "", 1), async |shard| {
        let mut world = World::new(shard, POST, &[]);
        world.client.uploads("abc");
        let result = world.run(shard, &stops).await;
        assert_eq!(result, Poll::Ready(Ok(End::Over)));
        assert_eq!(world.reach.ends(), (0, 1));
        assert_eq!(world.client.state.text(), "200\n");
        let code = shard.logged(&world.entry, |record| record.code.to_owned());
        assert_eq!((code.as_str(), world.entry.phase), ("early_response", Phase::RequestContent));
    });
}

#[test]
fn content_that_ends_in_the_moment_of_an_early_response_is_no_reason_to_complain() {
    let (mut entry, complete) = (Entry::default(), UploadState::Complete);
    let ended = both_ended(Ok(Answered::Whole), (UploadState::Running, complete), &mut entry);
    assert!(matches!(ended, Ok((Answered::Whole, End::Over))));
    assert_ne!(entry.phase, Phase::RequestContent);
}

#[test]
fn a_client_whose_content_fails_is_what_ends_the_exchange() {
    for failure in [Failure::ClientContentTimeout, Failure::ContentTooLarge, Failure::ClientGone] {
        let fails = |client: &ClientState, _: &TargetState| {
            client.says.borrow_mut().push_back(Err(failure));
        };
        run(POST, &[], &[Step::Do(&fails)], |world, result| {
            assert_eq!(result, Poll::Ready(Err(failure)));
            assert_eq!(world.entry.phase, Phase::RequestContent);
            assert_eq!(world.reach.ends(), (0, 1));
            assert!(world.target.is_aborted.get());
        });
    }
}

#[test]
fn a_client_that_leaves_while_its_upload_is_overtaken_is_who_ended_it() {
    play(&file("", "", 1), async |shard| {
        let mut world = World::new(shard, POST, &[]);
        world.client.uploads("abc");
        let gone = |client: &ClientState, _: &TargetState| {
            client.says.borrow_mut().push_back(Err(Failure::ClientGone));
        };
        let steps = [
            Step::Do(&|_, target| target.says.borrow_mut().push_back(OK)),
            Step::At(1),
            Step::Do(&gone),
        ];
        assert_eq!(world.run(shard, &steps).await, Poll::Ready(Ok(End::Over)));
        let code = shard.logged(&world.entry, |record| record.code.to_owned());
        assert_eq!(code, "client_gone");
    });
}

#[test]
fn a_tunnel_that_is_over_gives_nothing_back() {
    let end = |client: &ClientState, target: &TargetState| {
        client.side.says("up");
        target.side.says("down");
        client.side.says("");
        target.side.says("");
    };
    run(
        UPGRADE,
        &[],
        &[Step::Do(&|_, target| target.says.borrow_mut().push_back(SWITCHES)), Step::Do(&end)],
        |world, result| {
            assert_eq!(result, Poll::Ready(Ok(End::Over)));
            assert_eq!(world.reach.ends(), (0, 1));
            assert!(!world.target.is_aborted.get());
            assert_eq!(*world.client.state.side.was_sent.borrow(), b"down");
            assert_eq!(*world.target.side.was_sent.borrow(), b"up");
            assert_eq!((world.entry.phase, world.entry.status), (Phase::Tunnel, 101));
            assert_eq!(world.entry.response_bytes, 4);
        },
    );
}

#[test]
fn a_tunnel_that_is_cut_is_a_failure_unless_its_client_was_told_of_the_end() {
    for (target_ends, cut) in [(false, Err(Failure::ClientGone)), (true, Ok(End::Over))] {
        let cuts = |client: &ClientState, _: &TargetState| {
            let reset = std::io::ErrorKind::ConnectionReset;
            client.side.says.borrow_mut().push_back(Err(reset.into()));
        };
        // The target's end is passed on before the client's reset is seen.
        let ends = |_: &ClientState, target: &TargetState| {
            if target_ends {
                target.side.says("");
            }
        };
        let steps = [
            Step::Do(&|_, target| target.says.borrow_mut().push_back(SWITCHES)),
            Step::Do(&ends),
            Step::Do(&cuts),
        ];
        run(UPGRADE, &[], &steps, |world, result| {
            assert_eq!(result, Poll::Ready(cut));
            assert_eq!(world.reach.ends(), (0, 1));
            assert_eq!(world.target.is_aborted.get(), cut.is_err());
        });
    }
}

#[test]
fn a_client_that_is_gone_ends_a_conversation_of_any_kind() {
    let gone = Step::Do(&|client: &ClientState, _| client.tells.set(Some(Presence::Reset)));
    for head in [GET, POST] {
        run(head, &[], std::slice::from_ref(&gone), |world, result| {
            assert!(world.target.is_aborted.get());
            if head == GET {
                assert_eq!(result, Poll::Ready(Err(Failure::ClientGone)));
                assert_eq!(world.reach.ends(), (0, 1));
            } else {
                assert!(result.is_pending(), "its content is read for a moment");
            }
        });
    }
}
