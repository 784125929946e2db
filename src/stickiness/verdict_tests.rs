use super::super::set_cookie::Assignment;
use crate::group::address::TargetIndex;
use crate::group::select::{Ask, Issue, Random, select};
use crate::group::state::Health::{self, *};
use crate::group::target_group::tests::{group, targets};
use crate::group::target_group::{Algorithm, TargetGroup};
use crate::http::fields::{Field, FieldId};
use crate::routing::actions::Forward;
use crate::stickiness::options::Failback;
use crate::stickiness::stable_key::stable_key;
use crate::stickiness::verdict::*;
use std::time::Duration;

pub(crate) const NOW_S: u64 = 1_700_000_000;

pub(crate) fn ring() -> Arc<KeyRing> {
    Arc::new(KeyRing::from_secrets(&[(1, [7; 32])]).expect("valid"))
}

/// Idle 1 000 s, age 10 000 s, generation 5, enabled.
pub(crate) fn options() -> StickinessOptions {
    StickinessOptions {
        enabled: true,
        duration: Duration::from_secs(1_000),
        max_age: Duration::from_secs(10_000),
        generation: 5,
        ..StickinessOptions::default()
    }
}

pub(crate) fn sticky(options: StickinessOptions) -> Stickiness {
    Stickiness::new(options, Scope::Group("app".into()), ring()).expect("valid")
}

pub(crate) fn app_options() -> StickinessOptions {
    StickinessOptions { kind: StickinessKind::AppCookie { name: "SID".into() }, ..options() }
}

/// A session on target `t<target>` with the home `t<home>`, of the group "app".
pub(crate) fn assignment(target: usize, home: usize) -> Assignment {
    Assignment {
        generation: 5,
        group: stable_key("app"),
        target: stable_key(&format!("t{target}")),
        home: stable_key(&format!("t{home}")),
        session: 0xFEED_F00D,
        issued_s: NOW_S,
    }
}

/// The value of a cookie written at `NOW_S`.
pub(crate) fn value(sticky: &Stickiness, assignment: &Assignment) -> Vec<u8> {
    sticky.codec().seal(&assignment.seen(NOW_S), [3; 12]).expect("sealed").to_vec()
}

/// What a request is worth whose only cookie of this scope has that value.
pub(crate) fn read(sticky: &Stickiness, value: &[u8]) -> Reading {
    let field = [sticky.cookie_names().0, b"=", value].concat();
    sticky.read([&field[..]].into_iter(), NOW_S)
}

fn of(healths: &[Health]) -> Arc<TargetGroup> {
    let weighted: Vec<_> = healths.iter().map(|health| (1, *health)).collect();
    Arc::new(group(Algorithm::RoundRobin, &weighted))
}

/// What a request to one sticky group meets.
#[derive(Debug)]
struct Verdict {
    reason: Reason,
    /// Where the cookie leads; `None` when the request is balanced.
    target: Option<TargetIndex>,
    session: u128,
    issued_s: u64,
    home: u64,
    /// The response carries the cookie.
    issued: bool,
}

/// The verdict of [`select`], which production asks; `None` when nobody is usable.
fn verdict(
    sticky: &Stickiness,
    cookies: &str,
    now_s: u64,
    group: &Arc<TargetGroup>,
) -> Option<Verdict> {
    let field = Field::new(b"Cookie", cookies.as_bytes(), FieldId::Cookie);
    let ask = Ask {
        now_s,
        random: Random { session: &|| 1, group: 0, target: [0; 2] },
        opened: None,
        fields: &[field],
        source: None,
        query: None,
        pinned: &[],
        is_shared: false,
        excluded: &[],
    };
    let forward =
        Forward { groups: vec![(0, 1)], sticky: true, rewrite_path: None, rewrite_host: None };
    let choice = select(&[Arc::clone(group)], &forward, Some(sticky), &ask).ok()?;
    let outcome = choice.sticky.expect("sticky");
    Some(Verdict {
        reason: outcome.reason,
        target: outcome.bound.then_some(choice.target),
        session: outcome.assignment.session,
        issued_s: outcome.assignment.issued_s,
        home: outcome.assignment.home,
        issued: outcome.issue == Issue::Now,
    })
}

