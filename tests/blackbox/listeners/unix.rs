//! Unix sockets that shards share, and the files that stand for them.

use crate::support::kernel::{engines, limit_descriptors};
use crate::support::{Client, Limpet, Target, config, group, listener, poll};

#[test]
fn shards_that_are_out_of_descriptors_at_one_unix_socket_do_not_stop() {
    for engine in engines() {
        let target = Target::echo("a");
        let text = config()
            .process("engine", *engine)
            .process("shards", 2)
            .process("connections", 10_000)
            .listener(listener("local").set("address", "unix:{dir}/local.sock"))
            .listener(listener("web"))
            .group(group("app").target("a", &target))
            .text();
        let limpet = Limpet::start_with(&text, |command| limit_descriptors(command, 64));
        let path = limpet.path("local.sock");
        for _ in 0..4 {
            let mut held: Vec<Client> = (0..100).map(|_| Client::connect_unix(&path)).collect();
            // Some are served, and the others wait or are turned away.
            for client in &mut held {
                client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
            }
            let _ = held[0].wire.read_response("GET");
        }
        // Both shards serve: each gets a share of the connections to the other listener.
        for number in 0..24 {
            let served = poll(|| {
                let status = Client::try_connect(limpet.address_of("web"))?.try_get()?;
                (status == 200).then_some(())
            });
            assert!(served.is_some(), "{engine}, {number}:\n{}", limpet.stderr());
        }
    }
}

#[test]
fn a_change_that_is_refused_leaves_no_socket_file() {
    let target = Target::echo("a");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let base = || config().with_admin().group(group("app").target("a", &target));
    let limpet = base().listener(listener("web")).start();
    let text = base()
        .listener(listener("web"))
        .listener(listener("local").set("address", "unix:{dir}/local.sock"))
        .listener(listener("other").set("address", taken))
        .text();
    limpet.write_config(&text);
    limpet.signal(libc::SIGHUP);
    let said = poll(|| limpet.stderr().contains("cannot listen").then_some(()));
    assert!(said.is_some(), "{}", limpet.stderr());
    assert!(!limpet.path("local.sock").exists());
    assert_eq!(limpet.get("/").target(), "a");
}

#[test]
fn a_start_that_fails_leaves_no_socket_file() {
    let target = Target::echo("a");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("local.sock");
    let text = config()
        .access_log("output", "/nonexistent/folder/access.log")
        .listener(listener("local").set("address", format!("unix:{}", path.display())))
        .group(group("app").target("a", &target))
        .text();
    let refused = Limpet::refused(&text, |_| {});
    assert!(!refused.status.success());
    assert!(!path.exists(), "{}", refused.stderr);
}

#[test]
fn a_listener_that_a_reload_takes_away_takes_its_socket_file() {
    let target = Target::echo("a");
    let base = || config().group(group("app").target("a", &target)).listener(listener("web"));
    let with = base().listener(listener("local").set("address", "unix:{dir}/local.sock"));
    let limpet = with.start();
    let path = limpet.path("local.sock");
    assert_eq!(Client::connect_unix(&path).get("/").target(), "a");
    limpet.write_config(&base().text());
    limpet.signal(libc::SIGHUP);
    assert!(poll(|| (!path.exists()).then_some(())).is_some(), "{}", limpet.stderr());
    limpet.write_config(&with.text());
    limpet.signal(libc::SIGHUP);
    // The file is there a moment before anybody listens.
    let listens = || std::os::unix::net::UnixStream::connect(&path).ok();
    assert!(poll(listens).is_some(), "{}", limpet.stderr());
    assert_eq!(Client::connect_unix(&path).get("/").target(), "a");
}
