//! Answers of limpet's own to requests whose content nobody reads: it is drained within a bound or
//! the connection closes; what is left is never parsed as a request.

use super::SMUGGLED;
use crate::support::{Limpet, Target, config, group, listener};

/// `/ping` is answered, `/old` redirected, `/down` has no usable target, the rest is forwarded.
fn answering() -> (Limpet, Target) {
    let target = Target::echo("a");
    let down = Target::refusing("b");
    let web = listener("web")
        .rule("priority = 1\nwhen.path = [\"/ping\"]\nrespond = { body = \"pong\" }")
        .rule("priority = 2\nwhen.path = [\"/old\"]\nredirect = { to = \"https://new.test/\" }")
        .rule("priority = 3\nwhen.path = [\"/down\"]\nforward = \"down\"");
    let limpet = config()
        .listener(web.set("forward", "app"))
        .group(group("app").target("a", &target))
        .group(group("down").target("b", &down))
        .start();
    (limpet, target)
}

const ANSWERED: [(&str, u16); 3] = [("/ping", 200), ("/old", 302), ("/down", 502)];

#[test]
fn content_of_known_length_behind_an_answer_is_never_a_request() {
    let (limpet, target) = answering();
    for (path, status) in ANSWERED {
        let mut client = limpet.client();
        let length = SMUGGLED.len();
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"
        ));
        assert_eq!(client.response().status, status, "{path}");
        client.send("GET /next HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
        // Either drained, then /next is served; or closed, then nothing more comes.
        if let Ok(response) = client.wire.read_response("GET") {
            assert_eq!(response.echo().path, "/next", "{path}");
        }
    }
    assert!(target.requests().iter().all(|request| request.target == "/next"));
}

#[test]
fn chunked_content_behind_an_answer_is_never_a_request() {
    let (limpet, target) = answering();
    for (path, status) in ANSWERED {
        let mut client = limpet.client();
        let size = SMUGGLED.len();
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: limpet.test\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"
        ));
        assert_eq!(client.response().status, status, "{path}");
        client.send("GET /next HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
        if let Ok(response) = client.wire.read_response("GET") {
            assert_eq!(response.echo().path, "/next", "{path}");
        }
    }
    assert!(target.requests().iter().all(|request| request.target == "/next"));
}

#[test]
fn content_that_is_announced_and_never_sent_does_not_swallow_or_become_a_request() {
    let (limpet, target) = answering();
    let mut client = limpet.client();
    client.send("POST /ping HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 1000000000\r\n\r\n");
    assert_eq!(client.response().status, 200);
    client.send(SMUGGLED);
    client.assert_closed();
    assert_eq!(target.request_count(), 0);
}

#[test]
fn invalid_chunks_behind_an_answer_close_the_connection() {
    let (limpet, target) = answering();
    let mut client = limpet.client();
    client.send(format!(
        "POST /ping HTTP/1.1\r\nHost: limpet.test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{SMUGGLED}"
    ));
    assert!(matches!(client.response().status, 200 | 400));
    client.assert_closed();
    assert_eq!(target.request_count(), 0);
}
