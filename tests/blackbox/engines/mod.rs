//! The same data plane on io_uring and on epoll: chosen by the file, or by what the kernel allows.

mod lost;

use crate::support::config::Config;
use crate::support::kernel::{has_io_uring, refuse_io_uring};
use crate::support::{Framing, Limpet, Target, config, group};

fn sticky(engine: &str, targets: &[Target; 2]) -> Config {
    let [a, b] = targets;
    let app = group("app").sticky().target("a", a).target("b", b);
    config().process("engine", engine).process("shards", 2).group(app)
}

/// What every engine must be able to do, in one breath.
#[track_caller]
fn assert_serves(limpet: &Limpet) {
    let mut client = limpet.client();
    let first = client.get("/");
    let cookie = first.set_cookie("limpet_app").expect("the cookie").pair();
    for _ in 0..8 {
        assert_eq!(limpet.client().get_cookie("/", &cookie).target(), first.target());
    }
    let content = "x".repeat(300_000);
    assert_eq!(client.post("/up", content.as_bytes()).echo().content, content);
    client.send(
        "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    assert_eq!(client.response().echo().content, "abc");
    client.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.response().echo().path, "/1");
    assert_eq!(client.response().echo().path, "/2");
    client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.response_to("HEAD").framing, Framing::None);
    client.send("GET / HTTP/1.1\r\nHost : h\r\n\r\n");
    assert_eq!(client.response().status, 400);
    client.assert_closed();
}

fn targets() -> [Target; 2] {
    ["a", "b"].map(Target::echo)
}

#[test]
fn epoll_serves() {
    let targets = targets();
    let mut limpet = sticky("epoll", &targets).start();
    assert_serves(&limpet);
    assert!(limpet.stderr().contains("epoll"), "{}", limpet.stderr());
    assert_eq!(limpet.stop().code(), Some(0));
}

#[test]
fn io_uring_serves_where_the_kernel_has_it() {
    if !has_io_uring() {
        return;
    }
    for engine in ["io_uring", "tokio_uring", "auto"] {
        let targets = targets();
        let mut limpet = sticky(engine, &targets).start();
        assert_serves(&limpet);
        assert!(limpet.stderr().contains("io_uring"), "{}", limpet.stderr());
        assert_eq!(limpet.stop().code(), Some(0));
    }
}

#[test]
fn deadlines_and_tunnels_work_on_epoll() {
    let target = Target::scripted(|connection| {
        if let Some(request) = connection.next_request()? {
            if request.target == "/stall" {
                connection.read_until_closed()?;
            } else {
                connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")?;
                let bytes = connection.read_some()?;
                connection.send(&bytes)?;
            }
        }
        Ok(())
    });
    let app = group("app").set("timeouts.response", "300ms").target("a", &target);
    let limpet = config().process("engine", "epoll").group(app).start();
    assert_eq!(limpet.get("/stall").status, 504);
    let mut client = limpet.client();
    let response = client.get_with("/", "Connection: Upgrade\r\nUpgrade: websocket\r\n");
    assert_eq!(response.status, 101);
    client.send("ping");
    assert_eq!(client.wire.read_to_end().unwrap(), b"ping");
}

#[test]
fn auto_falls_back_to_epoll_where_io_uring_is_refused_and_says_so() {
    let targets = targets();
    let mut limpet = Limpet::start_with(&sticky("auto", &targets).text(), refuse_io_uring);
    assert_serves(&limpet);
    let stderr = limpet.stderr();
    assert!(stderr.contains("io_uring") && stderr.contains("epoll"), "{stderr}");
    assert_eq!(limpet.stop().code(), Some(0));
}

#[test]
fn io_uring_that_is_asked_for_and_refused_is_a_clear_error() {
    let targets = targets();
    let refused = Limpet::refused(&sticky("io_uring", &targets).text(), refuse_io_uring);
    assert!(!refused.status.success());
    assert!(refused.status.code().is_some(), "ended by a signal: {:?}", refused.status);
    assert!(refused.stderr.contains("io_uring"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("panicked"), "{}", refused.stderr);
}
