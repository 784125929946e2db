//! Every budget before and behind its limit, and what is innocent.

use super::wire::*;
use super::*;
use crate::http2::frame::{Kind, flags};
use crate::http2::machine::fault::Abuse;

/// Feeds `part` so many times without a fault, and once more for the fault.
fn assert_limit(
    probe: &mut Probe,
    count: u32,
    abuse: Abuse,
    mut part: impl FnMut(&mut Probe, u32),
) {
    for at in 0..count {
        part(probe, at);
        assert_eq!(probe.fault(), None, "{abuse:?} after {at}");
    }
    part(probe, count);
    assert_eq!(probe.fault(), Some(Fault::Abuse(abuse)));
    let last = probe.frames().pop().expect("GOAWAY");
    assert_eq!((last.header.kind, last.code()), (Kind::Goaway, ErrorCode::EnhanceYourCalm));
    assert_eq!(last.payload[8..], *abuse.word().as_bytes());
}

/// Streams that a client may reset at once: as many as a browser gives up that leaves a large page.
const RAPID_MAX: u32 = 1_000;

/// Reads what limpet has sent now and then, so that it does not wait for that.
fn read_some(probe: &mut Probe, at: u32) {
    if at % 400 == 399 {
        probe.frames();
    }
}

/// Opens a stream, resets it as the client, and finishes it.
fn open_and_reset(probe: &mut Probe, id: u32) {
    probe.feed(&[post(id), rst_stream(id, ErrorCode::Cancel)].concat());
    probe.finish(id);
}

#[test]
fn streams_that_are_reset_soon() {
    let mut probe = Probe::server();
    assert_limit(&mut probe, RAPID_MAX, Abuse::RapidResets, |probe, at| {
        open_and_reset(probe, at * 2 + 1);
    });

    // A hundred come back each second.
    let mut probe = Probe::server();
    (0..RAPID_MAX).for_each(|at| open_and_reset(&mut probe, at * 2 + 1));
    probe.now_ms = 1_000;
    assert_limit(&mut probe, 100, Abuse::RapidResets, |probe, at| {
        open_and_reset(probe, (RAPID_MAX + at) * 2 + 1);
    });

    // A client most of whose streams are served may reset as many as it likes.
    let mut probe = Probe::server();
    for at in 0..2_000 {
        let id = at * 4 + 1;
        serve(&mut probe, &get(id));
        open_and_reset(&mut probe, id + 2);
        assert_eq!(probe.fault(), None);
    }
}

#[test]
fn streams_that_are_refused_and_reset_count_as_well() {
    // All places are taken, by exchanges that have not ended.
    let mut probe = Probe::server();
    (0..RAPID_MAX / 2).for_each(|at| open_and_reset(&mut probe, at * 2 + 1));
    (0..128).for_each(|at| probe.feed(&post((RAPID_MAX / 2 + at) * 2 + 1)));
    assert_limit(&mut probe, RAPID_MAX / 2, Abuse::RapidResets, |probe, at| {
        let id = (RAPID_MAX / 2 + 128 + at) * 2 + 1;
        probe.feed(&[post(id), rst_stream(id, ErrorCode::Cancel)].concat());
        read_some(probe, at);
    });

    // As do those that still have a place.
    let mut probe = Probe::server();
    assert_limit(&mut probe, RAPID_MAX, Abuse::RapidResets, |probe, at| {
        let id = at * 2 + 1;
        probe.feed(&post(id));
        let key = probe.key(id);
        probe.machine.reset(key, Cause::Internal, probe.now_ms);
        probe.feed(&rst_stream(id, ErrorCode::Cancel));
        probe.finish(id);
        read_some(probe, at);
    });
}

#[test]
fn a_second_reset_is_a_frame_of_no_use() {
    let mut probe = Probe::server();
    probe.feed(&post(1));
    probe.machine.reset(probe.key(1), Cause::Internal, 0);
    probe.feed(&rst_stream(1, ErrorCode::Cancel));
    assert_limit(&mut probe, 100, Abuse::UnknownFrames, |probe, at| {
        probe.feed(&rst_stream(1, ErrorCode::Cancel));
        if at == 50 {
            probe.finish(1);
        }
    });

    // The end of a stream and a client's reset may cross, once.
    let mut probe = Probe::server();
    for at in 0..2_000 {
        serve(&mut probe, &get(at * 2 + 1));
        probe.feed(&rst_stream(at * 2 + 1, ErrorCode::Cancel));
        assert_eq!(probe.fault(), None);
    }
    assert_limit(&mut probe, 100, Abuse::UnknownFrames, |probe, _| {
        probe.feed(&rst_stream(3_999, ErrorCode::Cancel));
    });
}

