//! A seal that is not exactly what limpet made, where it made it, leads nowhere.

use super::*;

#[track_caller]
fn assert_balanced(limpet: &Limpet, value: &str, what: &str) {
    assert_eq!(spread(limpet, value).len(), 3, "{what}: {value}");
    let seen = visit(limpet, "/page", value).echo();
    assert_eq!(seen.fields.one(FIELD), Some(value), "{what} passes as it came");
}

#[test]
fn truncated_turned_and_lengthened_seals_are_balanced_and_pass_as_they_came() {
    let targets = targets::<3>();
    let limpet = sticky(&targets).start();
    let (_, value) = begin(&limpet, "abc");
    let turned = |at: usize| {
        let mut bytes = value.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).expect("text")
    };
    assert_balanced(&limpet, "abc", "no seal");
    assert_balanced(&limpet, &value[..value.len() - 1], "truncated");
    assert_balanced(&limpet, &format!("{value}A"), "lengthened");
    for at in [0, 4, 6, 20, 60, value.len() - 1] {
        assert_balanced(&limpet, &turned(at), "turned");
    }
    assert_balanced(&limpet, &"A".repeat(7_000), "far too long");
}

#[test]
fn a_seal_of_another_session_or_group_leads_nowhere() {
    let targets = targets::<3>();
    let other = sticky_group(&targets);
    let limpet = sticky(&targets).start();
    let (_, one) = begin(&limpet, "one");
    assert_balanced(&limpet, &one.replace("one.", "two."), "another session's");
    let text = config().group(other).text().replace("name = \"app\"", "name = \"shop\"");
    let elsewhere = Limpet::start(&text.replace("forward = \"app\"", "forward = \"shop\""));
    let (_, foreign) = begin(&elsewhere, "one");
    assert_balanced(&limpet, &foreign, "another group's");
    assert_eq!(limpet.record(1).reason(), "new");
    limpet.record_where("the foreign seal", |record| record.reason() == "invalid");
}

#[test]
fn a_seal_under_a_key_that_is_not_here_is_balanced_and_named() {
    use crate::support::config::{KEY_ONE, KEY_TWO};
    let targets = targets::<3>();
    let other = sticky(&targets).keys(&[(2, KEY_TWO)]).start();
    let limpet = sticky(&targets).keys(&[(1, KEY_ONE)]).start();
    let (_, value) = begin(&other, "abc");
    assert_balanced(&limpet, &value, "another key");
    assert_eq!(limpet.record(1).reason(), "unknown_key");
}

#[test]
fn a_seal_from_before_a_flush_leads_nowhere_and_is_kept_from_the_target() {
    let targets = targets::<3>();
    let limpet = sticky(&targets).with_admin().start();
    let (_, value) = begin(&limpet, "abc");
    limpet.admin().change("POST", "/v1/groups/app/stickiness/flush", "{}");
    assert_eq!(spread(&limpet, &value).len(), 3);
    limpet.record_where("a flushed session", |record| record.reason() == "flushed");
    let echo = visit(&limpet, "/echo", &value);
    assert_eq!(echo.echo().fields.one(FIELD), Some("abc"));
    let renewed = super::value(&echo);
    assert_ne!(renewed, value);
    assert_eq!(spread(&limpet, &renewed), HashSet::from([echo.target()]), "it answered for it");
}

#[test]
fn several_values_are_none() {
    let targets = targets::<3>();
    let limpet = sticky(&targets).start();
    let (_, value) = begin(&limpet, "abc");
    let lines = format!("{FIELD}: {value}\r\n{FIELD}: {value}\r\n");
    let seen: HashSet<String> =
        (0..6).map(|_| limpet.client().get_with("/page", &lines).target()).collect();
    assert_eq!(seen.len(), 3);
}
