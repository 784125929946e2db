use crate::stickiness::sketch::*;

const NOW_S: u64 = 1_700_000_000;
const DAY_S: u64 = 86_400;
const DAY: Life = Life { tag: 7, duration_s: DAY_S };

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

fn note_all(sketch: &SessionSketch, sessions: &[u128], now_s: u64) {
    for session in sessions {
        sketch.note(*session, DAY, now_s);
    }
}

fn noted(sessions: &[u128]) -> SessionSketch {
    let sketch = SessionSketch::default();
    note_all(&sketch, sessions, NOW_S);
    sketch
}

fn is_about(estimate: u64, at_least: u64, at_most: u64) -> bool {
    let error = 3.0 * ERROR_PERCENT / 100.0;
    estimate as f64 >= at_least as f64 * (1.0 - error)
        && estimate as f64 <= at_most as f64 * (1.0 + error)
}

#[test]
fn a_thousand_are_counted_exactly() {
    for count in [0, 1, 2, 12, 100, 500, 1_000] {
        for seed in 0..10 {
            let estimate = noted(&sessions(seed, count)).estimate(NOW_S, &[DAY]);
            assert_eq!(estimate, count as u64, "seed {seed}");
        }
    }
}

#[test]
fn the_error_stays_within_three_standard_errors() {
    for count in [2_500, 4_000, 10_000, 50_000, 200_000, 1_000_000] {
        for seed in 0..3 {
            let estimate = noted(&sessions(seed, count)).estimate(NOW_S, &[DAY]);
            assert!(is_about(estimate, count as u64, count as u64), "{count} {seed}: {estimate}");
        }
    }
}

#[test]
fn the_estimate_has_no_bias_and_the_stated_spread() {
    for count in [2_560, 6_000, 20_000] {
        let errors: Vec<f64> = (0..100)
            .map(|seed| noted(&sessions(seed, count)).estimate(NOW_S, &[DAY]) as f64)
            .map(|estimate| (estimate / count as f64 - 1.0) * 100.0)
            .collect();
        let mean = errors.iter().sum::<f64>() / 100.0;
        let spread = (errors.iter().map(|error| error * error).sum::<f64>() / 100.0).sqrt();
        assert!(mean.abs() < ERROR_PERCENT * 0.35, "{count}: biased by {mean} %");
        assert!(spread < ERROR_PERCENT * 1.25, "{count}: spread by {spread} %");
    }
}

#[test]
fn a_session_counts_once_however_often_it_comes() {
    let sessions = sessions(1, 5);
    let sketch = SessionSketch::default();
    for minute in 0..2_000 {
        note_all(&sketch, &sessions, NOW_S + minute * 60);
    }
    assert_eq!(sketch.estimate(NOW_S + 2_000 * 60, &[DAY]), 5);
}

#[test]
fn a_session_counts_for_the_duration_after_its_last_request() {
    for duration_s in [1, 2, 60, DAY_S] {
        let life = Life { tag: 0, duration_s };
        let sketch = SessionSketch::default();
        sketch.note(5, life, NOW_S);
        sketch.note(9, life, NOW_S);
        sketch.note(9, life, NOW_S + duration_s);
        assert_eq!(sketch.estimate(NOW_S + duration_s, &[life]), 2);
        assert_eq!(sketch.estimate(NOW_S + duration_s + 1, &[life]), 1);
        assert_eq!(sketch.estimate(NOW_S + 2 * duration_s + 1, &[life]), 0);
    }
}

#[test]
fn who_has_moved_is_forgotten_and_nobody_else() {
    for count in [10, 1_000] {
        let sessions = sessions(4, count);
        let sketch = noted(&sessions);
        let (gone, left) = sessions.split_at(count * 3 / 10);
        gone.iter().for_each(|session| sketch.forget(*session, DAY.tag));
        sketch.forget(77, DAY.tag);
        left.iter().for_each(|session| sketch.forget(*session, DAY.tag + 1));
        assert_eq!(sketch.estimate(NOW_S, &[DAY]), left.len() as u64);
        note_all(&sketch, gone, NOW_S);
        assert_eq!(sketch.estimate(NOW_S, &[DAY]), count as u64, "who comes back counts again");
        sessions.iter().for_each(|session| sketch.forget(*session, DAY.tag));
        assert_eq!(sketch.estimate(NOW_S, &[DAY]), 0);
    }
    let sessions = sessions(5, 40_000);
    let sketch = noted(&sessions);
    sessions[..25_000].iter().for_each(|session| sketch.forget(*session, DAY.tag));
    let estimate = sketch.estimate(NOW_S, &[DAY]);
    assert!(is_about(estimate, 15_000, 15_000), "{estimate}");
}

#[test]
fn each_scope_and_generation_counts_by_itself_and_by_its_own_duration() {
    let [day, hour, flushed] =
        [DAY, Life { tag: 8, duration_s: 3_600 }, Life { tag: 9, duration_s: DAY_S }];
    let sketch = SessionSketch::default();
    for (at, session) in sessions(1, 90).into_iter().enumerate() {
        sketch.note(session, [day, hour, flushed][at % 3], NOW_S);
    }
    assert_eq!(sketch.estimate(NOW_S, &[day, hour, flushed]), 90);
    assert_eq!(sketch.estimate(NOW_S, &[day, hour]), 60);
    assert_eq!(sketch.estimate(NOW_S + 3_601, &[day, hour]), 30);
    assert_eq!(sketch.estimate(NOW_S, &[]), 0);
}

