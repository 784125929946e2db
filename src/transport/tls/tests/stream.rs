//! The stream on the simulated engine, against a session in the test's hands, and against another stream.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use rustls::version::TLS12;
use rustls::{AlertDescription, ContentType, ProtocolVersion, SupportedProtocolVersion};

use super::configurations::{self, name};
use super::session::{Ends, VERSIONS};
use crate::transport::pending::PendingSend;
use crate::transport::stream::{RecvAny, Stream};
use crate::transport::tls::handshake;
use crate::transport::tls::session::Session;
use crate::uring::simulated::{Knobs, pair, run, wait};
use crate::uring::{Presence, Shutdown, Socket, buffers, spawn};

const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `main` with a server's stream, and its client, in each version.
fn play<F: Future<Output = ()>>(main: impl Fn(Stream, Far) -> F) {
    play_in(Knobs::default(), main);
}

fn play_in<F: Future<Output = ()>>(knobs: Knobs, main: impl Fn(Stream, Far) -> F) {
    for version in VERSIONS {
        play_speaking(version, knobs.clone(), &main);
    }
}

fn play_speaking<F: Future<Output = ()>>(
    version: &'static SupportedProtocolVersion,
    knobs: Knobs,
    main: impl Fn(Stream, Far) -> F,
) {
    let ((), left) = run(1, knobs, async {
        let (near, far) = pair();
        let (server, client) = configurations::pair(version);
        let far = async {
            let mut session = Session::client(client, name()).unwrap();
            session.begin().unwrap();
            let mut far = Far { socket: far, session };
            far.put(&mut Vec::new()).await;
            while far.session.is_handshaking() {
                far.hear().await.unwrap();
                far.put(&mut Vec::new()).await;
            }
            far.session.take_over().unwrap();
            if version.version == ProtocolVersion::TLSv1_3 {
                // The ticket.
                far.hear().await.unwrap();
            }
            far
        };
        let stream = configurations::accept(near, Vec::new(), |_| Ok(server), PATIENCE);
        let (stream, far) = both(stream, far).await;
        main(stream.unwrap().0, far).await;
        moment().await;
        wait(Duration::from_secs(2)).await;
    });
    assert!(left.broken.is_empty(), "{:?}", left.broken);
    assert_eq!((left.operations, left.ends), (0, 0));
}

/// Lets everything happen that can by now.
async fn moment() {
    wait(Duration::from_millis(10)).await;
}

/// The client, whose bytes the test sees.
struct Far {
    socket: Socket,
    session: Session,
}

impl Far {
    fn seal(&mut self, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(100_000);
        assert_eq!(self.session.seal(data, &mut out).unwrap(), data.len());
        out
    }

    fn close(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.session.close(&mut out).unwrap();
        out
    }

    /// Sends control records, then `bytes`.
    async fn put(&mut self, bytes: &mut Vec<u8>) {
        let mut all = self.session.take_control();
        all.append(bytes);
        let length = all.len();
        if length > 0 {
            let (result, _) = self.socket.send(all, 0, true).await;
            assert_eq!(result.unwrap(), length);
        }
        moment().await;
    }

    async fn say(&mut self, data: &[u8]) {
        let mut bytes = self.seal(data);
        self.put(&mut bytes).await;
    }

    /// The data of one receive; `None` at the end of the socket.
    async fn hear(&mut self) -> io::Result<Option<Vec<u8>>> {
        let (result, mut bytes) = self.socket.recv(Vec::with_capacity(100_000)).await;
        if result? == 0 {
            return Ok(None);
        }
        let mut data = Vec::with_capacity(100_000);
        self.session.open(&mut bytes, Some(&mut data)).map_err(io::Error::other)?;
        Ok(Some(data))
    }

    async fn hear_all(&mut self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(data) = self.hear().await? {
            all.extend(data);
        }
        Ok(all)
    }
}

pub(super) async fn both<A: Future, B: Future>(one: A, other: B) -> (A::Output, B::Output) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none()
            && let Poll::Ready(output) = one.as_mut().poll(cx)
        {
            first = Some(output);
        }
        if second.is_none()
            && let Poll::Ready(output) = other.as_mut().poll(cx)
        {
            second = Some(output);
        }
        match (first.take(), second.take()) {
            (Some(one), Some(other)) => Poll::Ready((one, other)),
            (one, other) => {
                (first, second) = (one, other);
                Poll::Pending
            }
        }
    })
    .await
}

