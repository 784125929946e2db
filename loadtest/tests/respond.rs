//! The responder over real sockets: every option, override and fault as a raw client sees it.

mod running;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use running::{CLOSE, Running, answer, expect, last, read_all};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn filler(size: usize) -> String {
    "x".repeat(size)
}

/// The content of an answer in chunks.
fn unchunk(mut chunked: &str) -> String {
    let mut content = String::new();
    loop {
        let (size, rest) = chunked.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        content += &rest[..size];
        chunked = rest[size..].strip_prefix("\r\n").unwrap();
        if size == 0 {
            assert_eq!(chunked, "", "something follows the last chunk");
            return content;
        }
    }
}

#[test]
fn an_answer_says_who_gave_it_and_what_it_answers() {
    let responder = Running::responder(&["--id", "t-1", "--size", "5"]);
    let request = "GET /path HTTP/1.1\r\nX-Echo: 17\r\nConnection: close\r\n\r\n";
    let expected = answer(&format!("X-Request-Echo: 17\r\n{CLOSE}"), "xxxxx");
    assert_eq!(responder.exchange(request), expected.replace("Target: a", "Target: t-1"));
}

#[test]
fn a_connection_is_kept_until_the_client_says_otherwise() {
    let responder = Running::responder(&[]);
    let mut stream = responder.connect();
    for _ in 0..3 {
        stream.write_all(GET.as_bytes()).unwrap();
        expect(&mut stream, &answer("", &filler(64)));
    }
    stream.write_all(last("/").as_bytes()).unwrap();
    assert_eq!(read_all(&mut stream), answer(CLOSE, &filler(64)));
}

#[test]
fn an_old_client_is_kept_when_it_asks_to_be() {
    let responder = Running::responder(&["--chunked", "--size", "3"]);
    assert_eq!(responder.exchange("GET / HTTP/1.0\r\n\r\n"), answer(CLOSE, "xxx"));
    let mut stream = responder.connect();
    for _ in 0..2 {
        stream.write_all(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap();
        expect(&mut stream, &answer("Connection: keep-alive\r\n", "xxx"));
    }
}

#[test]
fn a_request_sets_the_size_of_its_answer() {
    let responder = Running::responder(&["--size", "7"]);
    for size in [0, 1, 8 * 1024, 8 * 1024 + 1, 256 * 1024, 3 * 1024 * 1024 + 1] {
        let answered = responder.exchange(last(&format!("/?size={size}")));
        assert!(answered == answer(CLOSE, &filler(size)), "{size}");
    }
    assert_eq!(responder.exchange(last("/?a=b")), answer(CLOSE, &filler(7)));
}

#[test]
fn a_request_sets_chunks_on_and_off() {
    let plain = Running::responder(&["--size", "3"]);
    let chunked = Running::responder(&["--size", "3", "--chunked"]);
    for size in [0, 1, 8 * 1024, 300_000, 1024 * 1024] {
        let answered = plain.exchange(last(&format!("/?size={size}&chunked=1")));
        let (head, content) = answered.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with("\r\nTransfer-Encoding: chunked"), "{head}");
        assert!(unchunk(content) == filler(size), "{size}");
    }
    assert!(chunked.exchange(last("/")).ends_with("\r\n\r\n3\r\nxxx\r\n0\r\n\r\n"));
    assert_eq!(chunked.exchange(last("/?chunked=0")), answer(CLOSE, "xxx"));
}

