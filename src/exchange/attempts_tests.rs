//! Which requests get another attempt, and at which target.

use super::*;
use crate::exchange::doubles::{ClientDouble, Shard, Text, file, play, play_prepared};
use crate::group::select::{Issue, StickyOutcome};
use crate::stickiness::set_cookie::Assignment;
use crate::telemetry::reason::Reason;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
const REFUSED: (Failure, bool) = (Failure::ConnectRefused, false);
const STALE: (Failure, bool) = (Failure::TargetClosed { any_byte: false }, true);
const CLOSED: (Failure, bool) = (Failure::TargetClosed { any_byte: false }, false);

/// One request and its attempts.
struct Tries<'a, 's> {
    attempts: Attempts<'a, 's>,
    progress: Progress,
    client: ClientDouble,
    out: Outgoing<Text>,
    entry: Entry,
}

impl<'a, 's> Tries<'a, 's> {
    /// A request at the first target.
    fn new(shard: &Shard, scene: &'a Scene<'s>, head: &str, is_replayable: bool) -> Tries<'a, 's> {
        let (client, mut out, entry) = shard.plan(head);
        out.plan.choice.target = 0;
        let attempts = Attempts::new(scene, &out, is_replayable);
        Tries { attempts, progress: Progress::default(), client, out, entry }
    }

    /// The target of the next attempt, if there is one.
    fn after(&mut self, failed: (Failure, bool)) -> Option<usize> {
        let parts = (&mut self.out, &mut self.entry);
        let (failure, was_reused) = failed;
        self.progress.is_reused.set(was_reused);
        self.attempts.again((failure, &self.progress), &self.client, parts).ok()?;
        Some(self.out.plan.choice.target)
    }

    /// Marks the request as led to its target by stickiness.
    fn bind(&mut self) {
        let assignment =
            Assignment { generation: 0, group: 0, target: 0, home: 0, session: 1, issued_s: 0 };
        self.out.plan.choice.sticky = Some(StickyOutcome {
            reason: Reason::Valid,
            assignment,
            issue: Issue::Never,
            bound: true,
            is_known: true,
            left: None,
            is_pinned: false,
        });
    }
}

#[test]
fn a_refused_connection_leads_to_another_target_and_never_back() {
    play(&file("", "retries.count = 9", 3), async |shard| {
        let scene = shard.scene();
        let mut tries = Tries::new(shard, &scene, POST, false);
        let second = tries.after(REFUSED).unwrap();
        let third = tries.after(REFUSED).unwrap();
        assert_eq!({ second + third }, 3, "each of the others once");
        assert_eq!(tries.after(REFUSED), None);
        assert_eq!(tries.entry.retries, 2);
        assert!(!tries.attempts.only_fresh, "no kept connection has failed it");
    });
}

#[test]
fn there_are_as_many_retries_as_the_group_allows() {
    for count in 0..3 {
        play(&file("", &format!("retries.count = {count}"), 5), async |shard| {
            let scene = shard.scene();
            let mut tries = Tries::new(shard, &scene, GET, true);
            let made = std::iter::from_fn(|| tries.after(REFUSED)).take(9).count();
            assert_eq!((made, tries.entry.retries), (count, count as u32));
        });
    }
}

#[test]
fn a_stale_connection_leads_to_another_target_on_a_new_connection() {
    play(&file("", "", 2), async |shard| {
        let scene = shard.scene();
        let mut tries = Tries::new(shard, &scene, GET, true);
        assert_eq!(tries.after(STALE), Some(1));
        assert!(tries.attempts.only_fresh);
        assert_eq!(tries.after(CLOSED), None, "one retry is all there is");
    });
}

#[test]
fn who_has_nobody_else_tries_a_target_whose_connection_was_stale_once_more() {
    play(&file("", "", 1), async |shard| {
        let scene = shard.scene();
        let mut tries = Tries::new(shard, &scene, GET, true);
        assert_eq!(tries.after(STALE), Some(0));
        assert!(tries.attempts.only_fresh);
        assert_eq!(tries.after(CLOSED), None, "a new connection that is closed is not asked twice");
        let mut tries = Tries::new(shard, &scene, GET, true);
        assert_eq!(tries.after(REFUSED), None, "nor is who refuses");
    });
}

#[test]
fn a_stale_connection_leads_to_nobody_who_is_ejected_but_a_refused_one_does() {
    let eject = |snapshot: &crate::snapshot::Snapshot| {
        snapshot.groups[0].targets[1].state.set_ejected(true);
    };
    play_prepared(&file("", "", 2), eject, async |shard| {
        let scene = shard.scene();
        let mut tries = Tries::new(shard, &scene, GET, true);
        assert_eq!(tries.after(STALE), Some(0));
        assert_eq!(tries.after(REFUSED), Some(1));
    });
}

#[test]
fn what_a_target_may_have_acted_on_is_not_sent_again() {
    play(&file("", "", 2), async |shard| {
        let scene = shard.scene();
        for (head, is_replayable, failed) in [
            (POST, true, STALE),
            (GET, false, STALE),
            (GET, true, (Failure::TargetClosed { any_byte: true }, true)),
            (GET, true, (Failure::ResponseTimeout, false)),
            (GET, true, (Failure::NoSocket, false)),
            (GET, true, (Failure::ClientGone, false)),
        ] {
            let mut tries = Tries::new(shard, &scene, head, is_replayable);
            assert_eq!(tries.after(failed), None, "{head:?}, {failed:?}");
            assert_eq!(tries.entry.retries, 0);
        }
    });
}

