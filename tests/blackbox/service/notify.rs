//! sd_notify: READY when every listener accepts, STOPPING at the end, WATCHDOG in between.

use std::os::unix::net::UnixDatagram;

use crate::support::{Limpet, Target, config};

/// What a service manager hears.
struct Manager {
    socket: UnixDatagram,
    directory: tempfile::TempDir,
}

impl Manager {
    fn new() -> Manager {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let socket = UnixDatagram::bind(directory.path().join("notify")).expect("a socket");
        socket.set_read_timeout(Some(crate::support::wire::DEADLINE)).expect("a deadline");
        Manager { socket, directory }
    }

    fn start(&self, text: &str, watchdog_us: Option<u64>) -> Limpet {
        Limpet::start_with(text, |command| {
            command.env("NOTIFY_SOCKET", self.directory.path().join("notify"));
            command.env_remove("WATCHDOG_PID").env_remove("WATCHDOG_USEC");
            if let Some(limit_us) = watchdog_us {
                command.env("WATCHDOG_USEC", limit_us.to_string());
            }
        })
    }

    #[track_caller]
    fn next(&self) -> String {
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).expect("a message in time");
        String::from_utf8(message[..length].to_vec()).expect("UTF-8")
    }
}

#[test]
fn the_service_manager_hears_of_the_start_and_of_the_end() {
    let (manager, target) = (Manager::new(), Target::echo("a"));
    let mut limpet = manager.start(&config().serving(&target).text(), None);
    let ready = manager.next();
    assert!(ready.lines().any(|line| line == "READY=1"), "{ready}");
    assert!(ready.lines().any(|line| line.starts_with("STATUS=")), "{ready}");
    assert_eq!(limpet.get("/").status, 200, "ready means that it answers");
    limpet.signal(libc::SIGTERM);
    let stopping = manager.next();
    assert!(stopping.lines().any(|line| line == "STOPPING=1"), "{stopping}");
    assert!(limpet.wait().success());
}

#[test]
fn the_watchdog_is_fed_again_and_again() {
    let (manager, target) = (Manager::new(), Target::echo("a"));
    let _limpet = manager.start(&config().serving(&target).text(), Some(40_000));
    let mut fed = 0;
    while fed < 3 {
        fed += usize::from(manager.next() == "WATCHDOG=1\n");
    }
}

#[test]
fn a_reload_is_announced_and_ended_however_it_goes() {
    let (manager, target) = (Manager::new(), Target::echo("a"));
    let text = config().serving(&target).text();
    let limpet = manager.start(&text, None);
    let started = manager.next();
    assert!(started.contains("READY=1"), "{started}");
    let mut last_us = 0;
    let reloads = [
        (text.replace("5s", "6s"), "STATUS=balancing"),
        ("listener = 5\n".to_owned(), "STATUS=balancing; the last reload was refused"),
        (text, "STATUS=balancing"),
    ];
    for (text, status) in reloads {
        limpet.write_config(&text);
        limpet.signal(libc::SIGHUP);
        let reloading = manager.next();
        assert!(reloading.lines().any(|line| line == "RELOADING=1"), "{reloading}");
        let at = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        let at_us: u64 = at.and_then(|at| at.parse().ok()).unwrap_or_else(|| panic!("{reloading}"));
        assert!(at_us > last_us, "the clock goes on: {reloading}");
        last_us = at_us;
        let ready = manager.next();
        assert!(ready.lines().any(|line| line == "READY=1"), "{ready}");
        assert!(ready.lines().any(|line| line == status), "{ready}");
        assert_eq!(limpet.get("/").status, 200);
    }
}

#[test]
fn the_watchdog_is_fed_in_time_while_the_file_is_loaded_again() {
    let (manager, target) = (Manager::new(), Target::echo("a"));
    let limpet = manager.start(&config().serving(&target).text(), Some(500_000));
    assert!(manager.next().contains("READY=1"));
    let began = std::time::Instant::now();
    let mut fed = 0;
    while fed < 6 {
        limpet.signal(libc::SIGHUP);
        fed += u32::from(manager.next() == "WATCHDOG=1\n");
    }
    let limit = std::time::Duration::from_micros(500_000) * fed;
    assert!(began.elapsed() < limit, "{fed} times in {:?}", began.elapsed());
}
