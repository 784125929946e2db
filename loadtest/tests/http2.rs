//! `loadtest load --http2` against the responder, and against a server that answers as each test wants: right, and wrong
//! in every way that has a count of its own.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use serde_json::Value;

mod running;
use running::Running;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A block with status 200, or with the pseudo-field that is written out, and fields written out.
fn block(status: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = match status {
        "200" => vec![0x88],
        "" => Vec::new(),
        other => [&[8, other.len() as u8], other.as_bytes()].concat(),
    };
    for (name, value) in fields {
        block.extend_from_slice(&[0, name.len() as u8]);
        block.extend_from_slice(name.as_bytes());
        block.push(value.len() as u8);
        block.extend_from_slice(value.as_bytes());
    }
    block
}

/// A request as the server saw it.
struct Request {
    /// Counts the requests of a connection from 0.
    number: usize,
    stream: u32,
    /// Value of X-Echo, which is never indexed.
    echo: String,
}

impl Request {
    fn head(&self, status: &str, target: &str, flags: u8) -> Vec<u8> {
        let fields = [("x-target", target), ("x-request-echo", self.echo.as_str())];
        frame(HEADERS, END_HEADERS | flags, self.stream, &block(status, &fields))
    }

    fn data(&self, content: &str, flags: u8) -> Vec<u8> {
        frame(DATA, flags, self.stream, content.as_bytes())
    }

    fn right(&self) -> Vec<u8> {
        [self.head("200", "a", 0), self.data("hello", END_STREAM)].concat()
    }
}

/// Answers with what `answer` says, a thread for each connection, as long as the test lives; with nothing, it ends the
/// connection.
fn serve(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = answer.clone();
            // Ends of connections are part of the tests.
            thread::spawn(move || drop(serve_one(&stream.unwrap(), &*answer)));
        }
    });
    address
}

fn serve_one(mut stream: &TcpStream, answer: &dyn Fn(&Request) -> Vec<u8>) -> io::Result<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface)?;
    assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
    let mut number = 0;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let [_, a, b, kind, _, s0, s1, s2, s3] = head;
        let mut payload = vec![0; usize::from(a) * 256 + usize::from(b)];
        stream.read_exact(&mut payload)?;
        if kind != HEADERS {
            continue;
        }
        let mark = b"x-echo\x10";
        let at = payload.windows(mark.len()).position(|bytes| bytes == mark).unwrap() + mark.len();
        let echo = String::from_utf8(payload[at..at + 16].to_vec()).unwrap();
        let request = Request { number, stream: u32::from_be_bytes([s0, s1, s2, s3]), echo };
        number += 1;
        match answer(&request) {
            nothing if nothing.is_empty() => return Ok(()),
            bytes => stream.write_all(&bytes)?,
        }
    }
}

/// Runs the tool; returns what it found and whether it was content.
fn load(address: &str, arguments: &[&str]) -> (Value, bool) {
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["load", "--json", "--http2", "--warmup", "0s", "--address", address])
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (serde_json::from_str(&text).expect(&stderr), output.status.success())
}

/// Runs so many checked requests, two connections with four streams at a time; the errors that there were.
fn errors(address: SocketAddr, requests: &str, arguments: &[&str]) -> Vec<(String, u64)> {
    let usual = ["--connections", "2", "--streams", "4", "--check", "--requests", requests];
    let (found, is_clean) = load(&address.to_string(), &[&usual, arguments].concat());
    let errors = found["errors"].as_object().unwrap().iter();
    let errors = errors.map(|(name, count)| (name.clone(), count.as_u64().unwrap()));
    let errors: Vec<_> = errors.filter(|(_, count)| *count > 0).collect();
    assert_eq!(errors.is_empty() && found["wrong_target"] == 0, is_clean, "{found}");
    errors
}

fn counted(name: &str, count: u64) -> Vec<(String, u64)> {
    vec![(name.to_owned(), count)]
}

