//! The records that a stream makes of data, and the data that it makes of records.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use super::Manner;
use super::codec::{Broken, Kind, Opener, PAYLOAD_MAX, Sealer};
use crate::transport::stream::{RecvAny, Stream};
use crate::uring::simulated::{Knobs, pair, run, wait};
use crate::uring::{Presence, Shutdown, Socket, buffers, spawn};

/// Runs `main` with one end of a stream, and the bare socket of the other.
fn play<F: Future>(main: impl FnOnce(Stream, Far) -> F) -> F::Output {
    play_in(Knobs::default(), main)
}

fn play_in<F: Future>(knobs: Knobs, main: impl FnOnce(Stream, Far) -> F) -> F::Output {
    let (output, left) = run(1, knobs, async {
        let (near, far) = pair();
        let far = Far { socket: far, sealer: Sealer::default(), opener: Opener::default() };
        let output = main(Stream::records(near, Manner::Terse), far).await;
        moment().await;
        wait(Duration::from_secs(2)).await;
        output
    });
    assert!(left.broken.is_empty(), "{:?}", left.broken);
    assert_eq!((left.operations, left.ends), (0, 0));
    output
}

/// Lets everything happen that can by now.
async fn moment() {
    wait(Duration::from_millis(10)).await;
}

/// The other end, which writes records as bytes.
struct Far {
    socket: Socket,
    sealer: Sealer,
    opener: Opener,
}

impl Far {
    fn seal(&mut self, records: &[(Kind, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        records.iter().for_each(|(kind, payload)| self.sealer.seal(*kind, payload, &mut out));
        out
    }

    async fn put(&mut self, bytes: &[u8]) {
        let (result, _) = self.socket.send(bytes.to_vec(), 0, true).await;
        assert_eq!(result.unwrap(), bytes.len());
        moment().await;
    }

    async fn say(&mut self, records: &[(Kind, &[u8])]) {
        let bytes = self.seal(records);
        self.put(&bytes).await;
    }

    /// The kinds of the records that come in one receive, and the data in them.
    async fn hear(&mut self) -> io::Result<(Vec<Kind>, Vec<u8>)> {
        let (result, bytes) = self.socket.recv(Vec::with_capacity(100_000)).await;
        result?;
        self.opener.take(&bytes);
        let (mut kinds, mut data) = (Vec::new(), Vec::new());
        while let Some(kind) = self.opener.open(&mut data).unwrap() {
            kinds.push(kind);
        }
        Ok((kinds, data))
    }
}

async fn is_pending(receive: &mut RecvAny) -> bool {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *receive).poll(cx).is_pending())).await
}

#[test]
fn a_record_is_data_only_when_all_of_it_has_come() {
    play(|stream, mut far| async move {
        let bytes = far.seal(&[(Kind::Data, b"hello")]);
        let mut receive = stream.recv_any();
        for piece in [&bytes[..1], &bytes[1..3], &bytes[3..8]] {
            far.put(piece).await;
            assert!(is_pending(&mut receive).await);
            assert!(!stream.is_readable());
        }
        far.put(&bytes[8..]).await;
        assert_eq!(receive.await.unwrap(), b"hello");
    });
}

#[test]
fn records_that_come_together_are_received_together() {
    play(|stream, mut far| async move {
        let records: [(Kind, &[u8]); 4] = [
            (Kind::Data, b"one "),
            (Kind::Notice, b"ticket"),
            (Kind::Data, b""),
            (Kind::Data, b"two"),
        ];
        far.say(&records).await;
        assert_eq!(stream.recv_any().await.unwrap(), b"one two");
    });
}

#[test]
fn a_receive_leaves_what_it_has_no_room_for_to_the_next() {
    play(|stream, mut far| async move {
        far.say(&[(Kind::Data, b"one two")]).await;
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
        far.say(&[(Kind::Notice, &[7; 200])]).await;
        assert!(is_pending(&mut receive).await);
        assert!(!stream.is_readable());
        assert_eq!(stream.presence(), Presence::There);
        far.say(&[(Kind::Data, b"hello")]).await;
        assert!(stream.is_readable());
        assert_eq!(receive.await.unwrap(), b"hello");
    });
}

#[test]
fn a_record_that_must_be_answered_is_while_a_receive_waits_that_nobody_polls() {
    play(|stream, mut far| async move {
        let receive = stream.recv_any();
        far.say(&[(Kind::Ask, b"")]).await;
        assert_eq!(far.hear().await.unwrap(), (vec![Kind::Answer], vec![]));
        assert!(!stream.is_readable());
        far.say(&[(Kind::Data, b"hello")]).await;
        assert_eq!(receive.await.unwrap(), b"hello");
    });
}

#[test]
fn an_answer_goes_before_the_next_data_and_behind_what_is_on_its_way() {
    let knobs = Knobs { room_bytes: 100, ..Knobs::default() };
    play_in(knobs, |stream, mut far| async move {
        let receive = stream.recv_any();
        let first = stream.send(vec![1; 300], 0, true);
        far.say(&[(Kind::Ask, b"")]).await;
        let second = async {
            first.await.0.unwrap();
            stream.send(vec![2; 300], 0, true).await.0.unwrap();
            stream.end_sending();
        };
        let heard = async {
            let (mut kinds, mut data) = (Vec::new(), Vec::new());
            while kinds.last() != Some(&Kind::End) {
                let (more, bytes) = far.hear().await.unwrap();
                for kind in more {
                    kinds.push(kind);
                }
                data.extend(bytes.iter().map(|byte| (*byte, kinds.contains(&Kind::Answer))));
            }
            data
        };
        let data = both(second, heard).await.1;
        assert_eq!(data.len(), 600);
        assert!(data.iter().all(|(byte, is_answered)| *byte == 1 || *is_answered));
        stream.end();
        drop(receive.await);
    });
}

