//! A shard that is lost while it runs ends the process, so that whoever watches it starts it anew: limpet never goes on
//! with a core missing.

use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::kernel::{call_in, engines};
use crate::support::{Client, Limpet, Target, config, group};

/// How long the end may take: long before the requests in flight on other shards are given up.
const SECONDS: Duration = Duration::from_secs(9);

/// Two shards, and a request on one of them that the target does not answer.
fn serving(engine: &str, target: &Target) -> (Limpet, Client) {
    let app = group("app").target("a", target);
    let config = config().process("engine", engine).process("shards", 2);
    let limpet = config.process("grace_period", "5m").group(app).start();
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    target.wait_for_requests(1);
    (limpet, client)
}

fn silent() -> Target {
    Target::scripted(|connection| {
        connection.next_request()?;
        connection.read_until_closed().map(drop)
    })
}

/// The numbers in a directory of /proc whose entries are such.
fn numbers(directory: &str, is_one: impl Fn(&Path) -> bool) -> Vec<u32> {
    let entries =
        std::fs::read_dir(directory).expect("a directory of /proc").filter_map(Result::ok);
    let ones = entries.map(|entry| entry.path()).filter(|path| is_one(path));
    let mut numbers: Vec<u32> =
        ones.filter_map(|path| path.file_name()?.to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

/// Descriptors of this kind, in the order in which they were made.
fn descriptors(limpet: &Limpet, kind: &str) -> Vec<u32> {
    let link = format!("anon_inode:[{kind}]");
    numbers(&format!("/proc/{}/fd", limpet.id()), |path| {
        std::fs::read_link(path).is_ok_and(|to| to.as_os_str() == link.as_str())
    })
}

fn thread(limpet: &Limpet, name: &str) -> u32 {
    let found = numbers(&format!("/proc/{}/task", limpet.id()), |path| {
        std::fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    });
    *found.first().unwrap_or_else(|| panic!("no thread {name}"))
}

/// The end says which shard, and why, and is an error for who started it.
#[track_caller]
fn assert_ends(limpet: &mut Limpet, lost: Instant, whose: &str, what: &str) {
    let status = limpet.wait();
    let (took, stderr) = (lost.elapsed(), limpet.stderr());
    assert_eq!(status.code(), Some(1), "{what}: {status}");
    let sentence = format!("limpet: {whose}");
    let last = stderr.lines().rfind(|line| line.starts_with(&sentence));
    assert!(last.is_some_and(|line| line.contains(" has ended: ")), "{what}");
    assert!(took < SECONDS, "{what}: {took:?}");
}

/// Takes what `which` finds away from a limpet on this engine: nothing can be done with /dev/null in its place.
fn take_away(engine: &str, what: &str, which: impl Fn(&Limpet) -> u32) {
    let target = silent();
    let (mut limpet, _client) = serving(engine, &target);
    let descriptor = which(&limpet);
    let (lost, stdin) = (Instant::now(), 0);
    let arguments = [stdin, u64::from(descriptor), 0];
    match call_in(thread(&limpet, "shard-1"), libc::SYS_dup2, arguments) {
        Some(replaced) => {
            assert_eq!(replaced, i64::from(descriptor));
            // Each shard gets some of them, and what cannot be served any more is noticed with the first.
            (0..24).for_each(|_| drop(TcpStream::connect(limpet.address())));
            assert_ends(&mut limpet, lost, "shard ", &format!("{what} of {engine}"));
        }
        None => println!("not tested on {engine}: ptrace is refused here"),
    }
}

#[test]
fn a_shard_that_loses_its_ring_ends_the_process_with_an_error() {
    for engine in engines().iter().filter(|engine| **engine != "epoll") {
        take_away(engine, "the first ring", |limpet| descriptors(limpet, "io_uring")[0]);
        take_away(engine, "the second ring", |limpet| descriptors(limpet, "io_uring")[1]);
    }
}

#[test]
fn a_shard_that_loses_its_epoll_ends_the_process_with_an_error() {
    // Each runtime has two descriptors of its epoll: the one that it waits at, and the one by which sockets are added.
    let from_behind = |limpet: &Limpet, back: usize| {
        let all = descriptors(limpet, "eventpoll");
        all[all.len() - back]
    };
    for (back, what) in [(1, "the adding end"), (2, "the waiting end"), (4, "the first shard's")] {
        take_away("epoll", what, |limpet| from_behind(limpet, back));
    }
    if engines().contains(&"tokio_uring") {
        take_away("tokio_uring", "the epoll", |limpet| from_behind(limpet, 2));
    }
}

#[test]
fn a_shard_whose_thread_the_kernel_ends_ends_the_process_with_an_error() {
    for engine in engines() {
        let target = silent();
        let (mut limpet, _client) = serving(engine, &target);
        let lost = Instant::now();
        match call_in(thread(&limpet, "shard-1"), libc::SYS_exit, [0; 3]) {
            Some(_) => assert_ends(&mut limpet, lost, "shard 1 ", engine),
            None => println!("not tested on {engine}: ptrace is refused here"),
        }
    }
}
