//! Kept connections to targets: reused last in first out, bounded, given up when idle too long.

use std::time::Duration;

use crate::support::kernel::engines;
use crate::support::{Target, config, group, poll};

#[test]
fn requests_one_after_another_share_a_target_connection() {
    let target = Target::echo("a");
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    (0..20).for_each(|_| drop(client.get("/")));
    (0..20).for_each(|_| drop(limpet.get("/")));
    assert_eq!(target.connection_count(), 1, "the pool belongs to the shard, not to the client");
}

#[test]
fn an_idle_pool_of_none_connects_anew_each_time() {
    let target = Target::echo("a");
    let app = group("app").set("pool.idle_per_shard", 0).target("a", &target);
    let limpet = config().group(app).start();
    let mut client = limpet.client();
    (0..3).for_each(|_| drop(client.get("/")));
    assert_eq!(target.connection_count(), 3);
    target.wait_until_idle();
}

#[test]
fn an_idle_target_connection_is_closed_after_its_time() {
    let target = Target::echo("a");
    let app = group("app").set("timeouts.idle", "200ms").target("a", &target);
    let limpet = config().group(app).start();
    assert_eq!(limpet.get("/").status, 200);
    target.wait_until_idle();
    assert_eq!(limpet.get("/").status, 200);
    assert_eq!(target.connection_count(), 2);
}

#[test]
fn the_targets_keep_alive_field_shortens_the_idle_time() {
    let target = Target::echo_with("a", |_| "Keep-Alive: timeout=1\r\n".to_owned());
    let app = group("app").set("timeouts.idle", "1h").target("a", &target);
    let limpet = config().group(app).start();
    assert_eq!(limpet.get("/").status, 200);
    target.wait_until_idle();
}

#[test]
fn no_more_idle_connections_are_kept_than_the_file_says() {
    let barrier = std::sync::Arc::new(std::sync::Barrier::new(6));
    let at = barrier.clone();
    let target = Target::scripted(move |connection| {
        while let Some(request) = connection.next_request()? {
            if request.target == "/together" {
                at.wait();
            }
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
        Ok(())
    });
    let app =
        group("app").set("pool.idle_per_shard", 2).set("timeouts.idle", "1h").target("a", &target);
    let limpet = config().group(app).start();
    let mut clients: Vec<_> = (0..6).map(|_| limpet.client()).collect();
    for client in &mut clients {
        client.send("GET /together HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    }
    clients.iter_mut().for_each(|client| assert_eq!(client.response().text(), "ok"));
    assert_eq!(target.connection_count(), 6);
    target.wait_for_open(2);
    // The two that were kept still serve.
    assert_eq!(limpet.get("/").text(), "ok");
    assert_eq!(target.connection_count(), 6);
}

#[test]
fn a_connection_that_the_target_closed_while_idle_is_noticed() {
    let (closed, was_closed) = std::sync::mpsc::channel();
    let target = Target::scripted(move |connection| {
        connection.next_request()?;
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        connection.finish()?;
        let _ = closed.send(());
        connection.read_until_closed().map(drop)
    });
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    for _ in 0..5 {
        assert_eq!(client.get("/").text(), "ok");
        was_closed.recv_timeout(Duration::from_secs(10)).expect("the target closed");
    }
    assert_eq!(target.connection_count(), 5);
}

/// Descriptors that a process has open.
fn descriptors(id: u32) -> usize {
    std::fs::read_dir(format!("/proc/{id}/fd")).expect("its descriptors").count()
}

#[test]
fn a_connection_that_a_target_closes_gives_its_descriptor_back() {
    for engine in engines() {
        // Once it says so, once it does so, and once that is how content ends.
        let target = Target::scripted(|connection| {
            let Some(request) = connection.next_request()? else { return Ok(()) };
            connection.send(match &*request.target {
                "/says" => {
                    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\na".as_slice()
                }
                "/does" => b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
                _ => b"HTTP/1.1 200 OK\r\n\r\na",
            })
        });
        let limpet = config().process("engine", *engine).serving(&target).start();
        let mut client = limpet.client();
        client.get("/says");
        let before = descriptors(limpet.id());
        for _ in 0..50 {
            for path in ["/says", "/does", "/until-close"] {
                assert_eq!(client.get(path).status, 200, "{engine}: {path}");
            }
        }
        let now = poll(|| Some(descriptors(limpet.id())).filter(|now| *now <= before + 3));
        assert!(now.is_some(), "{engine}: {before} at first, {} now", descriptors(limpet.id()));
    }
}
