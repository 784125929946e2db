//! The target of a session is gone: another one serves it, the same for all, or the client is told.

use super::*;

#[test]
fn a_session_fails_over_to_one_target_for_all_nodes_and_returns() {
    let mut targets = targets::<3>();
    let nodes = [sticky(&targets).start(), sticky(&targets).start()];
    let value = begin_at(&nodes[0], "a");
    targets[0].down();
    let moved: HashSet<String> = nodes.iter().flat_map(|node| spread(node, &value)).collect();
    assert_eq!(moved.len(), 1, "{moved:?}");
    let echo = visit(&nodes[1], "/echo", &value);
    assert_eq!(super::value(&echo), value, "fail-over needs no new value");
    targets[0].up();
    assert_eq!(spread(&nodes[0], &value), HashSet::from(["a".to_owned()]));
}

#[test]
fn a_session_counts_where_it_is_served_also_when_it_comes_back() {
    let mut targets = targets::<2>();
    let limpet = sticky(&targets).with_admin().start();
    let value = begin_at(&limpet, "a");
    let counted = || {
        let group = limpet.admin().get("/v1/groups/app");
        ["0", "1"].map(|at| group.pointer(&format!("/targets/{at}/sessions")).cloned())
    };
    let sessions = |a: u64, b: u64| [Some(a.into()), Some(b.into())];
    assert_eq!(visit(&limpet, "/page", &value).target(), "a");
    assert_eq!(counted(), sessions(1, 0));
    targets[0].down();
    assert_eq!(visit(&limpet, "/page", &value).target(), "b");
    assert_eq!(counted(), sessions(0, 1));
    targets[0].up();
    assert_eq!(visit(&limpet, "/page", &value).target(), "a");
    assert_eq!(counted(), sessions(1, 0));
}

#[test]
fn a_client_is_told_at_once_where_the_group_says_so() {
    for status in [404, 410] {
        let mut targets = targets::<3>();
        let limpet = telling(&targets, status).with_admin().start();
        let value = begin_at(&limpet, "a");
        let other = begin_at(&limpet, "b");
        assert_eq!(visit(&limpet, "/page", &value).target(), "a");
        let sessions = || limpet.admin().get("/v1/groups/app")["sessions"].as_u64();
        assert_eq!(sessions(), Some(1));
        targets[0].down();
        let lost = visit(&limpet, "/page", &value);
        assert_eq!(i64::from(lost.status), status, "{}", lost.head);
        assert_eq!(spread(&limpet, &other), HashSet::from(["b".to_owned()]), "others stay");
        let record =
            limpet.record_where("the lost one", |record| record.number("status") as i64 == status);
        assert_eq!((record.reason(), record.text("code")), ("unhealthy", "session_lost"));
        assert_eq!(sessions(), Some(1), "the other's alone");
    }
}

/// Nobody is asked in a target's place, so no budget of retries and no count of them stands against the answer.
#[test]
fn whoever_is_told_needs_no_retry() {
    let mut targets = targets::<2>();
    let group = sticky_group(&targets).set("stickiness.on_lost", 404).set("retries.count", 0);
    let limpet = config().group(group).start();
    let value = begin_at(&limpet, "a");
    targets[0].down();
    for _ in 0..20 {
        assert_eq!(visit(&limpet, "/page", &value).status, 404);
    }
    assert_eq!(limpet.client().post("/page", b"content").status, 200);
}

#[test]
fn a_session_of_a_removed_target_is_told_or_balanced() {
    for on_lost in [None, Some(404)] {
        let targets = targets::<3>();
        let group = sticky_group(&targets).set("deregistration_delay", "0s");
        let group = match on_lost {
            None => group,
            Some(status) => group.set("stickiness.on_lost", status),
        };
        let limpet = config().group(group).with_admin().start();
        let value = begin_at(&limpet, "a");
        limpet.admin().change("DELETE", "/v1/groups/app/targets/a", "");
        let response = visit(&limpet, "/page", &value);
        match on_lost {
            None => assert_ne!(response.target(), "a"),
            Some(status) => assert_eq!(i64::from(response.status), status),
        }
        limpet.record_where("the removed one", |record| record.reason() == "removed");
    }
}

#[test]
fn a_flushed_session_is_told() {
    let targets = targets::<2>();
    let limpet = telling(&targets, 404).with_admin().start();
    let (_, value) = begin(&limpet, "abc");
    limpet.admin().change("POST", "/v1/groups/app/stickiness/flush", "{}");
    assert_eq!(visit(&limpet, "/page", &value).status, 404);
    let (kept_by, anew) = begin(&limpet, "abc");
    assert_eq!(spread(&limpet, &anew), HashSet::from([kept_by]), "and begins anew");
}

#[test]
fn a_session_ends_with_its_greatest_age() {
    let targets = targets::<3>();
    let group =
        sticky_group(&targets).set("stickiness.max_age", "1s").set("stickiness.on_lost", 404);
    let limpet = config().group(group).start();
    let (_, value) = begin(&limpet, "abc");
    let told =
        crate::support::poll(|| (visit(&limpet, "/page", &value).status == 404).then_some(()));
    assert!(told.is_some(), "it never ends");
    limpet.record_where("the old one", |record| record.reason() == "expired_age");
}

#[test]
fn a_draining_target_keeps_its_sessions_and_gets_no_new_ones() {
    let targets = targets::<3>();
    let limpet = telling(&targets, 404).with_admin().start();
    let value = begin_at(&limpet, "a");
    limpet.admin().change("POST", "/v1/groups/app/targets/a/drain", "{}");
    assert_eq!(spread(&limpet, &value), HashSet::from(["a".to_owned()]));
    limpet.record_where("the draining one", |record| record.reason() == "draining");
    for at in 0..8 {
        assert_ne!(begin(&limpet, &format!("new-{at}")).0, "a");
    }
}

/// What a target has done to one request says nothing about the sessions that it keeps.
#[test]
fn a_target_that_closes_without_an_answer_loses_its_request_and_no_session() {
    let targets = ["a", "b"].map(|id| {
        Target::scripted(move |connection| {
            while let Some(request) = connection.next_request()? {
                if request.target == "/close" {
                    return Ok(());
                }
                let lines = application(&request);
                let response = crate::support::target::echo_response(id, &request, &lines);
                connection.send(&response)?;
            }
            Ok(())
        })
    });
    let limpet = telling(&targets, 404).start();
    let value = begin_at(&limpet, "a");
    for _ in 0..3 {
        assert_eq!(visit(&limpet, "/close", &value).status, 502);
        assert_eq!(visit(&limpet, "/page", &value).target(), "a", "the session lives");
    }
}
