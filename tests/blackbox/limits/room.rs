//! Where the process is full, or short of descriptors, what is idle longest makes room for who is new.

use std::time::Duration;

use crate::support::http2_target::{Http2Target, answer};
use crate::support::kernel::{engines, limit_descriptors};
use crate::support::{Client, Limpet, Target, config, group, listener, pause, poll};

/// Clients that have each had an answer, one after the other, and stay.
#[track_caller]
fn kept(limpet: &Limpet, count: usize) -> Vec<Client> {
    let visit = |number| {
        let mut client = limpet.client();
        let status = client.try_get();
        assert_eq!(status, Some(200), "client {number}:\n{}", limpet.stderr());
        client
    };
    (0..count).map(visit).collect()
}

#[test]
fn idle_connections_make_room_for_new_ones_when_the_process_is_full() {
    for engine in engines() {
        let target = Target::echo("a");
        let limpet = config()
            .process("engine", *engine)
            .process("shards", 2)
            .process("connections", 20)
            .serving(&target)
            .start();
        let _idle = kept(&limpet, 20);
        let _new = kept(&limpet, 20);
    }
}

#[test]
fn a_new_connection_is_served_wherever_the_idle_ones_are() {
    let target = Target::echo("a");
    let limpet = config().process("shards", 4).process("connections", 1).serving(&target).start();
    // Each closes the one before, which another shard has more often than not.
    let _all = kept(&limpet, 10);
}

#[test]
fn the_connection_that_is_idle_longest_closes_first() {
    let target = Target::echo("a");
    let limpet = config().process("connections", 3).serving(&target).start();
    let mut clients = kept(&limpet, 1);
    for _ in 0..2 {
        pause(Duration::from_millis(300));
        clients.extend(kept(&limpet, 1));
    }
    pause(Duration::from_millis(300));
    assert_eq!(clients[0].get("/").status, 200, "now the second has been idle longest");
    pause(Duration::from_millis(300));
    let mut new = limpet.client();
    assert_eq!(new.get("/").status, 200);
    clients[1].assert_closed();
    for client in [&mut new, &mut clients[2]] {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!(clients[0].get("/").status, 200);
}

#[test]
fn requests_in_flight_and_tunnels_are_not_closed_for_new_connections() {
    let target = Target::scripted(|connection| {
        while let Some(request) = connection.next_request()? {
            if request.target == "/tunnel" {
                connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")?;
                let bytes = connection.read_some()?;
                return connection.send(&bytes);
            }
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
        }
        Ok(())
    });
    let limpet = config().process("connections", 3).serving(&target).start();
    let mut uploading = limpet.client();
    uploading.send("POST / HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 2\r\n\r\n1");
    let mut tunnel = limpet.client();
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    assert_eq!(tunnel.get_with("/tunnel", upgrade).status, 101);
    assert!(poll(|| (target.connection_count() == 2).then_some(())).is_some());
    // The third place changes hands, and they keep theirs.
    let _all = kept(&limpet, 5);
    assert_eq!(uploading.send("2").response().status, 200);
    tunnel.send("ping");
    assert_eq!(tunnel.wire.read_to_end().unwrap(), b"ping");
}

#[test]
fn connections_that_never_say_anything_make_room() {
    let target = Target::echo("a");
    let limpet = config().process("connections", 4).process("shards", 2).serving(&target).start();
    let _silent: Vec<Client> = (0..6).map(|_| limpet.client()).collect();
    let _all = kept(&limpet, 4);
}

#[test]
fn connections_that_announce_nobody_make_room() {
    let target = Target::echo("a");
    let announced =
        listener("announced").set("proxy_protocol", "v1").set("proxy_protocol_from", "any");
    let limpet = config()
        .process("connections", 2)
        .listener(listener("web"))
        .listener(announced)
        .serving(&target)
        .start();
    let _silent = [limpet.client_of("announced"), limpet.client_of("announced")];
    let _all = kept(&limpet, 2);
    assert!(!limpet.stderr().contains("without the PROXY header"), "{}", limpet.stderr());
}

#[test]
fn idle_connections_make_room_when_descriptors_are_short() {
    for engine in engines() {
        let target = Target::echo("a");
        let text = config()
            .process("engine", *engine)
            .process("shards", 2)
            .process("connections", 10_000)
            .serving(&target)
            .text();
        let limpet = Limpet::start_with(&text, |command| limit_descriptors(command, 96));
        let _idle = kept(&limpet, 150);
        let _new = kept(&limpet, 20);
    }
}

#[test]
fn idle_connections_to_targets_close_before_those_to_clients() {
    let target = Target::echo("a");
    let mut app = group("app").set("pool.idle_per_shard", 100);
    app = app.set("algorithm", "round_robin");
    let targets: Vec<Target> = (0..40).map(|_| Target::echo("b")).collect();
    for (number, one) in targets.iter().chain([&target]).enumerate() {
        app = app.target(&format!("t{number}"), one);
    }
    let text = config().process("connections", 10_000).group(app).text();
    let limpet = Limpet::start_with(&text, |command| limit_descriptors(command, 128));
    // One client visits every target, and leaves a connection to each.
    let mut visitor = limpet.client();
    for _ in 0..41 {
        assert_eq!(visitor.get("/").status, 200);
    }
    // All of these find descriptors, and none of them loses its connection.
    let mut clients = kept(&limpet, 60);
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.get("/").status, 200, "{number}");
    }
    assert_eq!(visitor.get("/").status, 200);
}

#[test]
fn so_do_those_that_requests_share() {
    let targets: Vec<Http2Target> =
        (0..20).map(|_| Http2Target::start(|_| answer(200, "shared"))).collect();
    let mut app = group("app").set("protocol_version", "http2").set("algorithm", "round_robin");
    for (number, one) in targets.iter().enumerate() {
        app = app.target_at(&format!("t{number}"), &one.address(), "");
    }
    let text = config().process("connections", 10_000).group(app).text();
    let limpet = Limpet::start_with(&text, |command| limit_descriptors(command, 104));
    let mut visitor = limpet.client();
    let visit_all = |visitor: &mut Client| {
        for _ in 0..20 {
            assert_eq!(visitor.get("/").status, 200);
        }
    };
    visit_all(&mut visitor);
    let made = || targets.iter().map(Http2Target::connections).sum::<usize>();
    assert_eq!(made(), 20, "one connection each");
    let mut clients = kept(&limpet, 60);
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.get("/").status, 200, "{number}");
    }
    visit_all(&mut visitor);
    assert!(made() > 20, "none was ended for another");
}

#[test]
fn what_was_closed_for_others_is_counted() {
    let target = Target::echo("a");
    let limpet = config().with_admin().process("connections", 2).serving(&target).start();
    let _all = kept(&limpet, 5);
    let (_, metrics) = limpet.admin().ask("GET", "/metrics", "", "");
    let name = "limpet_client_connections_reclaimed_total ";
    let count = metrics.lines().find_map(|line| line.strip_prefix(name)).map(str::parse);
    let Some(Ok(count)) = count else { panic!("{metrics}") };
    let count: u32 = count;
    assert!(count >= 3, "{count}");
}