fn judge(sticky: &Stickiness, cookie: &[u8], later_s: u64, group: &Arc<TargetGroup>) -> Verdict {
    let cookies = format!("limpet_app={}", String::from_utf8_lossy(cookie));
    verdict(sticky, &cookies, NOW_S + later_s, group).expect("somebody is usable")
}

fn failback() -> Stickiness {
    sticky(StickinessOptions { failback: Failback::Healthy, ..options() })
}

#[test]
fn reasons_have_the_words_of_the_table() {
    let words = Reason::ALL.map(Reason::code);
    assert_eq!(
        words,
        [
            "new",
            "valid",
            "expired_idle",
            "expired_age",
            "invalid",
            "unknown_key",
            "flushed",
            "draining",
            "unhealthy",
            "removed",
            "full"
        ]
    );
}

#[test]
fn row_none_is_new() {
    let sticky = sticky(options());
    let verdict = verdict(&sticky, "", NOW_S, &of(&[Healthy; 3])).expect("somebody is usable");
    assert_eq!((verdict.reason, verdict.target, verdict.issued), (Reason::New, None, true));
}

#[test]
fn row_usable_is_valid_and_refreshed_after_a_tenth_of_the_idle_duration() {
    let (sticky, group) = (sticky(options()), of(&[Healthy; 3]));
    let cookie = value(&sticky, &assignment(1, 1));
    for (later_s, refresh_due) in [(0, false), (100, false), (101, true), (1_000, true)] {
        let verdict = judge(&sticky, &cookie, later_s, &group);
        assert_eq!((verdict.reason, verdict.target), (Reason::Valid, Some(1)));
        assert_eq!(verdict.issued, refresh_due, "after {later_s} s");
        assert_eq!((verdict.session, verdict.home), (0xFEED_F00D, stable_key("t1")));
        assert_eq!(verdict.issued_s, NOW_S);
    }
}

#[test]
fn row_expired_is_idle_or_age() {
    let (sticky, group) = (sticky(options()), of(&[Healthy; 3]));
    let idle = value(&sticky, &assignment(1, 1));
    assert_eq!(judge(&sticky, &idle, 1_000, &group).reason, Reason::Valid);
    assert_eq!(judge(&sticky, &idle, 1_001, &group).reason, Reason::ExpiredIdle);
    let old = Assignment { issued_s: NOW_S - 10_000, ..assignment(1, 1) };
    let old = value(&sticky, &old);
    assert_eq!(judge(&sticky, &old, 0, &group).reason, Reason::Valid);
    let verdict = judge(&sticky, &old, 1, &group);
    assert_eq!((verdict.reason, verdict.target), (Reason::ExpiredAge, None));
}

#[test]
fn row_does_not_open_is_invalid() {
    let (sticky, group) = (sticky(options()), of(&[Healthy; 3]));
    let mut forged = value(&sticky, &assignment(1, 1));
    forged[60] ^= 1;
    for cookie in [&b""[..], b"garbage", &forged, &forged[..50]] {
        let verdict = judge(&sticky, cookie, 0, &group);
        assert_eq!((verdict.reason, verdict.target), (Reason::Invalid, None));
    }
}

#[test]
fn row_sealed_by_a_key_that_is_not_in_the_ring_is_unknown_key() {
    let (sticky, group) = (sticky(options()), of(&[Healthy; 3]));
    let unknown = Arc::new(KeyRing::from_secrets(&[(2, [7; 32])]).expect("valid"));
    let other = Stickiness::new(options(), Scope::Group("app".into()), unknown).expect("valid");
    let stranger = value(&other, &assignment(1, 1));
    let verdict = judge(&sticky, &stranger, 0, &group);
    assert_eq!((verdict.reason, verdict.target), (Reason::UnknownKey, None));
}

#[test]
fn row_older_generation_is_flushed_and_a_newer_one_is_not() {
    let (sticky, group) = (sticky(options()), of(&[Healthy; 3]));
    for (generation, reason) in [(4, Reason::Flushed), (5, Reason::Valid), (6, Reason::Valid)] {
        let cookie = value(&sticky, &Assignment { generation, ..assignment(1, 1) });
        assert_eq!(judge(&sticky, &cookie, 0, &group).reason, reason);
    }
}

#[test]
fn row_draining_stays() {
    let sticky = sticky(options());
    let cookie = value(&sticky, &assignment(1, 1));
    let verdict = judge(&sticky, &cookie, 0, &of(&[Healthy, Draining, Healthy]));
    assert_eq!((verdict.reason, verdict.target), (Reason::Draining, Some(1)));
    let alone = judge(&sticky, &cookie, 0, &of(&[Draining, Draining]));
    assert_eq!((alone.reason, alone.target), (Reason::Draining, Some(1)));
}