#[test]
fn a_reset_counts_when_it_is_soon_or_before_the_response() {
    let fault = |responds: bool, waits_ms: u64| {
        let mut probe = Probe::server();
        for at in 0..RAPID_MAX * 2 {
            let id = at * 2 + 1;
            probe.feed(&post(id));
            if probe.machine.is_over() {
                break;
            }
            if responds {
                let key = probe.key(id);
                probe.machine.respond_with(key, 200, false, |_, _| {}).expect("open");
            }
            // Too slow for tokens to come back.
            probe.now_ms += if at % 128 == 127 { waits_ms } else { 0 };
            if at % 128 == 127 {
                for id in (id - 254..=id).step_by(2) {
                    probe.feed(&rst_stream(id, ErrorCode::Cancel));
                    probe.finish(id);
                }
                assert_eq!(probe.machine.stream_count(), 0);
            }
        }
        probe.fault()
    };
    assert_eq!(fault(true, 0), Some(Fault::Abuse(Abuse::RapidResets)));
    assert_eq!(fault(false, 200), Some(Fault::Abuse(Abuse::RapidResets)));
    assert_eq!(fault(true, 1_000), None);
}

#[test]
fn streams_beyond_those_that_the_client_may_have() {
    let mut probe = Probe::server();
    (0..128).for_each(|at| probe.feed(&post(at * 2 + 1)));
    assert_limit(&mut probe, 1_000, Abuse::RefusedStreams, |probe, at| {
        probe.feed(&post(at * 2 + 257));
        read_some(probe, at);
    });

    // A hundred come back each second.
    let mut probe = Probe::server();
    for at in 0..1_128 {
        probe.feed(&post(at * 2 + 1));
        read_some(&mut probe, at);
    }
    probe.frames();
    probe.now_ms = 1_000;
    assert_limit(&mut probe, 100, Abuse::RefusedStreams, |probe, at| {
        probe.feed(&post(at * 2 + 2_257));
    });

    // Those that come while the connection ends are no fault of the client's.
    let mut probe = Probe::server();
    probe.machine.drain(probe.now_ms);
    probe.frames();
    probe.feed(&post(1));
    probe.now_ms = 2_000;
    probe.expire_at(2_000);
    for at in 1..3_000 {
        probe.feed(&post(at * 2 + 1));
        read_some(&mut probe, at);
    }
    assert_eq!(probe.fault(), None);
}

#[test]
fn places_count_until_their_exchanges_have_ended() {
    let mut probe = Probe::server();
    let all: Vec<u8> = (0..130)
        .flat_map(|at| [post(at * 2 + 1), rst_stream(at * 2 + 1, ErrorCode::Cancel)].concat())
        .collect();
    probe.feed(&all);
    assert_eq!(probe.machine.stream_count(), 128);
    assert_eq!(probe.machine.counts().endings.streams_refused, 2);
}

#[test]
fn resets_that_the_client_provokes() {
    // By the machine, on streams that have a place, and on those that have none; and by the owner.
    let mut probe = Probe::server();
    assert_limit(&mut probe, 100, Abuse::ProvokedResets, |probe, at| {
        let id = at * 2 + 1;
        match at % 3 {
            0 => {
                probe.feed(&[post(id), window_update(id, 0)].concat());
                probe.finish(id);
            }
            1 => {
                probe.feed(&[post(id), rst_stream(id, ErrorCode::Cancel)].concat());
                probe.finish(id);
                probe.feed(&data(id, &[b'x'; 100], true));
            }
            _ => {
                probe.feed(&post(id));
                let key = probe.key(id);
                probe.machine.reset(key, Cause::Malformed, probe.now_ms);
                probe.finish(id);
                probe.expire_at(0);
            }
        }
    });
    let mut probe = Probe::server();
    assert_limit(&mut probe, 100, Abuse::ProvokedResets, |probe, at| {
        serve(probe, &headers(at * 2 + 1, &get_block()[..2], true));
        if probe.machine.next_timeout() == Some(0) {
            probe.expire_at(0);
        }
    });
}

