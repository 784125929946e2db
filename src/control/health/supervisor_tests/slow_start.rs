//! Targets in a slow start.

use crate::control::health::tests::*;

/// The published shares of target `port`, one for each change, from now on for `seconds`.
async fn shares(world: &World, port: usize, seconds: u64) -> Vec<u32> {
    let began = Instant::now();
    let mut shares = Vec::new();
    while began.elapsed() < Duration::from_secs(seconds) {
        let share = world.group().targets[port - 1].share;
        if shares.last() != Some(&share) {
            shares.push(share);
        }
        sleep(0.01).await;
    }
    shares
}

#[tokio::test(start_paused = true)]
async fn a_target_that_turns_healthy_starts_slowly() {
    let world = World::started(&format!("{CHECKED}\nslow_start = \"40s\""), 2).await;
    assert_eq!(world.group().targets[0].share, 100, "not at the start of the process");
    world.fail(&[2]);
    world.until_eligible("a").await;
    world.fail(&[]);
    world.until_eligible("ab").await;
    let before = world.control.snapshot().generation;
    assert!(world.note(2).slow_start_until_unix_ms.is_some());
    let shares = shares(&world, 2, 45).await;
    assert_eq!(shares, (1..=20).map(|step| step * 5).collect::<Vec<_>>());
    assert_eq!(world.control.snapshot().generation - before, 19, "one publication a step");
    let note = world.note(2);
    assert_eq!((note.share_percent, note.slow_start_until_unix_ms), (100, None));
}

#[tokio::test(start_paused = true)]
async fn the_first_healthy_target_of_a_group_does_not_start_slowly() {
    let world = World::new(&format!("{CHECKED}\nslow_start = \"40s\"\nfail_open.count = 0"), 3);
    world.fail(&[1, 2, 3]);
    world.start().await;
    assert_eq!(world.eligible(), "");
    world.fail(&[2, 3]);
    world.until_eligible("a").await;
    assert_eq!(world.group().targets[0].share, 100);
    world.fail(&[3]);
    world.until_eligible("ab").await;
    assert_eq!(world.group().targets[1].share, 5);
    // A target that fails during its slow start has its full weight when it is used because there are no others.
    world.fail(&[2, 3]);
    world.until_eligible("a").await;
    assert_eq!(world.group().targets[1].share, 100);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_returns_from_an_ejection_starts_slowly() {
    let world = World::started(&format!("{EJECTING}\nslow_start = \"40s\""), 2).await;
    world.errors(2, 5);
    world.until_eligible("a").await;
    world.until_eligible("ab").await;
    assert_eq!(world.group().targets[1].share, 5);
}

#[tokio::test(start_paused = true)]
async fn an_added_target_without_checks_starts_slowly_and_a_shorter_slow_start_counts_at_once() {
    let world = World::started("slow_start = \"40s\"", 2).await;
    let settings = json!({ "id": "c", "address": "127.0.0.1:3" });
    let settings = settings.as_object().unwrap().clone();
    world.edit(&Edit::AddTarget { group: "app".into(), settings });
    sleep(0.2).await;
    assert_eq!(world.group().targets[2].share, 5);
    world.set(json!({ "slow_start": "0s" }));
    sleep(0.2).await;
    let shares: Vec<u32> = world.group().targets.iter().map(|target| target.share).collect();
    assert_eq!(shares, [100, 100, 100]);
    assert_eq!(world.note(3).slow_start_until_unix_ms, None);
}