async fn is_pending(receive: &mut RecvAny) -> bool {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *receive).poll(cx).is_pending())).await
}

#[test]
fn a_record_is_data_only_when_all_of_it_has_come() {
    play(|stream, mut far| async move {
        assert!(stream.is_encrypted());
        let bytes = far.seal(b"hello");
        let mut receive = stream.recv_any();
        for piece in [&bytes[..1], &bytes[1..3], &bytes[3..8]] {
            far.put(&mut piece.to_vec()).await;
            assert!(is_pending(&mut receive).await);
            assert!(!stream.is_readable());
        }
        far.put(&mut bytes[8..].to_vec()).await;
        assert_eq!(receive.await.unwrap(), b"hello");
    });
}

#[test]
fn a_receive_leaves_what_it_has_no_room_for_to_the_next() {
    play(|stream, mut far| async move {
        far.say(b"one two").await;
        let (result, buffer) = stream.recv(Vec::with_capacity(buffers::TAIL_BYTES + 4)).await;
        assert_eq!((result.unwrap(), &buffer[..]), (4, &b"one "[..]));
        assert!(stream.is_readable());
        let mut head = Vec::with_capacity(100);
        head.extend_from_slice(b"and ");
        let (result, buffer) = stream.recv(head).await;
        assert_eq!((result.unwrap(), &buffer[..]), (3, &b"and two"[..]));
    });
}

#[test]
fn a_record_that_is_no_data_leaves_an_idle_stream_quiet() {
    play(|stream, mut far| async move {
        let mut receive = stream.recv_any();
        assert!(is_pending(&mut receive).await);
        // New keys of TLS 1.3, a warning of TLS 1.2.
        far.session.update_keys();
        if !far.session.has_control() {
            let warning = [1, AlertDescription::NoRenegotiation.into()];
            let mut record = Vec::new();
            let records = far.session.records().unwrap();
            records.append(ContentType::Alert, &warning, &mut record).unwrap();
            far.put(&mut record).await;
        }
        far.put(&mut Vec::new()).await;
        assert!(is_pending(&mut receive).await);
        assert!(!stream.is_readable());
        assert_eq!(stream.presence(), Presence::There);
        far.say(b"hello").await;
        assert!(stream.is_readable());
        assert_eq!(receive.await.unwrap(), b"hello");
        // The next data follows the answer.
        stream.send(b"world".to_vec(), 0, true).await.0.unwrap();
        assert_eq!(far.hear().await.unwrap().unwrap(), b"world");
    });
}

#[test]
fn the_end_of_the_data_is_clean_and_the_other_direction_goes_on() {
    play(|stream, mut far| async move {
        let mut bytes = far.seal(b"all");
        bytes.extend(far.close());
        far.put(&mut bytes).await;
        assert_eq!(stream.recv_any().await.unwrap(), b"all");
        assert_eq!(stream.recv_any().await.unwrap(), b"");
        assert_eq!(stream.presence(), Presence::Ended);
        stream.send(b"late".to_vec(), 0, true).await.0.unwrap();
        assert_eq!(far.hear().await.unwrap().unwrap(), b"late");
    });
}

#[test]
fn a_socket_that_ends_without_close_notify_is_cut() {
    for cut_in_record in [false, true] {
        play(|stream, mut far| async move {
            let mut bytes = far.seal(b"some");
            let whole = bytes.len();
            bytes.extend(far.seal(b"more"));
            bytes.truncate(if cut_in_record { whole + 4 } else { whole });
            far.put(&mut bytes).await;
            far.socket.shutdown(Shutdown::Write);
            assert_eq!(stream.recv_any().await.unwrap(), b"some");
            let cut = stream.recv_any().await.unwrap_err();
            assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
            assert_eq!(stream.presence(), Presence::Reset);
        });
    }
}

#[test]
fn who_wants_no_more_is_at_the_end_of_his_own_making() {
    play(|stream, _far| async move {
        let receive = stream.recv_any();
        stream.end_receiving();
        assert_eq!(receive.await.unwrap(), b"");
    });
}

