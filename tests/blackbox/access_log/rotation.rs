//! SIGUSR1 after a rotation.

use super::serving;
use crate::support::poll;

#[test]
fn sigusr1_opens_the_file_anew_and_no_line_is_lost() {
    let (limpet, _target) = serving();
    let mut client = limpet.client();
    client.get("/before");
    limpet.log_lines(1);
    let (path, moved) = (limpet.path("access.log"), limpet.path("access.log.1"));
    std::fs::rename(&path, &moved).expect("rename");
    client.get("/between");
    let old = || std::fs::read_to_string(&moved).expect("the moved file");
    poll(|| old().contains("/between").then_some(())).expect("still the moved file");
    limpet.signal(libc::SIGUSR1);
    poll(|| path.exists().then_some(())).expect("a new file");
    client.get("/after");
    assert_eq!(limpet.record(1).text("path"), "/after");
    assert_eq!(old().lines().count(), 2);
}

#[test]
fn a_file_that_cannot_be_opened_anew_is_warned_of_and_the_old_one_goes_on() {
    let target = crate::support::Target::echo("a");
    let config = crate::support::config();
    let limpet = config.access_log("output", "{dir}/state/log").serving(&target).start();
    let moved = limpet.path("moved");
    std::fs::rename(limpet.path("state"), &moved).expect("rename");
    limpet.signal(libc::SIGUSR1);
    let warned = || limpet.stderr().contains("stays where it was").then_some(());
    poll(warned).expect("a warning");
    limpet.get("/after");
    let log = || std::fs::read_to_string(moved.join("log")).unwrap_or_default();
    poll(|| log().contains("/after").then_some(())).expect("the old file");
}
