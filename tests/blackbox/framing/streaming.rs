//! Content is passed on as it comes, in both directions, with backpressure, and never gathered.

use std::sync::mpsc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};

use crate::support::kernel::engines;
use crate::support::wire::Wire;
use crate::support::{Target, config, group, listener, pause, poll};

const BIG: usize = 64 << 20;
const PIECE: usize = 64 << 10;

/// A piece of the content, different at every offset.
fn piece(index: usize) -> Vec<u8> {
    let mut state = index as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut bytes = Vec::with_capacity(PIECE);
    while bytes.len() < PIECE {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

fn digest_of_all() -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    (0..BIG / PIECE).for_each(|index| context.update(&piece(index)));
    context.finish().as_ref().to_vec()
}

const LAST: usize = BIG / PIECE - 1;

/// All pieces but the last one.
fn send_most(wire: &mut Wire) -> std::io::Result<()> {
    (0..LAST).try_for_each(|index| wire.send(&piece(index)))
}

/// Digest of `count` bytes read from `wire`.
fn digest_of(wire: &mut Wire, count: usize) -> std::io::Result<Vec<u8>> {
    let mut context = Context::new(&SHA256);
    let mut left = count;
    while left > 0 {
        let bytes = wire.read_some()?;
        assert!(!bytes.is_empty(), "the content ended {left} bytes early");
        assert!(bytes.len() <= left, "more content than there is");
        context.update(&bytes);
        left -= bytes.len();
    }
    Ok(context.finish().as_ref().to_vec())
}

/// Most memory the process has ever had resident, in KiB.
fn peak_memory_kib(id: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("/proc of the child");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("VmHWM");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number of KiB")
}

#[test]
fn big_content_passes_both_ways_at_once_unchanged_and_ungathered() {
    let target = Target::scripted(|connection| {
        if connection.next_head()?.is_some() {
            let mut sender = connection.writer()?;
            let sending = std::thread::spawn(move || {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BIG}\r\n\r\n");
                sender.send(head.as_bytes())?;
                send_most(&mut sender)
            });
            let digest = digest_of(connection, BIG)?;
            assert_eq!(digest, digest_of_all(), "the upload arrived changed");
            sending.join().expect("the sending thread")?;
            // A response that ended before its request would close both connections.
            connection.send(&piece(LAST))?;
        }
        Ok(())
    });
    let limpet = config().serving(&target).start();
    let before = peak_memory_kib(limpet.id());
    let mut client = limpet.client();
    let mut sender = client.wire.writer().unwrap();
    let sending = std::thread::spawn(move || {
        let head = format!("POST / HTTP/1.1\r\nHost: limpet.test\r\nContent-Length: {BIG}\r\n\r\n");
        sender.send(head.as_bytes())?;
        send_most(&mut sender)?;
        sender.send(&piece(LAST))
    });
    assert_eq!(client.response_head().status, 200);
    let digest = digest_of(&mut client.wire, BIG).expect("the download arrives whole");
    assert_eq!(digest, digest_of_all(), "the download arrived changed");
    sending.join().expect("the sending thread").expect("the upload is taken whole");
    let grown = peak_memory_kib(limpet.id()).saturating_sub(before);
    assert!(grown < 32 << 10, "limpet gathered the content: {grown} KiB more");
}

#[test]
fn clients_that_do_not_read_hold_one_content_buffer_each() {
    const CLIENTS: usize = 40;
    const BUFFER_KIB: usize = 256;
    for engine in engines() {
        let target = Target::scripted(|connection| {
            connection.next_request()?;
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n")?;
            connection.send(&[b'x'; 2_000_000])?;
            connection.read_until_closed().map(drop)
        });
        // A small send buffer, so that it is limpet that holds what the client does not take.
        let web = listener("web").set("socket.send_buffer", "64KiB");
        let config = config().process("engine", *engine).process("content_buffer", "256KiB");
        let limpet = config.listener(web).group(group("app").target("a", &target)).start();
        let before = peak_memory_kib(limpet.id());
        let grown = || peak_memory_kib(limpet.id()).saturating_sub(before);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let mut client = limpet.client();
                client.wire.set_receive_buffer(64 << 10).unwrap();
                client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
                client
            })
            .collect();
        poll(|| (grown() >= CLIENTS * BUFFER_KIB * 9 / 10).then_some(())).expect("full buffers");
        // Whoever takes a second one does so at once.
        pause(Duration::from_millis(500));
        assert!(grown() < CLIENTS * BUFFER_KIB * 3 / 2, "{engine}: {} KiB more", grown());
        drop(clients);
    }
}

#[test]
fn content_passes_before_the_message_is_whole() {
    let (go, gate) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let target = Target::scripted(move |connection| {
        connection.next_request()?;
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")?;
        gate.lock().unwrap().recv().expect("the client saw the first half");
        connection.send(b"later")
    });
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n").response_head();
    assert_eq!(client.wire.read_exactly(5).unwrap(), b"first");
    go.send(()).unwrap();
    assert_eq!(client.wire.read_exactly(5).unwrap(), b"later");
}

#[test]
fn a_response_head_passes_before_its_content() {
    let (go, gate) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let target = Target::scripted(move |connection| {
        connection.next_request()?;
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        gate.lock().unwrap().recv().expect("the client saw the head");
        connection.send(b"2\r\nok\r\n0\r\n\r\n")
    });
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    let mut response = client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n").response_head();
    go.send(()).unwrap();
    client.wire.read_response_content(&mut response).unwrap();
    assert_eq!(response.text(), "ok");
}

#[test]
fn a_client_that_does_not_read_holds_the_target_back() {
    let (report, sent) = mpsc::channel::<usize>();
    let target = Target::scripted(move |connection| {
        connection.next_request()?;
        connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BIG}\r\n\r\n").as_bytes())?;
        for index in 0..BIG / PIECE {
            connection.send(&piece(index))?;
            let _ = report.send(index);
        }
        connection.read_until_closed().map(drop)
    });
    let limpet = config().serving(&target).start();
    let mut client = limpet.client();
    client.wire.set_receive_buffer(64 << 10).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: limpet.test\r\n\r\n");
    // The target stops being able to send long before all is sent: nothing new for half a second.
    let mut last = 0;
    while let Ok(index) = sent.recv_timeout(Duration::from_millis(500)) {
        last = index;
    }
    assert!(last * PIECE < BIG / 2, "limpet swallowed {} KiB", (last * PIECE) >> 10);
    assert_eq!(client.response_head().status, 200);
    let digest = digest_of(&mut client.wire, BIG).expect("the download arrives whole");
    assert_eq!(digest, digest_of_all());
}
