//! process.user: root becomes somebody else and keeps only the right to bind ports below 1024.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::support::{Client, Limpet, Target, config, group, listener, poll};

const NOBODY: u32 = 65_534;
/// CAP_NET_BIND_SERVICE alone, as /proc writes it.
const BIND_ONLY: &str = "0000000000000400";

fn is_root() -> bool {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    if !is_root {
        eprintln!("skipped: only root can become another user");
    }
    is_root
}

/// The directory of the test belongs to whom the process becomes; nothing in it does yet.
fn given_to_nobody(command: &mut Command) {
    let config = command.get_args().last().map(std::path::Path::new).expect("a configuration");
    let directory = config.parent().expect("a directory");
    chown(directory, Some(NOBODY), None).expect("give the directory away");
}

/// A port below 1024 that nobody uses; another one each time, since tests run side by side.
fn low_port() -> u16 {
    static ASKED: AtomicU16 = AtomicU16::new(0);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut ports = (0..200).map(|_| {
        // Far apart from what another run of the tests takes at the same time.
        let first =
            (std::process::id() % 40) * 10 + u32::from(ASKED.fetch_add(1, Ordering::Relaxed));
        600 + u16::try_from(first % 420).expect("a small number")
    });
    ports.find(is_free).expect("a free port below 1024")
}

/// The value of a line of /proc/ID/status, and of every thread's.
#[track_caller]
fn status(limpet: &Limpet, key: &str) -> String {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", limpet.id())).expect("threads");
    let values = tasks.map(|task| {
        let path = task.expect("a thread").path().join("status");
        let text = std::fs::read_to_string(path).expect("a status");
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.map(|value| value.split_whitespace().collect::<Vec<_>>().join(" ")).expect("the line")
    });
    let mut values: Vec<String> = values.collect();
    assert!(values.len() > 1, "shards and the log have threads of their own");
    values.dedup();
    assert_eq!(values.len(), 1, "{key} differs between threads: {values:?}");
    values.remove(0)
}

#[test]
fn root_becomes_the_user_in_every_thread_and_keeps_one_capability() {
    if !is_root() {
        return;
    }
    let target = Target::echo("a");
    let low = listener("low").set("address", format!("127.0.0.1:{}", low_port()));
    let config = config().process("user", "nobody").keys(&[]);
    let config = config.listener(listener("web")).listener(low);
    let text = config.group(group("app").sticky().target("a", &target)).text();
    let limpet = Limpet::start_with(&text, given_to_nobody);
    for key in ["Uid", "Gid"] {
        assert_eq!(
            status(&limpet, key),
            [65_534; 4].map(|id: u32| id.to_string()).join(" "),
            "{key}"
        );
    }
    assert_eq!(status(&limpet, "Groups"), NOBODY.to_string());
    for key in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(status(&limpet, key), BIND_ONLY, "{key}");
    }
    for key in ["CapInh", "CapAmb"] {
        assert_eq!(status(&limpet, key), "0000000000000000", "{key}");
    }
    assert_eq!(status(&limpet, "NoNewPrivs"), "1");
    assert_eq!(limpet.get("/").status, 200);
    assert_eq!(Client::connect(limpet.address_of("low")).get("/").status, 200);
    limpet.log_lines(2);
    for name in ["access.log", "state", "state/stickiness.key"] {
        let owner = std::fs::metadata(limpet.path(name)).expect(name).uid();
        assert_eq!(owner, NOBODY, "{name}");
    }
    assert!(!limpet.stderr().contains("cannot be reloaded"), "{}", limpet.stderr());
}

#[test]
fn a_state_directory_of_roots_time_is_taken_along() {
    if !is_root() {
        return;
    }
    let target = Target::echo("a");
    let text = config().process("user", "nobody:0").keys(&[]).serving(&target).text();
    let key = |limpet: &Limpet| std::fs::read(limpet.path("state/stickiness.key")).expect("a key");
    let mut limpet = Limpet::start_with(&text.replace("user = \"nobody:0\"\n", ""), |_| {});
    let (before, directory) = (key(&limpet), limpet.path("state"));
    limpet.stop();
    let account = directory.join("acme/accounts/a.json");
    std::fs::create_dir_all(account.parent().expect("a parent")).expect("make directories");
    std::fs::write(&account, "{}").expect("write a file");
    let moved = text.replace("{dir}/state", &directory.to_string_lossy());
    let second = Limpet::start_with(&moved, |command| {
        given_to_nobody(command);
        chown(directory.parent().expect("a parent"), Some(NOBODY), None).expect("chown");
    });
    assert_eq!(status(&second, "Gid"), "0 0 0 0");
    assert_eq!(key(&limpet), before, "the same key");
    assert_eq!(std::fs::metadata(directory.join("stickiness.key")).expect("a key").uid(), NOBODY);
    for kept in [account.as_path(), account.parent().expect("a parent")] {
        assert_eq!(std::fs::metadata(kept).expect("it is there").uid(), NOBODY, "{kept:?}");
    }
    assert!(!second.stderr().contains("is not kept"), "{}", second.stderr());
}