#[test]
fn settings_and_pings() {
    let mut probe = Probe::server();
    // The first of ten came with the greeting.
    assert_limit(&mut probe, 9, Abuse::Settings, |probe, _| probe.feed(&settings(&[])));
    let mut probe = Probe::server();
    assert_limit(&mut probe, 100, Abuse::Pings, |probe, _| probe.feed(&ping(*b"12345678")));
    let mut probe = Probe::server();
    assert_limit(&mut probe, 100, Abuse::Pings, |probe, _| probe.feed(&ping_ack(*b"12345678")));
    // A bandwidth estimate is a PING after DATA.
    let mut probe = Probe::server();
    probe.feed(&post(1));
    for _ in 0..2_000 {
        probe.feed(&[data(1, &[0; 100], false), ping(*b"12345678")].concat());
        probe.frames();
    }
    assert_eq!(probe.fault(), None);
    // So is one after a response that limpet has sent.
    let mut probe = Probe::server();
    for at in 0..500 {
        let id = at * 2 + 1;
        serve(&mut probe, &get(id));
        probe.feed(&ping(*b"12345678"));
        probe.frames();
    }
    assert_eq!(probe.fault(), None);
    // Ten come back each second.
    let mut probe = Probe::server();
    for second in 0..100 {
        probe.now_ms = second * 1_000;
        (0..10).for_each(|_| probe.feed(&ping(*b"12345678")));
    }
    assert_eq!(probe.fault(), None);
}

#[test]
fn data_of_nothing_and_of_little() {
    let mut probe = Probe::server();
    probe.feed(&post(1));
    for _ in 0..5 {
        (0..10).for_each(|_| probe.feed(&data(1, b"", false)));
        probe.feed(&data(1, b"x", false));
    }
    probe.feed(&data(1, b"x", false));
    assert_limit(&mut probe, 10, Abuse::EmptyData, |probe, _| probe.feed(&data(1, b"", false)));
    // Padding is no content.
    let mut probe = Probe::server();
    probe.feed(&post(1));
    assert_limit(&mut probe, 10, Abuse::EmptyData, |probe, _| probe.feed(&padded(1, b"", 200)));

    let small = |probe: &mut Probe, _| {
        probe.feed(&data(1, &[0; 63], false));
        probe.transmit();
    };
    let mut probe = Probe::server();
    probe.feed(&post(1));
    assert_limit(&mut probe, 10_000, Abuse::SmallData, small);
    // A thousand for each MiB.
    let mut probe = Probe::server();
    probe.feed(&post(1));
    for _ in 0..20 * 64 {
        probe.feed(&data(1, &[0; 16_384], false));
        probe.transmit();
    }
    // They are some bytes themselves.
    assert_limit(&mut probe, 21_278, Abuse::SmallData, small);
}

#[test]
fn small_data_in_a_conversation_is_innocent() {
    let mut probe = Probe::server();
    probe.feed(&post(1));
    let key = probe.key(1);
    probe.machine.respond_with(key, 200, false, |_, _| {}).expect("open");
    for _ in 0..40_000 {
        probe.feed(&data(1, b"\0\0\0\0\x05hello", false));
        assert_eq!(probe.machine.send(key, b"\0\0\0\0\x05hello", false), Ok(10));
        probe.transmit();
        probe.out.clear();
        if probe.machine.counts().data_frames_sent.is_multiple_of(4_000) {
            probe.feed(&[window_update(0, 40_000), window_update(1, 40_000)].concat());
        }
    }
    assert_eq!(probe.fault(), None);
    // So are many small requests.
    let mut probe = Probe::server();
    for at in 0..40_000 {
        serve(&mut probe, &[post(at * 2 + 1), data(at * 2 + 1, b"hello", true)].concat());
        probe.frames();
        probe.events();
        if at % 1_000 == 999 {
            probe.feed(&window_update(0, 5_000));
        }
    }
    assert_eq!(probe.fault(), None);
    assert_eq!(probe.machine.counts().streams, 40_000);
}

