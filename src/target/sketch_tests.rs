use super::*;

const NOW_S: u64 = 1_700_000_000;
const DAY_S: u64 = 86_400;

/// Session ids as random as the real ones, and the same in every run (splitmix64).
struct Sessions(u64);

impl Sessions {
    fn half(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }
}

impl Iterator for Sessions {
    type Item = u128;

    fn next(&mut self) -> Option<u128> {
        Some(u128::from(self.half()) << 64 | u128::from(self.half()))
    }
}

fn sessions(seed: u64, count: usize) -> Vec<u128> {
    Sessions(seed << 32).take(count).collect()
}

fn noted(sessions: &[u128]) -> SessionSketch {
    let sketch = SessionSketch::default();
    for session in sessions {
        sketch.note(*session, NOW_S, DAY_S);
    }
    sketch
}

#[test]
fn the_error_stays_within_three_standard_errors() {
    for count in [100, 300, 1_000, 2_500, 4_000, 10_000, 50_000, 200_000] {
        for seed in 0..4 {
            let estimate = noted(&sessions(seed, count)).estimate(NOW_S, DAY_S) as f64;
            let error_percent = (estimate / count as f64 - 1.0).abs() * 100.0;
            assert!(error_percent < 3.0 * ERROR_PERCENT, "{count} seed {seed}: {estimate}");
        }
    }
}

#[test]
fn the_estimate_has_no_bias_and_the_stated_spread() {
    for count in [500, 2_560, 20_000] {
        let errors: Vec<f64> = (0..100)
            .map(|seed| noted(&sessions(seed, count)).estimate(NOW_S, DAY_S) as f64)
            .map(|estimate| (estimate / count as f64 - 1.0) * 100.0)
            .collect();
        let mean = errors.iter().sum::<f64>() / 100.0;
        let spread = (errors.iter().map(|error| error * error).sum::<f64>() / 100.0).sqrt();
        assert!(mean.abs() < ERROR_PERCENT * 0.35, "{count}: biased by {mean} %");
        assert!(spread < ERROR_PERCENT * 1.25, "{count}: spread by {spread} %");
    }
}

#[test]
fn nobody_is_none_and_a_few_are_exact() {
    assert_eq!(SessionSketch::default().estimate(NOW_S, DAY_S), 0);
    for seed in 0..20 {
        for count in 1..=12 {
            let estimate = noted(&sessions(seed, count)).estimate(NOW_S, DAY_S);
            assert!(estimate.abs_diff(count as u64) <= 1, "{count} seed {seed}: {estimate}");
        }
        assert_eq!(noted(&sessions(seed, 3)).estimate(NOW_S, DAY_S), 3);
    }
}

#[test]
fn a_session_counts_once_however_often_it_comes() {
    let sessions = sessions(1, 5);
    let sketch = SessionSketch::default();
    for second in 0..10_000 {
        for session in &sessions {
            sketch.note(*session, NOW_S + second * 60, DAY_S);
        }
    }
    assert_eq!(sketch.estimate(NOW_S + 10_000 * 60, DAY_S), 5);
}

#[test]
fn a_session_counts_for_the_duration_after_its_last_request_and_an_eighth_at_most() {
    for duration_s in [1, 2, 7, 8, 15, 60, 600, DAY_S] {
        let length_s = duration_s.div_ceil(8);
        for begun_s in 0..length_s.min(20) {
            let sketch = SessionSketch::default();
            let [quiet, busy] = [sessions(1, 1)[0], sessions(2, 1)[0]];
            // One is busy all the time, the other is seen once, anywhere in a slice.
            let step_s = (length_s / 7).max(1);
            let seen_s = NOW_S + begun_s * step_s + 3 * length_s;
            let mut now_s = NOW_S;
            while now_s <= seen_s + 2 * duration_s + length_s {
                sketch.note(busy, now_s, duration_s);
                if now_s >= seen_s && now_s < seen_s + step_s {
                    sketch.note(quiet, seen_s, duration_s);
                }
                let estimate = sketch.estimate(now_s, duration_s);
                let context = format!("{duration_s} s, {} s after", now_s as i64 - seen_s as i64);
                if now_s >= seen_s + step_s && now_s <= seen_s + duration_s {
                    assert_eq!(estimate, 2, "{context}");
                } else if now_s < seen_s || now_s > seen_s + duration_s + length_s + step_s {
                    assert_eq!(estimate, 1, "{context}");
                }
                now_s += step_s;
            }
        }
    }
}

#[test]
fn silence_ages_everybody_out() {
    let sketch = noted(&sessions(1, 40));
    assert!(sketch.estimate(NOW_S + DAY_S, DAY_S) >= 38);
    assert_eq!(sketch.estimate(NOW_S + DAY_S + 1, DAY_S), 0);
    sketch.note(7, NOW_S + 3 * DAY_S, DAY_S);
    assert_eq!(sketch.estimate(NOW_S + 3 * DAY_S, DAY_S), 1);
}

