//! The application's session cookie and the stickiness beside it: a mismatch is said once.

use super::sticky_group;
use crate::support::limpet::poll;
use crate::support::{Target, config};

#[test]
fn a_session_that_outlives_its_stickiness_is_warned_of_once_with_both_figures() {
    let targets =
        [Target::echo_with("a", |_| "Set-Cookie: PHPSESSID=x; Max-Age=7200\r\n".to_owned())];
    let group = sticky_group(&targets).set("stickiness.duration", "600s");
    let limpet = config().group(group).start();
    let warning = || {
        assert_eq!(limpet.get("/").status, 200);
        limpet.stderr().lines().find(|line| line.contains("PHPSESSID")).map(str::to_owned)
    };
    let warning = poll(warning).expect("a warning");
    assert!(warning.contains("lives 2h") && warning.contains("after 10m"), "{warning}");
    assert!(warning.contains("duration"), "the setting to change: {warning}");
    assert_eq!(limpet.stderr().matches("PHPSESSID").count(), 1);
}
