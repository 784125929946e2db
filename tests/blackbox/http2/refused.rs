//! Requests that HTTP/2 forbids: an answer where one can be sent, and nothing that reaches a target.

use super::clear;
use crate::support::http2::{
    END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, block, frame,
};
use crate::support::http2_frames::Frame;
use crate::support::{Client, Target, config};

/// `:status: 200` and `:status: 400` of the static table.
const OK: u8 = 0x88;
const BAD_REQUEST: u8 = 0x8c;

/// The next frame that is about a stream, or ends the connection: type, stream, payload.
fn next(client: &mut Client) -> (u8, u32, Vec<u8>) {
    loop {
        let frame = Frame::read(&mut client.wire).unwrap();
        if frame.stream != 0 || frame.kind == GOAWAY {
            return (frame.kind, frame.stream, frame.payload);
        }
    }
}

fn begin(client: &mut Client) {
    client.send(PREFACE);
    client.send(frame(SETTINGS, 0, 0, b""));
}

fn ask(client: &mut Client, stream: u32, fields: &[(&str, &str)]) {
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(fields)));
}

const GOOD: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/good"), (":authority", "limpet.test")];

#[test]
fn a_malformed_request_is_refused_and_the_connection_goes_on() {
    let target = Target::fixed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let limpet = config().listener(clear("web")).serving(&target).start();
    let mut client = limpet.client();
    begin(&mut client);
    let with = |more: &[(&'static str, &'static str)]| [&GOOD[..], more].concat();
    let instead = |name: &str, value: &'static str| {
        let mut fields = GOOD.to_vec();
        fields.iter_mut().filter(|field| field.0 == name).for_each(|field| field.1 = value);
        fields
    };
    let malformed = [
        with(&[("X-Upper", "1")]),
        with(&[("connection", "close")]),
        with(&[("transfer-encoding", "chunked")]),
        with(&[("te", "gzip")]),
        with(&[("x", "a\r\nb: c")]),
        with(&[("x", " a")]),
        with(&[("host", "other.test")]),
        with(&[("content-length", "5")]),
        with(&[(":path", "/again")]),
        with(&[("upgrade", "websocket")]),
        with(&[("x y", "1")]),
        instead(":path", "/a b"),
        instead(":path", "http://other.test/"),
        instead(":path", "/#x"),
        instead(":scheme", "ftp"),
        instead(":authority", "user@limpet.test"),
        GOOD[..2].to_vec(),
    ];
    let mut stream = 1;
    for fields in &malformed {
        ask(&mut client, stream, fields);
        let (kind, of, payload) = next(&mut client);
        assert_eq!((kind, of, payload[0]), (HEADERS, stream, BAD_REQUEST), "{fields:?}");
        // Its content, or the reset right behind.
        while next(&mut client).0 != RST_STREAM {}
        stream += 2;
        ask(&mut client, stream, &GOOD);
        let (kind, of, payload) = next(&mut client);
        assert_eq!((kind, of, payload[0]), (HEADERS, stream, OK), "behind {fields:?}");
        stream += 2;
    }
    assert_eq!(target.request_count(), malformed.len());
    assert!(target.requests().iter().all(|request| request.target == "/good"));
}

#[test]
fn a_fault_of_the_connection_ends_it_with_a_word() {
    let target = Target::echo("a");
    let limpet = config().listener(clear("web")).serving(&target).start();
    for (bytes, code) in [
        // DATA on a stream that is idle.
        (frame(0, 0, 1, b"x"), 1),
        // HEADERS with a block that is no HPACK.
        (frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0xff; 12]), 9),
        // A frame that is too long.
        (vec![0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1], 6),
        // WINDOW_UPDATE by nothing.
        (frame(8, 0, 0, &[0; 4]), 1),
    ] {
        let mut client = limpet.client();
        begin(&mut client);
        client.send(&bytes);
        let (kind, _, payload) = next(&mut client);
        assert_eq!((kind, payload[7]), (GOAWAY, code), "{bytes:?}");
        client.assert_closed();
    }
    assert_eq!(limpet.get("/").status, 200);
    assert_eq!(target.request_count(), 1);
}