#[test]
fn a_responder_is_asked_in_every_way_and_nothing_is_wrong() {
    let responder = Running::responder(&["--id", "a"]);
    let mib = (1 << 20).to_string();
    let table: [&[&str]; 7] = [
        &["--streams", "32", "--expect-size", "64", "--cookie-jar", "per-connection"],
        &["--streams", "3", "--path", "/?size=1048576", "--expect-size", &mib],
        &["--streams", "3", "--method", "POST", "--body-size", &mib],
        &["--method", "HEAD", "--path", "/?size=1000"],
        &["--grpc", "--body-size", "10", "--path", "/echo.Echo/Say", "--expect-size", "69"],
        &["--streams", "8", "--path", "/?delay=uniform:0ms-3ms"],
        &["--streams", "3", "--path", "/?size=70000&chunked=1", "--expect-size", "70000"],
    ];
    for arguments in table {
        let usual = ["--check", "--connections", "3", "--requests", "200"];
        let (found, is_clean) = load(&responder.address, &[&usual, arguments].concat());
        assert!(is_clean, "{arguments:?}: {found}");
        assert_eq!((&found["responses"], &found["echoed"]), (&200.into(), &200.into()), "{found}");
        assert_eq!(found["by_target"]["a"], 200, "{found}");
    }
}

#[test]
fn streams_stall_beside_those_that_are_measured() {
    let responder = Running::responder(&["--id", "a"]);
    let arguments = ["--connections", "2", "--streams", "7", "--stalled-streams", "1", "--check"];
    let more = ["--requests", "3000", "--slow-path", "/?size=1000000"];
    let (found, is_clean) = load(&responder.address, &[&arguments[..], &more].concat());
    assert!(is_clean, "{found}");
    // A window each, and not a byte more.
    assert_eq!(found["slow"]["bytes"], 2 * 65_535, "{found}");
    assert_eq!((&found["slow"]["clients"], &found["slow"]["ended"]), (&2.into(), &0.into()));
}

#[test]
fn responses_are_taken_in_any_order_and_pieces() {
    let address = serve(|request| {
        let early = frame(HEADERS, END_HEADERS, request.stream, &block("103", &[]));
        let head = request.head("200", "a", 0);
        let rest = [request.data("he", 0), request.data("llo", 0)].concat();
        let trailers = block("", &[("x-sum", "1")]);
        let trailers = frame(HEADERS, END_HEADERS | END_STREAM, request.stream, &trailers);
        [early, head, rest, trailers].concat()
    });
    assert_eq!(errors(address, "50", &["--expect-size", "5"]), []);
}

#[test]
fn what_is_wrong_with_a_response_is_counted_by_its_kind() {
    type Answer = fn(&Request) -> Vec<u8>;
    let table: [(Answer, &str); 7] = [
        (|request| [request.head("503", "a", 0), request.data("hello", 1)].concat(), "status"),
        (|request| [request.head("200", "a", 0), request.data("hell", 1)].concat(), "length"),
        (|request| Request { echo: "0".repeat(16), ..*request }.right(), "echo"),
        (|request| frame(RST_STREAM, 0, request.stream, &[0, 0, 0, 7]), "reset"),
        (
            |request| {
                [request.head("200", "a", 0), frame(RST_STREAM, 0, request.stream, &[0, 0, 0, 2])]
                    .concat()
            },
            "reset",
        ),
        (|_| Vec::new(), "closed"),
        (|_| frame(DATA, 0, 2, b"nobody asked"), "garbage"),
    ];
    for (number, (answer, expected)) in table.into_iter().enumerate() {
        let address = serve(answer);
        let arguments = ["--connections", "1", "--streams", "1", "--requests", "3", "--check"];
        let more = ["--expect-size", "5"];
        let (found, is_clean) = load(&address.to_string(), &[&arguments[..], &more].concat());
        assert!(!is_clean);
        assert_eq!(found["errors"][expected], 3, "{number}: {found}");
    }
}

