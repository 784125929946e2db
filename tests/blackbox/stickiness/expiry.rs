//! Both durations are inside the cookie: idle since the last visit, and age since it was issued.

use std::time::{Duration, Instant};

use super::{first_visit, issued, sticky_group, targets, visit};
use crate::support::{config, poll};

#[test]
fn a_cookie_that_was_idle_too_long_is_balanced_anew() {
    let targets = targets::<2>();
    let group = sticky_group(&targets).set("stickiness.duration", "1s");
    let limpet = config().group(group).start();
    let started = Instant::now();
    let (home, cookie) = first_visit(&limpet);
    // The old cookie is shown again and again, without taking up what is issued in between.
    let mut count = 1;
    let reason = poll(|| {
        let response = visit(&limpet, &cookie);
        count += 1;
        let record = limpet.record(count);
        if record.reason() == "valid" {
            assert_eq!(response.target(), home);
            return None;
        }
        issued(&response);
        Some(record.reason().to_owned())
    });
    assert_eq!(reason.as_deref(), Some("expired_idle"));
    assert!(started.elapsed() >= Duration::from_millis(900), "expired before its time");
}

#[test]
fn a_cookie_past_its_absolute_age_is_balanced_anew_however_busy() {
    let targets = targets::<3>();
    let group =
        sticky_group(&targets).set("stickiness.duration", "2s").set("stickiness.max_age", "3s");
    let limpet = config().group(group).start();
    let started = Instant::now();
    let (home, mut cookie) = first_visit(&limpet);
    let mut count = 1;
    let reason = poll(|| {
        let response = visit(&limpet, &cookie);
        count += 1;
        let record = limpet.record(count);
        if record.reason() == "valid" {
            assert_eq!(response.target(), home);
            cookie = response.set_cookie(super::COOKIE).unwrap_or(cookie.clone());
            return None;
        }
        issued(&response);
        Some(record.reason().to_owned())
    });
    assert_eq!(reason.as_deref(), Some("expired_age"));
    assert!(started.elapsed() >= Duration::from_millis(1900), "expired before its time");
}
