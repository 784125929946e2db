//! Where clients and targets are: IPv4, IPv6, Unix sockets; ports that are taken; too few
//! descriptors.

mod fitting;
mod unix;

use std::net::{Ipv6Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;

use crate::support::kernel::limit_descriptors;
use crate::support::{Client, Limpet, Target, config, group, listener, poll};

#[test]
fn ipv6_on_both_sides() {
    let target = Target::echo_on("six", Ipv6Addr::LOCALHOST);
    let limpet = config()
        .listener(listener("web").set("address", "[::1]:0"))
        .group(group("app").target("a", &target))
        .start();
    assert!(limpet.address().is_ipv6());
    let echo = limpet.get("/").echo();
    assert_eq!(echo.target, "six");
    assert_eq!(echo.fields.one("x-forwarded-for"), Some("::1"));
}

#[test]
fn unix_sockets_on_both_sides() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::echo_unix("unix", &directory.path().join("app.sock"));
    let limpet = config()
        .listener(listener("web").set("address", "unix:{dir}/web.sock"))
        .group(group("app").target("a", &target))
        .start();
    let path = limpet.path("web.sock");
    let mut client = Client::connect_unix(&path);
    for _ in 0..3 {
        assert_eq!(client.get("/").target(), "unix");
    }
    assert_eq!(client.post("/", b"hello").echo().content, "hello");
    assert_eq!(target.connection_count(), 1);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[test]
fn a_unix_socket_has_the_permissions_of_the_file_and_goes_with_its_process() {
    let target = Target::echo("a");
    let mut limpet = config()
        .listener(
            listener("web").set("address", "unix:{dir}/web.sock").set("socket.unix_mode", "0600"),
        )
        .group(group("app").target("a", &target))
        .start();
    let path = limpet.path("web.sock");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    limpet.stop();
    assert!(!path.exists(), "the socket is left behind");
}

#[test]
fn a_unix_socket_that_a_dead_process_left_is_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let target = Target::echo("a");
    let _limpet = config()
        .listener(listener("web").set("address", format!("unix:{}", path.display())))
        .group(group("app").target("a", &target))
        .start();
    assert_eq!(Client::connect_unix(&path).get("/").target(), "a");
}

#[test]
fn several_listeners_share_one_process_and_shards() {
    let target = Target::echo("a");
    let limpet = config()
        .process("shards", 2)
        .listener(listener("one"))
        .listener(listener("six").set("address", "[::1]:0"))
        .listener(listener("local").set("address", "unix:{dir}/local.sock"))
        .group(group("app").target("a", &target))
        .start();
    assert_eq!(limpet.client_of("one").get("/").target(), "a");
    assert_eq!(limpet.client_of("six").get("/").target(), "a");
    assert_eq!(Client::connect_unix(&limpet.path("local.sock")).get("/").target(), "a");
}

#[test]
fn a_port_that_is_taken_is_a_clear_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let target = Target::echo("a");
    let text = config()
        .listener(listener("web").set("address", address.clone()))
        .group(group("app").target("a", &target))
        .text();
    let refused = Limpet::refused(&text, |_| {});
    assert!(!refused.status.success());
    assert!(refused.stderr.contains(&address), "{}", refused.stderr);
    assert!(refused.stderr.contains("in use"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("panicked"), "{}", refused.stderr);
}

#[test]
fn an_address_that_is_not_here_is_a_clear_error() {
    let target = Target::echo("a");
    let text = config()
        .listener(listener("web").set("address", "192.0.2.1:8080"))
        .group(group("app").target("a", &target))
        .text();
    let refused = Limpet::refused(&text, |_| {});
    assert!(!refused.status.success());
    assert!(refused.stderr.contains("192.0.2.1:8080"), "{}", refused.stderr);
}

#[test]
fn a_port_that_another_limpet_has_is_taken() {
    // SO_REUSEPORT lets shards share a port, never two processes by accident.
    let target = Target::echo("a");
    let first = config().serving(&target).start();
    let text = config()
        .listener(listener("web").set("address", first.address().to_string()))
        .group(group("app").target("a", &target))
        .text();
    let refused = Limpet::refused(&text, |_| {});
    assert!(!refused.status.success());
    assert!(refused.stderr.contains(&first.address().to_string()), "{}", refused.stderr);
}

#[test]
fn accepting_survives_running_out_of_descriptors() {
    let target = Target::echo("a");
    let text = config().process("connections", 10_000).serving(&target).text();
    let mut limpet = Limpet::start_with(&text, |command| limit_descriptors(command, 64));
    let connect = |_| Client::try_connect(limpet.address());
    let mut clients: Vec<Client> = (0..100).filter_map(connect).collect();
    // Those at the front are served or turned away, and the process lives.
    let served = clients[..8].iter_mut().filter_map(Client::try_get).count();
    drop(clients);
    let again = poll(|| {
        let status = Client::try_connect(limpet.address())?.try_get()?;
        (status == 200).then_some(())
    });
    assert!(limpet.has_exited().is_none(), "{}", limpet.stderr());
    assert!(again.is_some(), "{served} served before, none after:\n{}", limpet.stderr());
    let lines = limpet.stderr().lines().count();
    assert!(lines < 60, "{lines} lines: one a second is enough");
}

#[test]
fn the_automatic_connection_limit_leaves_room_for_targets() {
    let target = Target::echo("a");
    let text = config().serving(&target).text();
    let limpet = Limpet::start_with(&text, |command| limit_descriptors(command, 100));
    // Idle clients take their places, and the one that was first still reaches a target.
    let connect = |_| Client::try_connect(limpet.address());
    let mut clients: Vec<Client> = (0..100).filter_map(connect).collect();
    assert_eq!(clients[0].get("/").status, 200);
    assert_eq!(clients[1].get("/").status, 200);
}

#[test]
fn a_client_that_resets_at_once_harms_nobody() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    for _ in 0..50 {
        limpet.client().wire.reset().unwrap();
        let mut client = limpet.client();
        client.send("GET / HT");
        client.wire.reset().unwrap();
    }
    assert_eq!(limpet.get("/").target(), "a");
}