#[test]
fn window_updates_priorities_and_unknown_frames() {
    let mut probe = Probe::server();
    assert_limit(&mut probe, 5, Abuse::WindowUpdates, |probe, _| probe.feed(&window_update(0, 1)));
    // Two for each stream, and twenty for each frame of DATA.
    let mut probe = Probe::server();
    serve(&mut probe, &get(1));
    probe.events();
    assert_limit(&mut probe, 27, Abuse::WindowUpdates, |probe, _| probe.feed(&window_update(0, 1)));
    let priority = frame(Kind::Priority, 0, 1, &[0; 5]);
    let mut probe = Probe::server();
    assert_limit(&mut probe, 100, Abuse::Priorities, |probe, _| probe.feed(&priority));
    let mut probe = Probe::server();
    probe.feed(&[post(1), post(3)].concat());
    let update = frame(Kind::PriorityUpdate, 0, 0, &[0, 0, 0, 1, b'i']);
    assert_limit(&mut probe, 200, Abuse::Priorities, |probe, _| probe.feed(&update));
    let unknown = frame(Kind::Unknown(99), 0, 0, b"whatever");
    let mut probe = Probe::server();
    assert_limit(&mut probe, 100, Abuse::UnknownFrames, |probe, _| probe.feed(&unknown));
}

#[test]
fn answers_that_are_not_read() {
    let mut probe = Probe::server();
    probe.feed(&post(1));
    assert_limit(&mut probe, 1_000, Abuse::UnsentControl, |probe, _| {
        probe.takes = false;
        probe.feed(&[data(1, b"x", false), ping(*b"12345678")].concat());
    });
    // Those that are read are no burden.
    let mut probe = Probe::server();
    probe.feed(&post(1));
    for _ in 0..5_000 {
        probe.feed(&[data(1, b"x", false), ping(*b"12345678")].concat());
        probe.frames();
    }
    assert_eq!(probe.fault(), None);
    // Neither is the memory of what is not read.
    let mut options = Options::server();
    options.own.max_concurrent_streams = 1;
    let mut probe = Probe::greeted(options);
    probe.feed(&post(1));
    let refused = |probe: &mut Probe, at: u32| probe.feed(&get(at * 2 + 3));
    assert_limit(&mut probe, 1_000, Abuse::UnsentControl, refused);
}

#[test]
fn continuations_are_bounded() {
    let first = frame(Kind::Headers, flags::END_STREAM, 1, &get_block());
    let one = frame(Kind::Continuation, 0, 1, &block(&[("x-a", "b")]));
    for (count, word) in [(8, None), (9, Some("too_many_continuations"))] {
        let mut probe = Probe::server();
        probe.feed(&[first.clone(), one.repeat(count)].concat());
        assert_eq!(probe.fault().map(Fault::word), word);
    }
}

#[test]
fn targets_are_held_to_the_budgets_of_the_connection() {
    let mut probe = Probe::client();
    assert_limit(&mut probe, 9, Abuse::Settings, |probe, _| {
        probe.feed(&settings(&[]));
        probe.seen.retain(|seen| *seen != Seen::Settings);
    });
    let mut probe = Probe::client();
    assert_limit(&mut probe, 100, Abuse::Pings, |probe, _| probe.feed(&ping(*b"12345678")));
    // But they may reset what they like.
    let mut probe = Probe::client();
    for _ in 0..1_000 {
        let key = probe.request(true);
        probe.feed(&rst_stream(key.id(), ErrorCode::RefusedStream));
        assert_eq!(
            probe.events(),
            [Seen::Reset { id: key.id(), by: ResetBy::Peer(ErrorCode::RefusedStream) }]
        );
        probe.finish(key.id());
        probe.frames();
    }
}

#[test]
fn heads_that_are_not_read_stop_the_input() {
    let mut probe = Probe::server();
    let mut id = 1;
    while probe.machine.takes_input() {
        serve(&mut probe, &get(id));
        id += 2;
        assert!(id < 200_000, "it never stops");
    }
    // Whatever comes waits.
    let before = (probe.machine.unsent_bytes(), probe.machine.counts().streams);
    serve(&mut probe, &[get(id), get(id + 2)].concat());
    assert_eq!((probe.machine.unsent_bytes(), probe.machine.counts().streams), before);
    assert!(before.0 < 300 * 1024 && !probe.rest.is_empty());
    probe.transmit();
    serve(&mut probe, b"");
    assert_eq!((probe.machine.counts().streams, probe.rest.len()), (before.1 + 2, 0));
    assert_eq!(probe.fault(), None);
}
