//! The table against a plain map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::http2::flow::{ReceiveConnection, SendWindow};
use crate::http2::machine::stream::{Receiving, Sending, Turn};
use crate::http2::priority::Priority;

fn stream(id: u32) -> Stream {
    Stream {
        id,
        receiving: Receiving::Content,
        has_end: false,
        sending: Sending::Head,
        is_reset: false,
        is_noted: false,
        priority: Priority::default(),
        window: SendWindow::new(0),
        turn: Turn::None,
        previous: NONE,
        next: NONE,
        flow: ReceiveConnection::new(65_535).open_stream(0),
        received: 0,
        expected: None,
        opened_ms: 0,
    }
}

proptest! {
    #[test]
    fn a_table_is_a_map(steps in proptest::collection::vec((0_u8..5, 0_usize..64, 0_u32..6), 1..600)) {
        let mut streams = Streams::new(40);
        let mut plain: BTreeMap<u32, Key> = BTreeMap::new();
        let mut next = 1;
        for (kind, at, gap) in steps {
            if kind < 3 {
                // Ids that fall onto the same place of the index are among them.
                next += if gap == 5 { 64 * 2 } else { gap * 2 };
                match streams.insert(stream(next)) {
                    Some(key) => prop_assert!(plain.insert(next, key).is_none()),
                    None => prop_assert_eq!(plain.len(), 40),
                }
                next += 2;
            } else if let Some(key) = plain.values().nth(at % plain.len().max(1)).copied() {
                streams.remove(key, Ended::ByBoth);
                plain.remove(&key.id());
                prop_assert!(streams.get(key).is_none());
                streams.remove(key, Ended::ByBoth);
            }
            prop_assert_eq!(streams.count() as usize, plain.len());
            for (id, key) in &plain {
                prop_assert_eq!(streams.find(*id).map(usize::from), Some(key.slot()));
                prop_assert_eq!(streams.get(*key).map(|stream| stream.id), Some(*id));
            }
            for id in next.saturating_sub(300)..next + 10 {
                prop_assert_eq!(streams.find(id).is_some(), plain.contains_key(&id));
            }
            let mut slots: Vec<usize> = plain.values().map(|key| key.slot()).collect();
            slots.sort_unstable();
            slots.dedup();
            prop_assert_eq!(slots.len(), plain.len());
            prop_assert!(slots.iter().all(|slot| *slot < 40));
        }
    }
}

#[test]
fn an_empty_table_gives_its_memory_back() {
    let mut streams = Streams::new(100);
    let key = streams.insert(stream(1)).expect("room");
    streams.shrink();
    assert!(streams.find(1).is_some());
    streams.remove(key, Ended::ByBoth);
    streams.shrink();
    assert_eq!((streams.capacity_bytes(), streams.find(1), streams.find(3)), (0, None, None));
    assert!(streams.insert(stream(3)).is_some() && streams.find(3).is_some());
}
