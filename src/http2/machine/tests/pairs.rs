//! Two machines that talk to each other: everything arrives, whatever the splits, and every stream ends once.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::http2::settings::OwnSettings;

/// One exchange: bytes each way, in pieces of this size.
#[derive(Debug, Clone)]
struct Exchange {
    up: usize,
    down: usize,
    piece: usize,
    has_trailers: bool,
    /// The client resets it, after so many bytes of its response.
    cancels_at: Option<usize>,
    /// The server answers without waiting for the content.
    is_early: bool,
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let size = prop_oneof![Just(0_usize), 1_usize..2_000, 1_usize..300_000];
    let cancel = prop_oneof![4 => Just(None), 1 => (0_usize..50_000).prop_map(Some)];
    (size.clone(), size, 1_usize..70_000, any::<bool>(), cancel, any::<bool>()).prop_map(
        |(up, down, piece, has_trailers, cancels_at, is_early)| {
            let piece = piece.max((up + down) / 40 + 1);
            Exchange { up, down, piece, has_trailers, cancels_at, is_early }
        },
    )
}

/// What one side still has to do on a stream, and what it has seen.
#[derive(Debug, Default)]
struct Half {
    to_send: usize,
    sent: usize,
    has_sent_end: bool,
    received: usize,
    has_end: bool,
    is_reset: bool,
    has_begun: bool,
}

/// One side of the connection with its exchanges.
struct End {
    probe: Probe,
    halves: BTreeMap<u32, (Key, Half)>,
    ends: Vec<u32>,
}

impl End {
    fn new(options: Options) -> End {
        End { probe: Probe::new(options), halves: BTreeMap::new(), ends: Vec::new() }
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.probe.rest.extend_from_slice(bytes);
        let rest = std::mem::take(&mut self.probe.rest);
        let mut input = &rest[..];
        while let Some(event) = self.probe.machine.receive(&mut input, self.probe.now_ms) {
            self.see(event);
        }
        self.probe.rest = input.to_vec();
    }

    fn see(&mut self, event: Event<'_>) {
        match event {
            Event::Head { stream, block, ends } => {
                let (_, half) = self.halves.entry(stream.id()).or_insert((stream, Half::default()));
                half.has_begun = true;
                half.has_end |= ends;
                spare::give_back(block);
            }
            Event::Content { stream, bytes, ends } => {
                let (_, half) = self.halves.get_mut(&stream.id()).expect("a stream");
                assert!(half.has_begun && !half.has_end);
                assert!(bytes.iter().all(|byte| *byte == stream.id() as u8));
                half.received += bytes.len();
                half.has_end |= ends;
                self.probe.machine.take(stream, bytes.len());
            }
            Event::Trailers { stream, block } => {
                let (_, half) = self.halves.get_mut(&stream.id()).expect("a stream");
                assert!(!half.has_end);
                half.has_end = true;
                spare::give_back(block);
            }
            Event::Reset { stream, .. } => {
                let (_, half) = self.halves.get_mut(&stream.id()).expect("a stream");
                assert!(!half.is_reset, "it is reset once");
                half.is_reset = true;
            }
            Event::Settings => {}
            other => panic!("{other:?}"),
        }
    }

    /// Sends a piece on a stream, or its end.
    fn push(&mut self, id: u32, exchange: &Exchange) {
        let Some((key, half)) = self.halves.get_mut(&id) else { return };
        if half.has_sent_end || half.is_reset {
            return;
        }
        let bytes = vec![id as u8; (half.to_send - half.sent).min(exchange.piece)];
        let is_last = half.sent + bytes.len() == half.to_send;
        let ends = is_last && !exchange.has_trailers;
        let sent = self.probe.machine.send(*key, &bytes, ends).expect("open");
        half.sent += sent;
        if half.sent == half.to_send {
            if exchange.has_trailers {
                self.probe.machine.send_trailers(*key, b"x-sum: 1\r\n").expect("open");
            }
            half.has_sent_end = exchange.has_trailers || ends && sent == bytes.len();
        }
    }

    fn finish(&mut self, id: u32) {
        let (key, _) = self.halves.remove(&id).expect("a stream");
        self.probe.machine.finish(key);
        self.ends.push(id);
    }
}

