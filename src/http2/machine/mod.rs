//! The machine of one HTTP/2 connection, for either side: bytes and time in, events and bytes out.
//!
//! ```text
//!          receive(input) ─> Event ────────────> the connection's task ──> one task for each stream
//! socket ─┤                                                                  │ judges the head, then
//!          transmit(out) <─ frames in their order <─ respond, request, send ─┤ expect, take
//!               └─> next_turn() ─> whose turn it is to send again            └ reset, finish
//! ```
//! One task owns the socket. It passes what it has received to [`Machine::receive`] until no event is left, keeps the
//! rest (a part of a frame) in front of what it receives next, and at the end of its turn sends what
//! [`Machine::transmit`] gives: the responses of one turn leave in one send. [`Machine::next_timeout`] tells when to
//! call [`Machine::expire`].
//!
//! - **A stream** lives from its `Head` event (or [`Machine::request`]) until [`Machine::finish`], whatever has
//!   happened to it on the wire: its place counts that long, so that resetting it buys the peer nothing.
//! - **Heads** are decoded and not judged: who reads a [`Block`] with [`head`](super::head) judges it, once, and tells
//!   the length that it names by [`Machine::expect`]. A head that is too large comes as well, for its 431.
//! - **Content** is passed on as ranges of the input. Its bytes are held against the stream's window until
//!   [`Machine::take`]; the connection's window returns at once.
//! - **Sending** copies content once, framed, into the output, as far as windows and room allow. Who could not send
//!   everything goes on when [`Machine::next_turn`] names the stream: by urgency, and in turns.
//! - **Faults** of the connection are events, each once; afterwards the machine takes and gives nothing but its GOAWAY.
//!
//! It never knows a socket or a clock, and a steady stream of requests allocates nothing. Tested by a table with every
//! clause of RFC 9113, byte by byte, by two machines that talk to each other, by random frames, by the `h2` crate and
//! by the fuzz target `machine`.

mod blocks;
mod budgets;
mod data;
pub mod events;
pub mod fault;
mod history;
mod life;
mod output;
mod receive;
mod send;
mod stream;
mod streams;
mod timers;
mod turns;

use events::{Counts, Event, Key};
use fault::Fault;

use self::block_state::{EarlyPriorities, OpenBlock};
use self::budgets::Budgets;
use self::output::Output;
use self::streams::Streams;
use self::timers::{SETTINGS_ACK_MS, Timer, Timers};
use self::turns::Turns;
use super::flow::{Pool, ReceiveConnection, SendWindow};
use super::frame::order::Order;
use super::frame::{PREFACE, Side};
use super::hpack::block::{Block, Limits};
use super::hpack::decoder::Decoder;
use super::hpack::encoder::Encoder;
use super::settings::{OwnSettings, PeerSettings, WINDOW_DEFAULT};

mod block_state;

/// What a connection is held to, and what it offers.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// limpet's.
    pub side: Side,
    pub own: OwnSettings,
    /// Limits on decoded heads.
    pub list: Limits,
    /// Most bytes of content that the connection's streams may hold; a client's have room for the first window of each
    /// besides.
    pub receive_bytes: u32,
    /// Most bytes that one of them may hold.
    pub stream_bytes_max: u32,
    /// Most bytes of payload in a frame that limpet sends, whatever the peer would take.
    pub frame_bytes_max: u32,
    /// Most streams that limpet, as a client, has at a time; a server's are those of `own`.
    pub streams_max: u32,
    /// Time for the preface and the first SETTINGS, and for every field block that comes in parts.
    pub head_timeout_ms: u64,
    /// How long a peer may be silent while streams are open, before it is asked by PING whether it is there.
    pub silence_ms: u64,
    /// Time for its answer.
    pub ping_timeout_ms: u64,
}

impl Options {
    /// The defaults for connections of clients.
    pub fn server() -> Options {
        Options {
            side: Side::Server,
            own: OwnSettings::default(),
            list: Limits::new(64 * 1024, 128),
            receive_bytes: 1 << 20,
            stream_bytes_max: 1 << 20,
            frame_bytes_max: 32 * 1024,
            streams_max: 128,
            head_timeout_ms: 10_000,
            silence_ms: 30_000,
            ping_timeout_ms: 10_000,
        }
    }

    /// The defaults for connections to targets.
    pub fn client() -> Options {
        Options { side: Side::Client, ..Options::server() }
    }
}

/// How far a connection is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Open,
    /// The first GOAWAY was sent, which closes nothing: streams that are on their way are still taken.
    Draining,
    /// Streams up to this id go on, and no others.
    Last(u32),
    /// The connection has failed, or was given up.
    Over,
}

/// Most bytes that wait to be sent while more input is taken.
const UNSENT_BYTES_MAX: usize = 256 * 1024;

#[derive(Debug)]
pub struct Machine {
    options: Options,
    peer: PeerSettings,
    streams: Streams,
    turns: Turns,
    output: Output,
    decoder: Decoder,
    encoder: Encoder,
    /// What may be sent on the connection.
    window: SendWindow,
    flow: ReceiveConnection,
    order: Order,
    budgets: Budgets,
    timers: Timers,
    counts: Counts,
    life: Life,
    /// A fault that no event has told yet.
    untold: Option<Fault>,
    /// The slot from which the streams are looked through that a GOAWAY of the peer has closed.
    unprocessed_from: Option<u16>,
    /// The last stream that the peer's GOAWAY leaves open.
    peer_last: Option<u32>,
    has_preface: bool,
    has_settings_ack: bool,
    /// The peer has sent SETTINGS.
    has_peer_settings: bool,
    /// The greatest id of a stream that was opened.
    last_id: u32,
    /// When the peer was last heard of.
    received_ms: u64,
    /// Most bytes of payload in a frame that limpet sends.
    frame_bytes: u32,
    /// The block of the head that is being decoded.
    block: Box<Block>,
    /// The head of which parts are still to come.
    open: Option<OpenBlock>,
    early_priorities: EarlyPriorities,
}