async fn both<A: Future, B: Future>(one: A, other: B) -> (A::Output, B::Output) {
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

#[test]
fn the_end_of_the_data_is_a_record_and_clean() {
    play(|stream, mut far| async move {
        far.say(&[(Kind::Data, b"all"), (Kind::End, b"")]).await;
        assert_eq!(stream.recv_any().await.unwrap(), b"all");
        assert_eq!(stream.recv_any().await.unwrap(), b"");
        assert_eq!(stream.presence(), Presence::Ended);
        // The socket has not ended, and the other direction goes on.
        stream.send(b"late".to_vec(), 0, true).await.0.unwrap();
        assert_eq!(far.hear().await.unwrap().1, b"late");
    });
}

#[test]
fn a_socket_that_ends_without_that_record_is_cut() {
    for cut_in_record in [false, true] {
        play(|stream, mut far| async move {
            let bytes = far.seal(&[(Kind::Data, b"some"), (Kind::Data, b"more")]);
            far.put(&bytes[..if cut_in_record { 12 } else { 8 }]).await;
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
            // The last one to let go sends no second end.
            drop(stream);
        });
        let (mut kinds, mut data) = (Vec::new(), 0);
        loop {
            let (more, bytes) = far.hear().await.unwrap();
            if more.is_empty() && bytes.is_empty() && kinds.last() == Some(&Kind::End) {
                break;
            }
            kinds.extend(more);
            data += bytes.len();
        }
        assert_eq!(data, 1_000);
        assert_eq!(kinds.iter().filter(|kind| **kind == Kind::End).count(), 1);
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
        assert_eq!(far.hear().await.unwrap(), (vec![Kind::End], vec![]));
        assert_eq!(far.socket.recv(Vec::with_capacity(100)).await.0.unwrap(), 0);
    });
}

#[test]
fn an_end_that_nobody_takes_keeps_no_socket_open() {
    let knobs = Knobs { room_bytes: 10, ..Knobs::default() };
    play_in(knobs, |stream, far| async move {
        let sent = stream.send(vec![1; 100], 0, true);
        moment().await;
        assert!(stream.queued_bytes().is_some_and(|queued| queued > 10));
        stream.end();
        drop((sent.await, stream));
        wait(Duration::from_secs(2)).await;
        drop(far);
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
                data += far.hear().await.unwrap().1.len();
            }
        };
        let (sent, ()) = both(send, heard).await;
        assert_eq!(sent.0.unwrap(), 1_000);
        // A send that need not be whole takes a part of the data, no more than a record.
        let (part, buffer) = stream.send(vec![2; 50], 10, false).await;
        assert!((1..=40).contains(&part.unwrap()));
        assert_eq!(buffer.len(), 50);
    });
}

#[test]
fn a_record_that_is_missing_or_none_breaks_the_stream() {
    for bytes in [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &[0xd7, 0, 1, b'a', 1]] {
        play(|stream, mut far| async move {
            far.put(bytes).await;
            let broken = stream.recv_any().await.unwrap_err();
            assert_eq!(broken.kind(), io::ErrorKind::InvalidData);
        });
    }
}

#[test]
fn a_record_says_no_more_than_sixteen_kibibytes() {
    let mut opener = Opener::default();
    let (mut sealed, mut data) = (Vec::new(), Vec::new());
    Sealer::default().seal(Kind::Data, &[1; PAYLOAD_MAX], &mut sealed);
    opener.take(&sealed);
    assert_eq!(opener.open(&mut data), Ok(Some(Kind::Data)));
    assert_eq!(data.len(), PAYLOAD_MAX);
    opener.take(&[0xd7, 0x40, 0x01]);
    assert_eq!(opener.open(&mut data), Err(Broken));
}

#[test]
fn who_chats_sends_no_data_until_he_is_answered() {
    for seed in 0..50 {
        let (data, left) = run(seed, Knobs::default(), async {
            let (near, far) = pair();
            let (near, far) =
                (Stream::records(near, Manner::Terse), Stream::records(far, Manner::Chatty));
            spawn(async move {
                for _ in 0..20 {
                    far.send(vec![1; 1_000], 0, true).await.0.unwrap();
                    wait(Duration::from_millis(50)).await;
                }
            });
            let mut data = 0;
            loop {
                let bytes = near.recv_any().await.unwrap();
                if bytes.is_empty() {
                    break;
                }
                data += bytes.len();
            }
            drop(near);
            moment().await;
            wait(Duration::from_secs(2)).await;
            data
        });
        assert_eq!(data, 20_000, "seed {seed}");
        assert!(left.broken.is_empty(), "{:?}", left.broken);
        assert_eq!((left.operations, left.ends), (0, 0), "seed {seed}");
    }
}
