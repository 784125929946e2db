//! Buckets and the latest streams; each budget at its limit is a test of the machine.

use super::*;

#[test]
fn tokens_come_back_at_their_rate_and_never_more_than_the_burst() {
    const RATE: Rate = Rate { per_s: 10, burst: 3 };
    let mut bucket = Bucket::full(RATE, 1_000);
    for expected in [true, true, true, false, false] {
        assert_eq!(bucket.take(RATE, 1_000), expected);
    }
    // What is taken in vain costs nothing.
    assert!(!bucket.take(RATE, 1_099));
    assert!(bucket.take(RATE, 1_100));
    assert!(!bucket.take(RATE, 1_150));
    assert!(bucket.take(RATE, 1_200));
    // A clock that goes back gives nothing.
    assert!(!bucket.take(RATE, 900));
    let taken = (0..10).filter(|_| bucket.take(RATE, 1_000_000)).count();
    assert_eq!(taken, 3);
    assert!(bucket.take(RATE, u64::MAX));
}

#[test]
fn the_latest_500_streams_are_looked_at() {
    let mut latest = Latest { bits: [0; 8], at: 0, count: 0, rapid_count: 0 };
    assert!(!latest.are_mostly_rapid());
    latest.note(true);
    assert!(latest.are_mostly_rapid());
    (0..249).for_each(|_| latest.note(true));
    (0..250).for_each(|_| latest.note(false));
    assert_eq!((latest.count, latest.rapid_count, latest.are_mostly_rapid()), (500, 250, false));
    // The oldest go first.
    (0..250).for_each(|_| latest.note(false));
    assert_eq!((latest.count, latest.rapid_count), (500, 0));
    (0..251).for_each(|_| latest.note(true));
    assert!(latest.are_mostly_rapid());
    (0..3_000).for_each(|at| latest.note(at % 3 == 0));
    assert!((166..=167).contains(&latest.rapid_count));
}

#[test]
fn words_are_snake_case_and_unique() {
    let mut words: Vec<&str> = Abuse::ALL.iter().map(|abuse| abuse.word()).collect();
    assert!(
        words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
    );
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Abuse::ALL.len());
}
