//! An upgrade whose request has content: the content comes first, then the upgrade, and no byte of either is
//! lost. RFC 9110 §7.8.

use std::time::Duration;

use super::{SWITCH, start};
use crate::support::{Client, Limpet, Target, config, group, listener};

/// The request's head, its content as it is framed, and what the target is to make of it.
const FRAMINGS: [(&str, &str); 2] = [
    ("Content-Length: 10", "ten bytes!"),
    ("Transfer-Encoding: chunked", "a\r\nten bytes!\r\n0\r\n\r\n"),
];

fn ask(framing: &str) -> String {
    format!(
        "POST /chat HTTP/1.1\r\nHost: limpet.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{framing}\r\n\r\n"
    )
}

/// When a target agrees.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Agrees {
    AfterContent,
    BeforeContent,
}

/// Agrees, reads the content, and sends back what comes in the tunnel behind a greeting.
fn echo(agrees: Agrees) -> Target {
    Target::scripted(move |connection| {
        let Some(mut request) = connection.next_head()? else { return Ok(()) };
        if agrees == Agrees::BeforeContent {
            connection.send(&[SWITCH, b"hello "].concat())?;
        }
        connection.read_request_content(&mut request)?;
        assert_eq!(request.content, b"ten bytes!");
        if agrees == Agrees::AfterContent {
            connection.send(&[SWITCH, b"hello "].concat())?;
        }
        loop {
            let bytes = connection.read_some()?;
            if bytes.is_empty() {
                return connection.send(b" farewell");
            }
            connection.send(&bytes)?;
        }
    })
}

#[track_caller]
fn assert_tunnel(client: &mut Client) {
    assert_eq!(client.response().status, 101);
    client.send(" in the tunnel");
    client.wire.finish().unwrap();
    let expected = b"hello first words in the tunnel farewell";
    assert_eq!(client.wire.read_to_end().unwrap(), expected);
}

#[test]
fn bytes_that_come_with_the_contents_end_are_the_tunnels_first() {
    for agrees in [Agrees::AfterContent, Agrees::BeforeContent] {
        let target = echo(agrees);
        let limpet = start(&target, &[]);
        for (count, (framing, content)) in (1..).zip(FRAMINGS) {
            let mut client = limpet.client();
            client.send(ask(framing));
            // So that the content comes by itself, and not with the head.
            target.wait_for_requests(count);
            client.send(format!("{content}first words"));
            assert_tunnel(&mut client);
        }
    }
}

#[test]
fn content_in_pieces_comes_before_the_tunnels_bytes_also_when_the_target_agrees_at_once() {
    for agrees in [Agrees::AfterContent, Agrees::BeforeContent] {
        let target = echo(agrees);
        let limpet = start(&target, &[]);
        for (count, (framing, content)) in (1..).zip(FRAMINGS) {
            let mut client = limpet.client();
            let (first, rest) = content.split_at(5);
            client.send(ask(framing) + first);
            target.wait_for_requests(count);
            // So that the target has most likely agreed by now.
            crate::support::pause(Duration::from_millis(100));
            for byte in rest.bytes() {
                client.send([byte]);
            }
            client.send("first words");
            assert_tunnel(&mut client);
        }
    }
}

#[test]
fn bytes_behind_content_that_came_with_the_head_are_the_tunnels_first() {
    for agrees in [Agrees::AfterContent, Agrees::BeforeContent] {
        let target = echo(agrees);
        let limpet = start(&target, &[]);
        for (framing, content) in FRAMINGS {
            let mut client = limpet.client();
            client.send(ask(framing) + content + "first words");
            assert_tunnel(&mut client);
        }
    }
}

#[test]
fn much_content_comes_whole_before_much_in_the_tunnel() {
    let length = 4 << 20;
    let target = Target::scripted(move |connection| {
        let Some(mut request) = connection.next_head()? else { return Ok(()) };
        connection.send(SWITCH)?;
        connection.read_request_content(&mut request)?;
        assert!(request.content.len() == length && request.content.iter().all(|b| *b == b'c'));
        let bytes = connection.read_exactly(length)?;
        assert!(bytes.iter().all(|b| *b == b't'));
        connection.send(b"all of it")
    });
    let limpet = start(&target, &[]);
    let mut client = limpet.client();
    client.send(ask(&format!("Content-Length: {length}")));
    let mut writer = client.wire.writer().unwrap();
    let bytes = [vec![b'c'; length], vec![b't'; length]].concat();
    let sending = std::thread::spawn(move || writer.send(&bytes));
    assert_eq!(client.response().status, 101);
    assert_eq!(client.wire.read_to_end().unwrap(), b"all of it");
    sending.join().unwrap().unwrap();
}

/// A target that agrees at once and reports all that reached it behind the head.
fn agreeing_at_once(settings: &[(&str, toml::Value)]) -> (Target, Limpet) {
    let target = Target::scripted(|connection| {
        connection.next_head()?;
        connection.send(SWITCH)?;
        connection.read_until_closed().map(drop)
    });
    let web =
        settings.iter().fold(listener("web"), |web, (key, value)| web.set(key, value.clone()));
    let limpet = config().listener(web).group(group("app").target("a", &target)).start();
    (target, limpet)
}

#[test]
fn content_that_never_ends_makes_no_tunnel() {
    let (target, limpet) = agreeing_at_once(&[("timeouts.content_idle", "300ms".into())]);
    let mut client = limpet.client();
    client.send(ask("Content-Length: 10") + "ten");
    assert_eq!(client.response().status, 408);
    target.wait_until_idle();
    assert!(target.received()[0].ends_with("\r\n\r\nten"), "{}", target.received()[0]);
}

#[test]
fn invalid_content_makes_no_tunnel() {
    let (target, limpet) = agreeing_at_once(&[]);
    let mut client = limpet.client();
    client.send(ask("Transfer-Encoding: chunked"));
    target.wait_for_requests(1);
    client.send("not a chunk\r\nfirst words");
    assert_eq!(client.response().status, 400);
    target.wait_until_idle();
    assert!(!target.received()[0].contains("first words"), "{}", target.received()[0]);
}

#[test]
fn a_target_that_agrees_and_goes_before_the_content_was_sent_is_a_502() {
    let target = Target::scripted(|connection| {
        connection.next_head()?;
        connection.send(SWITCH)?;
        connection.reset_at_end()
    });
    let limpet = start(&target, &[]);
    let mut client = limpet.client();
    client.send(ask("Content-Length: 1000000"));
    target.wait_for_requests(1);
    target.wait_until_idle();
    let mut writer = client.wire.writer().unwrap();
    let sending = std::thread::spawn(move || writer.send(&vec![b'x'; 1_000_000]));
    assert_eq!(client.response().status, 502);
    drop(sending.join());
}