#[test]
fn a_request_sets_its_status() {
    let responder = Running::responder(&["--status", "500", "--size", "1"]);
    assert!(responder.exchange(last("/")).starts_with("HTTP/1.1 500 Internal Server Error\r\n"));
    let unavailable = responder.exchange(last("/?status=503"));
    assert!(unavailable.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{unavailable}");
    let bare = format!("HTTP/1.1 204 No Content\r\nX-Target: a\r\n{CLOSE}\r\n");
    assert_eq!(responder.exchange(last("/?status=204")), bare);
}

#[test]
fn statuses_come_in_the_mix_asked_for() {
    let responder = Running::responder(&["--status", "200=3,500=1", "--size", "0"]);
    let answered = responder.exchange(GET.repeat(999) + &last("/"));
    assert_eq!(answered.matches("HTTP/1.1 ").count(), 1000);
    let failed = answered.matches("HTTP/1.1 500 ").count();
    assert!((150..350).contains(&failed), "{failed} of 1000");
}

#[test]
fn a_request_sets_its_delay() {
    let responder = Running::responder(&["--delay", "fixed:1h"]);
    let begun = Instant::now();
    assert_eq!(responder.exchange(last("/?delay=fixed:0s")), answer(CLOSE, &filler(64)));
    assert_eq!(responder.exchange(last("/?delay=uniform:200ms-300ms")), answer(CLOSE, &filler(64)));
    assert!(begun.elapsed() >= Duration::from_millis(200));
}

#[test]
fn delayed_answers_hold_up_only_their_own_connection() {
    let responder = Running::responder(&["--size", "0"]);
    let mut streams: Vec<_> = [300, 200, 100]
        .map(|ms| {
            let mut stream = responder.connect();
            stream.write_all(last(&format!("/?delay=fixed:{ms}ms")).as_bytes()).unwrap();
            stream
        })
        .into();
    let begun = Instant::now();
    assert_eq!(responder.exchange(last("/")), answer(CLOSE, ""));
    for stream in streams.iter_mut().rev() {
        assert_eq!(read_all(stream), answer(CLOSE, ""));
    }
    assert!(begun.elapsed() < Duration::from_millis(550), "one after the other");
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let responder = Running::responder(&["--size", "2"]);
    let one = |at: usize| {
        let (query, upload) = match at {
            3 | 71 => ("?delay=fixed:20ms", ""),
            5 => ("?size=1000000", ""),
            _ if at.is_multiple_of(10) => ("", "hello"),
            _ => ("", ""),
        };
        let size = upload.len();
        format!("PUT /{query} HTTP/1.1\r\nX-Echo: {at}\r\nContent-Length: {size}\r\n\r\n{upload}")
    };
    let request: String = (0..100).map(one).collect();
    let answered = responder.exchange(request + &last("/"));
    let echoes = answered.lines().filter_map(|line| line.strip_prefix("X-Request-Echo: "));
    assert!(echoes.eq((0..100).map(|at| at.to_string())));
    assert_eq!(answered.matches("X-Request-Received: 5\r\n").count(), 10);
    assert!(answered.ends_with(&answer(CLOSE, "xx")));
}

#[test]
fn answers_to_a_client_that_does_not_read_take_no_memory_without_end() {
    let responder = Running::responder(&["--size", "0"]);
    let mut stream = responder.connect();
    let many = GET.repeat(10_000);
    let refused = (0..1000).find_map(|_| stream.write_all(many.as_bytes()).err());
    let kind = refused.expect("300 MB of requests were taken").kind();
    assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind}");
}

#[test]
fn uploads_are_read_to_their_end_and_counted() {
    let responder = Running::responder(&["--size", "0"]);
    let received = |size: usize| answer(&format!("X-Request-Received: {size}\r\n{CLOSE}"), "");
    for size in [1, 16 * 1024, 20_000_000] {
        let content = filler(size);
        let head = "PUT / HTTP/1.1\r\nConnection: close\r\n";
        let whole = format!("{head}Content-Length: {size}\r\n\r\n{content}");
        assert_eq!(responder.exchange(whole), received(size));
        let (half, rest) = content.split_at(size / 2);
        let chunks = [half, rest].into_iter().filter(|chunk| !chunk.is_empty());
        let chunks: String = chunks.map(|it| format!("{:x}\r\n{it}\r\n", it.len())).collect();
        let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\nA: b\r\n\r\n");
        assert_eq!(responder.exchange(chunked), received(size));
    }
}

#[test]
fn a_client_that_waits_to_upload_is_told_to_continue() {
    let responder = Running::responder(&["--size", "0"]);
    let mut stream = responder.connect();
    let head = "PUT / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    for _ in 0..2 {
        stream.write_all(head.as_bytes()).unwrap();
        expect(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(b"ab").unwrap();
        expect(&mut stream, &answer("X-Request-Received: 2\r\n", ""));
    }
}

#[test]
fn head_is_answered_as_get_but_without_content() {
    let responder = Running::responder(&[]);
    let head = "HEAD /?size=1000000 HTTP/1.1\r\n\r\n";
    let answered = responder.exchange(head.to_owned() + &last("/"));
    let expected = answer("", "").replace("Length: 0", "Length: 1000000");
    assert_eq!(answered, expected + &answer(CLOSE, &filler(64)));
}

#[test]
fn a_client_that_has_said_all_is_still_answered() {
    let responder = Running::responder(&["--size", "0"]);
    let mut stream = responder.connect();
    stream.write_all(b"GET /?delay=fixed:50ms HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nGET ").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), answer("", "").repeat(2));
}

