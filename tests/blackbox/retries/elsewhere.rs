//! What is written for a target is written anew when the request goes to another one.

use std::sync::{Mutex, mpsc};

use crate::support::target::echo_response;
use crate::support::wire::DEADLINE;
use crate::support::{Limpet, Target, config, group, listener};

const SPLIT: &str = "name = \"split\"\npriority = 1\nwhen.path = [\"/*\"]\n[listener.rule.forward]\ngroups = [{ group = \"blue\", weight = 1 }, { group = \"green\", weight = 1 }]";

/// Two groups with a word of their own on everything; the first one's only target refuses.
fn split(blue: &Target, green: &Target) -> Limpet {
    let blue = group("blue").sticky().set("upgrades", false).target("blue", blue);
    let green = group("green").sticky().set("upgrades", true).target("green", green);
    let web = listener("web").set("forward", "green").rule(SPLIT);
    config().listener(web).group(blue).group(green).start()
}

/// Asks until a request has been tried at the other group first, which half of them are.
fn until_failed_over(limpet: &Limpet, mut ask: impl FnMut()) {
    for count in 1..=64 {
        ask();
        if limpet.record(count).retries() > 0.0 {
            return;
        }
    }
    panic!("64 requests, and none was tried at the other group first");
}

#[test]
fn another_groups_permission_to_upgrade_counts_after_a_fail_over() {
    let blue = Target::refusing("blue");
    let green = Target::scripted(|connection| {
        connection.next_request()?;
        connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        )
    });
    let limpet = split(&blue, &green);
    until_failed_over(&limpet, || {
        let mut client = limpet.client();
        client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        assert_eq!(client.response().status, 101);
        assert_eq!(green.last_request().fields.one("upgrade"), Some("websocket"));
        let _ = client.read_rest();
    });
}

#[test]
fn an_upgrade_is_not_asked_of_a_group_that_does_not_allow_it_after_a_fail_over() {
    let (green, blue) = (Target::refusing("green"), Target::echo("blue"));
    let limpet = split(&blue, &green);
    until_failed_over(&limpet, || {
        let response =
            limpet.client().get_with("/", "Connection: Upgrade\r\nUpgrade: websocket\r\n");
        assert_eq!(response.target(), "blue");
        assert!(!blue.last_request().fields.has("upgrade"), "{}", blue.last_request().head);
    });
}

#[test]
fn each_groups_own_cookie_is_kept_from_its_targets_after_a_fail_over() {
    let (blue, green) = (Target::refusing("blue"), Target::echo("green"));
    let limpet = split(&blue, &green);
    until_failed_over(&limpet, || {
        let cookies = "limpet_blue=b; theme=dark; limpet_green=g";
        assert_eq!(limpet.client().get_cookie("/", cookies).target(), "green");
        let seen = green.last_request();
        assert_eq!(seen.fields.one("cookie"), Some("limpet_blue=b; theme=dark"));
    });
}

#[test]
fn a_request_keeps_its_id_and_its_content_when_it_fails_over() {
    let (blue, green) = (Target::refusing("blue"), Target::echo("green"));
    let limpet = split(&blue, &green);
    let mut count = 0;
    until_failed_over(&limpet, || {
        count += 1;
        let mut client = limpet.client();
        client.send("POST //a/../b HTTP/1.1\r\nHost: limpet.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
        let echo = client.response().echo();
        assert_eq!((&*echo.content, &*echo.path), ("hello world", "/b"));
        let seen = green.last_request();
        let id = seen.fields.one("x-request-id").expect("an id").to_owned();
        assert_eq!(limpet.record(count).text("request_id"), id);
    });
}

#[test]
fn a_client_that_names_no_host_is_given_that_of_the_target_that_is_asked() {
    let (down, up) = (Target::refusing("down"), Target::echo("up"));
    let limpet = config().group(group("app").target("down", &down).target("up", &up)).start();
    for _ in 0..4 {
        let mut client = limpet.client();
        client.send("POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(client.response().echo().content, "hello");
        assert_eq!(up.last_request().fields.one("host"), Some(&*up.address()));
    }
    assert!(limpet.access_log(4).iter().any(|record| record.retries() > 0.0));
}

#[test]
fn a_client_that_names_no_host_is_given_that_of_the_target_that_has_room() {
    let targets = ["a", "b"].map(|id| {
        let (open, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let target = Target::answering(move |request| {
            if request.target == "/hold" {
                let _ = gate.lock().expect("one at a time").recv_timeout(DEADLINE);
            }
            echo_response(id, request, "")
        });
        (target, open)
    });
    let app = group("app")
        .sticky()
        .set("connection_limit", 1)
        .set("on_full", "spill")
        .target("a", &targets[0].0)
        .target("b", &targets[1].0);
    let limpet = config().group(app).start();
    let first = limpet.get("/");
    let cookie = first.set_cookie("limpet_app").expect("a new user's cookie").pair();
    let (home, free) = if first.target() == "a" { (0, 1) } else { (1, 0) };
    let (free, count) = (&targets[free].0, targets[home].0.request_count());
    let mut holding = limpet.client();
    holding.send(format!("GET /hold HTTP/1.1\r\nHost: limpet.test\r\nCookie: {cookie}\r\n\r\n"));
    targets[home].0.wait_for_requests(count + 1);
    let mut client = limpet.client();
    client.send(format!("GET / HTTP/1.0\r\nCookie: {cookie}\r\n\r\n"));
    assert_eq!(client.response().status, 200);
    assert_eq!(free.last_request().fields.one("host"), Some(&*free.address()));
    targets[home].1.send(()).expect("the target waits");
    assert_eq!(holding.response().status, 200);
}
