//! Slow start: the share of a target that has come back grows linearly.

use std::time::Duration;

use super::{checked, switch, switched};
use crate::support::load::Load;
use crate::support::{config, group};

const SLOW_START_S: u64 = 8;
/// Requests are counted over so many seconds at a time.
const WINDOW_S: u64 = 2;

/// What share of requests the slow one of two targets gets in the window that begins at `from_s`: of weight 1
/// its part `s`, in twenty steps from a twentieth to all, beside one of weight 1.
fn predicted(from_s: u64) -> f64 {
    let steps = from_s * 20 / SLOW_START_S..(from_s + WINDOW_S) * 20 / SLOW_START_S;
    let count = steps.clone().count() as f64;
    let shares = steps.map(|step| (step + 1) as f64 / 20.0);
    shares.map(|share| share / (1.0 + share)).sum::<f64>() / count
}

#[test]
fn the_share_of_a_target_that_comes_back_grows_linearly() {
    let (a, b) = (switch(true), switch(false));
    let targets = [switched("a", &a), switched("b", &b)];
    let app = checked().set("health_check.fall", 3).set("slow_start", format!("{SLOW_START_S}s"));
    let app = app.target("a", &targets[0]).target("b", &targets[1]);
    let limpet = config().with_admin().process("shards", 2).group(app).start();
    let load = Load::start(&limpet, 8, Duration::from_millis(5));
    load.more(50);
    b.store(true, std::sync::atomic::Ordering::SeqCst);
    let event = limpet.admin().event("health", "b is healthy");
    let began_unix_ms = event["unix_ms"].as_u64().unwrap();
    let shown = limpet.admin().target("app", "b");
    assert!(shown["effective_weight"].as_f64().unwrap() < 1.0, "{shown}");
    assert!(shown["slow_start_remaining_s"].as_f64().unwrap() <= SLOW_START_S as f64, "{shown}");
    // Slow start is over, and a while more.
    load.until(began_unix_ms + SLOW_START_S * 1000 + 1500);
    assert_eq!(limpet.admin().target("app", "b")["effective_weight"], 1.0);
    let asked = load.finish();
    assert!(asked.iter().all(|one| !one.has_failed()));
    let share = |from_s: u64, to_s: u64| {
        let within = began_unix_ms + from_s * 1000..began_unix_ms + to_s * 1000;
        let within = asked.iter().filter(|one| within.contains(&one.sent_unix_ms));
        let targets: Vec<&str> = within.map(|one| one.target.as_str()).collect();
        let of_b = targets.iter().filter(|target| **target == "b").count();
        of_b as f64 / targets.len() as f64
    };
    for second in (0..SLOW_START_S).step_by(WINDOW_S as usize) {
        let (seen, predicted) = (share(second, second + WINDOW_S), predicted(second));
        println!(
            "second {second}: {:.1} % of requests, predicted {:.1} %",
            100.0 * seen,
            100.0 * predicted
        );
        assert!((seen - predicted).abs() < 0.06, "second {second}: {seen} is not {predicted}");
    }
    let after = share(SLOW_START_S, 1000);
    assert!((after - 0.5).abs() < 0.06, "{after}");
    let before = asked.iter().filter(|one| one.sent_unix_ms + 100 < began_unix_ms);
    assert!(before.into_iter().all(|one| one.target == "a"), "nothing before its first pass");
}

#[test]
fn who_has_nobody_beside_it_does_not_start_slowly() {
    let a = switch(false);
    let target = switched("a", &a);
    let app = group("app").set("slow_start", "30s").set("health_check.type", "http");
    let app = app.set("health_check.path", "/up").set("health_check.interval", "500ms");
    let app = app.set("health_check.timeout", "500ms").target("a", &target);
    let limpet = config().with_admin().group(app).start();
    a.store(true, std::sync::atomic::Ordering::SeqCst);
    let shown = limpet.admin().until_health("app", "a", "healthy");
    assert_eq!(shown["effective_weight"], 1.0, "{shown}");
}
