//! Which cookies of limpet's own a response carries, and what it makes of sessions.

use super::*;
use crate::exchange::doubles::{Shard, file, play};
use crate::group::select::Issue;
use crate::http::fields::Fields;
use crate::http::head::{HeadLimits, Method};
use crate::http1::head::{Parsed, parse_response};

const STICKY: &str = "stickiness = { enabled = true }";
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// What is written into a head.
#[derive(Debug, Default)]
struct Written {
    cookies: Vec<String>,
    protects: bool,
    has_date: bool,
}

/// Writes the cookies of a response with these fields to a request with this plan.
fn write(shard: &Shard, plan: &Plan, fields: &str) -> Written {
    let text = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n");
    let limits = HeadLimits {
        request_line_bytes: 8192,
        field_line_bytes: 8192,
        head_bytes: 16_384,
        field_count: 100,
    };
    let mut storage = Fields::new();
    let parsed = parse_response(text.as_bytes(), &limits, Method::Get, &mut storage);
    let Ok(Parsed::Complete((head, _))) = parsed else { panic!("no head: {text:?}") };
    let target = shard.target(plan.choice.target);
    assert!(target.state.try_acquire(0));
    let place = Place { group: shard.group(), target };
    let scene = shard.scene();
    let mut written = Written::default();
    OwnCookies { scene: &scene, plan, place: &place }.write(&head, |edits| {
        let text = |cookie: &&[u8]| String::from_utf8(cookie.to_vec()).unwrap();
        written = Written {
            cookies: edits.set_cookies.iter().map(text).collect(),
            protects: edits.protect_cookie,
            has_date: edits.date.is_some(),
        };
    });
    written
}

/// A plan for a first visit, changed by `change`.
fn plan(shard: &Shard, change: impl FnOnce(&mut StickyOutcome)) -> Plan {
    let (_, mut out, _) = shard.plan(GET);
    change(out.plan.choice.sticky.as_mut().expect("a sticky group"));
    out.plan
}

#[test]
fn a_first_visit_gets_a_cookie_that_no_shared_cache_may_keep() {
    play(&file("", STICKY, 1), async |shard| {
        let plan = plan(shard, |_| {});
        let written = write(shard, &plan, "");
        assert_eq!(written.cookies.len(), 1);
        assert!(written.cookies[0].starts_with("limpet_app="), "{written:?}");
        assert!(written.protects && written.has_date);
        let kept = write(shard, &plan, "Cache-Control: public\r\n");
        assert!(kept.cookies.len() == 1 && !kept.protects, "the target has its own word on it");
    });
}

#[test]
fn who_has_a_cookie_that_is_not_due_gets_none() {
    play(&file("", STICKY, 1), async |shard| {
        let written = write(shard, &plan(shard, |sticky| sticky.issue = Issue::Never), "");
        assert!(written.cookies.is_empty() && !written.protects && written.has_date);
    });
    play(&file("", "", 1), async |shard| {
        let (_, out, _) = shard.plan(GET);
        assert!(write(shard, &out.plan, "Set-Cookie: SID=1\r\n").cookies.is_empty());
    });
}

#[test]
fn with_an_application_cookie_limpets_own_comes_and_goes_with_it() {
    let settings = "stickiness = { enabled = true, type = \"app_cookie\", app_cookie = \"SID\" }";
    play(&file("", settings, 1), async |shard| {
        let plan = plan(shard, |_| {});
        assert!(write(shard, &plan, "").cookies.is_empty());
        assert!(write(shard, &plan, "Set-Cookie: OTHER=1\r\n").cookies.is_empty());
        let set = write(shard, &plan, "Set-Cookie: SID=1\r\n");
        assert!(set.cookies.len() == 1 && !set.cookies[0].contains("Max-Age=0"), "{set:?}");
        let deleted = write(shard, &plan, "Set-Cookie: SID=1\r\nSet-Cookie: SID=; Max-Age=0\r\n");
        assert_eq!(deleted.cookies.len(), 1);
        assert!(deleted.cookies[0].contains("Max-Age=0"), "the last one counts: {deleted:?}");
    });
}

#[test]
fn the_twin_for_other_sites_comes_over_encrypted_connections_alone() {
    let settings = "stickiness = { enabled = true, cross_site_twin = true }";
    play(&file("", settings, 1), async |shard| {
        let mut plan = plan(shard, |_| {});
        assert_eq!(write(shard, &plan, "").cookies.len(), 1);
        plan.https = true;
        let written = write(shard, &plan, "");
        assert_eq!(written.cookies.len(), 2);
        assert!(written.cookies[1].contains("SameSite=None"), "{written:?}");
        assert!(written.cookies.iter().all(|cookie| cookie.contains("Secure")));
        let names = written.cookies.iter().map(|cookie| cookie.split('=').next());
        assert_eq!(names.collect::<std::collections::HashSet<_>>().len(), 2);
    });
}

#[test]
fn a_connection_remembers_the_first_visit_of_its_client_and_nothing_else() {
    play(&file("", STICKY, 1), async |shard| {
        let pins = || shard.caller.with_pins(<[_]>::len);
        assert_eq!(pins(), 0);
        let first = plan(shard, |sticky| assert!(sticky.is_pinned));
        assert_eq!(pins(), 1, "it is led to the same target before there is a response");
        write(shard, &first, "");
        shard.scene().pin(&plan(shard, |sticky| sticky.is_pinned = false));
        assert_eq!(pins(), 1);
    });
}

#[test]
fn a_session_counts_at_its_target_once_its_cookie_has_come_back() {
    play(&file("", STICKY, 1), async |shard| {
        let state = &shard.target(0).state;
        write(shard, &plan(shard, |_| {}), "");
        assert!(state.sessions().is_none(), "the client may keep no cookies");
        write(shard, &plan(shard, |sticky| sticky.is_known = true), "");
        assert!(state.sessions().is_some());
    });
}