#[test]
fn row_unhealthy_or_gone_fails_over_to_the_same_target_everywhere() {
    let sticky = sticky(options());
    let cookie = value(&sticky, &assignment(1, 1));
    let cases = [
        (of(&[Healthy, Unhealthy, Healthy]), Reason::Unhealthy),
        (of(&[Healthy, Initial, Healthy]), Reason::Unhealthy),
        (of(&[Healthy, Unused, Healthy]), Reason::Removed),
    ];
    let mut chosen = Vec::new();
    for (group, reason) in &cases {
        let verdict = judge(&sticky, &cookie, 0, group);
        assert_eq!(verdict.reason, *reason);
        let target = verdict.target.expect("somebody is usable");
        assert_eq!(verdict.home, group.targets[target].key, "it lives there from now on");
        chosen.push(target);
    }
    assert!(chosen.iter().all(|target| *target == chosen[0] && *target != 1));
    let stranger = value(&sticky, &assignment(77, 77));
    assert_eq!(judge(&sticky, &stranger, 0, &of(&[Healthy; 2])).reason, Reason::Removed);
    let cookies = format!("limpet_app={}", String::from_utf8_lossy(&cookie));
    assert!(verdict(&sticky, &cookies, NOW_S, &of(&[Draining, Unused])).is_none(), "nobody");
}

#[test]
fn when_no_target_is_healthy_a_bound_request_stays() {
    let sticky = sticky(options());
    let cookie = value(&sticky, &assignment(1, 1));
    let verdict = judge(&sticky, &cookie, 0, &of(&[Unhealthy, Unhealthy, Initial]));
    assert_eq!((verdict.reason, verdict.target), (Reason::Valid, Some(1)));
}

#[test]
fn weight_zero_keeps_what_is_bound_and_receives_no_fail_over() {
    let sticky = sticky(options());
    let weighted = [(0, Healthy), (1, Unhealthy), (1, Healthy)];
    let group = Arc::new(group(Algorithm::RoundRobin, &weighted));
    let bound = value(&sticky, &assignment(0, 0));
    assert_eq!(judge(&sticky, &bound, 0, &group).target, Some(0));
    for session in 0..50 {
        let cookie = value(&sticky, &Assignment { session, ..assignment(1, 1) });
        assert_eq!(judge(&sticky, &cookie, 0, &group).target, Some(2));
    }
}

#[test]
fn a_session_returns_home_only_if_told_to_and_home_is_truly_healthy() {
    let returning = failback();
    let away = value(&returning, &assignment(1, 0));
    let home = stable_key("t0");
    let cases: &[(&[Health], usize)] = &[
        (&[Healthy, Healthy], 0),
        (&[Unhealthy, Healthy], 1),
        (&[Draining, Healthy], 1),
        (&[Initial, Healthy], 1),
        (&[Unhealthy, Unhealthy], 1),
        (&[Healthy, Unhealthy], 0),
    ];
    for (healths, wanted) in cases {
        let verdict = judge(&returning, &away, 0, &of(healths));
        assert_eq!((verdict.reason, verdict.target), (Reason::Valid, Some(*wanted)), "{healths:?}");
        assert_eq!(verdict.home, home, "{healths:?}");
    }
    let weightless = Arc::new(group(Algorithm::RoundRobin, &[(0, Healthy), (1, Healthy)]));
    assert_eq!(judge(&returning, &away, 0, &weightless).target, Some(1));
    let staying = sticky(options());
    let away = value(&staying, &assignment(1, 0));
    let verdict = judge(&staying, &away, 0, &of(&[Healthy, Healthy]));
    assert_eq!((verdict.target, verdict.home), (Some(1), stable_key("t1")));
}

#[test]
fn fail_over_with_failback_remembers_the_home() {
    let sticky = failback();
    let cookie = value(&sticky, &assignment(0, 0));
    let verdict = judge(&sticky, &cookie, 0, &of(&[Unhealthy, Healthy, Healthy]));
    assert_eq!((verdict.reason, verdict.home), (Reason::Unhealthy, stable_key("t0")));
    assert_ne!(verdict.target, Some(0));
}