impl Machine {
    /// A connection that begins now; a client's preface and the SETTINGS of either side are due at once.
    pub fn new(options: Options, now_ms: u64) -> Machine {
        let places = match options.side {
            Side::Server => options.own.max_concurrent_streams,
            Side::Client => options.streams_max,
        };
        let mut output = Output::default();
        if options.side == Side::Client {
            output.control.extend_from_slice(PREFACE);
        }
        options.own.write(options.side, &mut output.control);
        let mut timers = Timers::default();
        timers.set(Timer::Head, now_ms.saturating_add(options.head_timeout_ms));
        timers.set(Timer::SettingsAck, now_ms.saturating_add(SETTINGS_ACK_MS));
        let peer = PeerSettings::default();
        Machine {
            options,
            peer,
            streams: Streams::new(places),
            turns: Turns::default(),
            output,
            decoder: Decoder::default(),
            encoder: Encoder::default(),
            window: SendWindow::new(WINDOW_DEFAULT),
            flow: match options.side {
                Side::Server => ReceiveConnection::new(options.receive_bytes),
                Side::Client => ReceiveConnection::for_streams(
                    options.receive_bytes,
                    options.streams_max,
                    options.own.initial_window_bytes,
                ),
            },
            order: Order::of_heads(options.list.list_bytes),
            budgets: Budgets::new(now_ms),
            timers,
            counts: Counts::default(),
            life: Life::Open,
            untold: None,
            unprocessed_from: None,
            peer_last: None,
            has_preface: options.side == Side::Client,
            has_settings_ack: false,
            has_peer_settings: false,
            last_id: 0,
            received_ms: now_ms,
            frame_bytes: options.frame_bytes_max.min(peer.frame_bytes),
            block: Box::default(),
            open: None,
            early_priorities: EarlyPriorities::default(),
        }
    }

    /// Moves all frames that are due to the end of `out`: those of the connection first. Changes places with `out` when
    /// it is empty, so that its capacity serves the next turn. `pool` is that of the shard.
    #[inline]
    pub fn transmit(&mut self, out: &mut Vec<u8>, pool: &mut Pool) {
        if let Some(increment) = self.flow.update(pool)
            && self.life != Life::Over
        {
            self.output.window_update(0, increment);
        }
        self.output.drain(out);
        self.turns.lapse();
    }

    /// Whether [`Machine::transmit`] has something to give.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Whether more input is taken. Not while so much waits to be sent that the peer, who makes limpet write heads and
    /// does not read them, has to read first: then input waits until [`Machine::transmit`] was called. A server makes
    /// limpet write acknowledgements alone, which have a budget, and is to be read while it takes nothing.
    #[inline]
    pub fn takes_input(&self) -> bool {
        self.output.len() <= UNSENT_BYTES_MAX || self.options.side == Side::Client
    }

    /// Bytes that wait to be sent.
    pub fn unsent_bytes(&self) -> usize {
        self.output.len()
    }

    /// Names the next stream that has bytes left from [`Machine::send`] and may send more of them. To be asked until
    /// there is none, whenever something was received or transmitted.
    #[inline]
    pub fn next_turn(&mut self) -> Option<Key> {
        if !self.turns.is_awaited() {
            return None;
        }
        let (room, window) = (self.output.room(), self.window.open());
        let is_more_coming = room <= window && self.output.content_bytes > 0;
        let slot = self.turns.next(room.min(window), is_more_coming, &mut self.streams)?;
        self.streams.at_mut(slot).map(|stream| stream.key(slot))
    }

    /// The peer's settings.
    pub fn peer(&self) -> &PeerSettings {
        &self.peer
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The streams that are not finished.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.streams.iter().map(|(key, _)| key)
    }

    /// How many streams are not finished.
    pub fn stream_count(&self) -> u32 {
        self.streams.count()
    }

    /// Gives back the memory that an idle connection does not need; the peer's entries of the HPACK table stay.
    pub fn shrink(&mut self, pool: &mut Pool) {
        self.streams.shrink();
        self.output.shrink();
        self.decoder.shrink();
        if self.open.is_none() {
            *self.block = Block::default();
        }
        self.flow.shrink();
        self.flow.settle(pool);
    }

    /// Memory in use, in bytes, without the blocks that others hold.
    pub fn capacity_bytes(&self) -> usize {
        size_of::<Machine>()
            + self.streams.capacity_bytes()
            + self.output.capacity_bytes()
            + self.decoder.capacity_bytes()
            + size_of::<Block>()
            + self.block.capacity_bytes()
    }

    /// The connection is closed: its part of the shard's pool returns.
    pub fn end(&mut self, pool: &mut Pool) {
        self.flow.end(pool);
    }

    /// The fault becomes the connection's end: GOAWAY is due, and nothing else.
    #[cold]
    fn fail<'i>(&mut self, fault: Fault) -> Event<'i> {
        self.close(fault.code(), fault.word());
        Event::Fault(fault)
    }
}

#[cfg(test)]
mod tests;
