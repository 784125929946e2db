//! Responses that come whole before their request has: they reach the client whole, and their connections go on.

use std::sync::{Arc, Mutex, mpsc};

use super::{app, before, clear};
use crate::support::http2::{DATA, RST_STREAM, frame};
use crate::support::http2_by_hand::{self as by_hand, ByHand, data, fields};
use crate::support::wire::DEADLINE;
use crate::support::{Client, Target, config, poll};

const NO_ERROR: [u8; 4] = [0; 4];
const CANCEL: u32 = 8;
/// As much as the windows of a connection and of a stream allow that nobody opens further.
const WINDOW_BYTES: usize = 65_535;
/// Two such are nearly as much as a stream of limpet's takes at first.
const HALF: &[u8] = &[b'x'; 8_000];

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
    ("/large", 16_000, |stream| vec![[refusal(stream, &[HALF; 2]), reset(stream)].concat()]),
    ("/no-reset", 2, |stream| vec![refusal(stream, &[b"no"])]),
];

/// A target that answers a POST as soon as it has the head, and never opens a window.
fn hasty() -> Target {
    by_hand::target(&[], |connection, request| {
        let stream = request.stream;
        match EARLY.iter().find(|(path, ..)| request.says(&format!("{path}?"))) {
            None => connection.send(&fields(stream, &[(":status", "204")], true)),
            Some((.., sends)) => {
                sends(stream).iter().try_for_each(|frames| connection.send(frames))
            }
        }
    })
}

/// Sees a whole early response to an upload of which so many bytes are sent, and gives its stream.
#[track_caller]
fn early(client: &mut ByHand, path: &str, (sent, received): (usize, usize)) -> u32 {
    let stream = client.post(path, &[]);
    for piece in vec![b'u'; sent].chunks(16_384) {
        client.send(data(stream, piece, false));
    }
    let (status, content) = client.response(stream);
    assert_eq!((status, content.len()), (413, received), "{path} of {sent}");
    stream
}

/// Sees the stream's reset, behind its end, and that the connection goes on.
#[track_caller]
fn assert_reset(client: &mut ByHand, stream: u32) {
    let last = client.next(stream);
    assert_eq!((last.kind, last.code()), (RST_STREAM, 0));
    // What was on its way.
    client.send(data(stream, b"late", true));
    assert_eq!(client.status("/good"), 204);
}

#[test]
fn a_client_of_http_2_gets_the_response_its_end_and_then_a_reset_that_is_no_error() {
    let target = hasty();
    let limpet = before(&target);
    let mut clients = Vec::new();
    for sent in [0, 4, WINDOW_BYTES] {
        for (path, received, _) in EARLY {
            let mut client = ByHand::new(&limpet);
            let stream = early(&mut client, &format!("{path}?"), (sent, received));
            clients.push((client, stream));
        }
    }
    for (client, stream) in &mut clients {
        assert_reset(client, *stream);
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
        let stream = early(&mut client, "/early", (sent, 2));
        assert_reset(&mut client, stream);
    }
}

#[test]
fn a_client_of_http_1_gets_the_whole_response_and_then_the_end() {
    let target = hasty();
    let limpet = before(&target);
    let mut clients = Vec::new();
    for (path, received, _) in EARLY {
        for framing in [
            "Content-Length: 1000000\r\n\r\nsome",
            "Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n",
        ] {
            let mut client = limpet.client();
            client.send(format!("POST {path}? HTTP/1.1\r\nHost: limpet.test\r\n{framing}"));
            let response = client.response();
            assert_eq!((response.status, response.content.len()), (413, received), "{path}");
            clients.push(client);
        }
    }
    clients.iter_mut().for_each(Client::assert_closed);
    assert_eq!(limpet.get("/good").status, 204);
    assert_eq!(target.connection_count(), 1);
}

#[test]
fn a_target_that_goes_on_taking_content_is_told_that_no_more_comes() {
    let words = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&words);
    let target = by_hand::target(&[], move |connection, request| {
        connection.send(&refusal(request.stream, &[b"no"]))?;
        let reset = by_hand::received_of(connection, RST_STREAM)?;
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

        let mut first = limpet.client();
        first.send("POST / HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 9\r\n\r\nsome");
        assert_eq!(first.response().status, 413);
    }
    assert!(poll(|| (words.lock().unwrap().len() == 4).then_some(())).is_some());
    assert_eq!(*words.lock().unwrap(), [CANCEL; 4]);
    assert_eq!(target.connection_count(), 1);
}

#[test]
fn the_rest_of_a_response_that_has_begun_is_not_lost_to_the_reset_behind_it() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let target = by_hand::target(&[], move |connection, request| {
        let stream = request.stream;
        connection.send(&fields(stream, &[(":status", "413")], false))?;
        connection.send(&data(stream, b"begins", false))?;
        gone.lock().unwrap().recv_timeout(DEADLINE).expect("the client has the beginning");
        connection.send(&[data(stream, b" and ends", true), reset(stream)].concat())
    });
    let limpet = before(&target);
    let mut second = ByHand::new(&limpet);
    for _ in 0..2 {
        let stream = second.post("/", &[]);
        second.send(data(stream, b"some", false));
        assert_eq!(second.head(stream).status(), 413);
        assert_eq!(second.next(stream).payload, b"begins");
        go.send(()).unwrap();
        let mut rest = Vec::new();
        let mut frame = second.next(stream);
        while frame.kind == DATA {
            rest.extend_from_slice(&frame.payload);
            frame = second.next(stream);
        }
        assert_eq!((rest.as_slice(), frame.kind, frame.code()), (&b" and ends"[..], RST_STREAM, 0));

        let mut first = limpet.client();
        first.send("POST / HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: 9\r\n\r\nsome");
        assert_eq!(first.response_head().status, 413);
        assert_eq!(first.wire.read_chunk().unwrap().1, b"begins");
        go.send(()).unwrap();
        let rest = first.read_rest();
        assert!(rest.ends_with(b" and ends\r\n0\r\n\r\n"), "{rest:?}");
    }
}