#[test]
fn a_clock_that_is_a_little_ahead_does_no_harm() {
    let (sticky, group) = (sticky(options()), of(&[Healthy; 3]));
    for (ahead_s, reason) in [
        (1, Reason::Valid),
        (CLOCK_SKEW_MAX_S, Reason::Valid),
        (CLOCK_SKEW_MAX_S + 1, Reason::Invalid),
    ] {
        let later = Assignment { issued_s: NOW_S + ahead_s, ..assignment(1, 1) };
        let plain = later.seen(NOW_S + ahead_s);
        let cookie = sticky.codec().seal(&plain, [3; 12]).expect("sealed");
        let verdict = judge(&sticky, &cookie, 0, &group);
        let is_believed = reason == Reason::Valid;
        assert_eq!((verdict.reason, verdict.issued), (reason, !is_believed), "{ahead_s} s");
    }
}

#[test]
fn an_application_cookie_must_come_too() {
    let (sticky, group) = (sticky(app_options()), of(&[Healthy; 3]));
    let cookie = value(&sticky, &assignment(1, 1));
    let text = String::from_utf8(cookie).expect("text");
    for (cookies, reason) in [
        (format!("limpet_app={text}; SID=1"), Reason::Valid),
        (format!("limpet_app={text}"), Reason::New),
        ("SID=1".to_owned(), Reason::New),
    ] {
        let verdict = verdict(&sticky, &cookies, NOW_S, &group).expect("somebody is usable");
        assert_eq!(verdict.reason, reason, "{cookies}");
    }

    let read = |field: String| sticky.read([field.as_bytes()].into_iter(), NOW_S);
    assert!(matches!(read(format!("limpet_app={text}; SID=1")), Reading::Live(_)));
    assert_eq!(read(format!("limpet_app={text}")), Reading::Absent);
    assert_eq!(read(format!("limpet_app={text}; SID=")), Reading::Absent);
    assert_eq!(read("SID=1".into()), Reading::Absent);
    assert_eq!(read("SID=1; limpet_app=x".into()), Reading::Invalid);
}

#[test]
fn the_twin_counts_when_the_cookie_itself_does_not() {
    let sticky = sticky(StickinessOptions { cross_site_twin: true, ..options() });
    let good = String::from_utf8(value(&sticky, &assignment(1, 1))).expect("text");
    let old = Assignment { generation: 1, ..assignment(1, 1) };
    let old = String::from_utf8(value(&sticky, &old)).expect("text");
    let read = |own: Option<&str>, twin: Option<&str>| {
        let own = own.map(|value| format!("limpet_app={value}; "));
        let twin = twin.map(|value| format!("limpet_app_cors={value}"));
        let field = format!("{}{}", own.unwrap_or_default(), twin.unwrap_or_default());
        sticky.read([field.as_bytes()].into_iter(), NOW_S).fresh_reason()
    };
    assert_eq!(read(Some(&good), None), None);
    assert_eq!(read(None, Some(&good)), None);
    assert_eq!(read(Some("x"), Some(&good)), None);
    assert_eq!(read(Some(&good), Some("x")), None);
    assert_eq!(read(Some(&old), Some("x")), Some(Reason::Flushed));
    assert_eq!(read(Some("x"), Some(&old)), Some(Reason::Flushed));
    assert_eq!(read(None, Some("x")), Some(Reason::Invalid));
    assert_eq!(read(None, None), Some(Reason::New));
    assert_eq!(sticky.cookie_names(), (&b"limpet_app"[..], Some(&b"limpet_app_cors"[..])));
}

