//! A rule over several weighted groups can be sticky itself: the cookie remembers the group too.

use std::collections::HashSet;

use crate::support::config::Config;
use crate::support::{Cookie, Limpet, Response, Target, config, group, listener, poll};

const COOKIE: &str = "limpet_split";

/// Rule `split` over the groups blue (a, b) and green (c, d), stickiness as `sticky` says.
fn split(targets: &[Target; 4], sticky: &str, blue_state: &str) -> Config {
    let rule = format!(
        "name = \"split\"\npriority = 1\nwhen.path = [\"/*\"]\n[listener.rule.forward]\ngroups = [{{ group = \"blue\", weight = 1 }}, {{ group = \"green\", weight = 1 }}]\n{sticky}"
    );
    let [a, b, c, d] = targets;
    config()
        .listener(listener("web").set("forward", "blue").rule(&rule))
        .group(group("blue").target_with("a", a, blue_state).target_with("b", b, blue_state))
        .group(group("green").target("c", c).target("d", d))
}

fn targets() -> [Target; 4] {
    ["a", "b", "c", "d"].map(Target::echo)
}

fn group_of(response: &Response) -> &'static str {
    if ["a", "b"].contains(&&*response.target()) { "blue" } else { "green" }
}

fn visit(limpet: &Limpet, cookie: &Cookie) -> Response {
    limpet.client().get_cookie("/", &cookie.pair())
}

#[test]
fn a_rule_that_is_not_sticky_spreads_over_its_groups() {
    let targets = targets();
    let limpet = split(&targets, "", "").start();
    let groups: HashSet<&str> = (0..40).map(|_| group_of(&limpet.get("/"))).collect();
    assert_eq!(groups.len(), 2);
}

#[test]
fn a_sticky_rule_remembers_the_group() {
    let targets = targets();
    let limpet = split(&targets, "sticky = { enabled = true }", "").start();
    for _ in 0..8 {
        let first = limpet.get("/");
        let cookie = first.set_cookie(COOKIE).expect("the rule's cookie");
        for _ in 0..8 {
            assert_eq!(group_of(&visit(&limpet, &cookie)), group_of(&first));
        }
    }
}

#[test]
fn a_group_without_usable_targets_is_escaped() {
    let all = targets();
    let before = split(&all, "sticky = { enabled = true }", "").start();
    let blue = (0..200)
        .map(|_| before.get("/"))
        .find(|response| group_of(response) == "blue")
        .expect("half of the first visits go to blue");
    let cookie = blue.set_cookie(COOKIE).expect("the rule's cookie");
    // The same file, but blue's targets are others now and take nobody new.
    let [_, _, c, d] = &all;
    let limpet = config()
        .listener(listener("web").set("forward", "blue").rule(
            "name = \"split\"\npriority = 1\nwhen.path = [\"/*\"]\n[listener.rule.forward]\ngroups = [{ group = \"blue\", weight = 1 }, { group = \"green\", weight = 1 }]\nsticky = { enabled = true }",
        ))
        .group(group("blue").target_with("x", &all[0], "state = \"draining\""))
        .group(group("green").target("c", c).target("d", d))
        .start();
    let response = visit(&limpet, &cookie);
    assert_eq!((response.status, group_of(&response)), (200, "green"));
    let moved = response.set_cookie(COOKIE).expect("a new assignment");
    for _ in 0..8 {
        assert_eq!(group_of(&visit(&limpet, &moved)), "green");
    }
}

#[test]
fn a_group_of_weight_zero_gets_nobody_new() {
    let all = targets();
    let [a, b, c, d] = &all;
    let limpet = config()
        .listener(listener("web").set("forward", "blue").rule(
            "priority = 1\nwhen.path = [\"/*\"]\nforward = { groups = [{ group = \"blue\", weight = 0 }, { group = \"green\", weight = 5 }] }",
        ))
        .group(group("blue").target("a", a).target("b", b))
        .group(group("green").target("c", c).target("d", d))
        .start();
    for _ in 0..20 {
        assert_eq!(group_of(&limpet.get("/")), "green");
    }
}

#[test]
fn a_session_that_moves_to_another_group_counts_there_only() {
    let mut targets = targets();
    let limpet = split(&targets, "sticky = { enabled = true }", "").with_admin().start();
    let sessions = |group: &str| {
        limpet.admin().get(&format!("/v1/groups/{group}"))["sessions"].as_u64().expect("a number")
    };
    let first = (0..100).map(|_| limpet.get("/")).find(|response| group_of(response) == "blue");
    let cookie = first.expect("blue serves somebody").set_cookie(COOKIE).expect("a cookie");
    assert_eq!(group_of(&visit(&limpet, &cookie)), "blue");
    assert_eq!((sessions("blue"), sessions("green")), (1, 0));
    let admin = limpet.admin();
    for target in ["a", "b"] {
        admin.change("POST", &format!("/v1/groups/blue/targets/{target}/disable"), "{}");
    }
    targets[..2].iter_mut().for_each(Target::down);
    let moved = || (group_of(&visit(&limpet, &cookie)) == "green").then_some(());
    poll(moved).expect("it moves");
    assert_eq!((sessions("blue"), sessions("green")), (0, 1));
}