#[test]
fn frames_that_the_standard_forbids_are_garbage() {
    type Answer = fn(&Request) -> Vec<u8>;
    let table: [Answer; 5] = [
        |request| request.data("before the head", END_STREAM),
        |request| [request.head("200", "a", 0), request.head("200", "a", 0)].concat(),
        |_| b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
        |_| frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
        |request| frame(HEADERS, END_HEADERS | END_STREAM, request.stream, &[0xff; 9]),
    ];
    for answer in table {
        let address = serve(answer);
        let arguments = ["--connections", "1", "--requests", "2", "--check"];
        let (found, _) = load(&address.to_string(), &arguments);
        assert_eq!(found["errors"]["garbage"], 2, "{found}");
    }
}

#[test]
fn a_connection_that_leaves_in_order_fails_nothing() {
    // Its tenth request is the last that it takes, and is answered; what came behind it is asked elsewhere.
    let address = serve(|request| match request.number {
        ..9 => request.right(),
        9 => {
            let last = request.stream.to_be_bytes();
            [frame(GOAWAY, 0, 0, &[last, [0; 4]].concat()), request.right()].concat()
        }
        _ => frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
    });
    for streams in ["1", "4"] {
        let usual = ["--connections", "1", "--streams", streams, "--check", "--requests", "100"];
        let (found, is_clean) = load(&address.to_string(), &usual);
        assert!(is_clean, "{found}");
        assert_eq!((&found["requests"], &found["responses"]), (&100.into(), &100.into()));
        assert!(found["reconnects"].as_u64().unwrap() >= 9, "{found}");
        assert_eq!(found["unprocessed"].as_u64() > Some(0), streams == "4", "{found}");
    }
}

#[test]
fn a_connection_that_leaves_with_an_error_is_counted_with_its_reason() {
    let address = serve(|_| frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 11]));
    let arguments = ["--connections", "1", "--requests", "2", "--check"];
    let (found, is_clean) = load(&address.to_string(), &arguments);
    assert!(!is_clean);
    assert_eq!(found["errors"]["goaway"], 2, "{found}");
    assert_eq!(found["codes"]["ENHANCE_YOUR_CALM"], 2, "{found}");
}

#[test]
fn another_target_than_the_first_is_wrong() {
    let address = serve(|request| {
        let target = if request.number < 5 { "a" } else { "b" };
        let content = request.data("hello", END_STREAM);
        [request.head("200", target, 0), content].concat()
    });
    let usual = ["--connections", "1", "--streams", "1", "--check", "--requests", "20"];
    let more = ["--cookie-jar", "per-connection"];
    let (found, is_clean) = load(&address.to_string(), &[&usual[..], &more].concat());
    assert_eq!((is_clean, &found["wrong_target"]), (false, &15.into()), "{found}");
}

#[test]
fn trailers_of_grpc_decide() {
    for (trailer, errors_of) in [
        (Some("0"), Vec::new()),
        (Some("13"), counted("status", 20)),
        (None, counted("status", 20)),
    ] {
        let address = serve(move |request| {
            let message = request.data("\0\0\0\0\x01x", u8::from(trailer.is_none()));
            let trailers = trailer.map(|status| {
                let block = block("", &[("grpc-status", status)]);
                frame(HEADERS, END_HEADERS | END_STREAM, request.stream, &block)
            });
            [request.head("200", "a", 0), message, trailers.unwrap_or_default()].concat()
        });
        assert_eq!(errors(address, "20", &["--grpc"]), errors_of, "{trailer:?}");
    }
}

#[test]
fn a_response_that_does_not_come_is_a_timeout_of_its_stream_alone() {
    let address = serve(|request| match request.number {
        0 => frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        _ => request.right(),
    });
    let found = errors(address, "50", &["--timeout", "200ms"]);
    assert_eq!(found, counted("timeout", 2));
}