#[test]
fn a_longer_duration_takes_effect_at_once() {
    let longer = Life { duration_s: 2 * DAY_S, ..DAY };
    let sketch = noted(&sessions(1, 40));
    assert_eq!(sketch.estimate(NOW_S + DAY_S + 5, &[DAY]), 0);
    assert_eq!(sketch.estimate(NOW_S + DAY_S + 5, &[longer]), 40);
}

#[test]
fn those_whose_session_is_over_make_room() {
    let minute = Life { tag: 1, duration_s: 60 };
    let sketch = SessionSketch::default();
    for (second, session) in (0..100_000).zip(Sessions(9)) {
        sketch.note(session, minute, NOW_S + second / 10);
    }
    // Ten a second; never more than six hundred live, so that all are known.
    assert_eq!(sketch.level.load(Ordering::Relaxed), 0);
    assert_eq!(sketch.estimate(NOW_S + 9_999, &[minute]), 610);
}

#[test]
fn nobody_who_was_passed_over_is_said_to_be_gone_before_the_duration_has_passed() {
    let sketch = noted(&sessions(1, 50_000));
    assert_eq!(sketch.estimate(NOW_S + DAY_S + 1, &[DAY]), 0);
    let moved = noted(&sessions(1, 50_000));
    sessions(1, 49_999).iter().for_each(|session| moved.forget(*session, DAY.tag));
    assert!(moved.estimate(NOW_S, &[DAY]) >= 1, "one is left, in the sample or not");
    assert!(moved.estimate(NOW_S + DAY_S, &[DAY]) >= 1);
    assert_eq!(moved.estimate(NOW_S + DAY_S + 1, &[DAY]), 0);
    assert_eq!(moved.estimate(NOW_S, &[Life { tag: 8, ..DAY }]), 0, "all are flushed");
}

#[test]
fn a_sample_that_has_become_small_grows_again_until_everybody_is_known() {
    let few = sessions(2, 40);
    let sketch = noted(&sessions(1, 100_000));
    let mut now_s = NOW_S;
    for hour in 1..=24 * 6 {
        now_s = NOW_S + hour * 3_600;
        note_all(&sketch, &few, now_s);
        let estimate = sketch.estimate(now_s, &[DAY]);
        if hour <= 24 {
            assert!(is_about(estimate, 100_000, 100_040), "{hour}: {estimate}");
        }
    }
    assert_eq!(sketch.level.load(Ordering::Relaxed), 0);
    assert_eq!(sketch.estimate(now_s, &[DAY]), 40);
}

#[test]
fn a_clock_that_is_set_back_counts_longer_never_shorter() {
    let sketch = noted(&sessions(1, 10));
    note_all(&sketch, &sessions(2, 10), NOW_S - 3_600);
    assert_eq!(sketch.estimate(NOW_S - 3_600, &[DAY]), 20);
    note_all(&sketch, &sessions(1, 10), NOW_S - 3_600);
    assert_eq!(sketch.estimate(NOW_S + DAY_S, &[DAY]), 10);
}

#[test]
fn threads_count_no_session_twice_and_lose_none() {
    let ids = sessions(3, 1_000);
    for round in 0..5 {
        let sketch = SessionSketch::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for (at, session) in ids.iter().enumerate() {
                        sketch.note(*session, DAY, NOW_S + at as u64 % 3);
                    }
                });
            }
        });
        assert_eq!(sketch.estimate(NOW_S + 3, &[DAY]), 1_000, "{round}");
    }
}

#[test]
fn threads_that_need_more_room_than_there_is_agree_on_the_sample() {
    let sketch = SessionSketch::default();
    let ids = sessions(6, 40_000);
    std::thread::scope(|scope| {
        for part in ids.chunks(10_000) {
            scope.spawn(|| note_all(&sketch, part, NOW_S));
        }
    });
    let estimate = sketch.estimate(NOW_S, &[DAY]);
    assert!(is_about(estimate, 40_000, 40_000), "{estimate}");
}

#[test]
fn every_session_id_has_a_set_a_rank_and_a_key() {
    let place = |session| Place::of(session, 0xAB);
    assert_eq!(place(0), Place { set: 0, key: 0xABF8_0001, rank: RANK_MAX });
    assert_eq!(place(u128::MAX), Place { set: SET_COUNT - 1, key: 0xAB07_FFFF, rank: 0 });
    assert_eq!(place(1 << 127 | 5), Place { set: 5, key: 0xAB00_0001, rank: 0 });
    assert_eq!(place(1 << 124).rank, 3);
    let cell = Cell::new(place(1 << 124).key, NOW_S);
    assert_eq!((cell.tag(), cell.rank(), cell.seen_s()), (0xAB, 3, NOW_S));
}
