//! What of a response reaches the client, and what ends one.

use std::rc::Rc;

use super::*;
use crate::exchange::client::Presence;
use crate::exchange::doubles::{
    Answers, ClientState, HandleDouble, Receives, Says, Sends, Shard, TargetState, at_once, file,
    play, poll,
};
use crate::http::refusal::ResponseFault;
use crate::time::clock::Millis;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n";
const DEADLINE: Millis = 10_000;
const SWITCHES: &str = "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n";

/// One response on its way.
struct World<'s> {
    scene: Scene<'s>,
    plan: Plan,
    place: Place<'s>,
    timers: Timers<'s>,
    progress: Rc<Progress>,
    client: Rc<ClientState>,
    target: Rc<TargetState>,
    answers: Answers,
    receives: Receives,
    handle: HandleDouble,
    entry: Entry,
}

impl<'s> World<'s> {
    /// A request was sent, and the target has so much to say until [`DEADLINE`].
    fn new(shard: &'s Shard, head: &str, says: &[Says]) -> World<'s> {
        let (client, out, entry) = shard.plan(head);
        assert!(shard.target(0).state.try_acquire(0));
        let target = TargetState::saying(says);
        let timers = shard.timers();
        timers.set(Timer::Response, DEADLINE);
        World {
            scene: shard.scene(),
            plan: out.plan,
            place: Place { group: shard.group(), target: shard.target(0) },
            timers,
            progress: Rc::default(),
            answers: Answers::new(&client.state),
            client: client.state,
            receives: Receives::new(&target),
            handle: HandleDouble(Rc::clone(&target)),
            target,
            entry,
        }
    }

    fn says(&self, says: &[Says]) {
        self.target.says.borrow_mut().extend(says);
    }

    fn parts(&mut self) -> (Respond<'_, 's, Answers, Receives, HandleDouble>, &mut Entry) {
        let respond = Respond {
            scene: &self.scene,
            plan: &self.plan,
            place: &self.place,
            timers: &self.timers,
            progress: &self.progress,
            answering: &mut self.answers,
            receiving: &mut self.receives,
            target: &self.handle,
        };
        (respond, &mut self.entry)
    }

    /// The first bytes are received and what follows is relayed, without waiting for anything.
    fn run(&mut self) -> Result<(), Failure> {
        let (mut respond, entry) = self.parts();
        at_once(async {
            respond.first_bytes(None::<&mut Sends>).await?;
            respond.run(entry).await.map(|_| ())
        })
    }

    fn upload(&self, state: UploadState) {
        self.progress.upload.set(state);
    }
}

/// Runs a response of which the target says so much.
fn of(says: &[Says], look: impl FnOnce(&World<'_>, Result<(), Failure>)) {
    with(GET, says, |_| {}, look);
}

fn with(
    head: &str,
    says: &[Says],
    prepare: impl FnOnce(&World<'_>),
    look: impl FnOnce(&World<'_>, Result<(), Failure>),
) {
    play(&file("", "", 1), async |shard| {
        let mut world = World::new(shard, head, says);
        prepare(&world);
        let result = world.run();
        look(&world, result);
    });
}

const HEAD: Says = Says::Head("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
const UNTIL_CLOSE: Says = Says::Head("HTTP/1.1 200 OK\r\n\r\nabc");
const CLOSED: Says = Says::Fault(ReceiveFault::Closed);
const RESET: Says = Says::Fault(ReceiveFault::Reset);

#[test]
fn an_end_before_the_first_byte_is_told_from_one_behind_it() {
    let half = Says::Head("HTTP/1.1 200 OK\r\n");
    for (says, failure) in [
        (&[CLOSED][..], Failure::TargetClosed { any_byte: false }),
        (&[RESET], Failure::TargetReset { any_byte: false }),
        (&[half, CLOSED], Failure::TargetClosed { any_byte: true }),
        (&[half, RESET], Failure::TargetReset { any_byte: true }),
    ] {
        of(says, |world, result| {
            assert_eq!(result, Err(failure));
            assert!(!world.progress.has_begun());
            assert_eq!(world.client.text(), "");
        });
    }
}

#[test]
fn an_end_that_is_found_behind_a_reset_is_told_as_what_led_to_it() {
    for (upload, head, content) in [
        (
            UploadState::TargetReset,
            [Failure::TargetReset { any_byte: false }, Failure::TargetReset { any_byte: true }],
            Failure::TargetContentReset,
        ),
        (
            UploadState::TargetTimeout,
            [Failure::TargetSendTimeout, Failure::TargetSendTimeout],
            Failure::TargetSendTimeout,
        ),
    ] {
        for says in [CLOSED, RESET] {
            let prepare = |world: &World<'_>| world.upload(upload);
            with(GET, &[says], prepare, |_, result| assert_eq!(result, Err(head[0])));
            let half = Says::Head("HTTP/1.1 200 OK\r\n");
            with(GET, &[half, says], prepare, |_, result| assert_eq!(result, Err(head[1])));
            let short = [HEAD, Says::Content("abc", End::No), says];
            with(GET, &short, prepare, |_, result| assert_eq!(result, Err(content)));
        }
    }
}

#[test]
fn a_target_that_says_nothing_in_time_is_aborted() {
    play(&file("", "", 1), async |shard| {
        let mut world = World::new(shard, GET, &[]);
        let target = Rc::clone(&world.target);
        let (mut respond, _) = world.parts();
        let mut first = Box::pin(respond.first_bytes(None::<&mut Sends>));
        assert!(poll(&mut first).is_pending());
        shard.at(DEADLINE).await;
        assert_eq!(poll(&mut first), Poll::Ready(Err(Failure::ResponseTimeout)));
        assert!(target.is_aborted.get());
    });
}

#[test]
fn a_client_that_goes_away_has_the_target_aborted() {
    play(&file("", "", 1), async |shard| {
        let mut world = World::new(shard, GET, &[]);
        let (client, target) = (Rc::clone(&world.client), Rc::clone(&world.target));
        let (mut respond, _) = world.parts();
        let mut first = Box::pin(respond.first_bytes(None::<&mut Sends>));
        assert!(poll(&mut first).is_pending());
        client.tells.set(Some(Presence::Reset));
        assert_eq!(poll(&mut first), Poll::Ready(Err(Failure::ClientGone)));
        assert!(target.is_aborted.get());
    });
}

#[test]
fn bytes_of_a_head_that_come_without_pause_gain_no_time() {
    play(&file("", "", 1), async |shard| {
        let mut world = World::new(shard, GET, &[Says::Head("HTTP/1.1 200 OK\r\n")]);
        let target = Rc::clone(&world.target);
        let (mut respond, entry) = world.parts();
        at_once(respond.first_bytes(None::<&mut Sends>)).unwrap();
        let mut run = Box::pin(respond.run(entry));
        assert!(poll(&mut run).is_pending());
        for at in [4000, 8000] {
            target.says.borrow_mut().push_back(Says::Head("A: b\r\n"));
            shard.at(at).await;
            assert!(poll(&mut run).is_pending());
        }
        target.says.borrow_mut().extend([Says::Head("A: b\r\n"), Says::Head("\r\n")]);
        shard.at(DEADLINE).await;
        let result = poll(&mut run).map(|result| result.map(|_| ()));
        assert_eq!(result, Poll::Ready(Err(Failure::ResponseTimeout)));
    });
}

#[test]
fn a_head_in_parts_and_its_content_reach_the_client_once_and_in_order() {
    let says = [
        Says::Head("HTTP/1.1 200 OK\r\nContent-"),
        Says::Head("Length: 6\r\n\r\na"),
        Says::Content("bc", End::No),
        Says::Content("def", End::Last),
    ];
    of(&says, |world, result| {
        assert_eq!(result, Ok(()));
        assert_eq!(world.client.text(), "200\nabcdef");
        assert!(world.client.has_end.get() && world.progress.has_begun());
        assert_eq!(world.entry.response_content_bytes, 6);
        assert_eq!((world.entry.status, world.entry.target_status), (200, 200));
        assert_eq!(world.client.may_keep.get(), Some(true));
        assert!(!world.timers.is_any_set());
    });
}

#[test]
fn interim_heads_go_to_the_client_and_begin_no_response() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    of(&[Says::Head(interim), CLOSED], |world, result| {
        assert_eq!(result, Err(Failure::TargetClosed { any_byte: true }));
        assert_eq!(world.client.text(), "103\n");
        assert!(!world.progress.has_begun(), "the client may still be told why");
        assert_eq!(world.entry.status, 0);
    });
    let both = "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\n\r\nHTTP/1.1 204 N\r\n\r\n";
    of(&[Says::Head(both)], |world, result| {
        assert_eq!(result, Ok(()));
        assert_eq!(world.client.text(), "100\n103\n204\n");
    });
}

#[test]
fn too_many_interim_heads_are_no_response() {
    let says = [Says::Head("HTTP/1.1 103 E\r\n\r\n"); 101];
    of(&says, |world, result| {
        assert_eq!(result, Err(Failure::ResponseInvalid(ResponseFault::TooManyInterim)));
        assert_eq!(world.client.text(), "103\n".repeat(100));
    });
}

#[test]
fn a_102_begins_the_time_anew_where_the_group_says_so() {
    for (renews, status, deadline) in
        [(false, 102, DEADLINE), (true, 103, DEADLINE), (true, 102, 5000 + 60_000)]
    {
        let settings = format!("timeouts.response_renewed_by_102 = {renews}");
        play(&file("", &settings, 1), async |shard| {
            let interim =
                if status == 102 { "HTTP/1.1 102 P\r\n\r\n" } else { "HTTP/1.1 103 E\r\n\r\n" };
            let mut world = World::new(shard, GET, &[]);
            shard.at(5000).await;
            world.says(&[Says::Head(interim), CLOSED]);
            assert!(world.run().is_err());
            assert_eq!(world.timers.at(Timer::Response), Some(deadline), "{renews}, {status}");
        });
    }
}

#[test]
fn a_102_sets_no_deadline_while_content_is_still_to_be_sent() {
    play(&file("", "timeouts.response_renewed_by_102 = true", 1), async |shard| {
        let mut world = World::new(shard, GET, &[Says::Head("HTTP/1.1 102 P\r\n\r\n"), CLOSED]);
        world.timers.set(Timer::Response, NEVER);
        assert!(world.run().is_err());
        assert_eq!(world.timers.at(Timer::Response), Some(NEVER));
    });
}

#[test]
fn a_101_is_a_response_only_to_who_asked_for_what_it_grants() {
    let other = "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: chat, other\r\n\r\n";
    let nothing = "HTTP/1.1 101 S\r\n\r\n";
    for (head, says, result) in [
        (GET, SWITCHES, Err(Failure::UnaskedUpgrade)),
        (UPGRADE, other, Err(Failure::UnaskedUpgrade)),
        (UPGRADE, nothing, Err(Failure::UnaskedUpgrade)),
        (UPGRADE, SWITCHES, Ok(())),
    ] {
        with(
            head,
            &[Says::Head(says)],
            |_| {},
            |world, was| {
                assert_eq!(was, result, "{says:?}");
                let text = if result.is_ok() { "101\n" } else { "" };
                assert_eq!(world.client.text(), text);
            },
        );
    }
}

#[test]
fn a_tunnel_counts_before_its_client_can_know_of_it() {
    play(&file("", "", 1), async |shard| {
        let mut world = World::new(shard, UPGRADE, &[Says::Head(SWITCHES)]);
        let client = Rc::clone(&world.client);
        client.is_stalled.set(true);
        let (mut respond, entry) = world.parts();
        at_once(respond.first_bytes(None::<&mut Sends>)).unwrap();
        let mut run = Box::pin(respond.run(entry));
        assert!(poll(&mut run).is_pending());
        assert_eq!(shard.target(0).state.tunnels(), 1);
        client.is_stalled.set(false);
        let Poll::Ready(Ok(Answered::Switched(open))) = poll(&mut run) else { panic!("no tunnel") };
        drop(open);
        assert_eq!(shard.target(0).state.tunnels(), 0);
    });
}

#[test]
fn a_101_waits_for_the_end_of_the_request() {
    for (ended, result) in [
        (UploadState::Complete, Ok(())),
        (UploadState::TargetStopped, Err(Failure::TargetReset { any_byte: true })),
        (UploadState::TargetReset, Err(Failure::TargetReset { any_byte: true })),
        (UploadState::TargetTimeout, Err(Failure::TargetSendTimeout)),
        (UploadState::Failed(Failure::ContentTooLarge), Err(Failure::ContentTooLarge)),
    ] {
        play(&file("", "", 1), async |shard| {
            let mut world = World::new(shard, UPGRADE, &[Says::Head(SWITCHES)]);
            world.upload(UploadState::Running);
            let (client, progress) = (Rc::clone(&world.client), Rc::clone(&world.progress));
            let (mut respond, entry) = world.parts();
            at_once(respond.first_bytes(None::<&mut Sends>)).unwrap();
            let mut run = Box::pin(respond.run(entry));
            assert!(poll(&mut run).is_pending());
            assert_eq!(client.text(), "");
            progress.upload.set(ended);
            let was = poll(&mut run).map(|result| result.map(|_| ()));
            assert_eq!(was, Poll::Ready(result), "{ended:?}");
        });
    }
}

#[test]
fn content_that_ends_before_its_time_is_cut_off_and_says_how() {
    let fault = crate::http::refusal::ChunkFault::SizeEmpty;
    for (last, failure) in [
        (CLOSED, Failure::TargetContentShort),
        (RESET, Failure::TargetContentReset),
        (Says::Fault(ReceiveFault::Invalid(fault)), Failure::TargetContentInvalid(fault)),
    ] {
        of(&[HEAD, Says::Content("abc", End::No), last], |world, result| {
            assert_eq!(result, Err(failure));
            assert!(world.progress.has_begun() && !world.client.has_end.get());
            assert_eq!(world.client.text(), "200\nabc");
        });
    }
}

#[test]
fn content_until_the_close_ends_with_it_unless_a_reset_stands_before() {
    let says = [UNTIL_CLOSE, Says::Content("", End::ByClose)];
    of(&says, |world, result| {
        assert_eq!(result, Ok(()));
        assert!(world.client.has_end.get());
    });
    with(
        GET,
        &says,
        |world| world.upload(UploadState::TargetReset),
        |world, result| {
            assert_eq!(result, Err(Failure::TargetContentReset));
            assert!(!world.client.has_end.get());
        },
    );
    let framed = [HEAD, Says::Content("abcdef", End::Last)];
    with(
        GET,
        &framed,
        |world| world.upload(UploadState::TargetReset),
        |world, result| {
            assert_eq!(result, Ok(()), "what says itself that it is whole is whole");
            assert!(world.client.has_end.get());
        },
    );
}

#[test]
fn whatever_comes_when_the_deadline_has_cut_content_off_is_of_no_use() {
    for at_abort in
        [None, Some(Says::Content("", End::ByClose)), Some(Says::Content("abc", End::Last))]
    {
        play(&file("", "timeouts.content_idle = \"2s\"", 1), async |shard| {
            let mut world = World::new(shard, GET, &[UNTIL_CLOSE]);
            world.target.at_abort.set(at_abort);
            let target = Rc::clone(&world.target);
            let (mut respond, entry) = world.parts();
            at_once(respond.first_bytes(None::<&mut Sends>)).unwrap();
            let mut run = Box::pin(respond.run(entry));
            assert!(poll(&mut run).is_pending());
            shard.at(1500).await;
            target.says.borrow_mut().push_back(Says::Content("d", End::No));
            assert!(poll(&mut run).is_pending());
            shard.at(3499).await;
            assert!(poll(&mut run).is_pending(), "each piece begins the time anew");
            shard.at(3500).await;
            let result = poll(&mut run).map(Result::err);
            assert_eq!(result, Poll::Ready(Some(Failure::TargetContentTimeout)));
            assert!(target.is_aborted.get());
        });
    }
}

#[test]
fn a_client_that_takes_nothing_holds_one_piece() {
    let says = [HEAD, Says::Content("abc", End::No), Says::Content("def", End::Last)];
    play(&file("", "", 1), async |shard| {
        let mut world = World::new(shard, GET, &says);
        let (client, target) = (Rc::clone(&world.client), Rc::clone(&world.target));
        let (mut respond, entry) = world.parts();
        at_once(respond.first_bytes(None::<&mut Sends>)).unwrap();
        let mut run = Box::pin(respond.run(entry));
        client.is_stalled.set(true);
        assert!(poll(&mut run).is_pending());
        assert_eq!(target.says.borrow().len(), 2, "the head has not gone yet");
        client.is_stalled.set(false);
        assert!(poll(&mut run).is_ready());
        assert_eq!(client.text(), "200\nabcdef");
    });
}

#[test]
fn a_client_that_takes_no_more_fails_its_response() {
    for (fault, failure) in [
        (SendFault::Gone, Failure::ClientGone),
        (SendFault::Reset, Failure::ClientGone),
        (SendFault::Timeout, Failure::ClientSendTimeout),
    ] {
        let prepare = |world: &World<'_>| world.client.fault.set(Some(fault));
        with(GET, &[HEAD], prepare, |world, result| {
            assert_eq!(result, Err(failure));
            assert!(world.progress.has_begun());
        });
    }
}

#[test]
fn what_has_come_whole_with_its_head_need_not_be_waited_for() {
    let says = [Says::Head("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")];
    for is_lazy in [true, false] {
        let prepare = |world: &World<'_>| world.client.is_lazy.set(is_lazy);
        with(GET, &says, prepare, |world, result| {
            assert_eq!(result, Ok(()));
            assert_eq!(world.client.text(), "200\nabc");
            assert!(world.client.has_end.get());
        });
    }
}

#[test]
fn gateway_errors_of_a_target_count_and_any_other_response_ends_their_row() {
    play(&file("", "", 1), async |shard| {
        let state = &shard.target(0).state;
        for (status, errors) in
            [(502, 1), (503, 2), (504, 3), (500, 0), (504, 1), (505, 0), (503, 1), (200, 0)]
        {
            let head = format!("HTTP/1.1 {status} S\r\nContent-Length: 0\r\n\r\n");
            let says = [Says::Head(Box::leak(head.into_boxed_str()))];
            World::new(shard, GET, &says).run().unwrap();
            assert_eq!(state.errors_in_a_row(), errors, "{status}");
        }
    });
}

#[test]
fn a_response_that_is_early_keeps_no_connection() {
    for (upload, keeps) in [
        (UploadState::None, true),
        (UploadState::Complete, true),
        (UploadState::Running, false),
        (UploadState::TargetStopped, false),
        (UploadState::TargetReset, false),
        (UploadState::TargetTimeout, false),
    ] {
        let says = [Says::Head("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")];
        with(
            GET,
            &says,
            |world| world.upload(upload),
            |world, result| {
                assert_eq!(result, Ok(()));
                assert_eq!(world.client.may_keep.get(), Some(keeps), "{upload:?}");
            },
        );
    }
}

#[test]
fn an_answer_of_trailers_only_whose_status_is_retried_is_not_passed_on() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\n";
    let group = "protocol_version = \"grpc\"\nretries.budget_percent = 0\n\
                 retries.on = [\"grpc:unavailable\", \"grpc:aborted\"]";
    let whole = "Content-Length: 0\r\n\r\n";
    for (fields, end, again, minimum, status) in [
        ("grpc-status: 14\r\n", whole, Again::Surely, 0, Some(14)),
        ("grpc-status: 10\r\n", whole, Again::WithinBudget, 1, Some(10)),
        ("grpc-status: 14\r\n", whole, Again::WithinBudget, 0, None),
        ("grpc-status: 14\r\n", whole, Again::Never, 1, None),
        ("grpc-status: 8\r\n", whole, Again::Surely, 1, None),
        ("grpc-status: 99\r\n", whole, Again::Surely, 1, None),
        ("", whole, Again::Surely, 1, None),
        ("grpc-status: 14\r\n", "Content-Length: 3\r\n\r\nabc", Again::Surely, 1, None),
    ] {
        let group = format!("{group}\nretries.budget_minimum = {minimum}");
        let head = format!("{HEAD}{fields}{end}");
        let says = [Says::Head(Box::leak(head.clone().into_boxed_str()))];
        play(&file("", &group, 1), async |shard| {
            let mut world = World::new(shard, GET, &says);
            world.plan.call.again = again;
            let expected = status.map_or(Ok(()), |status| Err(Failure::CallRefused { status }));
            assert_eq!(world.run(), expected, "{head}{again:?}, {minimum}");
            let is_kept = expected.is_err();
            assert_eq!(world.client.text().is_empty(), is_kept, "{head}");
            assert_eq!(world.entry.target_status, if is_kept { 0 } else { 200 });
            assert_eq!(world.progress.has_begun(), !is_kept);
        });
    }
}
