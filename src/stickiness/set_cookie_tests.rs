use super::super::response_cookie::{self, AppCookieEvent, Lifetime};
use super::super::verdict::tests::{NOW_S, app_options, assignment, options, read, sticky};
use crate::stickiness::options::{SameSite, StickinessOptions};
use crate::stickiness::verdict::Reading;

/// The field value with the sealed part replaced by "…", and the sealed part.
fn written(options: StickinessOptions, https: bool) -> (String, Vec<u8>) {
    let sticky = sticky(options);
    let mut out = b"kept ".to_vec();
    assert!(sticky.write_set_cookie(&assignment(1, 1).seen(NOW_S), https, [1; 12], &mut out));
    let text = String::from_utf8(out).expect("text");
    let text = text.strip_prefix("kept ").expect("appended").to_owned();
    let value = response_cookie::parse(text.as_bytes(), NOW_S).expect("a cookie").value.to_vec();
    let sealed = std::str::from_utf8(&value).expect("text").to_owned();
    (text.replace(&sealed, "…"), value)
}

#[test]
fn the_defaults_are_safe() {
    let (text, _) = written(options(), true);
    assert_eq!(text, "limpet_app=…; Path=/; Max-Age=1000; HttpOnly; Secure; SameSite=Lax");
    let (text, _) = written(options(), false);
    assert_eq!(text, "limpet_app=…; Path=/; Max-Age=1000; HttpOnly; SameSite=Lax");
}

#[test]
fn every_attribute_is_settable() {
    let options = StickinessOptions {
        cookie_name: Some("home".into()),
        domain: Some("example.com".into()),
        path: "/app".into(),
        same_site: SameSite::Strict,
        partitioned: true,
        ..options()
    };
    let (text, _) = written(options.clone(), true);
    assert_eq!(
        text,
        "home=…; Path=/app; Max-Age=1000; Domain=example.com; HttpOnly; Secure; \
         SameSite=Strict; Partitioned"
    );
    let (text, _) = written(options, false);
    assert_eq!(
        text,
        "home=…; Path=/app; Max-Age=1000; Domain=example.com; HttpOnly; SameSite=Strict"
    );
}

#[test]
fn what_browsers_refuse_without_secure_is_left_out_without_tls() {
    let options = StickinessOptions { same_site: SameSite::None, ..options() };
    assert!(written(options.clone(), true).0.ends_with("; Secure; SameSite=None"));
    assert!(written(options, false).0.ends_with("; HttpOnly"));
}

#[test]
fn what_is_written_is_read_again() {
    let (_, value) = written(options(), true);
    let sticky = sticky(options());
    assert_eq!(read(&sticky, &value), Reading::Live(assignment(1, 1).seen(NOW_S)));
}

#[test]
fn the_twin_is_for_cross_site_use_over_tls_only() {
    let with = sticky(StickinessOptions { cross_site_twin: true, ..options() });
    let mut out = Vec::new();
    assert!(!with.write_twin_set_cookie(&assignment(1, 1).seen(NOW_S), false, [1; 12], &mut out));
    assert!(!with.write_twin_deletion(false, &mut out));
    assert!(out.is_empty());
    assert!(with.write_twin_set_cookie(&assignment(1, 1).seen(NOW_S), true, [1; 12], &mut out));
    let text = String::from_utf8(out).expect("text");
    assert!(text.starts_with("limpet_app_cors="), "{text}");
    assert!(text.ends_with("; HttpOnly; Secure; SameSite=None"), "{text}");
    let without = sticky(options());
    let mut out = Vec::new();
    assert!(!without.write_twin_set_cookie(&assignment(1, 1).seen(NOW_S), true, [1; 12], &mut out));
    assert!(!without.write_twin_deletion(true, &mut out) && out.is_empty());
}

#[test]
fn a_deletion_deletes_with_the_same_path_and_domain() {
    let sticky = sticky(StickinessOptions {
        domain: Some("example.com".into()),
        path: "/app".into(),
        cross_site_twin: true,
        ..options()
    });
    let mut own = Vec::new();
    sticky.write_deletion(true, &mut own);
    let mut twin = Vec::new();
    assert!(sticky.write_twin_deletion(true, &mut twin));
    for (field, name) in [(own, "limpet_app"), (twin, "limpet_app_cors")] {
        let cookie = response_cookie::parse(&field, NOW_S).expect("a cookie");
        assert_eq!((cookie.name, cookie.value), (name.as_bytes(), &b""[..]));
        assert_eq!(cookie.lifetime, Lifetime::Deleted);
        let text = String::from_utf8_lossy(&field);
        assert!(text.contains("; Path=/app") && text.contains("; Domain=example.com"), "{text}");
        assert!(text.contains("; Expires=Thu, 01 Jan 1970 00:00:00 GMT"), "{text}");
    }
}

#[test]
fn the_applications_cookie_is_watched_in_its_mode_only() {
    let app = sticky(app_options());
    let past = "SID=; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
    let cases = [
        ("SID=1; Path=/", AppCookieEvent::Set),
        ("SID=1; Max-Age=60", AppCookieEvent::Set),
        ("SID=; Max-Age=0", AppCookieEvent::Deleted),
        ("SID=1; Max-Age=-1", AppCookieEvent::Deleted),
        (past, AppCookieEvent::Deleted),
        ("sid=1", AppCookieEvent::None),
        ("SIDE=1", AppCookieEvent::None),
        ("", AppCookieEvent::None),
    ];
    for (field, event) in cases {
        assert_eq!(app.observe_set_cookie(field.as_bytes(), NOW_S), event, "{field}");
        let lb = sticky(options());
        assert_eq!(lb.observe_set_cookie(field.as_bytes(), NOW_S), AppCookieEvent::None);
    }
    use AppCookieEvent::{Deleted, None, Set};
    assert_eq!(None.then(Set).then(None), Set);
    assert_eq!(Set.then(Deleted), Deleted);
    assert_eq!(Deleted.then(Set), Set);
}