#[test]
fn an_abort_says_no_end() {
    play(|stream, mut far| async move {
        let receive = stream.recv_any();
        stream.abort();
        stream.end();
        assert_eq!(receive.await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        let sent = stream.send(b"more".to_vec(), 0, true).await.0;
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        drop(stream);
        moment().await;
        assert_eq!(far.hear().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert!(!far.session.is_closed());
    });
}

#[test]
fn the_end_is_said_behind_all_data_and_before_the_sockets() {
    let knobs = Knobs { room_bytes: 100, ..Knobs::default() };
    play_in(knobs, |stream, mut far| async move {
        let sent = stream.send(vec![1; 1_000], 0, true);
        stream.end_sending();
        spawn(async move {
            assert_eq!(sent.await.0.unwrap(), 1_000);
            drop(stream);
        });
        assert_eq!(far.hear_all().await.unwrap(), [1; 1_000]);
        assert!(far.session.is_closed());
    });
}

#[test]
fn who_lets_go_of_a_stream_has_said_that_this_was_all() {
    play(|stream, mut far| async move {
        let other = stream.clone();
        drop(stream);
        moment().await;
        assert!(!far.socket.is_readable());
        drop(other);
        moment().await;
        assert_eq!(far.hear_all().await.unwrap(), b"");
        assert!(far.session.is_closed());
    });
}

#[test]
fn an_end_that_nobody_takes_keeps_no_socket_open() {
    for ends_by_itself in [false, true] {
        let knobs = Knobs { room_bytes: 10, ..Knobs::default() };
        play_in(knobs, |stream, far| async move {
            let sent = stream.send(vec![1; 100], 0, true);
            moment().await;
            assert!(stream.queued_bytes().is_some_and(|queued| queued > 10));
            if ends_by_itself {
                stream.end_sending();
                spawn(async move { drop(sent.await) });
            } else {
                stream.end();
                drop(sent.await);
            }
            drop(stream);
            wait(Duration::from_secs(2)).await;
            drop(far);
        });
    }
}

#[test]
fn a_send_that_is_dropped_in_flight_ends_the_stream() {
    let knobs = Knobs { room_bytes: 100, ..Knobs::default() };
    play_in(knobs, |stream, mut far| async move {
        drop(stream.send(vec![1; 100_000], 0, true));
        drop(stream);
        far.hear_all().await.unwrap();
    });
}

#[test]
fn a_send_is_over_when_its_records_are_taken() {
    let knobs = Knobs { room_bytes: 100, ..Knobs::default() };
    play_in(knobs, |stream, mut far| async move {
        let mut send = stream.send(vec![1; 1_000], 0, true);
        moment().await;
        let is_pending = poll_fn(|cx| Poll::Ready(Pin::new(&mut send).poll(cx).is_pending())).await;
        assert!(is_pending && send.runs_by_itself());
        let heard = async {
            let mut data = 0;
            while data < 1_000 {
                data += far.hear().await.unwrap().unwrap().len();
            }
        };
        let (sent, ()) = both(send, heard).await;
        assert_eq!(sent.0.unwrap(), 1_000);
    });
}

#[test]
fn a_send_that_need_not_be_whole_takes_what_one_buffer_holds() {
    let knobs = Knobs { room_bytes: 10_000, ..Knobs::default() };
    play_in(knobs, |stream, mut far| async move {
        let data = vec![7; 300_000];
        let send = async {
            let (mut buffer, mut from) = (data, 0);
            while from < buffer.len() {
                let (result, back) = stream.send(buffer, from, false).await;
                let count = result.unwrap();
                assert!((60_000..70_000).contains(&count) || from + count == 300_000, "{count}");
                (buffer, from) = (back, from + count);
            }
            stream.end_sending();
        };
        let ((), heard) = both(send, far.hear_all()).await;
        assert_eq!(heard.unwrap(), [7; 300_000]);
    });
}

#[test]
fn a_pending_send_of_many_buffers_is_driven_by_whoever_looks_at_it() {
    let knobs = Knobs { room_bytes: 10_000, ..Knobs::default() };
    play_in(knobs, |stream, mut far| async move {
        let mut pending = PendingSend::None;
        pending.begin(&stream, vec![7; 300_000]);
        let heard = async {
            let mut count = 0;
            while count < 300_000 {
                count += far.hear().await.unwrap().unwrap().len();
            }
        };
        let mut heard = pin!(heard);
        poll_fn(|cx| {
            pending.poll_if_needed(cx);
            heard.as_mut().poll(cx)
        })
        .await;
        assert!(pending.await.0.is_ok());
    });
}

#[test]
fn a_fault_in_what_came_is_told_to_the_peer_and_ends_what_is_sent() {
    play(|stream, mut far| async move {
        let mut bytes = far.seal(b"hello");
        *bytes.last_mut().unwrap() ^= 1;
        far.put(&mut bytes).await;
        let broken = stream.recv_any().await.unwrap_err();
        assert_eq!(broken.kind(), io::ErrorKind::InvalidData);
        let sent = stream.send(b"more".to_vec(), 0, true).await.0;
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        let told = far.hear().await.unwrap_err().to_string();
        assert!(told.contains("BadRecordMac"), "{told}");
    });
}

#[test]
fn a_key_of_tls_1_2_that_has_sealed_what_it_may_ends_what_is_sent_with_a_word() {
    let ((), left) = run(1, Knobs::default(), async {
        let (near, far) = pair();
        let Ends { mut server, client } = Ends::ready(&TLS12);
        server.records().unwrap().exhaust();
        let stream = Stream::tls(near, server);
        let mut far = Far { socket: far, session: client };
        let sent = stream.send(b"more".to_vec(), 0, true).await.0;
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        let told = far.hear().await.unwrap_err().to_string();
        assert!(told.contains("InternalError"), "{told}");
        drop(stream);
        wait(Duration::from_secs(2)).await;
    });
    assert!(left.broken.is_empty(), "{:?}", left.broken);
    assert_eq!((left.operations, left.ends), (0, 0));
}

/// Sends `count` bytes in pieces, and ends.
async fn send_all(stream: &Stream, count: usize, piece: usize) {
    let data: Vec<u8> = (0..count).map(|at| (at * 31 % 251) as u8).collect();
    for part in data.chunks(piece) {
        let (result, _) = stream.send(part.to_vec(), 0, true).await;
        assert_eq!(result.unwrap(), part.len());
    }
    stream.end_sending();
}

/// Receives until the end, by receives of both kinds.
async fn receive_all(stream: &Stream) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let bytes = stream.recv_any().await.unwrap();
        if bytes.is_empty() {
            return all;
        }
        all.extend_from_slice(&bytes);
        buffers::give_back(bytes);
        let (result, bytes) = stream.recv(buffers::large()).await;
        if result.unwrap() == 0 {
            return all;
        }
        all.extend_from_slice(&bytes);
        buffers::give_back(bytes);
    }
}

