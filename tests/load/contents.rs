//! Large contents over TLS, both ways at the same time: what arrives is what was sent.

use std::io;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{Context, SHA256};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::support::target::Connection;
use crate::support::tls::{self, NAME};
use crate::support::wire::Wire;
use crate::support::{Target, config, group, listener, poll};

const BLOCK_BYTES: usize = 1 << 20;

type Sum = Vec<u8>;

fn length(blocks: u64) -> u64 {
    blocks * BLOCK_BYTES as u64
}

fn finished(context: Context) -> Sum {
    context.finish().as_ref().to_vec()
}

/// Sends a content of so many blocks, none of them twice. Returns its checksum.
fn send(wire: &mut Wire, blocks: u64) -> io::Result<Sum> {
    let mut block = vec![0; BLOCK_BYTES];
    aws_lc_rs::rand::fill(&mut block).expect("random bytes");
    let mut context = Context::new(&SHA256);
    for number in 0..blocks {
        block[..8].copy_from_slice(&number.to_be_bytes());
        context.update(&block);
        wire.send(&block)?;
    }
    Ok(finished(context))
}

/// Reads a whole content. Returns its checksum.
fn receive(wire: &mut Wire, blocks: u64) -> io::Result<Sum> {
    let mut context = Context::new(&SHA256);
    let mut left = length(blocks);
    while left > 0 {
        let bytes = match wire.read_some()? {
            bytes if bytes.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            bytes => bytes,
        };
        context.update(&bytes);
        left = left.checked_sub(bytes.len() as u64).expect("no more than the content");
    }
    Ok(finished(context))
}

/// Checksums of the contents that somebody has sent and received.
type Sums = (Sum, Sum);

/// Sends and receives at the same time.
fn exchange(wire: &mut Wire, blocks: u64) -> io::Result<Sums> {
    let mut writer = wire.writer()?;
    std::thread::scope(|scope| {
        let sending = scope.spawn(move || send(&mut writer, blocks));
        let received = receive(wire, blocks);
        let sent = sending.join().expect("a sender");
        Ok((sent?, received?))
    })
}

/// Answers each request with a content of the same length, and keeps the checksums of both.
fn target(seen: &Arc<Mutex<Vec<Sums>>>) -> Target {
    let seen = Arc::clone(seen);
    Target::scripted(move |connection: &mut Connection| {
        while let Some(request) = connection.next_head()? {
            let length: u64 = request.fields.one("content-length").unwrap().parse().unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            connection.send(head.as_bytes())?;
            let sums = exchange(connection, length / BLOCK_BYTES as u64)?;
            seen.lock().unwrap().push(sums);
        }
        Ok(())
    })
}

/// Has a client of this version and the target send so many blocks to each other.
fn compare(version: &'static SupportedProtocolVersion, blocks: u64) {
    let seen = Arc::default();
    let target = target(&seen);
    let app = group("app").target("a", &target);
    let limpet = config().listener(listener("web").tls()).group(app).start();
    let mut client = limpet.tls_client(&tls::authority().client_of(&[version], None), NAME);
    let length = length(blocks);
    client.send(format!("POST / HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: {length}\r\n\r\n"));
    // The target answers as soon as it has the head.
    assert_eq!(client.response_head().status, 200);
    let (sent, received) = exchange(&mut client.wire, blocks).unwrap();
    let of_target = poll(|| seen.lock().unwrap().pop()).expect("the target's checksums");
    assert_eq!(of_target, (received.clone(), sent.clone()));
    assert_ne!(sent, received);
    let record = limpet.record(1);
    assert_eq!(record.number("content_bytes_in"), length as f64);
    assert_eq!(record.number("content_bytes_out"), length as f64);
}

#[test]
fn a_gibibyte_each_way_arrives_as_it_was_sent() {
    compare(&TLS13, 1024);
}

#[test]
fn an_eighth_of_it_does_so_under_tls_1_2() {
    compare(&TLS12, 128);
}
