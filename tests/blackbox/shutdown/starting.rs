//! Signals while limpet starts, or while something that it opens does not answer: none is lost, none
//! kills it, and what asks for the end does not wait.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use crate::support::kernel::{catches, has_io_uring, limit_descriptors, make_pipe, writing_end};
use crate::support::{Limpet, Target, config, group, listener, poll};

const END: [i32; 2] = [libc::SIGTERM, libc::SIGINT];
const OTHERS: [i32; 3] = [libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2];

/// Makes the file of the command a pipe that is not written yet.
fn read_from_pipe(command: &mut Command) {
    let path = command.get_args().last().expect("the path of the file").to_owned();
    make_pipe(Path::new(&path));
}

/// A limpet that has begun and waits for its file, with signals caught.
#[track_caller]
fn held_up_by_its_file() -> Limpet {
    let mut limpet = Limpet::spawn("", read_from_pipe);
    let all = [&END[..], &OTHERS[..]].concat();
    let caught =
        poll(|| (catches(limpet.id(), &all) || limpet.has_exited().is_some()).then_some(()));
    assert!(caught.is_some(), "signals are caught before the file is read");
    limpet
}

fn answering(text: &str) -> String {
    let answer = format!("priority = 1\nwhen.path = [\"/\"]\nrespond = {{ body = \"{text}\" }}");
    config().listener(listener("web").rule(&answer)).serving(&Target::refusing("a")).text()
}

#[test]
fn signals_before_the_file_is_read_do_not_kill_and_are_not_lost() {
    let mut limpet = held_up_by_its_file();
    for signal in OTHERS {
        limpet.signal(signal);
    }
    let file = limpet.path("limpet.toml");
    let mut pipe = poll(|| writing_end(&file)).expect("the file is opened");
    // The pipe is open on both sides: another file in its place is what a reload reads.
    let changed = limpet.path("changed.toml");
    std::fs::write(&changed, limpet.text_of(&answering("changed"))).unwrap();
    std::fs::rename(&changed, &file).unwrap();
    pipe.write_all(limpet.text_of(&answering("first")).as_bytes()).unwrap();
    drop(pipe);
    limpet.wait_until_ready();
    let reloaded = poll(|| (limpet.get("/").text() == "changed").then_some(()));
    assert!(reloaded.is_some(), "SIGHUP was lost:\n{}", limpet.stderr());
    assert_eq!(limpet.stop().code(), Some(0));
}

#[test]
fn the_end_does_not_wait_for_the_file() {
    for signal in END {
        let mut limpet = held_up_by_its_file();
        limpet.signal(signal);
        assert_eq!(limpet.wait().code(), Some(0));
    }
}

#[test]
fn the_end_does_not_wait_for_first_checks_that_hang() {
    for signal in END {
        let target = Target::scripted(|connection| {
            while connection.next_request()?.is_some() {}
            Ok(())
        });
        let checked = group("app")
            .target("a", &target)
            .set("health_check.type", "http")
            .set("health_check.interval", "60s")
            .set("health_check.timeout", "60s");
        let text = config().with_admin().listener(listener("web")).group(checked).text();
        let mut limpet = Limpet::spawn(&text, |_| {});
        target.wait_for_requests(1);
        assert!(limpet.path("admin.sock").exists());
        limpet.signal(signal);
        assert_eq!(limpet.wait().code(), Some(0));
        assert!(!limpet.path("admin.sock").exists(), "what was opened is taken back");
    }
}

#[test]
fn the_end_does_not_wait_for_a_log_that_nobody_reads() {
    let target = Target::echo("a");
    let access_log = config().with_admin().access_log("output", "{dir}/log.pipe");
    let audit_log = config().keys(&[]).admin("audit_log", "{dir}/log.pipe");
    // What shows that the file is read, and that what is held up comes next.
    let signs = ["admin.sock", "state/stickiness.key"];
    for (held_up, sign) in [access_log, audit_log].into_iter().zip(signs) {
        let mut limpet = Limpet::spawn(&held_up.serving(&target).text(), |command| {
            let file = command.get_args().last().expect("the path of the file").to_owned();
            make_pipe(&Path::new(&file).with_file_name("log.pipe"));
        });
        let sign = limpet.path(sign);
        assert!(poll(|| sign.exists().then_some(())).is_some(), "{}", limpet.stderr());
        limpet.signal(libc::SIGTERM);
        assert_eq!(limpet.wait().code(), Some(0));
    }
}

#[test]
fn the_end_does_not_wait_for_a_reload_that_hangs() {
    let target = Target::echo("a");
    let mut limpet = config().serving(&target).start();
    make_pipe(&limpet.path("limpet.toml"));
    limpet.signal(libc::SIGHUP);
    let pipe = poll(|| writing_end(&limpet.path("limpet.toml")));
    assert!(pipe.is_some(), "the file is opened for the reload");
    limpet.signal(libc::SIGTERM);
    assert_eq!(limpet.wait().code(), Some(0));
}

#[test]
fn a_shard_that_cannot_start_beside_others_that_can_ends_the_start_with_its_reason() {
    // Descriptors enough for all sockets and for the rings of some shards.
    let target = Target::echo("a");
    for engine in ["io_uring", "tokio_uring", "epoll"] {
        if engine != "epoll" && !has_io_uring() {
            continue;
        }
        let unix = listener("web").set("address", "unix:{dir}/web.sock");
        let text = config().process("shards", 64).process("engine", engine).listener(unix);
        let text = text.with_admin().serving(&target).text();
        let mut limpet = Limpet::spawn(&text, |command| limit_descriptors(command, 112));
        assert_eq!(limpet.wait().code(), Some(1), "{engine}: {}", limpet.stderr());
        let stderr = limpet.stderr();
        assert!(stderr.contains("shard ") && stderr.contains(" cannot start: "), "{stderr}");
        assert!(!limpet.path("admin.sock").exists() && !limpet.path("web.sock").exists());
    }
}
