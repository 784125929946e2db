//! Responses that come whole before their request has: they reach the client whole, and their connections go on.

use std::sync::{Arc, Mutex};

use super::{app, before, clear};
use crate::support::frames::{self, ByHand, data, fields};
use crate::support::http2::{RST_STREAM, frame};
use crate::support::{Limpet, Target, config};

const NO_ERROR: [u8; 4] = [0; 4];
/// As much as the window of a stream that was never opened further.
const WINDOW_BYTES: usize = 65_535;
const LARGE: &[u8] = &[b'x'; 15_000];

/// Frames of an early response, in sends of their own.
type Sends = fn(u32) -> Vec<Vec<u8>>;

fn refusal(stream: u32, content: &[&[u8]]) -> Vec<u8> {
    let mut frames = fields(stream, &[(":status", "413")], content.is_empty());
    for (at, piece) in content.iter().enumerate() {
        frames.extend(data(stream, piece, at + 1 == content.len()));
    }
    frames
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &NO_ERROR)
}

/// Path, length of the content, frames.
const EARLY: [(&str, usize, Sends); 6] = [
    ("/at-once", 2, |stream| vec![[refusal(stream, &[b"no"]), reset(stream)].concat()]),
    ("/later", 2, |stream| vec![refusal(stream, &[b"no"]), reset(stream)]),
    ("/end-alone", 2, |stream| vec![refusal(stream, &[b"no", b""]), reset(stream)]),
    ("/empty", 0, |stream| vec![[refusal(stream, &[]), reset(stream)].concat()]),
    ("/large", 60_000, |stream| vec![[refusal(stream, &[LARGE; 4]), reset(stream)].concat()]),
    ("/no-reset", 2, |stream| vec![refusal(stream, &[b"no"])]),
];

/// A target that answers a POST as soon as it has the head, and never opens a window.
fn hasty() -> Target {
    frames::target([], |connection, request| {
        let stream = request.stream;
        match EARLY.iter().find(|(path, ..)| request.says(&format!("{path}?"))) {
            None => connection.send(&fields(stream, &[(":status", "204")], true)),
            Some((.., sends)) => {
                sends(stream).iter().try_for_each(|frames| connection.send(frames))
            }
        }
    })
}

/// Sees an early response to an upload of which so many bytes are sent, and that its connection goes on behind it.
#[track_caller]
fn assert_early(client: &mut ByHand, path: &str, (sent, received): (usize, usize)) {
    let stream = client.post(path, &[]);
    for piece in vec![b'u'; sent].chunks(16_384) {
        client.send(data(stream, piece, false));
    }
    let (status, content) = client.response(stream);
    assert_eq!((status, content.len()), (413, received), "{path} of {sent}");
    let last = client.next(stream);
    assert_eq!((last.kind, last.code()), (RST_STREAM, 0), "{path} of {sent}");
    // What was on its way.
    client.send(data(stream, b"late", true));
    assert_eq!(client.status("/good"), 204, "behind {path} of {sent}");
}

#[test]
fn a_client_of_http_2_gets_the_response_its_end_and_then_a_reset_that_is_no_error() {
    let target = hasty();
    let limpet = before(&target);
    for sent in [0, 4, WINDOW_BYTES] {
        for (path, received, _) in EARLY {
            // An upload of that size leaves its connection no window.
            let mut client = ByHand::new(&limpet);
            assert_early(&mut client, &format!("{path}?"), (sent, received));
        }
    }
    let mut client = ByHand::new(&limpet);
    for (path, received, _) in EARLY {
        assert_early(&mut client, &format!("{path}?"), (4, received));
    }
    assert_eq!(target.connection_count(), 1);
}

#[test]
fn the_early_response_of_a_target_of_http_1_ends_in_the_same_order() {
    let target = Target::scripted(|connection| {
        while let Some(request) = connection.next_head()? {
            if request.method == "POST" {
                connection.send(b"HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno")?;
                return connection.read_until_closed().map(drop);
            }
            connection.send(b"HTTP/1.1 204 No Content\r\n\r\n")?;
        }
        Ok(())
    });
    let limpet = config().listener(clear("web")).group(app().target("a", &target)).start();
    let mut client = ByHand::new(&limpet);
    for sent in [0, 4] {
        assert_early(&mut client, "/early", (sent, 2));
    }
}

#[test]
fn a_client_of_http_1_gets_the_whole_response_and_then_the_end() {
    let target = hasty();
    let limpet = before(&target);
    for (path, received, _) in EARLY {
        for framing in [
            "Content-Length: 1000000\r\n\r\nsome",
            "Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n",
        ] {
            let mut client = limpet.client();
            client.send(format!("POST {path}? HTTP/1.1\r\nHost: limpet.test\r\n{framing}"));
            let response = client.response();
            assert_eq!((response.status, response.content.len()), (413, received), "{path}");
            client.assert_closed();
        }
    }
    assert_eq!(limpet.get("/good").status, 204);
    assert_eq!(target.connection_count(), 1);
}

#[test]
fn a_target_that_goes_on_taking_content_is_told_that_no_more_comes() {
    let words = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&words);
    let target = frames::target([], move |connection, request| {
        connection.send(&refusal(request.stream, &[b"no"]))?;
        let reset = frames::received_of(connection, RST_STREAM)?;
        assert_eq!(reset.stream, request.stream);
        heard.lock().unwrap().push(reset.code());
        Ok(())
    });
    let limpet = before(&target);
    let mut client = ByHand::new(&limpet);
    for _ in 0..2 {
        let stream = client.post("/", &[]);
        client.send(data(stream, b"some", false));
        assert_eq!(client.response(stream), (413, b"no".to_vec()));
        assert_eq!(client.next(stream).kind, RST_STREAM);
        early_of_http_1(&limpet);
    }
    assert_eq!(*words.lock().unwrap(), [0; 4]);
    assert_eq!(target.connection_count(), 1);
}

fn early_of_http_1(limpet: &Limpet) {
    let mut client = limpet.client();
    client.send("POST / HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 9\r\n\r\nsome");
    assert_eq!(client.response().status, 413);
    client.assert_closed();
}
