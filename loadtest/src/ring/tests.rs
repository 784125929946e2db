//! The ring over loopback sockets: each test drives it against plain sockets of std.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::{BufferSpec, Event, Outgoing, Queue, Ring, Socket};

const PATIENCE: Duration = Duration::from_secs(20);

fn ring(count: u16, size: u32) -> Ring {
    Ring::new(64, BufferSpec { count, size }).unwrap()
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A socket of the ring and its other side.
fn pair(ring: &mut Ring, token: u64) -> (Socket, TcpStream) {
    let (listener, address) = listener();
    let other = TcpStream::connect(address).unwrap();
    other.set_read_timeout(Some(PATIENCE)).unwrap();
    (ring.queue().adopt(listener.accept().unwrap().0.into(), token), other)
}

/// Waits until `done`, which sees every event.
fn until(ring: &mut Ring, mut done: impl FnMut(&mut Queue, u64, Event<'_>) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    let mut finished = false;
    while !finished {
        assert!(Instant::now() < deadline, "nothing more happens");
        ring.wait(Some(deadline), |queue, token, event| finished |= done(queue, token, event))
            .unwrap();
    }
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|index| (index * 7 + index / 251) as u8).collect()
}

#[test]
fn an_echo_over_accept_and_connect_between_two_sockets_of_one_ring() {
    let mut ring = ring(8, 256);
    let (listener, address) = listener();
    ring.queue().accept(listener.as_fd(), 1);
    let client = ring.queue().connect(address, 2).unwrap();
    let mut server = Socket::NONE;
    let mut back = Vec::new();
    until(&mut ring, |queue, token, event| {
        match (token, event) {
            (1, Event::Accepted(descriptor)) => {
                server = queue.adopt(descriptor, 3);
                queue.receive(server);
            }
            (2, Event::Connected) => {
                queue.receive(client);
                queue.send(client, Outgoing::Owned(b"there and back".to_vec()));
            }
            (3, Event::Received(received)) => {
                queue.send(server, Outgoing::Owned(received.bytes.to_vec()));
            }
            (2, Event::Received(received)) => back.extend_from_slice(received.bytes),
            (2 | 3, Event::Sent(Some(buffer))) => assert!(buffer.is_empty()),
            (token, event) => panic!("{token}: {event:?}"),
        }
        back.len() == 14
    });
    assert_eq!(back, b"there and back");
}

#[test]
fn accepting_goes_on_for_connection_after_connection() {
    let mut ring = ring(4, 64);
    let (listener, address) = listener();
    ring.queue().accept(listener.as_fd(), 9);
    for _ in 0..5 {
        let _client = TcpStream::connect(address).unwrap();
        until(&mut ring, |_, token, event| token == 9 && matches!(event, Event::Accepted(_)));
    }
}

#[test]
fn more_than_all_buffers_arrives_whole_and_in_order() {
    let mut ring = ring(2, 16);
    let (socket, mut other) = pair(&mut ring, 1);
    let expected = bytes(10_000);
    let sent = expected.clone();
    let writer = thread::spawn(move || {
        other.write_all(&sent).unwrap();
        other
    });
    ring.queue().receive(socket);
    let mut got = Vec::new();
    until(&mut ring, |_, _, event| {
        match event {
            Event::Received(received) => got.extend_from_slice(received.bytes),
            event => panic!("{event:?}"),
        }
        got.len() == expected.len()
    });
    assert_eq!(got, expected);
    drop(writer.join().unwrap());
    until(&mut ring, |_, _, event| matches!(event, Event::Ended));
}

#[test]
fn a_receive_of_once_takes_one_buffer_and_leaves_the_rest() {
    let mut ring = ring(4, 8);
    let (socket, mut other) = pair(&mut ring, 1);
    other.write_all(b"0123456789").unwrap();
    ring.queue().receive_once(socket, 100);
    until(&mut ring, |_, _, event| {
        assert!(matches!(&event, Event::Received(received) if received.bytes == b"01234567"));
        true
    });
    let nothing = ring.wait(Some(Instant::now() + Duration::from_millis(20)), |_, _, event| {
        panic!("{event:?}");
    });
    assert_eq!(nothing.unwrap(), 0);
    ring.queue().receive_once(socket, 100);
    until(&mut ring, |_, _, event| {
        assert!(matches!(&event, Event::Received(received) if received.bytes == b"89"));
        true
    });
}

#[test]
fn sends_of_one_socket_keep_their_order_and_large_ones_arrive_whole() {
    let mut ring = ring(4, 64);
    let (socket, mut other) = pair(&mut ring, 1);
    let body: Arc<[u8]> = bytes(3_000_000).into();
    let mut expected = b"head".to_vec();
    expected.extend_from_slice(&body[10..]);
    expected.extend_from_slice(b"then");
    expected.extend_from_slice(&body[..1_000_000]);
    let count = expected.len();
    let reader = thread::spawn(move || {
        let mut got = vec![0; count];
        other.read_exact(&mut got).unwrap();
        got
    });
    let queue = ring.queue();
    queue.send(socket, Outgoing::Pair(b"head".to_vec(), body.clone(), 10..body.len()));
    queue.send(socket, Outgoing::Owned(b"then".to_vec()));
    queue.send(socket, Outgoing::Shared(body.clone(), 0..1_000_000));
    let mut sent = Vec::new();
    until(&mut ring, |_, _, event| {
        match event {
            Event::Sent(buffer) => sent.push(buffer.is_some()),
            event => panic!("{event:?}"),
        }
        sent.len() == 3
    });
    assert_eq!(sent, [true, true, false]);
    assert!(reader.join().unwrap() == expected, "the bytes differ");
}

#[test]
fn what_is_forwarded_keeps_its_buffer_until_it_is_sent() {
    let mut ring = ring(2, 1024);
    let (from, mut source) = pair(&mut ring, 1);
    let (to, mut sink) = pair(&mut ring, 2);
    let expected = bytes(500_000);
    let sent = expected.clone();
    let writer = thread::spawn(move || {
        source.write_all(&sent).unwrap();
        source
    });
    let reader = thread::spawn(move || {
        let mut got = Vec::new();
        sink.read_to_end(&mut got).unwrap();
        got
    });
    ring.queue().receive(from);
    let (mut arrived, mut outstanding) = (0, 0);
    until(&mut ring, |queue, token, event| {
        match (token, event) {
            (1, Event::Received(received)) => {
                arrived += received.bytes.len();
                outstanding += 1;
                queue.forward(to, &received);
            }
            (2, Event::Sent(None)) => outstanding -= 1,
            (token, event) => panic!("{token}: {event:?}"),
        }
        arrived == expected.len() && outstanding == 0
    });
    ring.queue().close(to);
    drop(writer.join().unwrap());
    until(&mut ring, |_, token, event| token == 1 && matches!(event, Event::Ended));
    assert!(reader.join().unwrap() == expected, "the bytes differ");
}

#[test]
fn a_closed_socket_is_heard_of_no_more_and_the_other_side_sees_the_end() {
    let mut ring = ring(4, 64);
    let (socket, mut other) = pair(&mut ring, 1);
    ring.queue().receive(socket);
    // Nobody reads it, so it stays in flight, with one more behind it.
    let body: Arc<[u8]> = bytes(16_000_000).into();
    ring.queue().send(socket, Outgoing::Shared(body.clone(), 0..body.len()));
    ring.queue().send(socket, Outgoing::Owned(b"never".to_vec()));
    ring.wait(Some(Instant::now()), |_, _, event| panic!("{event:?}")).unwrap();
    ring.queue().close(socket);
    ring.queue().send(socket, Outgoing::Owned(b"never".to_vec()));
    let reader = thread::spawn(move || other.read_to_end(&mut Vec::new()).unwrap());
    // The same descriptor may well be used again: events of it belong to the new socket.
    let deadline = Instant::now() + PATIENCE;
    while ring.queue.sends.in_flight > 0 {
        assert!(Instant::now() < deadline, "the send does not end");
        ring.wait(Some(deadline), |_, token, event| panic!("{token}: {event:?}")).unwrap();
    }
    assert!(reader.join().unwrap() < 16_000_000);
    assert_eq!(Arc::strong_count(&body), 1);
    let (again, mut other) = pair(&mut ring, 2);
    assert_ne!(again, socket);
    ring.queue().receive(again);
    other.write_all(b"x").unwrap();
    until(&mut ring, |_, token, event| token == 2 && matches!(event, Event::Received(_)));
}

#[test]
fn a_reset_and_a_shutdown_look_like_what_they_are() {
    let mut ring = ring(4, 64);
    let (socket, mut other) = pair(&mut ring, 1);
    ring.queue().receive(socket);
    ring.queue().shutdown(socket);
    ring.wait(Some(Instant::now()), |_, _, event| panic!("{event:?}")).unwrap();
    assert_eq!(other.read(&mut [0]).unwrap(), 0);
    ring.queue().reset(socket);
    ring.wait(Some(Instant::now()), |_, _, event| panic!("{event:?}")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let error = loop {
        assert!(Instant::now() < deadline, "no reset arrives");
        match other.write_all(b"x") {
            Ok(()) => {}
            Err(error) => break error.kind(),
        }
    };
    assert!(
        matches!(error, std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe),
        "{error}"
    );
}

#[test]
fn a_refused_connection_fails_and_the_deadline_ends_a_wait() {
    let mut ring = ring(4, 64);
    let (listener, address) = listener();
    drop(listener);
    let socket = ring.queue().connect(address, 5).unwrap();
    until(&mut ring, |queue, token, event| {
        assert_eq!(token, 5);
        queue.close(socket);
        matches!(event, Event::Failed(error, None)
            if error.kind() == std::io::ErrorKind::ConnectionRefused)
    });
    let start = Instant::now();
    let count = ring.wait(Some(start + Duration::from_millis(30)), |_, _, event| {
        panic!("{event:?}");
    });
    assert_eq!(count.unwrap(), 0);
    assert!(start.elapsed() >= Duration::from_millis(30));
}

#[test]
fn more_submissions_than_entries_are_all_taken() {
    let mut ring = Ring::new(4, BufferSpec { count: 64, size: 64 }).unwrap();
    let pairs: Vec<_> = (0..50).map(|token| pair(&mut ring, token)).collect();
    for (socket, _) in &pairs {
        ring.queue().receive(*socket);
        ring.queue().send(*socket, Outgoing::Owned(b"hello".to_vec()));
    }
    let mut sent = 0;
    until(&mut ring, |_, _, event| {
        assert!(matches!(event, Event::Sent(_)), "{event:?}");
        sent += 1;
        sent == 50
    });
    for (_, mut other) in pairs {
        let mut got = [0; 5];
        other.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"hello");
    }
}

#[test]
fn a_ring_that_goes_leaves_no_descriptor_behind() {
    let mut ring = ring(4, 64);
    let (socket, mut other) = pair(&mut ring, 1);
    let (closed, mut other_closed) = pair(&mut ring, 2);
    ring.queue().receive(socket);
    ring.queue().receive(closed);
    ring.wait(Some(Instant::now()), |_, _, event| panic!("{event:?}")).unwrap();
    ring.queue().close(closed);
    drop(ring);
    assert_eq!(other.read(&mut [0]).unwrap(), 0);
    assert_eq!(other_closed.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_paused_socket_keeps_what_arrives_until_it_is_asked_for_again() {
    let mut ring = ring(4, 64);
    let (socket, mut other) = pair(&mut ring, 1);
    ring.queue().receive(socket);
    for at in 0..3 {
        ring.queue().pause(socket);
        // The kernel hears of it before the bytes are there.
        ring.wait(Some(Instant::now()), |_, _, event| panic!("{event:?}")).unwrap();
        other.write_all(&[at]).unwrap();
        let soon = Instant::now() + Duration::from_millis(50);
        while Instant::now() < soon {
            ring.wait(Some(soon), |_, _, event| panic!("{event:?}")).unwrap();
        }
        ring.queue().receive(socket);
        until(
            &mut ring,
            |_, _, event| matches!(event, Event::Received(received) if received.bytes == [at]),
        );
    }
}

#[test]
fn a_socket_that_is_paused_and_asked_for_at_once_goes_on_receiving() {
    let mut ring = ring(4, 64);
    let (socket, mut other) = pair(&mut ring, 1);
    ring.queue().receive(socket);
    for at in 0..20 {
        ring.queue().pause(socket);
        ring.queue().receive(socket);
        ring.queue().pause(socket);
        ring.queue().receive(socket);
        other.write_all(&[at]).unwrap();
        until(
            &mut ring,
            |_, _, event| matches!(event, Event::Received(received) if received.bytes == [at]),
        );
    }
}