#[test]
fn an_account_that_does_not_exist_is_named() {
    let target = Target::echo("a");
    let text = config().process("user", "no.such.user").serving(&target).text();
    let refused = Limpet::refused(&text, |_| {});
    assert!(!refused.status.success());
    assert!(refused.stderr.contains("has no user \"no.such.user\""), "{}", refused.stderr);
}

#[test]
fn what_cannot_be_given_to_the_user_ends_the_start() {
    if !is_root() {
        return;
    }
    let target = Target::echo("a");
    let config = config().process("user", "nobody").serving(&target);
    let text = config.access_log("output", "/proc/none/access.log").text();
    let refused = Limpet::refused(&text, |_| {});
    assert!(!refused.status.success());
    let stderr = &refused.stderr;
    assert!(stderr.contains("\"nobody\"") && stderr.contains("/proc/none"), "{stderr}");
}

#[test]
fn what_a_reload_and_the_operators_need_is_within_the_users_rights() {
    if !is_root() {
        return;
    }
    let target = Target::echo("a");
    let config = config().process("user", "nobody").with_admin();
    let config = config.admin("audit_log", "{dir}/audit.log").serving(&target);
    let limpet = Limpet::start_with(&config.text(), |command| {
        given_to_nobody(command);
        let path = command.get_args().last().map(std::path::Path::new).expect("a configuration");
        // What is written back keeps its owner, which only its owner can see to.
        chown(path, Some(NOBODY), Some(NOBODY)).expect("give the file away");
    });
    let owner = |name: &str| std::fs::metadata(limpet.path(name)).map(|metadata| metadata.uid());
    assert_eq!(owner("admin.sock").expect("the socket"), NOBODY);
    // A port below 1024 that only the new file has.
    let low = listener("low").set("address", format!("127.0.0.1:{}", low_port()));
    limpet.write_config(&config.clone().listener(listener("web")).listener(low).text());
    limpet.signal(libc::SIGHUP);
    let address = poll(|| {
        let text = std::fs::read_to_string(limpet.path("ready")).ok()?;
        let address = text.lines().find_map(|line| line.strip_prefix("low "))?;
        address.parse().ok()
    });
    let address =
        address.unwrap_or_else(|| panic!("the port was not opened:\n{}", limpet.stderr()));
    let low = poll(|| Client::try_connect(address)).expect("a connection").get("/");
    assert_eq!(low.status, 200);
    // The user asks over the socket, and what is written is written as that user.
    let mut ctl = Command::new(env!("CARGO_BIN_EXE_limpet"));
    ctl.args(["ctl", "--admin"]).arg(limpet.admin().socket).args(["weight", "app", "a", "3", "-w"]);
    let said = ctl.env("USER", "somebody").uid(NOBODY).gid(NOBODY).output().expect("run");
    assert!(said.status.success(), "{said:?}");
    let text = std::fs::read_to_string(limpet.path("limpet.toml")).expect("the file");
    assert!(text.contains("weight = 3"), "{text}");
    let audit = || std::fs::read_to_string(limpet.path("audit.log")).expect("the audit log");
    assert!(audit().contains("\"actor\":\"ctl somebody (uid 65534, pid "), "{}", audit());
    // Logs that were moved away are begun anew.
    for name in ["access.log", "audit.log"] {
        assert_eq!(owner(name).expect(name), NOBODY);
        std::fs::rename(limpet.path(name), limpet.path(&format!("{name}.1"))).expect("rename");
    }
    limpet.signal(libc::SIGUSR1);
    for name in ["access.log", "audit.log"] {
        let new = poll(|| owner(name).ok());
        assert_eq!(new, Some(NOBODY), "{name}: {}", limpet.stderr());
    }
    let mode = std::fs::metadata(limpet.path("audit.log")).expect("the audit log").mode();
    assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
}

#[test]
fn a_directory_that_the_user_cannot_write_is_named_with_the_socket() {
    if !is_root() {
        return;
    }
    let target = Target::echo("a");
    let config = config().process("user", "nobody").admin("socket", "{dir}/roots/admin.sock");
    let refused = Limpet::refused(&config.serving(&target).text(), |command| {
        given_to_nobody(command);
        let path = command.get_args().last().map(std::path::Path::new).expect("a configuration");
        std::fs::create_dir(path.with_file_name("roots")).expect("a directory");
    });
    assert!(!refused.status.success());
    let stderr = &refused.stderr;
    assert!(
        stderr.contains("roots/admin.sock") && stderr.contains("Permission denied"),
        "{stderr}"
    );
}

#[test]
fn root_with_an_address_that_is_open_to_everybody_says_so() {
    let said = |config: crate::support::config::Config| {
        let target = Target::echo("a");
        let limpet = config.serving(&target).start();
        limpet.stderr().contains("has no token")
    };
    let open = || config().admin("address", "127.0.0.1:0");
    assert_eq!(said(open()), is_root());
    assert!(!said(open().admin("token", "0123456789-abcdef")));
    assert!(!said(config().with_admin()), "a Unix socket is no address");
    if is_root() {
        let target = Target::echo("a");
        let config = open().process("user", "nobody").serving(&target);
        let limpet = Limpet::start_with(&config.text(), given_to_nobody);
        assert!(!limpet.stderr().contains("has no token"), "it is root no more");
    }
}
