//! What a connection adds to the numbers of its shard: the differences of its machine's counts, once in each turn of its
//! task.
//!
//! Tested below and over real sockets in `tests/blackbox/http2`.

use std::cell::RefCell;

use crate::http2::machine::Machine;
use crate::http2::machine::events::{Counts, Endings};
use crate::telemetry::http2::Http2Block;
use crate::telemetry::number::Number;

/// The counts of one connection, as far as they were added.
pub(super) struct Tally<'a> {
    machine: &'a RefCell<Machine>,
    block: &'a Http2Block,
    streams: u64,
    streams_ended: u64,
    endings: Endings,
}

impl<'a> Tally<'a> {
    /// The connection has been made.
    pub(super) fn new(machine: &'a RefCell<Machine>, block: &'a Http2Block) -> Tally<'a> {
        block.connections_opened.add(1);
        Tally { machine, block, streams: 0, streams_ended: 0, endings: Endings::default() }
    }

    /// Adds what the machine has counted since the last call.
    #[inline]
    pub(super) fn note(&mut self, machine: &Machine) {
        let Counts { streams, endings, .. } = *machine.counts();
        let streams_ended = streams.saturating_sub(u64::from(machine.stream_count()));
        if (streams, streams_ended) != (self.streams, self.streams_ended) {
            self.block.streams.add(streams.saturating_sub(self.streams));
            self.block.streams_ended.add(streams_ended.saturating_sub(self.streams_ended));
            (self.streams, self.streams_ended) = (streams, streams_ended);
        }
        if endings != self.endings {
            self.note_endings(endings);
        }
    }

    #[cold]
    fn note_endings(&mut self, now: Endings) {
        let before = std::mem::replace(&mut self.endings, now);
        let block = self.block;
        let [by_peer, by_limpet] = &block.resets;
        let [sent, received] = &block.goaways;
        let add = |number: &Number, now: u32, before: u32| {
            number.add(u64::from(now.wrapping_sub(before)));
        };
        add(&block.streams_refused, now.streams_refused, before.streams_refused);
        add(sent, now.goaways_sent, before.goaways_sent);
        add(received, now.goaways_received, before.goaways_received);
        for (numbers, now, before) in [
            (by_peer, now.resets_by_peer, before.resets_by_peer),
            (by_limpet, now.resets, before.resets),
        ] {
            for ((number, now), before) in numbers.iter().zip(now).zip(before) {
                add(number, now, before);
            }
        }
    }
}

impl Drop for Tally<'_> {
    /// The connection is over, and its streams with it.
    fn drop(&mut self) {
        let machine = self.machine;
        if let Ok(machine) = machine.try_borrow() {
            self.note(&machine);
        }
        self.block.streams_ended.add(self.streams.saturating_sub(self.streams_ended));
        self.block.connections_closed.add(1);
    }
}

#[cfg(test)]
mod tests {
    use crate::http2::flow::Pool;
    use crate::http2::frame::error_code::ErrorCode;
    use crate::http2::machine::Options;
    use crate::http2::machine::events::Cause;
    use crate::multiplex::tally::*;
    use crate::telemetry::http2::{Http2Sums, RESET_CAUSES};

    fn sums(block: &Http2Block) -> Http2Sums {
        Http2Sums::of(std::iter::once(block))
    }

    /// Passes what one machine has to send to the other, as its connection's task does.
    fn pass(from: &RefCell<Machine>, to: &RefCell<Machine>) {
        let (mut bytes, mut pool) = (Vec::new(), Pool::new(1 << 20));
        from.borrow_mut().transmit(&mut bytes, &mut pool);
        let mut input = &bytes[..];
        while to.borrow_mut().receive(&mut input, 0).is_some() {}
        assert!(input.is_empty());
    }

    #[test]
    fn causes_have_the_position_of_their_word() {
        for cause in Cause::ALL {
            let word = match cause {
                Cause::Early => "early",
                Cause::Malformed => "malformed",
                Cause::Cancel => "cancel",
                Cause::Internal => "internal",
                Cause::Refused => "refused",
                Cause::Connect => "connect",
            };
            assert_eq!(RESET_CAUSES[cause as usize], word);
            assert_eq!(RESET_CAUSES[Cause::position(cause.code())], word);
        }
        assert_eq!(RESET_CAUSES[Cause::position(ErrorCode::FlowControlError)], "other");
        assert_eq!(RESET_CAUSES.len(), Cause::ALL.len() + 1);
    }

    #[test]
    fn what_happens_on_a_connection_is_added_once_and_leaves_nothing_open() {
        let [client, server] = [Options::client(), Options::server()]
            .map(|options| RefCell::new(Machine::new(options, 0)));
        let blocks = [Http2Block::default(), Http2Block::default()];
        let mut at_client = Tally::new(&client, &blocks[0]);
        let mut at_server = Tally::new(&server, &blocks[1]);
        pass(&server, &client);
        let streams = [(); 3].map(|()| client.borrow_mut().request(&[0x82], true, 0).unwrap());
        pass(&client, &server);
        client.borrow_mut().reset(streams[0], Cause::Cancel, 0);
        pass(&client, &server);
        for _ in 0..2 {
            at_client.note(&client.borrow());
            at_server.note(&server.borrow());
        }
        let mut expected =
            Http2Sums { connections: 1, streams: 3, streams_open: 3, ..Http2Sums::default() };
        expected.resets[1][Cause::Cancel as usize] = 1;
        assert_eq!(sums(&blocks[0]), expected);
        expected.resets.swap(0, 1);
        assert_eq!(sums(&blocks[1]), expected);

        let keys: Vec<_> = server.borrow().keys().collect();
        keys.into_iter().for_each(|key| server.borrow_mut().finish(key));
        server.borrow_mut().close(ErrorCode::NoError, "");
        pass(&server, &client);
        // Its streams end with the connection, whether they were finished or not.
        drop((at_client, at_server));
        let ended =
            |goaways, resets| Http2Sums { streams: 3, goaways, resets, ..Http2Sums::default() };
        let internal = Cause::Internal as usize;
        expected.resets[1][internal] = 2;
        assert_eq!(sums(&blocks[1]), ended([1, 0], expected.resets));
        expected.resets.swap(0, 1);
        assert_eq!(sums(&blocks[0]), ended([0, 1], expected.resets));
    }
}
