//! The rows of the verdict table that a request can meet at once. Expiry, fail-over and full
//! targets have files of their own.

use super::{
    COOKIE, bound_to, first_visit, issued, position, sticky, sticky_group, targets, visit,
};
use crate::support::config::KEY_TWO;
use crate::support::{Cookie, Response, config};

#[test]
fn no_cookie_is_balanced_and_issued_new() {
    let targets = targets::<2>();
    let limpet = sticky(&targets).start();
    let (first, _) = first_visit(&limpet);
    let (second, _) = first_visit(&limpet);
    assert_ne!(first, second, "visits alternate");
    assert_eq!(limpet.record(1).reason(), "new");
}

#[test]
fn a_valid_cookie_leads_to_its_target_on_every_connection() {
    let targets = targets::<3>();
    let limpet = sticky(&targets).start();
    let (home, cookie) = first_visit(&limpet);
    for _ in 0..20 {
        assert_eq!(visit(&limpet, &cookie).target(), home);
    }
    let log = limpet.access_log(21);
    assert!(log[1..].iter().all(|record| record.reason() == "valid"), "{:?}", log[1].line);
}

/// A cookie value that must not open is answered like no cookie at all.
#[track_caller]
fn assert_reissued(response: &Response, what: &str) {
    assert_eq!(response.status, 200, "{what}: {}", response.head);
    let cookie = response.set_cookie(COOKIE);
    assert!(cookie.is_some(), "{what}: no new cookie: {}", response.head);
}

#[test]
fn a_cookie_that_does_not_open_is_never_an_error() {
    /// Characters of a version and a key's id (three bytes) in front of what is sealed.
    const HEADER: usize = 4;
    let targets = targets::<2>();
    let limpet = sticky(&targets).start();
    let (_, good) = first_visit(&limpet);
    let mut values = vec![
        "x".to_owned(),
        "AAAA".to_owned(),
        "!!!!".to_owned(),
        "a".repeat(4000),
        "A".repeat(good.value.len()),
        "%00%ff".to_owned(),
        "\"quoted\"".to_owned(),
        format!("{}A", good.value),
        good.value[1..].to_owned(),
        good.value[..good.value.len() - 1].to_owned(),
        format!("{}=", good.value),
        good.value.to_lowercase(),
        // The version and the key's id stay in front: reversed, they could be any.
        good.value[..HEADER].chars().chain(good.value[HEADER..].chars().rev()).collect(),
    ];
    // Every sixth character changed in one bit of its sextet.
    for at in (0..good.value.len()).step_by(6) {
        let mut bytes = good.value.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'Q' } else { b'A' };
        values.push(String::from_utf8(bytes).unwrap());
    }
    let mut client = limpet.client();
    for value in &values {
        let response = client.get_cookie("/", &format!("{COOKIE}={value}"));
        assert_reissued(&response, value);
    }
    let log = limpet.access_log(values.len() + 1);
    for (record, value) in log[1..].iter().zip(&values) {
        assert_eq!(record.reason(), "invalid", "{value}");
    }
}

#[test]
fn an_empty_cookie_is_never_an_error() {
    let targets = targets::<2>();
    let limpet = sticky(&targets).start();
    let mut client = limpet.client();
    for field in
        [COOKIE, "limpet_app=", "limpet_app=;", ";;limpet_app", "=", ";", "limpet_app=\"\""]
    {
        assert_reissued(&client.get_cookie("/", field), field);
    }
}

#[test]
fn a_cookie_under_an_unknown_key_is_issued_anew_and_named() {
    let targets = targets::<2>();
    let (_, cookie) = first_visit(&sticky(&targets).start());
    let other = sticky(&targets).keys(&[(1, KEY_TWO)]).start();
    assert_reissued(&visit(&other, &cookie), "another key with the same id");
    let other = sticky(&targets).keys(&[(2, KEY_TWO)]).start();
    assert_reissued(&visit(&other, &cookie), "another key");
    assert_eq!(other.record(1).reason(), "unknown_key");
}