#[test]
fn what_cannot_be_read_is_refused_with_its_reason_even_in_the_middle_of_an_upload() {
    let responder = Running::responder(&[]);
    let refused = |request: &str| {
        // Far more than is read before the answer: a plain close would reset it away.
        let answered = responder.exchange(request.to_owned() + &filler(100_000));
        assert!(answered.starts_with("HTTP/1.1 400 Bad Request\r\nX-Target: a\r\n"), "{answered}");
        assert!(answered.contains(CLOSE), "{answered}");
    };
    refused("hello\r\n\r\n");
    refused("GET /?delay=soon HTTP/1.1\r\n\r\n");
    refused("PUT / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n");
    refused("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
}

#[test]
fn a_close_is_an_orderly_end_without_an_answer() {
    let responder = Running::responder(&[]);
    assert_eq!(responder.exchange("GET /?fault=close HTTP/1.1\r\n\r\n"), "");
    // What was asked before is answered.
    let answered = responder.exchange(GET.to_owned() + "GET /?fault=close HTTP/1.1\r\n\r\n");
    assert_eq!(answered, answer("", &filler(64)));
}

#[test]
fn a_reset_is_seen_as_one() {
    let responder = Running::responder(&[]);
    let mut stream = responder.connect();
    stream.write_all(b"GET /?fault=reset HTTP/1.1\r\n\r\n").unwrap();
    let error = stream.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_stall_lasts_until_the_client_gives_up() {
    let responder = Running::responder(&["--size", "0"]);
    let mut stream = responder.connect();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    stream.write_all(format!("GET /?fault=stall HTTP/1.1\r\n\r\n{GET}").as_bytes()).unwrap();
    let error = stream.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert_eq!(responder.exchange(last("/")), answer(CLOSE, ""));
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn garbage_is_no_http_and_ends() {
    let responder = Running::responder(&[]);
    let mut stream = responder.connect();
    stream.write_all(b"GET /?fault=garbage HTTP/1.1\r\n\r\n").unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert!(!all.is_empty());
    let mut fields = [httparse::EMPTY_HEADER; 16];
    assert!(httparse::Response::new(&mut fields).parse(&all).is_err());
}

#[test]
fn faults_come_in_the_shares_asked_for() {
    let responder = Running::responder(&["--fault", "close=20%,garbage=20%", "--size", "0"]);
    let answered = (0..300).filter(|_| {
        let mut stream = responder.connect();
        stream.write_all(last("/").as_bytes()).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all.starts_with(b"HTTP/1.1 200 OK\r\n")
    });
    let answered = answered.count();
    assert!((130..230).contains(&answered), "{answered} of 300");
    assert_eq!(responder.exchange(last("/?fault=none")), answer(CLOSE, ""));
}

#[test]
fn threads_share_an_address() {
    let responder = Running::responder(&["--core", "0,0,0", "--size", "0"]);
    let streams: Vec<TcpStream> = (0..50).map(|_| responder.connect()).collect();
    for mut stream in streams {
        stream.write_all(last("/").as_bytes()).unwrap();
        assert_eq!(read_all(&mut stream), answer(CLOSE, ""));
    }
}

#[test]
fn a_socket_in_the_file_system_is_made_anew_and_taken_away() {
    let path = std::env::temp_dir().join(format!("loadtest-respond-{}.sock", std::process::id()));
    let address = format!("unix:{}", path.display());
    // What a killed process leaves behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut responder = Running::start(&["respond", "--address", &address, "--core", "0,0"]);
    assert_eq!(responder.address, address);
    for _ in 0..10 {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(last("/?size=100000").as_bytes()).unwrap();
        let mut answered = String::new();
        stream.read_to_string(&mut answered).unwrap();
        assert!(answered == answer(CLOSE, &filler(100_000)));
    }
    assert!(responder.terminate().success());
    assert!(!path.exists());
}

#[test]
fn it_ends_when_told_to_even_with_clients() {
    let mut responder = Running::responder(&[]);
    let _idle = responder.connect();
    assert!(responder.terminate().success());
}

#[test]
fn options_that_cannot_be_meant_are_refused() {
    for wrong in [
        ["--address", "localhost:1"],
        ["--delay", "1ms"],
        ["--status", "99"],
        ["--fault", "close=101%"],
        ["--id", "a b"],
        ["--core", "100000"],
    ] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_loadtest"));
        command.args(["respond", "--address", "127.0.0.1:0"]);
        if wrong[0] == "--address" {
            command = std::process::Command::new(env!("CARGO_BIN_EXE_loadtest"));
            command.arg("respond");
        }
        let output = command.args(wrong).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(wrong[1]) || said.contains("id is of"), "{wrong:?}: {said}");
    }
}
