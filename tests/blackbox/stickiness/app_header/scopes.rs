//! Rules over several groups, and targets that are full.

use super::*;
use crate::support::listener;

/// Rule `split` over the groups blue (a, b) and green (c, d), both of which are sticky by the field.
fn split(targets: &[Target; 4], sticky: &str, by_group: bool) -> Config {
    let rule = format!(
        "name = \"split\"\npriority = 1\nwhen.path = [\"/*\"]\n[listener.rule.forward]\n\
         groups = [{{ group = \"blue\", weight = 1 }}, {{ group = \"green\", weight = 1 }}]\n{sticky}"
    );
    let of = |name: &str| {
        let group = group(name);
        match by_group {
            false => group,
            true => group
                .sticky()
                .set("stickiness.type", "app_header")
                .set("stickiness.app_header", FIELD),
        }
    };
    let [a, b, c, d] = targets;
    config()
        .listener(listener("web").set("forward", "blue").rule(&rule))
        .group(of("blue").target("a", a).target("b", b))
        .group(of("green").target("c", c).target("d", d))
}

/// Every target sees its own id, and the client has no more than one seal behind it.
#[track_caller]
fn assert_seen_bare(limpet: &Limpet, session_id: &str, value: &str) {
    let mut value = value.to_owned();
    for _ in 0..12 {
        let echo = visit(limpet, "/echo", &value);
        assert_eq!(echo.echo().fields.all(FIELD), [session_id], "{value}");
        value = super::value(&echo);
        assert!(value.len() <= session_id.len() + 116, "{value}");
    }
}

#[test]
fn groups_of_one_rule_that_are_each_sticky_by_the_same_field_take_off_each_others_seals() {
    let targets = targets::<4>();
    let limpet = split(&targets, "", true).start();
    for at in 0..6 {
        let (_, value) = begin(&limpet, &format!("id-{at}"));
        assert_seen_bare(&limpet, &format!("id-{at}"), &value);
    }
}

#[test]
fn a_rule_that_is_made_sticky_or_turned_off_shows_targets_their_own_ids() {
    let on =
        format!("sticky = {{ enabled = true, type = \"app_header\", app_header = \"{FIELD}\" }}");
    let off = on.replace("true", "false");
    for (before, after, by_group) in [("", &on, true), (&*on, &off, true), (&*on, &off, false)] {
        let targets = targets::<4>();
        let limpet = split(&targets, before, by_group).with_admin().start();
        let (_, value) = begin(&limpet, "abc");
        limpet.write_config(&limpet.text_of(&split(&targets, after, by_group).with_admin().text()));
        limpet.admin().change("POST", "/v1/config/reload", "");
        assert_seen_bare(&limpet, "abc", &value);
    }
}

#[test]
fn a_rule_over_several_groups_keeps_group_and_target() {
    let targets = targets::<4>();
    let rule = format!(
        "name = \"split\"\npriority = 1\nwhen.path = [\"/*\"]\n[listener.rule.forward]\n\
         groups = [{{ group = \"blue\", weight = 1 }}, {{ group = \"green\", weight = 1 }}]\n\
         sticky = {{ enabled = true, type = \"app_header\", app_header = \"{FIELD}\", on_lost = 404 }}"
    );
    let [a, b, c, d] = &targets;
    let limpet = config()
        .listener(listener("web").set("forward", "blue").rule(&rule))
        .group(group("blue").target("a", a).target("b", b))
        .group(group("green").target("c", c).target("d", d))
        .start();
    let mut seen = HashSet::new();
    for at in 0..40 {
        let (kept_by, value) = begin(&limpet, &format!("id-{at}"));
        let echo = visit(&limpet, "/echo", &value);
        assert_eq!((echo.target(), super::value(&echo)), (kept_by.clone(), value.clone()));
        assert_eq!(echo.echo().fields.one(FIELD), Some(&*format!("id-{at}")));
        seen.insert(kept_by);
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[test]
fn a_full_target_follows_on_full() {
    for (on_full, status) in [("reject", 503), ("spill", 200), ("restick", 200)] {
        let targets = targets::<2>();
        let group = sticky_group(&targets).set("connection_limit", 1).set("on_full", on_full);
        let limpet = config().group(group).start();
        let value = begin_at(&limpet, "a");
        let mut holding = limpet.client();
        let lines = format!("{FIELD}: {value}\r\nContent-Length: 5\r\n");
        holding.send(format!("POST /page HTTP/1.1\r\nHost: a\r\n{lines}\r\nab"));
        targets[0].wait_for_open(1);
        let served = crate::support::poll(|| {
            let response = visit(&limpet, "/page", &value);
            let is_full = response.status == status && (status == 503 || response.target() == "b");
            is_full.then_some(())
        });
        assert!(served.is_some(), "{on_full}");
        limpet.record_where("a full target", |record| record.reason() == "full");
        assert_eq!(holding.send("cde").response_to("POST").target(), "a");
        let back = crate::support::poll(|| {
            let response = visit(&limpet, "/page", &value);
            (response.status == 200 && response.target() == "a").then_some(())
        });
        assert!(back.is_some(), "{on_full}: the session stays where it lives");
    }
}
