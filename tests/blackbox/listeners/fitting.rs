//! What is asked of a process and does not fit the system is said at start, with what would.

use crate::support::kernel::limit_descriptors;
use crate::support::{Limpet, Target, config};

#[test]
fn connections_that_the_descriptors_do_not_allow_are_warned_of_at_start() {
    let target = Target::echo("a");
    let text = config().process("connections", 10_000).serving(&target).text();
    let limpet = Limpet::start_with(&text, |command| limit_descriptors(command, 256));
    let stderr = limpet.stderr();
    assert!(stderr.contains("process.connections = 10000"), "{stderr}");
    assert!(stderr.contains("RLIMIT_NOFILE is 256"), "{stderr}");
}

#[test]
fn connections_that_the_descriptors_allow_are_not_warned_of() {
    let target = Target::echo("a");
    let text = config().process("connections", 50).serving(&target).text();
    let limpet = Limpet::start_with(&text, |command| limit_descriptors(command, 256));
    assert!(!limpet.stderr().contains("RLIMIT_NOFILE"), "{}", limpet.stderr());
    let text = config().serving(&target).text();
    let limpet = Limpet::start_with(&text, |command| limit_descriptors(command, 256));
    assert!(!limpet.stderr().contains("RLIMIT_NOFILE"), "{}", limpet.stderr());
}

#[test]
fn shards_that_far_outnumber_the_cores_are_warned_of_at_start() {
    let target = Target::echo("a");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let shards = i64::try_from(cores * 2 + 1).unwrap();
    let limpet = config().process("shards", shards).serving(&target).start();
    let said = format!("process.shards = {shards} on {cores} core");
    assert!(limpet.stderr().contains(&said), "{}", limpet.stderr());
    let limpet = config().process("shards", 1).serving(&target).start();
    assert!(!limpet.stderr().contains("process.shards"), "{}", limpet.stderr());
}

#[test]
fn an_admin_address_that_a_listener_has_is_named_and_not_taken_for_another_process() {
    let target = Target::echo("a");
    let address = config().serving(&target).start().address();
    let text = config()
        .admin("address", address.to_string())
        .listener(crate::support::listener("web").set("address", address.to_string()))
        .serving(&target)
        .text();
    let refused = Limpet::refused(&text, |_| {});
    assert!(refused.stderr.contains("collides with listener \"web\""), "{}", refused.stderr);
    assert!(!refused.stderr.contains("another process"), "{}", refused.stderr);
}
