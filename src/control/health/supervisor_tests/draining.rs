//! Draining targets, and the effect of checks and gateway errors on them.

use crate::control::health::tests::*;

impl World {
    fn configure(&self, port: usize, state: &str) {
        let set = json!({ "state": state }).as_object().expect("a table").clone();
        self.edit(&Edit::SetTarget { group: "app".into(), target: id(port), set });
    }

    /// The second of two targets fails its checks, after the first.
    async fn fail_alone(&self) {
        self.fail(&[1]);
        self.until_health(1, Health::Unhealthy).await;
        self.fail(&[1, 2]);
        sleep(60.0).await;
    }

    async fn until_health(&self, port: usize, health: Health) -> Duration {
        let began = Instant::now();
        while self.state(port).health() != health {
            let found = self.state(port).health();
            assert!(began.elapsed() < Duration::from_secs(1_000), "{found:?} not {health:?}");
            sleep(0.01).await;
        }
        began.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_fails_its_checks_while_it_drains_is_out_of_use() {
    let world = World::started(CHECKED, 3).await;
    world.configure(2, "draining");
    sleep(30.0).await;
    assert_eq!(world.state(2).health(), Health::Draining, "its checks pass");
    world.fail(&[2]);
    let took = world.until_health(2, Health::Unused).await;
    assert!((20.0..31.0).contains(&took.as_secs_f64()), "the third failure in a row: {took:?}");
    let told = "b, which drains, is unhealthy: 3 checks failed: connection refused";
    assert!(world.events().iter().any(|event| event == told), "{:?}", world.events());
}

#[tokio::test(start_paused = true)]
async fn failures_before_the_drain_count() {
    let world = World::started(CHECKED, 2).await;
    world.fail(&[2]);
    while world.note(2).checks_failed < 2 {
        sleep(0.1).await;
    }
    world.configure(2, "draining");
    let took = world.until_health(2, Health::Unused).await;
    assert!(took < Duration::from_secs(12), "one failure more: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_nothing_is_known_of_drains_only_if_its_first_check_passes() {
    let text = World::text(CHECKED, 3) + "state = \"draining\"\n";
    let world = World::of(text);
    world.fail(&[3]);
    world.supervisor().first_round().await;
    assert_eq!(world.state(3).health(), Health::Unused);
}

#[tokio::test(start_paused = true)]
async fn who_fails_while_it_drains_stays_as_long_as_nobody_else_serves() {
    let world = World::started(CHECKED, 2).await;
    world.configure(2, "draining");
    world.fail_alone().await;
    assert_eq!(world.state(2).health(), Health::Draining);
    let reason = world.note(2).reason;
    assert_eq!(reason, "drains, and is unhealthy: 3 checks failed: connection refused");
    world.fail(&[2]);
    world.until_health(2, Health::Unused).await;
    assert_eq!(world.state(1).health(), Health::Healthy);
}

#[tokio::test(start_paused = true)]
async fn checks_that_pass_again_let_a_drain_go_on() {
    let world = World::started(CHECKED, 2).await;
    world.configure(2, "draining");
    world.fail_alone().await;
    world.fail(&[1]);
    sleep(60.0).await;
    assert_eq!(world.note(2).reason, "drains: only what is bound to it still comes");
    world.fail(&[]);
    sleep(60.0).await;
    assert_eq!(world.state(2).health(), Health::Draining);
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_back_while_its_checks_fail_is_unhealthy() {
    let world = World::started(CHECKED, 2).await;
    world.configure(2, "draining");
    world.fail_alone().await;
    world.configure(2, "in_service");
    assert_eq!(world.state(2).health(), Health::Unhealthy);
}

#[tokio::test(start_paused = true)]
async fn gateway_errors_in_a_row_end_a_drain() {
    let world = World::started(EJECTING, 3).await;
    world.configure(2, "draining");
    sleep(1.0).await;
    world.errors(2, 4);
    sleep(1.0).await;
    assert_eq!(world.state(2).health(), Health::Draining);
    world.errors(2, 1);
    let took = world.until_health(2, Health::Unused).await;
    assert!(took <= Duration::from_millis(100), "{took:?}");
    let told = "b, which drains, is unhealthy: 5 gateway errors in a row";
    assert_eq!(world.events().last().map(String::as_str), Some(told));
}

#[tokio::test(start_paused = true)]
async fn gateway_errors_end_no_drain_where_nobody_else_serves() {
    let world = World::started(EJECTING, 1).await;
    world.configure(1, "draining");
    sleep(1.0).await;
    world.errors(1, 5);
    sleep(1.0).await;
    assert_eq!(world.state(1).health(), Health::Draining);
    let told = "a goes on draining despite 5 gateway errors in a row: no other target is healthy";
    assert_eq!(world.events().last().map(String::as_str), Some(told));
}