#[test]
fn of_several_cookies_the_first_that_lives_counts() {
    let sticky = sticky(StickinessOptions { cross_site_twin: true, ..options() });
    let text =
        |assignment: &Assignment| String::from_utf8(value(&sticky, assignment)).expect("text");
    let (one, two) = (text(&assignment(1, 1)), text(&assignment(2, 2)));
    let flushed = text(&Assignment { generation: 1, ..assignment(0, 0) });
    let aged = text(&Assignment { issued_s: 1, ..assignment(0, 0) });
    let read = |values: &[&str]| {
        let pairs: Vec<_> = values.iter().map(|value| format!("limpet_app={value}")).collect();
        let (together, apart) = (pairs.join("; "), pairs.iter().map(String::as_bytes));
        let reading = sticky.read([together.as_bytes()].into_iter(), NOW_S);
        assert_eq!(sticky.read(apart, NOW_S), reading, "in one field or in several");
        reading
    };
    let live = |target| Reading::Live(assignment(target, target).seen(NOW_S));
    assert_eq!(read(&[&one, &two]), live(1));
    assert_eq!(read(&["x", &two, &one]), live(2));
    assert_eq!(read(&[&flushed, &aged, &one]), live(1));
    assert_eq!(read(&["x", &aged, &flushed]), Reading::ExpiredAge);
    assert_eq!(read(&[&flushed, &aged, "x"]), Reading::Flushed);
    assert_eq!(read(&["x", "", "y"]), Reading::Invalid);
    assert_eq!(read(&["x", "x", "x", &one]), live(1));
    assert_eq!(read(&["x", "x", "x", "x", &one]), Reading::Invalid, "a few are looked at");

    let with_twins = format!("limpet_app_cors=x; limpet_app_cors={two}; limpet_app={flushed}");
    assert_eq!(sticky.read([with_twins.as_bytes()].into_iter(), NOW_S), live(2));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    use StickinessFault as F;
    type Change = fn(&mut StickinessOptions);
    let cases: [(Change, F); 10] = [
        (|o| o.duration = Duration::ZERO, F::Duration),
        (|o| o.duration = DURATION_MAX + Duration::from_secs(1), F::Duration),
        (|o| o.max_age = Duration::ZERO, F::MaxAge),
        (|o| o.cookie_name = Some("a b".into()), F::CookieName("a b".into())),
        (|o| o.cookie_name = Some("".into()), F::CookieName("".into())),
        (|o| o.domain = Some("a.b; Secure".into()), F::Domain("a.b; Secure".into())),
        (|o| o.path = "x".into(), F::Path("x".into())),
        (|o| o.path = "/;x".into(), F::Path("/;x".into())),
        (
            |o| {
                o.cookie_name = Some("__Host-x".into());
                o.path = "/app".into();
            },
            F::HostPrefix,
        ),
        (
            |o| {
                o.kind = StickinessKind::AppCookie { name: "limpet_app".into() };
            },
            F::SameName("limpet_app".into()),
        ),
    ];
    for (change, fault) in cases {
        let mut options = options();
        change(&mut options);
        let scope = Scope::Group("app".into());
        assert_eq!(Stickiness::new(options, scope, ring()).err(), Some(fault));
    }
    for at in [DURATION_MIN, DURATION_MAX] {
        assert!(sticky(StickinessOptions { duration: at, ..options() }).is_enabled());
    }
}

#[test]
fn excluded_targets_count_as_unhealthy() {
    let sticky = sticky(options());
    let group = of(&[Healthy, Draining, Healthy]);
    let slots: Vec<u32> = targets(&[(1, Healthy); 3]).iter().map(|t| t.state.slot).collect();
    for bound in [0, 1] {
        let placed = group.place(
            &assignment(bound, bound).seen(NOW_S),
            sticky.options().failback,
            &[slots[bound]],
        );
        assert_eq!(placed.reason, Reason::Unhealthy);
        assert!(placed.target.is_some_and(|target| target != bound && target != 1));
    }
}

#[test]
fn a_session_counts_for_its_duration_but_not_beyond_its_greatest_age() {
    let [duration_s, max_age_s] = [600, 3_600];
    let sticky = sticky(StickinessOptions {
        duration: Duration::from_secs(duration_s),
        max_age: Duration::from_secs(max_age_s),
        ..options()
    });
    for (age_s, lives_on_s) in [(0, 600), (2_000, 600), (3_000, 600), (3_500, 100), (3_600, 0)] {
        let seen_s = sticky.counts_from_s(NOW_S, NOW_S + age_s);
        assert_eq!(seen_s + duration_s, NOW_S + age_s + lives_on_s, "{age_s}");
    }
}

#[test]
fn a_flush_begins_another_life_and_so_has_every_scope() {
    let life = |generation, duration_s| {
        let duration = Duration::from_secs(duration_s);
        sticky(StickinessOptions { generation, duration, ..options() }).life()
    };
    assert_ne!(life(1, 60).tag, life(2, 60).tag);
    assert_ne!(life(255, 60).tag, life(256, 60).tag);
    assert_eq!(life(3, 60), Life { duration_s: 60, ..life(3, 90) });
}