#[test]
fn a_cookie_of_another_group_does_not_open() {
    let targets = targets::<2>();
    let web = crate::support::listener("web")
        .set("forward", "app")
        .rule("priority = 1\nwhen.path = [\"/other\"]\nforward = \"other\"");
    let other = targets
        .iter()
        .enumerate()
        .fold(crate::support::group("other").sticky(), |section, (index, target)| {
            section.target(super::name(index), target)
        });
    let limpet = config().listener(web).group(sticky_group(&targets)).group(other).start();
    let (_, cookie) = first_visit(&limpet);
    let response = limpet.client().get_cookie("/other", &format!("limpet_other={}", cookie.value));
    assert!(response.set_cookie("limpet_other").is_some());
    assert_eq!(limpet.record(2).reason(), "invalid");
}

#[test]
fn of_several_cookies_of_the_name_the_first_that_lives_counts() {
    let targets = targets::<3>();
    let limpet = sticky(&targets).start();
    let (home, cookie) = first_visit(&limpet);
    let pair = cookie.pair();
    let mut client = limpet.client();
    for _ in 0..3 {
        let both = format!("{pair}; {COOKIE}=garbage; x=1");
        assert_eq!(client.get_cookie("/", &both).target(), home);
    }
    for _ in 0..3 {
        let response = client.get_cookie("/", &format!("{COOKIE}=garbage; {pair}"));
        assert_eq!(response.target(), home);
        assert!(response.set_cookie(COOKIE).is_none(), "garbage first: {}", response.head);
    }
}

#[test]
fn a_flushed_generation_is_balanced_anew() {
    let targets = targets::<3>();
    let (_, cookie) = first_visit(&sticky(&targets).start());
    let flushed = sticky_group(&targets).set("stickiness.generation", 1);
    let limpet = config().group(flushed).start();
    let response = visit(&limpet, &cookie);
    assert_eq!(limpet.record(1).reason(), "flushed");
    let renewed = issued(&response);
    assert_eq!(visit(&limpet, &renewed).target(), response.target());
    assert_eq!(limpet.record(2).reason(), "valid");
}

#[test]
fn a_draining_target_keeps_its_sessions_and_gets_no_new_ones() {
    let [a, b] = targets();
    let before = config()
        .group(crate::support::group("app").sticky().target("a", &a).target("b", &b))
        .start();
    let cookie = bound_to(&before, "a");
    let draining = crate::support::group("app")
        .sticky()
        .target_with("a", &a, "state = \"draining\"")
        .target("b", &b);
    let limpet = config().group(draining).start();
    assert_eq!(visit(&limpet, &cookie).target(), "a");
    assert_eq!(limpet.record(1).reason(), "draining");
    for _ in 0..6 {
        assert_eq!(first_visit(&limpet).0, "b");
    }
    assert_eq!(visit(&limpet, &cookie).target(), "a");
}

#[test]
fn a_target_of_weight_zero_keeps_its_sessions_and_gets_no_new_ones() {
    let [a, b] = targets();
    let before = config()
        .group(crate::support::group("app").sticky().target("a", &a).target("b", &b))
        .start();
    let cookie = bound_to(&before, "a");
    let resting =
        crate::support::group("app").sticky().target_with("a", &a, "weight = 0").target("b", &b);
    let limpet = config().group(resting).start();
    assert_eq!(visit(&limpet, &cookie).target(), "a");
    for _ in 0..6 {
        assert_eq!(first_visit(&limpet).0, "b");
    }
}

#[test]
fn a_removed_target_is_failed_over_and_the_cookie_renewed() {
    let all = targets::<3>();
    let (home, cookie) = first_visit(&sticky(&all).start());
    let mut rest = crate::support::group("app").sticky();
    for (index, target) in all.iter().enumerate().filter(|(i, _)| *i != position(&home)) {
        rest = rest.target(super::name(index), target);
    }
    let limpet = config().group(rest).start();
    let response = visit(&limpet, &cookie);
    assert_ne!(response.target(), home);
    assert_eq!(limpet.record(1).reason(), "removed");
    let renewed: Cookie = issued(&response);
    assert_eq!(visit(&limpet, &renewed).target(), response.target());
    assert_eq!(limpet.record(2).reason(), "valid");
}

#[test]
fn a_target_that_moved_keeps_its_sessions() {
    // The cookie names the target by its id, never by its address.
    let targets = targets::<2>();
    let (home, cookie) = first_visit(&sticky(&targets).start());
    let moved = super::targets::<2>();
    let limpet = sticky(&moved).start();
    assert_eq!(visit(&limpet, &cookie).target(), home);
    assert_eq!(limpet.record(1).reason(), "valid");
}