#[test]
fn both_directions_at_once_come_whole_in_any_world() {
    for seed in 0..60 {
        let knobs = Knobs {
            late: 200,
            late_us: 3_000,
            short_receive: 300,
            short_send: 300,
            no_buffer: 100,
            latency_us: 2_000,
            room_bytes: [700, 20_000, 200_000][seed as usize % 3],
            ..Knobs::default()
        };
        let (_, left) = run(seed, knobs, async {
            let (near, far) = pair();
            let (server, client) = configurations::pair(VERSIONS[seed as usize / 3 % 2]);
            let (near, far) = both(
                configurations::accept(near, Vec::new(), |_| Ok(server), PATIENCE),
                handshake::connect(far, client, name(), PATIENCE),
            )
            .await;
            let (near, far) = (near.unwrap().0, far.unwrap().0);
            let (one, other) = (40_000 + seed as usize * 997, 90_000);
            let near = async move {
                let ((), heard) = both(send_all(&near, one, 9_000), receive_all(&near)).await;
                heard
            };
            let far = async move {
                let ((), heard) = both(send_all(&far, other, 70_001), receive_all(&far)).await;
                heard
            };
            let (heard_near, heard_far) = both(near, far).await;
            let is_right = |heard: &[u8], count: usize| {
                heard.len() == count
                    && heard.iter().enumerate().all(|(at, byte)| *byte == (at * 31 % 251) as u8)
            };
            assert!(is_right(&heard_near, other) && is_right(&heard_far, one), "seed {seed}");
            wait(Duration::from_secs(2)).await;
        });
        assert!(left.broken.is_empty(), "seed {seed}: {:?}", left.broken);
        assert_eq!((left.operations, left.ends), (0, 0), "seed {seed}");
    }
}