/// Runs all exchanges, `parallel` at a time; the bytes go over in parts of `split`.
fn converse(exchanges: &[Exchange], own: OwnSettings, split: &mut dyn FnMut() -> usize) {
    let mut client = End::new(Options { own, ..Options::client() });
    let mut server = End::new(Options { own, ..Options::server() });
    // The client knows how many streams it may open.
    pass(&mut server, &mut client, split);
    let mut waiting = exchanges.iter();
    let mut open: BTreeMap<u32, Exchange> = BTreeMap::new();
    for round in 0.. {
        assert!(round < 200_000, "it never ends: {:?} {:?}", client.halves, server.halves);
        while let Some(exchange) = waiting.as_slice().first() {
            let block = super::wire::post_block();
            let Ok(key) = client.probe.machine.request(&block, false, 0) else { break };
            let half = Half { to_send: exchange.up, ..Half::default() };
            client.halves.insert(key.id(), (key, half));
            open.insert(key.id(), waiting.next().expect("it is there").clone());
        }
        act(&mut client, &mut server, &open);
        pass(&mut client, &mut server, split);
        pass(&mut server, &mut client, split);
        if waiting.as_slice().is_empty() && client.halves.is_empty() && server.halves.is_empty() {
            break;
        }
    }
    let mut ids: Vec<u32> = (0..exchanges.len() as u32).map(|at| at * 2 + 1).collect();
    for side in [&mut client, &mut server] {
        side.ends.sort_unstable();
        assert_eq!(side.ends, ids, "every stream ends once");
        assert_eq!(side.probe.machine.stream_count(), 0);
        assert_eq!(side.probe.machine.flow.held(), 0);
        assert!(side.probe.rest.is_empty() && !side.probe.machine.is_over());
    }
    ids.clear();
    let (client, server) = (client.probe, server.probe);
    for mut probe in [client, server] {
        probe.machine.end(&mut probe.pool);
        assert_eq!(probe.pool.free(), 1 << 26);
    }
}

/// Passes what one side sends to the other, in parts.
fn pass(from: &mut End, to: &mut End, split: &mut dyn FnMut() -> usize) {
    from.probe.transmit();
    let bytes = std::mem::take(&mut from.probe.out);
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (part, after) = rest.split_at(split().clamp(1, rest.len()));
        to.receive(part);
        rest = after;
    }
}

/// What the owners of both sides do in one turn.
fn act(client: &mut End, server: &mut End, open: &BTreeMap<u32, Exchange>) {
    while client.probe.machine.next_turn().is_some() {}
    while server.probe.machine.next_turn().is_some() {}
    for (id, exchange) in open {
        client.push(*id, exchange);
        let Some((key, half)) = client.halves.get(id) else { continue };
        let is_cancelled =
            exchange.cancels_at.is_some_and(|at| half.received >= at.min(exchange.down));
        if is_cancelled && !half.is_reset && !half.has_end {
            client.probe.machine.reset(*key, Cause::Cancel, 0);
            client.finish(*id);
        } else if half.is_reset || half.has_end && half.has_sent_end {
            if !half.is_reset {
                assert_eq!(half.received, exchange.down);
            }
            client.finish(*id);
        }
    }
    for (id, exchange) in open {
        let Some((key, half)) = server.halves.get_mut(id) else { continue };
        let key = *key;
        if half.is_reset {
            server.finish(*id);
            continue;
        }
        let may_answer = half.has_end || exchange.is_early;
        if may_answer && half.to_send == 0 && !half.has_sent_end && half.sent == 0 {
            half.to_send = exchange.down;
            let head = server.probe.machine.respond_with(key, 200, false, |_, _| {});
            if head.is_err() {
                // It was begun in an earlier turn.
                assert_eq!(exchange.down, 0);
            }
        }
        if may_answer {
            server.push(*id, exchange);
        }
        let Some((_, half)) = server.halves.get(id) else { continue };
        if half.has_sent_end {
            if half.has_end {
                assert_eq!(half.received, exchange.up);
            }
            server.finish(*id);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn everything_arrives(
        exchanges in proptest::collection::vec(exchange(), 1..40),
        splits in proptest::collection::vec(prop_oneof![1_usize..100, 1_usize..40_000], 1..20),
        streams in 1_u32..40,
        window in prop_oneof![Just(1_u32 << 16), 1_000_u32..200_000],
    ) {
        let own = OwnSettings {
            max_concurrent_streams: streams,
            initial_window_bytes: window,
            ..OwnSettings::default()
        };
        let mut at = 0;
        converse(&exchanges, own, &mut || {
            at += 1;
            splits[at % splits.len()]
        });
    }
}
