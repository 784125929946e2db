//! The load tool against its own target: silent when all is well, and never silent when it is not.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A running `loadtest target`; killed when dropped.
struct Target {
    child: Child,
    address: SocketAddr,
}

impl Target {
    fn start(id: &str) -> Target {
        let mut child = Command::new(env!("CARGO_BIN_EXE_loadtest"))
            .args(["target", "--address", "127.0.0.1:0", "--id", id])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
        Target { child, address }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // It may have been asked to end before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn soak(address: SocketAddr, arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, .. } = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["soak", "--address", &address.to_string()])
        .args(arguments)
        .output()
        .unwrap();
    (status.code(), String::from_utf8(stdout).unwrap())
}

/// Something in between that does with the bytes from target to client what `change` does.
fn between(target: SocketAddr, change: fn(usize, &mut [u8])) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        static PIECES: AtomicUsize = AtomicUsize::new(0);
        for client in listener.incoming() {
            let client = client.unwrap();
            let far = TcpStream::connect(target).unwrap();
            let (from_client, to_target) = (client.try_clone().unwrap(), far.try_clone().unwrap());
            thread::spawn(move || relay(from_client, to_target, |_| {}));
            thread::spawn(move || {
                relay(far, client, |bytes| change(PIECES.fetch_add(1, Ordering::Relaxed), bytes));
            });
        }
    });
    address
}

fn relay(mut from: TcpStream, mut to: TcpStream, change: impl Fn(&mut [u8])) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        change(&mut buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // Either side may be gone already.
    let _ = to.shutdown(Shutdown::Write);
}

#[test]
fn a_right_target_is_left_without_a_problem_by_every_kind_of_request() {
    let target = Target::start("a");
    let arguments = ["--connections", "8", "--requests", "2000", "--sessions", "3"];
    let (code, report) = soak(target.address, &arguments);
    assert_eq!(code, Some(0), "{report}");
    assert!(
        report.contains("requests     2000 in") && report.contains("problems     0"),
        "{report}"
    );
    for kind in [" GET", " HEAD", " POST", " chunked POST"] {
        assert!(report.contains(kind), "{report}");
    }
}

#[test]
fn a_right_target_is_left_without_a_problem_over_http_2() {
    let target = Target::start("a");
    for streams in ["1", "16"] {
        let arguments =
            ["--http2", "--streams", streams, "--connections", "4", "--requests", "3000"];
        let (code, report) = soak(target.address, &arguments);
        assert_eq!(code, Some(0), "{report}");
        assert!(report.contains("requests     3000 in"), "{report}");
        assert!(report.contains("connections  4\n"), "{report}");
        for kind in [" GET", " HEAD", " POST", " chunked POST"] {
            assert!(report.contains(kind), "{report}");
        }
    }
}

#[test]
fn a_target_that_ends_leaves_no_stream_without_its_answer() {
    let mut target = Target::start("a");
    let mut soak = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["soak", "--http2", "--streams", "4", "--connections", "1", "--kinds", "get,post"])
        .args(["--requests", "25000", "--address", &target.address.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(soak.stderr.take().unwrap());
    // It tells how far it is, once a second.
    stderr.read_line(&mut String::new()).unwrap();
    thread::spawn(move || stderr.read_to_end(&mut Vec::new()));
    let id = target.child.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
    assert!(target.child.wait().unwrap().success());
    let Output { status, stdout, .. } = soak.wait_with_output().unwrap();
    let report = String::from_utf8(stdout).unwrap();
    assert_eq!(status.code(), Some(1), "{report}");
    // Whatever had begun is answered; the rest find nobody.
    let mut problems = report.lines().filter(|line| line.contains(" × ")).peekable();
    assert!(problems.peek().is_some(), "{report}");
    assert!(problems.all(|line| line.contains("the connection was refused")), "{report}");
}

#[test]
fn one_changed_byte_of_content_is_a_problem() {
    let target = Target::start("a");
    let address = between(target.address, |piece, bytes| {
        if piece % 50 == 49 {
            bytes[bytes.len() * 3 / 4] ^= 1;
        }
    });
    let arguments =
        ["--connections", "1", "--requests", "200", "--kinds", "get", "--wait-max-s", "1"];
    let (code, report) = soak(address, &arguments);
    assert_eq!(code, Some(1), "{report}");
    assert!(!report.contains("problems     0"), "{report}");
}

#[test]
fn one_changed_byte_over_http_2_is_a_problem() {
    let target = Target::start("a");
    let address = between(target.address, |piece, bytes| {
        if piece % 20 == 19 {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
        }
    });
    let arguments = ["--http2", "--connections", "1", "--requests", "200", "--kinds", "get"];
    let (code, report) = soak(address, &[&arguments[..], &["--wait-max-s", "1"]].concat());
    assert_eq!(code, Some(1), "{report}");
    assert!(!report.contains("problems     0"), "{report}");
}

#[test]
fn stickiness_that_is_not_there_is_a_problem() {
    let target = Target::start("a");
    let arguments = ["--requests", "100", "--sessions", "5", "--sticky"];
    let (code, report) = soak(target.address, &arguments);
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("a user without a cookie was not given one"), "{report}");
}

#[test]
fn a_target_that_is_not_there_is_a_problem_for_every_request() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, report) = soak(address, &["--connections", "2", "--requests", "10"]);
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("10 × the connection was refused"), "{report}");
}

#[test]
fn a_target_that_is_asked_to_end_finishes_what_has_begun() {
    let mut target = Target::start("a");
    let mut client = TcpStream::connect(target.address).unwrap();
    client
        .write_all(
            b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
        )
        .unwrap();
    let mut interim = [0; 25];
    client.read_exact(&mut interim).unwrap();
    let id = target.child.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
    client.write_all(b"xx").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("xxx"), "{answer}");
    assert!(target.child.wait().unwrap().success());
}