#[test]
fn a_bound_request_tries_its_target_once_more_before_it_fails_over() {
    play(&file("", "", 2), async |shard| {
        let scene = shard.scene();
        let mut tries = Tries::new(shard, &scene, GET, true);
        tries.bind();
        assert_eq!(tries.after(REFUSED), Some(0));
        assert_eq!(tries.after(REFUSED), Some(1));
        assert_eq!(tries.entry.retries, 2, "the log counts both");
    });
}

#[test]
fn a_bound_request_fails_over_at_once_when_connecting_has_taken_all_its_time() {
    play(&file("", "timeouts.connect = \"3s\"", 2), async |shard| {
        let scene = shard.scene();
        let mut tries = Tries::new(shard, &scene, GET, true);
        tries.bind();
        shard.at(3000).await;
        assert_eq!(tries.after((Failure::ConnectTimeout, false)), Some(1));
    });
}

#[test]
fn retries_of_what_a_target_may_have_seen_need_the_groups_budget_until_they_are_answered() {
    let budget = "retries.count = 2\nretries.budget_percent = 0\nretries.budget_minimum = 1";
    play(&file("", budget, 3), async |shard| {
        let scene = shard.scene();
        let mut first = Tries::new(shard, &scene, GET, true);
        let mut second = Tries::new(shard, &scene, GET, true);
        assert!(first.after(CLOSED).is_some());
        assert_eq!(second.after(CLOSED), None);
        assert!(first.after(CLOSED).is_some(), "who holds a permit needs no other");
        assert!(Tries::new(shard, &scene, GET, true).after(REFUSED).is_some(), "nor a connect");
        first.progress.begin();
        assert!(second.after(CLOSED).is_some(), "a response that has begun needs none");
        drop(second);
        assert!(Tries::new(shard, &scene, GET, true).after(CLOSED).is_some());
    });
}

const CALL: (Failure, bool) = (Failure::CallRefused { status: 14 }, true);
const RETRIED: &str = "protocol_version = \"grpc\"\nretries.on = [\"grpc:unavailable\"]\n";

impl Tries<'_, '_> {
    fn after_call(&self) -> Again {
        self.attempts.after_call(&self.out.plan, &self.progress)
    }
}

#[test]
fn a_call_that_was_refused_goes_to_another_target_within_the_groups_budget() {
    let more = format!("{RETRIED}retries.count = 2\nretries.budget_minimum = 1");
    play(&file("", &more, 3), async |shard| {
        let scene = shard.scene();
        let mut tries = Tries::new(shard, &scene, POST, true);
        assert_eq!(tries.after_call(), Again::WithinBudget);
        let second = tries.after(CALL).unwrap();
        assert_eq!(tries.after_call(), Again::Surely, "it holds a permit");
        let third = tries.after(CALL).unwrap();
        assert_eq!(second + third, 3, "each of the others once");
        assert_eq!(tries.after_call(), Again::Never, "as often as the group says");
        assert_eq!((tries.after(CALL), tries.entry.retries), (None, 2));
        assert!(!tries.attempts.only_fresh, "its connection is as good as before");
    });
}

#[test]
fn a_call_that_has_nobody_else_is_tried_once_more_where_it_was() {
    let more = format!("{RETRIED}retries.count = 9");
    play(&file("", &more, 1), async |shard| {
        let scene = shard.scene();
        let mut tries = Tries::new(shard, &scene, POST, true);
        assert_eq!(tries.after_call(), Again::WithinBudget);
        assert_eq!(tries.after(CALL), Some(0));
        assert_eq!(tries.after_call(), Again::Never, "the answer goes to the client");
        assert_eq!(tries.after(CALL), None);
    });
    play(&file("", &more, 2), async |shard| {
        let scene = shard.scene();
        let mut tries = Tries::new(shard, &scene, POST, true);
        let made = std::iter::from_fn(|| tries.after(CALL)).take(9).collect::<Vec<_>>();
        assert_eq!(made, [1, 1], "the other one, and that once more");
    });
}

#[test]
fn a_call_is_not_tried_again_whose_content_has_gone_on_or_whose_group_retries_none() {
    for (group, is_replayable) in [(RETRIED, false), ("protocol_version = \"grpc\"", true)] {
        play(&file("", group, 2), async |shard| {
            let scene = shard.scene();
            let tries = Tries::new(shard, &scene, POST, is_replayable);
            assert_eq!(tries.after_call(), Again::Never);
        });
    }
}

#[test]
fn a_bound_call_tries_its_target_once_more_before_it_fails_over() {
    play(&file("", RETRIED, 2), async |shard| {
        let scene = shard.scene();
        let mut tries = Tries::new(shard, &scene, POST, true);
        tries.bind();
        assert_eq!(tries.after_call(), Again::WithinBudget);
        assert_eq!(tries.after(CALL), Some(0));
        assert_eq!(tries.after_call(), Again::Surely);
        assert_eq!(tries.after(CALL), Some(1));
    });
}
