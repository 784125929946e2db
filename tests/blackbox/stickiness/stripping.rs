//! The cookie stays between the browser and limpet; every other cookie passes byte for byte.

use super::{first_visit, sticky, sticky_group, targets};
use crate::support::config;

#[test]
fn the_cookie_is_stripped_and_the_others_are_left_as_they_were() {
    let targets = targets::<1>();
    let limpet = sticky(&targets).start();
    let mine = first_visit(&limpet).1.pair();
    let cases = [
        (format!("a=1; {mine}; b=2"), Some("a=1; b=2")),
        (format!("{mine}; a=1; b=2"), Some("a=1; b=2")),
        (format!("a=1; b=2; {mine}"), Some("a=1; b=2")),
        (format!("a=\"q u o t e d\"; {mine}; b=x=y=z; c="), Some("a=\"q u o t e d\"; b=x=y=z; c=")),
        (
            format!("xlimpet_app=1; {mine}; limpet_app2=2; limpet_ap=3"),
            Some("xlimpet_app=1; limpet_app2=2; limpet_ap=3"),
        ),
        (format!("a=limpet_app=x; {mine}"), Some("a=limpet_app=x")),
        (mine.clone(), None),
    ];
    let mut client = limpet.client();
    for (sent, expected) in &cases {
        let echo = client.get_cookie("/", sent).echo();
        assert_eq!(echo.fields.one("cookie"), *expected, "sent {sent:?}");
    }
}

#[test]
fn cookies_pass_byte_for_byte_when_there_is_nothing_to_strip() {
    let targets = targets::<1>();
    let limpet = sticky(&targets).start();
    let mut client = limpet.client();
    for sent in ["a=1;b=2 ;  c=3", "a", "=x", "a=1;;b=2;", "a=\"1;2\"", "\u{e9}=\u{fc}"] {
        let latin1: Vec<u8> =
            format!("GET / HTTP/1.1\r\nHost: limpet.test\r\nCookie: {sent}\r\n\r\n")
                .chars()
                .map(|c| c as u8)
                .collect();
        let echo = client.send(latin1).response().echo();
        assert_eq!(echo.fields.one("cookie"), Some(sent));
    }
}

#[test]
fn a_cookie_that_does_not_open_is_stripped_as_well() {
    let targets = targets::<1>();
    let limpet = sticky(&targets).start();
    let echo = limpet.client().get_cookie("/", "a=1; limpet_app=garbage; b=2").echo();
    assert_eq!(echo.fields.one("cookie"), Some("a=1; b=2"));
}

#[test]
fn the_cookie_is_found_and_stripped_in_a_second_cookie_field() {
    let targets = targets::<3>();
    let limpet = sticky(&targets).start();
    let (home, cookie) = first_visit(&limpet);
    let lines = format!("Cookie: a=1\r\nCookie: {}; b=2\r\n", cookie.pair());
    let response = limpet.client().get_with("/", &lines);
    let echo = response.echo();
    assert_eq!(echo.target, home);
    let cookies = echo.fields.all("cookie").join("; ");
    assert_eq!(cookies, "a=1; b=2");
}

#[test]
fn the_cookie_can_be_kept_for_the_target() {
    let targets = targets::<1>();
    let group = sticky_group(&targets).set("stickiness.forward_cookie", true);
    let limpet = config().group(group).start();
    let sent = format!("a=1; {}; b=2", first_visit(&limpet).1.pair());
    let echo = limpet.client().get_cookie("/", &sent).echo();
    assert_eq!(echo.fields.one("cookie"), Some(&*sent));
}

#[test]
fn the_twin_is_stripped_too() {
    let targets = targets::<1>();
    let group = sticky_group(&targets).set("stickiness.cross_site_twin", true);
    let limpet = config().group(group).start();
    let mine = first_visit(&limpet).1;
    let sent = format!("limpet_app_cors={}; a=1; {}", mine.value, mine.pair());
    let echo = limpet.client().get_cookie("/", &sent).echo();
    assert_eq!(echo.fields.one("cookie"), Some("a=1"));
}