/// Notes one new session per second and returns the estimate at the end and the time then.
fn run(sketch: &SessionSketch, from_s: u64, seconds: u64, duration_s: u64) -> u64 {
    for (second, session) in (0..seconds).zip(Sessions(from_s << 32)) {
        sketch.note(session, from_s + second, duration_s);
    }
    sketch.estimate(from_s + seconds - 1, duration_s)
}

fn is_about(estimate: u64, at_least: u64, at_most: u64) -> bool {
    let error = 3.0 * ERROR_PERCENT / 100.0;
    estimate as f64 >= at_least as f64 * (1.0 - error)
        && estimate as f64 <= at_most as f64 * (1.0 + error)
}

#[test]
fn a_longer_duration_forgets_nobody_that_it_would_keep() {
    let sketch = SessionSketch::default();
    assert!(is_about(run(&sketch, NOW_S, 800, 400), 400, 450));
    // 400 of the last 400 seconds were still there when the duration grew to 4000.
    for seconds in [100, 700, 1_500, 3_000] {
        let from_s = NOW_S + 800;
        let longer = SessionSketch::default();
        run(&longer, NOW_S, 800, 400);
        let estimate = run(&longer, from_s, seconds, 4_000);
        assert!(is_about(estimate, 400 + seconds, 800 + seconds), "{seconds}: {estimate}");
    }
    // After one duration the figure is as sharp as ever.
    let estimate = run(&sketch, NOW_S + 800, 10_000, 4_000);
    assert!(is_about(estimate, 4_000, 4_500), "{estimate}");
}

#[test]
fn a_shorter_duration_takes_effect_when_it_has_passed() {
    let sketch = SessionSketch::default();
    run(&sketch, NOW_S, 4_000, 4_000);
    let estimate = run(&sketch, NOW_S + 4_000, 80, 40);
    assert!(is_about(estimate, 40, 45), "{estimate}");
}

#[test]
fn scopes_of_different_durations_keep_to_the_longer_one() {
    let sketch = SessionSketch::default();
    let mut ids = Sessions(5);
    for second in 0..20_000 {
        sketch.note(ids.next().unwrap(), NOW_S + second, 80);
        sketch.note(ids.next().unwrap(), NOW_S + second, 4_000);
    }
    let now_s = NOW_S + 19_999;
    let estimate = sketch.estimate(now_s, 4_000);
    assert!(is_about(estimate, 8_000, 2 * 8_000), "{estimate}");
    let short = sketch.estimate(now_s, 80);
    assert!(is_about(short, 160, 2_000), "{short}");
}

#[test]
fn a_clock_that_is_set_back_counts_longer_never_shorter() {
    let sketch = noted(&sessions(1, 10));
    for session in sessions(2, 10) {
        sketch.note(session, NOW_S - 3_600, 600);
    }
    let estimate = sketch.estimate(NOW_S - 3_600, 600);
    assert!((19..=21).contains(&estimate), "{estimate}");
}

#[test]
fn several_sketches_make_one_without_counting_anybody_twice() {
    let sessions = sessions(1, 3_000);
    let (first, second) = (noted(&sessions[..2_000]), noted(&sessions[1_000..]));
    let mut seen = Seen::default();
    seen.add(&first, NOW_S, DAY_S);
    seen.add(&second, NOW_S, DAY_S);
    assert!(is_about(seen.estimate(), 3_000, 3_000), "{}", seen.estimate());
    assert_eq!(seen.estimate(), noted(&sessions).estimate(NOW_S, DAY_S));
}

#[test]
fn threads_lose_no_session() {
    let sketch = SessionSketch::default();
    let ids = sessions(3, 8_000);
    std::thread::scope(|scope| {
        for part in ids.chunks(2_000) {
            let sketch = &sketch;
            // Each thread passes through many slices, at its own pace.
            scope.spawn(move || {
                for (at, session) in part.iter().enumerate() {
                    sketch.note(*session, NOW_S + at as u64 / 250, 8);
                }
                for (at, session) in part.iter().enumerate() {
                    sketch.note(*session, NOW_S + 8 + at as u64 / 2_000, 80);
                }
            });
        }
    });
    let estimate = sketch.estimate(NOW_S + 8, 80);
    assert!(is_about(estimate, 8_000, 8_000), "{estimate}");
}

#[test]
fn every_session_id_has_a_register_and_a_rank() {
    assert_eq!(place(0), (0, RANK_MAX));
    assert_eq!(place(u128::MAX), (REGISTER_COUNT - 1, 1));
    assert_eq!(place(1 << 64), (0, 64));
    assert_eq!(place(1 << 127 | 5), (5, 1));
    assert_eq!(place(1 << 124), (0, 4));
}
